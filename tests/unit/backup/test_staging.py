from __future__ import annotations

from pathlib import Path

import pytest

from services.backup.staging import staged
from services.runtime.errors import Unavailable


def test_a_stage_is_empty_its_owners_alone_and_gone_at_the_end(tmp_path: Path) -> None:
    with staged(tmp_path / "stage") as stage:
        assert (list(stage.iterdir()), stage.stat().st_mode & 0o777) == ([], 0o700)
        (stage / "file").touch()
    assert list(tmp_path.iterdir()) == []


def test_a_stage_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with staged(tmp_path / "stage") as stage:
            (stage / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_away_but_not_what_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    left = tmp_path / "stage"
    (left / "deep").mkdir(parents=True)
    (left / "deep" / "file").touch()
    (left / "link").symlink_to(tmp_path / "elsewhere")
    with staged(left) as stage:
        assert list(stage.iterdir()) == []
    assert [one.name for one in tmp_path.rglob("*")] == ["elsewhere", "kept"]


def test_two_do_not_fill_one_stage(tmp_path: Path) -> None:
    with staged(tmp_path / "stage") as stage:
        (stage / "file").touch()
        with pytest.raises(Unavailable, match="another process is at work there"), staged(tmp_path / "stage"):
            pass
        assert [one.name for one in stage.iterdir()] == ["file"]


def test_what_was_given_its_final_name_stays_and_so_does_a_stage_that_another_has_made_since(tmp_path: Path) -> None:
    with staged(tmp_path / "stage") as stage:
        (stage / "file").touch()
        stage.rename(tmp_path / "final")
        stage.mkdir()
        (stage / "another's").touch()
    assert sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*")) == ["final", "final/file", "stage", "stage/another's"]


def test_a_link_is_not_followed_and_what_it_leads_to_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "kept").touch()
    (tmp_path / "stage").symlink_to(tmp_path / "other")
    with pytest.raises(Unavailable, match="only leads to one"), staged(tmp_path / "stage"):
        pytest.fail("it was followed")
    assert (tmp_path / "other" / "kept").exists()
