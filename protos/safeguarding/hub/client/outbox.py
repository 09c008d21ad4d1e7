"""The file in which a client keeps what it has signed until it knows what became of it (SQLite)."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from safeguarding.hub.client.drafts import Draft, Sender, Signed, shard_of, sign
from safeguarding.hub.client.identity import SigningKey
from safeguarding.hub.client.outcomes import HubClientError

_FORMAT: Final = 1
_SCHEMA: Final = (
    """CREATE TABLE sequence (
         agency_id TEXT NOT NULL, source TEXT NOT NULL, shard TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (agency_id, source, shard)
       ) WITHOUT ROWID""",
    """CREATE TABLE pending (
         number INTEGER PRIMARY KEY, event_id BLOB NOT NULL UNIQUE, shard TEXT NOT NULL, stream TEXT NOT NULL,
         atomic INTEGER, message BLOB NOT NULL
       )""",
)


class OutboxUnusable(HubClientError):
    """The outbox file is another process's now, or was written by a newer client."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Events that are sent together: one, or an atomic request's."""

    events: tuple[Signed, ...]
    atomic: bool


class Outbox:
    """Every signed event is on disk before it is sent, under its number, and goes only when its outcome is known.

    One process at a time uses it. Its methods may be called from any thread, one after another.
    """

    def __init__(self, path: str | Path) -> None:
        """Open or make the file; raise ``OutboxUnusable`` if another process has it."""
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.OperationalError as error:
            self._connection.close()
            raise OutboxUnusable(f"{path}: {error}") from error
        except OutboxUnusable:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        """Take the file for this process alone and make its tables."""
        run = self._connection.execute
        run("PRAGMA locking_mode = EXCLUSIVE")
        run("PRAGMA journal_mode = WAL")
        # FULL: an event that was sent must not be forgotten in a power cut, or it would be stated again under another id.
        run("PRAGMA synchronous = FULL")
        run("BEGIN EXCLUSIVE")
        (found,) = run("PRAGMA user_version").fetchone()
        if found == 0:
            for statement in _SCHEMA:
                run(statement)
            run(f"PRAGMA user_version = {_FORMAT}")
        run("COMMIT")
        if found > _FORMAT:
            raise OutboxUnusable(f"its format is {found}, this client knows {_FORMAT}")

    def keep(
        self, drafts: Sequence[tuple[tuple[Draft, ...], bool]], sender: Sender, key: SigningKey, settled: Iterable[bytes] = ()
    ) -> list[Kept]:
        """Sign drafts (each with whether they are atomic) under the next numbers and keep them; forget what is settled. One transaction."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                kept = [self._sign_and_insert(group, sender, key, atomic=atomic) for group, atomic in drafts]
                self._delete(settled)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            return kept

    def _sign_and_insert(self, drafts: tuple[Draft, ...], sender: Sender, key: SigningKey, *, atomic: bool) -> Kept:
        """Sign a group and insert it; an atomic group is marked with the number of its first event."""
        events, first = [], None
        for draft in drafts:
            event = sign(draft, sender, key, self._next_number(sender, shard_of(draft, sender)))
            row = self._connection.execute(
                "INSERT INTO pending (event_id, shard, stream, atomic, message) VALUES (?, ?, ?, ?, ?)",
                (event.event_id, event.shard, event.stream, first, event.message),
            ).lastrowid
            if atomic and first is None:
                first = row
                self._connection.execute("UPDATE pending SET atomic = ? WHERE number = ?", (first, row))
            events.append(event)
        return Kept(tuple(events), atomic)

    def _next_number(self, sender: Sender, shard: str) -> int:
        """Count up for (agency, source, shard)."""
        rows = self._connection.execute(
            "INSERT INTO sequence VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET last = last + 1 RETURNING last",
            (sender.agency_id, sender.source, shard),
        ).fetchall()
        return int(rows[0][0])

    def settle(self, event_ids: Iterable[bytes]) -> None:
        """Forget events whose outcome is known."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            self._delete(event_ids)
            self._connection.execute("COMMIT")

    def _delete(self, event_ids: Iterable[bytes]) -> None:
        """Remove events."""
        self._connection.executemany("DELETE FROM pending WHERE event_id = ?", [(event_id,) for event_id in event_ids])

    def pending(self) -> list[Kept]:
        """Return what is kept, in the order in which it was signed."""
        with self._lock:
            rows = self._connection.execute("SELECT event_id, shard, stream, message, atomic FROM pending ORDER BY number").fetchall()
        groups: dict[object, list[Signed]] = {}
        for event_id, shard, stream, message, atomic in rows:
            groups.setdefault(event_id if atomic is None else atomic, []).append(Signed(event_id, shard, stream, message))
        return [Kept(tuple(events), isinstance(mark, int)) for mark, events in groups.items()]

    def last_number(self, agency_id: str, source: str, shard: str) -> int:
        """Return the last source sequence given out, 0 before the first."""
        with self._lock:
            row = self._connection.execute(
                "SELECT last FROM sequence WHERE agency_id = ? AND source = ? AND shard = ?", (agency_id, source, shard)
            ).fetchone()
        return 0 if row is None else int(row[0])

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._lock:
            self._connection.close()
