"""What was acknowledged and what was fetched, merged: in whatever order it comes, each record once, in the order of the log."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.eventstore.arrivals import Arrivals
from services.eventstore.log import LogRecord
from services.runtime.errors import IntegrityError

ROOM_BYTES = 1_000_000


def a_record(offset: int, partition: int = 0, *, value: bytes = b"value", timestamp_ms: int = 5) -> LogRecord:
    return LogRecord(partition, offset, timestamp_ms, value)


def following(*offsets: int, max_bytes: int = ROOM_BYTES) -> Arrivals:
    """Follow partitions 0, 1 … each from its offset."""
    arrivals = Arrivals(max_bytes)
    arrivals.follow(dict(enumerate(offsets)))
    return arrivals


@dataclass
class Logs:
    """Logs that were written before: of each, which offsets are this node's own, and how far it was fetched."""

    arrivals: Arrivals
    records: list[list[LogRecord]]
    begins: list[int]
    fetched: list[int] = field(default_factory=list)
    taken: list[LogRecord] = field(default_factory=list)

    def fetch(self, partition: int, most: int) -> None:
        at = self.fetched[partition]
        came = self.records[partition][at : at + most]
        self.fetched[partition] = at + len(came)
        self.arrivals.fetched(came)

    def finish(self) -> None:
        for partition, records in enumerate(self.records):
            while self.fetched[partition] < len(records):
                self.fetch(partition, 3)
                self.taken += self.arrivals.take(2)
        while self.arrivals.is_ready:
            self.taken += self.arrivals.take(1)


@given(data=st.data(), max_bytes=st.sampled_from((0, 6, 40, ROOM_BYTES)))
def test_in_whatever_order_records_are_acknowledged_and_fetched_each_is_handed_on_once_in_order(
    data: st.DataObject, max_bytes: int
) -> None:
    lengths = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=3))
    records = [
        [a_record(offset, partition, timestamp_ms=offset // 3) for offset in range(length)] for partition, length in enumerate(lengths)
    ]
    begins = [data.draw(st.integers(0, length)) for length in lengths]
    logs = Logs(following(*begins, max_bytes=max_bytes), records, begins, fetched=list(begins))
    own = data.draw(st.permutations([record for each in records for record in each if data.draw(st.booleans())]))
    steps = data.draw(st.permutations([*own, *[(partition, size) for partition in range(len(lengths)) for size in (1, 2, 5)]]))
    for step in steps:
        if isinstance(step, LogRecord):
            logs.arrivals.acknowledged(step)
        else:
            logs.fetch(*step)
        logs.taken += logs.arrivals.take(data.draw(st.integers(0, 3)))
    logs.finish()
    for partition, begin in enumerate(begins):
        assert [record for record in logs.taken if record.partition == partition] == records[partition][begin:]
    assert not logs.arrivals.has_gap


def test_an_acknowledged_record_that_comes_next_is_ready_without_a_fetch() -> None:
    arrivals = following(7)
    arrivals.acknowledged(a_record(7))
    assert arrivals.take(10) == [a_record(7)]
    assert arrivals.fetched([a_record(7)]) is False
    assert not arrivals.is_ready


def test_behind_a_gap_an_acknowledged_record_waits_for_the_fetch() -> None:
    arrivals = following(7)
    arrivals.acknowledged(a_record(8))
    arrivals.acknowledged(a_record(10))
    assert (arrivals.is_ready, arrivals.has_gap) == (False, True)
    assert arrivals.fetched([a_record(7)]) is True
    assert arrivals.take(10) == [a_record(7), a_record(8)]
    assert arrivals.has_gap
    arrivals.fetched([a_record(8), a_record(9)])
    assert (arrivals.take(10), arrivals.has_gap) == ([a_record(9), a_record(10)], False)


@pytest.mark.parametrize("fetched", [a_record(7, value=b"other"), a_record(7, timestamp_ms=6)])
def test_a_log_that_holds_another_record_than_it_acknowledged_is_refused(fetched: LogRecord) -> None:
    arrivals = following(7)
    arrivals.acknowledged(a_record(7))
    with pytest.raises(IntegrityError, match="another record at offset 7 of partition 0 than it acknowledged"):
        arrivals.fetched([fetched])


def test_a_gap_in_the_log_itself_is_handed_on_for_the_fold_to_refuse() -> None:
    arrivals = following(7)
    arrivals.fetched([a_record(9)])
    assert arrivals.take(10) == [a_record(9)]


def test_what_is_not_followed_or_lies_before_is_left_out() -> None:
    arrivals = following(7)
    arrivals.acknowledged(a_record(3))
    arrivals.acknowledged(a_record(0, partition=1))
    arrivals.fetched([a_record(3), a_record(0, partition=1)])
    assert (arrivals.is_ready, arrivals.has_gap) == (False, False)


def test_when_something_else_is_followed_all_that_came_before_is_forgotten() -> None:
    arrivals = following(7)
    arrivals.acknowledged(a_record(7))
    arrivals.acknowledged(a_record(9))
    arrivals.follow({0: 5})
    assert (arrivals.is_ready, arrivals.has_gap) == (False, False)
    arrivals.fetched([a_record(5), a_record(6), a_record(7, value=b"never acknowledged")])
    assert len(arrivals.take(10)) == 3


def test_without_room_an_acknowledgement_is_dropped_and_the_fetch_brings_the_record() -> None:
    arrivals = following(0, max_bytes=8)
    for offset in range(4):
        arrivals.acknowledged(a_record(offset))
    assert arrivals.is_full
    assert arrivals.take(10) == [a_record(0), a_record(1)]
    assert not arrivals.is_full
    arrivals.acknowledged(a_record(4))  # Of what was acknowledged, two wait to be fetched still.
    assert not arrivals.has_gap
    arrivals.fetched([a_record(offset) for offset in range(5)])
    assert arrivals.take(10) == [a_record(2), a_record(3), a_record(4)]
    arrivals.acknowledged(a_record(5))
    assert arrivals.take(10) == [a_record(5)]


@pytest.mark.parametrize(("partition", "end", "lacks"), [(0, 7, False), (0, 8, True), (1, 8, False)])
def test_it_knows_whether_a_followed_partition_has_come_to_its_end(partition: int, end: int, *, lacks: bool) -> None:
    assert following(7).lacks(partition, end) is lacks
