"""Reading the state: any thread, any process, never in the writer's way."""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from services.eventstore.fold import ShardState
from services.eventstore.port import Stored
from services.eventstore.tables import POSITION_BITS, POSITION_MASK, check_version, explained, open_reader
from services.runtime.errors import IntegrityError, Unavailable

IDLE_MAX_CONNECTIONS: Final = 16

_EVENTS: Final = "SELECT place, stream, version, event_id, header_hash, type, recorded_at, state FROM event"
_STREAM_EVENTS: Final = f"{_EVENTS} WHERE stream_number = (SELECT number FROM stream WHERE shard = ? AND name = ?)"  # noqa: S608  fixed
EVENT_BY_PLACE: Final = f"{_EVENTS} WHERE place = ?"
EVENTS_BETWEEN: Final = f"{_EVENTS} WHERE place > ? AND place <= ? ORDER BY place LIMIT ?"
EVENT_BY_ID: Final = f"{_EVENTS} WHERE shard = ? AND event_id = ?"
STREAM_VERSION: Final = (
    "SELECT number, (SELECT max(version) FROM event WHERE stream_number = number) FROM stream WHERE shard = ? AND name = ?"
)
TRACKING_POSITION: Final = "SELECT position FROM tracking WHERE shard = ? AND name = ?"
_SHARDS: Final = (
    "SELECT number, name, next_offset, last_append_id, position, digest, recorded_at, rules, formats, malformed, partition FROM shard"
)
SHARDS: Final = f"{_SHARDS} ORDER BY number"
SHARD: Final = f"{_SHARDS} WHERE number = ?"

Row = tuple[Any, ...]


def stored_of(row: Row) -> Stored:
    """Return the event in a row of the statements above."""
    return Stored(row[0] & POSITION_MASK, *row[1:])


def shard_of(row: Row) -> tuple[int, ShardState]:
    """Return a shard's number and state from a row of ``SHARDS``."""
    number, name, next_offset, last_append_id, position, digest, recorded_at, rules, formats, malformed, _ = row
    allowed = tuple([int(version) for version in formats.split()])
    return number, ShardState(name, next_offset, last_append_id, position, digest, recorded_at, rules, allowed, malformed)


def partition_of(row: Row) -> int:
    """Return where a shard lies from a row of ``SHARDS``."""
    partition: int = row[-1]
    return partition


class Reader:
    """Connections for reading, lent to one thread at a time; every query sees what was committed when it began."""

    def __init__(self, path: Path) -> None:
        """Open nothing yet."""
        self._path = path
        self._idle: deque[sqlite3.Connection] = deque()
        self._closed = False

    def query(self, statement: str, parameters: Sequence[object]) -> list[Row]:
        """Return all rows; raise ``IntegrityError`` for a damaged file and ``Unavailable`` for everything that may pass."""
        if self._closed:
            raise Unavailable("the event store is closed")
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = open_reader(self._path)
        try:
            rows: list[Row] = connection.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            connection.close()
            raise explained(error, self._path) from error
        self._give_back(connection)
        return rows

    def check(self) -> None:
        """Raise ``IntegrityError`` unless the file is an event store of the version that this program reads."""
        connection = open_reader(self._path)
        try:
            check_version(connection, self._path)
        except sqlite3.Error as error:
            raise explained(error, self._path) from error
        finally:
            connection.close()

    def check_file(self) -> None:
        """Raise ``IntegrityError`` if the file's tables and indexes do not agree with one another; reads all of it."""
        ((found,),) = self.query("PRAGMA integrity_check(1)", ())
        if found != "ok":
            raise IntegrityError(f"{self._path}: the event store is damaged: {found}")

    def close(self) -> None:
        """Close the idle connections; one still in use closes when its query ends."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def shards(self) -> list[tuple[int, ShardState]]:
        """Return every shard of the file with its number."""
        return [shard_of(row) for row in self.query(SHARDS, ())]

    def shard(self, number: int) -> ShardState:
        """Return one shard by its number."""
        return shard_of(self.query(SHARD, (number,))[0])[1]

    def events(self, shard: int, after: int, limit: int, stop: int | None = None, types: Sequence[str] = ()) -> list[Stored]:
        """Return a shard's events behind position ``after``, up to ``stop``, of these types only if any are named."""
        first = shard << POSITION_BITS
        last = first | (POSITION_MASK if stop is None else min(max(stop, 0), POSITION_MASK))
        wanted = f" AND type IN ({','.join('?' * len(types))})" if types else ""
        statement = f"{_EVENTS} WHERE place > ? AND place <= ?{wanted} ORDER BY place LIMIT ?"
        after = min(max(after, 0), POSITION_MASK)
        return [stored_of(row) for row in self.query(statement, (first | after, last, *types, limit))]

    def stream(
        self,
        shard: int,
        stream: str,
        *,
        after_version: int | None = None,
        to_version: int | None = None,
        newest_first: bool = False,
        limit: int | None = None,
    ) -> list[Stored]:
        """Return a stream's events between two versions, the first excluded, in order or newest first."""
        statement = _STREAM_EVENTS
        parameters: list[object] = [shard, stream]
        if after_version is not None:
            statement += " AND version > ?"
            parameters.append(after_version)
        if to_version is not None:
            statement += " AND version <= ?"
            parameters.append(to_version)
        statement += f" ORDER BY version{' DESC' if newest_first else ''}"
        if limit is not None:
            statement += " LIMIT ?"
            parameters.append(limit)
        return [stored_of(row) for row in self.query(statement, parameters)]

    def stream_version(self, shard: int, stream: str) -> int | None:
        """Return a stream's version, None when it does not exist."""
        rows = self.query(STREAM_VERSION, (shard, stream))
        return rows[0][1] if rows else None

    def find(self, shard: int, event_id: bytes) -> Stored | None:
        """Return the event of this id."""
        rows = self.query(EVENT_BY_ID, (shard, event_id))
        return stored_of(rows[0]) if rows else None

    def tracking_position(self, shard: int, name: str) -> int | None:
        """Return how far a consumer has come, None for one never seen."""
        rows = self.query(TRACKING_POSITION, (shard, name))
        return rows[0][0] if rows else None

    def revoked_keys(self, shard: int) -> dict[str, int]:
        """Return the revoked keys, each with the position at which it was revoked."""
        return dict(self.query("SELECT key_id, position FROM revoked WHERE shard = ? ORDER BY position, key_id", (shard,)))

    def marks(self, shard: int) -> dict[int, bytes]:
        """Return a shard's marked digests by position; none of a file that was last written before there were marks."""
        if not self.query("SELECT 1 FROM sqlite_master WHERE name = 'mark'", ()):
            return {}
        return dict(self.query("SELECT position, digest FROM mark WHERE shard = ?", (shard,)))

    def _give_back(self, connection: sqlite3.Connection) -> None:
        """Keep a connection for the next query, unless there are enough or the store closed meanwhile."""
        if self._closed or len(self._idle) >= IDLE_MAX_CONNECTIONS:
            connection.close()
            return
        self._idle.append(connection)
        if self._closed:
            self.close()
