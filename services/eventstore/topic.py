"""The topic that is a cluster's log: made, widened and checked, so that nothing of it is lost, changed or misdated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType

from services.eventstore.brokers import FRAMED_MAX_BYTES, Kafka, words
from services.runtime.errors import IntegrityError, Unavailable

IN_SYNC_MIN: Final = 2
KEPT_FOR_EVER: Final[Mapping[str, str]] = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "message.timestamp.type": "LogAppendTime",
    "unclean.leader.election.enable": "false",
    "compression.type": "producer",
    "max.message.bytes": str(FRAMED_MAX_BYTES),
}
"""What the topic must be set to: it is the evidence, so nothing of it expires, is compacted or dates itself."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic that keeps records as they are. ``replicas``: on so many brokers each record lies at least."""

    partitions: int
    replicas: int

    @property
    def brokers(self) -> str:
        """On how many brokers each record lies, in words."""
        return "one broker" if self.replicas == 1 else f"{self.replicas} brokers"


def make_topic(kafka: Kafka, *, partitions: int, replication: int) -> None:
    """Make the topic, or add partitions to it.

    A topic of one replica has ``min.insync.replicas`` 1, any other 2: what is acknowledged then survives the loss of a broker.
    """
    with _admin(kafka, f"Kafka does not make topic {kafka.topic!r}") as admin:
        found = _described(admin, kafka.topic)
        if found is None:
            settings = {**KEPT_FOR_EVER, "min.insync.replicas": str(min(replication, IN_SYNC_MIN))}
            new = {"num_partitions": partitions, "replication_factor": replication, "configs": settings}
            admin.create_topics({kafka.topic: new}, wait_for_metadata=True)
        elif len(found["partitions"]) < partitions:
            admin.create_partitions({kafka.topic: partitions})


def partitions_of(kafka: Kafka) -> int:
    """Return how many partitions the topic has; raise ``Unavailable`` without an answer in time."""
    # Not from a client that runs already: what that one knows of the topic may be as old as metadata_max_age_ms.
    with _admin(kafka, "Kafka does not answer") as admin:
        return len(_existing(admin, kafka.topic)["partitions"])


def widen(kafka: Kafka, partitions: int) -> None:
    """Add partitions to the topic, up to so many; raise ``Unavailable`` if Kafka does not, or does not let this node."""
    with _admin(kafka, "every partition of the topic has a shard, and Kafka adds none (hub kafka init does)") as admin:
        if len(_existing(admin, kafka.topic)["partitions"]) < partitions:
            with suppress(kafka_errors.InvalidPartitionsError):  # Another node was faster.
                admin.create_partitions({kafka.topic: partitions})


def check_topic(kafka: Kafka) -> Topic:
    """Return what the topic is.

    Raises ``IntegrityError`` for one that would lose, change or misdate records, ``Unavailable`` for one that is not there.
    """
    with _admin(kafka, f"Kafka does not describe topic {kafka.topic!r}") as admin:
        found = _existing(admin, kafka.topic)
        settings = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, kafka.topic)])["topic"][kafka.topic]
    topic = Topic(len(found["partitions"]), min(len(each["replica_nodes"]) for each in found["partitions"]))
    wrong = faults({name: told["value"] for name, told in settings.items()}, topic.replicas)
    if wrong:
        raise IntegrityError(f"topic {kafka.topic!r} would not keep the log as it is: {'; '.join(wrong)}")
    return topic


def faults(settings: Mapping[str, str], replicas: int) -> list[str]:
    """Return what of a topic's settings would lose, change or misdate records, and what each must be."""
    stand = {name: settings.get(name, "the brokers' default") for name in KEPT_FOR_EVER}
    wrong = [f"{name} is {stand[name]}, must be {right}" for name, right in KEPT_FOR_EVER.items() if not _is_met(name, stand[name], right)]
    in_sync = settings.get("min.insync.replicas", "1")
    if replicas > 1 and int(in_sync) < IN_SYNC_MIN:
        wrong.append(f"min.insync.replicas is {in_sync}, must be {IN_SYNC_MIN}: what is acknowledged may lie on one broker alone")
    return wrong


def leaders(kafka: Kafka) -> dict[int, int]:
    """Return which broker leads each partition of the topic, by its id; -1 where none does."""
    with _admin(kafka, f"Kafka does not describe topic {kafka.topic!r}") as admin:
        return {each["partition_index"]: each["leader_id"] for each in _existing(admin, kafka.topic)["partitions"]}


def missing(topic: str) -> Unavailable:
    """Return what to say where there is no topic."""
    return Unavailable(f"topic {topic!r} does not exist; make it with: hub kafka init")


@contextmanager
def _admin(kafka: Kafka, refused: str) -> Iterator[Any]:
    """Give a client that asks and tells the brokers about topics; its errors become ``Unavailable``, ``refused`` saying what they mean."""
    admin = kafka.admin()
    try:
        yield admin
    except kafka_errors.KafkaError as error:
        raise Unavailable(f"{refused}: {words(error)}") from error
    finally:
        admin.close()


def _is_met(name: str, found: str, right: str) -> bool:
    """Tell whether a topic's setting is as it must be; larger records than ours may fit."""
    return found == right or (name == "max.message.bytes" and found.isdecimal() and int(found) >= int(right))


def _existing(admin: Any, topic: str) -> Any:
    """Return what the brokers say of a topic; raise ``Unavailable`` if there is none."""
    found = _described(admin, topic)
    if found is None:
        raise missing(topic)
    return found


def _described(admin: Any, topic: str) -> Any:
    """Return what the brokers say of a topic, None if there is none; raise ``Unavailable`` if they do not say."""
    (found,) = admin.describe_topics([topic])
    if found["error_code"] == kafka_errors.UnknownTopicOrPartitionError.errno:
        return None
    if found["error_code"]:
        raise Unavailable(f"Kafka does not describe topic {topic!r}: {kafka_errors.for_code(found['error_code']).__name__}")
    return found
