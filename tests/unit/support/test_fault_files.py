"""Two nodes' files are compared row by row, whatever numbers they give to shards and streams; and a time without service is measured."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from services.eventstore.frame import Genesis
from services.eventstore.local import LocalEventStore
from tests.support.appends import an_append, an_event
from tests.support.fault_clients import Acknowledgements
from tests.support.fault_files import differences, rows_of

SECOND_NS = 1_000_000_000


def a_file(path: Path, streams: Sequence[str]) -> Path:
    with closing(LocalEventStore(path, clock=lambda: 1_000)) as store:
        store._sequencer.propose("north", b"g" * 16, Genesis("north", 1, (1,))).result(5)
        for stream in streams:
            store.shard("north").append(an_append(stream, an_event(stream, 1))).result(5)
    return path


def test_files_that_say_the_same_do_not_differ(tmp_path: Path) -> None:
    one, other = (a_file(tmp_path / name, ("x", "y")) for name in ("one", "other"))
    with closing(sqlite3.connect(other)) as connection:
        connection.executescript("UPDATE stream SET number = number + 10; UPDATE event SET stream_number = stream_number + 10")
    assert differences([rows_of(one), rows_of(other)]) == []


@pytest.mark.parametrize(
    ("statement", "table"),
    [
        ("UPDATE event SET state = X'00' WHERE version = 1", "event"),
        ("UPDATE event SET header_hash = zeroblob(32)", "event"),
        ("DELETE FROM append WHERE append_id = (SELECT min(append_id) FROM append)", "append"),
        ("UPDATE append SET result = X'00'", "append"),
        ("UPDATE shard SET digest = zeroblob(32)", "shard"),
        ("UPDATE shard SET next_offset = next_offset + 1", "shard"),
        ("INSERT INTO revoked VALUES (1, 'key', 1)", "revoked"),
        ("INSERT INTO tracking VALUES (1, 'view', 1)", "tracking"),
        ("INSERT INTO stream VALUES (1, 'z', 9)", "stream"),
    ],
)
def test_a_row_that_differs_is_named(tmp_path: Path, statement: str, table: str) -> None:
    one, other = (a_file(tmp_path / name, ("x", "y")) for name in ("one", "other"))
    with closing(sqlite3.connect(other)) as connection:
        connection.execute(statement)
        connection.commit()
    (found,) = differences([rows_of(one), rows_of(other)])
    assert found.startswith(f"file 1 differs from file 0 in {table} from row ")


def test_the_time_without_service_is_the_longest_between_two_acknowledgements_from_the_fault_on() -> None:
    given = [(second * SECOND_NS, node) for second, node in ((1, "a"), (5, "a"), (6, "b"), (7, "b"), (9, "a"), (10, "b"))]
    acknowledgements = Acknowledgements(given)
    assert acknowledgements.longest_seconds(since_ns=6 * SECOND_NS) == 2.0
    assert acknowledgements.longest_seconds(since_ns=6 * SECOND_NS, through="a") == 4.0
    assert acknowledgements.longest_seconds(since_ns=6 * SECOND_NS, through="c") == 0.0
