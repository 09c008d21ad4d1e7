"""``hub generate``."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.cli import generate
from services.cli.synthetic.lives import Step
from tests.support.command import ran


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("as it was")
    lines = generate._lines

    def cut_short(told: list[Step]) -> Iterator[str]:
        yield next(lines(told))
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(generate, "_lines", cut_short)
        assert ran("generate", "--incidents", "3", "--out", file).code == (4 if isinstance(error, OSError) else 130)
    assert file.read_text() == "as it was"
    assert list(tmp_path.iterdir()) == [file]
    assert ran("generate", "--incidents", "3", "--out", file).code == 0
    assert json.loads(file.read_text().splitlines()[0])["imported"] is True


def test_a_file_that_is_written_anew_stays_what_it_was(tmp_path: Path) -> None:
    file, link = tmp_path / "events.jsonl", tmp_path / "link.jsonl"
    file.write_text("as it was")
    file.chmod(0o600)
    link.symlink_to(file)
    assert ran("generate", "--incidents", "3", "--out", link).code == 0

    assert link.is_symlink()
    assert json.loads(file.read_text().splitlines()[0])["imported"] is True
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_device_is_written_to_as_it_is() -> None:
    assert ran("generate", "--incidents", "1", "--out", "/dev/null").code == 0
    assert Path("/dev/null").is_char_device()


def test_generating_twice_from_one_seed_gives_the_same_events(tmp_path: Path) -> None:
    first = ran("generate", "--incidents", "3", "--seed", "7")
    ran("generate", "--incidents", "3", "--seed", "7", "--out", tmp_path / "events.jsonl")
    lines = [json.loads(line) for line in first.out.splitlines()]

    assert (tmp_path / "events.jsonl").read_text() == first.out
    assert len({line["case_id"] for line in lines}) == 3
    assert [line["stage"] for line in lines] == sorted(line["stage"] for line in lines)
    assert ran("generate", "--incidents", "3", "--seed", "8").out != first.out
