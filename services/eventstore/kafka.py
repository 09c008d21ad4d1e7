"""The event store on Apache Kafka: a topic orders, the fold decides; and eventsourcing's factory on top."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final

import structlog
from kafka import TopicPartition
from kafka import errors as kafka_errors

from services.eventstore import library, topic
from services.eventstore.arrivals import Arrivals
from services.eventstore.brokers import FETCH_SECONDS, MILLISECONDS, TOPIC, Kafka, words
from services.eventstore.cluster import ClusterEventStore
from services.eventstore.follower import ALONE, Member, Report, silent
from services.eventstore.log import ASK_MAX_SECONDS, LogRecord, NotThere
from services.runtime.errors import IntegrityError, Unavailable

LOOK_MAX_SECONDS: Final = 1.0
"""For a partition that the brokers do not all know of yet."""
ASK_AGAIN_SECONDS: Final = 0.2
"""Before a question is asked again that nobody answered: meanwhile the client learns who leads instead of a broker that has just died."""
CLOSE_SECONDS: Final = 1.0
CLOSE_MAX_SECONDS: Final = 5.0
FETCH_MAX_RECORDS: Final = 1_000
READ_AHEAD_MAX_BYTES: Final = 8 * 1024 * 1024
FETCH_PAUSE_SECONDS: Final = 0.05
"""Between two fetches while these bring only what the acknowledgements told before. For so long another node's record may go unseen, if
nothing that this node writes comes to lie behind it, and nobody asks for the log's end."""

_log = structlog.get_logger(__name__)


