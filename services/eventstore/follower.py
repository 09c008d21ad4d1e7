"""The sequencer of a cluster: proposals go to a shared log, and this node learns their fate by folding that log like any other node.

Whoever wrote a record, the fold decides. An error of sending is never an answer: the same record is sent again, under the same append
id, until the fold has seen it or its caller's deadline is over.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final

import structlog

from services.eventstore import frame
from services.eventstore.fold import PROGRAM, ShardState, flaw, fold_frame
from services.eventstore.log import Log, LogRecord
from services.eventstore.port import Accepted, Append, Malformed, Result
from services.eventstore.proposals import Answers, Proposed, Sequencer, answer_all
from services.eventstore.state import State
from services.runtime.errors import IntegrityError, Unavailable

POLL_SECONDS: Final = 0.25
BATCH_MAX_RECORDS: Final = 1_000
RESEND_SECONDS: Final = 0.2
"""Between a failure and the next sending of the same record."""
RETRY_SECONDS: Final = 0.5
"""Between two attempts to fold a batch that the disk did not take."""
CHECK_MAX_SECONDS: Final = 30.0
"""The log must answer for the records that this node has folded within this time at the start."""
ROOT_PARTITION: Final = 0

_log = structlog.get_logger(__name__)


class Follower(Sequencer):
    """Proposes to a log and folds it."""

    def __init__(
        self, state: State, path: Path, log: Log, root: str, committed: Callable[[set[str]], None], deadline_seconds: float
    ) -> None:
        """Begin behind what the state has folded; ``root``: the shard of partition 0, which says where all others lie.

        ``committed`` is called with the shards of each durable batch, before anyone is answered. Raises ``IntegrityError`` if the log is
        not the one that the state was folded from, or has lost its end; ``Unavailable`` if it does not answer.
        """
        super().__init__("eventstore-follower", state, path, deadline_seconds)
        self._log = log
        self._root = root
        self._committed = committed
        self._pending: dict[tuple[str, bytes], list[Proposed]] = {}
        """Who waits for the decision on which append, the first being the one that is sent."""
        self._pending_lock = threading.Lock()
        self._outgoing: SimpleQueue[tuple[float, Proposed] | None] = SimpleQueue()
        self._moved = threading.Condition()
        self._places: dict[int, str] = {}
        self._sender = threading.Thread(target=self._send, name="eventstore-sender", daemon=True)
        self._check_log()
        self._follow()
        self._start()
        self._sender.start()

    def log_end(self, shard: str, timeout_seconds: float) -> None:
        """Wait until all that the log held of a shard when this was called is folded; raise ``Unavailable`` if it takes longer."""
        deadline = monotonic() + timeout_seconds
        partition = self.partition(shard)
        if partition is None:
            raise Unavailable(f"shard {shard!r} has no partition")
        end = self._log.end(partition, timeout_seconds)

        def is_folded() -> bool:
            return self._broken is not None or self._closing.is_set() or self._standing(shard).next_offset >= end

        with self._moved:
            self._moved.wait_for(is_folded, max(deadline - monotonic(), 0.0))
        if self._standing(shard).next_offset < end:
            raise self._broken or Unavailable(f"this node has not folded shard {shard!r} to its end within {timeout_seconds} s")

    def partition(self, shard: str) -> int | None:
        """Return where a shard lies, None for one that has no place yet."""
        return ROOT_PARTITION if shard == self._root else self._state.place_of(shard)

    def close(self) -> None:
        """Wait for what was proposed before, as long as it takes to be decided or given up; then stop. Idempotent."""
        self._closing.set()
        self._join()
        self._outgoing.put(None)
        self._sender.join(RETRY_SECONDS)
        self._log.close()

    # ── proposing ──

    def _put(self, proposed: Proposed) -> None:
        """Hand a proposal to the sender, or answer it at once when there is no point."""
        record = proposed.record
        wrong = _flaw_of(record, proposed.shard)
        if wrong is not None:
            answers = Answers()
            answers.give(proposed, wrong)
            answers.send()
        elif proposed.begin() and not self._turned_away(proposed, len(self._pending)):
            with self._pending_lock:
                waiting = self._pending.setdefault((proposed.shard, proposed.append_id), [])
                waiting.append(proposed)
            if len(waiting) == 1:
                self._outgoing.put((0.0, proposed))
            if not self._worker.is_alive():
                self._turn_away()

    def _send(self) -> None:
        """Hand records to the log, new ones at once and failed ones again after a while, until told to stop and nothing is pending."""
        waiting: list[tuple[float, int, Proposed]] = []
        order = itertools.count()
        while self._worker.is_alive():
            pause = waiting[0][0] - monotonic() if waiting else RETRY_SECONDS
            if pause <= 0:
                self._send_one(heapq.heappop(waiting)[2])
                continue
            with contextlib.suppress(Empty):
                item = self._outgoing.get(timeout=pause)
                if item is None:
                    continue
                due, proposed = item
                if due:
                    heapq.heappush(waiting, (due, next(order), proposed))
                else:
                    self._send_one(proposed)

    def _send_one(self, proposed: Proposed) -> None:
        """Hand one record over, if anyone waits for it; what cannot be handed over is tried again."""
        if (proposed.shard, proposed.append_id) not in self._pending:
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
        if (proposed.shard, proposed.append_id) in self._pending:
            _log.warning("eventstore.send_failed", error=type(error).__name__)
            self._outgoing.put((monotonic() + RESEND_SECONDS, proposed))

    def _taken(self, shard: str, append_id: bytes) -> list[Proposed]:
        """Return who waits for the decision on an append, who from now on is not pending any more."""
        with self._pending_lock:
            return self._pending.pop((shard, append_id), [])

    # ── folding ──

    def _work(self) -> None:
        """Fold what comes until told to stop; what was proposed before is still decided, or given up at its deadline."""
        look_again = 0.0
        while self._broken is None and not (self._closing.is_set() and not self._pending):
            try:
                records = self._log.poll(POLL_SECONDS, BATCH_MAX_RECORDS)
            except IntegrityError as error:
                self._broken = error
                break
            except Exception as error:  # noqa: BLE001  the follower must outlive whatever the log's client does
                _log.warning("eventstore.log_unavailable", error=type(error).__name__)
                self._closing.wait(RETRY_SECONDS)
                continue
            if records:
                self._fold_until_durable(records)
            if monotonic() > look_again:
                self._forget_answered()
                look_again = monotonic() + RETRY_SECONDS
        if self._broken is not None:
            _log.error("eventstore.stopped", reason=str(self._broken))
        self._turn_away()
        with self._moved:
            self._moved.notify_all()

    def _turn_away(self) -> None:
        """Answer whoever waits for what will not be decided here any more."""
        for key in list(self._pending):
            answer_all(self._taken(*key), self._broken or Unavailable("the event store is closed"))

    def _fold_until_durable(self, records: Sequence[LogRecord]) -> None:
        """Fold a batch, again and again while the disk does not take it; a log that contradicts this node breaks the node."""
        while True:
            try:
                self._fold(records)
            except frame.UnknownControl as error:
                self._broken = error
            except IntegrityError as error:
                self._state.abandon()
                self._broken = error
            except Exception as failure:  # noqa: BLE001  the follower must outlive any one batch
                self._recover(failure, len(records))
                if self._broken is None and not self._closing.wait(RETRY_SECONDS):
                    continue
            return

    def _fold(self, records: Sequence[LogRecord]) -> None:
        """Fold a batch in one transaction and answer whose proposals it decides."""
        read, stop = self._read(records)
        state = self._state
        state.begin([append for *_, append in read if isinstance(append, Append)])
        decided: list[tuple[str, bytes, Result]] = []
        placed = False
        for shard, record, framed, append in read:
            expected = state.shard_state(shard).next_offset
            if record.offset < expected:
                continue
            if record.offset > expected:
                raise IntegrityError(f"partition {record.partition}: offset {record.offset} where {expected} is next; records are missing")
            try:
                decision = fold_frame(state, shard, record.offset, framed, record.timestamp_ms, append=append)
            except frame.UnknownControl as error:
                stop = error
                break
            state.apply(decision.effects)
            placed = placed or decision.effects.shard_placed is not None
            if isinstance(framed, frame.Frame):
                decided.append((shard, framed.append_id, decision.result))
        state.commit()
        if placed:
            self._follow()
        self._committed({shard for shard, *_ in read})
        self._answer(decided)
        with self._moved:
            self._moved.notify_all()
        if stop is not None:
            raise stop

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
            if isinstance(framed, frame.Frame) and framed.kind is frame.Kind.APPEND and framed.version in PROGRAM.formats:
                append = PROGRAM.formats[framed.version](framed)
            read.append((self._places[record.partition], record, framed, append))
        return read, None

    def _answer(self, decided: Sequence[tuple[str, bytes, Result]]) -> None:
        """Tell whoever waits; the first decision of an append id is the one that counts, and later ones repeat it."""
        answers = Answers()
        for shard, append_id, result in decided:
            again = replace(result, duplicate=True) if isinstance(result, Accepted) else result
            for number, proposed in enumerate(self._taken(shard, append_id)):
                answers.give(proposed, again if number else result)
        answers.send()

    def _forget_answered(self) -> None:
        """Forget appends for which nobody waits any more: whoever cares sends the same event again."""
        with self._pending_lock:
            for key in [key for key, waiting in self._pending.items() if all(proposed.done() for proposed in waiting)]:
                del self._pending[key]

    # ── the log ──

    def _standing(self, shard: str) -> ShardState:
        """Return where a shard durably stands."""
        return self._state.committed(shard) or ShardState(shard)

    def _offsets(self) -> Mapping[int, int]:
        """Return the next offset of every partition that has a shard."""
        return {partition: self._standing(shard).next_offset for partition, shard in self._places.items()}

    def _follow(self) -> None:
        """Read every partition that has a shard from where its state stands."""
        self._places = {**self._state.places(), ROOT_PARTITION: self._root}
        self._log.follow(self._offsets())

    def _check_log(self) -> None:
        """Raise ``IntegrityError`` unless the last records that this node folded are on the log, where they were."""
        self._places = {**self._state.places(), ROOT_PARTITION: self._root}
        folded = {partition: offset - 1 for partition, offset in self._offsets().items() if offset}
        for partition, offset in folded.items():
            self._check_end(partition, offset)
        self._log.follow(folded)
        deadline = monotonic() + CHECK_MAX_SECONDS
        missing = set(folded)
        while missing:
            if monotonic() > deadline:
                raise Unavailable(f"the log does not answer within {CHECK_MAX_SECONDS} s")
            for record in self._log.poll(POLL_SECONDS, BATCH_MAX_RECORDS):
                if record.partition in missing and record.offset == folded[record.partition]:
                    self._check_last(record)
                    missing.discard(record.partition)

    def _check_end(self, partition: int, offset: int) -> None:
        """Raise ``IntegrityError`` if a partition ends before an offset that this node has folded."""
        end = self._log.end(partition, CHECK_MAX_SECONDS)
        if end <= offset:
            raise IntegrityError(f"{self._path}: the state has folded offset {offset} of partition {partition}, the log ends at {end}")

    def _check_last(self, record: LogRecord) -> None:
        """Raise ``IntegrityError`` unless a record is the one that this node folded last in its partition."""
        framed = frame.decode(record.value)
        append_id = framed.append_id if isinstance(framed, frame.Frame) else b""
        expected = self._standing(self._places[record.partition]).last_append_id
        if append_id != expected:
            raise IntegrityError(
                f"{self._path}: the log holds another record at offset {record.offset} of partition {record.partition} than was folded"
            )


def _flaw_of(record: Append | frame.Control, shard: str) -> Malformed | None:
    """Return what is wrong with a record in itself: such a one is not sent."""
    if not isinstance(record, Append):
        return None
    wrong = flaw(record, shard)
    return frame.oversize(record) if wrong is None else Malformed(wrong)
