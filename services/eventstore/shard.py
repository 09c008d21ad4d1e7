"""One shard of an event store: appends go to the sequencer, reads come from this node's state."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from services.eventstore import fold, frame, recorders
from services.eventstore.fold import ShardState
from services.eventstore.port import Append, Head, Malformed, Result, Stored
from services.eventstore.proposals import Sequencer
from services.eventstore.reader import Reader
from services.eventstore.state import State


class NodeShard:
    """One shard as this node's state holds it; every method may be called from any thread."""

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

    def log_end(self, timeout_seconds: float) -> int:
        """Return a position behind which nothing lies that was on the log when this was called; raise ``Unavailable`` without an answer."""
        self._sequencer.log_end(self._name, timeout_seconds)
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
