"""What the fold remembers, in SQLite: one writer, one transaction for each folded batch.

Within a batch the fold reads its own undecided effects; outside it, every reader sees committed state only. A batch that fails
leaves no trace in memory either.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Final

from services.eventstore import outcome as outcomes
from services.eventstore import reader, tables
from services.eventstore.batch import Batch, Highest, Mark
from services.eventstore.fold import Effects, Outcome, ShardState, is_text
from services.eventstore.frame import ShardPlaced
from services.eventstore.generations import Generations
from services.eventstore.port import Append, Placed, ProposedEvent, Stored
from services.eventstore.tables import POSITION_BITS

STREAMS_CACHED: Final = 50_000
"""Each of two generations; a stream's entry takes about 250 bytes."""
MARK_POSITIONS: Final = 256
"""The digest is kept about so often: as many events are read to find a digest between two marks."""
_EVENTS_A_READ: Final = 64
"""Sixteen megabytes at most."""
_ROWS_A_STATEMENT: Final = (64, 32, 16, 8, 4, 2, 1)
_KEYS_A_LOOKUP: Final = 64


class State:
    """The fold's memory and its ``Lookups``. One thread begins, applies and commits; ``committed`` and what reads it is for all."""

    def __init__(
        self,
        path: Path,
        *,
        synchronous: str = "FULL",
        connect: tables.Connect = tables.connect,
        kind: int = tables.IS_THE_LOG,
        mark_positions: int = MARK_POSITIONS,
    ) -> None:
        """Open or create the file, in a time that does not grow with it; ``kind``: whether it is the log or was folded from one.

        The digest is marked every ``mark_positions``: nodes compare it, and ``hub verify`` names what does not lead to it.
        """
        self._mark_positions = mark_positions
        self._kind = kind
        self._path = path
        self._synchronous = synchronous
        self._connect = connect
        self._numbers: dict[str, int] = {}
        self._committed: dict[str, ShardState] = {}
        self._partitions: dict[str, int] = {}
        self._begun: tuple[str, ...] = ()
        self._revoked: dict[str, dict[str, int]] = {}
        self._highest: dict[int, Highest] = {}
        self._streams: Generations[tuple[str, str], tuple[int, int]] = Generations(STREAMS_CACHED)
        self._next_stream = 1
        self._batch = Batch()
        self._is_open = False
        self._open()

    def _open(self) -> None:
        """Open the file and read the heads; raise as ``tables.open_writer`` does."""
        self._connection = tables.open_writer(self._path, self._synchronous, self._connect, self._kind)
        try:
            self._read_heads()
        except sqlite3.Error as error:
            self._connection.close()
            raise tables.explained(error, self._path) from error
        self._is_open = True

    def _read_heads(self) -> None:
        """Read where every shard stands, which keys are revoked, and the last stream number."""
        self._streams.clear()
        for row in self._rows(reader.SHARDS, ()):
            number, state = reader.shard_of(row)
            self._numbers[state.shard] = number
            self._revoked[state.shard] = dict(self._rows("SELECT key_id, position FROM revoked WHERE shard = ?", (number,)))
            self._committed[state.shard] = state
            self._partitions[state.shard] = reader.partition_of(row)
            (ids,) = self._rows(_HIGHEST, (number, number))
            self._highest[number] = Highest(*[found or b"" for found in ids])
        self._note_begun()
        self._next_stream = (self._rows("SELECT max(stream_number) FROM event", ())[0][0] or 0) + 1

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def committed(self, shard: str) -> ShardState | None:
        """Return where a shard durably stands, None for one that is not in the file."""
        return self._committed.get(shard)

    def shards(self) -> tuple[str, ...]:
        """Return the shards that have begun."""
        return self._begun

    def _note_begun(self) -> None:
        """Keep the names of the shards that have begun: they are asked for several times an event."""
        if len(self._begun) < len(self._committed):
            self._begun = tuple(sorted([state.shard for state in self._committed.values() if state.rules]))

    def number(self, shard: str) -> int:
        """Return the number of a shard in the file."""
        return self._numbers[shard]

    def cached_version(self, shard: str, stream: str) -> int | None:
        """Return a stream's committed version if it is at hand."""
        found = self._streams.get((shard, stream))
        return None if found is None else found[1]

    def revoked_keys(self, shard: str) -> dict[str, int]:
        """Return the revoked keys of a shard, each with the position at which it was revoked."""
        return dict(self._revoked.get(shard, {}))

    def mark_before(self, shard: str, position: int) -> Mark | None:
        """Return the last durable mark of a shard at or before a position."""
        return self._mark("position <= ? ORDER BY position DESC", shard, position)

    def mark_after(self, shard: str, position: int) -> Mark | None:
        """Return the first durable mark of a shard behind a position."""
        return self._mark("position > ? ORDER BY position", shard, position)

    def events_between(self, shard: str, after: int, upto: int) -> Iterator[Stored]:
        """Yield the durable events of a shard behind one position, up to another."""
        first = self._numbers[shard] << POSITION_BITS
        while rows := self._rows(reader.EVENTS_BETWEEN, (first | after, first | upto, _EVENTS_A_READ)):
            events = [reader.stored_of(row) for row in rows]
            yield from events
            after = events[-1].position

    def begin(self, appends: Iterable[Append]) -> None:
        """Begin a batch; what the fold will ask about these appends is read in a few statements instead of many."""
        self._batch = Batch()
        if not self._is_open:
            self._open()
        self._connection.execute("BEGIN IMMEDIATE")
        by_shard: dict[str, list[Append]] = {}
        for append in appends:
            by_shard.setdefault(append.shard, []).append(append)
        for shard, those in by_shard.items():
            number = self._numbers.get(shard)
            if number is not None:
                self._read_ahead(shard, number, those)

    def apply(self, effects: Effects) -> None:
        """Take a decision's effects into the batch."""
        batch, state = self._batch, effects.state
        shard = state.shard
        batch.states[shard] = state
        number = self._numbers.get(shard)
        if number is None:
            number = self._begin_shard(shard)
        highest = self._highest[number]
        if effects.outcome is not None:
            highest.append_id = max(highest.append_id, effects.append_id)
            batch.outcomes[shard, effects.append_id] = effects.outcome
            batch.appends.append((number, effects.append_id, outcomes.to_bytes(effects.outcome)))
        if effects.revoked is not None:
            batch.revoked[shard, effects.revoked] = state.position
        if effects.tracking is not None:
            batch.tracking[shard, effects.tracking.name] = effects.tracking.position
        if effects.events:
            highest.event_id = max(highest.event_id, *[event.event_id for event in effects.events])
            self._apply_events(number, effects)
        if effects.shard_placed is not None:
            self._apply_place(effects.shard_placed)

    def _begin_shard(self, shard: str) -> int:
        """Return the number of a shard that is not in the file yet."""
        number = self._numbers[shard] = max(self._numbers.values(), default=0) + 1
        self._highest[number] = Highest()
        return number

    def commit(self) -> None:
        """Make the batch durable, then visible; raise ``sqlite3.Error`` with nothing of it kept."""
        batch = self._batch
        self._insert("stream", 3, batch.new_streams)
        self._insert("event", 10, batch.events)
        self._insert("append", 3, batch.appends)
        for shard, marks in batch.marks.items():
            self._insert("mark", 3, [(self._numbers[shard], *mark) for mark in marks])
        connection = self._connection
        if batch.tracking:
            connection.executemany(
                "INSERT INTO tracking VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET position = excluded.position",
                [(self._numbers[shard], name, position) for (shard, name), position in batch.tracking.items()],
            )
        if batch.revoked:
            connection.executemany(
                "INSERT INTO revoked VALUES (?, ?, ?)",
                [(self._numbers[shard], key_id, position) for (shard, key_id), position in batch.revoked.items()],
            )
        connection.executemany(
            _UPSERT_SHARD,
            [
                (
                    self._numbers[state.shard],
                    state.shard,
                    self.partition_of(state.shard) or 0,
                    state.next_offset,
                    state.last_append_id,
                    state.position,
                    state.digest,
                    state.recorded_at_ms,
                    state.rules,
                    " ".join(map(str, state.formats)),
                    state.malformed,
                )
                for state in batch.states.values()
            ],
        )
        connection.execute("COMMIT")
        self._publish(batch)

    def abandon(self, *, reopen: bool = False) -> None:
        """Forget the batch. With ``reopen``, or when not even a rollback works, the file is opened anew: memory is not trusted then."""
        batch, self._batch = self._batch, Batch()
        for shard in batch.states:
            if shard not in self._committed:
                del self._numbers[shard]
        try:
            if not reopen and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            reopen = True
        if reopen:
            self._reopen()

    def _reopen(self) -> None:
        """Replace the connection and read the heads anew; raise ``Unavailable`` while that fails, to be tried again by ``begin``."""
        self._is_open = False
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()
        self._open()

    def shard_state(self, shard: str) -> ShardState:
        """Return where the shard stands within this batch."""
        return self._batch.states.get(shard) or self._committed.get(shard) or ShardState(shard)

    def outcome(self, shard: str, append_id: bytes) -> Outcome | None:
        """Return what became of an append."""
        key = (shard, append_id)
        known = self._batch.outcomes
        if key in known:
            return known[key]
        rows = self._rows("SELECT result FROM append WHERE shard = ? AND append_id = ?", (self._numbers.get(shard), append_id))
        found = outcomes.from_bytes(rows[0][0]) if rows else None
        known[key] = found
        return found

    def event(self, shard: str, event_id: bytes) -> Stored | None:
        """Return an accepted event."""
        key = (shard, event_id)
        known = self._batch.stored
        if key in known:
            return known[key]
        fresh = self._batch.placed.get(key)
        if fresh is not None:
            found: Stored | None = _stored(*fresh)
        else:
            rows = self._rows(reader.EVENT_BY_ID, (self._numbers.get(shard), event_id))
            found = reader.stored_of(rows[0]) if rows else None
        known[key] = found
        return found

    def event_at(self, shard: str, position: int) -> Stored:
        """Return the accepted event at a position that exists."""
        committed = self._committed.get(shard)
        if committed is None or position > committed.position:
            for (of_shard, _), (event, placed) in self._batch.placed.items():
                if of_shard == shard and placed.position == position:
                    return _stored(event, placed)
        return reader.stored_of(self._rows(reader.EVENT_BY_PLACE, (self._numbers[shard] << POSITION_BITS | position,))[0])

    def stream_version(self, shard: str, stream: str) -> int | None:
        """Return a stream's version within this batch, None when it does not exist."""
        found = self._stream(shard, stream)
        return None if found is None else found[1]

    def tracking_position(self, shard: str, name: str) -> int | None:
        """Return how far a consumer has come, None for one never seen."""
        known = self._batch.tracking.get((shard, name))
        if known is not None:
            return known
        rows = self._rows(reader.TRACKING_POSITION, (self._numbers.get(shard), name))
        return rows[0][0] if rows else None

    def is_revoked(self, shard: str, key_id: str) -> bool:
        """Tell whether a key is revoked."""
        return key_id in self._revoked.get(shard, ()) or (shard, key_id) in self._batch.revoked

    def partition_of(self, shard: str) -> int | None:
        """Return where a shard lies within this batch: 0 for one that nobody placed elsewhere; None for one never seen."""
        placed = self._batch.partitions.get(shard)
        if placed is None:
            placed = self._partitions.get(shard)
        return 0 if placed is None and shard in self._numbers else placed

    def place_of(self, shard: str) -> int | None:
        """Return where a shard durably lies, None for one that has no place yet."""
        return self._partitions.get(shard)

    def places(self) -> dict[int, str]:
        """Return the shard of every partition that has one, durably."""
        return {partition: shard for shard, partition in self._partitions.items()}

    def shard_at(self, partition: int) -> str | None:
        """Return the shard that was placed in a partition."""
        known = {**self._partitions, **self._batch.partitions}
        return next((shard for shard, place in known.items() if place == partition), None)

    def _stream(self, shard: str, stream: str) -> tuple[int, int] | None:
        """Return a stream's number and version within this batch."""
        key = (shard, stream)
        known = self._batch.streams
        if key in known:
            return known[key]
        found = self._streams.get(key)
        if found is None:
            rows = self._rows(reader.STREAM_VERSION, (self._numbers.get(shard), stream))
            found = (rows[0][0], rows[0][1]) if rows else None
        known[key] = found
        return found

    def _apply_place(self, placed: ShardPlaced) -> None:
        """Take a shard in that has no record of its own yet."""
        batch, shard = self._batch, placed.shard
        self._begin_shard(shard)
        batch.states[shard] = ShardState(shard)
        batch.partitions[shard] = placed.partition

    def _apply_events(self, number: int, effects: Effects) -> None:
        """Take accepted events into the batch."""
        batch, shard = self._batch, effects.state.shard
        first = number << POSITION_BITS
        every, position = self._mark_positions, effects.state.position
        if position // every > (effects.placed[0].position - 1) // every:
            batch.marks.setdefault(shard, []).append(Mark(position, effects.state.digest))
        numbers: dict[str, int] = {}
        for stream, version in effects.streams.items():
            known = self._stream(shard, stream)
            if known is None:
                numbers[stream] = self._next_stream
                batch.new_streams.append((number, stream, self._next_stream))
                self._next_stream += 1
            else:
                numbers[stream] = known[0]
            batch.streams[shard, stream] = (numbers[stream], version)
        for event, placed in zip(effects.events, effects.placed, strict=True):
            key = (shard, event.event_id)
            batch.stored.pop(key, None)
            batch.placed[key] = (event, placed)
            batch.events.append(
                (
                    first | placed.position,
                    number,
                    numbers[event.stream],
                    event.stream,
                    event.version,
                    event.event_id,
                    event.header_hash,
                    event.type,
                    placed.recorded_at_ms,
                    event.state,
                )
            )

    def _read_ahead(self, shard: str, number: int, appends: list[Append]) -> None:
        """Read what the fold will ask about these appends: their ids, their events' ids, and streams not at hand."""
        batch, highest = self._batch, self._highest[number]
        append_ids = {append.append_id for append in appends}
        batch.outcomes.update(dict.fromkeys([(shard, append_id) for append_id in append_ids]))
        known = [append_id for append_id in append_ids if append_id <= highest.append_id]
        for append_id, result in self._among("SELECT append_id, result FROM append WHERE shard = ? AND append_id IN", number, known):
            batch.outcomes[shard, append_id] = outcomes.from_bytes(result)
        named = {expectation.event_id for append in appends for expectation in append.expectations if expectation.event_id}
        event_ids = {event.event_id for append in appends for event in append.events} | named
        batch.stored.update(dict.fromkeys([(shard, event_id) for event_id in event_ids]))
        known = [event_id for event_id in event_ids if event_id <= highest.event_id]
        for (event_id,) in self._among("SELECT event_id FROM event WHERE shard = ? AND event_id IN", number, known):
            del batch.stored[shard, event_id]
        at_hand = self._streams.get
        streams = {event.stream for append in appends for event in append.events}
        streams.update([expectation.stream for append in appends for expectation in append.expectations])
        unknown = [stream for stream in streams if at_hand((shard, stream)) is None and is_text(stream)]
        batch.streams.update(dict.fromkeys([(shard, stream) for stream in unknown]))
        for name, stream, version in self._among(_STREAMS_AMONG, number, unknown):
            batch.streams[shard, name] = (stream, version)

    def _among(self, statement: str, number: int, keys: Sequence[object]) -> Iterable[reader.Row]:
        """Yield the rows of ``statement`` for many keys, few statements' worth; the last key fills a statement up."""
        for at in range(0, len(keys), _KEYS_A_LOOKUP):
            some = keys[at : at + _KEYS_A_LOOKUP]
            size = 1
            while size < len(some):
                size *= 2
            filled = (number, *some, *([some[-1]] * (size - len(some))))
            yield from self._rows(_with_keys(statement, size), filled)

    def _insert(self, table: str, columns: int, rows: list[tuple[object, ...]]) -> None:
        """Insert many rows with few statements: each one gives the interpreter lock away, and 64 callers wait for it."""
        at = 0
        for size in _ROWS_A_STATEMENT:
            while len(rows) - at >= size:
                self._connection.execute(_inserting(table, columns, size), tuple(chain.from_iterable(rows[at : at + size])))
                at += size

    def _publish(self, batch: Batch) -> None:
        """Let every reader see the committed batch."""
        for key, found in batch.streams.items():
            if found is not None:
                self._streams.put(key, found)
        for (shard, key_id), position in batch.revoked.items():
            self._revoked.setdefault(shard, {})[key_id] = position
        if not batch.states.keys() <= self._partitions.keys():
            # Replaced, not changed: other threads may be going through it.
            self._partitions = {**{shard: batch.partitions.get(shard, 0) for shard in batch.states}, **self._partitions}
        self._committed.update(batch.states)
        self._note_begun()
        self._batch = Batch()

    def _mark(self, where: str, shard: str, position: int) -> Mark | None:
        """Return the mark that comes first as asked."""
        statement = f"SELECT position, digest FROM mark WHERE shard = ? AND {where} LIMIT 1"  # noqa: S608  words of ours
        rows = self._rows(statement, (self._numbers.get(shard), position))
        return Mark(*rows[0]) if rows else None

    def _rows(self, statement: str, parameters: Sequence[object]) -> list[reader.Row]:
        """Return all rows of a statement."""
        return self._connection.execute(statement, parameters).fetchall()


