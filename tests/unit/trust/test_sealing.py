from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.errors import IntegrityError
from services.trust.sealing import CIPHERS_KEPT, open_sealed, seal

KEY = bytes(range(32))
HASH = hashlib.sha256(b"header").digest()
SALT = bytes(range(32, 64))


@given(body=st.binary(max_size=500), salt=st.binary(min_size=32, max_size=32))
def test_what_is_sealed_opens_as_it_was(body: bytes, salt: bytes) -> None:
    nonce, sealed = seal(KEY, HASH, salt, body)
    assert open_sealed(KEY, HASH, nonce, sealed) == (salt, body)


def test_the_sealing_is_aes_256_gcm_with_the_context_before_the_header_hash() -> None:
    nonce, sealed = seal(KEY, HASH, SALT, b"body")
    assert AESGCM(KEY).decrypt(nonce, sealed, b"safeguarding-hub/sealed-body/v1\x00" + HASH) == SALT + b"body"


def test_the_same_body_is_never_sealed_alike() -> None:
    assert len({seal(KEY, HASH, SALT, b"body") for _ in range(50)}) == 50


def test_however_many_keys_are_in_use_each_opens_its_own() -> None:
    keys = [number.to_bytes(32, "big") for number in range(2 * CIPHERS_KEPT)]
    sealings = [seal(key, HASH, SALT, key) for key in keys]
    assert [open_sealed(key, HASH, *sealing)[1] for key, sealing in zip(keys, sealings, strict=True)] == keys
    with pytest.raises(IntegrityError):
        open_sealed(keys[0], HASH, *sealings[-1])


def test_nothing_of_the_body_shows() -> None:
    assert b"body of the event" not in b"".join(seal(KEY, HASH, SALT, b"body of the event"))


NONCE, SEALED = seal(KEY, HASH, SALT, b"body")


@pytest.mark.parametrize(
    ("key", "header_hash", "nonce", "sealed"),
    [
        (bytes(32), HASH, NONCE, SEALED),
        (KEY, bytes(32), NONCE, SEALED),
        (KEY, HASH, bytes(12), SEALED),
        (KEY, HASH, NONCE, SEALED[:-1]),
        (KEY, HASH, NONCE, SEALED + b"\x00"),
        (KEY, HASH, NONCE, b""),
        (KEY, HASH, NONCE[:11], SEALED),
        (KEY, HASH, b"", SEALED),
    ],
    ids=["key", "header", "nonce", "cut", "longer", "empty", "short nonce", "no nonce"],
)
def test_with_anything_changed_it_does_not_open(key: bytes, header_hash: bytes, nonce: bytes, sealed: bytes) -> None:
    with pytest.raises(IntegrityError):
        open_sealed(key, header_hash, nonce, sealed)


def test_a_sealing_without_a_whole_salt_does_not_open() -> None:
    sealed = AESGCM(KEY).encrypt(NONCE, SALT[:31], b"safeguarding-hub/sealed-body/v1\x00" + HASH)
    with pytest.raises(IntegrityError, match="shorter than its salt"):
        open_sealed(KEY, HASH, NONCE, sealed)


@pytest.mark.parametrize(("key", "header_hash", "salt"), [(KEY[:16], HASH, SALT), (KEY, HASH[:31], SALT), (KEY, HASH, SALT[:31])])
def test_nothing_is_sealed_with_a_short_key_hash_or_salt(key: bytes, header_hash: bytes, salt: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        seal(key, header_hash, salt, b"body")
