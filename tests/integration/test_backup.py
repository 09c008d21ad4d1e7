"""``hub backup`` and ``hub restore``: what is taken from a hub that serves comes back whole, or is refused with the first thing wrong."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.kernel.ids import NATIONAL
from safeguarding.hub.client.identifiers import new_case_id
from services.backup import taking
from services.backup.copying import Report, sha256_of
from services.backup.manifest import Manifest
from services.backup.restoring import Keys, Occupied
from services.backup.taking import Wanted, take
from services.bootstrap import key_encryption_key, now
from services.cli.failures import Exit
from services.cli.stores import opened_keys
from services.eventstore.opening import DataKeys
from services.runtime.errors import IntegrityError, Unavailable
from services.runtime.settings import load_settings
from services.trust.keystore import case_key_id
from tests.support.backups import forged, heads, heads_said_by, killed_at, put_back, rewritten, said_by, taken
from tests.support.builders import CASE, COUNCIL, OTHER_CASE, SHARD, a_notification, a_share
from tests.support.command import HUB, ROOT, copied_home, environment, ran
from tests.support.hub import RunningHub, running_hub

KEY = case_key_id(SHARD, CASE)
END_MAX_SECONDS = 60


pytestmark = pytest.mark.parametrize("hub", ["embedded"], indirect=True, scope="module")
"""What is backed up are its files; of a hub on Kafka and PostgreSQL, test_backup_kafka.py and test_backup_postgresql.py."""


@pytest.fixture(autouse=True, scope="module")
def case(hub: RunningHub) -> None:
    """Two cases on the log; the data key of the second is destroyed."""
    asyncio.run(hub.said(COUNCIL, a_notification(), a_share(), case_id=CASE))
    asyncio.run(hub.said(COUNCIL, a_notification(), case_id=OTHER_CASE))
    hub.parts.keys.destroy(case_key_id(SHARD, OTHER_CASE))


@pytest.fixture(scope="module")
def original(hub: RunningHub, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of the hub while it serves, views included."""
    backup = tmp_path_factory.mktemp("original") / "backup"
    taken(hub.settings, backup, Wanted(views=True))
    return backup


@pytest.fixture
def backup(original: Path, tmp_path: Path) -> Path:
    """A copy of that backup, to be spoiled."""
    shutil.copytree(original, tmp_path / "backup")
    return tmp_path / "backup"


def refused(backup: Path, home: Path, keys: Keys | None = None) -> str:
    """Return the words with which a restore is refused, and see that nothing is left of it."""
    with pytest.raises(IntegrityError) as refusal:
        put_back(backup, home, keys)
    assert not home.exists()
    return str(refusal.value)


# ── there and back ──


def test_a_hub_that_serves_is_backed_up_and_serves_from_what_is_restored(hub: RunningHub, tmp_path: Path) -> None:
    backup, home = tmp_path / "backup", tmp_path / "home"
    took = ran("backup", backup, "--home", hub.settings.home, "--json")
    assert (took.code, took.document["backup"], took.document["keys"]) == (Exit.OK, str(backup), "sqlite")
    (home / "trust").mkdir(parents=True)
    shutil.copy(hub.settings.kek_file, home / "trust" / "kek")
    back = ran("restore", backup, "--home", home)
    assert (back.code, back.err) == (Exit.OK, "")
    assert back.out.splitlines()[1:] == [
        "- data keys that were destroyed after that moment are whole again in this copy: destroy them again before anyone reads",
        "- the views are not in a backup: hub rebuild makes them, and so does hub serve",
        "- hub verify says whether every signature and body is what it was",
    ]
    assert heads(home) == heads(hub.settings.home)
    assert ran("rebuild", "--home", home).code == Exit.OK
    verdict = ran("verify", "--home", home, "--json")
    assert (verdict.code, verdict.document["passed"], verdict.document["destroyed"]) == (Exit.OK, True, 1)


def test_cases_that_begin_while_stores_are_copied_leave_no_view_ahead_of_the_log_and_no_event_without_its_key(tmp_path: Path) -> None:
    positions = []
    with running_hub(tmp_path / "hub") as hub:

        @contextmanager
        def busy(words: str) -> Iterator[Report]:
            if words.startswith("copying"):
                (receipt,) = asyncio.run(hub.said(COUNCIL, a_notification(), case_id=new_case_id()))
                assert hub.parts.projector.wait_for("chronology", SHARD, receipt.position, END_MAX_SECONDS)
                positions.append(receipt.position)
            yield lambda _done, _total: None

        manifest = take(hub.settings, tmp_path / "backup", Wanted(views=True), made_at=now(), progress=busy)
    assert len(positions) == 3
    assert [shard.position for shard in manifest.shards if shard.shard == SHARD] == [positions[1]]
    put_back(tmp_path / "backup", tmp_path / "home")


