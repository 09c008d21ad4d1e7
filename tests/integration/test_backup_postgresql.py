"""Backups of a hub whose data keys lie in PostgreSQL: pg_dump keeps them, and what is restored is held against the log all the same."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from deploy.postgresql.server import programs
from services.cli.failures import Exit
from services.trust.keystore import case_key_id
from tests.support.backups import heads
from tests.support.builders import CASE, COUNCIL, OTHER_CASE, SHARD, a_notification
from tests.support.command import Ran, ran
from tests.support.hub import running_hub
from tests.support.postgresql import a_database

DUMP_MAX_SECONDS = 60


def dumped(url: str, file: Path) -> Path:
    """Dump a database as the runbook says."""
    run("pg_dump", "--format=custom", f"--file={file}", plain(url))
    return file


@contextmanager
def loaded(server: str, dump: Path) -> Iterator[str]:
    """Give a database restored from a dump as the runbook says."""
    with a_database(server) as url:
        run("pg_restore", "--exit-on-error", "--single-transaction", f"--dbname={plain(url)}", str(dump))
        yield url


def run(program: str, *arguments: str) -> None:
    command = [str(programs() / program), *arguments]
    subprocess.run(command, check=True, capture_output=True, timeout=DUMP_MAX_SECONDS)  # noqa: S603  PostgreSQL's own


def plain(url: str) -> str:
    """Return a URL as PostgreSQL's own programs read it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.mark.timeout(180)
def test_a_home_comes_back_beside_its_keys_as_dumped_after_it_and_beside_no_older_ones(
    postgresql_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = tmp_path / "backup"
    with a_database(postgresql_server) as url, monkeypatch.context() as patch:
        patch.setenv("HUB_KEYS_DATABASE_URL", url)
        with running_hub(tmp_path / "hub") as hub:
            empty = dumped(url, tmp_path / "empty.dump")
            hub.run(hub.said(COUNCIL, a_notification(), case_id=CASE))
            hub.run(hub.said(COUNCIL, a_notification(), case_id=OTHER_CASE))
            older = dumped(url, tmp_path / "older.dump")
            hub.parts.keys.destroy(case_key_id(SHARD, OTHER_CASE))
            took = ran("backup", backup, "--home", hub.settings.home, "--json")
            assert (took.code, took.document["keys"]) == (Exit.OK, "postgresql"), took.err
            assert not (backup / "store" / "keys.sqlite").exists()
            newer = dumped(url, tmp_path / "newer.dump")
            before, kek = heads(hub.settings.home), hub.settings.kek_file.read_text().strip()

    def restored(name: str, dump: Path | None) -> Ran:
        with monkeypatch.context() as patch:
            patch.setenv("HUB_KEK", kek)
            if dump is None:
                return ran("restore", backup, "--home", tmp_path / name)
            with loaded(postgresql_server, dump) as url:
                patch.setenv("HUB_KEYS_DATABASE_URL", url)
                back = ran("restore", backup, "--home", tmp_path / name)
                if back.code == Exit.OK:
                    assert ran("rebuild", "--home", tmp_path / name).code == Exit.OK
                    assert ran("verify", "--home", tmp_path / name, "--json").document["passed"] is True
                return back

    nowhere = restored("nowhere", None)
    assert (nowhere.code, "restore that database first, and set HUB_KEYS_DATABASE_URL" in nowhere.err) == (Exit.UNAVAILABLE, True)
    lacking = restored("lacking", empty)
    assert (lacking.code, "is referred to but never existed here" in lacking.err) == (Exit.UNSOUND, True), lacking.err
    undone = restored("undone", older)
    words = f"data key {case_key_id(SHARD, OTHER_CASE)} was destroyed before the backup, and is whole"
    assert (undone.code, words in undone.err) == (Exit.UNSOUND, True), undone.err
    back = restored("back", newer)
    assert back.code == Exit.OK, back.err
    assert heads(tmp_path / "back") == before
    assert sorted(one.name for one in tmp_path.glob("*")) == ["back", "backup", "empty.dump", "hub", "newer.dump", "older.dump"]
