from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, Text, select
from sqlalchemy.exc import OperationalError

from domain.kernel.events import Recorded
from projections.kernel.database import GenerationGone, Move, ViewDatabase
from projections.kernel.rows import insert_rows
from projections.kernel.view import Tables, View
from tests.support.small_events import FINE, SHARD, happened

POISON, LOST = "poison.v1", "lost.v1"
A, B = "incident-a", "incident-b"


def define(metadata: MetaData, prefix: str) -> Tables:
    columns = (
        Column("shard", Text, primary_key=True),
        Column("position", BigInteger, primary_key=True, autoincrement=False),
    )
    return {"seen": Table(f"{prefix}seen", metadata, *columns)}


def write(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
    insert_rows(connection, tables["seen"], [{"shard": one.shard, "position": one.position} for one in batch])


def write_but_no_poison(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
    write(connection, tables, batch)
    if any(one.event_type == POISON for one in batch):
        raise ValueError("cannot take it")
    if any(one.event_type == LOST for one in batch):
        raise OperationalError("insert", {}, OSError("disk full"))


def a_view(name: str, handles: frozenset[str] = frozenset({FINE, POISON, LOST})) -> View:
    apply = write_but_no_poison if name == "delicate" else write
    return View(name=name, version="1", define=define, handles=handles, ignores=frozenset(), apply=apply)


@pytest.fixture
def database(view_url: str) -> Iterator[ViewDatabase]:
    opened = ViewDatabase(view_url, [a_view("robust"), a_view("delicate")])
    for view in opened.views:
        opened.swap(view.name, opened.begin_build(view.name).generation)
    yield opened
    opened.close()


LIVE = {"robust": 1, "delicate": 1}


def seen(database: ViewDatabase, view: str) -> list[int]:
    with database.reading(view) as look:
        return list(look.connection.execute(select(look.tables["seen"].c.position)).scalars())


def test_a_batch_reaches_all_views_and_each_says_so(database: ViewDatabase) -> None:
    heard: list[Move] = []
    database.listen(heard.append)
    assert database.apply_together(LIVE, SHARD, [happened(1, A), happened(2, B)], 3) == {"robust", "delicate"}
    assert {view: (seen(database, view), database.positions(view, 1)) for view in LIVE} == {view: ([1, 2], {SHARD: 3}) for view in LIVE}
    assert sorted((move.view, move.position, move.changed) for move in heard) == [("delicate", 3, True), ("robust", 3, True)]


def test_a_view_that_is_ahead_is_left_as_it_is(database: ViewDatabase) -> None:
    database.apply("robust", 1, SHARD, [happened(1, A)], 2)
    assert database.apply_together(LIVE, SHARD, [happened(1, A)], 2) == {"delicate"}
    assert database.apply_together(LIVE, SHARD, [happened(1, A), happened(3, A)], 3) == {"robust", "delicate"}
    assert [seen(database, view) for view in LIVE] == [[1, 3], [1, 3]]


def test_what_one_view_cannot_take_is_parked_there_alone(database: ViewDatabase) -> None:
    batch = [happened(1, A), happened(2, A, POISON), happened(3, B), happened(4, A)]
    assert database.apply_together(LIVE, SHARD, batch, 4) == {"robust", "delicate"}
    assert (seen(database, "robust"), seen(database, "delicate")) == ([1, 2, 3, 4], [1, 3])
    assert database.parked("robust", 1) == ()
    (parked,) = database.parked("delicate", 1)
    assert (parked.stream, parked.position, parked.reason_type, parked.skipped) == (A, 2, "ValueError", 1)
    database.apply_together(LIVE, SHARD, [happened(5, A), happened(6, B)], 6)
    assert (seen(database, "robust"), seen(database, "delicate")) == ([1, 2, 3, 4, 5, 6], [1, 3, 6])


def test_where_the_database_fails_no_view_has_moved(database: ViewDatabase) -> None:
    with pytest.raises(OperationalError):
        database.apply_together(LIVE, SHARD, [happened(1, A), happened(2, A, LOST)], 2)
    assert [(seen(database, view), database.positions(view, 1), database.parked(view, 1)) for view in LIVE] == [([], {}, ())] * 2


def test_where_one_generation_is_gone_no_view_has_moved(database: ViewDatabase) -> None:
    with pytest.raises(GenerationGone):
        database.apply_together({"robust": 1, "delicate": 7}, SHARD, [happened(1, A)], 1)
    assert (seen(database, "robust"), database.positions("robust", 1)) == ([], {})
