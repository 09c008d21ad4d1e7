"""The state's file: its tables, how it is opened, and what is refused."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.runtime.errors import IntegrityError, Unavailable

IS_THE_LOG: Final = 0x53485542
FOLLOWS_A_LOG: Final = 0x53485546
"""What a file is, as its application id: the log itself, or what a node has folded of a log that lies elsewhere."""
SCHEMA_VERSION: Final = 1
POSITION_BITS: Final = 40
"""``place = shard number << 40 | position``: one integer key, so that a shard's events lie together in order."""
POSITION_MASK: Final = (1 << POSITION_BITS) - 1
LOCK_WAIT_SECONDS: Final = 5.0

Connect = Callable[[str], sqlite3.Connection]

# Streams have a number so that the index over versions holds small integers that mostly grow at its end;
# a stream's version is the last one in that index, so an append writes it nowhere else.
TABLES: Final = """
CREATE TABLE shard (
  number INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  partition INTEGER NOT NULL,
  next_offset INTEGER NOT NULL,
  last_append_id BLOB NOT NULL,
  position INTEGER NOT NULL,
  digest BLOB NOT NULL,
  recorded_at INTEGER NOT NULL,
  rules INTEGER NOT NULL,
  formats TEXT NOT NULL,
  malformed INTEGER NOT NULL
) STRICT;
CREATE TABLE stream (
  shard INTEGER NOT NULL,
  name TEXT NOT NULL,
  number INTEGER NOT NULL,
  PRIMARY KEY (shard, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE event (
  place INTEGER PRIMARY KEY,
  shard INTEGER NOT NULL,
  stream_number INTEGER NOT NULL,
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  event_id BLOB NOT NULL,
  header_hash BLOB NOT NULL,
  type TEXT NOT NULL,
  recorded_at INTEGER NOT NULL,
  state BLOB NOT NULL,
  UNIQUE (stream_number, version),
  UNIQUE (shard, event_id)
) STRICT;
CREATE TABLE append (
  shard INTEGER NOT NULL,
  append_id BLOB NOT NULL,
  result BLOB NOT NULL,
  PRIMARY KEY (shard, append_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE tracking (
  shard INTEGER NOT NULL,
  name TEXT NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (shard, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE revoked (
  shard INTEGER NOT NULL,
  key_id TEXT NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (shard, key_id)
) STRICT, WITHOUT ROWID;
"""

# The digest behind the append that came to, or past, each multiple of so many positions. Files of before there were marks get the table
# empty.
MARKS: Final = """
CREATE TABLE IF NOT EXISTS mark (
  shard INTEGER NOT NULL,
  position INTEGER NOT NULL,
  digest BLOB NOT NULL,
  PRIMARY KEY (shard, position)
) STRICT, WITHOUT ROWID;
"""

WAL_MAX_PAGES: Final = 4_000
"""16 MiB of log before the writer copies it into the file: large enough to write a page once for many commits."""
WRITER_CACHE_KIB: Final = 65_536


def connect(path: str) -> sqlite3.Connection:
    """Return a connection that any thread may use, one at a time, and that never begins a transaction by itself."""
    return sqlite3.connect(path, timeout=LOCK_WAIT_SECONDS, isolation_level=None, check_same_thread=False, cached_statements=256)


def open_writer(path: Path, synchronous: str, connect: Connect = connect, kind: int = IS_THE_LOG) -> sqlite3.Connection:
    """Open or create the file for its one writer; raise ``IntegrityError`` for a file that is not a sound state of this version."""
    try:
        path.touch(mode=0o600)  # its owner's alone, as data keys and views are; SQLite gives what it lays beside it the same mode
        connection = connect(str(path))
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"{path}: cannot open the event store: {error}") from error
    try:
        _prepare(connection, path, synchronous, kind)
    except sqlite3.DatabaseError as error:
        connection.close()
        raise explained(error, path) from error
    except IntegrityError:
        connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open an existing file for reading, also while another process writes it."""
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_WAIT_SECONDS, isolation_level=None, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise Unavailable(f"{path}: cannot open the event store for reading: {error}") from error
    return connection


def check_version(connection: sqlite3.Connection, path: Path, *kinds: int) -> None:
    """Raise ``IntegrityError`` unless the file is a state of these kinds (any if none is named), of the version that this program reads."""
    application: int = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if application not in (IS_THE_LOG, FOLLOWS_A_LOG):
        raise IntegrityError(f"{path}: not an event store (application id {application:#x}, expected {IS_THE_LOG:#x})")
    if kinds and application not in kinds:
        wrong = "was folded from Kafka: set HUB_KAFKA_BOOTSTRAP" if application == FOLLOWS_A_LOG else "is a log itself, not Kafka's"
        raise IntegrityError(f"{path}: the event store {wrong}")
    if version != SCHEMA_VERSION:
        raise IntegrityError(f"{path}: event store of schema version {version}, this program reads version {SCHEMA_VERSION}")


def explained(error: sqlite3.Error, path: Path) -> IntegrityError | Unavailable:
    """Return what a database error means: the file contradicts itself, or not now."""
    # Only a plain DatabaseError says that the file is wrong; its subclasses speak of the disk, locks and statements.
    if type(error) is sqlite3.DatabaseError or isinstance(error, sqlite3.IntegrityError):
        return IntegrityError(f"{path}: the event store is damaged: {error}")
    return Unavailable(f"{path}: {error}")


def _prepare(connection: sqlite3.Connection, path: Path, synchronous: str, kind: int) -> None:
    """Set the connection up, create the tables in an empty file, and check the file."""
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute(f"PRAGMA cache_size=-{WRITER_CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint={WAL_MAX_PAGES}")
    if connection.execute("PRAGMA schema_version").fetchone()[0] == 0 and connection.execute("PRAGMA application_id").fetchone()[0] == 0:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(f"BEGIN;{TABLES}PRAGMA application_id={kind};PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
    check_version(connection, path, kind)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(MARKS)
    _check_length(connection, path)
    _check_heads(connection, path)


def _check_length(connection: sqlite3.Connection, path: Path) -> None:
    """Raise ``IntegrityError`` when the file is shorter than its own page count says."""
    busy: int = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    if busy:  # A reader holds on to the log, so part of the file may still lie there.
        return
    expected: int = connection.execute("PRAGMA page_count").fetchone()[0] * connection.execute("PRAGMA page_size").fetchone()[0]
    found = path.stat().st_size
    if found < expected:
        raise IntegrityError(f"{path}: the event store is cut off: {expected} bytes expected, {found} found")


def _check_heads(connection: sqlite3.Connection, path: Path) -> None:
    """Raise ``IntegrityError`` when a shard's last event is not where its head says."""
    for number, name, position in connection.execute("SELECT number, name, position FROM shard").fetchall():
        first = number << POSITION_BITS
        found = connection.execute("SELECT max(place) FROM event WHERE place BETWEEN ? AND ?", (first, first | POSITION_MASK)).fetchone()[0]
        last = 0 if found is None else found & POSITION_MASK
        if last != position:
            raise IntegrityError(f"{path}: shard {name} says position {position}, its last event is at {last}")
