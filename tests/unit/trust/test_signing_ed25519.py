"""Two libraries look at an Ed25519 signature: they must agree wherever signatures can be made that some libraries take and some do not."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.errors import SignatureInvalid
from services.trust.signing import pae, verify_bytes

Point = tuple[int, int]

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
NEUTRAL: Point = (0, 1)
TYPE, PAYLOAD = "text/plain", b"a header"


def root(y: int) -> int:
    """Return the even x of a point of the curve (RFC 8032, 5.1.3)."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if x * x % P == square else x * pow(2, (P - 1) // 4, P) % P
    return x if x % 2 == 0 else P - x


def point(y: int) -> Point:
    return root(y), y


def add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    k = D * x1 * x2 * y1 * y2 % P
    return (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P


def times(number: int, of: Point) -> Point:
    total = NEUTRAL
    while number:
        total = add(total, of) if number & 1 else total
        of, number = add(of, of), number >> 1
    return total


def encoded(of: Point) -> bytes:
    return (of[1] | (of[0] & 1) << 255).to_bytes(32, "little")


BASE = point(4 * pow(5, -1, P) % P)
EIGHTH = point(0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826)


def signed(secret: int, nonce: int, key_torsion: int, nonce_torsion: int, lift: int = 0) -> tuple[bytes, bytes]:
    """Return a public key and a signature, each moved by a point of low order, its S with a multiple of the order added."""
    key = encoded(add(times(secret, BASE), times(key_torsion, EIGHTH)))
    commitment = encoded(add(times(nonce, BASE), times(nonce_torsion, EIGHTH)))
    challenge = int.from_bytes(hashlib.sha512(commitment + key + pae(TYPE.encode(), PAYLOAD)).digest(), "little")
    return key, commitment + ((nonce + challenge * secret) % ORDER + lift * ORDER).to_bytes(32, "little")


def passes(key: bytes, signature: bytes) -> bool:
    try:
        verify_bytes(Ed25519PublicKey.from_public_bytes(key), signature, TYPE.encode(), PAYLOAD)
    except SignatureInvalid:
        return False
    return True


def passes_openssl(key: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, pae(TYPE.encode(), PAYLOAD))
    except InvalidSignature:
        return False
    return True


SCALARS = st.integers(1, ORDER - 1)


@settings(max_examples=25)  # the arithmetic above is slow
@given(SCALARS, st.one_of(st.just(0), SCALARS), st.integers(0, 7), st.integers(0, 7), st.integers(0, 1))
def test_what_passes_is_what_openssl_alone_lets_pass(secret: int, nonce: int, key_torsion: int, nonce_torsion: int, lift: int) -> None:
    key, signature = signed(secret, nonce, key_torsion, nonce_torsion, lift)
    assert passes(key, signature) == passes_openssl(key, signature)


def test_a_signature_moved_by_a_point_of_low_order_passes_only_where_the_equation_holds_without_the_cofactor() -> None:
    assert passes(*signed(5, 7, 0, 0))
    assert not passes(*signed(5, 7, 0, 1))
    assert not passes(*signed(5, 7, 0, 0, lift=1))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_refused(length: int) -> None:
    key, signature = signed(5, 7, 0, 0)
    assert not passes(key, (signature + pae(TYPE.encode(), PAYLOAD))[:length])
