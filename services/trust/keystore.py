"""Data keys, one a case, wrapped and kept outside the log: never existed, active, or destroyed for good.

Wrapping is AES-256-GCM under the key-encryption key with the data key's id as associated data, not RFC 3394 key wrap: key wrap binds
no name, so that a row moved to another id would open. A random 96-bit nonce is safe for 2**32 wrappings; there is one a case.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.runtime.errors import IntegrityError, Unavailable
from services.trust.files import SECRET_MODE, write_secret
from services.trust.sealing import DATA_KEY_BYTES, NONCE_BYTES, forget_ciphers

KEK_BYTES: Final = 32
KEYS_MAX_KEPT: Final = 50_000
"""Unwrapped keys in memory, about 10 MB."""
_CONTEXT: Final = b"safeguarding-hub/data-key/v1\x00"
_CHECK_ID: Final = "kek-check"
_BUSY_TIMEOUT_MS: Final = 5_000
_ID_MAX_CHARACTERS: Final = 100

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS data_key (
  id TEXT PRIMARY KEY,
  nonce BLOB,
  wrapped BLOB,
  CHECK ((nonce IS NULL) = (wrapped IS NULL))
) STRICT, WITHOUT ROWID
"""


class Destroyed(Enum):
    """Stands in the place of a data key that was destroyed: bodies sealed with it are gone."""

    DESTROYED = "destroyed"


DESTROYED: Final = Destroyed.DESTROYED


class KeyStore(Protocol):
    """Where data keys are kept. Thread-safe; every change is durable when the call returns."""

    def create(self, ids: Iterable[str]) -> dict[str, bytes | Destroyed]:
        """Return a key for each id, minted where none ever existed.

        Only for ids to which no event refers: for any other id an absent key is a loss, which minting would hide. A key that exists
        is returned as it is; a destroyed one stays destroyed.
        """

    def get(self, key_id: str) -> bytes | Destroyed:
        """Return the 32-byte key of an id to which events refer; raise ``IntegrityError`` if it never existed."""

    def destroy(self, key_id: str) -> None:
        """Destroy a key for good; repeating it changes nothing. Raises ``IntegrityError`` if it never existed."""

    def close(self) -> None:
        """Close; idempotent."""


def case_key_id(shard: str, case_id: str) -> str:
    """Return the id of a case's data key. Two partnerships that use one case id by mistake share no key."""
    return f"{shard}/case-{case_id}"


def create_kek(path: Path) -> bytes:
    """Make a key-encryption key and write it as 64 hexadecimal digits, readable by its owner alone; never overwrites."""
    kek = secrets.token_bytes(KEK_BYTES)
    write_secret(path, kek.hex().encode() + b"\n")
    return kek


def load_kek(path: Path) -> bytes:
    """Read a key-encryption key; raise ``ValueError`` if the file does not hold 64 hexadecimal digits."""
    return parse_kek(path.read_text(encoding="ascii", errors="replace"), str(path))


def parse_kek(text: str, source: str) -> bytes:
    """Return the key-encryption key that 64 hexadecimal digits spell; raise ``ValueError`` naming ``source``, never the text."""
    try:
        kek = bytes.fromhex(text.strip())
    except ValueError:
        kek = b""
    if len(kek) != KEK_BYTES:
        raise ValueError(f"{source}: expected a key-encryption key of {2 * KEK_BYTES} hexadecimal digits") from None
    return kek