def test_a_backup_says_what_it_holds(hub: RunningHub, original: Path) -> None:
    said = said_by(original)
    assert heads_said_by(original) == heads(hub.settings.home)
    assert (said["log"], said["keys"], said["views"], said["log_origin"]) == ("embedded", "sqlite", "sqlite", hub.settings.log_origin)
    assert said["destroyed"] == [case_key_id(SHARD, OTHER_CASE)]
    files = {str(file.relative_to(original)) for file in original.rglob("*") if file.is_file()}
    assert {one["path"] for one in said["files"]} == files - {"manifest.json", "manifest.sha256"}
    assert subprocess.run(["sha256sum", "--check", "manifest.sha256"], cwd=original, check=False, capture_output=True).returncode == 0  # noqa: S607


def test_a_backup_is_its_owners_alone_and_holds_neither_the_kek_nor_a_clients_outbox(hub: RunningHub, original: Path) -> None:
    kek = hub.settings.kek_file.read_bytes().strip()
    assert list(hub.settings.home.rglob("sequence.sqlite"))
    assert original.stat().st_mode & 0o777 == 0o700
    for file in original.rglob("*"):
        assert file.stat().st_mode & 0o077 == 0, file
        assert "sequence" not in file.name
        if file.is_file():
            content = file.read_bytes()
            assert kek not in content, file
            assert bytes.fromhex(kek.decode()) not in content, file


