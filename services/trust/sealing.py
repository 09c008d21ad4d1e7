"""Sealing: an event's salt and body under its case's data key, bound to its header."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.runtime.errors import IntegrityError
from services.runtime.randomness import random_bytes
from services.trust.signing import SALT_BYTES

DATA_KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
HEADER_HASH_BYTES: Final = 32
CIPHERS_KEPT: Final = 2_048
"""Making a cipher takes longer than opening a body with it, and so many cases may well be spoken of at a time.

Whoever seals or opens has asked the key store for the key, and a key store that destroys one has all ciphers forgotten.
"""
CONTEXT: Final = b"safeguarding-hub/sealed-body/v1\x00"
"""Says what is sealed, so that nothing else under the same key is ever taken for it."""


def seal(data_key: bytes, header_hash: bytes, salt: bytes, body: bytes) -> tuple[bytes, bytes]:
    """Return (nonce, sealed): AES-256-GCM of ``salt || body`` under a random 96-bit nonce, bound to SHA-256 of the header bytes.

    Raises ``ValueError`` for a key, hash or salt of another length than 32 bytes.
    """
    if len(salt) != SALT_BYTES:
        raise ValueError(f"expected a salt of {SALT_BYTES} bytes, found {len(salt)}")
    nonce = random_bytes(NONCE_BYTES)
    return nonce, _cipher(data_key).encrypt(nonce, salt + body, _context(header_hash))


def open_sealed(data_key: bytes, header_hash: bytes, nonce: bytes, sealed: bytes) -> tuple[bytes, bytes]:
    """Return (salt, body) as sealed; raise ``IntegrityError`` if key, header, nonce or bytes are not those of the sealing."""
    if len(nonce) != NONCE_BYTES:
        raise IntegrityError(f"a sealed body has a nonce of {NONCE_BYTES} bytes, found {len(nonce)}")
    try:
        opened = _cipher(data_key).decrypt(nonce, sealed, _context(header_hash))
    except InvalidTag:
        raise IntegrityError("a sealed body does not open: its key, header or bytes were changed") from None
    if len(opened) < SALT_BYTES:
        raise IntegrityError("a sealed body is shorter than its salt")
    return opened[:SALT_BYTES], opened[SALT_BYTES:]


def forget_ciphers() -> None:
    """Let go of every cipher, and so of every key that lies in one."""
    _cipher.cache_clear()


def _context(header_hash: bytes) -> bytes:
    if len(header_hash) != HEADER_HASH_BYTES:
        raise ValueError(f"expected a header hash of {HEADER_HASH_BYTES} bytes, found {len(header_hash)}")
    return CONTEXT + header_hash


@lru_cache(maxsize=CIPHERS_KEPT)
def _cipher(data_key: bytes) -> AESGCM:
    if len(data_key) != DATA_KEY_BYTES:
        raise ValueError(f"expected a data key of {DATA_KEY_BYTES} bytes, found {len(data_key)}")
    return AESGCM(data_key)
