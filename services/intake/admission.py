"""Judging events on predicted state, and putting those that are admitted together into one append."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from domain.kernel.decider import Context, mended
from domain.kernel.events import Recorded
from domain.kernel.ids import AgencyId, EventId
from domain.kernel.rules import Refused
from domain.kernel.times import check_times
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.opening import Opener
from services.eventstore.port import Append, EventStore, Expectation, ProposedEvent, Result
from services.intake.candidate import Candidate
from services.intake.registry import RegistryFollower
from services.intake.streams import Proposal, Streams, StreamState
from services.runtime.errors import HubError, NotPermitted, WrongExpectedVersion
from services.runtime.randomness import rising_id
from services.trust.keystore import KeyStore
from services.trust.sealing import seal
from services.trust.verify import require_active

GROUP_MAX_EVENTS: Final = 64
"""Events that share an append cost the log a third of what they cost alone; if the append is void each is proposed anew by itself."""
GROUP_MAX_BYTES: Final = 512 * 1024


@dataclass(slots=True)
class Admission:
    """One event that was admitted, and what to answer once it is decided."""

    candidate: Candidate
    state: StreamState
    proposal: Proposal
    data_key: bytes = field(repr=False)
    """What it is sealed with."""


@dataclass(slots=True)
class Group:
    """Admitted events of one shard that will share an append. It is proposed or withdrawn before anything else is awaited."""

    admissions: list[Admission] = field(default_factory=list)
    expectations: dict[str, Expectation] = field(default_factory=dict)
    """How each stream stood when it was first looked at."""
    event_ids: set[EventId] = field(default_factory=set)
    size_bytes: int = 0

    def has_room_for(self, candidate: Candidate) -> bool:
        """Tell whether an event may share the append: of the same shard, not in it already, and neither too many nor too large."""
        if not self.admissions:
            return True
        first = self.admissions[0].candidate
        return (
            candidate.shard == first.shard
            and not first.begins_shard
            and not candidate.begins_shard
            and len(self.admissions) < GROUP_MAX_EVENTS
            and self.size_bytes + candidate.size_bytes <= GROUP_MAX_BYTES
            and candidate.event_id not in self.event_ids
        )

    def expect(self, looked_at: list[StreamState]) -> None:
        """Expect streams as they stand now, unless they were looked at before."""
        for state in looked_at:
            if state.name not in self.expectations:
                self.expectations[state.name] = state.expectation()

    def add(self, admission: Admission) -> None:
        """Take an event in."""
        self.admissions.append(admission)
        self.event_ids.add(admission.candidate.event_id)
        self.size_bytes += admission.candidate.size_bytes

    def withdraw(self) -> None:
        """Take back what was predicted of these events; nothing of them was proposed."""
        for admission in reversed(self.admissions):
            admission.state.withdraw(admission.proposal)


@dataclass(slots=True)
class Flight:
    """An append under way, with the admissions it carries."""

    admissions: list[Admission]
    future: Future[Result]

    @property
    def candidates(self) -> list[Candidate]:
        """The events under way."""
        return [admission.candidate for admission in self.admissions]


class Unadmitted(Exception):
    """A candidate was not admitted against predicted state."""

    def __init__(self, candidate: Candidate, error: HubError | Refused, looked_at: list[StreamState]) -> None:
        """Keep what was refused, why, and the streams that this was judged on."""
        self.candidate = candidate
        self.error = error
        self.looked_at = looked_at
        super().__init__(str(error))


class Admitter:
    """Judges events in order. All of it runs on one thread, so that nothing comes between judging and proposing."""

    def __init__(
        self,
        *,
        store: EventStore,
        streams: Streams,
        registry: RegistryFollower,
        keys: KeyStore,
        opener: Opener,
        clock: Callable[[], datetime],
        node_id: str,
    ) -> None:
        """``clock`` returns aware UTC instants; ``opener`` is told what to expect."""
        self._store = store
        self._streams = streams
        self._registry = registry
        self._keys = keys
        self._opener = opener
        self._clock = clock
        self._node_id = node_id

    def admit(self, candidate: Candidate, group: Group) -> None:
        """Judge an event, predict its acceptance and add it to the group; raise ``Unadmitted`` with nothing left of it."""
        looked_at: list[StreamState] = []
        try:
            self._check_shard(candidate)
            require_active(candidate.verified, self._registry.state)
            recorded, after = self._judge(candidate, looked_at)
            data_key = self._data_key(candidate)
        except (HubError, Refused) as error:
            raise Unadmitted(candidate, error, looked_at) from error
        group.expect(looked_at)
        state = looked_at[0]
        group.add(Admission(candidate, state, state.propose(recorded, after), data_key))

    def propose(self, group: Group) -> Flight:
        """Seal the group and put its append in line; raise ``Unavailable``, with nothing left of it, if its shard is not followed here.

        Sealing in turns with judging would take both a tenth longer: neither finds the processor's caches as it left them.
        """
        try:
            shard = self._store.shard(group.admissions[0].candidate.shard)
            events = tuple([self._seal(admission) for admission in group.admissions])
        except Exception:
            group.withdraw()
            raise
        append = Append(
            append_id=rising_id(),
            shard=shard.name,
            node_id=self._node_id,
            expectations=tuple(group.expectations.values()),
            events=events,
        )
        future = shard.append(append)
        for at, (admission, proposed) in enumerate(zip(group.admissions, events, strict=True)):
            admission.proposal.future, admission.proposal.at = future, at
            self._opener.expect(proposed, admission.candidate.data_key_id, admission.proposal.recorded)
        return Flight(group.admissions, future)

    def _check_shard(self, candidate: Candidate) -> None:
        """Only the event that establishes a partnership may name a shard that does not exist, and nothing one that lies elsewhere."""
        self._store.demand_followed(candidate.shard)
        if candidate.shard not in self._store.shards() and not candidate.begins_shard:
            raise NotPermitted("wire.shard_unknown", "there is no such shard")

    def _judge(self, candidate: Candidate, looked_at: list[StreamState]) -> tuple[Recorded, Any]:
        """Judge an event: return it as it would be recorded, and the state it leads to.

        ``looked_at`` is filled with the streams that it is judged on, its own first.
        """
        shard, event = candidate.shard, candidate.event
        state = self._look(shard, candidate.stream, looked_at)
        others = {name: self._look(shard, name, looked_at).predicted for name in state.decider.reads(event, candidate.stream, shard)}
        expected = candidate.expected_version
        if expected is not None and expected != state.predicted_version:
            raise WrongExpectedVersion(candidate.stream, expected, state.predicted_version)
        header = candidate.verified.header
        agency_id = AgencyId(header.agency_id)
        agency = self._registry.state.agency(agency_id)
        now = self._clock()
        context = Context(
            agency_id=agency_id,
            event_id=candidate.event_id,
            shard=shard,
            stream=candidate.stream,
            now=now,
            imported=header.imported,
            live_from=None if agency is None else agency.live_from,
            actor_role=header.actor_role,
            others=others,
        )
        check_times(event, context)
        findings = tuple([finding.rule.id for finding in state.decider.admit(state.predicted, event, context)])
        recorded = candidate.recorded(version=state.predicted_version + 1, recorded_at=now, findings=findings)
        after = state.decider.evolve(state.predicted, recorded)
        closed = mended(state.decider, state.predicted, after)
        if closed:
            recorded = replace(recorded, mended=tuple([rule.id for rule in closed]))
        return recorded, after

    def _look(self, shard: str, name: str, looked_at: list[StreamState]) -> StreamState:
        state = self._streams.get(shard, name)
        looked_at.append(state)
        return state

    def _data_key(self, candidate: Candidate) -> bytes:
        data_key = self._keys.get(candidate.data_key_id)
        if not isinstance(data_key, bytes):
            raise NotPermitted("case.erased", "the case's personal data were destroyed; nothing more can be added to it")
        return data_key

    def _seal(self, admission: Admission) -> ProposedEvent:
        candidate, recorded = admission.candidate, admission.proposal.recorded
        verified = candidate.verified
        nonce, sealed = seal(admission.data_key, verified.header_hash, verified.salt, verified.body)
        logged = LoggedEvent(
            header=verified.header_bytes,
            signature=verified.signature,
            sealed=sealed,
            nonce=nonce,
            data_key_id=candidate.data_key_id,
            registry_position=self._registry.state.position,
            node_id=self._node_id,
            findings=recorded.findings,
            mended=recorded.mended,
        )
        return ProposedEvent(
            stream=candidate.stream,
            version=recorded.version,
            event_id=candidate.event_id,
            header_hash=verified.header_hash,
            key_id=verified.key_id,
            type=recorded.event_type,
            state=logged.SerializeToString(),
        )
