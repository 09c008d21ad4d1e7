"""The event store on Apache Kafka: a topic orders, the fold decides; and eventsourcing's factory on top.

The only file beside the composition root that knows the Kafka client.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType

from services.eventstore import library
from services.eventstore.cluster import ClusterEventStore
from services.eventstore.log import ASK_MAX_SECONDS, LogRecord
from services.runtime.errors import IntegrityError, Unavailable
from services.runtime.limits import RECORD_MAX_BYTES

TOPIC: Final = "hub.events.v1"
SEND_MAX_SECONDS: Final = 10.0
_MILLISECONDS: Final = 1_000
_BOOTSTRAP_MS: Final = int(ASK_MAX_SECONDS * _MILLISECONDS)

KEPT_FOR_EVER: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
    "unclean.leader.election.enable": "false",
    "max.message.bytes": str(RECORD_MAX_BYTES + 64 * 1024),
}
"""What the topic must be set to: it is the evidence, so nothing of it expires, is compacted or dates itself."""

# No idempotence and no transactions: kafka-python's idempotent producer can hang for good after a delivery timeout, and the fold removes
# duplicates by append id (docs/adr/0003).
_PRODUCER: Final[Mapping[str, Any]] = {
    "acks": "all",
    "enable_idempotence": False,
    "delivery_timeout_ms": int(SEND_MAX_SECONDS * _MILLISECONDS),
    "request_timeout_ms": 3_000,
    "max_block_ms": 5_000,
    "retry_backoff_ms": 100,
    "reconnect_backoff_max_ms": 1_000,
    "metadata_max_age_ms": 5_000,
    "linger_ms": 0,
    "max_request_size": RECORD_MAX_BYTES + 64 * 1024,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}
_CONSUMER: Final[Mapping[str, Any]] = {
    "group_id": None,
    "enable_auto_commit": False,
    "auto_offset_reset": "none",
    "fetch_min_bytes": 1,
    "fetch_max_wait_ms": 250,
    "request_timeout_ms": 2_000,
    "retry_backoff_ms": 100,
    "reconnect_backoff_max_ms": 1_000,
    "metadata_max_age_ms": 5_000,
    "allow_auto_create_topics": False,
    "metrics_enabled": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kafka:
    """Where the log is. ``security``: the client's own settings for TLS and SASL (``security_protocol``, ``ssl_cafile`` …)."""

    bootstrap: tuple[str, ...]
    topic: str = TOPIC
    security: Mapping[str, Any] = field(default_factory=dict)

    def producer(self) -> Any:
        """Return the client that hands records over, set as the hub needs it."""
        return self._client(KafkaProducer, **_PRODUCER)

    def consumer(self) -> Any:
        """Return a client that reads what it is told to, set as the hub needs it."""
        return self._client(KafkaConsumer, **_CONSUMER)

    def admin(self) -> Any:
        """Return the client that makes and describes topics."""
        return self._client(KafkaAdminClient)

    def _client(self, kind: Callable[..., Any], **settings: Any) -> Any:
        """Return a client of the library; raise ``Unavailable`` if no broker answers."""
        try:
            return kind(bootstrap_servers=list(self.bootstrap), bootstrap_timeout_ms=_BOOTSTRAP_MS, **settings, **self.security)
        except (kafka_errors.KafkaError, OSError) as error:
            raise Unavailable(f"no Kafka broker answers at {', '.join(self.bootstrap)}: {_words(error)}") from error


class KafkaLog:
    """A topic as the log that a node follows."""

    def __init__(self, kafka: Kafka) -> None:
        """Connect; raise ``Unavailable`` if no broker answers, or the topic does not exist."""
        self._topic = kafka.topic
        self._producer = kafka.producer()
        self._consumer = kafka.consumer()
        self._asking = kafka.consumer()
        self._asking_lock = threading.Lock()
        self.partitions(ASK_MAX_SECONDS)

    def send(self, partition: int, key: bytes, value: bytes, failed: Callable[[Exception], None]) -> None:
        """Hand a record over; ``failed`` is called, from any thread, when its outcome is unknown."""
        try:
            sent = self._producer.send(self._topic, value=value, key=key, partition=partition)
        except kafka_errors.KafkaError as error:
            raise Unavailable(f"Kafka takes no record: {_words(error)}") from error
        sent.add_errback(failed)

    def follow(self, offsets: Mapping[int, int]) -> None:
        """Read these partitions from now on, each from the given offset."""
        self._consumer.assign([TopicPartition(self._topic, partition) for partition in offsets])
        for partition, offset in offsets.items():
            self._consumer.seek(TopicPartition(self._topic, partition), offset)

    def poll(self, seconds: float, most: int) -> Sequence[LogRecord]:
        """Return what came, in offset order in each partition."""
        try:
            polled = self._consumer.poll(timeout_ms=int(seconds * _MILLISECONDS), max_records=most)
        except (kafka_errors.OffsetOutOfRangeError, kafka_errors.NoOffsetForPartitionError) as error:
            raise IntegrityError(f"the log does not hold what is to be read next: {_words(error)}") from error
        except kafka_errors.KafkaError as error:
            raise Unavailable(f"Kafka does not answer: {_words(error)}") from error
        return [
            LogRecord(place.partition, record.offset, record.timestamp, record.value or b"")
            for place, records in polled.items()
            for record in records
        ]

    def end(self, partition: int, seconds: float) -> int:
        """Return the offset behind the partition's last record; raise ``Unavailable`` without an answer in time."""
        place = TopicPartition(self._topic, partition)
        end: int = self._ask(lambda timeout_ms: self._asking.end_offsets([place], timeout_ms=timeout_ms)[place], seconds)
        return end

    def partitions(self, seconds: float) -> int:
        """Return how many partitions the topic has; raise ``Unavailable`` without an answer in time."""
        deadline = monotonic() + seconds
        while True:
            found = self._ask(lambda _: self._asking.partitions_for_topic(self._topic), seconds)
            if found:
                return len(found)
            if monotonic() > deadline:
                raise Unavailable(f"topic {self._topic!r} does not exist; make it with: hub kafka init")

    def close(self) -> None:
        """Close the clients; idempotent."""
        self._producer.close(timeout=1.0)
        self._consumer.close()
        with self._asking_lock:
            self._asking.close()

    def _ask(self, question: Callable[[int], Any], seconds: float) -> Any:
        """Ask the brokers something, one question at a time."""
        deadline = monotonic() + seconds
        if not self._asking_lock.acquire(timeout=seconds):
            raise Unavailable(f"Kafka does not answer within {seconds} s")
        try:
            return question(max(int((deadline - monotonic()) * _MILLISECONDS), 1))
        except (kafka_errors.KafkaError, OSError) as error:
            raise Unavailable(f"Kafka does not answer: {_words(error)}") from error
        finally:
            self._asking_lock.release()