class SqliteKeyStore:
    """A ``KeyStore`` in one SQLite file, WAL, ``synchronous=FULL``; all keys asked for together are minted in one transaction."""

    def __init__(self, path: Path, kek: bytes) -> None:
        """Open or create the file; raise ``IntegrityError`` if it was written under another key-encryption key."""
        if len(kek) != KEK_BYTES:
            raise ValueError(f"expected a key-encryption key of {KEK_BYTES} bytes, found {len(kek)}")
        self._wrapping = AESGCM(kek)
        self._lock = threading.RLock()
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=SECRET_MODE)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        run = self._connection.execute
        run(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=FULL")
        run("PRAGMA secure_delete=ON")  # a destroyed key is overwritten, not merely forgotten
        run(_SCHEMA)
        with self._transaction():
            row = self._row(_CHECK_ID)
            if row is None:
                self._insert(_CHECK_ID, bytes(DATA_KEY_BYTES))
            else:
                self._unwrap(_CHECK_ID, row)

    def create(self, ids: Iterable[str]) -> dict[str, bytes | Destroyed]:
        """As ``KeyStore.create``."""
        found: dict[str, bytes | Destroyed] = {}
        with self._lock:
            wanted = []
            for key_id in dict.fromkeys(ids):
                _check_id(key_id)
                kept = self._kept.get(key_id)
                if kept is None:
                    wanted.append(key_id)
                else:
                    found[key_id] = kept
            if wanted:
                made = self._find_or_mint(wanted)
                self._keep(made)
                found |= made
        return found

    def _find_or_mint(self, ids: list[str]) -> dict[str, bytes | Destroyed]:
        keys: dict[str, bytes | Destroyed] = {}
        with self._transaction():
            for key_id in ids:
                row = self._row(key_id)
                if row is None:
                    minted = secrets.token_bytes(DATA_KEY_BYTES)
                    self._insert(key_id, minted)
                    keys[key_id] = minted
                else:
                    keys[key_id] = self._unwrap(key_id, row)
        return keys

    def get(self, key_id: str) -> bytes | Destroyed:
        """As ``KeyStore.get``."""
        with self._lock:
            kept = self._kept.get(key_id)
            if kept is not None:
                self._kept.move_to_end(key_id)
                return kept
            _check_id(key_id)
            row = self._row(key_id)
            if row is None:
                raise IntegrityError(f"data key {key_id} is referred to but never existed here: restore the key store")
            key = self._unwrap(key_id, row)
            self._keep({key_id: key})
            return key

    def destroy(self, key_id: str) -> None:
        """As ``KeyStore.destroy``."""
        _check_id(key_id)
        with self._lock:
            with self._transaction():
                changed = self._connection.execute("UPDATE data_key SET nonce=NULL, wrapped=NULL WHERE id=?", (key_id,)).rowcount
                if not changed:
                    raise IntegrityError(f"data key {key_id} never existed here: there is nothing to destroy")
            self._kept.pop(key_id, None)
            forget_ciphers()
            # The write-ahead log still holds the page as it was: fold it in and cut it off.
            busy = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                raise Unavailable("the data key is destroyed, but its old bytes still lie in the write-ahead log: destroy it again")

    def close(self) -> None:
        """As ``KeyStore.close``."""
        with self._lock:
            self._kept.clear()
            self._connection.close()

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

    def _row(self, key_id: str) -> tuple[bytes | None, bytes | None] | None:
        row: tuple[bytes | None, bytes | None] | None = self._connection.execute(
            "SELECT nonce, wrapped FROM data_key WHERE id=?", (key_id,)
        ).fetchone()
        return row

    def _insert(self, key_id: str, key: bytes) -> None:
        nonce = secrets.token_bytes(NONCE_BYTES)
        wrapped = self._wrapping.encrypt(nonce, key, _CONTEXT + key_id.encode())
        self._connection.execute("INSERT INTO data_key (id, nonce, wrapped) VALUES (?, ?, ?)", (key_id, nonce, wrapped))

    def _unwrap(self, key_id: str, row: tuple[bytes | None, bytes | None]) -> bytes | Destroyed:
        nonce, wrapped = row
        if nonce is None or wrapped is None:
            return DESTROYED
        try:
            return self._wrapping.decrypt(nonce, wrapped, _CONTEXT + key_id.encode())
        except InvalidTag:
            raise IntegrityError(
                f"data key {key_id} does not unwrap: the key-encryption key is another one, or the row was changed"
            ) from None

    def _keep(self, keys: dict[str, bytes | Destroyed]) -> None:
        for key_id, key in keys.items():
            if isinstance(key, bytes):
                self._kept[key_id] = key
        while len(self._kept) > KEYS_MAX_KEPT:
            self._kept.popitem(last=False)


def _check_id(key_id: str) -> None:
    if not key_id or key_id == _CHECK_ID or len(key_id) > _ID_MAX_CHARACTERS:
        raise ValueError(f"a data key's id has 1 to {_ID_MAX_CHARACTERS} characters and is not {_CHECK_ID}")