def test_the_kek_is_in_the_backup_if_that_is_asked_for_wherever_it_comes_from(
    hub: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kek = hub.settings.kek_file.read_text()
    home = copied_home(hub.settings.home, tmp_path)
    (home / "trust" / "kek").unlink()
    monkeypatch.setenv("HUB_KEK", kek.strip())
    took = ran("backup", tmp_path / "with", "--home", home, "--with-kek")
    assert (took.code, "whoever has this backup reads everything" in took.out) == (Exit.OK, True)
    monkeypatch.delenv("HUB_KEK")
    back = ran("restore", tmp_path / "with", "--home", tmp_path / "home")
    assert (back.code, "the key-encryption key is not here" in back.out) == (Exit.OK, False)
    assert (tmp_path / "home" / "trust" / "kek").read_text() == kek


def test_a_restore_without_the_kek_says_so(original: Path, tmp_path: Path) -> None:
    back = ran("restore", original, "--home", tmp_path / "home")
    assert (back.code, "the key-encryption key is not here: put it into trust/kek, or set HUB_KEK" in back.out) == (Exit.OK, True)


def test_settings_that_hold_the_kek_are_not_backed_up_unasked(hub: RunningHub, tmp_path: Path) -> None:
    home = copied_home(hub.settings.home, tmp_path)
    (home / "hub.toml").write_text(f'kek = "{hub.settings.kek_file.read_text().strip()}"\n')
    took = ran("backup", tmp_path / "backup", "--home", home)
    assert (took.code, "hub.toml holds the key-encryption key" in took.err) == (Exit.USAGE, True)
    assert not (tmp_path / "backup").exists()
    assert ran("backup", tmp_path / "backup", "--home", home, "--with-kek").code == Exit.OK


def test_other_settings_come_along_and_where_they_differ_it_is_said(
    hub: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copied_home(hub.settings.home, tmp_path)
    (home / "hub.toml").write_text('node_id = "node-7"\n')
    assert ran("backup", tmp_path / "backup", "--home", home).code == Exit.OK
    monkeypatch.setenv("HUB_LOG_ORIGIN", "hub.example/other")
    back = ran("restore", tmp_path / "backup", "--home", tmp_path / "home")
    assert f"- set HUB_LOG_ORIGIN={hub.settings.log_origin}, which is what the events bear" in back.out
    assert load_settings(home=tmp_path / "home").node_id == "node-7"


def test_views_that_lie_in_postgresql_are_left_to_it(hub: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_DATABASE_URL", "postgresql+psycopg://hub@db.invalid/hub")
    took = ran("backup", tmp_path / "backup", "--home", hub.settings.home, "--with-views")
    assert (took.code, "back them up there, with pg_dump" in took.err) == (Exit.USAGE, True)
    assert taken(load_settings(home=hub.settings.home), tmp_path / "backup").views == "postgresql"


# ── what is there already ──


def test_a_backup_never_overwrites(hub: RunningHub, tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    took = ran("backup", tmp_path / "backup", "--home", hub.settings.home)
    assert (took.code, "it is not overwritten" in took.err) == (Exit.USAGE, True)
    nowhere = ran("backup", tmp_path / "not" / "mounted", "--home", hub.settings.home)
    assert (nowhere.code, "missing" in nowhere.err) == (Exit.UNAVAILABLE, True)
    assert [one.name for one in tmp_path.rglob("*")] == ["backup"]


def test_a_home_with_stores_is_left_as_it_is(hub: RunningHub, original: Path) -> None:
    before = heads(hub.settings.home)
    back = ran("restore", original, "--home", hub.settings.home)
    assert (back.code, "is there already; it is not overwritten" in back.err) == (Exit.USAGE, True)
    assert heads(hub.settings.home) == before
    assert not (hub.settings.home / ".restoring").exists()


def test_a_home_with_files_of_another_hub_is_left_as_it_is(original: Path, tmp_path: Path) -> None:
    (tmp_path / "home" / "trust").mkdir(parents=True)
    (tmp_path / "home" / "trust" / "operator.pub").write_text("another's")
    with pytest.raises(Occupied, match=r"operator\.pub is there already, and is not what the backup holds"):
        put_back(original, tmp_path / "home")
    assert [one.name for one in (tmp_path / "home").rglob("*")] == ["trust", "operator.pub"]
    shutil.copy(original / "trust" / "operator.pub", tmp_path / "home" / "trust")
    (tmp_path / "home" / "store").mkdir()
    put_back(original, tmp_path / "home")
    assert heads(tmp_path / "home") == heads_said_by(original)


def test_without_a_hub_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    took = ran("backup", tmp_path / "backup", "--home", tmp_path / "home")
    assert (took.code, "holds no hub" in took.err) == (Exit.UNAVAILABLE, True)
    back = ran("restore", tmp_path / "backup", "--home", tmp_path / "home")
    assert (back.code, f"missing: {tmp_path / 'backup'}" in back.err, "keep the backup" in back.err) == (Exit.UNAVAILABLE, True, False)
    assert not list(tmp_path.iterdir())
    (tmp_path / "backup").mkdir()
    back = ran("restore", tmp_path / "backup", "--home", tmp_path / "home")
    assert (back.code, "is no backup, or not all of one: manifest.json is missing" in back.err) == (Exit.UNSOUND, True)
    assert [one.name for one in tmp_path.iterdir()] == ["backup"]


def test_a_backup_into_a_folder_that_is_not_there_says_so_of_that_folder(hub: RunningHub, tmp_path: Path) -> None:
    took = ran("backup", tmp_path / "nosuch" / "backup", "--home", hub.settings.home)
    assert (took.code, f"missing: {tmp_path / 'nosuch'}" in took.err, "--home" in took.err) == (Exit.UNAVAILABLE, True, False)


def test_a_backup_into_the_home_itself_is_refused(hub: RunningHub) -> None:
    took = ran("backup", hub.settings.home / "store" / "backup", "--home", hub.settings.home)
    assert (took.code, "lies in the home that it is to be a copy of" in took.err) == (Exit.USAGE, True)
    assert not (hub.settings.home / "store" / "backup").exists()


@pytest.mark.parametrize("leads_to", ["folder", "nothing"])
def test_a_link_that_a_backup_would_leave_out_is_refused(hub: RunningHub, tmp_path: Path, leads_to: str) -> None:
    (tmp_path / "folder").mkdir()
    link = hub.settings.home / "agencies" / "la-linked"
    link.symlink_to(tmp_path / leads_to)
    try:
        took = ran("backup", tmp_path / "backup", "--home", hub.settings.home)
    finally:
        link.unlink()
    assert (took.code, f"{link} is a link, but to no file" in took.err) == (Exit.UNAVAILABLE, True)
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


def test_a_link_that_a_backup_does_not_take_is_in_nobodys_way(hub: RunningHub, tmp_path: Path) -> None:
    lock = hub.settings.agency_folder(COUNCIL) / ".#ca.pem"  # an editor's
    lock.symlink_to("someone@somewhere.1:1")
    try:
        assert ran("backup", tmp_path / "backup", "--home", hub.settings.home).code == Exit.OK
    finally:
        lock.unlink()


# ── what is wrong with a backup ──


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (flipped, "{} is not what was written: its SHA-256 differs from the manifest's"),
        (cut_off, "{} has {} bytes, {} were written"),
        (Path.unlink, "{} is missing"),
    ],
)
def test_every_file_of_a_backup_is_missed_or_found_changed(backup: Path, tmp_path: Path, spoil: Callable[[Path], None], words: str) -> None:
    marks = said_by(backup)["files"]
    assert len(marks) > 10
    for mark in marks:
        file = backup / mark["path"]
        content = file.read_bytes()
        spoil(file)
        assert refused(backup, tmp_path / "home") == words.format(mark["path"], len(content) - 1, len(content))
        file.write_bytes(content)
    put_back(backup, tmp_path / "home")


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(choice=st.data())
def test_no_byte_of_a_backup_changes_unnoticed(backup: Path, tmp_path: Path, choice: st.DataObject) -> None:
    file = choice.draw(st.sampled_from(sorted(file for file in backup.rglob("*") if file.is_file())))
    content = file.read_bytes()
    index, flip = choice.draw(st.integers(0, len(content) - 1)), choice.draw(st.integers(1, 255))
    file.write_bytes(content[:index] + bytes([content[index] ^ flip]) + content[index + 1 :])
    try:
        words = refused(backup, tmp_path / "home")
    finally:
        file.write_bytes(content)
    assert words.startswith((str(file.relative_to(backup)), "manifest.json"))


def position(document: dict[str, Any]) -> None:
    document["shards"][-1]["position"] += 1


def digest(document: dict[str, Any]) -> None:
    document["shards"][-1]["digest"] = "0" * 64


def first_shard_left_out(document: dict[str, Any]) -> None:
    del document["shards"][0]


def beyond_the_home(document: dict[str, Any]) -> None:
    document["files"][0]["path"] = "agencies/../../elsewhere"


def log_left_out(document: dict[str, Any]) -> None:
    document["files"] = [one for one in document["files"] if one["path"] != "store/events.sqlite"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (position, f"shard {SHARD}: the manifest says ShardMark("),
        (digest, f"shard {SHARD}: the manifest says ShardMark("),
        (first_shard_left_out, "shards: the manifest says ['northmoor'], the files hold ['national', 'northmoor']"),
        (lambda document: document.update(log="kafka"), "log: the manifest says kafka, the files hold embedded"),
        (lambda document: document.update(log_origin="x"), "log_origin: the manifest says x, the files hold hub.example/dev"),
        (lambda document: document.update(data_keys=1), "data_keys: the manifest says 1, the files hold "),
        (lambda document: document.update(format=2), "manifest.json is of format 2, this program reads format 1"),
        (lambda document: document.update(more=1), "manifest.json cannot be read: TypeError"),
        (lambda document: document.pop("shards"), "manifest.json cannot be read: KeyError: 'shards'"),
        (lambda document: document.update(made_at="soon"), "manifest.json cannot be read: ValueError"),
        (beyond_the_home, "manifest.json cannot be read: ValueError: 'agencies/../../elsewhere' is no file of a home"),
        (log_left_out, "manifest.json cannot be read: ValueError: it names a store twice, or not at all"),
        (lambda document: document["files"].append(document["files"][0]), "manifest.json cannot be read: ValueError: it names a store"),
    ],
)
def test_a_manifest_that_was_edited_with_its_sum_is_held_against_the_files(
    backup: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], words: str
) -> None:
    forged(backup, change)
    assert refused(backup, tmp_path / "home").startswith(words)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("store", "statement", "words"),
    [
        (
            "events.sqlite",
            "UPDATE event SET state = CAST(state || x'7000' AS BLOB) WHERE type = 'incident.notified.v1'",
            "do not give its digest",
        ),
        ("events.sqlite", "DELETE FROM event WHERE type = 'incident.notified.v1'", f"{SHARD}/2: the event is missing"),
        ("events.sqlite", "DELETE FROM event WHERE place IN (SELECT max(place) FROM event)", "says position 4, its last event is at 3"),
        ("events.sqlite", "UPDATE event SET state = x'ff' WHERE type = 'incident.notified.v1'", f"{SHARD}/2 is no logged event"),
        (
            "keys.sqlite",
            "DELETE FROM data_key WHERE id LIKE '%c001'",
            f"{SHARD}/2: data key {KEY} is referred to, and is not in keys.sqlite",
        ),
        ("keys.sqlite", "UPDATE data_key SET nonce = x'00', wrapped = x'00'", "was destroyed before the backup, and is whole"),
        ("views.sqlite", "UPDATE tracking SET position = position + 1 WHERE view = 'deadlines'", "view deadlines has come to national/"),
    ],
)
def test_stores_that_were_changed_with_all_sums_are_held_against_each_other(
    backup: Path, tmp_path: Path, store: str, statement: str, words: str
) -> None:
    rewritten(backup, store, statement)
    assert words in refused(backup, tmp_path / "home")


