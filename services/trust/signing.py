"""Signatures over bytes as received: DSSE v1 pre-authentication encoding, Ed25519 or ECDSA P-256 with SHA-256."""

from __future__ import annotations

import hmac
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from nacl.bindings import crypto_sign_open
from nacl.exceptions import BadSignatureError

from domain.agency.events import KeyAlgorithm
from services.runtime.errors import SignatureInvalid
from services.trust.files import write_public, write_secret

HEADER_PAYLOAD_TYPE: Final = b"application/vnd.safeguarding-hub.event-header.v1+protobuf"
SALT_BYTES: Final = 32
ED25519_PUBLIC_KEY_BYTES: Final = 32
ED25519_SIGNATURE_BYTES: Final = 64
P256_PUBLIC_KEY_BYTES: Final = 65
"""An uncompressed point (SEC 1, 2.3.3): 0x04, x, y."""

PublicKey = Ed25519PublicKey | EllipticCurvePublicKey
PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey

_ECDSA_SHA256: Final = ECDSA(hashes.SHA256())
_P25519: Final = 2**255 - 19
_Y_ORDER_8: Final = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
_LOW_ORDER_Y: Final = frozenset({0, 1, _P25519 - 1, _Y_ORDER_8, _P25519 - _Y_ORDER_8})
"""The y of all eight points whose order divides the cofactor 8: under such a key one signature is good for many messages."""


def pae(payload_type: bytes, payload: bytes) -> bytes:
    """Return the DSSE v1 pre-authentication encoding: ``"DSSEv1" SP len(type) SP type SP len(payload) SP payload``."""
    return b"DSSEv1 %d %b %d %b" % (len(payload_type), payload_type, len(payload), payload)


def commitment(salt: bytes, body: bytes) -> bytes:
    """Return what binds a body to its header: HMAC-SHA256 with the salt as key, 32 bytes."""
    # ``hmac.digest`` would give up the interpreter's lock for each event, and in a program with threads that costs more than the bytes.
    return hmac.new(salt, body, "sha256").digest()


@lru_cache(maxsize=8_192)
def public_key_of(algorithm: KeyAlgorithm, encoded: bytes) -> PublicKey:
    """Return the public key in its one accepted encoding: 32 bytes for Ed25519 (RFC 8032), an uncompressed point for P-256.

    Raises ``SignatureInvalid`` (``wire.key_low_order``, ``wire.key_encoding``).
    """
    if algorithm is KeyAlgorithm.ED25519:
        return _ed25519_public_key(encoded)
    if len(encoded) != P256_PUBLIC_KEY_BYTES:
        raise SignatureInvalid("wire.key_encoding", f"a P-256 public key is an uncompressed point of {P256_PUBLIC_KEY_BYTES} bytes")
    try:
        return EllipticCurvePublicKey.from_encoded_point(SECP256R1(), encoded)
    except ValueError:
        raise SignatureInvalid("wire.key_encoding", "the public key is no point of P-256") from None


def _ed25519_public_key(encoded: bytes) -> Ed25519PublicKey:
    """Check what ``cryptography`` does not: it loads low-order points and encodings of y that are not reduced."""
    if len(encoded) != ED25519_PUBLIC_KEY_BYTES:
        raise SignatureInvalid("wire.key_encoding", f"an Ed25519 public key has {ED25519_PUBLIC_KEY_BYTES} bytes")
    y = int.from_bytes(encoded, "little") & (2**255 - 1)
    if y % _P25519 in _LOW_ORDER_Y:
        raise SignatureInvalid("wire.key_low_order", "the public key is a point of low order")
    if y >= _P25519:
        raise SignatureInvalid("wire.key_encoding", "the public key is not in its canonical encoding (RFC 8032, 5.1.3)")
    return Ed25519PublicKey.from_public_bytes(encoded)


def encode_public_key(key: PublicKey) -> bytes:
    """Return a public key in the encoding that the registry holds."""
    if isinstance(key, Ed25519PublicKey):
        return key.public_bytes_raw()
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def verify_bytes(key: PublicKey, signature: bytes, payload_type: bytes, payload: bytes, *, rule: str = "wire.signature") -> None:
    """Raise ``SignatureInvalid`` by ``rule`` unless ``key`` signed this payload as one of this type."""
    message = pae(payload_type, payload)
    try:
        if isinstance(key, EllipticCurvePublicKey):
            key.verify(signature, message, _ECDSA_SHA256)
        elif not _is_sound_to_libsodium(key, signature, message):
            key.verify(signature, message)
    except InvalidSignature:
        raise SignatureInvalid(rule, "the signature is not this key's over these bytes") from None


