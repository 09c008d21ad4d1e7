"""What proves who an agency is: its certificate for the connection, its key for what it signs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import grpc
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, InvalidVersion, load_pem_x509_certificate

PAYLOAD_TYPE: Final = b"application/vnd.safeguarding-hub.event-header.v1+protobuf"


def pre_authentication_encoding(header: bytes) -> bytes:
    """Return what is signed for a header: DSSE v1, "DSSEv1" SP len(type) SP type SP len(body) SP body."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(header), header)


class IdentityUnusable(ValueError):
    """A file cannot prove who an agency is; the message names the file and says why, never what it holds."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM bytes for mutual TLS: the hub's certificate authority, and the agency's certificate (chain) with its private key."""

    authority: bytes
    certificate: bytes
    private_key: bytes = field(repr=False)

    @classmethod
    def from_files(cls, authority: str | Path, certificate: str | Path, private_key: str | Path) -> Credentials:
        """Read the three PEM files; raise ``IdentityUnusable`` for what could open no connection: gRPC would not say why.

        A certificate that has expired is taken: what is signed meanwhile is kept, and sent once there is another. ``lapse`` tells.
        """
        read = cls(Path(authority).read_bytes(), Path(certificate).read_bytes(), Path(private_key).read_bytes())
        _certificate_in(read.authority, authority)
        _, certified = _certificate_in(read.certificate, certificate)
        if certified != _private_key_in(read.private_key, private_key, None).public_key():
            raise IdentityUnusable(f"{private_key} holds another key than the one that the first certificate in {certificate} is of")
        return read

    @property
    def lapse(self) -> str:
        """Why nobody takes the agency's certificate now, by this machine's clock; empty if it is good, or not what is read from files."""
        now = datetime.now(UTC)
        try:
            certificate, _ = _certificate_in(self.certificate, "")
        except IdentityUnusable:
            return ""
        if now < certificate.not_valid_before_utc:
            return f"the agency's certificate is good from {certificate.not_valid_before_utc.isoformat()} on, by this machine's clock"
        if now > certificate.not_valid_after_utc:
            return f"the agency's certificate expired at {certificate.not_valid_after_utc.isoformat()}, by this machine's clock"
        return ""

    def for_channel(self) -> grpc.ChannelCredentials:
        """Return them as gRPC takes them."""
        return grpc.ssl_channel_credentials(self.authority, self.private_key, self.certificate)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key whose public half is registered with the hub as ``key_id``: Ed25519, or ECDSA on P-256."""

    key_id: str
    private_key: Ed25519PrivateKey | EllipticCurvePrivateKey = field(repr=False)

    @classmethod
    def from_file(cls, path: str | Path, key_id: str, password: bytes | None = None) -> SigningKey:
        """Read a PEM private key; raise ``IdentityUnusable`` for anything else, or for one of another kind."""
        private_key = _private_key_in(Path(path).read_bytes(), path, password)
        if isinstance(private_key, Ed25519PrivateKey):
            return cls(key_id, private_key)
        if isinstance(private_key, EllipticCurvePrivateKey) and isinstance(private_key.curve, SECP256R1):
            return cls(key_id, private_key)
        raise IdentityUnusable(f"{path}: a signing key is Ed25519 or P-256")

    def sign(self, header: bytes) -> bytes:
        """Return the signature over a serialized header."""
        message = pre_authentication_encoding(header)
        if isinstance(self.private_key, Ed25519PrivateKey):
            return self.private_key.sign(message)
        return self.private_key.sign(message, ECDSA(hashes.SHA256()))


@dataclass(frozen=True, slots=True)
class Identity:
    """All that one agency system keeps in files: credentials, signing key, and the outbox (SQLite), which it alone uses."""

    credentials: Credentials
    signing_key: SigningKey
    outbox: Path

    @classmethod
    def from_folder(cls, folder: str | Path, authority: str | Path | None = None) -> Identity:
        """Read ``client.pem``, ``client.key``, ``sign.key`` and ``key_id``; the outbox is ``sequence.sqlite``.

        ``authority`` is the hub's certificate authority, ``ca.pem`` in the same folder unless given. Raises ``OSError`` for a file that is
        missing, ``IdentityUnusable`` for one that is not what it should be.
        """
        root = Path(folder)
        return cls(
            credentials=Credentials.from_files(authority or root / "ca.pem", root / "client.pem", root / "client.key"),
            signing_key=SigningKey.from_file(root / "sign.key", _key_id_in(root / "key_id")),
            outbox=root / "sequence.sqlite",
        )


def _certificate_in(pem: bytes, path: str | Path) -> tuple[Certificate, Any]:
    """Return the first certificate of a file, and the public key that it certifies."""
    try:
        certificate = load_pem_x509_certificate(pem)
        return certificate, certificate.public_key()
    except (ValueError, UnsupportedAlgorithm, InvalidVersion):
        raise IdentityUnusable(f"{path} holds no certificate in PEM that can be read here") from None


def _private_key_in(pem: bytes, path: str | Path, password: bytes | None) -> Any:
    """Return the private key of a file, of whatever kind."""
    try:
        return load_pem_private_key(pem, password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise IdentityUnusable(f"{path} holds no private key in PEM that can be read here; is it encrypted?") from None


def _key_id_in(path: Path) -> str:
    """Return the key id that a file names."""
    try:
        key_id = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        key_id = ""
    if not key_id:
        raise IdentityUnusable(f"{path} names no key")
    return key_id
