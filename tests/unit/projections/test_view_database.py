from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, Column, Connection, Index, Integer, LargeBinary, MetaData, Table, Text, insert, inspect, select
from sqlalchemy.engine.interfaces import ReflectedIndex
from sqlalchemy.exc import OperationalError

from domain.kernel.events import Recorded
from projections.kernel import sqlite
from projections.kernel.backend import Access
from projections.kernel.batch import Unreadable
from projections.kernel.columns import Instant, Json, json_text
from projections.kernel.database import Behind, GenerationGone, NotLive, OtherLog, State, ViewDatabase
from projections.kernel.rows import insert_rows, insert_tuples
from projections.kernel.view import WHILE_BUILDING, Tables, View
from tests.support.small_events import AT, FINE, SHARD, happened

POISON = "poison.v1"
IGNORED = "ignored.v1"


def define(metadata: MetaData, prefix: str) -> Tables:
    return {
        "seen": Table(
            f"{prefix}seen",
            metadata,
            Column("shard", Text, primary_key=True),
            Column("position", BigInteger, primary_key=True, autoincrement=False),
            Column("stream", Text, nullable=False),
            Column("event_id", LargeBinary, nullable=False),
            Column("recorded_at", Instant, nullable=False),
            Column("words", Json, nullable=False),
        ),
    }


def define_wider(metadata: MetaData, prefix: str) -> Tables:
    tables = dict(define(metadata, prefix))
    tables["count"] = Table(f"{prefix}count", metadata, Column("shard", Text, primary_key=True), Column("n", Integer))
    return tables


