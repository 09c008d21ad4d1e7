"""A topic of a real Kafka as the log that a node follows: by acknowledgements, by fetches, and by both at once."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from kafka.errors import KafkaConnectionError
from kafka.record import util as record_util

from services.eventstore import kafka as kafka_module
from services.eventstore.brokers import Kafka
from services.eventstore.kafka import KafkaLog
from services.eventstore.log import LogRecord, NotThere
from services.eventstore.topic import make_topic
from services.runtime.errors import Unavailable
from tests.support.kafka import a_topic

WITHIN_SECONDS = 30.0
SOME = 300


class Unfetched(KafkaLog):
    """Fetches nothing: what it gives was acknowledged."""

    def _fetched(self) -> list[LogRecord]:
        time.sleep(0.01)
        return []


class Logs:
    """Opens logs of one topic, and closes them all."""

    def __init__(self, kafka: Kafka, undoing: ExitStack) -> None:
        self.kafka = kafka
        self._undoing = undoing

    def open(self, kind: type[KafkaLog] = KafkaLog, **offsets: int) -> KafkaLog:
        log = kind(self.kafka)
        self._undoing.callback(log.close)
        log.follow({int(partition.removeprefix("p")): offset for partition, offset in offsets.items()})
        return log


@pytest.fixture
def logs(kafka_bootstrap: str) -> Iterator[Logs]:
    with ExitStack() as undoing:
        yield Logs(Kafka(bootstrap=tuple(kafka_bootstrap.split(",")), topic=a_topic(kafka_bootstrap)), undoing)


def never(error: Exception) -> None:
    raise AssertionError(error)


def write(log: KafkaLog, name: str, records: int = SOME, partition: int = 0) -> None:
    for number in range(records):
        log.send(partition, b"key", f"{name} {number} ".encode() * (number % 50 + 1), never)


def read(log: KafkaLog, records: int) -> list[LogRecord]:
    found: list[LogRecord] = []
    deadline = time.monotonic() + WITHIN_SECONDS
    while len(found) < records and time.monotonic() < deadline:
        found += log.poll(0.1, 70)
    return found


def test_checksums_are_not_computed_in_python() -> None:
    """That would take most of the time of a node on Kafka; the client does it without a word where the package ``crc32c`` is missing."""
    assert record_util.crc32c_c is not None


def test_what_an_acknowledgement_says_is_what_a_fetch_brings(logs: Logs) -> None:
    writing = logs.open(Unfetched, p0=0)
    write(writing, "one")
    acknowledged = read(writing, SOME)
    assert [record.offset for record in acknowledged] == list(range(SOME))
    assert len({record.timestamp_ms for record in acknowledged}) < SOME  # Some went together, and have one timestamp.
    assert acknowledged == read(logs.open(p0=0), SOME)


def test_what_two_nodes_write_at_once_comes_to_both_in_the_order_of_the_log(logs: Logs) -> None:
    both = [logs.open(p0=0), logs.open(p0=0)]
    with ThreadPoolExecutor() as pool:
        for log, name in zip(both, ("one", "other"), strict=True):
            pool.submit(write, log, name)
        came = list(pool.map(lambda log: read(log, 2 * SOME), both))
    assert came[0] == came[1]
    assert [record.offset for record in came[0]] == list(range(2 * SOME))


def test_behind_another_nodes_record_a_node_waits_for_the_fetch(logs: Logs) -> None:
    log = logs.open(Unfetched, p0=0)
    write(logs.open(), "other", 1)
    while log.end(0, WITHIN_SECONDS) < 1:
        time.sleep(0.01)
    write(log, "own", 1)
    while log.end(0, WITHIN_SECONDS) < 2:
        time.sleep(0.01)
    assert log.poll(0.2, 10) == []


def test_whoever_follows_again_reads_again_from_there(logs: Logs) -> None:
    log = logs.open(p0=0)
    write(log, "one", 20)
    first = read(log, 20)
    log.follow({0: 5})
    assert read(log, 15) == first[5:]


def test_a_partition_that_was_added_a_moment_ago_is_written_and_read_at_once(logs: Logs) -> None:
    log = logs.open(p0=0)
    write(log, "one", 1)
    make_topic(logs.kafka, partitions=2, replication=1)
    log.follow({0: 1, 1: 0})
    write(log, "new", 2, partition=1)
    assert [(record.partition, record.offset) for record in read(log, 2)] == [(1, 0), (1, 1)]
    with pytest.raises(Unavailable, match="has no partition 2"):
        write(log, "none", 1, partition=2)


def test_whoever_polls_hears_that_there_is_nothing_at_the_offset_to_be_read_next(logs: Logs) -> None:
    log = logs.open(p0=3)
    with pytest.raises(NotThere, match="OffsetOutOfRangeError"):
        read(log, 1)
    log.follow({0: 0})
    write(log, "one", 1)
    assert len(read(log, 1)) == 1


def test_a_topic_that_is_not_there_cannot_be_followed(logs: Logs) -> None:
    with pytest.raises(Unavailable, match="does not exist; make it with: hub kafka init"):
        KafkaLog(Kafka(bootstrap=logs.kafka.bootstrap, topic="hub.events.test.none"))


def test_what_a_broker_does_not_answer_that_has_just_died_is_asked_again(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    log = logs.open(p0=0)
    answer, refusals = log._asking.end_offsets, iter(range(2))

    def asked(*places: object, **options: object) -> object:
        if next(refusals, None) is not None:
            raise KafkaConnectionError("111 ECONNREFUSED")
        return answer(*places, **options)

    monkeypatch.setattr(log._asking, "end_offsets", asked)
    assert log.end(0, WITHIN_SECONDS) == 0
    refusals = itertools.repeat(0)
    with pytest.raises(Unavailable, match="ECONNREFUSED"):
        log.end(0, 0.3)


def test_a_client_that_does_not_close_keeps_no_node_from_its_end(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    log = logs.open(p0=0)
    monkeypatch.setattr(kafka_module, "CLOSE_MAX_SECONDS", 0.2)
    for_ever = threading.Event()
    consumer = log._consumer
    close = consumer.close
    monkeypatch.setattr(consumer, "close", for_ever.wait)
    log.close()
    for_ever.set()
    close()
