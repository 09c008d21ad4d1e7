from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import pytest

from safeguarding.hub.client import OutboxUnusable
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


def test_an_outbox_that_another_command_uses_is_not_available_rather_than_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended_by(OutboxUnusable("sequence.sqlite: database is locked")) == Exit.UNAVAILABLE
    assert capsys.readouterr().err.startswith("hub: sequence.sqlite: database is locked\n     if another command uses it")
