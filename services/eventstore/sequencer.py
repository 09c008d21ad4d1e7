"""The in-process sequencer: one writer thread puts appends in an order and commits all that wait in one transaction.

It is what Kafka is in a cluster. The fold decides; this file only orders, makes durable, answers and wakes.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import Final

import structlog

from services.eventstore import frame
from services.eventstore.fold import fold_append, fold_control
from services.eventstore.port import Append, Malformed, Result
from services.eventstore.state import State
from services.eventstore.tables import explained
from services.runtime.errors import HubError, IntegrityError, Invalid, Unavailable, Violation
from services.runtime.limits import APPEND_DEADLINE_SECONDS

BATCH_MAX_APPENDS: Final = 512
BATCH_MAX_BYTES: Final = 8 * 1024 * 1024
WAITING_MAX_APPENDS: Final = 20_000
CLOSE_MAX_SECONDS: Final = 30.0
DEADLINE_CHECK_SECONDS: Final = 0.5

_log = structlog.get_logger(__name__)

Clock = Callable[[], int]
"""Returns Unix milliseconds."""


class Proposed:
    """One append or control on its way: whom to answer, and what is proposed to which shard."""

    __slots__ = ("append_id", "future", "record", "shard")

    def __init__(self, future: Future[Result], shard: str, append_id: bytes, record: Append | frame.Control) -> None:
        """Keep them."""
        self.future = future
        self.shard = shard
        self.append_id = append_id
        self.record = record


class Sequencer:
    """Decides proposals in the order of their arrival; a future is answered only after its decision is durable."""

    def __init__(
        self,
        state: State,
        path: Path,
        clock: Clock,
        committed: Callable[[set[str]], None],
        deadline_seconds: float = APPEND_DEADLINE_SECONDS,
    ) -> None:
        """Start the threads. ``committed`` is called with the shards of each durable batch, before anyone is answered."""
        self._state = state
        self._path = path
        self._clock = clock
        self._committed = committed
        self._deadline_seconds = deadline_seconds
        self._queue: SimpleQueue[Proposed | None] = SimpleQueue()
        self._unanswered: deque[tuple[float, Future[Result]]] = deque()
        self._closing = threading.Event()
        self._stopped = False
        self._broken: HubError | None = None
        self._writer = threading.Thread(target=self._write, name="eventstore-writer", daemon=True)
        self._overdue = threading.Thread(target=self._watch_deadlines, name="eventstore-deadlines", daemon=True)
        self._writer.start()
        self._overdue.start()

    def propose(self, shard: str, append_id: bytes, record: Append | frame.Control) -> Future[Result]:
        """Put a proposal in line; its future fails with ``Unavailable`` at the latest a little after the deadline."""
        future: Future[Result] = Future()
        if self._broken is not None:
            future.set_exception(self._broken)
        elif self._closing.is_set():
            future.set_exception(Unavailable("the event store is closing"))
        elif self._queue.qsize() >= WAITING_MAX_APPENDS:
            future.set_exception(Unavailable(f"{WAITING_MAX_APPENDS} appends are waiting already"))
        else:
            self._unanswered.append((monotonic() + self._deadline_seconds, future))
            self._queue.put(Proposed(future, shard, append_id, record))
            if self._stopped:
                self._turn_away()
        return future

    def control(self, shard: str, control: frame.Control) -> Future[None]:
        """Put a control record in line; the future is done when it is durable, and fails when the fold voids it."""
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()

        def settle(decided: Future[Result]) -> None:
            """Hand the decision on."""
            error = decided.exception()
            if error is None and isinstance(result := decided.result(), Malformed):
                error = Invalid(Violation("control", result.reason))
            if error is None:
                done.set_result(None)
            else:
                done.set_exception(error)

        self.propose(shard, secrets.token_bytes(frame.APPEND_ID_BYTES), control).add_done_callback(settle)
        return done

    def close(self) -> None:
        """Decide what was proposed before, then stop; idempotent."""
        if not self._closing.is_set():
            self._closing.set()
            self._queue.put(None)
        self._writer.join(CLOSE_MAX_SECONDS)
        self._overdue.join(CLOSE_MAX_SECONDS)
        if self._writer.is_alive():
            raise Unavailable(f"{self._path}: the writer did not stop within {CLOSE_MAX_SECONDS} s")

    def _write(self) -> None:
        """Take, decide and answer batches until told to stop."""
        while True:
            batch, last = self._take()
            if batch:
                self._decide(batch)
            if last:
                break
        self._stopped = True
        self._turn_away()

    def _take(self) -> tuple[list[Proposed], bool]:
        """Return what waits, at least one proposal, and whether to stop behind it; leave out what its caller gave up."""
        batch: list[Proposed] = []
        queue = self._queue
        proposed = queue.get()
        taken_bytes = 0
        left = queue.qsize()
        while proposed is not None:
            if proposed.future.set_running_or_notify_cancel():
                batch.append(proposed)
                if isinstance(proposed.record, Append):
                    for event in proposed.record.events:
                        taken_bytes += len(event.state)
            if left == 0 or len(batch) >= BATCH_MAX_APPENDS or taken_bytes >= BATCH_MAX_BYTES:
                return batch, False
            left -= 1
            proposed = queue.get_nowait()
        return batch, True

    def _decide(self, batch: list[Proposed]) -> None:
        """Fold a batch in one transaction and answer everybody, with the same error if it cannot be made durable."""
        error: Exception
        try:
            results = self._fold(batch)
        except sqlite3.Error as failure:
            error = self._recover(failure)
        except HubError as failure:
            self._state.abandon()
            self._broken = error = failure
        except Exception as failure:  # noqa: BLE001  the writer must outlive any one batch
            self._state.abandon()
            _log.error("append_batch_failed", error=type(failure).__name__, appends=len(batch))
            error = Unavailable(f"the batch could not be decided: {type(failure).__name__}")
        else:
            self._committed({proposed.shard for proposed in batch})
            for proposed, result in zip(batch, results, strict=True):
                _answer(proposed.future, result)
            return
        for proposed in batch:
            _fail(proposed.future, error)

    def _fold(self, batch: list[Proposed]) -> list[Result]:
        """Decide each proposal and commit."""
        state = self._state
        state.begin([proposed.record for proposed in batch if isinstance(proposed.record, Append)])
        now_ms = self._clock()
        results: list[Result] = []
        for proposed in batch:
            record = proposed.record
            if isinstance(record, Append):
                decision = fold_append(state, record, now_ms)
            else:
                decision = fold_control(state, proposed.shard, proposed.append_id, record)
            state.apply(decision.effects)
            results.append(decision.result)
        state.commit()
        return results

    def _recover(self, failure: sqlite3.Error) -> Exception:
        """Forget a batch that failed and return what to answer; after an I/O error the file is opened anew."""
        error = explained(failure, self._path)
        _log.error("append_batch_failed", error=type(failure).__name__, code=getattr(failure, "sqlite_errorname", ""))
        try:
            self._state.abandon()
            if not _is_full(failure):
                self._state.reopen()
        except HubError as worse:
            error = error if isinstance(worse, Unavailable) else IntegrityError(str(worse))
        if isinstance(error, IntegrityError):
            self._broken = error
        return error

    def _turn_away(self) -> None:
        """Answer what came too late."""
        while not self._queue.empty():
            proposed = self._queue.get_nowait()
            if proposed is not None:
                _fail(proposed.future, Unavailable("the event store is closed"))

    def _watch_deadlines(self) -> None:
        """Fail futures whose deadline has passed: a hanging disk must not hang the callers."""
        unanswered = self._unanswered
        while not self._closing.wait(DEADLINE_CHECK_SECONDS) or self._writer.is_alive():
            if self._closing.is_set():
                self._writer.join(DEADLINE_CHECK_SECONDS)
            now = monotonic()
            while unanswered and (unanswered[0][1].done() or unanswered[0][0] < now):
                _, future = unanswered.popleft()
                if not future.done():
                    _fail(future, Unavailable(f"not durable within {self._deadline_seconds} s; the outcome is unknown"))


def _is_full(failure: sqlite3.Error) -> bool:
    """Tell whether the disk or the file's allowance is full: then nothing is wrong with the connection."""
    return getattr(failure, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _answer(future: Future[Result], result: Result) -> None:
    """Give the decision, unless the deadline was faster."""
    try:
        future.set_result(result)
    except InvalidStateError:
        return


def _fail(future: Future[Result], error: Exception) -> None:
    """Give an error, unless the future was answered meanwhile."""
    try:
        future.set_exception(error)
    except InvalidStateError:
        return
