"""The embedded event store: the fold, its SQLite state, and an in-process sequencer; and eventsourcing's factory on top.

One process writes a file; any process may read it meanwhile (``open_read_only``).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
import time
import weakref
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from typing import Final, TypeVar

from eventsourcing.persistence import AggregateRecorder, ApplicationRecorder, InfrastructureFactory, ProcessRecorder
from eventsourcing.utils import Environment, EnvType, resolve_topic

from services.eventstore import fold, frame, recorders, snapshots, tables
from services.eventstore.fold import ShardState
from services.eventstore.port import Append, Head, Malformed, Result, Stored
from services.eventstore.reader import Reader
from services.eventstore.sequencer import Clock, Sequencer
from services.eventstore.state import State
from services.runtime.errors import Unavailable
from services.runtime.limits import APPEND_DEADLINE_SECONDS

RecorderClass = TypeVar("RecorderClass")


def system_clock() -> int:
    """Return the machine's time in Unix milliseconds."""
    return time.time_ns() // 1_000_000


class LocalShard:
    """One shard of the embedded store; every method may be called from any thread."""

    def __init__(self, name: str, state: State, reader: Reader, sequencer: Sequencer) -> None:
        """Belong to a store."""
        self._name = name
        self._state = state
        self._reader = reader
        self._sequencer = sequencer
        self._changed = threading.Condition()
        self._listeners: tuple[recorders.Wakeable, ...] = ()
        self._closed = False

    @property
    def name(self) -> str:
        """The shard's name."""
        return self._name

    def append(self, append: Append) -> Future[Result]:
        """Propose an append; the future holds the fold's decision once it is durable."""
        if append.shard != self._name:
            future: Future[Result] = Future()
            future.set_result(self._elsewhere(append))
            return future
        return self._sequencer.propose(self._name, append.append_id, append)

    def append_async(self, append: Append) -> asyncio.Future[Result]:
        """Do the same as ``append`` for a caller in a running event loop, which is woken once a batch instead of once an append."""
        if append.shard != self._name:
            waiter: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
            waiter.set_result(self._elsewhere(append))
            return waiter
        return self._sequencer.propose_async(self._name, append.append_id, append)

    def revoke_key(self, key_id: str) -> Future[None]:
        """Write a KEY_REVOKED control record; done when it is durable. Repeating it changes nothing."""
        return self._sequencer.control(self._name, frame.KeyRevoked(key_id))

    def read_stream(self, stream: str, after_version: int = 0, limit: int | None = None) -> list[Stored]:
        """Return a stream's events behind ``after_version``, in order."""
        return self._reader.stream(self._number(), stream, after_version=after_version, limit=limit)

    def select_stream(
        self, stream: str, *, after_version: int | None, to_version: int | None, newest_first: bool, limit: int | None
    ) -> list[Stored]:
        """Return a stream's events between two versions, the first excluded, in order or newest first."""
        return self._reader.stream(
            self._number(), stream, after_version=after_version, to_version=to_version, newest_first=newest_first, limit=limit
        )

    def read(self, after_position: int, limit: int) -> list[Stored]:
        """Return the shard's events behind ``after_position``, in order."""
        return self._reader.events(self._number(), after_position, limit)

    def select(self, after_position: int, limit: int, *, stop: int | None, types: Sequence[str]) -> list[Stored]:
        """Return the shard's events behind ``after_position``, up to ``stop``, of these types only if any are named."""
        return self._reader.events(self._number(), after_position, limit, stop, types)

    def stream_version(self, stream: str) -> int:
        """Return a stream's version, 0 if it does not exist."""
        cached = self._state.cached_version(self._name, stream)
        return cached if cached is not None else self._reader.stream_version(self._number(), stream) or 0

    def find(self, event_id: bytes) -> Stored | None:
        """Return the event of this id."""
        return self._reader.find(self._number(), event_id)

    def leaf(self, stored: Stored) -> bytes:
        """Return the leaf hash of an event of this shard."""
        return fold.leaf(self._name, stored)

    def tracking_position(self, name: str) -> int | None:
        """Return how far a consumer has come, None for one never seen."""
        return self._reader.tracking_position(self._number(), name)

    def revoked_keys(self) -> dict[str, int]:
        """Return the revoked keys, each with the shard's position when it was revoked."""
        return self._state.revoked_keys(self._name)

    def head(self) -> Head:
        """Return how far this node's state has come."""
        return self._standing().head()

    def log_end(self, timeout_seconds: float) -> int:  # noqa: ARG002  what is decided here is folded already
        """Return the head: the in-process sequencer decides by folding, so nothing decided lies behind it."""
        return self._standing().position

    def wait_for(self, position: int, timeout_seconds: float) -> bool:
        """Wait until the state has come to ``position``; False when the time is up or the store closes."""
        if self._standing().position >= position:
            return True
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._standing().position >= position, timeout_seconds)
        return self._standing().position >= position

    def listen(self, listener: recorders.Wakeable) -> None:
        """Have every commit to this shard call ``listener.set()``, on the writer's thread."""
        with self._changed:
            self._listeners = (*self._listeners, listener)

    def unlisten(self, listener: recorders.Wakeable) -> None:
        """Take a listener back; nothing happens for one that is not there."""
        with self._changed:
            self._listeners = tuple([each for each in self._listeners if each is not listener])

    def wake(self, *, closed: bool = False) -> None:
        """Tell those who wait that the state has moved, or will not move again."""
        with self._changed:
            self._closed = self._closed or closed
            self._changed.notify_all()
        for listener in self._listeners:
            listener.set()

    def _elsewhere(self, append: Append) -> Malformed:
        """Return the answer to an append for another shard."""
        return Malformed(f"an append to shard {append.shard!r} given to {self._name!r}")

    def _standing(self) -> ShardState:
        """Return where the shard durably stands."""
        return self._state.committed(self._name) or ShardState(self._name)

    def _number(self) -> int:
        """Return the shard's number in the file."""
        return self._state.number(self._name)


