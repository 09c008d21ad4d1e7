"""Topics for tests, on the Kafka that ``kafka_run`` provides."""

from __future__ import annotations

from uuid import uuid4

from kafka.admin import ConfigResource, ConfigResourceType

from services.eventstore.brokers import Kafka
from services.eventstore.topic import make_topic


def a_topic(bootstrap: str, partitions: int = 1, **changed: str) -> str:
    """Make a topic of the test's own, on every broker of the cluster, and return its name; ``changed``: settings unlike the hub's."""
    brokers = tuple(bootstrap.split(","))
    kafka = Kafka(bootstrap=brokers, topic=f"hub.events.test.{uuid4().hex}")
    make_topic(kafka, partitions=partitions, replication=len(brokers))
    if changed:
        admin = kafka.admin()
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, kafka.topic, configs=changed)])
        admin.close()
    return kafka.topic
