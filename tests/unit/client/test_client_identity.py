"""What an agency's files must hold: said at once and by the file's name, where gRPC would only say that there is no connection."""

from __future__ import annotations

import shutil
from base64 import encodebytes
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificate

from safeguarding.hub.client import AppendUnresolved, BlockingHubClient, Identity, IdentityUnusable, Receipt, Sender
from safeguarding.hub.v1.incident_pb2 import NotificationWithdrawn
from services.trust.pki import load_authority
from tests.support.builders import CASE
from tests.support.loopback_hub import COUNCIL, Files, LoopbackHub


@pytest.fixture
def folder(files: Files, tmp_path: Path) -> Path:
    copied = shutil.copytree(files.root / "agency", tmp_path / "agency")
    shutil.copy(files.root / "ca.pem", copied / "ca.pem")
    return copied


def spoiled(name: str) -> Callable[[Path, Files], None]:
    return lambda folder, _files: (folder / name).write_text("-----BEGIN NOTHING-----\nsecret\n")  # type: ignore[return-value]


def of_another(folder: Path, files: Files) -> None:
    shutil.copy(files.root / "server.key", folder / "client.key")


def damaged(folder: Path, _files: Files) -> None:
    """Change the certified point, so that it is none of its curve: the rest reads as before."""
    certificate = load_pem_x509_certificate((folder / "client.pem").read_bytes())
    encoded = bytearray(certificate.public_bytes(Encoding.DER))
    point = certificate.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)  # type: ignore[union-attr,call-arg]
    encoded[encoded.index(point) + 40] ^= 1
    (folder / "client.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\n" + encodebytes(encoded) + b"-----END CERTIFICATE-----\n")


def encrypted(folder: Path, _files: Files) -> None:
    key = load_pem_private_key((folder / "client.key").read_bytes(), None)
    kept = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    (folder / "client.key").write_bytes(kept)


def no_text(folder: Path, _files: Files) -> None:
    (folder / "key_id").write_bytes(b"\xff\n")


def empty(folder: Path, _files: Files) -> None:
    (folder / "key_id").write_text("\n")


def reissued(folder: Path, files: Files, now: datetime) -> Identity:
    for name in ("client.pem", "client.key"):
        (folder / name).unlink()
    load_authority(files.root).issue_agency(folder, COUNCIL, trust_domain="hub.example", now=now)
    return Identity.from_folder(folder)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoiled("ca.pem"), "ca.pem holds no certificate in PEM"),
        (spoiled("client.pem"), "client.pem holds no certificate in PEM"),
        (spoiled("client.key"), "client.key holds no private key in PEM"),
        (spoiled("sign.key"), "sign.key holds no private key in PEM"),
        (of_another, "client.key holds another key than the one that "),
        (damaged, "client.pem holds no certificate in PEM"),
        (encrypted, "is it encrypted?"),
        (no_text, "key_id names no key"),
        (empty, "key_id names no key"),
    ],
)
def test_a_file_that_proves_nothing_is_named_and_not_quoted(
    folder: Path, files: Files, spoil: Callable[[Path, Files], None], words: str
) -> None:
    Identity.from_folder(folder)
    spoil(folder, files)
    with pytest.raises(IdentityUnusable) as refused:
        Identity.from_folder(folder)

    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


def test_a_chain_with_the_agencys_certificate_first_is_taken(folder: Path, files: Files) -> None:
    chain = (folder / "client.pem").read_bytes() + (files.root / "ca.pem").read_bytes()
    (folder / "client.pem").write_bytes(chain)
    assert Identity.from_folder(folder).credentials.lapse == ""


def test_what_is_signed_with_an_expired_certificate_is_kept_and_the_certificate_named(
    folder: Path, files: Files, hub: LoopbackHub, sender: Sender
) -> None:
    now = datetime.now(UTC)
    identity = reissued(folder, files, now - timedelta(days=4_000))
    with BlockingHubClient(hub.target, sender=sender, identity=identity) as client, pytest.raises(AppendUnresolved) as unresolved:
        client.append(NotificationWithdrawn(rationale="Synthetic."), case_id=CASE, deadline_seconds=2)
    renewed = reissued(folder, files, now)
    with BlockingHubClient(hub.target, sender=sender, identity=renewed) as client:
        sent = list(client.resume())

    assert "the agency's certificate expired at 20" in str(unresolved.value)
    assert [type(one) for one in sent] == [Receipt]


def test_a_certificate_of_the_future_is_named(folder: Path, files: Files) -> None:
    early = reissued(folder, files, datetime.now(UTC) + timedelta(days=2))
    assert early.credentials.lapse.startswith("the agency's certificate is good from 20")
