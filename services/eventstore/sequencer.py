"""The in-process sequencer: one writer thread puts appends in an order and commits all that wait in one transaction.

It is what Kafka is in a cluster. The fold decides; this file only orders, makes durable, answers and wakes.
"""

from __future__ import annotations

import asyncio
import contextlib
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
from services.runtime.errors import HubError, Invalid, Unavailable, Violation
from services.runtime.limits import APPEND_DEADLINE_SECONDS, WAITING_MAX_APPENDS

BATCH_MAX_APPENDS: Final = 512
BATCH_MAX_BYTES: Final = 8 * 1024 * 1024
CLOSE_MAX_SECONDS: Final = 30.0
DEADLINE_CHECK_SECONDS: Final = 0.5

_log = structlog.get_logger(__name__)

Clock = Callable[[], int]
"""Returns Unix milliseconds."""


class Proposed:
    """One append or control on its way: what is proposed to which shard, and who waits for the answer."""

    __slots__ = ("append_id", "deadline", "future", "loop", "record", "shard", "waiter")

    def __init__(self, shard: str, append_id: bytes, record: Append | frame.Control) -> None:
        """Wait in a ``concurrent.futures.Future``, or in an asyncio one of the loop that runs here."""
        self.shard = shard
        self.append_id = append_id
        self.record = record
        self.deadline = 0.0
        self.future: Future[Result] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.waiter: asyncio.Future[Result] | None = None

    def begin(self) -> bool:
        """Tell whether anybody still waits; from here on a ``Future`` cannot be cancelled."""
        if self.future is not None:
            return self.future.set_running_or_notify_cancel()
        return self.waiter is not None and not self.waiter.cancelled()

    def done(self) -> bool:
        """Tell whether the answer was given."""
        waiting = self.future or self.waiter
        return waiting is None or waiting.done()


class Answers:
    """The answers to one batch. Threads are told one by one, an event loop once for all that wait in it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._loops: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Result], Result | Exception]]] = {}

    def give(self, proposed: Proposed, answer: Result | Exception) -> None:
        """Answer a proposal, unless it was answered before or its caller gave up."""
        if proposed.loop is not None and proposed.waiter is not None:
            self._loops.setdefault(proposed.loop, []).append((proposed.waiter, answer))
        elif proposed.future is not None:
            with contextlib.suppress(InvalidStateError):  # The deadline was faster.
                if isinstance(answer, Exception):
                    proposed.future.set_exception(answer)
                else:
                    proposed.future.set_result(answer)

    def send(self) -> None:
        """Wake the event loops."""
        for loop, answers in self._loops.items():
            with contextlib.suppress(RuntimeError):  # The loop closed: nobody waits there any more.
                loop.call_soon_threadsafe(_deliver, answers)


def _deliver(answers: list[tuple[asyncio.Future[Result], Result | Exception]]) -> None:
    """Answer, in the loop's own thread, those who still wait."""
    for waiter, answer in answers:
        if waiter.done():
            continue
        if isinstance(answer, Exception):
            waiter.set_exception(answer)
        else:
            waiter.set_result(answer)


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
        self._unanswered: deque[Proposed] = deque()
        self._closing = threading.Event()
        self._stopped = False
        self._broken: HubError | None = None
        self._writer = threading.Thread(target=self._write, name="eventstore-writer", daemon=True)
        self._overdue = threading.Thread(target=self._watch_deadlines, name="eventstore-deadlines", daemon=True)
        self._writer.start()
        self._overdue.start()

    def propose(self, shard: str, append_id: bytes, record: Append | frame.Control) -> Future[Result]:
        """Put a proposal in line; its future fails with ``Unavailable`` at the latest a little after the deadline."""
        proposed = Proposed(shard, append_id, record)
        future = proposed.future = Future()
        self._put(proposed)
        return future

    def propose_async(self, shard: str, append_id: bytes, record: Append | frame.Control) -> asyncio.Future[Result]:
        """Do the same for a caller in a running event loop, which is woken once for all its callers in a batch."""
        proposed = Proposed(shard, append_id, record)
        proposed.loop = asyncio.get_running_loop()
        waiter = proposed.waiter = proposed.loop.create_future()
        self._put(proposed)
        return waiter

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

    def _put(self, proposed: Proposed) -> None:
        """Put a proposal in line, or answer it at once when there is no point."""
        if self._broken is not None:
            _answer([proposed], self._broken)
        elif self._closing.is_set():
            _answer([proposed], Unavailable("the event store is closing"))
        elif self._queue.qsize() >= WAITING_MAX_APPENDS:
            _answer([proposed], Unavailable(f"{WAITING_MAX_APPENDS} appends are waiting already"))
        else:
            proposed.deadline = monotonic() + self._deadline_seconds
            self._unanswered.append(proposed)
            self._queue.put(proposed)
            if self._stopped:
                self._turn_away()

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
            if proposed.begin():
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
        try:
            results = self._fold(batch)
        except Exception as failure:  # noqa: BLE001  the writer must outlive any one batch
            _answer(batch, self._recover(failure, len(batch)))
            return
        self._committed({proposed.shard for proposed in batch})
        answers = Answers()
        for proposed, result in zip(batch, results, strict=True):
            answers.give(proposed, result)
        answers.send()

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

    def _recover(self, failure: Exception, appends: int) -> HubError:
        """Forget a batch that failed and return what to answer; after a disk error the file is opened anew."""
        error = _meaning(failure, self._path)
        _log.error("eventstore.append_failed", error=type(failure).__name__, code=getattr(failure, "sqlite_errorname", ""), count=appends)
        try:
            self._state.abandon(reopen=isinstance(failure, sqlite3.Error) and not _is_full(failure))
        except Unavailable:
            _log.error("eventstore.not_opened_again")
        except HubError as worse:
            error = worse
        if not isinstance(error, Unavailable):
            self._broken = error
        return error

    def _turn_away(self) -> None:
        """Answer what came too late."""
        while not self._queue.empty():
            proposed = self._queue.get_nowait()
            if proposed is not None:
                _answer([proposed], Unavailable("the event store is closed"))

    def _watch_deadlines(self) -> None:
        """Fail futures whose deadline has passed: a hanging disk must not hang the callers."""
        unanswered = self._unanswered
        while not self._closing.wait(DEADLINE_CHECK_SECONDS) or self._writer.is_alive():
            if self._closing.is_set():
                self._writer.join(DEADLINE_CHECK_SECONDS)
            now = monotonic()
            overdue: list[Proposed] = []
            while unanswered and (unanswered[0].done() or unanswered[0].deadline < now):
                overdue.append(unanswered.popleft())
            late = [proposed for proposed in overdue if not proposed.done()]
            _answer(late, Unavailable(f"not durable within {self._deadline_seconds} s; the outcome is unknown"))


def _meaning(failure: Exception, path: Path) -> HubError:
    """Return what a failure says to whoever proposed something."""
    if isinstance(failure, sqlite3.Error):
        return explained(failure, path)
    if isinstance(failure, HubError):
        return failure
    return Unavailable(f"{path}: the batch could not be decided: {type(failure).__name__}")


def _is_full(failure: sqlite3.Error) -> bool:
    """Tell whether the disk or the file's allowance is full: then nothing is wrong with the connection."""
    return getattr(failure, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _answer(batch: list[Proposed], error: Exception) -> None:
    """Answer all with the same error."""
    answers = Answers()
    for proposed in batch:
        answers.give(proposed, error)
    answers.send()
