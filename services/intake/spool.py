"""Events of the hub's own that the log does not take now: on this node's disk until it does."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.runtime.errors import Unavailable
from services.runtime.limits import SPOOL_MAX_EVENTS
from services.trust.files import secret_database

_TABLE: Final = "CREATE TABLE IF NOT EXISTS waiting (number INTEGER PRIMARY KEY, event BLOB NOT NULL, instead BLOB NOT NULL) STRICT"
_PUT: Final = "INSERT INTO waiting (event, instead) VALUES (?, ?)"


@dataclass(frozen=True, slots=True)
class Spooled:
    """A signed event, and the one that takes its place if nothing can be added to its case any more; both serialized."""

    event: bytes
    instead: bytes


class Spool:
    """A queue in one SQLite file: what was put is there after a power loss. From any thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the file."""
        self._lock = threading.Lock()
        self._connection = secret_database(path)  # it says who read what
        self._connection.execute(_TABLE)
        self._count: int = self._connection.execute("SELECT count(*) FROM waiting").fetchone()[0]

    def __len__(self) -> int:
        """Return how many wait."""
        return self._count

    def put(self, events: Sequence[Spooled]) -> None:
        """Put events behind all others, all or none; raise ``Unavailable`` if there is no room for them."""
        with self._lock:
            if self._count + len(events) > SPOOL_MAX_EVENTS:
                raise Unavailable(f"{SPOOL_MAX_EVENTS} events of the hub's own wait for the log already")
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(_PUT, [(one.event, one.instead) for one in events])
                self._connection.execute("COMMIT")
            except sqlite3.Error as error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise Unavailable(f"events of the hub's own cannot be kept here: {type(error).__name__}") from error
            self._count += len(events)

    def behind(self, number: int, limit: int) -> list[tuple[int, Spooled]]:
        """Return the first events behind a number, each with its own."""
        with self._lock:
            rows = self._connection.execute("SELECT * FROM waiting WHERE number > ? ORDER BY number LIMIT ?", (number, limit)).fetchall()
        return [(row[0], Spooled(*row[1:])) for row in rows]

    def drop(self, numbers: Iterable[int]) -> None:
        """Forget events that are on the log."""
        with self._lock:
            gone = self._connection.executemany("DELETE FROM waiting WHERE number = ?", [(number,) for number in numbers]).rowcount
            self._count -= max(0, gone)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