class LocalEventStore:
    """The embedded store in one file; the only one that writes it."""

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
        path = Path(path).absolute()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _WriterLock(path)
        try:
            self._state = State(path, connect=connect)
            self._reader = Reader(path)
            self._shards: dict[str, LocalShard] = {}
            self._shards_lock = threading.Lock()
            self._sequencer = Sequencer(self._state, path, clock, self._wake, deadline_seconds)
        except BaseException:
            self._lock.release()
            raise
        self._deadline_seconds = deadline_seconds
        self._closed = False

    def shards(self) -> tuple[str, ...]:
        """Return the names of the shards that exist here."""
        return self._state.shards()

    def shard(self, name: str) -> LocalShard:
        """Return a shard; raise ``Unavailable`` for one that this node does not follow."""
        found = self._shards.get(name)
        if found is not None:
            return found
        state = self._state.committed(name)
        if state is None or not state.rules:
            raise Unavailable(f"this node does not follow shard {name!r}")
        with self._shards_lock:
            return self._shards.setdefault(name, LocalShard(name, self._state, self._reader, self._sequencer))

    def create_shard(self, name: str) -> LocalShard:
        """Begin a shard with its GENESIS record; return it, also when it exists."""
        if name not in self.shards():
            genesis = frame.Genesis(name, fold.RULES_VERSION, (frame.APPEND_FORMAT,))
            try:
                self._sequencer.control(name, genesis).result(self._deadline_seconds)
            except FutureTimeoutError:
                raise Unavailable(f"shard {name!r} did not begin within {self._deadline_seconds} s") from None
        return self.shard(name)

    def close(self) -> None:
        """Finish what was accepted and close; idempotent."""
        if self._closed:
            return
        self._closed = True
        try:
            self._sequencer.close()
        finally:
            for shard in list(self._shards.values()):
                shard.wake(closed=True)
            self._reader.close()
            self._state.close()
            self._lock.release()

    def _wake(self, shards: set[str]) -> None:
        """Wake who waits for these shards."""
        for name in shards:
            shard = self._shards.get(name)
            if shard is not None:
                shard.wake()


