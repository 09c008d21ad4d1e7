"""The event store on Apache Kafka: a topic orders, the fold decides; and eventsourcing's factory on top.

The only file beside the composition root that knows the Kafka client.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType

from services.eventstore import library
from services.eventstore.cluster import ClusterEventStore
from services.eventstore.follower import ALONE, Member, Report, silent
from services.eventstore.log import ASK_MAX_SECONDS, LogRecord
from services.runtime.errors import IntegrityError, Unavailable
from services.runtime.limits import RECORD_MAX_BYTES
from services.runtime.settings import Settings

TOPIC: Final = "hub.events.v1"
SEND_MAX_SECONDS: Final = 10.0
CLOSE_SECONDS: Final = 1.0
IN_SYNC_MIN: Final = 2
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
    security: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Kafka:
        """Return where the settings say that Kafka is, and how to speak to it: by TLS, by SASL, or both, as far as they are set."""
        security: dict[str, object] = {}
        if settings.kafka_ca_file is not None:
            files = {"ssl_certfile": settings.kafka_certificate_file, "ssl_keyfile": settings.kafka_key_file}
            security = {"ssl_cafile": str(settings.kafka_ca_file), **{name: str(file) for name, file in files.items() if file is not None}}
        if settings.kafka_user:
            password = "" if settings.kafka_password is None else settings.kafka_password.get_secret_value()
            security |= {"sasl_mechanism": "SCRAM-SHA-512", "sasl_plain_username": settings.kafka_user, "sasl_plain_password": password}
        channel = "SSL" if settings.kafka_ca_file is not None else "PLAINTEXT"
        protocol = f"SASL_{channel}" if settings.kafka_user else channel
        return cls(bootstrap=settings.kafka_bootstrap, topic=settings.kafka_topic, security={"security_protocol": protocol, **security})

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
        self._kafka = kafka
        self._topic = kafka.topic
        self._asking_lock = threading.Lock()
        with ExitStack() as undoing:
            self._producer = kafka.producer()
            undoing.callback(self._producer.close, timeout=CLOSE_SECONDS)
            self._consumer = kafka.consumer()
            undoing.callback(self._consumer.close)
            self._asking = kafka.consumer()
            undoing.callback(self._asking.close)
            self.partitions()
            undoing.pop_all()

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
        except (kafka_errors.OffsetOutOfRangeError, kafka_errors.NoOffsetForPartitionError, kafka_errors.LogTruncationError) as error:
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

    def partitions(self) -> int:
        """Return how many partitions the topic has; raise ``Unavailable`` without an answer in time."""
        # Not from a client that runs already: what that one knows of the topic may be as old as metadata_max_age_ms.
        admin = self._kafka.admin()
        try:
            return len(_existing(admin, self._topic)["partitions"])
        except kafka_errors.KafkaError as error:
            raise Unavailable(f"Kafka does not answer: {_words(error)}") from error
        finally:
            admin.close()

    def widen(self, partitions: int) -> None:
        """Add partitions to the topic, up to so many; raise ``Unavailable`` if Kafka does not, or does not let this node."""
        admin = self._kafka.admin()
        try:
            if len(_existing(admin, self._topic)["partitions"]) < partitions:
                admin.create_partitions({self._topic: partitions})
        except kafka_errors.InvalidPartitionsError:
            return  # Another node was faster.
        except kafka_errors.KafkaError as error:
            raise Unavailable(
                f"every partition of the topic has a shard, and Kafka adds none: {_words(error)}; hub kafka init does"
            ) from error
        finally:
            admin.close()

    def close(self) -> None:
        """Close the clients; idempotent."""
        self._producer.close(timeout=CLOSE_SECONDS)
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


def open_store(path: Path, kafka: Kafka, *, root: str, member: Member = ALONE, report: Report = silent) -> ClusterEventStore:
    """Open or create a node's file and follow the topic; ``root``: the shard of partition 0. ``report`` is told how far it has come.

    Raises ``Unavailable`` while another process writes the file or no broker answers, ``IntegrityError`` if the file is not sound or not
    of this log.
    """
    return ClusterEventStore(path, KafkaLog(kafka), root=root, member=member, report=report)


def make_topic(kafka: Kafka, *, partitions: int, replication: int) -> None:
    """Make the topic, or add partitions to it.

    A topic of one replica has ``min.insync.replicas`` 1, any other 2: what is acknowledged then survives the loss of a broker.
    """
    admin = kafka.admin()
    try:
        found = _described(admin, kafka.topic)
        if found is None:
            settings = {**KEPT_FOR_EVER, "min.insync.replicas": str(min(replication, IN_SYNC_MIN))}
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
        found = _existing(admin, kafka.topic)
        settings = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, kafka.topic)])["topic"][kafka.topic]
    except kafka_errors.KafkaError as error:
        raise Unavailable(f"Kafka does not describe topic {kafka.topic!r}: {_words(error)}") from error
    finally:
        admin.close()
    stand = {name: settings.get(name, {}).get("value", "the brokers' default") for name in KEPT_FOR_EVER}
    wrong = [f"{name} is {stand[name]}, must be {right}" for name, right in KEPT_FOR_EVER.items() if not _is_met(name, stand[name], right)]
    replicas = min(len(each["replica_nodes"]) for each in found["partitions"])
    in_sync = settings.get("min.insync.replicas", {}).get("value", "1")
    if replicas > 1 and int(in_sync) < IN_SYNC_MIN:
        wrong.append(f"min.insync.replicas is {in_sync}, must be {IN_SYNC_MIN}: what is acknowledged may lie on one broker alone")
    if wrong:
        raise IntegrityError(f"topic {kafka.topic!r} would not keep the log as it is: {'; '.join(wrong)}")
    return len(found["partitions"])


def holds_records(kafka: Kafka) -> bool:
    """Tell whether anything was ever written to the topic's first partition, with which every log begins."""
    with closing(KafkaLog(kafka)) as log:
        return log.end(0, ASK_MAX_SECONDS) > 0


def _is_met(name: str, found: str, right: str) -> bool:
    """Tell whether a topic's setting is as it must be; larger records than ours may fit."""
    return found == right or (name == "max.message.bytes" and found.isdecimal() and int(found) >= int(right))


def _existing(admin: Any, topic: str) -> Any:
    """Return what the brokers say of a topic; raise ``Unavailable`` if there is none."""
    found = _described(admin, topic)
    if found is None:
        raise Unavailable(f"topic {topic!r} does not exist; make it with: hub kafka init")
    return found


def _described(admin: Any, topic: str) -> Any:
    """Return what the brokers say of a topic, None if there is none; raise ``Unavailable`` if they do not say."""
    (found,) = admin.describe_topics([topic])
    if found["error_code"] == kafka_errors.UnknownTopicOrPartitionError.errno:
        return None
    if found["error_code"]:
        raise Unavailable(f"Kafka does not describe topic {topic!r}: {kafka_errors.for_code(found['error_code']).__name__}")
    return found


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
