"""The one path an event takes from the wire to the log: examine, admit, seal, append, receipt.

All of it runs on the event loop's thread, so that admitting and queueing an append is one step that nothing interleaves:
the order in which events of a stream are admitted is the order in which they are proposed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import Final

from domain.agency.events import KeyRevoked
from domain.areas import decider_for
from domain.kernel.ids import NATIONAL, AgencyId, category_of
from safeguarding.hub.v1.append_pb2 import Outcome, Receipt
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.opening import Opener
from services.eventstore.port import Accepted, EventStore, Malformed, Mismatch, PartialDuplicate, Placed, Result, Revoked, Stored
from services.intake.admission import Admission, Admitter, Flight, Group, Unadmitted
from services.intake.ahead import Examiners
from services.intake.candidate import Candidate, examine
from services.intake.log_ends import LogEnds
from services.intake.receipts import accepted, receipt_of, refused, refused_with_others, replayed
from services.intake.registry import RegistryFollower
from services.intake.revocations import Revocations
from services.intake.streams import Streams, StreamState
from services.runtime.errors import ContentMismatch, HubError, Invalid, NotFound, SignatureInvalid, Unavailable, Violation
from services.runtime.limits import APPEND_DEADLINE_SECONDS, READMIT_MAX_ATTEMPTS
from services.runtime.metrics import Metrics
from services.trust.keystore import KeyStore

_YIELD_EVERY_EVENTS: Final = 16
"""Examining an event takes 0.1 to 0.3 ms: other callers get their turn in between."""


class Intake:
    """Admits signed events. Every outcome it returns is a decision of the fold, or a refusal judged on decided state."""

    def __init__(
        self,
        *,
        store: EventStore,
        registry: RegistryFollower,
        keys: KeyStore,
        opener: Opener,
        examiners: Examiners,
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
        self._examiners = examiners
        self._metrics = metrics
        self._log_origin = log_origin
        self._log_ends = LogEnds(store)
        self._revocations = Revocations(registry)
        self._streams = Streams(self._load)
        self._admitter = Admitter(
            store=store, streams=self._streams, registry=registry, keys=keys, opener=opener, clock=clock, node_id=node_id
        )

    async def append(self, caller: AgencyId, events: Sequence[SignedEvent], *, atomic: bool = False) -> list[Outcome]:
        """Return one outcome for each event, in order. With ``atomic`` all are accepted, or none."""
        self._registry.catch_up()
        outcomes, candidates = await self._examine_all(caller, events)
        if atomic:
            outcomes.update(await self._append_atomic(candidates, outcomes))
        else:
            outcomes.update(await self._append_each(candidates))
        # Whoever it was that had it accepted: a caller may have gone, and this one sends the same again.
        if any(candidate.begins_shard or isinstance(candidate.event, KeyRevoked) for candidate in candidates.values()):
            await self._revocations.spread()
        for outcome in outcomes.values():
            if outcome.HasField("refusal"):
                self._metrics.outcome(outcome)
        return [outcomes[index] for index in range(len(events))]

    def start(self) -> None:
        """Carry on with what an earlier run did not come to the end of."""
        self._revocations.begin()

    async def close(self) -> None:
        """Give up what nobody waits for. Idempotent."""
        await self._revocations.close()

    async def receipt(self, caller: AgencyId, shard: str, event_id: bytes) -> Receipt:
        """Return the receipt of an event that the caller appended; raise ``NotFound`` for any other."""
        stored = self._find(shard, event_id)
        if stored is None and self._store.shares_log:
            await self._come_to_the_end(shard)
            stored = self._find(shard, event_id)
        if stored is None or EventHeader.FromString(LoggedEvent.FromString(stored.state).header).agency_id != caller:
            raise NotFound("no such event")
        return receipt_of(self._store.shard(shard), stored)

    def _find(self, shard: str, event_id: bytes) -> Stored | None:
        """Return an event that this node has on the log."""
        return self._store.shard(shard).find(event_id) if shard in self._store.shards() else None

    # ── examine ──

    async def _examine_all(self, caller: AgencyId, events: Sequence[SignedEvent]) -> tuple[dict[int, Outcome], dict[int, Candidate]]:
        outcomes: dict[int, Outcome] = {}
        candidates: dict[int, Candidate] = {}
        wrong: dict[int, HubError] = {}
        proven = await self._examiners.examine(events, self._registry.state)
        for index, (signed, key) in enumerate(zip(events, proven, strict=True)):
            try:
                candidates[index] = examine(signed, caller, self._registry.state, self._log_origin, proven=key)
            except HubError as error:
                wrong[index] = error
            if index % _YIELD_EVERY_EVENTS == _YIELD_EVERY_EVENTS - 1:
                await asyncio.sleep(0)
        if wrong and self._store.shares_log:
            candidates = dict(sorted((candidates | await self._examine_anew(caller, events, wrong)).items()))
        for index, why in wrong.items():
            outcomes[index] = refused(_event_id(events[index]), why)
            if isinstance(why, SignatureInvalid):
                self._metrics.verify_failed(why.rule)
        await self._make_data_keys(candidates.values())
        return outcomes, candidates

    async def _examine_anew(self, caller: AgencyId, events: Sequence[SignedEvent], wrong: dict[int, HubError]) -> dict[int, Candidate]:
        """Take from ``wrong`` and return what is found sound by what other nodes wrote to the national shard meanwhile."""
        found: dict[int, Candidate] = {}
        try:
            await self._come_to_the_end(NATIONAL)
        except HubError as error:
            wrong.update(dict.fromkeys(wrong, error))
            return found
        for index in list(wrong):
            try:
                found[index] = examine(events[index], caller, self._registry.state, self._log_origin)
                del wrong[index]
            except HubError as error:
                wrong[index] = error
        return found

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
        incident = candidate.incident
        return incident is None or self._streams.get(candidate.shard, incident).predicted_version == 0

    # ── admit ──

    async def _append_each(self, candidates: dict[int, Candidate]) -> dict[int, Outcome]:
        """Admit and queue every event first, many to an append, then collect the decisions."""
        outcomes: dict[int, Outcome] = {}
        flights: list[tuple[list[int], Flight]] = []
        group, members = Group(), list[int]()

        def propose() -> None:
            """Send off what was admitted so far."""
            nonlocal group, members
            if members:
                flights.append((members, self._admitter.propose(group)))
                group, members = Group(), []

        for index, candidate in candidates.items():
            if not group.has_room_for(candidate):
                propose()
                await asyncio.sleep(0)
            if self._joins(candidate, group):
                members.append(index)
                continue
            propose()
            begun = await self._begin([candidate])
            if isinstance(begun, Flight):
                flights.append(([index], begun))
            else:
                outcomes[index] = begun
        propose()
        await self._wait([flight.future for _, flight in flights])
        for indexes, flight in flights:
            outcomes.update(zip(indexes, await self._finish_each(flight), strict=True))
        return outcomes

    async def _append_atomic(self, candidates: dict[int, Candidate], known: dict[int, Outcome]) -> dict[int, Outcome]:
        """All events in one append, one that is there twice but once; what was on the log before keeps its receipt."""
        if len({candidate.shard for candidate in candidates.values()}) > 1:
            error = Invalid(Violation("events", "an atomic request's events lie in one shard"), rule="wire.atomic_shard")
            return {index: refused(candidate.event_id, error) for index, candidate in candidates.items()}
        group = {candidate.verified.header_hash: candidate for candidate in candidates.values()}
        outcomes = dict(zip(group, await self._append_rest(list(group.values()), stopped=bool(known)), strict=True))
        return {index: outcomes[candidate.verified.header_hash] for index, candidate in candidates.items()}

    async def _append_rest(self, group: Sequence[Candidate], *, stopped: bool = False) -> list[Outcome]:
        """Answer for those that are on the log, and give the others one append, unless something stops it: then all of them are refused."""
        known = [self._replayed(candidate) for candidate in group]
        rest = [candidate for candidate, before in zip(group, known, strict=True) if before is None]
        if stopped or any(before is not None and before.HasField("refusal") for before in known):
            others = iter([refused_with_others(candidate.event_id) for candidate in rest])
        else:
            others = iter(await self._append_together(rest) if rest else [])
        return [next(others) if before is None else before for before in known]

    async def _append_together(self, group: Sequence[Candidate]) -> list[Outcome]:
        """Give a group one append; if one of it is refused, the others are with it."""
        begun = await self._begin(group)
        if not isinstance(begun, Flight):
            return await self._spread(begun, group)
        await self._wait([begun.future])
        return await self._finish_together(begun)

    async def _append_singly(self, candidates: Sequence[Candidate]) -> list[Outcome]:
        """Give every event an append of its own, in order: one that cannot be accepted holds up no other."""
        begun = [self._replayed(candidate) or await self._begin([candidate]) for candidate in candidates]
        await self._wait([flight.future for flight in begun if isinstance(flight, Flight)])
        return [(await self._finish_together(flight))[0] if isinstance(flight, Flight) else flight for flight in begun]

    def _joins(self, candidate: Candidate, group: Group) -> bool:
        """Admit a candidate to a group; tell whether that was possible."""
        if self._must_begin(candidate):
            return False
        try:
            self._admitter.admit(candidate, group)
        except Unadmitted:
            return False
        return True

    def _must_begin(self, candidate: Candidate) -> bool:
        """Tell whether a candidate's shard begins with it."""
        return candidate.begins_shard and candidate.shard not in self._store.shards()

    async def _begin(self, group: Sequence[Candidate]) -> Flight | Outcome:
        """Propose a group's append, or return the outcome of the one that was not admitted.

        That is judged on decided state, as far as the log went when the event was judged first.
        """
        is_at_the_end = not self._store.shares_log
        for _attempt in range(READMIT_MAX_ATTEMPTS):
            try:
                begun = await self._try(group)
                if isinstance(begun, Flight):
                    return begun
                if begun is not None and is_at_the_end:
                    return self._replayed(begun.candidate) or refused(begun.candidate.event_id, begun.error)
                if begun is not None:
                    await self._come_to_the_end(begun.candidate.shard)
                    is_at_the_end = True
            except HubError as error:
                return refused(group[0].event_id, error)
        return refused(group[0].event_id, Unavailable("the streams concerned are busy"))

    async def _try(self, group: Sequence[Candidate]) -> Flight | Unadmitted | None:
        """Propose a group's append, or return why it is not admitted as far as this node knows; None where that may change at once."""
        admitted = Group()
        try:
            for candidate in group:
                self._admitter.admit(candidate, admitted)
        except Unadmitted as stop:
            admitted.withdraw()
            is_predicted = any(state.proposals for state in stop.looked_at)
            is_settled = not is_predicted and not self._is_behind(stop.looked_at)
            await self._wait([future for state in stop.looked_at for future in state.under_way()])
            for state in stop.looked_at:
                if not state.proposals:
                    self._streams.forget(state)
            return stop if is_settled else None
        if self._must_begin(group[0]):
            admitted.withdraw()  # It is judged anew in the shard that begins meanwhile, in another thread: that takes a while.
            await asyncio.to_thread(self._store.create_shard, group[0].shard)
            return None
        return self._admitter.propose(admitted)

    async def _come_to_the_end(self, shard: str) -> None:
        """Know what the log holds now of a shard and of the registry; raise ``Unavailable`` if that takes longer than an append may."""
        await self._log_ends.reach(shard)
        self._registry.catch_up()

    async def _spread(self, outcome: Outcome, group: Sequence[Candidate]) -> list[Outcome]:
        """Return what the outcome of the one that was not admitted means for its group."""
        if len(group) == 1:
            return [outcome]
        if outcome.HasField("receipt"):  # It came to the log by another way meanwhile: the rest goes without it.
            return await self._append_rest(group)
        event_id = outcome.refusal.event_id
        return [outcome if candidate.event_id == event_id else refused_with_others(candidate.event_id) for candidate in group]

    def _is_behind(self, states: Sequence[StreamState]) -> bool:
        """Tell whether the store has decided more of these streams than was judged on."""
        known = self._store.shards()
        behind = [s for s in states if s.shard in known and self._store.shard(s.shard).stream_version(s.name) != s.version]
        for state in behind:
            self._streams.forget(state)
        return bool(behind)

    def _replayed(self, candidate: Candidate) -> Outcome | None:
        """Return the original receipt of an event that is on the log, or the refusal of another event under its id."""
        stored = self._find(candidate.shard, candidate.event_id)
        if stored is None:
            return None
        if stored.header_hash != candidate.verified.header_hash:
            self._metrics.replay_mismatch()
            return refused(candidate.event_id, ContentMismatch("this event id is on the log with other bytes"))
        self._metrics.appended("replayed")
        return replayed(self._store.shard(candidate.shard), stored)

    # ── decide ──

    async def _finish_each(self, flight: Flight) -> list[Outcome]:
        """Turn the decision on events that merely share an append into outcomes; if it was void, each is proposed anew by itself."""
        if len(flight.admissions) == 1:
            return await self._finish_together(flight)
        decided = self._decided(flight)
        return decided if isinstance(decided, list) else await self._append_singly(flight.candidates)

    async def _finish_together(self, flight: Flight) -> list[Outcome]:
        """Turn the decision on events that stand or fall together into outcomes; a conflict is judged anew while the caller waits."""
        for _attempt in range(READMIT_MAX_ATTEMPTS):
            group = flight.candidates
            decided = self._decided(flight)
            match decided:
                case list():
                    return decided
                case Revoked():
                    return _all_refused(group, SignatureInvalid("wire.key_revoked", "the key is revoked"))
                case Malformed(reason=reason):
                    return _all_refused(group, Invalid(Violation("request", reason), rule="wire.record"))
                case Accepted() | Mismatch() | PartialDuplicate():
                    return await self._append_rest(group)
            begun = await self._begin(group)
            if not isinstance(begun, Flight):
                return await self._spread(begun, group)
            flight = begun
            await self._wait([flight.future])
        return _all_refused(flight.candidates, Unavailable("the stream is contended"))

    def _decided(self, flight: Flight) -> list[Outcome] | Result:
        """Return the outcomes of an append that was accepted or remained undecided; else why it put nothing on the log.

        Its predictions are forgotten then.
        """
        try:
            result = flight.future.result(timeout=0)
        except (HubError, TimeoutError) as error:
            self._forget(flight)
            unknown = error if isinstance(error, HubError) else Unavailable("not decided in time; send the same event again")
            return _all_refused(flight.candidates, unknown)
        if isinstance(result, Accepted) and not result.duplicate:
            return self._confirm(flight, result.placed)
        self._forget(flight)
        return result

    def _confirm(self, flight: Flight, placed: Sequence[Placed]) -> list[Outcome]:
        """Take accepted events into decided state and write their receipts."""
        outcomes = [self._confirm_one(admission, place) for admission, place in zip(flight.admissions, placed, strict=True)]
        self._metrics.appended("accepted", len(outcomes))
        first = flight.admissions[0].candidate
        if first.shard == NATIONAL:
            self._registry.catch_up()
        return outcomes

    def _confirm_one(self, admission: Admission, placed: Placed) -> Outcome:
        recorded = admission.proposal.recorded
        admission.state.settle()
        return accepted(admission.candidate.shard, placed, recorded.findings, recorded.mended)

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


def _all_refused(group: Sequence[Candidate], error: HubError) -> list[Outcome]:
    """Refuse every event of a group for the same reason."""
    return [refused(candidate.event_id, error) for candidate in group]


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
