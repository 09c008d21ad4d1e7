from __future__ import annotations

from pathlib import Path

import pytest

from services.backup.staging import appearing, staged
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


def a_killed_ones(target: Path, *names: str) -> Path:
    """Make what a process that was killed leaves of a folder that was to appear."""
    left = target.with_name(f".{target.name}.partial")
    for name in names:
        (left / name).parent.mkdir(parents=True, exist_ok=True)
        (left / name).touch()
    return left


def test_a_folder_appears_when_it_is_filled(tmp_path: Path) -> None:
    with appearing(tmp_path / "final") as folder:
        (folder / "file").touch()
        assert (folder.stat().st_mode & 0o777, (tmp_path / "final").exists()) == (0o700, False)
    assert sorted(str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*")) == ["final", "final/file"]


def test_a_folder_that_could_not_be_filled_does_not_appear(tmp_path: Path) -> None:
    def fail() -> None:
        with appearing(tmp_path / "final") as folder:
            (folder / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_already_is_not_replaced(tmp_path: Path) -> None:
    def late() -> None:
        with appearing(tmp_path / "final"):
            (tmp_path / "final").mkdir()
            (tmp_path / "final" / "kept").touch()

    with pytest.raises(OSError, match="not empty"):
        late()
    assert [str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*")] == ["final", "final/kept"]


def test_what_killed_processes_left_of_others_is_cleared_away(tmp_path: Path) -> None:
    a_killed_ones(tmp_path / "first", "hub.toml", "agencies/la-1/sign.key", "store/keys.sqlite")
    a_killed_ones(tmp_path / "second", "store/events.sqlite", ".manifest.json.4711.new")
    with appearing(tmp_path / "third") as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_what_another_process_fills_or_somebody_else_has_put_there_is_left_alone(tmp_path: Path) -> None:
    a_link, a_file = tmp_path / ".link.partial", tmp_path / ".file.partial"
    a_link.symlink_to(tmp_path / "elsewhere")
    a_file.touch()
    others = {a_link, a_file, a_killed_ones(tmp_path / "film", "store/1", "film.mp4"), tmp_path / "elsewhere"}
    (tmp_path / "elsewhere" / "store").mkdir(parents=True)
    with appearing(tmp_path / "first") as first:
        (first / "hub.toml").touch()
        with appearing(tmp_path / "second") as second:
            assert set(tmp_path.iterdir()) == {first, second, *others}
    assert (tmp_path / "first" / "hub.toml").exists()
    assert (tmp_path / "elsewhere" / "store").exists()
    assert set(tmp_path.iterdir()) == {tmp_path / "first", tmp_path / "second", *others}


def test_an_empty_folder_may_be_about_to_be_filled(tmp_path: Path) -> None:
    begun = tmp_path / ".first.partial"
    begun.mkdir()
    with appearing(tmp_path / "second"):
        pass
    assert begun.exists()
