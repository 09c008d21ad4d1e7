"""What PostgreSQL has that SQLite has not: other nodes, its own order of text, tables that readers lock."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Boolean, Column, Connection, Date, Integer, LargeBinary, MetaData, Table, Text, create_engine, inspect, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError

from domain.kernel.events import Recorded
from projections.kernel import postgresql
from projections.kernel.database import GenerationGone, Move, ViewDatabase
from projections.kernel.rows import insert_tuples
from projections.kernel.view import Tables, View
from tests.support.eventually import eventually
from tests.support.postgresql import a_database, end_tenures
from tests.support.small_events import FINE, SHARD, happened

WORDS = ["Zoë", "a", "B", "b", "É", "e", "_", "-a", "😀", "\uffff", "\\N", "tab\tnew\nline", ""]
ROWS_OF_ONE = len(WORDS)


def define(metadata: MetaData, prefix: str) -> Tables:
    columns = (
        Column("word", Text, primary_key=True),
        Column("position", Integer, primary_key=True, autoincrement=False),
        Column("is_so", Boolean),
        Column("on", Date),
        Column("raw", LargeBinary),
        Column("much", Integer),
    )
    return {"words": Table(f"{prefix}words", metadata, *columns)}


def write(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
    values = (True, date(2024, 2, 29), b"\x00\\x\xff", 2**62), (None, None, None, None)
    rows = [(word, one.position, *values[one.position % 2]) for one in batch for word in WORDS]
    insert_tuples(connection, tables["words"], rows)
    insert_tuples(connection, tables["words"], [("alone", one.position, False, None, b"", -(2**63)) for one in batch[:1]])


VIEW = View(name="words", version="1", define=define, handles=frozenset({FINE}), ignores=frozenset(), apply=write)


@pytest.fixture
def database(postgresql_url: str) -> Iterator[ViewDatabase]:
    opened = ViewDatabase(postgresql_url, [VIEW])
    yield opened
    opened.close()


@pytest.fixture
def other(postgresql_url: str) -> Iterator[ViewDatabase]:
    """Another node's."""
    opened = ViewDatabase(postgresql_url, [VIEW])
    yield opened
    opened.close()


def made_live(database: ViewDatabase) -> int:
    built = database.begin_build("words")
    database.swap("words", built.generation)
    return built.generation


def tables_of(database: ViewDatabase) -> set[str]:
    with database.reader() as connection:
        return {name for name in inspect(connection).get_table_names() if name.startswith("words_g")}


def count(connection: Connection, table: Table) -> int:
    return len(connection.execute(select(table.c.word)).all())


def test_rows_have_the_digest_that_sqlite_gives_them_by_either_way_of_writing_them(database: ViewDatabase, tmp_path: Path) -> None:
    sqlite = ViewDatabase(f"sqlite:///{tmp_path / 'views.sqlite'}", [VIEW])
    log = [happened(1), happened(2), happened(3)]
    digests = []
    for one in (sqlite, database):
        generation = made_live(one)
        one.apply("words", generation, SHARD, log, 3)
        digests.append(one.digest("words", generation))
        assert one.parked("words", generation) == ()
        with one.reading("words") as look:
            table = look.tables["words"]
            first = look.connection.execute(select(table.c.word).where(table.c.position == 1).order_by(table.c.word)).scalars().all()
        assert first == sorted([*WORDS, "alone"], key=str.encode)
    sqlite.close()
    assert digests[0] == digests[1]


def test_a_file_that_was_filled_beside_is_taken_over_bit_for_bit(database: ViewDatabase, tmp_path: Path) -> None:
    file = tmp_path / "beside.sqlite"
    beside = ViewDatabase(f"sqlite:///{file}", [VIEW], passing=True)
    filled = beside.begin_build("words")
    beside.apply("words", filled.generation, SHARD, [happened(1), happened(2)], 2)
    digest = beside.digest("words", filled.generation)
    beside.close()
    built = database.begin_build("words")
    assert database.absorb(file, [built])
    assert (database.digest("words", built.generation), database.positions("words", built.generation)) == (digest, {SHARD: 2})


def test_what_is_read_stays_until_it_was_read_and_is_then_dropped(database: ViewDatabase, other: ViewDatabase) -> None:
    old = made_live(database)
    database.apply("words", old, SHARD, [happened(1)], 1)
    built = database.begin_build("words").generation
    database.apply("words", built, SHARD, [happened(1), happened(2)], 2)
    with other.reading("words") as look:
        database.swap("words", built)
        assert count(look.connection, look.tables["words"]) == ROWS_OF_ONE + 1
        assert tables_of(database) == {f"words_g{old}_words", f"words_g{built}_words"}
        with pytest.raises(GenerationGone):
            database.apply("words", old, SHARD, [happened(2)], 2)
    database.tidy()
    assert tables_of(database) == {f"words_g{built}_words"}


def test_what_a_process_left_is_dropped_by_the_next(database: ViewDatabase, postgresql_url: str) -> None:
    made_live(database)
    last = made_live(database)
    assert len(tables_of(database)) == 2
    again = ViewDatabase(postgresql_url, [VIEW])
    again.tidy()
    assert tables_of(again) == {f"words_g{last}_words"}
    again.close()


