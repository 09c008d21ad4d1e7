"""What nodes' files hold, as a history is held against it, and as one file is held against another."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from services.eventstore.port import EventStore
from services.eventstore.read_only import open_read_only
from tests.support.fault_node import SHARD
from tests.support.history import Fact, Log

EVENTS_MAX: Final = 1_000_000


def facts_of(path: Path) -> Log:
    """Return every event of a file as a history's checker wants it: an event's mark is its id."""
    with open_read_only(path) as store:
        return {name: _facts(store, name) for name in store.shards() if name == SHARD}


def _facts(store: EventStore, name: str) -> list[Fact]:
    shard = store.shard(name)
    return [
        Fact(
            shard=name,
            position=stored.position,
            stream=stored.stream,
            version=stored.version,
            event_id=stored.event_id,
            leaf=shard.leaf(stored),
            recorded_at_ms=stored.recorded_at_ms,
            event_type=stored.type,
            mark=stored.event_id.hex(),
            number=("", "", name, stored.position),
        )
        for stored in shard.read(0, EVENTS_MAX)
    ]


_ROWS: Final = {
    "shard": "SELECT name, partition, next_offset, last_append_id, position, digest, recorded_at, rules, formats, malformed FROM shard",
    "event": (
        "SELECT name, place & 1099511627775 AS position, stream, version, event_id, header_hash, type, event.recorded_at, state"
        " FROM event JOIN shard ON shard.number = event.shard"
    ),
    "append": "SELECT name, append_id, result FROM append JOIN shard ON shard.number = append.shard",
    "tracking": "SELECT shard.name, tracking.name, tracking.position FROM tracking JOIN shard ON shard.number = tracking.shard",
    "revoked": "SELECT name, key_id, revoked.position FROM revoked JOIN shard ON shard.number = revoked.shard",
    "stream": "SELECT shard.name, stream.name FROM stream JOIN shard ON shard.number = stream.shard",
}
"""All that a file says, without the numbers that it gives to shards and streams itself."""

Rows = dict[str, list[tuple[Any, ...]]]


def rows_of(path: Path) -> Rows:
    """Return all rows of a file that no node has open."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        return {table: sorted(connection.execute(statement).fetchall()) for table, statement in _ROWS.items()}


def differences(files: Sequence[Rows]) -> list[str]:
    """Return which tables differ from the first file's, and in which row first."""
    found = []
    for number, other in enumerate(files[1:], 1):
        for table, rows in files[0].items():
            if rows != other[table]:
                pairs = zip(rows, other[table], strict=False)
                at = next((at for at, (one, two) in enumerate(pairs) if one != two), min(len(rows), len(other[table])))
                found.append(
                    f"file {number} differs from file 0 in {table} from row {at} on: {rows[at : at + 1]} {other[table][at : at + 1]}"
                )
    return found
