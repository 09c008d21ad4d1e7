from __future__ import annotations

import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.errors import IntegrityError, Unavailable
from services.trust.keystore import DESTROYED, Wrapping
from services.trust.sqlite_keys import SqliteKeyStore

KEK = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "keys.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteKeyStore]:
    opened = SqliteKeyStore(path, KEK)
    yield opened
    opened.close()


def test_a_store_from_before_there_were_migrations_is_taken_over(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute(
        "CREATE TABLE data_key (id TEXT PRIMARY KEY, nonce BLOB, wrapped BLOB, CHECK ((nonce IS NULL) = (wrapped IS NULL))) "
        "STRICT, WITHOUT ROWID"
    )
    wrapping = Wrapping(KEK)
    rows = [("kek-check", *wrapping.check()), ("case-1", *wrapping.wrap("case-1", b"k" * 32)), ("case-2", None, None)]
    connection.executemany("INSERT INTO data_key VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    for _ in range(2):
        store = SqliteKeyStore(path, KEK)
        assert (store.get("case-1"), store.get("case-2")) == (b"k" * 32, DESTROYED)
        store.close()


def test_a_destroyed_keys_bytes_are_gone_from_every_file(store: SqliteKeyStore, path: Path) -> None:
    store.create(["case-1"])
    _, wrapped = store.rows()["case-1"]
    assert wrapped is not None
    assert any(wrapped in file.read_bytes() for file in path.parent.iterdir())
    store.destroy("case-1")
    assert not any(wrapped in file.read_bytes() for file in path.parent.iterdir())


def test_a_key_that_cannot_be_destroyed_everywhere_now_is_said_to_remain(store: SqliteKeyStore, path: Path) -> None:
    store.create(["case-1"])
    store._connection.execute("PRAGMA busy_timeout=10")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM data_key").fetchall()
    with pytest.raises(Unavailable, match="destroy it again"):
        store.destroy("case-1")
    reader.execute("COMMIT")
    reader.close()
    store.destroy("case-1")
    assert store.get("case-1") is DESTROYED


def test_no_key_lies_in_any_file_unwrapped(store: SqliteKeyStore, path: Path) -> None:
    key = store.create(["case-1"])["case-1"]
    assert isinstance(key, bytes)
    assert not any(key in file.read_bytes() for file in path.parent.iterdir())


def test_the_files_are_for_their_owner_alone(store: SqliteKeyStore, path: Path) -> None:
    store.create(["case-1"])
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_keys_asked_for_together_are_made_in_one_transaction(store: SqliteKeyStore, path: Path) -> None:
    statements: list[str] = []
    store._connection.set_trace_callback(statements.append)
    store.create([f"case-{number}" for number in range(50)])
    store._connection.set_trace_callback(None)
    assert [statement for statement in statements if statement in {"BEGIN IMMEDIATE", "COMMIT"}] == ["BEGIN IMMEDIATE", "COMMIT"]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM data_key WHERE id LIKE 'case-%'").fetchone() == (50,)
    connection.close()


def test_commits_are_synced_to_the_disk(store: SqliteKeyStore) -> None:
    pragmas = [store._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode", "secure_delete")]
    assert pragmas == [2, "wal", 1]


def test_keys_that_could_not_be_written_are_not_handed_out(store: SqliteKeyStore, path: Path) -> None:
    store._connection.execute("PRAGMA busy_timeout=10")
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match="the key store cannot be written: database is locked"):
        store.create(["case-1"])
    blocker.execute("ROLLBACK")
    blocker.close()
    with pytest.raises(IntegrityError):
        store.get("case-1")
    assert list(store.create(["case-1"])) == ["case-1"]
