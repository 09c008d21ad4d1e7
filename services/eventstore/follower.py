"""The sequencer of a cluster: proposals go to a shared log, and this node learns their fate by folding that log like any other node.

Whoever wrote a record, the fold decides. An error of sending is never an answer: the same record is sent again, under the same append
id, until the fold has seen it or its caller's deadline is over.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic, sleep
from typing import Final

import structlog

from services.eventstore import frame
from services.eventstore.digests import Digests
from services.eventstore.fold import PROGRAM, Program, ShardState, flaw, fold_frame
from services.eventstore.log import Log, LogRecord, NotThere
from services.eventstore.port import Accepted, Append, Malformed, Result
from services.eventstore.proposals import Answers, Proposed, Sequencer, answer_all
from services.eventstore.refold import Refold
from services.eventstore.state import State
from services.eventstore.tables import explained
from services.runtime.errors import IntegrityError, Unavailable

POLL_SECONDS: Final = 0.25
BATCH_MAX_RECORDS: Final = 1_000
RESEND_SECONDS: Final = 0.2
"""Between a failure and the next sending of the same record."""
RETRY_SECONDS: Final = 0.5
"""Between two attempts to fold a batch that the disk did not take."""
CHECK_MAX_SECONDS: Final = 30.0
"""The log must answer for the records that this node has folded within this time at the start."""
DOUBT_MAX_SECONDS: Final = 20.0
"""What contradicts this node is believed if it is said for so long: brokers need less to leave out one that is cut off from them."""
DOUBT_TIMES: Final = 5
"""And so often: in between nobody may have said anything."""
DOUBT_PAUSE_SECONDS: Final = 1.0
"""Between two looks at a log that is doubted: each is with new clients."""
STALL_MAX_SECONDS: Final = 60.0
"""While a node comes to the end of its log, something is folded at least so often."""
TELL_SECONDS: Final = 0.5
"""How often it says meanwhile how far it has come."""
ROOT_PARTITION: Final = 0

_log = structlog.get_logger(__name__)

Report = Callable[[int, int], None]
"""Told how many records are folded, of how many. What it raises ends whoever waits for more."""


def silent(_folded: int, _end: int) -> None:
    """Say nothing."""


def unheard(_is_same: bool) -> None:
    """Count nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """What a node is among others.

    ``node_id``: its own name, empty for one that exchanges no digests; ``follows``: the shards that it follows besides the first, none for
    all there are; ``compared`` is told of each digest of another node whether it is the same.
    """

    node_id: str = ""
    follows: tuple[str, ...] = ()
    compared: Callable[[bool], None] = unheard


ALONE: Final = Member()


@dataclass(slots=True)
class _Doubt:
    """Since when the log says that it lacks what was folded, and how often it did."""

    since: float
    times: int = 0


