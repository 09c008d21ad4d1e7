"""Data keys in PostgreSQL from the first or moved there, and databases that know which log they are of."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from services.bootstrap import key_encryption_key
from services.cli.failures import Exit
from services.projector import rebuild
from services.runtime.errors import IntegrityError
from services.runtime.settings import SettingsError, load_settings
from services.trust.keystore import DESTROYED, case_key_id
from services.trust.sqlite_keys import SqliteKeyStore
from tests.support.builders import COUNCIL, SHARD, a_notification
from tests.support.command import ran
from tests.support.hub import RunningHub, running_hub
from tests.support.postgresql import directly
from tests.support.reading import a_uuid, queries

KEYS = "HUB_KEYS_DATABASE_URL"


async def notified(hub: RunningHub) -> str:
    """Have a case begin; return its id."""
    case_id = a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    return case_id


async def body_of(hub: RunningHub, case_id: str) -> str:
    """Return why the body of a case's first event is withheld; nothing if it is given."""
    async with queries(hub, COUNCIL) as asks:
        head = hub.parts.store.shard(SHARD).head().position
        return str((await asks.stream(f"incident-{case_id}", min_position=head)).entries[0].body_withheld)


def test_data_keys_are_moved_into_a_database_once_and_the_file_goes(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, file = tmp_path / "hub", tmp_path / "hub" / "store" / "keys.sqlite"
    with running_hub(home) as hub:
        kept, erased = (asyncio.run(notified(hub)) for _ in range(2))
        hub.parts.keys.destroy(case_key_id(SHARD, erased))
        busy = ran("data-keys", "move", "--home", home)
        assert (busy.code, KEYS in busy.err) == (Exit.USAGE, True)
        monkeypatch.setenv(KEYS, postgresql_url)
        busy = ran("data-keys", "move", "--home", home)
        assert (busy.code, "has this event store open for writing" in busy.err) == (Exit.UNAVAILABLE, True)
    refused = ran("serve", "--home", home)
    assert (refused.code, f"data keys lie in {file}: hub data-keys move" in refused.err) == (Exit.USAGE, True)
    source = SqliteKeyStore(file, key_encryption_key(load_settings(home=home)))
    count = len(source.rows())
    source.close()
    shutil.copy(file, tmp_path / "copy.sqlite")
    assert ran("data-keys", "move", "--home", home, "--json").document == {"moved": count}
    assert list(file.parent.glob("keys.sqlite*")) == []
    shutil.copy(tmp_path / "copy.sqlite", file)  # as after a move that was cut short before the file was gone
    assert ran("data-keys", "move", "--home", home, "--json").document == {"moved": count}
    again = ran("data-keys", "move", "--home", home)
    assert (again.code, "there is no" in again.err) == (Exit.USAGE, True)
    with running_hub(home) as hub:
        assert [asyncio.run(body_of(hub, case_id)) for case_id in (kept, erased)] == ["", "destroyed"]
        assert asyncio.run(body_of(hub, asyncio.run(notified(hub)))) == ""
        assert hub.parts.keys.get(case_key_id(SHARD, erased)) is DESTROYED
    doctor = ran("doctor", "--home", home, "--json")
    assert [one["grade"] for one in doctor.document["checks"] if one["what"] == "keys"] == ["OK"]
    assert str(make_url(postgresql_url).password) not in doctor.out + doctor.err
    monkeypatch.delenv(KEYS)
    lost = ran("serve", "--home", home)
    assert (lost.code, f"{file} is missing: restore it, or set {KEYS}" in lost.err, file.exists()) == (Exit.UNSOUND, True, False)


def test_a_hub_is_not_served_with_a_database_that_lost_its_keys(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEYS, postgresql_url)
    with running_hub(tmp_path, populate=False):
        pass
    assert not (tmp_path / "store" / "keys.sqlite").exists()
    directly(postgresql_url, "DROP TABLE data_key, key_store, alembic_version")
    for _ in range(2):
        lost = ran("serve", "--home", tmp_path)
        assert (lost.code, "is referred to but never existed here: restore the key store" in lost.err) == (Exit.UNSOUND, True), lost.err


def test_another_logs_databases_are_refused(tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for home in (one, other):
        with running_hub(home, populate=False):
            pass
    for file, words in {"views.sqlite": "the view database is of another log", "keys.sqlite": "the key store is of another log"}.items():
        shutil.copy(one / "store" / file, other / "store" / file)
        if file == "keys.sqlite":
            shutil.copy(one / "trust" / "kek", other / "trust" / "kek")
        for command in ("serve", "verify", "rebuild"):
            refused = ran(command, "--home", other)
            assert (refused.code, words in refused.err) == (Exit.UNSOUND, True), refused.err
    monkeypatch.setenv("HUB_DATABASE_URL", postgresql_url)
    with running_hub(one):
        pass
    with pytest.raises(IntegrityError, match=r"the view database is of another log: .* this log is empty; name an empty one"):
        running_hub(tmp_path / "third", populate=False).__enter__()


def test_views_that_know_more_than_the_log_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "hub"
    with running_hub(home) as hub:
        asyncio.run(notified(hub))
    shutil.copy(home / "store" / "events.sqlite", tmp_path / "older.sqlite")
    with running_hub(home) as hub:
        gone = asyncio.run(notified(hub))
        assert asyncio.run(body_of(hub, gone)) == ""
    for file in (home / "store").glob("events.sqlite*"):
        file.unlink()
    shutil.copy(tmp_path / "older.sqlite", home / "store" / "events.sqlite")
    refused = ran("serve", "--home", home)
    assert (refused.code, "is an older copy, or lost its end" in refused.err) == (Exit.UNSOUND, True), refused.err
    monkeypatch.setattr(rebuild, "BEHIND_MAX_SECONDS", 0.2)
    behind = ran("rebuild", "--home", home)
    assert (behind.code, "which is more than the log has here" in behind.err) == (Exit.UNAVAILABLE, True), behind.err
    for file in (home / "store").glob("views.sqlite*"):
        file.unlink()
    with running_hub(home) as hub:
        assert asyncio.run(body_of(hub, asyncio.run(notified(hub)))) == ""
    assert ran("verify", "--home", home).code == Exit.OK


def test_a_url_that_cannot_be_read_is_said_by_its_name_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEYS, "postgresql+psycopg://hub:an-open@secret:x/y@127.0.0.1:an-open/hub")
    with pytest.raises(SettingsError, match=f"^{KEYS}: expected postgresql") as refused:
        running_hub(tmp_path, populate=False).__enter__()
    assert not any(word in str(refused.value) for word in ("an-open", "secret"))
