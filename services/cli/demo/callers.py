"""The agencies' systems: one SDK client each, opened when it first speaks, over mutual TLS with its own certificate and key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Final

from domain.kernel.events import Event, Purpose
from safeguarding.hub.client.client import HubClient
from safeguarding.hub.client.drafts import Draft
from safeguarding.hub.client.outcomes import Outcome, Receipt, Refusal
from safeguarding.hub.v1.common_pb2 import Purpose as WirePurpose
from services.cli.calling import sdk_client
from services.eventstore.codec import to_message
from services.runtime.settings import Settings

OPENING_MAX_CLIENTS: Final = 16
"""So many may be shaking hands at once."""
SOURCE: Final = "demo"


@dataclass(slots=True)
class Tally:
    """What became of everything that was sent."""

    events: int = 0
    held: list[Receipt] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    """What was not as it should have been."""
    newest: dict[str, int] = field(default_factory=dict)
    """The highest position of a receipt in each shard: whoever reads asks for views that are as new."""
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When an agency began to wait for answers, and when it had them, on the monotonic clock."""

    @property
    def receipts(self) -> int:
        """How many receipts there are."""
        return len(self.held)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Note how long an agency waits for its answers."""
        began = time.monotonic()
        yield
        self.waits.append((began, time.monotonic()))

    def count(self, outcomes: Sequence[Outcome]) -> None:
        """Take outcomes in."""
        self.events += len(outcomes)
        for outcome in outcomes:
            if isinstance(outcome, Receipt):
                self.held.append(outcome)
                self.newest[outcome.shard] = max(self.newest.get(outcome.shard, 0), outcome.position)
            elif isinstance(outcome, Refusal):
                self.refusals.append(outcome)
            else:
                self.unexpected.append(f"no answer in {outcome.shard}: {outcome.reason}")

    def demand(self, holds: bool, otherwise: str) -> None:
        """Note what was not as it should have been."""
        if not holds:
            self.unexpected.append(otherwise)


@dataclass(slots=True)
class _Line:
    """An agency's client, and how many use it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    client: HubClient | None = None
    users: int = 0


class Callers:
    """Clients of many agencies. One stays open while it is used, and if ``stays`` says so of its agency, until all are closed."""

    def __init__(self, settings: Settings, target: str, *, stays: Callable[[str], bool]) -> None:
        """Open nothing yet. ``target``: where the hub is, or its nodes are."""
        self._settings = settings
        self._target = target
        self._stays = stays
        self._opening = asyncio.Semaphore(OPENING_MAX_CLIENTS)
        self._lines: dict[str, _Line] = {}

    @asynccontextmanager
    async def of(self, agency: str, shard: str) -> AsyncIterator[HubClient]:
        """Give an agency's client; ``shard`` is where its events go unless they say otherwise."""
        line = self._lines.setdefault(agency, _Line())
        line.users += 1
        try:
            async with line.lock:
                if line.client is None:
                    async with self._opening:
                        client = sdk_client(self._settings, agency, target=self._target, shard=shard, source=SOURCE, actor_role="system")
                        line.client = await client.__aenter__()
            yield line.client
        finally:
            line.users -= 1
            if line.users == 0 and not self._stays(agency):
                await self._close(line)

    async def close(self) -> None:
        """Close every client that is open."""
        await asyncio.gather(*(self._close(line) for line in self._lines.values()))

    @staticmethod
    async def _close(line: _Line) -> None:
        async with line.lock:
            # Somebody may have come meanwhile.
            if line.users == 0 and line.client is not None:
                client, line.client = line.client, None
                await client.close()


def draft(event: Event, *, shard: str, case_id: str, role: str, purpose: Purpose, imported: bool) -> Draft:
    """Return an event of a case as the SDK takes it."""
    return Draft(
        event=to_message(event),
        shard=shard,
        case_id=case_id,
        imported=imported,
        actor_role=role,
        purpose=WirePurpose.Value(f"PURPOSE_{purpose.name}"),
    )