def write(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
    rows = [
        {
            "shard": one.shard,
            "position": one.position,
            "stream": one.stream,
            "event_id": one.event_id,
            "recorded_at": one.recorded_at,
            "words": {"b": [1, None], "a": one.event_type},
        }
        for one in batch
    ]
    connection.execute(insert(tables["seen"]), rows)
    if any(one.event_type == POISON for one in batch):
        raise ValueError("cannot take it")


def a_view(
    version: str = "1",
    define: Callable[[MetaData, str], Tables] = define,
    apply: Callable[[Connection, Tables, Sequence[Recorded]], None] = write,
) -> View:
    return View(
        name="seen",
        version=version,
        define=define,
        handles=frozenset({FINE, POISON}),
        ignores=frozenset({IGNORED}),
        apply=apply,
    )


@pytest.fixture
def url(view_url: str) -> str:
    return view_url


@pytest.fixture
def database(url: str) -> Iterator[ViewDatabase]:
    opened = ViewDatabase(url, [a_view()])
    yield opened
    opened.close()


def made_live(database: ViewDatabase) -> int:
    built = database.begin_build("seen")
    database.swap("seen", built.generation)
    return built.generation


def positions_in(database: ViewDatabase) -> list[int]:
    with database.reading("seen") as look:
        table = look.tables["seen"]
        return list(look.connection.execute(select(table.c.position).order_by(table.c.position)).scalars())


def test_a_database_is_of_the_log_that_first_said_so_and_of_no_other(database: ViewDatabase, url: str) -> None:
    database.belong_to(None)
    for _ in range(2):
        database.belong_to("aa" * 32)
    beside = ViewDatabase(url, [a_view()])
    try:
        beside.belong_to("aa" * 32)
        with pytest.raises(OtherLog, match=r"that begins with event aaaaaaaaaaaaaaaa…, this one begins with bbbbbbbbbbbbbbbb…"):
            beside.belong_to("bb" * 32)
        with pytest.raises(OtherLog, match="this log is empty"):
            beside.belong_to(None)
    finally:
        beside.close()


def test_a_new_file_of_views_is_opened_by_all_who_come_first(tmp_path: Path) -> None:
    for turn in range(100):
        together = threading.Barrier(8)

        def opened(file: Path = tmp_path / f"{turn}.sqlite", together: threading.Barrier = together) -> str:
            engine = sqlite.engine(f"sqlite:///{file}", Access.WRITE)
            together.wait()
            with engine.connect() as connection:
                mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
            engine.dispose()
            return str(mode)

        with ThreadPoolExecutor(8) as pool:
            assert [one.result() for one in [pool.submit(opened) for _ in range(8)]] == ["wal"] * 8


def test_a_view_that_was_never_built_cannot_be_read(database: ViewDatabase) -> None:
    assert database.live("seen") is None
    with pytest.raises(NotLive), database.reading("seen"):
        pass


def test_rows_and_tracking_move_together(database: ViewDatabase) -> None:
    generation = made_live(database)
    assert database.apply("seen", generation, SHARD, [happened(1), happened(2)], 5) is True
    assert positions_in(database) == [1, 2]
    assert database.tracking("seen", generation, SHARD) == 5
    assert database.positions("seen", generation) == {SHARD: 5}


def test_a_batch_given_again_changes_nothing(database: ViewDatabase) -> None:
    generation = made_live(database)
    database.apply("seen", generation, SHARD, [happened(1), happened(2)], 2)
    digest = database.digest("seen", generation)
    assert database.apply("seen", generation, SHARD, [happened(1), happened(2)], 2) is False
    assert database.digest("seen", generation) == digest


def test_a_batch_that_overlaps_adds_only_what_is_new(database: ViewDatabase) -> None:
    generation = made_live(database)
    database.apply("seen", generation, SHARD, [happened(1), happened(2)], 2)
    assert database.apply("seen", generation, SHARD, [happened(2), happened(3)], 3) is True
    assert positions_in(database) == [1, 2, 3]


def test_types_that_the_view_passes_over_make_no_rows_but_move_tracking(database: ViewDatabase) -> None:
    generation = made_live(database)
    assert database.apply("seen", generation, SHARD, [happened(1, event_type=IGNORED)], 1) is True
    assert positions_in(database) == []
    assert database.tracking("seen", generation, SHARD) == 1


def test_a_failing_database_leaves_neither_rows_nor_tracking_and_parks_nothing(url: str) -> None:
    def fail(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
        write(connection, tables, batch)
        raise OperationalError("insert", {}, OSError("disk full"))

    opened = ViewDatabase(url, [a_view(apply=fail)])
    generation = made_live(opened)
    with pytest.raises(OperationalError):
        opened.apply("seen", generation, SHARD, [happened(1)], 1)
    assert (positions_in(opened), opened.tracking("seen", generation, SHARD), opened.parked("seen", generation)) == ([], 0, ())
    opened.close()


def test_an_event_that_cannot_be_taken_parks_its_stream_and_the_rest_goes_on(database: ViewDatabase) -> None:
    generation = made_live(database)
    batch = [
        happened(1, "incident-a"),
        happened(2, "incident-b"),
        happened(3, "incident-a", POISON),
        happened(4, "incident-a"),
        happened(5, "incident-b"),
    ]
    database.apply("seen", generation, SHARD, batch, 5)
    database.apply("seen", generation, SHARD, [happened(6, "incident-a"), happened(7, "incident-b")], 7)
    assert positions_in(database) == [1, 2, 5, 7]
    (parked,) = database.parked("seen", generation)
    assert (parked.stream, parked.position, parked.event_type, parked.reason_type) == ("incident-a", 3, POISON, "ValueError")
    assert parked.skipped == 2
    with database.reading("seen") as look:
        assert look.parked(SHARD, ["incident-a"]) == (parked,)
        assert look.parked(SHARD, ["incident-b"]) == ()
        assert look.parked("elsewhere") == ()


def test_an_unreadable_event_parks_its_stream_unless_its_type_is_ignored(database: ViewDatabase) -> None:
    generation = made_live(database)
    unreadable = Unreadable(stream="incident-a", position=1, event_type=FINE, reason_type="DecodeError")
    passed_over = Unreadable(stream="incident-b", position=2, event_type=IGNORED, reason_type="DecodeError")
    database.apply("seen", generation, SHARD, [unreadable, passed_over, happened(3, "incident-a"), happened(4, "incident-b")], 4)
    assert positions_in(database) == [4]
    assert [(one.stream, one.position, one.skipped) for one in database.parked("seen", generation)] == [("incident-a", 1, 1)]


def test_a_view_hears_of_every_event_that_it_handles_and_is_not_given(url: str) -> None:
    heard: list[tuple[str, int]] = []
    view = replace(a_view(), pass_over=lambda _connection, _tables, shard, item: heard.append((shard, item.position)))
    database = ViewDatabase(url, [view])
    generation = made_live(database)
    unreadable = Unreadable(stream="incident-b", position=4, event_type=FINE, reason_type="DecodeError")
    batch = [happened(1, "incident-a"), happened(2, "incident-a", POISON), happened(3, "incident-a"), unreadable, happened(5, "incident-c")]
    database.apply("seen", generation, SHARD, batch, 5)
    assert heard == [(SHARD, 2), (SHARD, 3), (SHARD, 4)]
    database.apply("seen", generation, SHARD, [happened(6, "incident-b"), happened(7, "incident-a", IGNORED)], 7)
    assert heard[3:] == [(SHARD, 6)]
    database.close()


@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([FINE, FINE, FINE, POISON, IGNORED])), max_size=14),
    cuts=st.lists(st.integers(0, 14), max_size=5),
)
def test_rows_and_parked_streams_are_the_same_however_the_log_is_cut(
    new_view_url: Callable[[], str], events: list[tuple[str, str]], cuts: list[int]
) -> None:
    database = ViewDatabase(new_view_url(), [a_view()])
    log = [happened(place, f"incident-{stream}", kind) for place, (stream, kind) in enumerate(events, start=1)]
    whole = made_live(database)
    database.apply("seen", whole, SHARD, log, len(log))
    pieces = database.begin_build("seen").generation
    bounds = [0, *sorted(cut for cut in cuts if cut <= len(log)), len(log)]
    for start, end in itertools.pairwise(bounds):
        database.apply("seen", pieces, SHARD, log[start:end], end)
    assert database.digest("seen", pieces) == database.digest("seen", whole)
    assert database.parked("seen", pieces) == database.parked("seen", whole)
    database.close()


