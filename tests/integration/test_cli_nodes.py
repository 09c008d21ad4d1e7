"""``hub nodes prepare`` that is cut short, or cannot issue a certificate; what it makes of a whole one serves in ``test_two_nodes.py``."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from services.cli.failures import Exit
from tests.support.backups import killed_at
from tests.support.command import ROOT, copied_home, environment, ran
from tests.support.hub import RunningHub

pytestmark = pytest.mark.parametrize("hub", ["embedded"], indirect=True, scope="module")
"""Neither Kafka nor PostgreSQL is asked for anything."""
SHARED = {"HUB_KAFKA_BOOTSTRAP": "127.0.0.1:9", "HUB_KEYS_DATABASE_URL": "postgresql+psycopg://hub@127.0.0.1:9/keys"}


@pytest.fixture
def home(hub: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, value in SHARED.items():
        monkeypatch.setenv(name, value)
    return copied_home(hub.settings.home, tmp_path)


def files_of(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*")}


@pytest.mark.parametrize(("function", "nth"), [("shutil.copy2", 3), ("services.cli.nodes.load_authority", 1), ("pathlib.Path.rename", 1)])
def test_a_home_whose_preparing_was_killed_is_none_and_is_prepared_again(home: Path, tmp_path: Path, function: str, nth: int) -> None:
    into = tmp_path / "secure" / "node-2"
    command = ("nodes", "prepare", "node-2", "--into", into, "--home", home)
    ended = subprocess.run(killed_at(function, nth, *command), cwd=ROOT, env=environment(**SHARED), timeout=100, check=False)  # noqa: S603
    assert (ended.returncode, into.exists()) == (-signal.SIGKILL, False)

    again = ran(*command)
    assert again.code == Exit.OK, again.err
    assert list(into.parent.iterdir()) == [into]
    assert into.stat().st_mode & 0o777 == 0o700
    assert {"hub.toml", "trust/kek", "trust/operator.pub", "pki/server.pem", "store", "agencies/hub/sign.key"} <= files_of(into)
    assert ran(*command).code == Exit.USAGE


def test_what_is_missing_is_named_where_it_is_to_lie(home: Path, tmp_path: Path) -> None:
    (home / "pki" / "ca.key").unlink()
    into = tmp_path / "node-2"
    prepared = ran("nodes", "prepare", "node-2", "--into", into, "--home", home, "--json")
    assert prepared.code == Exit.OK, prepared.err
    assert prepared.document["missing"] == [str(into / "pki" / name) for name in ("server.pem", "server.key")]


def test_a_home_that_could_not_be_made_leaves_nothing(home: Path, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    wrong_name = ran("nodes", "prepare", "node 3", "--into", tmp_path / "third", "--home", home)
    (home / "trust" / "operator.pub").unlink()
    without_key = ran("nodes", "prepare", "node-3", "--into", tmp_path / "third", "--home", home)
    assert (wrong_name.code, without_key.code) == (Exit.USAGE, Exit.UNAVAILABLE), without_key.err
    assert set(tmp_path.iterdir()) == before
