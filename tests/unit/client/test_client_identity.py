"""What an agency's files must hold: said at once and by the file's name, where gRPC would only say that there is no connection."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from safeguarding.hub.client import Identity, IdentityUnusable
from services.trust.pki import load_authority
from tests.support.loopback_hub import COUNCIL, Files


@pytest.fixture
def folder(files: Files, tmp_path: Path) -> Path:
    copied = shutil.copytree(files.root / "agency", tmp_path / "agency")
    shutil.copy(files.root / "ca.pem", copied / "ca.pem")
    return copied


def spoiled(name: str) -> Callable[[Path, Files], None]:
    return lambda folder, _files: (folder / name).write_text("-----BEGIN NOTHING-----\nsecret\n")  # type: ignore[return-value]


def of_another(folder: Path, files: Files) -> None:
    shutil.copy(files.root / "server.key", folder / "client.key")


def expired(folder: Path, files: Files) -> None:
    for name in ("client.pem", "client.key"):
        (folder / name).unlink()
    load_authority(files.root).issue_agency(folder, COUNCIL, trust_domain="hub.example", now=datetime.now(UTC) - timedelta(days=4_000))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoiled("ca.pem"), "ca.pem holds no certificate in PEM"),
        (spoiled("client.pem"), "client.pem holds no certificate in PEM"),
        (spoiled("client.key"), "client.key holds no private key in PEM"),
        (spoiled("sign.key"), "sign.key holds no private key in PEM"),
        (of_another, "client.key holds another key than the one that "),
        (expired, "client.pem expired at 20"),
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
