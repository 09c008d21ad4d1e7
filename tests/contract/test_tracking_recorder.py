from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from eventsourcing.persistence import TrackingRecorder
from eventsourcing.tests import persistence as suite
from sqlalchemy import Column, Connection, MetaData, Table, Text

from domain.kernel.events import Recorded
from projections.kernel.database import ViewDatabase
from projections.kernel.view import Tables, View
from services.projector.tracking import ViewTracking


def define(metadata: MetaData, prefix: str) -> Tables:
    return {"row": Table(f"{prefix}row", metadata, Column("id", Text, primary_key=True))}


def write_nothing(_connection: Connection, _tables: Tables, _batch: Sequence[Recorded]) -> None:
    return


VIEW = View(name="some", version="1", define=define, handles=frozenset(), ignores=frozenset(), apply=write_nothing)


class TestViewTracking(suite.TrackingRecorderTestCase):
    @pytest.fixture(autouse=True)
    def _at(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path / 'views.sqlite'}"

    def setUp(self) -> None:
        self.database = ViewDatabase(self.url, [VIEW])
        self.addCleanup(self.database.close)

    def create_recorder(self) -> TrackingRecorder:
        return ViewTracking(self.database, "some", self.database.begin_build("some").generation)


class TestViewTrackingInPostgresql(TestViewTracking):
    @pytest.fixture(autouse=True)
    def _at(self, postgresql_url: str) -> None:  # type: ignore[override]
        self.url = postgresql_url
