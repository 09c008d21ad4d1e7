"""The event store's contract, kept by the embedded store and by a node of a cluster whose log is in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.eventstore.cluster import ClusterEventStore
from services.eventstore.local import LocalEventStore
from services.eventstore.port import EventStore
from tests.support.event_store_suite import EventStoreSuite
from tests.support.shared_log import NodesLog, SharedLog


class TestLocalEventStore(EventStoreSuite):
    """The embedded store."""

    def open(self, folder: Path) -> EventStore:
        return LocalEventStore(folder / "events.sqlite")


class TestClusterEventStore(EventStoreSuite):
    """One node of a cluster, on a log in memory."""

    @pytest.fixture(autouse=True)
    def _log(self) -> None:
        self.shared = SharedLog()

    def open(self, folder: Path) -> EventStore:
        return ClusterEventStore(folder / "events.sqlite", NodesLog(self.shared), root="north")