def test_digests_differ_when_any_value_does(database: ViewDatabase) -> None:
    generation = made_live(database)
    database.apply("seen", generation, SHARD, [happened(1, "incident-a")], 1)
    other = database.begin_build("seen").generation
    database.apply("seen", other, SHARD, [happened(1, "incident-b")], 1)
    assert database.digest("seen", generation) != database.digest("seen", other)


def test_readers_keep_the_old_rows_while_a_generation_is_built_and_swapped(database: ViewDatabase) -> None:
    old = made_live(database)
    database.apply("seen", old, SHARD, [happened(1)], 1)
    built = database.begin_build("seen").generation
    database.apply("seen", built, SHARD, [happened(1), happened(2)], 2)
    assert positions_in(database) == [1]
    with database.reading("seen") as look:
        table = look.tables["seen"]
        before = look.connection.execute(select(table.c.position)).scalars().all()
        database.swap("seen", built)
        again = look.connection.execute(select(table.c.position)).scalars().all()
        assert (before, again, look.live.generation) == ([1], [1], old)
    live = database.live("seen")
    assert live is not None
    assert (live.generation, live.state, positions_in(database)) == (built, State.LIVE, [1, 2])


def test_a_swap_leaves_of_the_former_generation_what_is_tidied_away(database: ViewDatabase) -> None:
    old = made_live(database)
    database.apply("seen", old, SHARD, [happened(1, event_type=POISON)], 1)
    built = database.begin_build("seen").generation
    database.apply("seen", built, SHARD, [], 1)
    database.swap("seen", built)
    assert (database.positions("seen", old), database.parked("seen", old)) == ({}, ())
    database.tidy()
    with database.reader() as connection:
        names = [name for name in inspect(connection).get_table_names() if name.startswith("seen_g")]
    assert names == [f"seen_g{built}_seen"]


def test_reads_never_go_back_by_a_swap(database: ViewDatabase) -> None:
    old = made_live(database)
    database.apply("seen", old, SHARD, [happened(1), happened(2)], 2)
    built = database.begin_build("seen").generation
    database.apply("seen", built, SHARD, [happened(1)], 1)
    with pytest.raises(Behind, match="is at 1, the live one at 2"):
        database.swap("seen", built)


