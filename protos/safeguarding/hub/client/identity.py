"""What proves who an agency is: its certificate for the connection, its key for what it signs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

PAYLOAD_TYPE: Final = b"application/vnd.safeguarding-hub.event-header.v1+protobuf"


def pre_authentication_encoding(header: bytes) -> bytes:
    """Return what is signed for a header: DSSE v1, "DSSEv1" SP len(type) SP type SP len(body) SP body."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE, len(header), header)


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM bytes for mutual TLS: the hub's certificate authority, and the agency's certificate (chain) with its private key."""

    authority: bytes
    certificate: bytes
    private_key: bytes = field(repr=False)

    @classmethod
    def from_files(cls, authority: str | Path, certificate: str | Path, private_key: str | Path) -> Credentials:
        """Read the three PEM files."""
        return cls(Path(authority).read_bytes(), Path(certificate).read_bytes(), Path(private_key).read_bytes())

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
        """Read a PEM private key; raise ``ValueError`` for one of another kind."""
        private_key = load_pem_private_key(Path(path).read_bytes(), password)
        if isinstance(private_key, Ed25519PrivateKey):
            return cls(key_id, private_key)
        if isinstance(private_key, EllipticCurvePrivateKey) and isinstance(private_key.curve, SECP256R1):
            return cls(key_id, private_key)
        raise ValueError(f"{path}: a signing key is Ed25519 or P-256")

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

        ``authority`` is the hub's certificate authority, ``ca.pem`` in the same folder unless given.
        """
        root = Path(folder)
        return cls(
            credentials=Credentials.from_files(authority or root / "ca.pem", root / "client.pem", root / "client.key"),
            signing_key=SigningKey.from_file(root / "sign.key", (root / "key_id").read_text().strip()),
            outbox=root / "sequence.sqlite",
        )