def test_a_database_that_contradicts_itself_is_found(backup: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(backup / "store" / "events.sqlite", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, 'position INTEGER NOT NULL', 'position TEXT') WHERE name = 'tracking'"
        )
        connection.execute("INSERT INTO stream VALUES (1, 'x', 99999)")
        page, size = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_event_2'").fetchone()[0], 4096
    content = bytearray((backup / "store" / "events.sqlite").read_bytes())
    content[(page - 1) * size + 3 : (page - 1) * size + 5] = b"\x00\x00"  # an index without entries
    (backup / "store" / "events.sqlite").write_bytes(content)
    forged(backup, lambda _document: None)
    assert refused(backup, tmp_path / "home").startswith("events.sqlite is damaged: ")


def test_keys_under_another_kek_and_keys_that_were_swapped_are_found_where_the_kek_is_at_hand(
    hub: RunningHub, backup: Path, tmp_path: Path
) -> None:
    assert "the key-encryption key is another one" in refused(backup, tmp_path / "home", Keys(kek=bytes(32)))
    other = "(SELECT {0} FROM data_key WHERE id = 'kek-check')"
    swap = f"UPDATE data_key SET nonce = {other.format('nonce')}, wrapped = {other.format('wrapped')} WHERE id = '{KEY}'"  # noqa: S608
    rewritten(backup, "keys.sqlite", swap)
    words = f"{SHARD}/2: data key {KEY} does not unwrap"
    assert refused(backup, tmp_path / "home", Keys(kek=key_encryption_key(hub.settings))).startswith(words)


