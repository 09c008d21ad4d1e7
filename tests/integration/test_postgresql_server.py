"""The PostgreSQL that a person and the demo start: ``python -m deploy.postgresql``."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from deploy.postgresql import server as module
from deploy.postgresql.__main__ import ANNOUNCED
from deploy.postgresql.server import PostgresqlMissing, programs
from tests.support.command import ROOT, environment

END_MAX_SECONDS = 30.0


@pytest.fixture(autouse=True)
def _postgresql(postgresql_server: str) -> None:
    """Skips, or fails, as the other tests of PostgreSQL do where it cannot be had."""


@contextmanager
def running(*options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(  # noqa: S603  our own program
        [sys.executable, "-m", "deploy.postgresql", "--until-stdin-closes", *options],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.communicate(timeout=END_MAX_SECONDS)


def connected(process: subprocess.Popen[str]) -> psycopg.Connection:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith(ANNOUNCED), line
    return psycopg.connect(line.removeprefix(ANNOUNCED).strip().replace("+psycopg", ""), autocommit=True)


def a_folder_for_anybody(tmp_path: Path) -> Path:
    """The server may run as another user, who has to come as far as its folder."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder == Path("/tmp") or folder.stat().st_mode & 0o001:  # noqa: S108  compared with, not written to
            break
        folder.chmod(0o711)
    return tmp_path / "kept"


def test_what_is_kept_is_taken_up_again_at_the_same_url(tmp_path: Path) -> None:
    folder = str(a_folder_for_anybody(tmp_path))
    with running("--dir", folder) as process, connected(process) as first:
        first.execute("CREATE TABLE kept (word text)")
        first.execute("INSERT INTO kept VALUES ('there')")
        port = first.info.port
    with running("--dir", folder) as process, connected(process) as second:
        assert second.execute("SELECT word FROM kept").fetchall() == [("there",)]
        assert second.info.port == port
    assert process.returncode == 0


def test_the_server_ends_with_the_input_of_its_keeper() -> None:
    with running() as process, connected(process) as connection:
        port = connection.info.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), END_MAX_SECONDS)


def test_a_folder_that_its_user_cannot_reach_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_arguments: object, **_options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module.subprocess, "run", refused)
    with (
        pytest.raises(module.PostgresqlFailed, match=f"cannot use {tmp_path / 'own'}.* may not pass"),
        module.server(tmp_path / "own", kept=False),
    ):
        pass


def test_where_it_is_not_installed_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Path", lambda _path: Path("/nowhere"))
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(PostgresqlMissing, match="install the package postgresql"):
        programs()
