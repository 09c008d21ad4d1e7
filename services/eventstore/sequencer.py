"""The in-process sequencer: one writer thread puts appends in an order and commits all that wait in one transaction.

It is what Kafka is in a cluster. The fold decides; this file only orders, makes durable, answers and wakes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Final

import structlog

from services.eventstore.fold import fold_append, fold_control
from services.eventstore.port import Append, Result
from services.eventstore.proposals import Answers, Proposed, Sequencer, answer_all
from services.eventstore.state import State
from services.runtime.errors import Unavailable

BATCH_MAX_APPENDS: Final = 512
BATCH_MAX_BYTES: Final = 8 * 1024 * 1024

_log = structlog.get_logger(__name__)

Clock = Callable[[], int]
"""Returns Unix milliseconds."""


class LocalSequencer(Sequencer):
    """Decides proposals in the order of their arrival."""

    def __init__(self, state: State, path: Path, clock: Clock, committed: Callable[[set[str]], None], deadline_seconds: float) -> None:
        """Start the threads. ``committed`` is called with the shards of each durable batch, before anyone is answered."""
        super().__init__("eventstore-writer", state, path, deadline_seconds)
        self._clock = clock
        self._committed = committed
        self._queue: SimpleQueue[Proposed | None] = SimpleQueue()
        self._stopped = False
        self._start()

    def log_end(self, shard: str, timeout_seconds: float) -> None:
        """Return at once: what is decided here is folded already."""

    def close(self) -> None:
        """Decide what was proposed before, then stop; idempotent."""
        if not self._closing.is_set():
            self._closing.set()
            self._queue.put(None)
        self._join()

    def _put(self, proposed: Proposed) -> None:
        """Put a proposal in line, or answer it at once when there is no point."""
        if not self._turned_away(proposed, self._queue.qsize()):
            self._queue.put(proposed)
            if self._stopped:
                self._turn_away()

    def _work(self) -> None:
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
            answer_all(batch, self._recover(failure, len(batch)))
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

    def _turn_away(self) -> None:
        """Answer what came too late."""
        while not self._queue.empty():
            proposed = self._queue.get_nowait()
            if proposed is not None:
                answer_all([proposed], Unavailable("the event store is closed"))