def test_a_damaged_home_is_not_backed_up(hub: RunningHub, tmp_path: Path) -> None:
    home = copied_home(hub.settings.home, tmp_path)
    with closing(sqlite3.connect(home / "store" / "keys.sqlite", isolation_level=None)) as connection:
        connection.execute("DELETE FROM data_key WHERE id = ?", (KEY,))
    took = ran("backup", tmp_path / "backup", "--home", home)
    assert (took.code, f"{SHARD}/2: data key {KEY} is referred to, and is not in keys.sqlite" in took.err) == (Exit.UNSOUND, True)
    assert [one.name for one in tmp_path.iterdir()] == ["copy"]


# ── keys that lie elsewhere ──


def shared(hub: RunningHub, target: Path) -> Manifest:
    with opened_keys(hub.settings, hub.parts.store) as keys:
        return taken(hub.settings, target, Wanted(shared_keys=keys))


def test_keys_that_nodes_share_are_left_to_their_database_and_held_against_the_log_all_the_same(hub: RunningHub, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    manifest = shared(hub, backup)
    assert (manifest.keys, manifest.destroyed) == ("postgresql", (case_key_id(SHARD, OTHER_CASE),))
    assert not (backup / "store" / "keys.sqlite").exists()
    with pytest.raises(Unavailable, match="restore that database first"):
        put_back(backup, tmp_path / "home")
    asked: list[str] = []

    def of_log(log: str) -> AbstractContextManager[DataKeys]:
        asked.append(log)
        return opened_keys(hub.settings, hub.parts.store)

    put_back(backup, tmp_path / "home", Keys(shared=of_log))
    national = hub.parts.store.shard(NATIONAL)
    assert asked == [national.leaf(national.read(0, 1)[0]).hex()]
    assert heads(tmp_path / "home") == heads(hub.settings.home)


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (lambda held: held.pop(KEY), f"{SHARD}/2: "),
        (lambda held: held.update({case_key_id(SHARD, OTHER_CASE): bytes(32)}), "was destroyed before the backup, and is whole"),
    ],
)
def test_an_older_key_store_is_an_alarm_whether_it_lacks_keys_or_has_destroyed_ones_back(
    hub: RunningHub, tmp_path: Path, alter: Callable[[dict[str, Any]], object], words: str
) -> None:
    shared(hub, tmp_path / "backup")
    with opened_keys(hub.settings, hub.parts.store) as keys:
        held: dict[str, Any] = {key_id: keys.get(key_id) for key_id in all_keys(hub)}
    alter(held)
    assert words in refused(tmp_path / "backup", tmp_path / "home", Keys(shared=lambda _log: nullcontext(Fixed(held))))


