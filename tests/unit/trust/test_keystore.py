from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.runtime.errors import IntegrityError, Unavailable
from services.trust import keystore, sealing
from services.trust.keystore import DESTROYED, KeyStore, SqliteKeyStore, case_key_id, create_kek, load_kek, parse_kek
from services.trust.sealing import seal

KEK = bytes(range(32))
Open = Callable[[], SqliteKeyStore]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store" / "keys.sqlite"


@pytest.fixture
def reopened(path: Path) -> Iterator[Open]:
    opened: list[SqliteKeyStore] = []

    def again() -> SqliteKeyStore:
        for store in opened:
            store.close()
        opened.append(SqliteKeyStore(path, KEK))
        return opened[-1]

    yield again
    for store in opened:
        store.close()


@pytest.fixture
def store(reopened: Open) -> KeyStore:
    return reopened()


def direct(path: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(path)
    try:
        with connection:
            connection.execute(statement, values)
    finally:
        connection.close()


def test_keys_are_minted_once_and_found_again_after_a_restart(reopened: Open) -> None:
    made = reopened().create(["case-1", "case-2", "case-1"])
    assert list(made) == ["case-1", "case-2"]
    assert {len(key) for key in made.values() if isinstance(key, bytes)} == {32}
    assert made["case-1"] != made["case-2"]
    store = reopened()
    assert {key_id: store.get(key_id) for key_id in made} == made
    assert store.create(["case-2", "case-3"])["case-2"] == made["case-2"]


def test_an_absent_key_that_events_refer_to_is_a_loss_and_never_minted(store: KeyStore) -> None:
    for _ in range(2):
        with pytest.raises(IntegrityError, match="data key case-1 is referred to but never existed"):
            store.get("case-1")


def test_a_destroyed_key_stays_destroyed(reopened: Open) -> None:
    store = reopened()
    store.create(["case-1", "case-2"])
    store.destroy("case-1")
    store.destroy("case-1")
    assert store.get("case-1") is DESTROYED
    store = reopened()
    assert store.get("case-1") is DESTROYED
    assert store.create(["case-1"]) == {"case-1": DESTROYED}
    assert isinstance(store.get("case-2"), bytes)


def test_a_key_that_never_existed_cannot_be_destroyed(store: KeyStore) -> None:
    with pytest.raises(IntegrityError, match="there is nothing to destroy"):
        store.destroy("case-1")


def test_a_destroyed_key_lies_in_no_cipher_any_more(store: KeyStore) -> None:
    key = store.create(["case-1"])["case-1"]
    assert isinstance(key, bytes)
    seal(key, bytes(32), bytes(32), b"body")
    assert sealing._cipher.cache_info().currsize > 0
    store.destroy("case-1")
    assert sealing._cipher.cache_info().currsize == 0


def test_a_destroyed_keys_bytes_are_gone_from_every_file(store: KeyStore, path: Path) -> None:
    store.create(["case-1"])
    connection = sqlite3.connect(path)
    (wrapped,) = connection.execute("SELECT wrapped FROM data_key WHERE id='case-1'").fetchone()
    connection.close()
    assert any(wrapped in file.read_bytes() for file in path.parent.iterdir())
    store.destroy("case-1")
    assert not any(wrapped in file.read_bytes() for file in path.parent.iterdir())


def test_a_key_that_cannot_be_destroyed_everywhere_now_is_said_to_remain(store: KeyStore, path: Path) -> None:
    assert isinstance(store, SqliteKeyStore)
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


def test_no_key_lies_in_the_file_unwrapped(store: KeyStore, path: Path) -> None:
    key = store.create(["case-1"])["case-1"]
    assert isinstance(key, bytes)
    assert not any(key in file.read_bytes() for file in path.parent.iterdir())


def test_the_files_are_for_their_owner_alone(store: KeyStore, path: Path) -> None:
    store.create(["case-1"])
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


def test_another_key_encryption_key_does_not_open_the_store(store: KeyStore, path: Path) -> None:
    store.close()
    with pytest.raises(IntegrityError, match="the key-encryption key is another one"):
        SqliteKeyStore(path, bytes(32))


def test_a_wrapped_key_moved_to_another_id_does_not_unwrap(reopened: Open, path: Path) -> None:
    reopened().create(["case-1", "case-2"])
    for column in ("nonce", "wrapped"):
        direct(path, f"UPDATE data_key SET {column}=(SELECT {column} FROM data_key WHERE id='case-1') WHERE id='case-2'")  # noqa: S608
    store = reopened()
    assert isinstance(store.get("case-1"), bytes)
    with pytest.raises(IntegrityError, match="data key case-2 does not unwrap"):
        store.get("case-2")


def test_keys_asked_for_together_are_made_in_one_transaction(store: KeyStore, path: Path) -> None:
    assert isinstance(store, SqliteKeyStore)
    statements: list[str] = []
    store._connection.set_trace_callback(statements.append)
    store.create([f"case-{number}" for number in range(50)])
    store._connection.set_trace_callback(None)
    assert [statement for statement in statements if statement in {"BEGIN IMMEDIATE", "COMMIT"}] == ["BEGIN IMMEDIATE", "COMMIT"]
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM data_key WHERE id LIKE 'case-%'").fetchone() == (50,)
    connection.close()


def test_commits_are_synced_to_the_disk(store: KeyStore) -> None:
    assert isinstance(store, SqliteKeyStore)
    pragmas = [store._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "journal_mode", "secure_delete")]
    assert pragmas == [2, "wal", 1]


