"""Data keys, one a case, wrapped and kept outside the log: never existed, active, or destroyed for good.

Wrapping is AES-256-GCM under the key-encryption key with the data key's id as associated data, not RFC 3394 key wrap: key wrap binds
no name, so that a row moved to another id would open. A random 96-bit nonce is safe for 2**32 wrappings; there is one a case.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.runtime.errors import IntegrityError
from services.trust.files import write_secret
from services.trust.sealing import DATA_KEY_BYTES, NONCE_BYTES, forget_ciphers

KEK_BYTES: Final = 32
KEYS_MAX_KEPT: Final = 50_000
"""Unwrapped keys in memory, about 10 MB."""
LOOK_SECONDS: Final = 0.5
"""How often a store looks whether another process has destroyed a key."""
CHECK_ID: Final = "kek-check"
"""Stands among the data keys for none: with it a store knows its key-encryption key again."""
_CONTEXT: Final = b"safeguarding-hub/data-key/v1\x00"
_ID_MAX_CHARACTERS: Final = 200
_SHOWN: Final = 16
"""Of a leaf hash, which is enough to tell two apart by eye."""

Row = tuple[bytes | None, bytes | None]
"""A data key as it is kept: nonce and wrapped bytes, or neither once it is destroyed."""


class Destroyed(Enum):
    """Stands in the place of a data key that was destroyed: bodies sealed with it are gone."""

    DESTROYED = "destroyed"


DESTROYED: Final = Destroyed.DESTROYED


class KeyStore(Protocol):
    """Where data keys are kept. Thread-safe; every change is durable when the call returns.

    Several processes may open one store: a key is minted once among them, and one that is destroyed by one of them is given out by none
    ``LOOK_SECONDS`` later (by ``PostgresqlKeyStore`` see there for a server that does not answer). Every call may raise ``Unavailable``.
    """

    def belong_to(self, log: str | None) -> None:
        """Be the store of a log, named by the leaf hash of its first event; None is said of a log that has none yet.

        Raise ``IntegrityError`` if this is the store of another log.
        """

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


class Wrapping:
    """Wraps data keys under a key-encryption key."""

    def __init__(self, kek: bytes) -> None:
        """Wrap under ``kek``; raise ``ValueError`` unless it has ``KEK_BYTES``."""
        if len(kek) != KEK_BYTES:
            raise ValueError(f"expected a key-encryption key of {KEK_BYTES} bytes, found {len(kek)}")
        self._cipher = AESGCM(kek)

    def mint(self, key_id: str) -> tuple[bytes, bytes]:
        """Return nonce and wrapped bytes of a new key."""
        return self.wrap(key_id, secrets.token_bytes(DATA_KEY_BYTES))

    def check(self) -> tuple[bytes, bytes]:
        """Return what is kept under ``CHECK_ID``."""
        return self.wrap(CHECK_ID, bytes(DATA_KEY_BYTES))

    def wrap(self, key_id: str, key: bytes) -> tuple[bytes, bytes]:
        """Return nonce and wrapped bytes of a key."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce, self._cipher.encrypt(nonce, key, _CONTEXT + key_id.encode())

    def unwrap(self, key_id: str, row: Row) -> bytes | Destroyed:
        """Return the key that was wrapped; raise ``IntegrityError`` if it was wrapped under another key or for another id."""
        nonce, wrapped = row
        if nonce is None or wrapped is None:
            return DESTROYED
        try:
            return self._cipher.decrypt(nonce, wrapped, _CONTEXT + key_id.encode())
        except InvalidTag:
            raise IntegrityError(
                f"data key {key_id} does not unwrap: the key-encryption key is another one, or the row was changed"
            ) from None


class KeptKeys:
    """Unwrapped keys in memory, all forgotten when a key was destroyed, by whomever. Thread-safe; waits for nothing.

    A store counts its destructions. A key is kept only if it was read together with the count that is known here, so that whatever is kept
    was not yet destroyed when that count was taken, and goes with it.
    """

    def __init__(self, destructions: int) -> None:
        """Begin empty, at a store's count."""
        self._lock = threading.Lock()
        self._keys: OrderedDict[str, bytes] = OrderedDict()
        self._destructions = destructions

    def get(self, key_id: str) -> bytes | None:
        """Return a key that is kept."""
        with self._lock:
            key = self._keys.get(key_id)
            if key is not None:
                self._keys.move_to_end(key_id)
            return key

    def keep(self, keys: Mapping[str, bytes | Destroyed], destructions: int) -> None:
        """Keep what was read at a count, the newest ``KEYS_MAX_KEPT`` of all."""
        with self._lock:
            if destructions != self._destructions:
                return
            self._keys.update((key_id, key) for key_id, key in keys.items() if isinstance(key, bytes))
            while len(self._keys) > KEYS_MAX_KEPT:
                self._keys.popitem(last=False)

    def learn(self, destructions: int) -> None:
        """Take note of a store's count; forget everything, the ciphers too, if it is another than before.

        A store says its counts in the order in which it read them: an old one said late would let what was read with it be kept again. A
        smaller one is news like any other, since a database may have been restored from a backup.
        """
        with self._lock:
            if destructions == self._destructions:
                return
            self._keys.clear()
            self._destructions = destructions
        forget_ciphers()

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._keys.clear()


def never_existed(key_id: str) -> IntegrityError:
    """Return the alarm for a key that an event refers to and the store never had."""
    return IntegrityError(f"data key {key_id} is referred to but never existed here: restore the key store")


def nothing_to_destroy(key_id: str) -> IntegrityError:
    """Return what destroying such a key ends with."""
    return IntegrityError(f"data key {key_id} never existed here: there is nothing to destroy")


def demand_log(owner: str | None, log: str | None) -> None:
    """Raise ``IntegrityError`` if a store that belongs to ``owner`` is opened beside another log."""
    if owner is not None and owner != log:
        beside = "this log is empty" if log is None else f"this one begins with {log[:_SHOWN]}…"
        raise IntegrityError(f"the key store is of another log: that begins with event {owner[:_SHOWN]}…, {beside}")


def demand_id(key_id: str) -> None:
    """Raise ``ValueError`` for what is no id of a data key."""
    if not key_id or key_id == CHECK_ID or len(key_id) > _ID_MAX_CHARACTERS:
        raise ValueError(f"a data key's id has 1 to {_ID_MAX_CHARACTERS} characters and is not {CHECK_ID}")
