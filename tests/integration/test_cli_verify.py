"""``hub verify`` on homes in which something was tampered with."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from services.eventstore import fold
from services.eventstore.read_only import open_read_only
from services.projector import verification
from tests.support.builders import CASE, COUNCIL, SHARD, a_notification, a_share
from tests.support.command import ROOT, copied_home, environment, ran
from tests.support.hub import RunningHub

pytestmark = pytest.mark.parametrize("hub", ["embedded"], indirect=True, scope="module")
"""Its files are tampered with, and those of a cluster lie elsewhere."""


@pytest.fixture(autouse=True, scope="module")
def case(hub: RunningHub) -> None:
    """One case of two events, behind the partnership's first."""
    asyncio.run(hub.said(COUNCIL, a_notification(), a_share(), case_id=CASE))


def changed(home: Path, *statements: str, store: str = "events.sqlite") -> None:
    connection = sqlite3.connect(home / "store" / store)
    for statement in statements:
        assert connection.execute(statement).rowcount > 0, statement
    connection.commit()
    connection.close()


def flip_a_byte(home: Path) -> None:
    middle = "CAST(substr(state, 1, length(state) / 2) || x'5a' || substr(state, length(state) / 2 + 2) AS BLOB)"
    changed(home, f"UPDATE event SET state = {middle} WHERE type = 'incident.notified.v1'")  # noqa: S608  # our own text


def change_the_digest(home: Path) -> None:
    changed(home, "UPDATE shard SET digest = zeroblob(32) WHERE name = 'northmoor'")


def swap_two_events(home: Path) -> None:
    changed(
        home,
        "UPDATE event SET place = -place WHERE type = 'incident.notified.v1'",
        "UPDATE event SET place = place - 1 WHERE type = 'information.shared.v1'",
        "UPDATE event SET place = 1 - place WHERE type = 'incident.notified.v1'",
        "UPDATE event SET recorded_at = (SELECT max(recorded_at) FROM event) WHERE type LIKE 'in%'",
    )


def drop_an_event(home: Path) -> None:
    changed(home, "DELETE FROM event WHERE type = 'incident.notified.v1'")


def write_another_signature(home: Path) -> None:
    changed(
        home, "UPDATE event SET state = (SELECT state FROM event WHERE type = 'information.shared.v1') WHERE type = 'incident.notified.v1'"
    )


def lose_a_stream(home: Path) -> None:
    changed(home, "UPDATE stream SET number = number + 100000 WHERE name LIKE 'sharing-%'")


def know_a_stream_that_is_none(home: Path) -> None:
    changed(home, "INSERT INTO stream SELECT shard, 'sharing-of-nothing', number FROM stream WHERE name LIKE 'sharing-%'")


def forget_an_append(home: Path) -> None:
    changed(home, "DELETE FROM append WHERE substr(result, 2, 8) = x'0000000000000002'")


@pytest.mark.parametrize(
    ("tamper", "position", "checks"),
    [
        (flip_a_byte, 2, {"state", "header", "header_hash", "signature", "key", "IntegrityError"}),
        (drop_an_event, 2, {"position"}),
        (write_another_signature, 2, {"header"}),
        (swap_two_events, 1, {"digest"}),
        (change_the_digest, 1, {"digest"}),
        (lose_a_stream, 3, {"stream"}),
        (know_a_stream_that_is_none, None, {"stream"}),
        (forget_an_append, 2, {"append"}),
    ],
)
def test_verify_names_the_first_bad_position(
    hub: RunningHub, tmp_path: Path, tamper: Callable[[Path], None], position: int | None, checks: set[str]
) -> None:
    home = copied_home(hub.settings.home, tmp_path)
    tamper(home)
    verified = ran("verify", "--home", home, "--json")

    assert verified.code == 5
    (problem,) = verified.document["problems"]
    last = next(one["position"] for one in ran("log", "--home", home, "--json").document["shards"] if one["shard"] == SHARD)
    assert (problem["shard"], problem["position"]) == (SHARD, position or last)
    assert problem["check"] in checks
    assert f"{SHARD}/{position or last}" in ran("verify", "--home", home).out


def test_what_lies_before_a_digest_that_is_right_is_not_named(hub: RunningHub, tmp_path: Path) -> None:
    home = copied_home(hub.settings.home, tmp_path)
    with open_read_only(home / "store" / "events.sqlite") as store:
        shard = store.shard(SHARD)
        (first,) = shard.read(0, 1)
        digest = fold.next_digest(fold.FIRST_DIGEST, shard.leaf(first))
    changed(home, f"INSERT INTO mark SELECT number, 1, x'{digest.hex()}' FROM shard WHERE name = '{SHARD}'")  # noqa: S608  # our own text
    assert ran("verify", "--home", home).code == 0

    swap_two_events(home)
    (problem,) = ran("verify", "--home", home, "--json").document["problems"]
    assert (problem["position"], problem["check"]) == (2, "digest")


