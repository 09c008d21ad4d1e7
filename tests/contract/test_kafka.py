"""The event store's contract, and eventsourcing's own suites unmodified, on a real Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from unittest import TestCase

import pytest

from services.eventstore import kafka
from services.eventstore.brokers import Kafka
from services.eventstore.port import EventStore
from tests.support import eventsourcing_suites as suites
from tests.support.event_store_suite import EventStoreSuite
from tests.support.kafka import a_topic

pytestmark = pytest.mark.usefixtures("kafka_bootstrap")


class TestKafkaEventStore(EventStoreSuite):
    @pytest.fixture(autouse=True)
    def _topic(self, kafka_bootstrap: str) -> None:
        self.kafka = Kafka(bootstrap=tuple(kafka_bootstrap.split(",")), topic=a_topic(kafka_bootstrap, 4))

    def open(self, folder: Path) -> EventStore:
        return kafka.open_store(folder / "events.sqlite", self.kafka, root="north")


class OnKafka(TestCase):
    factory_class = kafka.KafkaFactory
    bootstrap: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _kafka(self, kafka_bootstrap: str) -> None:
        type(self).bootstrap = kafka_bootstrap

    def settings(self) -> dict[str, str]:
        return {"KAFKA_BOOTSTRAP": self.bootstrap, "KAFKA_TOPIC": a_topic(self.bootstrap)}


class TestAggregateRecorder(OnKafka, suites.AggregateRecorders):
    pass


class TestAggregateRecorderWithTextIds(TestAggregateRecorder):
    id_type = "text"


class TestSnapshotRecorder(OnKafka, suites.SnapshotRecorders):
    pass


class TestSnapshotRecorderWithTextIds(TestSnapshotRecorder):
    id_type = "text"


class TestApplicationRecorder(OnKafka, suites.ApplicationRecorders):
    pass


class TestApplicationRecorderWithTextIds(TestApplicationRecorder):
    id_type = "text"


class TestNonInterleavingNotificationIds(OnKafka, suites.NonInterleavingNotificationIds):
    pass


class TestTrackingRecorder(OnKafka, suites.TrackingRecorders):
    pass


class TestProcessRecorder(OnKafka, suites.ProcessRecorders):
    pass


class TestInfrastructureFactory(OnKafka, suites.InfrastructureFactories):
    pass


class TestExampleApplication(OnKafka, suites.ExampleApplications):
    pass


class TestApplication(OnKafka, suites.Applications):
    pass
