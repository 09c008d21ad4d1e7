"""eventsourcing's own suites, unmodified, each for whatever store a test gives it.

Used as ``suites.…`` and never imported by name: a test module collects every ``TestCase`` that it names.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar
from unittest import TestCase
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import AggregateRecorder, ApplicationRecorder, IntegrityError, ProcessRecorder, StoredEvent, Tracking
from eventsourcing.persistence import TrackingRecorder as LibraryTrackingRecorder
from eventsourcing.tests import application as application_suite
from eventsourcing.tests import persistence as suite
from eventsourcing.utils import Environment

from services.eventstore import library, recorders


def environment(factory_class: type[library.StoreFactory], folder: Path, id_type: str = "uuid") -> dict[str, str]:
    """Return the environment of a store whose file lies in a folder."""
    return {
        "PERSISTENCE_MODULE": factory_class.__module__,
        "EVENTSTORE_PATH": str(folder / "events.sqlite"),
        "ORIGINATOR_ID_TYPE": id_type,
    }


class OnStore(TestCase):
    """Gives a test a factory on an empty store, and texts for ids when the environment says so."""

    id_type: ClassVar[str] = "uuid"
    factory_class: ClassVar[type[library.StoreFactory]]

    def settings(self) -> dict[str, str]:
        """Return what names an empty store, besides its file."""
        return {}

    def environment(self) -> dict[str, str]:
        """Return the environment of an empty store."""
        folder = TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        return environment(self.factory_class, Path(folder.name), self.id_type) | self.settings()

    def open(self) -> library.StoreFactory:
        """Open a factory that is closed when the test ends."""
        factory = self.factory_class(Environment("Suite", self.environment()))
        self.addCleanup(factory.close)
        return factory

    def new_originator_id(self) -> UUID | str:
        return uuid4() if self.id_type == "uuid" else f"incident-{uuid4()}"


class OnFactory(OnStore):
    """Opens the factory before each test."""

    def setUp(self) -> None:
        self.factory_under_test = self.open()
        super().setUp()


class AggregateRecorders(OnFactory, suite.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.factory_under_test.aggregate_recorder()


class SnapshotRecorders(OnFactory, suite.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.factory_under_test.aggregate_recorder("snapshots")

    def test_snapshots_never_enter_the_log(self) -> None:
        recorder = self.factory_under_test.aggregate_recorder("snapshots")
        recorder.insert_events([StoredEvent(uuid4(), 7, "snapshot", b"state")])
        assert self.factory_under_test.application_recorder().select_notifications(None, 10) == []


class ApplicationRecorders(OnFactory, suite.ApplicationRecorderTestCase[ApplicationRecorder]):
    def create_recorder(self) -> ApplicationRecorder:
        return self.factory_under_test.application_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class NonInterleavingNotificationIds(OnFactory, suite.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> ApplicationRecorder:
        return self.factory_under_test.application_recorder()


class TrackingRecorders(OnFactory, suite.TrackingRecorderTestCase):
    def create_recorder(self) -> LibraryTrackingRecorder:
        return self.factory_under_test.tracking_recorder()


class ProcessRecorders(OnFactory, suite.ProcessRecorderTestCase):
    def create_recorder(self) -> ProcessRecorder:
        return self.factory_under_test.process_recorder()

    def test_refused_tracking_leaves_no_event(self) -> None:
        recorder = self.factory_under_test.process_recorder()
        recorder.insert_events([], tracking=Tracking("upstream", 5))
        event = StoredEvent(uuid4(), 1, "topic", b"state")
        with pytest.raises(IntegrityError):
            recorder.insert_events([event], tracking=Tracking("upstream", 5))
        assert recorder.select_events(event.originator_id) == []


class TrackingSubclass(recorders.LogTrackingRecorder):
    """An application's own tracking recorder."""


class InfrastructureFactories(OnStore, suite.InfrastructureFactoryTestCase[library.StoreFactory]):
    def setUp(self) -> None:
        self.env = Environment("TestCase", self.environment())
        super().setUp()

    def expected_factory_class(self) -> type[library.StoreFactory]:
        return self.factory_class

    def expected_aggregate_recorder_class(self) -> type[AggregateRecorder]:
        return recorders.LogAggregateRecorder

    def expected_application_recorder_class(self) -> type[ApplicationRecorder]:
        return recorders.LogApplicationRecorder

    def expected_tracking_recorder_class(self) -> type[LibraryTrackingRecorder]:
        return recorders.LogTrackingRecorder

    def tracking_recorder_subclass(self) -> type[LibraryTrackingRecorder]:
        return TrackingSubclass

    def expected_process_recorder_class(self) -> type[ProcessRecorder]:
        return recorders.LogProcessRecorder


class InEnvironment(OnStore):
    """Points the process's environment at an empty store, as an operator would."""

    def setUp(self) -> None:
        self.enterContext(pytest.MonkeyPatch.context()).setattr(os, "environ", {**os.environ, **self.environment()})
        super().setUp()


class ExampleApplications(InEnvironment, application_suite.ExampleApplicationTestCase):
    def setUp(self) -> None:
        self.expected_factory_topic = f"{self.factory_class.__module__}:{self.factory_class.__name__}"
        super().setUp()


# The suite records this warning to assert it: raised as an error it would never get there.
@pytest.mark.filterwarnings("always:'log' is deprecated:DeprecationWarning")
class Applications(InEnvironment, application_suite.ApplicationTestCase):
    """Each of its tests expects a store of its own, which ``InEnvironment`` gives it."""
