"""Appends and controls on their way: who waits for which answer, in a thread or an event loop, and until when.

Whatever orders a log stands behind this: the in-process sequencer, or a follower of a log that other nodes write too.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from pathlib import Path
from time import monotonic
from typing import Final

import structlog

from services.eventstore import frame
from services.eventstore.port import Append, Malformed, Result
from services.eventstore.state import State
from services.eventstore.tables import explained
from services.runtime.errors import HubError, Invalid, Unavailable, Violation
from services.runtime.limits import WAITING_MAX_APPENDS
from services.runtime.randomness import rising_id

DEADLINE_CHECK_SECONDS: Final = 0.5
CLOSE_MAX_SECONDS: Final = 30.0

_log = structlog.get_logger(__name__)


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


class Sequencer(ABC):
    """Has proposals decided; a future is answered only after its decision is durable."""

    def __init__(self, name: str, state: State, path: Path, deadline_seconds: float, now: Callable[[], float] = monotonic) -> None:
        """``name``: what the worker's thread is called; ``path``: the state's file; ``now`` returns seconds that never go back."""
        self._state = state
        self._path = path
        self._deadline_seconds = deadline_seconds
        self._now = now
        self._unanswered: deque[Proposed] = deque()
        self._closing = threading.Event()
        self._broken: HubError | None = None
        self.on_failure: Callable[[], None] = lambda: None
        """Called, from any thread, when nothing will be decided here any more though nobody closed it."""
        self._worker = threading.Thread(target=self._work, name=name, daemon=True)
        self._overdue = threading.Thread(target=self._watch_deadlines, name="eventstore-deadlines", daemon=True)

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

        self.propose(shard, rising_id(), control).add_done_callback(settle)
        return done

    @property
    def failure(self) -> HubError | None:
        """Why nothing will be decided here any more; None while all is well."""
        return self._broken

    @abstractmethod
    def log_end(self, shard: str, timeout_seconds: float) -> None:
        """Wait until all that the log held of a shard when this was called is folded; raise ``Unavailable`` if it takes longer."""

    @abstractmethod
    def close(self) -> None:
        """Stop; what is not decided by then fails with ``Unavailable``. Idempotent."""

    @abstractmethod
    def _put(self, proposed: Proposed) -> None:
        """Put a proposal in line, or answer it at once when there is no point."""

    @abstractmethod
    def _work(self) -> None:
        """Decide, on the worker's thread, until told to stop."""

    def _start(self) -> None:
        """Start the threads."""
        self._worker.start()
        self._overdue.start()

    def _join(self) -> None:
        """Wait for the threads to end."""
        self._worker.join(CLOSE_MAX_SECONDS)
        self._overdue.join(CLOSE_MAX_SECONDS)
        if self._worker.is_alive():
            raise Unavailable(f"{self._path}: the writer did not stop within {CLOSE_MAX_SECONDS} s")

    def _turned_away(self, proposed: Proposed, waiting: int) -> bool:
        """Answer a proposal that there is no point in putting in line, and tell so; begin the deadline of any other."""
        if self._broken is not None:
            answer_all([proposed], self._broken)
        elif self._closing.is_set():
            answer_all([proposed], Unavailable("the event store is closing"))
        elif waiting >= WAITING_MAX_APPENDS:
            answer_all([proposed], Unavailable(f"{WAITING_MAX_APPENDS} appends are waiting already"))
        else:
            proposed.deadline = self._now() + self._deadline_seconds
            self._unanswered.append(proposed)
            return False
        return True

    def _recover(self, failure: Exception, records: int) -> HubError:
        """Forget a batch that failed and return what to answer; after a disk error the file is opened anew."""
        error = _meaning(failure, self._path)
        _log.error("eventstore.append_failed", error=type(failure).__name__, code=getattr(failure, "sqlite_errorname", ""), count=records)
        try:
            self._state.abandon(reopen=isinstance(failure, sqlite3.Error) and not _is_full(failure))
        except Unavailable:
            _log.error("eventstore.not_opened_again")
        except HubError as worse:
            error = worse
        if not isinstance(error, Unavailable):
            self._broken = error
        return error

    def _watch_deadlines(self) -> None:
        """Fail futures whose deadline has passed: what hangs must not hang the callers."""
        while not self._closing.wait(DEADLINE_CHECK_SECONDS) or self._worker.is_alive():
            if self._closing.is_set():
                self._worker.join(DEADLINE_CHECK_SECONDS)
            self._fail_overdue()

    def _fail_overdue(self) -> None:
        """Fail the futures whose deadline has passed."""
        unanswered, now = self._unanswered, self._now()
        overdue: list[Proposed] = []
        while unanswered and (unanswered[0].done() or unanswered[0].deadline < now):
            overdue.append(unanswered.popleft())
        late = [proposed for proposed in overdue if not proposed.done()]
        answer_all(late, Unavailable(f"not durable within {self._deadline_seconds} s; the outcome is unknown"))


def answer_all(batch: Sequence[Proposed], answer: Result | Exception) -> None:
    """Answer all alike."""
    answers = Answers()
    for proposed in batch:
        answers.give(proposed, answer)
    answers.send()


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
