"""The file in which a client keeps what it has signed until it knows what became of it (SQLite)."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from safeguarding.hub.client.drafts import Draft, Sender, Signed, shard_of, sign_all
from safeguarding.hub.client.identity import SigningKey
from safeguarding.hub.client.outcomes import HubClientError

T = TypeVar("T")

_FORMAT: Final = 1
_STATEMENT_MAX_ROWS: Final = 100
_SCHEMA: Final = (
    """CREATE TABLE sequence (
         agency_id TEXT NOT NULL, source TEXT NOT NULL, shard TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (agency_id, source, shard)
       ) WITHOUT ROWID""",
    """CREATE TABLE pending (
         number INTEGER PRIMARY KEY, event_id BLOB NOT NULL UNIQUE, shard TEXT NOT NULL, stream TEXT NOT NULL,
         atomic BLOB, message BLOB NOT NULL
       )""",
)


class OutboxUnusable(HubClientError):
    """The outbox file cannot be used: another process has it, a newer client wrote it, it is broken, or its disk is full or gone."""


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
        try:
            # What is said of children lies in it as it was said. SQLite gives what it lays beside it the same mode.
            Path(path).touch(mode=0o600)
        except OSError as error:
            raise OutboxUnusable(f"{path}: {error.strerror}") from error
        self._connection = sqlite3.connect(path, timeout=0.5, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
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
        """Sign drafts (each group with whether it is atomic), keep them, and forget what is settled: one transaction."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._delete(settled)
                kept = self._sign(drafts, sender, key)
                self._insert(kept)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")
            return kept

    def _sign(self, drafts: Sequence[tuple[tuple[Draft, ...], bool]], sender: Sender, key: SigningKey) -> list[Kept]:
        """Sign groups, counting up for each (agency, source, shard), and write down how far the counting came."""
        last: dict[str, int] = {}
        numbered = []
        for group, _atomic in drafts:
            for draft in group:
                shard = shard_of(draft, sender)
                if shard not in last:
                    last[shard] = self._last_number(sender.agency_id, sender.source, shard)
                last[shard] += 1
                numbered.append((draft, last[shard]))
        signed = iter(sign_all(numbered, sender, key))
        self._connection.executemany(
            "INSERT OR REPLACE INTO sequence VALUES (?, ?, ?, ?)",
            [(sender.agency_id, sender.source, shard, number) for shard, number in last.items()],
        )
        return [Kept(tuple(islice(signed, len(group))), atomic) for group, atomic in drafts]

    def _insert(self, kept: Iterable[Kept]) -> None:
        """Keep signed groups; each event of an atomic one bears the id of its first."""
        rows = [
            (event.event_id, event.shard, event.stream, one.events[0].event_id if one.atomic else None, event.message)
            for one in kept
            for event in one.events
        ]
        for some in _in_parts(rows):
            places = ", ".join(["(?, ?, ?, ?, ?)"] * len(some))
            self._connection.execute(
                f"INSERT INTO pending (event_id, shard, stream, atomic, message) VALUES {places}",  # noqa: S608  # only places
                [value for row in some for value in row],
            )

    def _last_number(self, agency_id: str, source: str, shard: str) -> int:
        """Return the last source sequence given out, 0 before the first."""
        row = self._connection.execute(
            "SELECT last FROM sequence WHERE agency_id = ? AND source = ? AND shard = ?", (agency_id, source, shard)
        ).fetchone()
        return 0 if row is None else int(row[0])

    def settle(self, event_ids: Iterable[bytes]) -> None:
        """Forget events whose outcome is known."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            self._delete(event_ids)
            self._connection.execute("COMMIT")

    def _delete(self, event_ids: Iterable[bytes]) -> None:
        """Remove events."""
        for some in _in_parts([*event_ids]):
            places = ", ".join(["?"] * len(some))
            self._connection.execute(f"DELETE FROM pending WHERE event_id IN ({places})", some)  # noqa: S608  # only places

    def pending(self) -> list[Kept]:
        """Return what is kept, in the order in which it was signed."""
        with self._lock:
            rows = self._connection.execute("SELECT event_id, shard, stream, message, atomic FROM pending ORDER BY number").fetchall()
        groups: dict[bytes, list[Signed]] = {}
        atomic_groups = set()
        for event_id, shard, stream, message, atomic in rows:
            groups.setdefault(atomic or event_id, []).append(Signed(event_id, shard, stream, message))
            if atomic:
                atomic_groups.add(atomic)
        return [Kept(tuple(events), mark in atomic_groups) for mark, events in groups.items()]

    def close(self) -> None:
        """Close the file; idempotent."""
        with self._lock:
            self._connection.close()


def _in_parts(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    """Yield rows by as many as one statement takes: Python lets go of the interpreter's lock for each, and must win it back."""
    for first in range(0, len(rows), _STATEMENT_MAX_ROWS):
        yield rows[first : first + _STATEMENT_MAX_ROWS]