class KafkaLog:
    """A topic as the log that a node follows; what the node itself writes comes to it by the acknowledgement, without a fetch."""

    def __init__(self, kafka: Kafka) -> None:
        """Connect; raise ``Unavailable`` if no broker answers, or the topic does not exist."""
        self._kafka = kafka
        self._topic = kafka.topic
        self._asking_lock = threading.Lock()
        self._arriving = threading.Lock()
        """Held to touch what of the log has come and is to come."""
        self._arrived = threading.Condition(self._arriving)
        self._may_fetch = threading.Condition(self._arriving)
        self._arrivals = Arrivals(READ_AHEAD_MAX_BYTES)
        self._offsets: Mapping[int, int] = {}
        self._follows = 0
        """How often it was said what to follow: what was fetched for an earlier time is not wanted any more."""
        self._failure: Exception | None = None
        self._is_awaited = False
        """Somebody asked for the end, and waits for what has not come yet."""
        self._must_ask_anew = False
        self._is_fit = True
        """Whether the consumer is to be used any more."""
        self._is_closed = False
        self._sent_to: set[int] = set()
        with ExitStack() as undoing:
            self._producer = kafka.producer()
            undoing.callback(self._producer.close, timeout=CLOSE_SECONDS)
            self._consumer = kafka.consumer()
            undoing.callback(self._consumer.close)
            self._asking = kafka.consumer()
            undoing.callback(self._asking.close)
            if not self._ask(lambda _: self._asking.partitions_for_topic(self._topic), ASK_MAX_SECONDS):
                raise topic.missing(self._topic)
            undoing.pop_all()
        self._fetching = threading.Thread(target=self._fetch, name="eventstore-fetching", daemon=True)
        self._fetching.start()

    def send(self, partition: int, key: bytes, value: bytes, failed: Callable[[Exception], None]) -> None:
        """Hand a record over; ``failed`` is called, from any thread, when its outcome is unknown."""
        try:
            if partition not in self._sent_to:
                self._look_for(partition)
            sent = self._producer.send(self._topic, value=value, key=key, partition=partition)
        except kafka_errors.KafkaError as error:
            raise Unavailable(f"Kafka takes no record: {words(error)}") from error
        sent.add_callback(self._acknowledged, value)
        sent.add_errback(failed)

    def follow(self, offsets: Mapping[int, int]) -> None:
        """Read these partitions from now on, each from the given offset."""
        with self._arriving:
            self._arrivals.follow(offsets)
            self._offsets = dict(offsets)
            self._follows += 1
            if not isinstance(self._failure, IntegrityError):  # what contradicts this node does so wherever it reads on
                self._failure = None
            self._may_fetch.notify()

    def poll(self, seconds: float, most: int) -> Sequence[LogRecord]:
        """Return what came, in offset order in each partition."""
        with self._arriving:
            self._arrived.wait_for(lambda: self._arrivals.is_ready or self._failure is not None or self._is_closed, seconds)
            if isinstance(self._failure, IntegrityError):
                contradiction, self._failure = self._failure, None
                self._may_fetch.notify()
                raise contradiction
            if not (self._is_closed or self._fetching.is_alive()):
                raise IntegrityError("what fetches the log has ended")
            is_fetching = self._failure is None and not self._arrivals.is_full
            records = self._arrivals.take(most)
            failure = None
            if not records:
                failure, self._failure = self._failure, None
            if not is_fetching:
                self._may_fetch.notify()
        if failure is not None:
            raise failure
        return records

    def end(self, partition: int, seconds: float) -> int:
        """Return the offset behind the partition's last record; raise ``Unavailable`` without an answer in time."""
        place = TopicPartition(self._topic, partition)
        end: int = self._ask(lambda timeout_ms: self._asking.end_offsets([place], timeout_ms=timeout_ms)[place], seconds)
        with self._arriving:
            if self._arrivals.lacks(partition, end):
                self._is_awaited = True
                self._may_fetch.notify()
        return end

    def look_anew(self) -> None:
        """Read and ask with new clients, which ask any broker who leads."""
        self._is_fit, self._must_ask_anew = False, True

    def partitions(self) -> int:
        """Return how many partitions the topic has; raise ``Unavailable`` without an answer in time."""
        return topic.partitions_of(self._kafka)

    def widen(self, partitions: int) -> None:
        """Add partitions to the topic, up to so many; raise ``Unavailable`` if Kafka does not, or does not let this node."""
        topic.widen(self._kafka, partitions)

    def close(self) -> None:
        """Close the clients; idempotent."""
        with self._arriving:
            self._is_closed = True
            self._arrived.notify()
            self._may_fetch.notify()
        self._fetching.join(CLOSE_SECONDS)
        # Each ends a thread of the client's, and waits for that without a deadline: one that does not end must not keep this node from it.
        closing = [
            threading.Thread(target=close, name="eventstore-closing", daemon=True)
            for close in (partial(self._producer.close, timeout=CLOSE_SECONDS), self._consumer.close, self._close_asking)
        ]
        for thread in closing:
            thread.start()
        deadline = monotonic() + CLOSE_MAX_SECONDS
        for thread in closing:
            thread.join(max(deadline - monotonic(), 0.0))
        if any(thread.is_alive() for thread in closing):
            _log.warning("eventstore.client_not_closed")

    def _close_asking(self) -> None:
        """Close the client that questions are asked with, once the last one is answered."""
        with self._asking_lock:
            self._asking.close()

    def _look_for(self, partition: int) -> None:
        """Have the producer know a partition, also one added a moment ago; raise ``Unavailable`` if there is none."""
        deadline = monotonic() + LOOK_MAX_SECONDS
        while partition not in self._producer.partitions_for(self._topic):
            left = deadline - monotonic()
            if left <= 0:
                raise Unavailable(f"topic {self._topic!r} has no partition {partition}")
            looked = threading.Event()
            # The client has no other way to have it look again before metadata_max_age_ms is over.
            self._producer._metadata.request_update().add_both(lambda _, looked=looked: looked.set())  # noqa: SLF001
            looked.wait(left)
        self._sent_to.add(partition)

    def _acknowledged(self, value: bytes, taken: Any) -> None:
        """Take note, on the producer's thread, that a record is on the log: all replicas in sync have it, so a fetch would give it too."""
        with self._arriving:
            # Where fetching fails, what it says comes first: the log may not be the one that acknowledged before.
            if self._failure is None:
                self._arrivals.acknowledged(LogRecord(taken.partition, taken.offset, taken.timestamp, value))
            if self._arrivals.is_ready:
                self._arrived.notify()
            if self._arrivals.has_gap:
                self._may_fetch.notify()

    def _fetch(self) -> None:
        """Fetch until closed; the only thread that touches the consumer until then."""
        followed = 0
        while True:
            with self._arriving:
                while not (self._is_closed or (self._follows and self._failure is None and not self._arrivals.is_full)):
                    self._may_fetch.wait(FETCH_SECONDS)
                if self._is_closed:
                    return
                follows, offsets, self._is_awaited = self._follows, self._offsets, False
                is_fit = self._is_fit
            records: list[LogRecord] = []
            failure: Exception | None = None
            try:
                if not is_fit:
                    self._renew_consumer()
                    followed = 0
                if follows != followed:
                    self._assign(offsets)
                    followed = follows
                records = self._fetched()
            except Exception as error:  # noqa: BLE001  whoever polls must hear it, not the thread's end
                failure = error
                # A client that met a batch it cannot read never ends its next poll (kafka-python 3.0.12).
                self._is_fit = False
            self._arrive(follows, records, failure)

    def _arrive(self, follows: int, records: list[LogRecord], failure: Exception | None) -> None:
        """Hand on what a fetch brought, unless other is followed by now; pause when it was known."""
        with self._arriving:
            if follows != self._follows:
                return
            is_any_new = True
            try:
                is_any_new = self._arrivals.fetched(records)
            except IntegrityError as error:
                failure = error
            self._failure = failure
            if self._arrivals.is_ready or failure is not None:
                self._arrived.notify()
            if records and not is_any_new:
                self._may_fetch.wait_for(lambda: self._is_urgent(follows), FETCH_PAUSE_SECONDS)

    def _is_urgent(self, follows: int) -> bool:
        """Tell whether there is to be no pause in fetching."""
        return self._is_closed or self._is_awaited or follows != self._follows or self._arrivals.has_gap

    def _renew_consumer(self) -> None:
        """Read with a new client; raise ``Unavailable`` if no broker answers. What it reads again is known by its offset."""
        self._is_fit = True
        try:
            used, self._consumer = self._consumer, self._kafka.consumer()
        except Unavailable:
            self._is_fit = False
            raise
        used.close()

    def _assign(self, offsets: Mapping[int, int]) -> None:
        """Tell the consumer what to read."""
        self._consumer.assign([TopicPartition(self._topic, partition) for partition in offsets])
        for partition, offset in offsets.items():
            self._consumer.seek(TopicPartition(self._topic, partition), offset)

    def _fetched(self) -> list[LogRecord]:
        """Return what the consumer has within ``FETCH_SECONDS``, in offset order in each partition."""
        try:
            polled = self._consumer.poll(timeout_ms=int(FETCH_SECONDS * MILLISECONDS), max_records=FETCH_MAX_RECORDS)
        except (kafka_errors.OffsetOutOfRangeError, kafka_errors.NoOffsetForPartitionError, kafka_errors.LogTruncationError) as error:
            raise NotThere(words(error), _partition_in(error)) from error
        except kafka_errors.KafkaError as error:
            raise Unavailable(f"Kafka does not answer: {words(error)}") from error
        return [
            LogRecord(place.partition, record.offset, record.timestamp, record.value or b"")
            for place, records in polled.items()
            for record in records
        ]

    def _ask(self, question: Callable[[int], Any], seconds: float) -> Any:
        """Ask the brokers something, one question at a time."""
        deadline = monotonic() + seconds
        if not self._asking_lock.acquire(timeout=seconds):
            raise Unavailable(f"Kafka does not answer within {seconds} s")
        try:
            if self._is_closed:
                raise Unavailable("the log is closed")
            if self._must_ask_anew:
                used, self._asking = self._asking, self._kafka.consumer(max(deadline - monotonic(), 0.0))
                self._must_ask_anew = False
                used.close()
            return self._asked(question, deadline)
        except (kafka_errors.KafkaError, OSError) as error:
            raise Unavailable(f"Kafka does not answer: {words(error)}") from error
        finally:
            self._asking_lock.release()

    def _asked(self, question: Callable[[int], Any], deadline: float) -> Any:
        """Return the answer, asking again where a broker that has just died is to be asked no more."""
        while True:
            try:
                return question(max(int((deadline - monotonic()) * MILLISECONDS), 1))
            except kafka_errors.KafkaError as error:
                if not error.retriable or self._is_closed or monotonic() + ASK_AGAIN_SECONDS > deadline:
                    raise
                sleep(ASK_AGAIN_SECONDS)


