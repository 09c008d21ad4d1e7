"""Signed events end to end: the SDK in this process, mutual TLS, a hub in a process of its own, receipts back.

The client's CPU is the SDK's. What agencies say is not made anew for each event: each entry is told of every case before the next one is
made, because a case takes an entry only once.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import date
from typing import Final

from domain.incident.events import CaseReferred
from domain.kernel.ids import AgencyId, ChildId
from domain.sharing.events import FamilyTold, InformationShared
from safeguarding.hub.client.client import HubClient
from safeguarding.hub.client.drafts import Draft
from safeguarding.hub.client.identifiers import new_case_id
from safeguarding.hub.client.outcomes import Receipt
from services.cli.bench.filling import an_entry
from services.cli.bench.home import Home, Served, serving
from services.cli.bench.measuring import with_tasks
from services.cli.bench.plan import Plan, Throughput
from services.eventstore.codec import to_message

BATCH_EVENTS: Final = 100
BATCHES_UNDER_WAY: Final = 8
CASES: Final = 400
"""Events go round these cases, so that no case grows longer than cases do."""
WARM_SECONDS: Final = 0.3
DAY: Final = date(2024, 1, 15)


async def measure_signed(home: Home, plan: Plan, progress: Callable[[str], None]) -> tuple[Throughput, ...]:
    """Measure single events at several numbers of callers, then batches, several under way."""
    area = home.areas[0]
    with serving(home) as served:
        async with AsyncExitStack() as stack:
            agencies = (*area.partners, area.business_unit)
            clients = [await stack.enter_async_context(home.client(served.address, agency_id, area.shard)) for agency_id in agencies]
            cases = await refer(clients[0], area.council, CASES)
            await _measure(served, clients, cases, 1, min(plan.seconds_each, WARM_SECONDS), single=True)
            found = []
            for callers in plan.callers:
                progress(f"signed events through gRPC, {callers} callers")
                found.append(await _measure(served, clients, cases, callers, plan.seconds_each, single=True))
            progress(f"signed events through gRPC, batches of {BATCH_EVENTS}")
            found.append(await _measure(served, clients, cases, BATCHES_UNDER_WAY, plan.seconds_each * 2, single=False))
            return tuple(found)


async def refer(client: HubClient, council: AgencyId, count: int) -> tuple[str, ...]:
    """Begin so many cases for measured events to speak of."""
    cases = tuple(new_case_id() for _ in range(count))
    referral = to_message(CaseReferred(reason=f"Synthetic referral by {council}.", children=(ChildId(new_case_id()),)))
    _receipts(await client.append_many([Draft(event=referral, case_id=case_id) for case_id in cases]))
    return cases


async def _measure(
    served: Served, clients: Sequence[HubClient], cases: Sequence[str], callers: int, seconds: float, *, single: bool
) -> Throughput:
    drafts = _drafts(cases)

    def caller(number: int) -> Callable[[], Awaitable[int]]:
        client = clients[number % len(clients)]

        async def one() -> int:
            draft = next(drafts)
            await client.append(draft.event, case_id=draft.case_id)
            return 1

        async def many() -> int:
            return _receipts(await client.append_many(itertools.islice(drafts, BATCH_EVENTS)))

        return one if single else many

    return await with_tasks(callers, 1 if single else BATCH_EVENTS, seconds, caller, served.cpu_seconds, served.thread_cpu_seconds)


def _drafts(cases: Sequence[str]) -> Iterator[Draft]:
    """Yield what agencies share, case by case: one chronology entry each, some 900 bytes as signed."""
    for number in itertools.count(1):
        entry = an_entry(f"R-{number}", on=DAY)
        event = to_message(InformationShared(entries=(entry,), family_told=FamilyTold(told=True)))
        for case_id in cases:
            yield Draft(event=event, case_id=case_id)


def _receipts(outcomes: Sequence[object]) -> int:
    wrong = [outcome for outcome in outcomes if not isinstance(outcome, Receipt)]
    if wrong:
        raise RuntimeError(f"the bench's own hub did not accept an event: {wrong[0]}")
    return len(outcomes)
