"""What every key store promises, on SQLite and PostgreSQL alike."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, create_engine, text
from sqlalchemy.engine import make_url

from services.runtime.errors import IntegrityError
from services.trust import key_schema, keystore, sealing
from services.trust.files import secret_database
from services.trust.key_places import open_key_store
from services.trust.keystore import DESTROYED, KeyStore, case_key_id, create_kek, load_kek, parse_kek
from services.trust.postgresql_keys import PostgresqlKeyStore
from services.trust.sealing import seal
from services.trust.sqlite_keys import SqliteKeyStore
from tests.support.eventually import eventually
from tests.support.together import all_at_once

KEK = bytes(range(32))
LOG, OTHER_LOG = "aa" * 32, "bb" * 32


@dataclass
class Place:
    """A database for data keys, and the stores that were opened on it."""

    place: str
    url: URL
    opened: list[KeyStore] = field(default_factory=list)

    def open(self, kek: bytes = KEK) -> KeyStore:
        """Open the store once more."""
        self.opened.append(open_key_store(self.place, kek))
        return self.opened[-1]

    def reopen(self) -> KeyStore:
        """Close whatever is open, and open the store."""
        self.close()
        return self.open()

    def close(self) -> None:
        """Close whatever is open."""
        while self.opened:
            self.opened.pop().close()

    @contextmanager
    def direct(self) -> Iterator[Connection]:
        """Give a connection that goes round the store."""
        engine = create_engine(self.url)
        try:
            with engine.begin() as connection:
                yield connection
        finally:
            engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        file = str(tmp_path / "keys.sqlite")
        built = Place(file, URL.create("sqlite", database=file))
    else:
        url: str = request.getfixturevalue("postgresql_url")
        built = Place(url, make_url(url))
    yield built
    built.close()


@pytest.fixture
def store(place: Place) -> KeyStore:
    return place.open()


def test_keys_are_minted_once_and_found_again_after_a_restart(place: Place) -> None:
    made = place.open().create(["case-1", "case-2", "case-1"])
    assert list(made) == ["case-1", "case-2"]
    assert {len(key) for key in made.values() if isinstance(key, bytes)} == {32}
    assert made["case-1"] != made["case-2"]
    store = place.reopen()
    assert {key_id: store.get(key_id) for key_id in made} == made
    assert store.create(["case-2", "case-3"])["case-2"] == made["case-2"]


def test_two_nodes_that_ask_at_once_get_the_same_keys(place: Place) -> None:
    ids = [f"case-{number}" for number in range(50)]
    nodes = [place.open() for _ in range(4)]
    together = threading.Barrier(2 * len(nodes))
    results: list[object] = []

    def ask(node: KeyStore, wanted: list[str]) -> None:
        together.wait()
        results.append(node.create(wanted))

    threads = [threading.Thread(target=ask, args=(node, wanted)) for node in nodes for wanted in (ids, ids[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [results[0]] * len(threads)
    again = place.reopen()
    assert {key_id: again.get(key_id) for key_id in ids} == results[0]


def test_an_absent_key_that_events_refer_to_is_a_loss_and_never_minted(store: KeyStore) -> None:
    for _ in range(2):
        with pytest.raises(IntegrityError, match="data key case-1 is referred to but never existed"):
            store.get("case-1")


def test_a_destroyed_key_stays_destroyed(place: Place) -> None:
    store = place.open()
    store.create(["case-1", "case-2"])
    store.destroy("case-1")
    store.destroy("case-1")
    assert store.get("case-1") is DESTROYED
    store = place.reopen()
    assert store.get("case-1") is DESTROYED
    assert store.create(["case-1"]) == {"case-1": DESTROYED}
    assert isinstance(store.get("case-2"), bytes)


def test_a_key_destroyed_on_one_node_is_soon_given_out_by_none(place: Place) -> None:
    one, other = place.open(), place.open()
    made = one.create(["case-1", "case-2"])
    assert {key_id: other.get(key_id) for key_id in made} == made
    one.destroy("case-1")
    assert one.get("case-1") is DESTROYED
    assert eventually(lambda: other.get("case-1") is DESTROYED)
    assert other.create(["case-1"]) == {"case-1": DESTROYED}
    assert other.get("case-2") == made["case-2"]


def test_a_key_that_never_existed_cannot_be_destroyed(store: KeyStore) -> None:
    with pytest.raises(IntegrityError, match="there is nothing to destroy"):
        store.destroy("case-1")


def test_a_destroyed_key_lies_in_no_cipher_any_more_on_any_node(place: Place) -> None:
    one, other = place.open(), place.open()
    key = one.create(["case-1"])["case-1"]
    assert isinstance(key, bytes)
    assert other.get("case-1") == key
    seal(key, bytes(32), bytes(32), b"body")
    assert sealing._cipher.cache_info().currsize > 0
    with other._kept._lock:  # type: ignore[attr-defined]  # it hears of that only when it has sealed once more
        one.destroy("case-1")
        assert sealing._cipher.cache_info().currsize == 0
        seal(key, bytes(32), bytes(32), b"body")
    assert eventually(lambda: other.get("case-1") is DESTROYED)
    assert eventually(lambda: sealing._cipher.cache_info().currsize == 0)


def test_no_key_lies_in_the_store_unwrapped(place: Place) -> None:
    key = place.open().create(["case-1"])["case-1"]
    with place.direct() as connection:
        rows = connection.execute(text("SELECT nonce, wrapped FROM data_key")).all()
    assert isinstance(key, bytes)
    assert (len(rows), any(key in column for row in rows for column in row)) == (2, False)


def test_another_key_encryption_key_does_not_open_the_store(place: Place) -> None:
    place.open()
    with pytest.raises(IntegrityError, match="the key-encryption key is another one"):
        place.open(bytes(32))


def test_a_wrapped_key_moved_to_another_id_does_not_unwrap(place: Place) -> None:
    place.open().create(["case-1", "case-2"])
    with place.direct() as connection:
        for column in ("nonce", "wrapped"):
            other = f"(SELECT {column} FROM data_key WHERE id='case-1')"  # noqa: S608
            connection.execute(text(f"UPDATE data_key SET {column}={other} WHERE id='case-2'"))  # noqa: S608
    store = place.reopen()
    assert isinstance(store.get("case-1"), bytes)
    with pytest.raises(IntegrityError, match="data key case-2 does not unwrap"):
        store.get("case-2")


def test_a_store_belongs_to_the_log_that_first_said_so_and_to_no_other(place: Place) -> None:
    store = place.open()
    store.belong_to(None)
    for _ in range(2):
        store.belong_to(LOG)
        store = place.reopen()
    with pytest.raises(IntegrityError, match=rf"the key store is of another log: .*{LOG[:16]}…, this one begins with {OTHER_LOG[:16]}…"):
        store.belong_to(OTHER_LOG)
    with pytest.raises(IntegrityError, match=r"the key store is of another log: .* this log is empty"):
        store.belong_to(None)


def test_the_tables_are_those_of_the_last_migration_and_a_newer_programs_are_left_alone(place: Place) -> None:
    from alembic.script import ScriptDirectory  # noqa: PLC0415  # as in the program: nobody else loads it

    folder = Path(key_schema.__file__).parent / "migrations"
    assert ScriptDirectory(str(folder)).get_heads() == [key_schema.NEWEST]
    place.open()
    with place.direct() as connection:
        assert connection.execute(text(key_schema.VERSION)).scalar_one() == key_schema.NEWEST
        connection.execute(text("UPDATE alembic_version SET version_num='9999'"))
    with pytest.raises(IntegrityError, match="the key store is of a newer program: upgrade this node"):
        place.reopen()


def test_a_new_file_of_secrets_is_opened_by_all_who_come_first(tmp_path: Path) -> None:
    for turn in range(40):

        def opened(path: Path = tmp_path / f"{turn}.sqlite") -> str:
            with closing(secret_database(path)) as connection:
                return str(connection.execute("PRAGMA journal_mode").fetchone()[0])

        assert all_at_once(8, opened) == ["wal"] * 8


def test_nodes_that_open_a_new_store_at_once_make_it_once(place: Place) -> None:
    opened: list[KeyStore] = []
    threads = [threading.Thread(target=lambda: opened.append(place.open())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = opened[0].create(["case-1"])
    assert [store.create(["case-1"]) for store in opened] == [made] * 4


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
    assert isinstance(store, SqliteKeyStore | PostgresqlKeyStore)
    monkeypatch.setattr(keystore, "KEYS_MAX_KEPT", 2)
    made = store.create(["case-1", "case-2"])
    store.get("case-1")
    made |= store.create(["case-3"])
    assert list(store._kept._keys) == ["case-1", "case-3"]
    assert {key_id: store.get(key_id) for key_id in made} == made


def test_what_was_read_before_a_key_was_destroyed_is_not_kept_after_it() -> None:
    kept = keystore.KeptKeys(destructions=3)
    kept.learn(4)
    kept.keep({"case-1": bytes(32)}, 3)
    assert kept.get("case-1") is None
    kept.keep({"case-1": bytes(32)}, 4)
    assert kept.get("case-1") == bytes(32)
    kept.learn(5)
    assert kept.get("case-1") is None


@pytest.mark.parametrize("key_id", ["", "kek-check", "x" * 201])
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


def test_a_store_is_not_opened_with_a_short_key_encryption_key(place: Place) -> None:
    with pytest.raises(ValueError, match="expected a key-encryption key of 32 bytes, found 16"):
        place.open(bytes(16))


def test_partnerships_that_use_one_case_id_share_no_data_key() -> None:
    case_id = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    assert case_key_id("northmoor", case_id) != case_key_id("southmoor", case_id)
