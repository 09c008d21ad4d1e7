from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from domain.rules import bundled_rulebook
from projections.deadlines.projection import DEADLINES
from projections.kernel.database import ViewDatabase
from projections.registry.projection import REGISTRY
from services.eventstore.local import LocalEventStore
from services.eventstore.opening import Opener
from services.projector.measuring import Measuring
from services.projector.projector import Projector
from services.runtime.metrics import Metrics
from tests.support.builders import CASE, MONDAY, OTHER_CASE, a_notification
from tests.support.sealed import KeysInMemory, Writer

NORTH = "northmoor"
WAIT_SECONDS = 10.0


def test_streams_that_a_view_could_not_read_are_shown_by_view(tmp_path: Path, view_url: str) -> None:
    store, keys = LocalEventStore(tmp_path / "events.sqlite"), KeysInMemory()
    views = ViewDatabase(view_url, [DEADLINES, REGISTRY])
    projector, metrics = Projector(store, Opener(keys), views, lambda: 0), Metrics(CollectorRegistry(), views=("deadlines", "registry"))
    try:
        bad = f"incident-{CASE}"
        last = Writer(store, keys).write(NORTH, (bad, ("incident.notified.v1", b"\xff")), (f"incident-{OTHER_CASE}", a_notification()))
        projector.start()
        assert all(projector.wait_for(view, NORTH, last, WAIT_SECONDS) for view in ("deadlines", "registry"))
        Measuring(projector=projector, views=views, files={}, metrics=metrics, rulebook=bundled_rulebook(), clock=lambda: MONDAY).measure()
    finally:
        assert projector.stop(WAIT_SECONDS)
        views.close()
        store.close()
    found = {view: metrics.registry.get_sample_value("hub_parked_streams", {"view": view}) for view in ("deadlines", "registry")}
    assert found == {"deadlines": 1.0, "registry": 0.0}
