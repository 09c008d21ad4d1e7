"""eventsourcing's own suites, unmodified, on the embedded store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import TestCase
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    IntegrityError,
    OperationalError,
    ProcessRecorder,
    StoredEvent,
    Tracking,
    TrackingRecorder,
)
from eventsourcing.tests import application as application_suite
from eventsourcing.tests import persistence as suite
from eventsourcing.utils import Environment

from services.eventstore.local import LocalFactory
from services.eventstore.recorders import (
    LogAggregateRecorder,
    LogApplicationRecorder,
    LogProcessRecorder,
    LogTrackingRecorder,
)


class OnLocalStore(TestCase):
    """Gives a test a factory on an empty store, and texts for ids when the environment says so."""

    id_type = "uuid"

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.local = LocalFactory(Environment("Suite", environment(Path(folder.name), self.id_type)))
        self.addCleanup(self.local.close)
        super().setUp()

    def new_originator_id(self) -> UUID | str:
        return uuid4() if self.id_type == "uuid" else f"incident-{uuid4()}"


def environment(folder: Path, id_type: str = "uuid") -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": "services.eventstore.local",
        "EVENTSTORE_PATH": str(folder / "events.sqlite"),
        "ORIGINATOR_ID_TYPE": id_type,
    }


class TestAggregateRecorder(OnLocalStore, suite.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.local.aggregate_recorder()


class TestAggregateRecorderWithTextIds(TestAggregateRecorder):
    id_type = "text"


class TestSnapshotRecorder(OnLocalStore, suite.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.local.aggregate_recorder("snapshots")

    def test_snapshots_never_enter_the_log(self) -> None:
        recorder = self.local.aggregate_recorder("snapshots")
        recorder.insert_events([StoredEvent(uuid4(), 7, "snapshot", b"state")])
        assert self.local.application_recorder().select_notifications(None, 10) == []


class TestSnapshotRecorderWithTextIds(TestSnapshotRecorder):
    id_type = "text"


class TestApplicationRecorder(OnLocalStore, suite.ApplicationRecorderTestCase[ApplicationRecorder]):
    def create_recorder(self) -> ApplicationRecorder:
        return self.local.application_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestApplicationRecorderWithTextIds(TestApplicationRecorder):
    id_type = "text"


class TestNonInterleavingNotificationIds(OnLocalStore, suite.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> ApplicationRecorder:
        return self.local.application_recorder()


class TestTrackingRecorder(OnLocalStore, suite.TrackingRecorderTestCase):
    def create_recorder(self) -> TrackingRecorder:
        return self.local.tracking_recorder()


class TestProcessRecorder(OnLocalStore, suite.ProcessRecorderTestCase):
    def create_recorder(self) -> ProcessRecorder:
        return self.local.process_recorder()

    def test_refused_tracking_leaves_no_event(self) -> None:
        recorder = self.local.process_recorder()
        recorder.insert_events([], tracking=Tracking("upstream", 5))
        event = StoredEvent(uuid4(), 1, "topic", b"state")
        with pytest.raises(IntegrityError):
            recorder.insert_events([event], tracking=Tracking("upstream", 5))
        assert recorder.select_events(event.originator_id) == []


class TrackingSubclass(LogTrackingRecorder):
    """An application's own tracking recorder."""


class TestInfrastructureFactory(suite.InfrastructureFactoryTestCase[LocalFactory]):
    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.env = Environment("TestCase", environment(Path(folder.name)))
        super().setUp()

    def expected_factory_class(self) -> type[LocalFactory]:
        return LocalFactory

    def expected_aggregate_recorder_class(self) -> type[AggregateRecorder]:
        return LogAggregateRecorder

    def expected_application_recorder_class(self) -> type[ApplicationRecorder]:
        return LogApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[TrackingRecorder]:
        return LogTrackingRecorder

    def tracking_recorder_subclass(self) -> type[TrackingRecorder]:
        return TrackingSubclass

    def expected_process_recorder_class(self) -> type[ProcessRecorder]:
        return LogProcessRecorder


class InLocalEnvironment(TestCase):
    """Points the process's environment at an empty store, as an operator would."""

    def setUp(self) -> None:
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.enterContext(pytest.MonkeyPatch.context()).setattr(os, "environ", {**os.environ, **environment(Path(folder.name))})
        super().setUp()


class TestExampleApplication(InLocalEnvironment, application_suite.ExampleApplicationTestCase):
    expected_factory_topic = "services.eventstore.local:LocalFactory"


# The suite records this warning to assert it: raised as an error it would never get there.
@pytest.mark.filterwarnings("always:'log' is deprecated:DeprecationWarning")
class TestApplication(InLocalEnvironment, application_suite.ApplicationTestCase):
    """Each of its tests expects a store of its own, which ``InLocalEnvironment`` gives it."""


@pytest.fixture
def factory(tmp_path: Path) -> Iterator[LocalFactory]:
    local = LocalFactory(Environment("App", environment(tmp_path)))
    yield local
    local.close()


def test_factories_of_one_process_share_a_store_and_the_last_one_closes_it(tmp_path: Path) -> None:
    first, second = (InfrastructureFactory.construct(Environment("App", environment(tmp_path))) for _ in range(2))
    assert first.application_recorder().insert_events([StoredEvent(uuid4(), 1, "topic", b"state")]) == [1]
    first.close()
    recorder = second.application_recorder()
    assert recorder.insert_events([StoredEvent(uuid4(), 1, "topic", b"state")]) == [2]
    second.close()
    with pytest.raises(OperationalError, match="clos"):
        recorder.select_notifications(None, 10)


def test_an_application_finds_its_aggregates_after_a_restart(tmp_path: Path) -> None:
    env = environment(tmp_path)
    with Application[UUID](env=env) as app:
        aggregate = Aggregate()
        app.save(aggregate)
        app.close()
    with Application[UUID](env=env) as again:
        assert again.repository.get(aggregate.id) == aggregate
        again.close()


def test_a_missing_path_and_an_unknown_id_type_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="APP_EVENTSTORE_PATH, EVENTSTORE_PATH"):
        LocalFactory(Environment("App", {}))
    with pytest.raises(OSError, match="'number', expected 'uuid' or 'text'"):
        LocalFactory(Environment("App", environment(tmp_path, "number")))


def test_an_event_that_does_not_follow_its_stream_is_refused(factory: LocalFactory) -> None:
    recorder, stream = factory.application_recorder(), uuid4()
    recorder.insert_events([StoredEvent(stream, 4, "topic", b"state")])
    for version in (3, 4, 6):
        with pytest.raises(IntegrityError, match="found 4"):
            recorder.insert_events([StoredEvent(stream, version, "topic", b"state")])
    assert recorder.insert_events([StoredEvent(stream, 5, "topic", b"state")]) == [2]


def test_a_subscription_ends_with_its_store(factory: LocalFactory) -> None:
    recorder = factory.application_recorder()
    numbers: Iterator[Any] = count(1)
    with recorder.subscribe() as subscription:
        recorder.insert_events([StoredEvent(uuid4(), 1, "topic", b"state")])
        assert next(subscription).id == next(numbers)
        factory.close()
        with pytest.raises(OperationalError, match="closed"):
            next(subscription)