def test_only_a_generation_that_is_being_built_can_be_swapped_or_discarded(database: ViewDatabase) -> None:
    live = made_live(database)
    for act in (database.swap, database.discard):
        for generation in (live, live + 1):
            with pytest.raises(ValueError, match="is not being built"):
                act("seen", generation)


def test_a_discarded_build_is_gone(database: ViewDatabase) -> None:
    built = database.begin_build("seen").generation
    database.apply("seen", built, SHARD, [happened(1)], 1)
    database.discard("seen", built)
    assert database.building("seen") is None
    assert database.positions("seen", built) == {}


def test_nothing_is_applied_to_a_generation_that_is_gone(database: ViewDatabase) -> None:
    old = made_live(database)
    built = made_live(database)
    with pytest.raises(GenerationGone):
        database.apply("seen", old, SHARD, [happened(1)], 1)
    assert (built, database.positions("seen", old)) == (old + 1, {})


def test_an_interrupted_build_goes_on_where_it_was(url: str) -> None:
    first = ViewDatabase(url, [a_view()])
    built = first.begin_build("seen")
    first.apply("seen", built.generation, SHARD, [happened(1)], 1)
    first.close()
    second = ViewDatabase(url, [a_view()])
    again = second.begin_build("seen")
    assert (again.generation, second.tracking("seen", again.generation, SHARD)) == (built.generation, 1)
    second.close()


def test_another_version_is_built_beside_the_live_one_which_stays_readable(url: str) -> None:
    first = ViewDatabase(url, [a_view("1")])
    first.apply("seen", made_live(first), SHARD, [happened(1)], 1)
    first.begin_build("seen")
    first.close()
    second = ViewDatabase(url, [a_view("2")])
    assert (second.is_current("seen"), positions_in(second)) == (False, [1])
    built = second.begin_build("seen")
    assert (built.version, second.tracking("seen", built.generation, SHARD)) == ("2", 0)
    second.apply("seen", built.generation, SHARD, [happened(1), happened(2)], 2)
    second.swap("seen", built.generation)
    assert (second.is_current("seen"), positions_in(second)) == (True, [1, 2])
    second.close()


def test_rows_of_another_shape_are_not_read(url: str) -> None:
    first = ViewDatabase(url, [a_view("1")])
    made_live(first)
    first.close()
    second = ViewDatabase(url, [a_view("2", define_wider)])
    assert second.live("seen") is None
    built = second.begin_build("seen").generation
    second.swap("seen", built)
    live = second.live("seen")
    assert live is not None
    assert live.generation == built
    second.close()


def test_a_reader_waits_until_the_live_view_has_come_to_a_position(database: ViewDatabase) -> None:
    generation = made_live(database)
    assert database.wait_for("seen", SHARD, 1, timeout_seconds=0.01) is False
    writer = threading.Timer(0.05, lambda: database.apply("seen", generation, SHARD, [happened(1)], 1))
    writer.start()
    assert database.wait_for("seen", SHARD, 1, timeout_seconds=5) is True
    writer.join()


def test_readers_cannot_write(database: ViewDatabase) -> None:
    with pytest.raises(OperationalError, match=r"readonly|read-only transaction"), database.reader() as connection:
        connection.exec_driver_sql("DELETE FROM tracking")


def test_views_on_another_database_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="views lie on sqlite or postgresql, not on mysql"):
        ViewDatabase("mysql://localhost/views", [])


def test_instants_come_back_in_utc_to_the_microsecond_before_1970_too() -> None:
    column = Instant()
    moment = datetime(1931, 5, 6, 7, 8, 9, 10, tzinfo=timezone(timedelta(hours=2)))
    stored = column.process_bind_param(moment, None)  # type: ignore[arg-type]
    assert column.process_result_value(stored, None) == moment  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a zone"):
        column.process_bind_param(datetime(2024, 1, 1), None)  # type: ignore[arg-type]  # noqa: DTZ001


