"""The one path an event takes from the wire to the log: examine, admit, seal, append, receipt.

All of it runs on the event loop's thread, so that admitting and queueing an append is one step that nothing interleaves:
the order in which events of a stream are admitted is the order in which they are proposed.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from domain.agency.events import KeyRevoked
from domain.areas import decider_for
from domain.kernel.decider import Context, mended
from domain.kernel.events import Recorded
from domain.kernel.ids import NATIONAL, AgencyId, RuleId, category_of, identity_of, stream
from domain.kernel.rules import Refused
from domain.kernel.times import check_times
from safeguarding.hub.v1.append_pb2 import Outcome, Receipt
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.opening import Opener
from services.eventstore.port import (
    Accepted,
    Append,
    Conflict,
    EventStore,
    Expectation,
    Malformed,
    Mismatch,
    PartialDuplicate,
    Placed,
    ProposedEvent,
    Result,
    Revoked,
)
from services.intake.candidate import Candidate, examine
from services.intake.receipts import accepted, moment, receipt, receipt_of, refused, refused_with_others
from services.intake.registry import RegistryFollower
from services.intake.streams import Proposal, Streams, StreamState
from services.runtime.errors import (
    ContentMismatch,
    HubError,
    Invalid,
    NotFound,
    NotPermitted,
    SignatureInvalid,
    Unavailable,
    Violation,
    WrongExpectedVersion,
)
from services.runtime.limits import APPEND_DEADLINE_SECONDS, READMIT_MAX_ATTEMPTS
from services.runtime.metrics import Metrics
from services.trust.keystore import KeyStore
from services.trust.sealing import seal
from services.trust.verify import require_active

_YIELD_EVERY_EVENTS: Final = 16
"""Signature checks take about 0.2 ms each: other callers get their turn in between."""


@dataclass(slots=True)
class Admission:
    """One event that was admitted: what is proposed, and what to answer once it is decided."""

    candidate: Candidate
    state: StreamState
    proposal: Proposal
    proposed: ProposedEvent
    findings: list[str]
    mended: list[str]


@dataclass(slots=True)
class Flight:
    """An append under way, with the admissions it carries."""

    admissions: list[Admission]
    future: Future[Result]


class Intake:
    """Admits signed events. Every outcome it returns is a decision of the fold, or a refusal judged on decided state."""

    def __init__(
        self,
        *,
        store: EventStore,
        registry: RegistryFollower,
        keys: KeyStore,
        opener: Opener,
        metrics: Metrics,
        clock: Callable[[], datetime],
        log_origin: str,
        node_id: str,
    ) -> None:
        """Everything it needs is handed in; ``clock`` returns aware UTC instants."""
        self._store = store
        self._registry = registry
        self._keys = keys
        self._opener = opener
        self._metrics = metrics
        self._clock = clock
        self._log_origin = log_origin
        self._node_id = node_id
        self._streams = Streams(self._load)

    async def append(self, caller: AgencyId, events: Sequence[SignedEvent], *, atomic: bool = False) -> list[Outcome]:
        """Return one outcome for each event, in order. With ``atomic`` all are accepted, or none."""
        self._registry.catch_up()
        outcomes, candidates = await self._examine_all(caller, events)
        if atomic:
            outcomes.update(await self._append_atomic(candidates, outcomes))
        else:
            outcomes.update(await self._append_each(candidates))
        for outcome in outcomes.values():
            if outcome.HasField("refusal"):
                self._metrics.outcome(outcome)
        return [outcomes[index] for index in range(len(events))]

    def receipt(self, caller: AgencyId, shard: str, event_id: bytes) -> Receipt:
        """Return the receipt of an event that the caller appended; raise ``NotFound`` for any other."""
        if shard not in self._store.shards():
            raise NotFound("no such event")
        store = self._store.shard(shard)
        stored = store.find(event_id)
        if stored is None or EventHeader.FromString(LoggedEvent.FromString(stored.state).header).agency_id != caller:
            raise NotFound("no such event")
        return receipt_of(store, stored)

    # ── examine ──

    async def _examine_all(self, caller: AgencyId, events: Sequence[SignedEvent]) -> tuple[dict[int, Outcome], dict[int, Candidate]]:
        outcomes: dict[int, Outcome] = {}
        candidates: dict[int, Candidate] = {}
        for index, signed in enumerate(events):
            try:
                candidates[index] = examine(signed, caller, self._registry.state, self._log_origin)
            except HubError as error:
                outcomes[index] = refused(_event_id(signed), error)
                if isinstance(error, SignatureInvalid):
                    self._metrics.verify_failed(error.rule)
            if index % _YIELD_EVERY_EVENTS == _YIELD_EVERY_EVENTS - 1:
                await asyncio.sleep(0)
        await self._make_data_keys(candidates.values())
        return outcomes, candidates

    async def _make_data_keys(self, candidates: Iterable[Candidate]) -> None:
        """Keys of cases that begin here are durable before their first event is sealed; any other key must exist."""
        new = {candidate.data_key_id for candidate in candidates if self._begins(candidate)}
        if new:
            await asyncio.to_thread(self._keys.create, sorted(new))

    def _begins(self, candidate: Candidate) -> bool:
        """Tell whether nothing refers to the candidate's data key yet."""
        if candidate.shard not in self._store.shards():
            return candidate.begins_shard
        if self._streams.get(candidate.shard, candidate.stream).predicted_version:
            return False
        if not candidate.data_key_id.startswith("case-"):
            return True
        incident = stream("incident", identity_of(candidate.stream))
        return self._streams.get(candidate.shard, incident).predicted_version == 0

    # ── admit ──

    async def _append_each(self, candidates: dict[int, Candidate]) -> dict[int, Outcome]:
        """Admit and queue every event first, then collect the decisions: one request's events share the store's commits."""
        begun: dict[int, Flight | Outcome] = {index: await self._begin([candidate]) for index, candidate in candidates.items()}
        if begun:
            await self._wait([flight.future for flight in begun.values() if isinstance(flight, Flight)])
        outcomes = {}
        for index, flight in begun.items():
            outcomes[index] = flight if isinstance(flight, Outcome) else (await self._finish(flight))[0]
        return outcomes

    async def _append_atomic(self, candidates: dict[int, Candidate], known: dict[int, Outcome]) -> dict[int, Outcome]:
        """All events in one append; what was on the log before keeps its receipt."""
        if len({candidate.shard for candidate in candidates.values()}) > 1:
            error = Invalid(Violation("events", "an atomic request's events lie in one shard"), rule="wire.atomic_shard")
            return {index: refused(candidate.event_id, error) for index, candidate in candidates.items()}
        outcomes: dict[int, Outcome] = {}
        for index, candidate in candidates.items():
            before = self._replayed(candidate)
            if before is not None:
                outcomes[index] = before
        rest = [index for index in candidates if index not in outcomes]
        if known or any(outcome.HasField("refusal") for outcome in outcomes.values()):
            return outcomes | {index: refused_with_others(candidates[index].event_id) for index in rest}
        if not rest:
            return outcomes
        begun = await self._begin([candidates[index] for index in rest])
        if isinstance(begun, Outcome):
            failed = begun.refusal.event_id
            decided = [begun if candidates[index].event_id == failed else refused_with_others(candidates[index].event_id) for index in rest]
        else:
            await self._wait([begun.future])
            decided = await self._finish(begun)
        return outcomes | dict(zip(rest, decided, strict=True))

    async def _begin(self, group: list[Candidate]) -> Flight | Outcome:
        """Admit a group and queue its append, or return the refusal of the one that was refused, judged on decided state."""
        for _attempt in range(READMIT_MAX_ATTEMPTS):
            try:
                return self._admit(group)
            except _Unadmitted as stop:
                under_way = [future for state in stop.looked_at for future in state.under_way()]
                if not under_way and not self._is_behind(stop.looked_at):
                    return self._replayed(stop.candidate) or refused(stop.candidate.event_id, stop.error)
                await self._wait(under_way)
                for state in stop.looked_at:
                    if not state.proposals:
                        self._streams.forget(state)
        return refused(group[0].event_id, Unavailable("the streams concerned are busy"))

    def _is_behind(self, states: Sequence[StreamState]) -> bool:
        """Tell whether the store has decided more of these streams than was judged on."""
        known = self._store.shards()
        behind = [s for s in states if s.shard in known and self._store.shard(s.shard).stream_version(s.name) != s.version]
        for state in behind:
            self._streams.forget(state)
        return bool(behind)

    def _replayed(self, candidate: Candidate) -> Outcome | None:
        """Return the original receipt of an event that is on the log, or the refusal of another event under its id."""
        if candidate.shard not in self._store.shards():
            return None
        shard = self._store.shard(candidate.shard)
        stored = shard.find(candidate.event_id)
        if stored is None:
            return None
        if stored.header_hash != candidate.verified.header_hash:
            self._metrics.replay_mismatch()
            return refused(candidate.event_id, ContentMismatch("this event id is on the log with other bytes"))
        self._metrics.appended("replayed")
        return accepted(receipt_of(shard, stored))

    def _admit(self, group: list[Candidate]) -> Flight:
        """Judge a group against predicted state and queue one append; nothing is left behind if one of them is refused."""
        self._check_shard(group[0])
        looked_at: dict[str, tuple[StreamState, Expectation]] = {}
        admissions: list[Admission] = []
        for candidate in group:
            try:
                require_active(candidate.verified, self._registry.state)
                admissions.append(self._admit_one(candidate, looked_at))
            except (HubError, Refused) as error:
                for admission in reversed(admissions):
                    admission.state.withdraw(admission.proposal)
                raise _Unadmitted(candidate, error, [state for state, _ in looked_at.values()]) from error
        shard = self._store.create_shard(group[0].shard) if group[0].begins_shard else self._store.shard(group[0].shard)
        append = Append(
            append_id=secrets.token_bytes(16),
            shard=shard.name,
            node_id=self._node_id,
            expectations=tuple(expectation for _, expectation in looked_at.values()),
            events=tuple(admission.proposed for admission in admissions),
        )
        future = shard.append(append)
        for admission in admissions:
            admission.proposal.future = future
        return Flight(admissions, future)

    def _check_shard(self, candidate: Candidate) -> None:
        """Only the event that establishes a partnership may name a shard that does not exist."""
        if candidate.shard not in self._store.shards() and not candidate.begins_shard:
            raise _Unadmitted(candidate, NotPermitted("wire.shard_unknown", "there is no such shard"), [])

    def _admit_one(self, candidate: Candidate, looked_at: dict[str, tuple[StreamState, Expectation]]) -> Admission:
        """Judge one event, predict its acceptance and seal it."""
        shard, event = candidate.shard, candidate.event
        state = self._look(shard, candidate.stream, looked_at)
        others = {name: self._look(shard, name, looked_at).predicted for name in state.decider.reads(event, candidate.stream, shard)}
        expected = candidate.expected_version
        if expected is not None and expected != state.predicted_version:
            raise WrongExpectedVersion(candidate.stream, expected, state.predicted_version)
        header = candidate.verified.header
        agency = self._registry.state.agency(AgencyId(header.agency_id))
        now = self._clock()
        context = Context(
            agency_id=AgencyId(header.agency_id),
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
        findings: list[str] = [finding.rule.id for finding in state.decider.admit(state.predicted, event, context)]
        recorded = candidate.recorded(version=state.predicted_version + 1, position=0, recorded_at=now, findings=findings)
        after = state.decider.evolve(state.predicted, recorded)
        closed: list[str] = [rule.id for rule in mended(state.decider, state.predicted, after)]
        proposed = self._seal(candidate, recorded.version, findings, closed)
        if closed:
            recorded = replace(recorded, mended=tuple(map(RuleId, closed)))
        return Admission(candidate, state, state.propose(recorded, after), proposed, findings, closed)

    def _look(self, shard: str, name: str, looked_at: dict[str, tuple[StreamState, Expectation]]) -> StreamState:
        """Return a stream's state and remember how it stood when it was first looked at: the append expects it so."""
        state = self._streams.get(shard, name)
        looked_at.setdefault(name, (state, state.expectation()))
        return state

    def _seal(self, candidate: Candidate, version: int, findings: list[str], closed: list[str]) -> ProposedEvent:
        verified = candidate.verified
        data_key = self._keys.get(candidate.data_key_id)
        if not isinstance(data_key, bytes):
            raise NotPermitted("case.erased", "the case's personal data were destroyed; nothing more can be added to it")
        nonce, sealed = seal(data_key, verified.header_hash, verified.salt, verified.body)
        logged = LoggedEvent(
            header=verified.header_bytes,
            signature=verified.signature,
            sealed=sealed,
            nonce=nonce,
            data_key_id=candidate.data_key_id,
            registry_position=self._registry.state.position,
            node_id=self._node_id,
            findings=findings,
            mended=closed,
        )
        return ProposedEvent(
            stream=candidate.stream,
            version=version,
            event_id=candidate.event_id,
            header_hash=verified.header_hash,
            key_id=verified.key_id,
            type=verified.header.event_type,
            state=logged.SerializeToString(),
        )

    # ── decide ──

    async def _finish(self, flight: Flight) -> list[Outcome]:
        """Turn the fold's decision into outcomes; a conflict is judged anew while the caller waits."""
        for _attempt in range(READMIT_MAX_ATTEMPTS):
            group = [admission.candidate for admission in flight.admissions]
            try:
                result = flight.future.result(timeout=0)
            except (HubError, TimeoutError) as error:
                self._forget(flight)
                unknown = error if isinstance(error, HubError) else Unavailable("not decided in time; send the same event again")
                return [refused(candidate.event_id, unknown) for candidate in group]
            if isinstance(result, Accepted) and not result.duplicate:
                return [self._confirm(admission, placed) for admission, placed in zip(flight.admissions, result.placed, strict=True)]
            self._forget(flight)
            again = await self._after_void(group, result)
            if not isinstance(again, Flight):
                return again
            flight = again
            await self._wait([flight.future])
        return [refused(admission.candidate.event_id, Unavailable("the stream is contended")) for admission in flight.admissions]

    async def _after_void(self, group: list[Candidate], result: Result) -> Flight | list[Outcome]:
        match result:
            case Revoked():
                error: HubError = SignatureInvalid("wire.key_revoked", "the key is revoked")
            case Malformed(reason=reason):
                error = Invalid(Violation("request", reason), rule="wire.record")
            case Accepted() | Mismatch() | PartialDuplicate() | Conflict():
                done = [self._replayed(candidate) for candidate in group]
                rest = [candidate for candidate, outcome in zip(group, done, strict=True) if outcome is None]
                if not rest:
                    return [outcome for outcome in done if outcome is not None]
                if len(rest) < len(group):
                    outcomes = await self._append_group(rest)
                    return [outcome or outcomes[candidate.event_id] for candidate, outcome in zip(group, done, strict=True)]
                begun = await self._begin(group)
                if isinstance(begun, Flight):
                    return begun
                return [begun if c.event_id == begun.refusal.event_id else refused_with_others(c.event_id) for c in group]
        return [refused(candidate.event_id, error) for candidate in group]

    async def _append_group(self, rest: list[Candidate]) -> dict[bytes, Outcome]:
        """Propose anew what a partial duplicate left over."""
        begun = await self._begin(rest)
        if isinstance(begun, Outcome):
            return {c.event_id: begun if c.event_id == begun.refusal.event_id else refused_with_others(c.event_id) for c in rest}
        await self._wait([begun.future])
        return dict(zip([candidate.event_id for candidate in rest], await self._finish(begun), strict=True))

    def _confirm(self, admission: Admission, placed: Placed) -> Outcome:
        """Take an accepted event into decided state and write its receipt."""
        recorded_at = moment(placed.recorded_at_ms)
        recorded: Recorded = admission.candidate.recorded(
            version=placed.version,
            position=placed.position,
            recorded_at=recorded_at,
            findings=admission.findings,
            mended=admission.mended,
        )
        admission.state.confirm(admission.proposal, recorded)
        if admission.candidate.shard == NATIONAL:
            self._registry.catch_up()
            if isinstance(admission.candidate.event, KeyRevoked):
                self._registry.spread_revocations()
        if admission.candidate.begins_shard:
            self._registry.spread_revocations()
        self._metrics.appended("accepted")
        return accepted(receipt(admission.candidate.shard, placed, admission.findings, admission.mended))

    def _forget(self, flight: Flight) -> None:
        for admission in flight.admissions:
            self._streams.forget(admission.state)

    async def _wait(self, futures: Sequence[Future[Result]]) -> None:
        """Wait for decisions, bounded. The sequencer decides in order, so waiting for the last usually waits for all."""
        waiting = [future for future in reversed(futures) if not future.done()]
        try:
            async with asyncio.timeout(APPEND_DEADLINE_SECONDS):
                for future in waiting:
                    if not future.done():
                        waiter = asyncio.wrap_future(future)
                        waiter.add_done_callback(_heard)
                        await asyncio.wait([waiter])
        except TimeoutError:
            return

    def _load(self, shard: str, name: str) -> StreamState:
        decider = decider_for(category_of(name))
        if shard not in self._store.shards():
            return StreamState(shard, name, decider, decider.initial, 0, predicted=decider.initial)
        history = [self._opener.open(shard, stored) for stored in self._store.shard(shard).read_stream(name)]
        decided = decider.fold(history)
        return StreamState(shard, name, decider, decided, len(history), predicted=decided)


class _Unadmitted(Exception):
    """A candidate was not admitted against predicted state."""

    def __init__(self, candidate: Candidate, error: HubError | Refused, looked_at: list[StreamState]) -> None:
        self.candidate = candidate
        self.error = error
        self.looked_at = looked_at
        super().__init__(str(error))


def _heard(waiter: asyncio.Future[Result]) -> None:
    """Take note of a failure; what it means is read from the append's own future."""
    if not waiter.cancelled():
        waiter.exception()


def _event_id(signed: SignedEvent) -> bytes:
    """Return the id of an event that was refused before its header was accepted, or nothing if it cannot be read."""
    try:
        return EventHeader.FromString(signed.header).event_id
    except Exception:  # noqa: BLE001  # protobuf raises its own DecodeError or ValueError, by backend
        return b""
