"""Data keys on a server that goes away, hangs, or is asked by many."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import psycopg
import pytest
from sqlalchemy.engine import make_url

from services.runtime.errors import IntegrityError, Unavailable
from services.trust import postgresql_keys
from services.trust.keystore import DESTROYED, Row, Wrapping
from services.trust.postgresql_keys import PostgresqlKeyStore
from tests.support.eventually import eventually
from tests.support.postgresql import directly, end_sessions

KEK = bytes(range(32))
LOG, OTHER_LOG = "aa" * 32, "bb" * 32
LONG_SECONDS = 60.0
SOON_SECONDS = 0.5
Open = Callable[[], PostgresqlKeyStore]


@pytest.fixture
def opened(postgresql_url: str) -> Iterator[Open]:
    stores: list[PostgresqlKeyStore] = []

    def once_more() -> PostgresqlKeyStore:
        stores.append(PostgresqlKeyStore(postgresql_url, KEK))
        return stores[-1]

    yield once_more
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Open) -> PostgresqlKeyStore:
    return opened()


def shut(server: str, url: str, *, is_shut: bool) -> None:
    """Have a database take no connections, and end those that there are; or take them again."""
    name = make_url(url).database
    directly(server, f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS {not is_shut}')
    if is_shut:
        directly(server, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608


def test_commits_are_on_the_servers_disk(store: PostgresqlKeyStore, postgresql_url: str) -> None:
    directly(postgresql_url, f'ALTER DATABASE "{make_url(postgresql_url).database}" SET synchronous_commit = off')
    end_sessions(postgresql_url)
    shown = store._writing.ask(lambda connection: connection.execute("SHOW synchronous_commit").fetchone(), 5.0)
    assert shown == ("on",)


def test_a_connection_that_was_lost_is_made_anew_and_the_question_asked_again(store: PostgresqlKeyStore, postgresql_url: str) -> None:
    made = store.create(["case-1"])
    for number in range(3):
        end_sessions(postgresql_url)
        store._kept.clear()
        assert store.get("case-1") == made["case-1"]
        assert list(store.create([f"new-{number}"])) == [f"new-{number}"]


def test_a_connection_that_was_lost_in_the_middle_of_a_question_is_made_anew(store: PostgresqlKeyStore) -> None:
    asked: list[psycopg.Connection[tuple[int]]] = []

    def question(connection: psycopg.Connection[tuple[int]]) -> tuple[int] | None:
        asked.append(connection)
        if len(asked) == 1:
            connection.pgconn.send_query(b"SELECT 1")
            raise psycopg.OperationalError("lost")
        return connection.execute("SELECT 2").fetchone()

    assert store._writing.ask(question, 5.0) == (2,)
    assert asked[0] is not asked[1]


def test_while_the_server_is_away_kept_keys_are_given_out_for_a_bounded_time_and_no_call_waits(
    store: PostgresqlKeyStore, postgresql_server: str, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store.create(["case-1"])
    monkeypatch.setattr(postgresql_keys, "STALE_SECONDS", LONG_SECONDS)
    store._look()
    shut(postgresql_server, postgresql_url, is_shut=True)
    for call in (lambda: store.get("case-2"), lambda: store.create(["case-2"]), lambda: store.destroy("case-1")):
        with pytest.raises(Unavailable, match="the key database that HUB_KEYS_DATABASE_URL names does not answer"):
            call()
    assert store.get("case-1") == made["case-1"]
    store._fresh_until = 0.0  # as when that time is over
    with pytest.raises(Unavailable):
        store.get("case-1")
    shut(postgresql_server, postgresql_url, is_shut=False)
    assert eventually(lambda: not store._is_away)
    assert store.get("case-1") == made["case-1"]


def test_a_key_destroyed_while_this_node_could_not_look_is_not_given_out_afterwards(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = opened(), opened()
    one.create(["case-1"])
    other.get("case-1")
    with monkeypatch.context() as patched:
        patched.setattr(other, "_look", lambda: None)
        one.destroy("case-1")
        other._fresh_until = 0.0
        assert other.get("case-1") is DESTROYED


def test_a_look_from_before_a_key_was_destroyed_brings_nothing_back_however_late_it_is(
    store: PostgresqlKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = store.create(["case-1"])
    before = store._kept._destructions
    looked, go_on, learnt = threading.Event(), threading.Event(), threading.Event()
    learn = store._kept.learn

    def learn_late(destructions: int) -> None:
        if threading.current_thread() is not store._watching:
            learn(destructions)
            return
        looked.set()
        go_on.wait(LONG_SECONDS)
        learn(destructions)
        learnt.set()

    monkeypatch.setattr(store._kept, "learn", learn_late)
    assert looked.wait(LONG_SECONDS)
    destroying = threading.Thread(target=store.destroy, args=["case-1"])
    destroying.start()
    destroying.join(SOON_SECONDS)  # it need not wait for the look; if it does, it comes after it
    monkeypatch.setattr(postgresql_keys, "LOOK_SECONDS", LONG_SECONDS)
    go_on.set()
    destroying.join()
    assert learnt.wait(LONG_SECONDS)
    store._kept.keep(made, before)  # what a slow reader had read at the old count
    assert store.get("case-1") is DESTROYED


def test_a_database_that_was_restored_is_believed(store: PostgresqlKeyStore, postgresql_url: str) -> None:
    store.create(["case-1", "case-2"])
    store.destroy("case-1")
    assert store.get("case-2") is not DESTROYED
    directly(postgresql_url, "UPDATE key_store SET destructions = 0")  # as in an older copy
    store._look()
    directly(postgresql_url, "UPDATE data_key SET nonce = NULL, wrapped = NULL WHERE id = 'case-2'")
    directly(postgresql_url, "UPDATE key_store SET destructions = 1")
    store._look()
    assert store.get("case-2") is DESTROYED


def test_a_server_that_says_nothing_is_waited_for_until_the_deadline_and_then_hung_up_on(store: PostgresqlKeyStore) -> None:
    began = time.monotonic()
    with pytest.raises(Unavailable, match="does not answer"):
        store._reading.ask(lambda connection: connection.execute(f"SELECT pg_sleep({LONG_SECONDS})").fetchone(), 0.2)
    assert time.monotonic() - began < LONG_SECONDS / 2
    assert store._reading.ask(lambda connection: connection.execute("SELECT 1").fetchone(), 5.0) == (1,)


def test_a_new_connection_that_says_nothing_is_hung_up_on_at_the_deadline_as_well(
    store: PostgresqlKeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store._reading.close()
    with monkeypatch.context() as patched:
        patched.setattr(postgresql_keys, "_make_strict", lambda connection: connection.execute(f"SELECT pg_sleep({LONG_SECONDS})"))
        began = time.monotonic()
        with pytest.raises(Unavailable, match="does not answer"):
            store._reading.ask(lambda connection: connection.execute("SELECT 1").fetchone(), 0.2)
        assert time.monotonic() - began < LONG_SECONDS / 2
    assert store._reading.ask(lambda connection: connection.execute("SHOW synchronous_commit").fetchone(), 5.0) == ("on",)


def test_a_server_that_refuses_one_thing_is_not_taken_to_be_away(store: PostgresqlKeyStore, postgresql_url: str) -> None:
    made = store.create(["case-1"])
    directly(postgresql_url, f'ALTER DATABASE "{make_url(postgresql_url).database}" SET default_transaction_read_only = on')
    end_sessions(postgresql_url)
    with pytest.raises(Unavailable, match=r"does not do what is asked \(25006\)"):
        store.create(["case-2"])
    store._kept.clear()
    assert store.get("case-1") == made["case-1"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"password": "an-open-secret"},
        {"host": "127.0.0.1", "port": 1},
        {"host": "an-open-secret.invalid"},
        {"database": "there_is_none"},
    ],
)
def test_a_database_that_does_not_let_the_hub_in_is_said_without_its_address(wrong: dict[str, object], postgresql_url: str) -> None:
    url = make_url(postgresql_url).set(**wrong)  # type: ignore[arg-type]
    with pytest.raises(Unavailable, match="HUB_KEYS_DATABASE_URL names does not answer") as refused:
        PostgresqlKeyStore(url.render_as_string(hide_password=False), KEK)
    assert not any(word in str(refused.value) for word in ("an-open-secret", str(url.password)))
    assert refused.value.__suppress_context__


def test_keys_are_taken_over_as_they_are_wrapped_once_and_for_all(opened: Open, postgresql_url: str) -> None:
    store, wrapping = opened(), Wrapping(KEK)
    rows: dict[str, Row] = {f"case-{number}": wrapping.mint(f"case-{number}") for number in range(postgresql_keys._TAKE_OVER_ROWS + 1)}
    rows["erased"] = (None, None)
    for _ in range(2):
        store.take_over(rows, LOG)
        assert store.get("case-7") == wrapping.unwrap("case-7", rows["case-7"])
        assert store.get("erased") is DESTROYED
    store.destroy("case-7")
    store.take_over(rows, LOG)
    assert store.get("case-7") is DESTROYED, "it was brought back"
    store.take_over({"case-8": (None, None)}, LOG)
    assert opened().get("case-8") is DESTROYED
    with psycopg.connect(make_url(postgresql_url).set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        assert connection.execute("SELECT count(*) FROM data_key").fetchone() == (len(rows) + 1,)


def test_keys_that_are_others_in_the_database_and_keys_of_another_log_are_not_taken_over(store: PostgresqlKeyStore) -> None:
    wrapping = Wrapping(KEK)
    made = store.create(["case-1"])
    with pytest.raises(IntegrityError, match="data key case-1 is another one in the database: nothing was moved"):
        store.take_over({"case-0": wrapping.mint("case-0"), "case-1": wrapping.mint("case-1")}, LOG)
    with pytest.raises(IntegrityError, match="never existed"):
        store.get("case-0")
    assert store.get("case-1") == made["case-1"]
    store.belong_to(LOG)
    with pytest.raises(IntegrityError, match="the key store is of another log"):
        store.take_over({"case-0": wrapping.mint("case-0")}, OTHER_LOG)