def test_keys_that_could_not_be_written_are_not_handed_out(store: KeyStore, path: Path) -> None:
    assert isinstance(store, SqliteKeyStore)
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


def test_many_threads_get_the_same_keys(store: KeyStore) -> None:
    ids = [f"case-{number}" for number in range(20)]
    results: list[object] = []
    threads = [threading.Thread(target=lambda: results.append(store.create(ids))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [results[0]] * 8
    assert {key_id: store.get(key_id) for key_id in ids} == results[0]


def test_unwrapped_keys_in_memory_are_bounded_the_oldest_forgotten_first(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(store, SqliteKeyStore)
    monkeypatch.setattr(keystore, "KEYS_MAX_KEPT", 2)
    made = store.create(["case-1", "case-2"])
    store.get("case-1")
    made |= store.create(["case-3"])
    assert list(store._kept) == ["case-1", "case-3"]
    assert {key_id: store.get(key_id) for key_id in made} == made


@pytest.mark.parametrize("key_id", ["", "kek-check", "x" * 101])
def test_what_is_no_id_of_a_data_key_is_refused(key_id: str, store: KeyStore) -> None:
    for call in (store.get, store.destroy, lambda value: store.create([value])):
        with pytest.raises(ValueError, match="a data key's id"):
            call(key_id)


def test_closing_twice_is_fine(store: KeyStore) -> None:
    store.close()
    store.close()


def test_a_key_encryption_key_is_written_for_its_owner_alone_and_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "trust" / "kek"
    kek = create_kek(file)
    assert (load_kek(file), len(kek), stat.S_IMODE(file.stat().st_mode)) == (kek, 32, 0o600)
    with pytest.raises(FileExistsError):
        create_kek(file)
    assert load_kek(file) == kek


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33, "zz" * 32, "0" * 63, "\u0660" * 64])
def test_a_malformed_key_encryption_key_is_refused_without_repeating_it(text: str) -> None:
    with pytest.raises(ValueError, match=r"^HUB_KEK: expected a key-encryption key of 64 hexadecimal digits$"):
        parse_kek(text, "HUB_KEK")


def test_a_store_is_not_opened_with_a_short_key_encryption_key(path: Path) -> None:
    with pytest.raises(ValueError, match="expected a key-encryption key of 32 bytes, found 16"):
        SqliteKeyStore(path, bytes(16))


def test_partnerships_that_use_one_case_id_share_no_data_key() -> None:
    case_id = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    assert case_key_id("northmoor", case_id) != case_key_id("southmoor", case_id)
