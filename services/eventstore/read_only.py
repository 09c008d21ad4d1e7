"""The embedded store read by a process that does not write it: ``hub verify`` and ``hub log`` beside ``hub serve``."""

from __future__ import annotations

import time
from collections.abc import Collection
from concurrent.futures import Future
from pathlib import Path
from time import monotonic
from typing import Final, Self

from services.eventstore import fold
from services.eventstore.agreement import Disagreement, first_disagreement
from services.eventstore.fold import ShardState
from services.eventstore.port import Append, Head, Result, Stored
from services.eventstore.reader import Reader
from services.runtime.errors import Unavailable

POLL_SECONDS: Final = 0.05


class ReadOnlyShard:
    """One shard as another process writes it."""

    def __init__(self, name: str, number: int, reader: Reader) -> None:
        """Belong to a store."""
        self._name = name
        self._number = number
        self._reader = reader

    @property
    def name(self) -> str:
        """The shard's name."""
        return self._name

    def append(self, append: Append) -> Future[Result]:  # noqa: ARG002  refused whatever it is
        """Fail: this process does not write."""
        future: Future[Result] = Future()
        future.set_exception(Unavailable("the event store is open for reading only"))
        return future

    def revoke_key(self, key_id: str) -> Future[None]:  # noqa: ARG002  refused whatever it is
        """Fail: this process does not write."""
        future: Future[None] = Future()
        future.set_exception(Unavailable("the event store is open for reading only"))
        return future

    def read_stream(self, stream: str, after_version: int = 0, limit: int | None = None) -> list[Stored]:
        """Return a stream's events behind ``after_version``, in order."""
        return self._reader.stream(self._number, stream, after_version=after_version, limit=limit)

    def read(self, after_position: int, limit: int) -> list[Stored]:
        """Return the shard's events behind ``after_position``, in order."""
        return self._reader.events(self._number, after_position, limit)

    def stream_version(self, stream: str) -> int:
        """Return a stream's version, 0 if it does not exist."""
        return self._reader.stream_version(self._number, stream) or 0

    def find(self, event_id: bytes) -> Stored | None:
        """Return the event of this id."""
        return self._reader.find(self._number, event_id)

    def leaf(self, stored: Stored) -> bytes:
        """Return the leaf hash of an event of this shard."""
        return fold.leaf(self._name, stored)

    def revoked_keys(self) -> dict[str, int]:
        """Return the revoked keys, each with the shard's position when it was revoked."""
        return self._reader.revoked_keys(self._number)

    def marks(self) -> dict[int, bytes]:
        """Return the digests that were noted while the shard grew, each with its position."""
        return self._reader.marks(self._number)

    def disagreement(self, position: int) -> Disagreement | None:
        """Return what is wrong first, up to a position, with what is kept beside the events; None if it agrees with them."""
        return first_disagreement(self._reader, self._number, position)

    def head(self) -> Head:
        """Return how far the writing process has come."""
        return self._reader.shard(self._number).head()

    def log_end(self, timeout_seconds: float) -> int:  # noqa: ARG002  the file is the log
        """Return the head."""
        return self.head().position

    def wait_for(self, position: int, timeout_seconds: float) -> bool:
        """Wait until the writing process has come to ``position``; it cannot wake this one, so this looks now and then."""
        deadline = monotonic() + timeout_seconds
        while self.head().position < position:
            left = deadline - monotonic()
            if left <= 0:
                return False
            time.sleep(min(POLL_SECONDS, left))
        return True


class ReadOnlyEventStore:
    """The embedded store as another process writes it: ``hub verify`` and ``hub log`` read while ``hub serve`` runs."""

    def __init__(self, path: Path, only: Collection[str] = ()) -> None:
        """Open the file; raise ``Unavailable`` if there is none, ``IntegrityError`` if it is not an event store of this version.

        ``only``: the shards to look at, where what the file holds of others is not kept current; none for all.
        """
        path = Path(path).absolute()
        if not path.is_file():
            raise Unavailable(f"{path}: there is no event store")
        self._reader = Reader(path)
        self._reader.check()
        self._only = frozenset(only)
        self._shards: dict[str, ReadOnlyShard] = {}

    def __enter__(self) -> Self:
        """Return the store, to be closed at the end of a ``with`` block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def check_file(self) -> None:
        """Raise ``IntegrityError`` if the file's tables and indexes do not agree; reads all of it."""
        self._reader.check_file()

    def shards(self) -> tuple[str, ...]:
        """Return the names of the shards that exist."""
        return tuple(sorted([state.shard for _, state in self._begun()]))

    def shard(self, name: str) -> ReadOnlyShard:
        """Return a shard; raise ``Unavailable`` for one that does not exist."""
        if name not in self._shards:
            self._shards |= {state.shard: ReadOnlyShard(state.shard, number, self._reader) for number, state in self._begun()}
        if name in self._shards:
            return self._shards[name]
        raise Unavailable(f"this node does not follow shard {name!r}")

    @property
    def shares_log(self) -> bool:
        """Tell whether others write what this process reads: they do, but it answers nobody."""
        return False

    def come_to_end(self, shard: str, timeout_seconds: float) -> None:
        """Return at once: the file is the log."""

    def demand_followed(self, shard: str) -> None:
        """Return at once: whoever reads the file sees what there is."""

    def create_shard(self, name: str) -> ReadOnlyShard:
        """Return a shard that exists; this process begins none."""
        return self.shard(name)

    def _begun(self) -> list[tuple[int, ShardState]]:
        """Return the shards to look at that have begun, each with its number."""
        every = [(number, state) for number, state in self._reader.shards() if state.rules]
        return [(number, state) for number, state in every if state.shard in self._only] if self._only else every

    def close(self) -> None:
        """Close the file; idempotent."""
        self._reader.close()


def open_read_only(path: Path, only: Collection[str] = ()) -> ReadOnlyEventStore:
    """Open an event store for reading, also while another process writes it; ``only``: the shards to look at, none for all."""
    return ReadOnlyEventStore(path, only)
