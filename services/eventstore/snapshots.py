"""Snapshots: a cache of this node in a file beside the store, kept unique and nothing more. They never enter the log."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from eventsourcing.persistence import AggregateRecorder, IntegrityError, OperationalError, StoredEvent

from projections.kernel.write_ahead import to_write_ahead
from services.eventstore import tables
from services.eventstore.fold import INTEGER_MAX
from services.runtime.errors import Unavailable

_TABLE: Final = (
    "CREATE TABLE IF NOT EXISTS snapshot (purpose TEXT, originator_id TEXT, version INTEGER, topic TEXT, state BLOB,"
    " PRIMARY KEY (purpose, originator_id, version)) WITHOUT ROWID"
)
_WAIT_SECONDS: Final = 5.0


class Snapshots:
    """The file, opened at first use; losing it costs time, never facts, so a commit does not wait for the disk."""

    def __init__(self, store_path: Path) -> None:
        """Lie beside the store's file."""
        self._path = store_path.with_name(store_path.name + ".snapshots")
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def run(self, statement: str, *rows: Sequence[object]) -> list[tuple[Any, ...]]:
        """Execute a statement for each row in one transaction and return what the last one found."""
        if not self._lock.acquire(timeout=_WAIT_SECONDS):
            raise Unavailable(f"{self._path}: snapshots were busy for {_WAIT_SECONDS} s")
        try:
            connection = self._connection = self._connection or self._open()
            with connection:
                connection.execute("BEGIN")
                found: list[tuple[Any, ...]] = []
                for row in rows:
                    found = connection.execute(statement, row).fetchall()
                return found
        finally:
            self._lock.release()

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _open(self) -> sqlite3.Connection:
        """Open or create the file."""
        connection = tables.connect(str(self._path))
        to_write_ahead(connection, tables.LOCK_WAIT_SECONDS)
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(_TABLE)
        return connection


class SnapshotRecorder(AggregateRecorder):
    """What eventsourcing keeps for one purpose beside the log: any versions, each once."""

    def __init__(self, snapshots: Snapshots, purpose: str, *, uuid_ids: bool) -> None:
        """Keep ``purpose`` apart from others in the same file."""
        self._snapshots = snapshots
        self._purpose = purpose
        self._uuid_ids = uuid_ids

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:  # noqa: ARG002  its contract
        """Keep snapshots, all or none; refuse one that is kept already."""
        rows = [(self._purpose, str(each.originator_id), each.originator_version, each.topic, each.state) for each in stored_events]
        try:
            self._snapshots.run("INSERT INTO snapshot VALUES (?, ?, ?, ?, ?)", *rows)
        except sqlite3.IntegrityError as error:
            raise IntegrityError("a snapshot of this version is kept already") from error
        except (sqlite3.Error, Unavailable) as error:
            raise OperationalError(str(error)) from error
        return None

    def select_events(
        self, originator_id: UUID | str, *, gt: int | None = None, lte: int | None = None, desc: bool = False, limit: int | None = None
    ) -> Sequence[StoredEvent]:
        """Return the snapshots between two versions, the first excluded."""
        order = "DESC" if desc else "ASC"
        statement = (
            "SELECT version, topic, state FROM snapshot WHERE purpose = ? AND originator_id = ?"  # noqa: S608  two fixed words
            f" AND version > ? AND version <= ? ORDER BY version {order} LIMIT ?"
        )
        lower, upper = -1 if gt is None else gt, INTEGER_MAX if lte is None else lte
        try:
            rows = self._snapshots.run(statement, (self._purpose, str(originator_id), lower, upper, -1 if limit is None else limit))
        except (sqlite3.Error, Unavailable) as error:
            raise OperationalError(str(error)) from error
        return [
            StoredEvent(UUID(str(originator_id)) if self._uuid_ids else str(originator_id), version, topic, state)
            for version, topic, state in rows
        ]