def test_a_reader_whose_tables_are_dropped_before_it_reads_them_looks_again(
    database: ViewDatabase, other: ViewDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_live(database)
    hold, held = postgresql.hold, list[bool]()

    def late(connection: Connection, tables: Tables) -> bool:
        if not held:
            made_live(database)
            database.tidy()
        held.append(hold(connection, tables))
        return held[-1]

    monkeypatch.setattr(postgresql, "hold", late)
    with other.reading("words") as look:
        assert count(look.connection, look.tables["words"]) == 0
    assert held == [False, True]


def test_writers_of_all_nodes_take_turns(database: ViewDatabase, other: ViewDatabase) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
        begun.set()
        assert go_on.wait(10)
        write(connection, tables, batch)

    generation = made_live(database)
    database._views["words"] = replace(VIEW, apply=slowly)
    applied: dict[str, bool] = {}

    def apply(turn: str, views: ViewDatabase) -> None:
        applied[turn] = views.apply("words", generation, SHARD, [happened(1)], 1)

    first = threading.Thread(target=apply, args=("first", database))
    second = threading.Thread(target=apply, args=("second", other))
    first.start()
    assert begun.wait(10)
    second.start()
    second.join(0.2)
    assert second.is_alive(), "it did not wait for the other's turn"
    go_on.set()
    first.join()
    second.join()
    assert applied == {"first": True, "second": False}
    assert database.parked("words", generation) == ()


def test_a_database_that_lacks_a_table_fails_and_parks_nothing(database: ViewDatabase, postgresql_url: str) -> None:
    generation = made_live(database)
    with psycopg.connect(postgresql_url.replace("+psycopg", "")) as connection:
        connection.execute(f'ALTER TABLE "words_g{generation}_words" RENAME TO away')
    for events in ([happened(1)], [happened(1), happened(2)]):
        with pytest.raises(OperationalError):
            database.apply("words", generation, SHARD, events, 2)
    with psycopg.connect(postgresql_url.replace("+psycopg", "")) as connection:
        connection.execute(f'ALTER TABLE away RENAME TO "words_g{generation}_words"')
    assert database.apply("words", generation, SHARD, [happened(1)], 1)
    assert database.parked("words", generation) == ()


def test_connections_that_the_server_ended_are_made_anew(database: ViewDatabase, postgresql_server: str, postgresql_url: str) -> None:
    generation = made_live(database)
    database.apply("words", generation, SHARD, [happened(1)], 1)
    with psycopg.connect(postgresql_server.replace("+psycopg", ""), autocommit=True) as connection:
        ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        connection.execute(ended, (make_url(postgresql_url).database,))
    assert database.tracking("words", generation, SHARD) == 1
    assert database.apply("words", generation, SHARD, [happened(2)], 2)


def test_what_other_nodes_write_is_announced_to_who_looks_around(database: ViewDatabase, other: ViewDatabase) -> None:
    heard: list[Move] = []
    other.listen(heard.append)
    first = made_live(database)
    other.look_around()
    database.apply("words", first, SHARD, [happened(1)], 1)
    other.look_around()
    other.look_around()
    second = database.begin_build("words").generation
    database.apply("words", second, SHARD, [happened(1)], 1)
    database.swap("words", second)
    other.look_around()
    assert heard == [
        Move(view="words", shard=None, position=0, changed=True),
        Move(view="words", shard=SHARD, position=1, changed=True),
        Move(view="words", shard=None, position=0, changed=True),
    ]


def test_one_process_has_the_work_until_it_ends_or_its_session_does(
    database: ViewDatabase, other: ViewDatabase, postgresql_url: str
) -> None:
    first, second = database.tenure(), other.tenure()
    assert (first.take(), second.take(), first.take()) == (True, False, True)
    first.leave()
    assert (second.take(), first.take()) == (True, False)
    end_tenures(postgresql_url)
    assert not second.take()
    assert eventually(first.take)
    assert not second.take()
    for one in (first, second, second):
        one.leave()


def test_hubs_in_schemas_of_their_own_do_not_meet(database: ViewDatabase, postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url.replace("+psycopg", "")) as connection:
        connection.execute("CREATE SCHEMA elsewhere")
    url = make_url(postgresql_url).update_query_dict({"options": "-csearch_path=elsewhere"}).render_as_string(hide_password=False)
    apart = ViewDatabase(url, [VIEW])
    here, there = database.tenure(), apart.tenure()
    generation = made_live(database)
    assert (here.take(), there.take(), apart.live("words"), made_live(apart)) == (True, True, None, generation)
    here.leave()
    there.leave()
    apart.close()


def test_a_database_that_cannot_hold_every_text_is_refused(postgresql_server: str) -> None:
    narrow = a_database(postgresql_server, made="ENCODING LATIN1 LOCALE_PROVIDER libc LOCALE 'C'")
    with narrow as url, pytest.raises(ValueError, match="encoding UTF8, not LATIN1"):
        ViewDatabase(url, [VIEW])


def test_a_server_that_ends_no_silent_session_is_refused(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "LEAST_VERSION", 990_000)
    with pytest.raises(ValueError, match="views need PostgreSQL 99 or newer"):
        ViewDatabase(postgresql_url, [VIEW])


def test_the_password_is_in_no_text_of_a_database(postgresql_url: str) -> None:
    url = make_url(postgresql_url)
    wrong = url.set(password="an-open-secret").render_as_string(hide_password=False)  # noqa: S106 (it opens nothing)
    with pytest.raises(OperationalError) as refused:
        ViewDatabase(wrong, [VIEW])
    assert "an-open-secret" not in str(refused.value) + repr(refused.value) + repr(create_engine(wrong))
