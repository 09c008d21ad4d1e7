"""Closed copies of a hub's stores held against themselves: SQLite's own check, each shard's digest, the keys that the log refers to."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from domain.kernel.ids import NATIONAL
from safeguarding.hub.v1.envelope_pb2 import EventHeader
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.backup.copying import Report
from services.backup.manifest import ShardMark
from services.eventstore import fold, reader, tables
from services.eventstore.fold import ShardState
from services.eventstore.opening import DataKeys
from services.eventstore.port import Stored
from services.eventstore.tables import POSITION_BITS, POSITION_MASK
from services.runtime.errors import IntegrityError
from services.trust.keystore import Destroyed

REPORT_EVENTS: Final = 1_000
Place = tuple[str, int]
"""A shard, and a position in it."""
_FIRST: Final[Place] = (NATIONAL, 1)
_EVENTS_OF: Final = (
    "SELECT place, stream, version, event_id, header_hash, type, recorded_at, state FROM event WHERE place BETWEEN ? AND ? ORDER BY place"
)


@dataclass(slots=True)
class Recount:
    """What a log's file holds. ``name``: the leaf hash of its first event, in hexadecimal, which tells it from every other log.

    ``key_ids``: each data key that events refer to, with the first place that does.
    """

    kind: int
    name: str = ""
    origin: str = ""
    shards: list[ShardMark] = field(default_factory=list)
    key_ids: dict[str, Place] = field(default_factory=dict)


@contextmanager
def opened(file: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection to a file that nobody writes and that is left as it is; a database error becomes an ``IntegrityError``."""
    try:
        # Immutable: else SQLite would make files beside it, and take what lies in such for a part of it.
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise IntegrityError(f"{file.name} is damaged: {error}") from error


def check_database(file: Path) -> None:
    """Raise ``IntegrityError`` unless SQLite finds all pages, rows and indexes of a file to agree."""
    with opened(file) as connection:
        first: str = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if first != "ok":
        raise IntegrityError(f"{file.name} is damaged: {first}")


def recount(file: Path, report: Report) -> Recount:
    """Read a log to its end; raise ``IntegrityError`` where an event is missing or the events do not give their shard's digest.

    ``report`` hears events. Signatures and bodies are for ``hub verify`` to check.
    """
    with opened(file) as connection:
        tables.check_version(connection, file)
        found = Recount(kind=connection.execute("PRAGMA application_id").fetchone()[0])
        rows = connection.execute(reader.SHARDS).fetchall()
        states = [(*reader.shard_of(row), reader.partition_of(row)) for row in rows]
        total, done = sum(state.position for _, state, _ in states), 0
        for number, state, partition in sorted(states, key=lambda one: one[1].shard):
            for stored in _chained(connection, number, state):
                _take_note(found, state.shard, stored)
                done += 1
                if done % REPORT_EVENTS == 0:
                    report(done, total)
            found.shards.append(
                ShardMark(
                    shard=state.shard,
                    position=state.position,
                    digest=state.digest.hex(),
                    recorded_at_ms=state.recorded_at_ms,
                    partition=partition,
                    next_offset=state.next_offset,
                )
            )
        report(total, total)
    return found


def _chained(connection: sqlite3.Connection, number: int, state: ShardState) -> Iterator[Stored]:
    """Yield a shard's events, each in its place, and at the end demand that they give the shard's digest."""
    digest, position = fold.FIRST_DIGEST, 0
    first = number << POSITION_BITS
    for row in connection.execute(_EVENTS_OF, (first, first | POSITION_MASK)):
        stored, position = reader.stored_of(row), position + 1
        if stored.position != position:
            raise IntegrityError(f"{state.shard}/{position}: the event is missing")
        digest = fold.next_digest(digest, fold.leaf(state.shard, stored))
        yield stored
    if position != state.position:
        raise IntegrityError(f"shard {state.shard} says position {state.position}, its last event is at {position}")
    if digest != state.digest:
        raise IntegrityError(f"shard {state.shard}: its {position} events do not give its digest")


def _take_note(found: Recount, shard: str, stored: Stored) -> None:
    """Note which key an event refers to, and what the log's first one says of it."""
    try:
        logged = LoggedEvent.FromString(stored.state)
        if (shard, stored.position) == _FIRST:
            found.name = fold.leaf(shard, stored).hex()
            found.origin = EventHeader.FromString(logged.header).log_origin
    except DecodeError:
        raise IntegrityError(f"{shard}/{stored.position} is no logged event") from None
    found.key_ids.setdefault(logged.data_key_id, (shard, stored.position))


def states_in(file: Path, key_ids: Mapping[str, Place]) -> dict[str, bool]:
    """Return each of these data keys with whether it was destroyed, as a key store's file has them; none is opened.

    Raises ``IntegrityError``, naming the first event concerned, if one never existed there.
    """
    with opened(file) as connection:
        states = dict(connection.execute("SELECT id, wrapped IS NULL FROM data_key"))

    def look(key_id: str) -> bool:
        if key_id not in states:
            raise IntegrityError(f"data key {key_id} is referred to, and is not in {file.name}")
        return bool(states[key_id])

    return _states(key_ids, look)


def states_by(keys: DataKeys, key_ids: Mapping[str, Place]) -> dict[str, bool]:
    """Do the same as ``states_in`` by opening every key; raise ``IntegrityError`` also for one that does not open."""
    return _states(key_ids, lambda key_id: isinstance(keys.get(key_id), Destroyed))


def _states(key_ids: Mapping[str, Place], look: Callable[[str], bool]) -> dict[str, bool]:
    """Look at every key, and say of one that cannot be had which event needs it."""
    states = {}
    for key_id, (shard, position) in key_ids.items():
        try:
            states[key_id] = look(key_id)
        except IntegrityError as error:
            raise IntegrityError(f"{shard}/{position}: {error}") from None
    return states


def check_views(file: Path, shards: list[ShardMark]) -> None:
    """Raise ``IntegrityError`` if a view has come further than the log: it would pass over what is appended there next."""
    heads = {shard.shard: shard.position for shard in shards}
    with opened(file) as connection:
        for view, shard, position in connection.execute("SELECT view, shard, position FROM tracking ORDER BY view, shard"):
            if position > heads.get(shard, 0):
                raise IntegrityError(f"view {view} has come to {shard}/{position}, the log to {heads.get(shard, 0)}")
