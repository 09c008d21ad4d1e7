"""Filling a store fast: a population signed and sealed event by event, then copies of its cases under new ids, straight to the store.

Every stored event opens, decodes and projects as any other. A copy bears the header of the case it was copied from, so that nothing
has to be signed and sealed a million times: ``hub verify`` would object to it, and the bench's hub is thrown away.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import date, timedelta
from hashlib import sha256
from itertools import cycle
from typing import Final

from domain.kernel.events import Details, Event, Precision, When
from domain.kernel.ids import AgencyId, CaseId, RequestId, Shard, category_of
from domain.sharing.events import Entry, FamilyTold, InformationShared, Significance
from projections.oversight.published import bundled_report
from safeguarding.hub.client.drafts import Draft, sign
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
from services.runtime.randomness import rising_id
from services.trust.keystore import case_key_id
from services.trust.sealing import seal

SEED: Final = 2020
NODE_ID: Final = "bench"
SHARES_A_CASE: Final = 8
"""Beside some ten steps of the review: what council, board and police tell of a child, two chronology entries each time."""
ENTRIES_A_SHARE: Final = 2
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
    """What was said of one case, and where and by whom it is led."""

    shard: Shard
    business_unit: AgencyId
    events: tuple[Sealed, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A case in the store, and who may read it."""

    shard: Shard
    case_id: CaseId
    business_unit: AgencyId


class Filler:
    """Fills the store of an opened hub with cases; ``cases`` are those that it put there."""

    def __init__(self, home: Home, incidents: int) -> None:
        """Draw a population of ``incidents``; nothing is sealed or stored yet."""
        self._rng = random.Random(SEED)  # noqa: S311  # seeded, so that every run measures the same population
        profile = drawn_profile(published_profile(bundled_report()), incidents, self._rng)
        self._home = home
        self._incidents = populate(profile, home.areas, self._rng)
        self._keys: dict[AgencyId, SigningKey] = {}
        self._lives: Iterator[Life] = iter(())
        self.cases: list[Case] = []

    def fill(self, parts: Parts, events: int, progress: Callable[[int, int], None]) -> None:
        """Append whole cases until the store holds at least ``events`` events."""
        if not self.cases:
            self._lives = cycle([self._life(parts, incident) for incident in self._incidents])
        stored = sum(parts.store.shard(name).head().position for name in parts.store.shards())
        under_way: deque[Future[Result]] = deque()
        for append in self._appends(parts, events - stored):
            under_way.append(parts.store.shard(append.shard).append(append))
            if len(under_way) >= APPENDS_UNDER_WAY:
                stored += _placed(under_way.popleft())
                progress(min(stored, events), events)
        for future in under_way:
            _placed(future)

    def _appends(self, parts: Parts, events: int) -> Iterator[Append]:
        """Yield appends with at least ``events`` events, each of one shard and several cases, whose data keys then exist."""
        gathered: dict[Shard, list[ProposedEvent]] = {}
        keyless: list[str] = []
        while events > 0:
            life = next(self._lives)
            case = Case(life.shard, CaseId(new_case_id()), life.business_unit)
            self.cases.append(case)
            keyless.append(case_key_id(case.shard, case.case_id))
            proposed = gathered.setdefault(life.shard, [])
            proposed += _copy(life, case.case_id)
            events -= len(life.events)
            if len(proposed) >= EVENTS_AN_APPEND:
                parts.keys.create(keyless)
                keyless.clear()
                yield _append(life.shard, gathered.pop(life.shard))
        parts.keys.create(keyless)
        for shard, proposed in gathered.items():
            yield _append(shard, proposed)

    def _life(self, parts: Parts, incident: Incident) -> Life:
        """Sign and seal all that was said of an incident."""
        data_key_id = case_key_id(incident.area.shard, incident.case_id)
        data_key = parts.keys.create([data_key_id])[data_key_id]
        if not isinstance(data_key, bytes):
            raise TypeError("a data key that was never destroyed is missing")
        told = [(step.agency, step.role, step.event) for step in steps(incident)] + list(_shares(incident))
        sealed = [self._sealed(incident, data_key, said, number) for number, said in enumerate(told, 1)]
        return Life(incident.area.shard, incident.area.business_unit, tuple(sealed))

    def _sealed(self, incident: Incident, data_key: bytes, said: tuple[AgencyId, str, Event], number: int) -> Sealed:
        """Sign one event as its agency and seal it as intake does."""
        agency_id, role, event = said
        key = self._keys.get(agency_id)
        if key is None:
            key = self._keys[agency_id] = self._home.signing_key(agency_id)
        sender = self._home.sender(agency_id, incident.area.shard)
        signed = sign(Draft(event=to_message(event), case_id=incident.case_id, imported=True, actor_role=role), sender, key, number)
        message = SignedEvent.FromString(signed.message)
        header_hash = sha256(message.header).digest()
        nonce, sealed = seal(data_key, header_hash, message.salt, message.body)
        logged = LoggedEvent(
            header=message.header,
            signature=message.signature,
            sealed=sealed,
            nonce=nonce,
            data_key_id=case_key_id(incident.area.shard, incident.case_id),
            registry_position=1,
            node_id=self._home.settings.node_id,
        )
        return Sealed(category_of(signed.stream), header_hash, key.key_id, event.EVENT_TYPE, logged.SerializeToString())


def _shares(incident: Incident) -> Iterator[tuple[AgencyId, str, Event]]:
    """Yield what the partners share of a case: chronology entries of the months before the incident."""
    for number in range(SHARES_A_CASE):
        told_at = incident.notified_at + timedelta(hours=3 + number)
        entries = [
            an_entry(f"R-{number}-{line}", on=incident.happened_on - timedelta(days=30 * (number + 1) + line))
            for line in range(ENTRIES_A_SHARE)
        ]
        event = InformationShared(details=Details(done_at=told_at), entries=tuple(entries), family_told=FamilyTold(told=True))
        yield incident.area.partners[number % len(incident.area.partners)], "records-officer", event


def an_entry(reference: str, *, on: date) -> Entry:
    """Return one synthetic chronology entry."""
    return Entry(
        entry_id=RequestId(new_case_id()),
        occurred=When(precision=Precision.DAY, on=on),
        record_reference=reference,
        fact=_FACT,
        significance=Significance.SIGNIFICANT,
    )


def _copy(life: Life, case_id: CaseId) -> list[ProposedEvent]:
    """Return the events of a case that tells this life under another id."""
    versions: Counter[str] = Counter()
    proposed = []
    for one in life.events:
        versions[one.category] += 1
        stream = f"{one.category}-{case_id}"
        proposed.append(ProposedEvent(stream, versions[one.category], new_event_id(), one.header_hash, one.key_id, one.type, one.state))
    return proposed


def _append(shard: Shard, proposed: list[ProposedEvent]) -> Append:
    """Return an append of events whose streams all begin in it."""
    expectations = tuple(Expectation(stream, 0) for stream in {event.stream: None for event in proposed})
    return Append(rising_id(), shard, NODE_ID, expectations, tuple(proposed))


def _placed(future: Future[Result]) -> int:
    result = future.result()
    if not isinstance(result, Accepted):
        raise TypeError(f"the store refused an append of the bench: {result}")
    return len(result.placed)