class _WriterLock:
    """Held by the one process that writes a file; the system lets it go when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock; raise ``Unavailable`` naming the process that holds it."""
        lock_path = path.with_name(path.name + ".lock")
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise Unavailable(f"{path}: process {holder} has this event store open for writing") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let the lock go; idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class LocalFactory(InfrastructureFactory[recorders.LogTrackingRecorder]):
    """eventsourcing on the embedded store: ``PERSISTENCE_MODULE=services.eventstore.local``.

    ``EVENTSTORE_PATH``: the file (required). ``EVENTSTORE_SHARD``: the one shard that everything lies in, default ``events``.
    ``ORIGINATOR_ID_TYPE``: ``uuid`` (default) or ``text``. Factories of one process share a file's store; the last one closes it.
    """

    EVENTSTORE_PATH = "EVENTSTORE_PATH"
    EVENTSTORE_SHARD = "EVENTSTORE_SHARD"
    ORIGINATOR_ID_TYPE = "ORIGINATOR_ID_TYPE"

    def __init__(self, env: Environment | EnvType | None) -> None:
        """Read the environment and open the store; raise ``OSError`` for a setting that is missing or wrong, as eventsourcing does."""
        super().__init__(env)
        path = self.env.get(self.EVENTSTORE_PATH)
        if not path:
            raise OSError(f"no event store file in the environment: set one of {', '.join(self.env.create_keys(self.EVENTSTORE_PATH))}")
        id_type = (self.env.get(self.ORIGINATOR_ID_TYPE) or "uuid").lower()
        if id_type not in {"uuid", "text"}:
            raise OSError(f"{self.ORIGINATOR_ID_TYPE} is {id_type!r}, expected 'uuid' or 'text'")
        shard = self.env.get(self.EVENTSTORE_SHARD) or "events"
        store = _SHARED.borrow(Path(path).absolute())
        self._release = weakref.finalize(self, _SHARED.give_back, Path(path).absolute())
        self.snapshots = snapshots.Snapshots(Path(path).absolute())
        self.log = recorders.Log(store.create_shard(shard), id_type == "uuid")

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """Return a recorder: on the log for ``events``, in a node-local cache for every other purpose (snapshots)."""
        if purpose == "events":
            return recorders.LogAggregateRecorder(self.log)
        return snapshots.SnapshotRecorder(self.snapshots, purpose, uuid_ids=self.log.uuid_ids)

    def application_recorder(self) -> ApplicationRecorder:
        """Return a recorder whose notification ids are positions on the shard."""
        return self._class(self.APPLICATION_RECORDER_TOPIC, recorders.LogApplicationRecorder)(self.log)

    def tracking_recorder(
        self, tracking_recorder_class: type[recorders.LogTrackingRecorder] | None = None
    ) -> recorders.LogTrackingRecorder:
        """Return a recorder of tracking alone."""
        return (tracking_recorder_class or self._class(self.TRACKING_RECORDER_TOPIC, recorders.LogTrackingRecorder))(self.log)

    def process_recorder(self) -> ProcessRecorder:
        """Return a recorder whose appends carry tracking."""
        return self._class(self.PROCESS_RECORDER_TOPIC, recorders.LogProcessRecorder)(self.log)

    def close(self) -> None:
        """Give the store back; idempotent."""
        self.snapshots.close()
        self._release()

    def _class(self, key: str, default: type[RecorderClass]) -> type[RecorderClass]:
        """Return the recorder class that the environment names, or the default."""
        topic = self.env.get(key)
        return resolve_topic(topic) if topic else default


class _SharedStores:
    """The stores that this process's factories have open, each with how many of them use it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._stores: dict[Path, tuple[LocalEventStore, int]] = {}

    def borrow(self, path: Path) -> LocalEventStore:
        """Return the store of a file, opened if need be."""
        with self._lock:
            store, users = self._stores.get(path) or (LocalEventStore(path), 0)
            self._stores[path] = (store, users + 1)
            return store

    def give_back(self, path: Path) -> None:
        """Close the store of a file if nobody else uses it."""
        with self._lock:
            store, users = self._stores[path]
            if users > 1:
                self._stores[path] = (store, users - 1)
                return
            del self._stores[path]
            store.close()


_SHARED: Final = _SharedStores()
