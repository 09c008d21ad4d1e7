"""Files that nobody but the hub's own user may read: how they are made, and what ``hub doctor`` says of one that is open."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.bootstrap import found_home, open_parts
from services.cli.checks import Grade, checks_of
from services.runtime.settings import Settings

BESIDE = ("", "-wal", "-shm")


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Give the settings of a founded hub whose databases are open."""
    made = Settings(home=tmp_path / "hub", listen="127.0.0.1:1", metrics_listen="")
    found_home(made)
    with open_parts(made):
        yield made


@pytest.mark.parametrize("database", ["events", "keys", "views"])
def test_a_database_is_for_its_owner_alone(database: str, settings: Settings) -> None:
    files = [settings.store_folder / f"{database}.sqlite{more}" for more in BESIDE]

    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600, 0o600]


@pytest.mark.parametrize("name", [f"{database}.sqlite{more}" for database in ("views", "spool") for more in BESIDE])
def test_doctor_finds_a_database_that_is_open_to_others(name: str, settings: Settings) -> None:
    for file in settings.store_folder.iterdir():
        file.chmod(0o600)
    settings.store_folder.chmod(0o755)
    assert [check.grade for check in checks_of(settings) if check.what == "permissions"] == [Grade.OK]
    opened = settings.store_folder / name
    opened.touch()
    opened.chmod(0o640)

    failed = [check.advice for check in checks_of(settings) if check.what == "permissions"]
    assert failed == [f"chmod 600 {opened}"]
    settings.store_folder.chmod(0o700)
    assert [check.grade for check in checks_of(settings) if check.what == "permissions"] == [Grade.OK]
