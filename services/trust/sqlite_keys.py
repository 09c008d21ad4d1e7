"""Data keys in one SQLite file: those of a hub of one node."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from sqlalchemy import URL

from services.runtime.errors import Unavailable
from services.trust import key_schema
from services.trust.files import secret_database
from services.trust.keystore import (
    CHECK_ID,
    LOOK_SECONDS,
    Destroyed,
    KeptKeys,
    Row,
    Wrapping,
    demand_id,
    demand_log,
    never_existed,
    nothing_to_destroy,
)


class SqliteKeyStore:
    """A ``KeyStore`` in one SQLite file, WAL, ``synchronous=FULL``; all keys asked for together are minted in one transaction."""

    def __init__(self, path: Path, kek: bytes) -> None:
        """Open or create the file; raise ``IntegrityError`` if it was written under another key-encryption key, or by a newer program."""
        self._wrapping = Wrapping(kek)
        self._lock = threading.RLock()
        self._look_at = 0.0
        self._connection = secret_database(path)
        try:
            self._prepare(path)
            self._kept = KeptKeys(self._destructions())
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, path: Path) -> None:
        if self._version() != key_schema.NEWEST:
            key_schema.bring_up_to_date(URL.create("sqlite", database=str(path)))
        with self._transaction():
            row = self._row(CHECK_ID)
            if row is None:
                self._insert(CHECK_ID, self._wrapping.check())
            else:
                self._wrapping.unwrap(CHECK_ID, row)

    def belong_to(self, log: str | None) -> None:
        """As ``KeyStore.belong_to``."""
        with self._lock, self._transaction():
            (owner,) = self._connection.execute("SELECT log FROM key_store").fetchone()
            demand_log(owner, log)
            if owner is None and log is not None:
                self._connection.execute("UPDATE key_store SET log=?", (log,))

    def create(self, ids: Iterable[str]) -> dict[str, bytes | Destroyed]:
        """As ``KeyStore.create``."""
        with self._lock:
            self._look()
            found: dict[str, bytes | Destroyed] = {}
            wanted = []
            for key_id in dict.fromkeys(ids):
                demand_id(key_id)
                kept = self._kept.get(key_id)
                if kept is None:
                    wanted.append(key_id)
                else:
                    found[key_id] = kept
            return found | self._find_or_mint(wanted) if wanted else found

    def _find_or_mint(self, ids: list[str]) -> dict[str, bytes | Destroyed]:
        keys: dict[str, bytes | Destroyed] = {}
        with self._transaction():
            destructions = self._destructions()
            for key_id in ids:
                row = self._row(key_id)
                if row is None:
                    row = self._wrapping.mint(key_id)
                    self._insert(key_id, row)
                keys[key_id] = self._wrapping.unwrap(key_id, row)
        self._kept.keep(keys, destructions)
        return keys

    def get(self, key_id: str) -> bytes | Destroyed:
        """As ``KeyStore.get``."""
        with self._lock:
            self._look()
            kept = self._kept.get(key_id)
            if kept is not None:
                return kept
            demand_id(key_id)
            found = self._connection.execute(
                "SELECT nonce, wrapped, destructions FROM data_key, key_store WHERE id=?", (key_id,)
            ).fetchone()
            if found is None:
                raise never_existed(key_id)
            nonce, wrapped, destructions = found
            key = self._wrapping.unwrap(key_id, (nonce, wrapped))
            self._kept.keep({key_id: key}, destructions)
            return key

    def destroy(self, key_id: str) -> None:
        """As ``KeyStore.destroy``."""
        demand_id(key_id)
        with self._lock:
            with self._transaction():
                changed = self._connection.execute("UPDATE data_key SET nonce=NULL, wrapped=NULL WHERE id=?", (key_id,)).rowcount
                if not changed:
                    raise nothing_to_destroy(key_id)
                self._connection.execute("UPDATE key_store SET destructions=destructions+1")
            self._kept.learn(self._destructions())
            # The write-ahead log still holds the page as it was: fold it in and cut it off.
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                raise Unavailable("the data key is destroyed, but its old bytes still lie in the write-ahead log: destroy it again")

    def rows(self) -> dict[str, Row]:
        """Return all data keys as they are kept, wrapped."""
        with self._lock:
            found = self._connection.execute("SELECT id, nonce, wrapped FROM data_key WHERE id<>? ORDER BY id", (CHECK_ID,))
            return {key_id: (nonce, wrapped) for key_id, nonce, wrapped in found}

    def close(self) -> None:
        """As ``KeyStore.close``."""
        with self._lock:
            self._kept.clear()
            self._connection.close()

    def _look(self) -> None:
        """Look now and then whether another process has destroyed a key."""
        now = monotonic()
        if now >= self._look_at:
            self._kept.learn(self._destructions())
            self._look_at = now + LOOK_SECONDS

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise Unavailable(f"the key store cannot be written: {error}") from error
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _version(self) -> str | None:
        """Return the schema's version; None if it is of before there were any."""
        with suppress(sqlite3.OperationalError):
            found: tuple[str] | None = self._connection.execute(key_schema.VERSION).fetchone()
            return None if found is None else found[0]
        return None

    def _destructions(self) -> int:
        """Return how often keys were destroyed."""
        (count,) = self._connection.execute("SELECT destructions FROM key_store").fetchone()
        return int(count)

    def _row(self, key_id: str) -> Row | None:
        row: Row | None = self._connection.execute("SELECT nonce, wrapped FROM data_key WHERE id=?", (key_id,)).fetchone()
        return row

    def _insert(self, key_id: str, row: tuple[bytes, bytes]) -> None:
        self._connection.execute("INSERT INTO data_key (id, nonce, wrapped) VALUES (?, ?, ?)", (key_id, *row))