_UPSERT_SHARD: Final = (
    "INSERT INTO shard VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET next_offset = excluded.next_offset,"
    " last_append_id = excluded.last_append_id, position = excluded.position, digest = excluded.digest,"
    " recorded_at = excluded.recorded_at, rules = excluded.rules, formats = excluded.formats, malformed = excluded.malformed"
)
_HIGHEST: Final = "SELECT (SELECT max(append_id) FROM append WHERE shard = ?), (SELECT max(event_id) FROM event WHERE shard = ?)"
_STREAMS_AMONG: Final = (
    "SELECT name, number, (SELECT max(version) FROM event WHERE stream_number = number) FROM stream WHERE shard = ? AND name IN"
)


@cache
def _inserting(table: str, columns: int, rows: int) -> str:
    """Return the statement that inserts so many rows."""
    row = f"({','.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {','.join([row] * rows)}"  # noqa: S608  a table of ours


@cache
def _with_keys(statement: str, keys: int) -> str:
    """Return a statement that ends in IN, for so many keys."""
    return f"{statement} ({','.join('?' * keys)})"


def _stored(event: ProposedEvent, placed: Placed) -> Stored:
    """Return an event of this batch as it will be read back."""
    return Stored(
        placed.position, event.stream, event.version, event.event_id, event.header_hash, event.type, placed.recorded_at_ms, event.state
    )