class Follower(Sequencer):
    """Proposes to a log and folds it."""

    def __init__(
        self,
        state: State,
        path: Path,
        log: Log,
        root: str,
        committed: Callable[[set[str]], None],
        deadline_seconds: float,
        *,
        member: Member = ALONE,
        program: Program = PROGRAM,
        now: Callable[[], float] = monotonic,
    ) -> None:
        """Begin behind what the state has folded; ``root``: the shard of partition 0, which says where all others lie.

        ``committed`` is called with the shards of each durable batch, before anyone is answered; ``program``: what this node can fold;
        ``now`` returns seconds that never go back. Raises ``IntegrityError`` if the log is not the one that the state was folded from, or
        has lost its end; ``Unavailable`` if it does not answer.
        """
        super().__init__("eventstore-follower", state, path, deadline_seconds, now)
        self._log = log
        self._root = root
        self._committed = committed
        self._program = program
        self._pending: dict[tuple[str, bytes], list[Proposed]] = {}
        """Who waits for the decision on which append, the first being the one that is sent."""
        self._pending_lock = threading.Lock()
        self._outgoing: SimpleQueue[tuple[float, Proposed] | None] = SimpleQueue()
        self._failed: list[tuple[float, int, Proposed]] = []
        """What is to be sent again, and when: a heap that only the sender touches."""
        self._order = itertools.count()
        self._look_again = 0.0
        self._must_read_again = False
        self._doubts: dict[int | None, _Doubt] = {}
        """The partitions whose last folded record must be seen again before more is folded of them."""
        self._ask_again = 0.0
        self._stopped = False
        self._moved = threading.Condition()
        self._places: dict[int, str] = {}
        self._member = member
        self._digests = self._exchange(path) if member.node_id else None
        self._sender = threading.Thread(target=self._send, name="eventstore-sender", daemon=True)
        self._check_log()
        self._follow()
        self._start()

    def log_end(self, shard: str, timeout_seconds: float) -> None:
        """Wait until all that the log held of a shard when this was called is folded; raise ``Unavailable`` if it takes longer."""
        deadline = self._now() + timeout_seconds
        partition = self.partition(shard)
        if partition is None:
            raise Unavailable(f"shard {shard!r} has no partition")
        end = self._log.end(partition, timeout_seconds)

        def is_folded() -> bool:
            return self._broken is not None or self._closing.is_set() or self._standing(shard).next_offset >= end

        with self._moved:
            self._moved.wait_for(is_folded, max(deadline - self._now(), 0.0))
        if self._standing(shard).next_offset < end:
            raise self._broken or Unavailable(f"this node has not folded shard {shard!r} to its end within {timeout_seconds} s")

    def come_to_all_ends(self, report: Report = silent) -> None:
        """Wait until all that the log holds of the shards followed here is folded, however long it takes; then take part in the exchange.

        Raises ``Unavailable`` when nothing more is folded for a while, and what ``report`` raises.
        """
        ends: dict[int, int] = {}
        folded, moved_at = -1, self._now()
        while True:
            places = self._places_followed()
            ends |= {partition: self._log.end(partition, CHECK_MAX_SECONDS) for partition in places if partition not in ends}
            here = self._records_folded(places)
            report(min(here, sum(ends.values())), sum(ends.values()))
            if places == self._places_followed() and all(self._standing(shard).next_offset >= ends[at] for at, shard in places.items()):
                break
            if here > folded:
                folded, moved_at = here, self._now()
            if self._broken is not None or self._closing.is_set() or self._now() > moved_at + STALL_MAX_SECONDS:
                raise self._broken or Unavailable(f"nothing of the log was folded within {STALL_MAX_SECONDS} s")
            with self._moved:
                self._moved.wait_for(partial(self._is_beyond, places, here), TELL_SECONDS)
        if self._digests is not None:
            self._digests.begin()

    def follows(self, shard: str) -> bool:
        """Tell whether this node follows a shard, as soon as there is one of that name."""
        return not self._member.follows or shard == self._root or shard in self._member.follows

    def partition(self, shard: str) -> int | None:
        """Return where a shard lies, None for one that has no place yet."""
        return ROOT_PARTITION if shard == self._root else self._state.place_of(shard)

    def close(self) -> None:
        """Wait for what was proposed before, as long as it takes to be decided or given up; then stop. Idempotent."""
        self._closing.set()
        try:
            self._join()
        finally:
            self._outgoing.put(None)
            self._sender.join(RETRY_SECONDS)
            self._log.close()

    def _start(self) -> None:
        """Start the threads."""
        super()._start()
        self._sender.start()

    # ── proposing ──

    def _put(self, proposed: Proposed) -> None:
        """Hand a proposal to the sender, or answer it at once when there is no point."""
        wrong = _flaw_of(proposed)
        if wrong is not None:
            answer_all([proposed], wrong)
        elif proposed.begin() and not self._turned_away(proposed, len(self._pending)):
            key = (proposed.shard, proposed.append_id)
            with self._pending_lock:
                # Behind those whose deadline is over nothing may be on its way any more.
                waiting = [each for each in self._pending.get(key, ()) if not each.done()]
                self._pending[key] = [*waiting, proposed]
            if not waiting:
                self._outgoing.put((0.0, proposed))
            if self._stopped:
                self._turn_away()

    def _send(self) -> None:
        """Hand records to the log until told to stop and nothing is pending."""
        while self._worker.is_alive():
            self._send_next(RETRY_SECONDS)

    def _send_next(self, seconds: float) -> None:
        """Hand the next record over, a new one at once and a failed one after a while; wait at most so long for it."""
        failed = self._failed
        pause = min(failed[0][0] - self._now(), seconds) if failed else seconds
        if failed and failed[0][0] <= self._now():
            self._send_one(heapq.heappop(failed)[2])
            return
        with contextlib.suppress(Empty):
            item = self._outgoing.get(timeout=pause)
            if item is None:
                return
            due, proposed = item
            if due:
                heapq.heappush(failed, (due, next(self._order), proposed))
            else:
                self._send_one(proposed)

    def _send_one(self, proposed: Proposed) -> None:
        """Hand one record over, if anyone waits for it; what cannot be handed over is tried again."""
        if not self._is_awaited(proposed):
            return
        record, partition = proposed.record, self.partition(proposed.shard)
        if partition is None:
            answer_all(self._taken(proposed.shard, proposed.append_id), Unavailable(f"shard {proposed.shard!r} has no partition"))
            return
        if isinstance(record, Append):
            key, value = (record.events[0].stream if record.events else "").encode(), frame.encode_append(record)
        else:
            key, value = b"", frame.encode_control(record, proposed.append_id)
        try:
            self._log.send(partition, key, value, partial(self._send_again, proposed))
        except Exception as error:  # noqa: BLE001  the sender must outlive any one record
            self._send_again(proposed, error)

    def _send_again(self, proposed: Proposed, error: Exception) -> None:
        """Take note that a record may or may not be on the log; it is sent again while anyone waits."""
        if self._is_awaited(proposed):
            _log.warning("eventstore.send_failed", error=type(error).__name__)
            self._outgoing.put((self._now() + RESEND_SECONDS, proposed))

    def _is_awaited(self, proposed: Proposed) -> bool:
        """Tell whether anyone still waits for the decision on an append."""
        return any(not each.done() for each in self._pending.get((proposed.shard, proposed.append_id), ()))

    def _turn_away(self) -> None:
        """Answer whoever still waits when nothing is folded any more."""
        for key in list(self._pending):
            answer_all(self._taken(*key), self._broken or Unavailable("the event store is closed"))

    def _taken(self, shard: str, append_id: bytes) -> list[Proposed]:
        """Return who waits for the decision on an append, who from now on is not pending any more."""
        with self._pending_lock:
            return self._pending.pop((shard, append_id), [])

    # ── folding ──

    def _work(self) -> None:
        """Fold what comes until told to stop; what was proposed before is still decided, or given up at its deadline."""
        while self._broken is None and not (self._closing.is_set() and not self._pending):
            try:
                if not self._fold_next(POLL_SECONDS) and self._broken is None:
                    self._pause()
            except Exception as error:  # noqa: BLE001  a node that folds no more must say so, and not only fall silent
                self._broken = IntegrityError(f"the follower met what it does not know: {type(error).__name__}")
        if self._broken is not None:
            _log.error("eventstore.stopped", reason=str(self._broken))
            self.on_failure()
        self._stopped = True
        self._turn_away()
        with self._moved:
            self._moved.notify_all()

    def _fold_next(self, seconds: float) -> bool:
        """Fold what comes within so many seconds; tell whether all is well, or only may be after a while."""
        if self._now() > self._look_again:
            self._forget_answered()
            self._look_again = self._now() + RETRY_SECONDS
            self._look_at_digests()
            if self._broken is not None:
                return False
        records = self._read_next(seconds)
        return records is not None and (not records or self._fold_batch(records))

    def _read_next(self, seconds: float) -> Sequence[LogRecord] | None:
        """Return what comes within so many seconds; None if the log does not answer, or contradicts this node."""
        try:
            if self._must_read_again:
                self._follow()
                self._must_read_again = False
            self._ask_of_doubted()
            return self._log.poll(seconds, BATCH_MAX_RECORDS)
        except NotThere as error:
            self._doubt(error)
        except IntegrityError as error:
            self._broken = error
        except Exception as error:  # noqa: BLE001  the follower must outlive whatever the log's client does
            _log.warning("eventstore.log_unavailable", error=type(error).__name__)
        return None

    def _check_log(self) -> None:
        """Doubt all that was folded, until the last record of each partition is seen where it was; nothing is folded meanwhile."""
        began, self._places = self._now(), self._places_followed()
        self._doubts = {partition: _Doubt(began) for partition, offset in self._offsets().items() if offset}
        self._follow()
        while self._doubts:
            records = self._read_next(POLL_SECONDS)
            for record in records or ():
                self._dispel(record)
            if self._broken is not None:
                raise self._broken
            if self._now() > began + CHECK_MAX_SECONDS:
                raise Unavailable(f"the log does not answer within {CHECK_MAX_SECONDS} s")
            if records is None:
                self._pause()

    def _pause(self) -> None:
        """Wait before the log, or the disk, is tried again."""
        sleep(RETRY_SECONDS)

    def _doubt(self, said: NotThere) -> None:
        """Ask others; believe what is said for ``DOUBT_MAX_SECONDS``, and at once that a partition lacks its beginning."""
        partition = said.partition
        is_begun = partition is None or self._offsets().get(partition, 0) > 0
        doubt = self._doubts.setdefault(partition, _Doubt(self._now()))
        doubt.times += 1
        if not is_begun or (self._now() > doubt.since + DOUBT_MAX_SECONDS and doubt.times >= DOUBT_TIMES):
            self._broken = IntegrityError(f"{self._path}: the log lacks what this node has folded: {said}")
            return
        _log.warning("eventstore.log_doubted", reason=str(said))
        self._log.look_anew()
        self._must_read_again = True
        self._closing.wait(DOUBT_PAUSE_SECONDS)
        self._ask_again = self._now() + DOUBT_PAUSE_SECONDS  # first it is read again: what comes may dispel the doubt

    def _ask_of_doubted(self) -> None:
        """Raise ``NotThere`` if a doubted partition ends before what was folded of it: one that lacks one record alone says nothing more.

        It is read again just behind its end then, where a log waits for what comes. One partition is asked at a time, each in turn: others
        are folded meanwhile.
        """
        if not self._doubts or self._closing.is_set() or self._now() < self._ask_again:
            return
        offsets = self._offsets()
        partition = next((each for each in self._doubts if each in offsets), None)
        if partition is None:
            return
        try:
            end = self._log.end(partition, DOUBT_PAUSE_SECONDS)
        except Unavailable:
            end = None
        finally:
            self._ask_again = self._now() + DOUBT_PAUSE_SECONDS
        last = offsets[partition] - 1
        if end is not None and end <= last:
            raise NotThere(f"partition {partition} ends at {end}, offset {last} was folded", partition)
        self._doubts[partition] = self._doubts.pop(partition)  # behind the others

    def _fold_batch(self, records: Sequence[LogRecord]) -> bool:
        """Fold a batch; one that the disk does not take is read again, a log that contradicts this node breaks the node."""
        try:
            self._fold(records)
        except (frame.UnknownControl, IntegrityError) as error:
            self._state.abandon()
            self._broken = error
        except Exception as failure:  # noqa: BLE001  the follower must outlive any one batch
            self._recover(failure, len(records))
            self._must_read_again = True
        else:
            return True
        return False

    def _fold(self, records: Sequence[LogRecord]) -> None:
        """Fold a batch in one transaction and answer whose proposals it decides."""
        read, stop = self._read(records)
        state = self._state
        state.begin([append for *_, append in read if isinstance(append, Append)])
        decided: list[tuple[str, bytes, Result]] = []
        published: list[tuple[str, bytes, frame.DigestPublished]] = []
        placed = False
        for shard, record, framed, append in read:
            self._dispel(record)
            expected = state.shard_state(shard).next_offset
            if record.offset < expected:
                continue
            if record.offset > expected:
                raise IntegrityError(f"partition {record.partition}: offset {record.offset} where {expected} is next; records are missing")
            try:
                decision = fold_frame(state, shard, record.offset, framed, record.timestamp_ms, self._program, append)
            except frame.UnknownControl as error:
                stop = error
                break
            state.apply(decision.effects)
            placed = placed or decision.effects.shard_placed is not None
            if isinstance(framed, frame.Frame):
                if decision.effects.published is not None:
                    published.append((shard, framed.append_id, decision.effects.published))
                decided.append((shard, framed.append_id, decision.result))
        state.commit()
        if placed:
            self._follow()
        self._committed({shard for shard, *_ in read})
        self._answer(decided)
        with self._moved:
            self._moved.notify_all()
        self._hear(published)
        if stop is not None:
            raise stop

    def _dispel(self, record: LogRecord) -> None:
        """Doubt a partition no more whose last record this is; and none of which it is not known, once all others are cleared."""
        if record.partition not in self._doubts:
            return
        self._check_last(record)
        del self._doubts[record.partition]
        if self._doubts.keys() == {None}:
            self._doubts.clear()

    def _read(
        self, records: Sequence[LogRecord]
    ) -> tuple[list[tuple[str, LogRecord, frame.Frame | Malformed, Append | Malformed | None]], frame.UnknownControl | None]:
        """Read records up to the first that only a newer program may fold; return it as well."""
        read: list[tuple[str, LogRecord, frame.Frame | Malformed, Append | Malformed | None]] = []
        for record in records:
            try:
                framed = frame.decode(record.value)
            except frame.UnknownControl as error:
                return read, error
            append = None
            if isinstance(framed, frame.Frame) and framed.kind is frame.Kind.APPEND and framed.version in self._program.formats:
                append = self._program.formats[framed.version](framed)
            read.append((self._places[record.partition], record, framed, append))
        return read, None

    def _answer(self, decided: Sequence[tuple[str, bytes, Result]]) -> None:
        """Tell whoever waits; the first decision of an append id is the one that counts, and later ones repeat it."""
        answers = Answers()
        for shard, append_id, result in decided:
            for number, proposed in enumerate(self._taken(shard, append_id)):
                answers.give(proposed, replace(result, duplicate=True) if number and isinstance(result, Accepted) else result)
        answers.send()

    def _forget_answered(self) -> None:
        """Forget appends for which nobody waits any more: whoever cares sends the same event again."""
        with self._pending_lock:
            for key in [key for key, waiting in self._pending.items() if all(proposed.done() for proposed in waiting)]:
                del self._pending[key]

    # ── the exchange of digests ──

    def _exchange(self, path: Path) -> Digests:
        """Return this node's part in it."""
        return Digests(
            self._state,
            Refold(path),
            self._member.node_id,
            shards=lambda: tuple(self._places.values()),
            publish=self.propose,
            now=self._now,
            compared=self._member.compared,
        )

    def _hear(self, published: Sequence[tuple[str, bytes, frame.DigestPublished]]) -> None:
        """Hold what others published against this node's own; all before it is durable here."""
        if self._digests is not None:
            for shard, append_id, said in published:
                self._digests.hear(shard, append_id, said)

    def _look_at_digests(self) -> None:
        """Do what is due; a node that must not go on as it is is broken."""
        if self._digests is None or self._closing.is_set():
            return
        try:
            self._digests.look()
        except IntegrityError as error:
            self._broken = error
        except sqlite3.Error as failure:
            meaning = explained(failure, self._path)
            if isinstance(meaning, IntegrityError):
                self._broken = meaning

    # ── the log ──

    def _standing(self, shard: str) -> ShardState:
        """Return where a shard durably stands."""
        return self._state.committed(shard) or ShardState(shard)

    def _offsets(self) -> Mapping[int, int]:
        """Return the next offset of every partition that has a shard."""
        return {partition: self._standing(shard).next_offset for partition, shard in self._places.items()}

    def _follow(self) -> None:
        """Read every partition that has a shard from where its state stands; one that is doubted from its last record on."""
        self._places = self._places_followed()
        offsets = self._offsets()
        if None in self._doubts:
            since = self._doubts[None].since
            for partition in [partition for partition, offset in offsets.items() if offset]:
                self._doubts.setdefault(partition, _Doubt(since))
        self._log.follow({partition: offset - (partition in self._doubts) for partition, offset in offsets.items()})

    def _records_folded(self, places: Mapping[int, str]) -> int:
        """Return how many records of some partitions are folded."""
        return sum(self._standing(shard).next_offset for shard in places.values())

    def _is_beyond(self, places: Mapping[int, str], folded: int) -> bool:
        """Tell whether more is folded than so many records, or nothing will be."""
        return self._broken is not None or self._closing.is_set() or self._records_folded(places) > folded

    def _places_followed(self) -> dict[int, str]:
        """Return the shard of every partition that has one which this node follows."""
        placed = {partition: shard for partition, shard in self._state.places().items() if self.follows(shard)}
        return {**placed, ROOT_PARTITION: self._root}

    def _check_last(self, record: LogRecord) -> None:
        """Raise ``IntegrityError`` unless a record is the one that this node folded last in its partition."""
        standing = self._standing(self._places[record.partition])
        offset = standing.next_offset - 1
        if record.offset != offset:
            raise IntegrityError(
                f"{self._path}: offset {offset} of partition {record.partition} was folded, and is not on the log any more"
            )
        framed = frame.decode(record.value)
        append_id = framed.append_id if isinstance(framed, frame.Frame) else b""
        if append_id != standing.last_append_id:
            raise IntegrityError(
                f"{self._path}: the log holds another record at offset {record.offset} of partition {record.partition} than was folded"
            )


def _flaw_of(proposed: Proposed) -> Malformed | None:
    """Return what is wrong with a record in itself: such a one is not sent."""
    record = proposed.record
    if isinstance(record, Append):
        wrong = flaw(record, proposed.shard)
        return frame.oversize(record) if wrong is None else Malformed(wrong)
    try:
        frame.encode_control(record, proposed.append_id)
    except ValueError as error:
        return Malformed(f"the control cannot be written: {type(error).__name__}")
    return None
