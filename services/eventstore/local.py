"""The embedded event store: the fold, its SQLite state, and an in-process sequencer; and eventsourcing's factory on top.

One process writes a file; any process may read it meanwhile (``open_read_only``).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

from services.eventstore import fold, frame, library, tables
from services.eventstore.sequencer import Clock, LocalSequencer
from services.eventstore.shard import NodeShard
from services.eventstore.state import State
from services.eventstore.store import NodeStore
from services.runtime.errors import Unavailable
from services.runtime.limits import APPEND_DEADLINE_SECONDS


def system_clock() -> int:
    """Return the machine's time in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class LocalEventStore(NodeStore):
    """The embedded store in one file."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock = system_clock,
        connect: tables.Connect = tables.connect,
        deadline_seconds: float = APPEND_DEADLINE_SECONDS,
    ) -> None:
        """Open or create the file; raise ``Unavailable`` while another process writes it, ``IntegrityError`` if it is not sound.

        ``clock`` returns Unix milliseconds; within a shard a recorded time never goes back, whatever it says.
        """
        self._clock = clock
        super().__init__(path, synchronous="FULL", connect=connect, kind=tables.IS_THE_LOG, deadline_seconds=deadline_seconds)

    @property
    def shares_log(self) -> bool:
        """Tell that nobody else writes to the log."""
        return False

    def come_to_end(self, shard: str, timeout_seconds: float) -> None:
        """Return at once: what is decided here is folded already."""

    def demand_followed(self, shard: str) -> None:
        """Return at once: a store alone follows every shard."""

    def create_shard(self, name: str) -> NodeShard:
        """Begin a shard with its GENESIS record; return it, also when it exists."""
        if name not in self.shards():
            genesis = frame.Genesis(name, fold.RULES_VERSION, (frame.APPEND_FORMAT,))
            try:
                self._sequencer.control(name, genesis).result(self._deadline_seconds)
            except FutureTimeoutError:
                raise Unavailable(f"shard {name!r} did not begin within {self._deadline_seconds} s") from None
        return self.shard(name)

    def _before_opening(self) -> None:
        """Leave the file as it is: it is the log."""

    def _open_sequencer(self, state: State, committed: Callable[[set[str]], None]) -> LocalSequencer:
        """Return the in-process sequencer."""
        return LocalSequencer(state, self._path, self._clock, committed, self._deadline_seconds)


class LocalFactory(library.StoreFactory):
    """eventsourcing on the embedded store: ``PERSISTENCE_MODULE=services.eventstore.local``."""

    def open_store(self, path: Path) -> LocalEventStore:
        """Open the embedded store in this file."""
        return LocalEventStore(path)
