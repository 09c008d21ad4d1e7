"""Folders of keys that one process at a time works in."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from services.runtime.errors import Unavailable
from services.trust.files import Busy, alone


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".client.key.4711.new", ".mine.new", "client.key.4711.new"):
        (tmp_path / name).touch()
    (tmp_path / ".folder.4711.new").mkdir()
    with alone(tmp_path):
        assert {file.name for file in tmp_path.iterdir()} == {".mine.new", "client.key.4711.new", ".folder.4711.new"}


def test_a_folder_is_held_by_one_and_gone_if_nothing_came_into_it(tmp_path: Path) -> None:
    folder = tmp_path / "agency"
    with alone(folder), pytest.raises(Busy, match="another process is making keys there"), alone(folder):
        pytest.fail("two were alone there")
    assert not folder.exists()


def test_where_nothing_can_be_locked_that_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(Unavailable, match=f"{tmp_path} cannot be locked.*: Operation not supported"), alone(tmp_path):
        pytest.fail("it was not locked")