def open_store(path: Path, kafka: Kafka, *, root: str) -> ClusterEventStore:
    """Open or create a node's file and follow the topic; ``root``: the shard of partition 0.

    Raises ``Unavailable`` while another process writes the file or no broker answers, ``IntegrityError`` if the file is not sound or not
    of this log.
    """
    return ClusterEventStore(path, KafkaLog(kafka), root=root)


def make_topic(kafka: Kafka, *, partitions: int, replication: int) -> None:
    """Make the topic, or add partitions to it.

    A topic of one replica has ``min.insync.replicas`` 1, any other 2: what is acknowledged then survives the loss of a broker.
    """
    admin = kafka.admin()
    try:
        found = _described(admin, kafka.topic)
        if found is None:
            settings = {**KEPT_FOR_EVER, "min.insync.replicas": str(min(replication, 2))}
            new = {"num_partitions": partitions, "replication_factor": replication, "configs": settings}
            admin.create_topics({kafka.topic: new}, wait_for_metadata=True)
        elif len(found["partitions"]) < partitions:
            admin.create_partitions({kafka.topic: partitions})
    except kafka_errors.KafkaError as error:
        raise Unavailable(f"Kafka does not make topic {kafka.topic!r}: {_words(error)}") from error
    finally:
        admin.close()


def check_topic(kafka: Kafka) -> int:
    """Return how many partitions the topic has.

    Raises ``IntegrityError`` for one that would lose, change or misdate records, ``Unavailable`` for one that is not there.
    """
    admin = kafka.admin()
    try:
        found = _described(admin, kafka.topic)
        if found is None:
            raise Unavailable(f"topic {kafka.topic!r} does not exist; make it with: hub kafka init")
        settings = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, kafka.topic)])["topic"][kafka.topic]
    except kafka_errors.KafkaError as error:
        raise Unavailable(f"Kafka does not describe topic {kafka.topic!r}: {_words(error)}") from error
    finally:
        admin.close()
    stand = {name: settings.get(name, {}).get("value", "the brokers' default") for name in KEPT_FOR_EVER}
    wrong = [f"{name} is {stand[name]}, must be {right}" for name, right in KEPT_FOR_EVER.items() if stand[name] != right]
    if wrong:
        raise IntegrityError(f"topic {kafka.topic!r} would not keep the log as it is: {'; '.join(wrong)}")
    return len(found["partitions"])


def _described(admin: Any, topic: str) -> Any:
    """Return what the brokers say of a topic, None if there is none."""
    return next((each for each in admin.describe_topics([topic]) if not each["error_code"]), None)


def _words(error: Exception) -> str:
    """Return what a client's error says."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class KafkaFactory(library.StoreFactory):
    """eventsourcing on Kafka: ``PERSISTENCE_MODULE=services.eventstore.kafka``.

    ``KAFKA_BOOTSTRAP``: brokers as host:port, separated by commas (required). ``KAFKA_TOPIC``: default ``hub.events.v1``; it must exist.
    The shard lies in partition 0.
    """

    KAFKA_BOOTSTRAP = "KAFKA_BOOTSTRAP"
    KAFKA_TOPIC = "KAFKA_TOPIC"

    def open_store(self, path: Path) -> ClusterEventStore:
        """Open the store whose state lies in this file."""
        bootstrap = tuple(self.required(self.KAFKA_BOOTSTRAP, "Kafka broker").split(","))
        kafka = Kafka(bootstrap=bootstrap, topic=self.env.get(self.KAFKA_TOPIC) or TOPIC)
        return open_store(path, kafka, root=self.env.get(self.EVENTSTORE_SHARD) or library.DEFAULT_SHARD)
