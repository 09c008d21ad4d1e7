"""Filling a store fast: a population signed and sealed event by event, then copies of its cases under new ids, straight to the store.

Every stored event opens, decodes and projects as any other. A copy bears the header of the case it was copied from, so that nothing
has to be signed and sealed a million times: ``hub verify`` would object to it, and the bench's hub is thrown away.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import timedelta
from hashlib import sha256
from typing import Final

from domain.kernel.events import Details, Event, Precision, When
from domain.kernel.ids import AgencyId, CaseId, RequestId, Shard
from domain.sharing.events import Entry, FamilyTold, InformationShared, Significance
from projections.oversight.published import bundled_report
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identifiers import new_case_id, new_event_id
from safeguarding.hub.client.identity import SigningKey
from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.bootstrap import Parts
from services.cli.bench.home import Home
from services.cli.synthetic.lives import steps
from services.cli.synthetic.population import Incident, populate
from services.cli.synthetic.profile import drawn_profile, published_profile
from services.eventstore.codec import to_message
from services.eventstore.port import Accepted, Append, Expectation, ProposedEvent, Result
from services.trust.sealing import seal

SEED: Final = 2020
SHARES_A_CASE: Final = 8
"""Beside some ten steps of the review: what council, board and police tell of a child, two chronology entries each time."""
EVENTS_AN_APPEND: Final = 300
APPENDS_UNDER_WAY: Final = 16
_FACT: Final = "Synthetic record: the family was visited, what was seen was written down, and an appointment was agreed. " * 2


@dataclass(frozen=True, slots=True)
class Sealed:
    """One event of a case as the log holds it, without its place."""

    category: str
    header_hash: bytes
    key_id: str
    type: str
    state: bytes


@dataclass(frozen=True, slots=True)
class Life:
    """One case: where it lies, who leads it, and all that was said of it."""

    shard: Shard
    case_id: CaseId
    business_unit: AgencyId
    events: tuple[Sealed, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A case in the store, and who may read it."""

    shard: Shard
    case_id: CaseId
    business_unit: AgencyId


class Filler:
    """Fills the store of an opened hub with cases."""

    def __init__(self, home: Home, incidents: int) -> None:
        """Draw a population of ``incidents``; nothing is sealed or stored yet."""
        rng = random.Random(SEED)  # noqa: S311  # seeded, so that every run measures the same population
        profile = drawn_profile(published_profile(bundled_report()), incidents, rng)
        self._home = home
        self._incidents = populate(profile, home.areas, rng)
        self._keys: dict[AgencyId, SigningKey] = {}
        self._lives: list[Life] = []
        self.cases: list[Case] = []

    def fill(self, parts: Parts, events: int, progress: Callable[[int, int], None]) -> None:
        """Append whole cases until the store holds at least ``events`` events."""
        stored = sum(parts.store.shard(name).head().position for name in parts.store.shards())
        under_way: deque[Future[Result]] = deque()
        for append in self._appends(parts, events - stored):
            under_way.append(parts.store.shard(append.shard).append(append))
            if len(under_way) >= APPENDS_UNDER_WAY:
                stored += _accepted(under_way.popleft())
                progress(min(stored, events), events)
        while under_way:
            stored += _accepted(under_way.popleft())

    def _appends(self, parts: Parts, events: int) -> Iterator[Append]:
        """Yield appends of one shard each, several cases in one."""
        waiting: dict[Shard, list[tuple[Life, CaseId]]] = {}
        sizes: Counter[Shard] = Counter()
        for life in self._lives_without_end(parts):
            case_id = life.case_id if life.case_id not in {case.case_id for case in self.cases[-1:]} else CaseId(new_case_id())
            waiting.setdefault(life.shard, []).append((life, case_id))
            sizes[life.shard] += len(life.events)
            events -= len(life.events)
            if sizes[life.shard] >= EVENTS_AN_APPEND or events <= 0:
                for shard in list(waiting) if events <= 0 else [life.shard]:
                    yield _append(shard, waiting.pop(shard))
                    sizes[shard] = 0
            if events <= 0:
                return

    def _lives_without_end(self, parts: Parts) -> Iterator[Life]:
        raise NotImplementedError