def open_store(path: Path, kafka: Kafka, *, root: str, member: Member = ALONE, report: Report = silent) -> ClusterEventStore:
    """Open or create a node's file and follow the topic; ``root``: the shard of partition 0. ``report`` is told how far it has come.

    Raises ``Unavailable`` while another process writes the file or no broker answers, ``IntegrityError`` if the file is not sound or not
    of this log.
    """
    return ClusterEventStore(path, KafkaLog(kafka), root=root, member=member, report=report)


def holds_records(kafka: Kafka) -> bool:
    """Tell whether anything was ever written to the topic's first partition, with which every log begins."""
    with closing(KafkaLog(kafka)) as log:
        return log.end(0, ASK_MAX_SECONDS) > 0


def _partition_in(error: Exception) -> int | None:
    """Return the partition that a client's error speaks of, if it tells."""
    told = error.args[0] if error.args else None
    return next((place.partition for place in told if isinstance(place, TopicPartition)), None) if isinstance(told, dict) else None


class KafkaFactory(library.StoreFactory):
    """eventsourcing on Kafka: ``PERSISTENCE_MODULE=services.eventstore.kafka``.

    ``KAFKA_BOOTSTRAP``: brokers as host:port, separated by commas (required). ``KAFKA_TOPIC``: default ``hub.events.v1``; it must exist,
    and keep its records as ``check_topic`` demands. The shard lies in partition 0.
    """

    KAFKA_BOOTSTRAP = "KAFKA_BOOTSTRAP"
    KAFKA_TOPIC = "KAFKA_TOPIC"

    def open_store(self, path: Path) -> ClusterEventStore:
        """Open the store whose state lies in this file."""
        bootstrap = tuple(self.required(self.KAFKA_BOOTSTRAP, "Kafka broker").split(","))
        kafka = Kafka(bootstrap=bootstrap, topic=self.env.get(self.KAFKA_TOPIC) or TOPIC)
        topic.check_topic(kafka)
        return open_store(path, kafka, root=self.env.get(self.EVENTSTORE_SHARD) or library.DEFAULT_SHARD)