def test_verify_finds_an_index_that_lacks_an_event(hub: RunningHub, tmp_path: Path) -> None:
    home = copied_home(hub.settings.home, tmp_path)
    connection = sqlite3.connect(home / "store" / "events.sqlite")
    connection.execute("PRAGMA writable_schema=ON")
    kept, empty = "sqlite_autoindex_event_2", "sqlite_autoindex_event_1"
    root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (empty,)).fetchone()
    connection.execute("UPDATE sqlite_master SET rootpage = ? WHERE name = ?", (*root, kept))
    connection.commit()
    connection.close()
    verified = ran("verify", "--home", home)

    assert verified.code == 5
    assert "the event store is damaged" in verified.err


def test_verify_finds_a_view_that_differs_from_the_log(hub: RunningHub, tmp_path: Path) -> None:
    home = copied_home(hub.settings.home, tmp_path)
    connection = sqlite3.connect(home / "store" / "views.sqlite")
    (table,) = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'registry%agenc%'").fetchone()
    connection.close()
    changed(home, f"UPDATE {table} SET name = 'Another name'", store="views.sqlite")  # noqa: S608  # our own table
    verified = ran("verify", "--home", home, "--json")

    assert verified.code == 5
    assert [one["view"] for one in verified.document["views"] if not one["matches"]] == ["registry"]


@pytest.mark.parametrize(("name", "advice"), [("views", "move it away: views are made anew"), ("keys", "restore it from a backup")])
@pytest.mark.parametrize("command", ["verify", "rebuild"])
def test_a_file_that_is_damaged_is_named_with_what_to_do(hub: RunningHub, tmp_path: Path, name: str, advice: str, command: str) -> None:
    home = copied_home(hub.settings.home, tmp_path)
    file = home / "store" / f"{name}.sqlite"
    file.write_bytes(b"no database" + file.read_bytes())
    answer = ran(command, "--home", home)

    assert answer.code == 5
    assert answer.err.startswith(f"hub: {file} is damaged: file is not a database; {advice}")


def cut_short(home: Path, temporary: Path, *more: str) -> None:
    """Verify a home in a process that kills itself when a view was rebuilt beside."""
    code = f"""
import os, services.cli.main, projections.kernel.database as views
from services.projector import verification
{"; ".join(more)}
fill = verification.Rebuild.fill
verification.Rebuild.fill = lambda *given: (fill(*given), os.kill(os.getpid(), 9))
services.cli.main.main({["verify", "--home", str(home)]})
"""
    temporary.mkdir(exist_ok=True)
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(TMPDIR=str(temporary)), timeout=100, check=False)  # noqa: S603
    assert ended.returncode == -signal.SIGKILL


def views_in(folder: Path) -> list[Path]:
    """Return the databases of views in a folder, of whatever depth."""
    return sorted(folder.rglob("views.sqlite"))


@pytest.mark.parametrize("command", ["verify", "rebuild"])
def test_what_a_killed_verify_rebuilt_lies_with_the_views_and_is_cleared_away_by_the_next(
    hub: RunningHub, tmp_path: Path, command: str
) -> None:
    home, temporary = copied_home(hub.settings.home, tmp_path), tmp_path / "temporary"
    cut_short(home, temporary)
    assert list(temporary.iterdir()) == []
    own = home / "store" / "views.sqlite"
    (left,) = set(views_in(home)) - {own}
    assert left.parent.parent == home / "store"
    assert left.parent.stat().st_mode & 0o777 == 0o700

    assert ran(command, "--home", home).code == 0
    assert views_in(home) == [own]
    assert not left.parent.exists()


def test_who_may_not_write_where_the_views_lie_verifies_in_the_systems_own_folder(hub: RunningHub, tmp_path: Path) -> None:
    home, temporary = copied_home(hub.settings.home, tmp_path), tmp_path / "temporary"
    cut_short(home, temporary, "verification.os.access = lambda *_: False")
    assert views_in(home) == [home / "store" / "views.sqlite"]
    (left,) = views_in(temporary)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temporary))
        patch.setattr(verification.os, "access", lambda *_: False)
        assert ran("verify", "--home", home).code == 0
    assert not left.exists()
    assert list(temporary.iterdir()) == []
