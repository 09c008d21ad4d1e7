from __future__ import annotations

import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path

import grpc
import pytest
from sqlalchemy.exc import DatabaseError, OperationalError

from safeguarding.hub.client.outbox import Outbox, OutboxUnusable
from safeguarding.hub.client.outcomes import CallFailed
from services.cli.ending import ended_by
from services.cli.failures import Exit
from services.cli.main import main


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_output_that_finds_no_room_is_not_laid_to_the_home(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with suppress(OSError), Path("/dev/full").open("w", encoding="utf-8") as full:  # it fails once more when it is closed
        monkeypatch.setattr(sys, "stdout", full)
        code = main(["generate", "--incidents", "1"])
    monkeypatch.undo()

    said = capsys.readouterr().err
    assert code == Exit.UNAVAILABLE
    assert said.startswith("hub: No space left on device\n     make room where the output goes")
    assert "--home" not in said


def test_of_a_missing_folder_it_is_asked_whether_it_was_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FileNotFoundError) as missing:
        list((tmp_path / "none").iterdir())

    assert ended_by(missing.value) == Exit.UNAVAILABLE
    assert capsys.readouterr().err.startswith(f"hub: missing: {tmp_path / 'none'}\n     is that the one that was meant?")


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        (grpc.StatusCode.DATA_LOSS, Exit.UNSOUND, "hub: DATA_LOSS: why\n     hub doctor and hub verify, where its home is, say more\n"),
        (grpc.StatusCode.PERMISSION_DENIED, Exit.REFUSED, "hub: refused: PERMISSION_DENIED: why\n"),
    ],
)
def test_a_contradiction_that_the_hub_met_in_appending_is_no_refusal(
    code: grpc.StatusCode, exit_code: Exit, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (ended_by(CallFailed(code, "why")), capsys.readouterr().err) == (exit_code, said)


def _of_a_full_disk(path: Path) -> sqlite3.OperationalError:
    """Return what SQLite raises when there is no room."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA max_page_count = 1")
        with pytest.raises(sqlite3.OperationalError) as full:
            connection.execute("CREATE TABLE t (x)")
    return full.value


def test_a_database_without_room_is_not_available_and_what_was_asked_wrongly_is_unexpected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    full = _of_a_full_disk(tmp_path / "full.sqlite")

    assert ended_by(full) == Exit.UNAVAILABLE
    assert ended_by(OperationalError("INSERT", None, full)) == Exit.UNAVAILABLE
    assert capsys.readouterr().err.count("a database cannot be written or read: database or disk is full\n") == 2
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(sqlite3.OperationalError) as wrong:
        connection.execute("SELECT x FROM nothing")
    assert ended_by(wrong.value) == Exit.UNEXPECTED


def test_an_outbox_that_another_command_holds_is_no_refusal_of_the_hub(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    held = Outbox(tmp_path / "sequence.sqlite")
    with pytest.raises(OutboxUnusable) as taken:
        Outbox(tmp_path / "sequence.sqlite")
    held.close()

    assert ended_by(taken.value) == Exit.UNAVAILABLE
    assert "refused" not in capsys.readouterr().err


def test_a_database_that_is_damaged_is_unsound_and_no_surprise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "damaged.sqlite").write_bytes(b"no database" * 500)
    with closing(sqlite3.connect(tmp_path / "damaged.sqlite")) as connection, pytest.raises(sqlite3.DatabaseError) as damaged:
        connection.execute("SELECT 1 FROM sqlite_schema")

    assert ended_by(damaged.value) == Exit.UNSOUND
    assert ended_by(DatabaseError("SELECT", None, damaged.value)) == Exit.UNSOUND
    assert capsys.readouterr().err.count("hub: a database is damaged: file is not a database\n") == 2