class Fixed:
    """Keys in a dictionary."""

    def __init__(self, held: dict[str, Any]) -> None:
        self._held = held

    def get(self, key_id: str) -> Any:
        if key_id not in self._held:
            raise IntegrityError("never existed here")
        return self._held[key_id]


def all_keys(hub: RunningHub) -> list[str]:
    with closing(sqlite3.connect(hub.settings.key_store_file)) as connection:
        return [key_id for (key_id,) in connection.execute("SELECT id FROM data_key WHERE id != 'kek-check'")]


# ── full disks and kills ──


def test_a_disk_without_room_is_not_filled_in_vain(hub: RunningHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "SPARE_BYTES", shutil.disk_usage(tmp_path).total)
    (tmp_path / ".killed-before.partial" / "store").mkdir(parents=True)  # which may be what takes up the room
    took = ran("backup", tmp_path / "backup", "--home", hub.settings.home)
    assert (took.code, "MiB free, a backup needs" in took.err) == (Exit.UNAVAILABLE, True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("most_bytes", [4_096, 20_480])
def test_a_disk_that_becomes_full_leaves_nothing_under_the_final_name_nor_any_other(
    hub: RunningHub, tmp_path: Path, most_bytes: int
) -> None:
    program = (
        f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({most_bytes},) * 2); os.execv(sys.argv[1], sys.argv[1:])"
    )
    # Not by preexec_fn: for that this process would be forked, and gRPC's threads do not survive it.
    ended = subprocess.run(  # noqa: S603  our own program
        [sys.executable, "-c", program, *HUB, "backup", str(tmp_path / "backup"), "--home", str(hub.settings.home)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=END_MAX_SECONDS,
        check=False,
    )
    assert (ended.returncode, "cannot be copied to" in ended.stderr) == (Exit.UNAVAILABLE, True), ended.stderr
    assert not list(tmp_path.iterdir())


def killed(function: str, nth: int, *arguments: str | Path) -> bool:
    """Run a command that kills itself; tell whether it came to that."""
    command = killed_at(function, nth, *arguments)
    ended = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, timeout=END_MAX_SECONDS, check=False)  # noqa: S603
    return ended.returncode == -signal.SIGKILL


def test_a_backup_killed_before_its_last_step_is_none_and_the_next_clears_it_away(hub: RunningHub, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    assert killed("pathlib.Path.rename", 1, "backup", backup, "--home", hub.settings.home)
    assert [one.name for one in tmp_path.iterdir()] == [".backup.partial"]
    assert ran("backup", backup, "--home", hub.settings.home).code == Exit.OK
    assert [one.name for one in tmp_path.iterdir()] == ["backup"]


@pytest.mark.parametrize("step", [("services.backup.taking.copy_file", 3), ("services.backup.manifest.write_secret", 1)])
def test_a_killed_backup_is_cleared_away_by_the_next_of_another_name(hub: RunningHub, tmp_path: Path, step: tuple[str, int]) -> None:
    assert killed(*step, "backup", tmp_path / "first", "--home", hub.settings.home)
    assert [one.name for one in tmp_path.iterdir()] == [".first.partial"]
    assert ran("backup", tmp_path / "second", "--home", hub.settings.home).code == Exit.OK
    assert [one.name for one in tmp_path.iterdir()] == ["second"]


def test_a_restore_killed_at_any_step_leaves_nothing_that_serves_and_is_done_again(original: Path, tmp_path: Path) -> None:
    home, files = tmp_path / "home", said_by(original)["files"]
    moves = sum(not one["path"].startswith("store/") for one in files) + 1
    steps = [("services.backup.restoring.copy_file", len(files) // 2), ("services.backup.checking.check_database", 2)]
    steps += [("pathlib.Path.rename", nth) for nth in (1, moves // 2, moves)]
    for function, nth in steps:
        assert killed(function, nth, "restore", original, "--home", home)
        assert (home / ".restoring").exists()
        assert not (home / "store").exists()
        served = ran("serve", "--home", home)
        assert (served.code, "holds no hub" in served.err) == (Exit.UNAVAILABLE, True)
    put_back(original, home)
    restored = {str(file.relative_to(home)): sha256_of(file) for file in home.rglob("*") if file.is_file()}
    assert restored == {one["path"]: one["sha256"] for one in files}
