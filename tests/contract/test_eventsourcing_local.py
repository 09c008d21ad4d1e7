"""eventsourcing's own suites, unmodified, on the embedded store."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any
from unittest import TestCase
from uuid import UUID, uuid4

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import InfrastructureFactory, IntegrityError, OperationalError, StoredEvent
from eventsourcing.utils import Environment

from services.eventstore.local import LocalFactory
from tests.support import eventsourcing_suites as suites


class OnLocalStore(TestCase):
    factory_class = LocalFactory


environment = partial(suites.environment, LocalFactory)


class TestAggregateRecorder(OnLocalStore, suites.AggregateRecorders):
    pass


class TestAggregateRecorderWithTextIds(TestAggregateRecorder):
    id_type = "text"


class TestSnapshotRecorder(OnLocalStore, suites.SnapshotRecorders):
    pass


class TestSnapshotRecorderWithTextIds(TestSnapshotRecorder):
    id_type = "text"


class TestApplicationRecorder(OnLocalStore, suites.ApplicationRecorders):
    pass


class TestApplicationRecorderWithTextIds(TestApplicationRecorder):
    id_type = "text"


class TestNonInterleavingNotificationIds(OnLocalStore, suites.NonInterleavingNotificationIds):
    pass


class TestTrackingRecorder(OnLocalStore, suites.TrackingRecorders):
    pass


class TestProcessRecorder(OnLocalStore, suites.ProcessRecorders):
    pass


class TestInfrastructureFactory(OnLocalStore, suites.InfrastructureFactories):
    pass


class TestExampleApplication(OnLocalStore, suites.ExampleApplications):
    pass


class TestApplication(OnLocalStore, suites.Applications):
    pass


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
