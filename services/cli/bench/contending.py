"""Two nodes whose callers contend for the same streams: what that costs in void records, and how fast all are answered.

Inside one node an append is judged on what is under way before it, so only the other node's appends can void it.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, ExitStack, closing
from typing import Final

from domain.sharing.events import FamilyTold, InformationShared
from safeguarding.hub.client.client import HubClient
from services.cli.bench.filling import an_entry
from services.cli.bench.home import Home, serving
from services.cli.bench.measuring import with_tasks
from services.cli.bench.plan import Contention, Plan
from services.cli.bench.signed import DAY, refer
from services.eventstore.codec import to_message
from services.eventstore.outcome import from_bytes
from services.eventstore.port import Conflict
from services.eventstore.tables import open_reader

STREAMS: Final = (1, 10, 1_000)
SEED: Final = 7


async def measure_contention(nodes: Sequence[Home], plan: Plan, progress: Callable[[str], None]) -> tuple[Contention, ...]:
    """Serve one hub by several nodes and have all callers tell of the same few cases, then of more."""
    area = nodes[0].areas[0]
    agencies = (*area.partners, area.business_unit)
    with ExitStack() as serving_all:
        served = [serving_all.enter_context(serving(node)) for node in nodes]
        async with AsyncExitStack() as stack:
            clients = [
                await stack.enter_async_context(nodes[0].client(served[number % len(served)].address, agency_id, area.shard))
                for number, agency_id in enumerate(agencies)
            ]
            found = []
            for streams in STREAMS:
                progress(f"signed events through {len(nodes)} nodes, {streams:,} streams contended")
                cases = await refer(clients[0], area.council, streams)
                found.append(await _measured(nodes, clients, cases, plan))
            return tuple(found)


async def _measured(nodes: Sequence[Home], clients: Sequence[HubClient], cases: Sequence[str], plan: Plan) -> Contention:
    drawn = random.Random(SEED)  # noqa: S311  # seeded, so that every run contends alike

    def caller(number: int) -> Callable[[], Awaitable[int]]:
        client = clients[number % len(clients)]

        async def one() -> int:
            entry = an_entry(f"R-{number}", on=DAY)
            event = to_message(InformationShared(entries=(entry,), family_told=FamilyTold(told=True)))
            await client.append(event, case_id=drawn.choice(cases))
            return 1

        return one

    before = _voids(nodes[0])
    throughput = await with_tasks(max(plan.callers), 1, plan.seconds_each, caller)
    return Contention(nodes=len(nodes), streams=len(cases), throughput=throughput, voids=_voids(nodes[0]) - before)


def _voids(node: Home) -> int:
    """Return how many appends were void because the stream had moved, as a node has folded them."""
    with closing(open_reader(node.settings.event_store_file)) as connection:
        return sum(isinstance(from_bytes(result), Conflict) for (result,) in connection.execute("SELECT result FROM append"))