def check_writes_the_same(url: str, write_fast: Callable[[Connection, Tables, Sequence[Recorded]], None]) -> None:
    opened = ViewDatabase(url, [a_view("1")])
    slow = made_live(opened)
    opened.apply("seen", slow, SHARD, [happened(1), happened(2)], 2)
    digest = opened.digest("seen", slow)
    opened.close()
    again = ViewDatabase(url, [a_view("2", apply=write_fast)])
    fast = again.begin_build("seen").generation
    again.apply("seen", fast, SHARD, [happened(1), happened(2)], 2)
    assert again.digest("seen", fast) == digest
    assert again.parked("seen", fast) == ()
    again.close()


def test_many_rows_are_written_as_the_columns_have_them_and_a_missing_column_is_an_error(url: str) -> None:
    def write_fast(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
        rows = [
            {
                "shard": one.shard,
                "position": one.position,
                "stream": one.stream,
                "event_id": one.event_id,
                "recorded_at": one.recorded_at,
                "words": {"b": [1, None], "a": one.event_type},
            }
            for one in batch
        ]
        insert_rows(connection, tables["seen"], rows)
        insert_rows(connection, tables["seen"], [])
        with pytest.raises(KeyError):
            insert_rows(connection, tables["seen"], [{"shard": SHARD}])

    check_writes_the_same(url, write_fast)


def test_rows_by_place_are_written_as_rows_by_name_are_and_one_of_another_length_is_an_error(url: str) -> None:
    def write_fast(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
        words = [{"b": [1, None], "a": one.event_type} for one in batch]
        rows = [(one.shard, one.position, one.stream, one.event_id, one.recorded_at, said) for one, said in zip(batch, words, strict=True)]
        insert_tuples(connection, tables["seen"], rows)
        insert_tuples(connection, tables["seen"], [])
        with pytest.raises(ValueError, match="unpack"):
            insert_tuples(connection, tables["seen"], [rows[0][:-1]])

    check_writes_the_same(url, write_fast)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**64 - 1) | TEXTS,
    lambda inner: st.lists(inner | st.none()) | st.tuples(inner, inner) | st.dictionaries(TEXTS, inner | st.none()),
)


@given(VALUES)
def test_a_value_is_the_text_that_json_with_sorted_keys_makes_of_it(value: object) -> None:
    assert json_text(value) == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_every_character_is_written_as_json_writes_it() -> None:
    everything = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF)
    assert json_text(everything) == json.dumps(everything, ensure_ascii=False)


@pytest.mark.parametrize("value", [AT, AT.date(), b"x", {"a": {1}}, {1: "a"}], ids=repr)
def test_what_json_has_no_form_for_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        json_text(value)


def test_a_generation_gets_its_indexes_once_it_is_filled_but_those_that_its_projection_needs(url: str) -> None:
    def define(metadata: MetaData, prefix: str) -> Tables:
        table = Table(f"{prefix}entry", metadata, Column("position", Integer, primary_key=True), Column("kind", Text))
        Index(f"{prefix}needed", table.c.kind, table.c.position, info={WHILE_BUILDING: True})
        Index(f"{prefix}later", table.c.kind)
        return {"entry": table}

    def indexes() -> set[str | None]:
        with opened.reader() as connection:
            return {index["name"] for name in ("some_g1_entry", "some_g2_entry") for index in _indexes_of(connection, name)}

    view = View(name="some", version="1", define=define, handles=frozenset(), ignores=frozenset(), apply=lambda *_: None)
    opened = ViewDatabase(url, [view])
    first = opened.begin_build("some").generation
    assert indexes() == {"some_g1_needed"}
    opened.swap("some", first)
    assert indexes() == {"some_g1_needed", "some_g1_later"}
    second = opened.begin_build("some").generation
    for _ in range(2):
        opened.index("some", second)
    assert indexes() == {"some_g1_needed", "some_g1_later", "some_g2_needed", "some_g2_later"}
    opened.swap("some", second)
    opened.tidy()
    assert indexes() == {"some_g2_needed", "some_g2_later"}
    with pytest.raises(GenerationGone):
        opened.index("some", first)
    opened.close()


def _indexes_of(connection: Connection, table: str) -> list[ReflectedIndex]:
    found = inspect(connection)
    return found.get_indexes(table) if found.has_table(table) else []
