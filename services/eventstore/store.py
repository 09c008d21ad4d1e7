"""An event store on a state's file: what the embedded one and the one on Kafka have in common."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from services.eventstore import tables
from services.eventstore.lock import WriterLock
from services.eventstore.proposals import Sequencer
from services.eventstore.reader import Reader
from services.eventstore.shard import NodeShard
from services.eventstore.state import State
from services.runtime.errors import HubError, Unavailable


def not_followed(shard: str) -> Unavailable:
    """Return what is said of a shard that a node does not follow, or that nobody has begun."""
    return Unavailable(f"this node does not follow shard {shard!r}")


class NodeStore(ABC):
    """The shards in this node's state; the only store that writes the file."""

    def __init__(self, path: Path, *, synchronous: str, connect: tables.Connect, kind: int, deadline_seconds: float) -> None:
        """Open or create the file; raise ``Unavailable`` while another process writes it, ``IntegrityError`` if it is not sound."""
        path = Path(path).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._deadline_seconds = deadline_seconds
        self._shards: dict[str, NodeShard] = {}
        self._shards_lock = threading.Lock()
        self._closed = False
        with ExitStack() as undoing:
            self._lock = WriterLock(path)
            undoing.callback(self._lock.release)
            self._before_opening()
            self._state = State(path, synchronous=synchronous, connect=connect, kind=kind)
            undoing.callback(self._state.close)
            self._reader = Reader(path)
            undoing.callback(self._reader.close)
            self._sequencer = self._open_sequencer(self._state, self._wake)
            undoing.pop_all()
        self._sequencer.on_failure = self._wake_all

    @abstractmethod
    def demand_followed(self, shard: str) -> None:
        """Raise ``Unavailable`` for a shard that this node does not follow, whether there is one of that name or not."""

    @abstractmethod
    def _before_opening(self) -> None:
        """Do what must be done to the file while nobody has it open; it is locked."""

    @abstractmethod
    def _open_sequencer(self, state: State, committed: Callable[[set[str]], None]) -> Sequencer:
        """Return what decides proposals; it calls ``committed`` with the shards of each durable batch, before anyone is answered."""

    @abstractmethod
    def create_shard(self, name: str) -> NodeShard:
        """Begin a shard with its GENESIS record; return it, also when it exists."""

    @property
    @abstractmethod
    def shares_log(self) -> bool:
        """Tell whether other nodes write to the log as well, so that it may hold more than this node has folded."""

    @abstractmethod
    def come_to_end(self, shard: str, timeout_seconds: float) -> None:
        """Wait until this node has folded what the log held of a shard, and of where shards lie, when this was called."""

    @property
    def failure(self) -> HubError | None:
        """Why nothing will be decided here any more; None while all is well."""
        return self._sequencer.failure

    def shards(self) -> tuple[str, ...]:
        """Return the names of the shards that exist here."""
        return self._state.shards()

    def shard(self, name: str) -> NodeShard:
        """Return a shard; raise ``Unavailable`` for one that this node does not follow."""
        found = self._shards.get(name)
        if found is not None:
            return found
        state = self._state.committed(name)
        if state is None or not state.rules:
            raise not_followed(name)
        with self._shards_lock:
            return self._shards.setdefault(name, NodeShard(name, self._state, self._reader, self._sequencer))

    def close(self) -> None:
        """Finish what was accepted and close; idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            self._sequencer.close()
        finally:
            self._wake_all()
            self._reader.close()
            self._state.close()
            self._lock.release()

    def _wake_all(self) -> None:
        """Tell whoever waits that nothing will be decided here any more."""
        for shard in list(self._shards.values()):
            shard.wake(closed=True)

    def _wake(self, shards: set[str]) -> None:
        """Wake who waits for these shards."""
        for name in shards:
            shard = self._shards.get(name)
            if shard is not None:
                shard.wake()