def _is_sound_to_libsodium(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    """Tell whether libsodium takes a signature, in half the time of OpenSSL: verifying is what an event costs most.

    Both compare R byte for byte (RFC 8032, 5.1.7, without the cofactor), and libsodium refuses more (an R of low order): what it takes
    OpenSSL takes too, and what it refuses OpenSSL decides.
    """
    if len(signature) != ED25519_SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, key.public_bytes_raw())
    except BadSignatureError:
        return False
    return True


class SigningKey:
    """A private signing key. It never shows itself: not in ``repr``, not in an error."""

    __slots__ = ("_key",)

    def __init__(self, key: PrivateKey) -> None:
        """Wrap a private key; use ``generate`` or ``load``."""
        if isinstance(key, EllipticCurvePrivateKey) and not isinstance(key.curve, SECP256R1):
            raise ValueError(f"expected a key on secp256r1 (P-256), found {key.curve.name}")  # noqa: TRY004  # the right type, another curve
        self._key = key

    @classmethod
    def generate(cls, algorithm: KeyAlgorithm = KeyAlgorithm.ED25519) -> SigningKey:
        """Make a new key from the system's randomness."""
        return cls(Ed25519PrivateKey.generate() if algorithm is KeyAlgorithm.ED25519 else generate_private_key(SECP256R1()))

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Read an unencrypted PKCS #8 PEM file; raise ``ValueError`` if it holds no Ed25519 or P-256 key."""
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError):
            raise ValueError(f"{path} holds no unencrypted PEM private key") from None
        if not isinstance(key, Ed25519PrivateKey | EllipticCurvePrivateKey):
            raise ValueError(f"{path} holds neither an Ed25519 nor a P-256 key")  # noqa: TRY004  # the file is wrong, not an argument's type
        return cls(key)

    def save(self, path: Path, *, replace: bool = False) -> None:
        """Write the key as PKCS #8 PEM, readable by its owner alone; raise ``FileExistsError`` rather than overwrite."""
        content = self._key.private_bytes(Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        write_secret(path, content, replace=replace)

    @property
    def algorithm(self) -> KeyAlgorithm:
        """How it signs."""
        return KeyAlgorithm.ED25519 if isinstance(self._key, Ed25519PrivateKey) else KeyAlgorithm.ECDSA_P256_SHA256

    @property
    def public_key(self) -> PublicKey:
        """Its public half."""
        return self._key.public_key()

    @property
    def public_bytes(self) -> bytes:
        """Its public half as ``KeyRegistered.public_key`` wants it."""
        return encode_public_key(self.public_key)

    def save_public(self, path: Path, *, replace: bool = False) -> None:
        """Write the public half as PEM (SubjectPublicKeyInfo), as ``load_public_key`` reads it."""
        content = self.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        write_public(path, content, replace=replace)

    def sign(self, header_bytes: bytes) -> bytes:
        """Return the signature over an event's header bytes."""
        return self.sign_bytes(HEADER_PAYLOAD_TYPE, header_bytes)

    def sign_bytes(self, payload_type: bytes, payload: bytes) -> bytes:
        """Return the signature over a payload of another type: never valid for a header."""
        message = pae(payload_type, payload)
        return self._key.sign(message) if isinstance(self._key, Ed25519PrivateKey) else self._key.sign(message, _ECDSA_SHA256)


def load_public_key(path: Path) -> tuple[KeyAlgorithm, bytes]:
    """Read a PEM public key as algorithm and registry encoding; raise ``ValueError`` or ``SignatureInvalid`` if it will not do."""
    try:
        key = serialization.load_pem_public_key(path.read_bytes())
    except ValueError:
        raise ValueError(f"{path} holds no PEM public key") from None
    if isinstance(key, Ed25519PublicKey):
        algorithm = KeyAlgorithm.ED25519
    elif isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1):
        algorithm = KeyAlgorithm.ECDSA_P256_SHA256
    else:
        raise ValueError(f"{path} holds neither an Ed25519 nor a P-256 key")  # noqa: TRY004  # the file is wrong, not an argument's type
    encoded = encode_public_key(key)
    public_key_of(algorithm, encoded)
    return algorithm, encoded
