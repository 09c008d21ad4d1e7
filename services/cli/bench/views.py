"""All views together over the log: catching up with what they lack, and built anew beside the live ones."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Final

from projections.kernel.database import ViewDatabase
from services.bootstrap import VIEWS, Parts, workplace
from services.cli.bench.plan import Pass
from services.cli.bench.schema import own_schema
from services.eventstore.local import system_clock
from services.projector.projector import Projector
from services.projector.rebuild import Progress

CATCH_UP_MAX_SECONDS: Final = 3_600.0
STOP_MAX_SECONDS: Final = 10.0
REBUILD_OF_ALL: Final = "rebuild of all views"
BUILT_IN_POSTGRESQL: Final = "views built in PostgreSQL"
LIVE_INTO_POSTGRESQL: Final = "projection, live, into PostgreSQL"


def begin_views(parts: Parts) -> None:
    """Have the projector build every view over a log that holds little yet."""
    parts.projector.start()
    _wait(parts, parts.projector)


def measure_catch_up(parts: Parts) -> Pass:
    """Start the projector over live views that are behind, and wait until all are at the head."""
    return _caught_up("projection, live", parts, parts.projector)


def measure_postgresql(parts: Parts, url: str, more: Callable[[], None]) -> list[Pass]:
    """Measure the same views in PostgreSQL: built from the beginning, then live after ``more`` has put further events on the log.

    They lie in a schema of their own, which is removed afterwards.
    """
    with own_schema(url) as schema:
        passes = []
        for what in (BUILT_IN_POSTGRESQL, LIVE_INTO_POSTGRESQL):
            with closing(ViewDatabase(schema, VIEWS)) as views:
                projector = Projector(parts.store, parts.opener, views, system_clock, workplace(parts.settings))
                try:
                    passes.append(_caught_up(what, parts, projector))
                finally:
                    projector.stop(STOP_MAX_SECONDS)
            if len(passes) == 1:
                more()
        return passes


def measure_rebuild(parts: Parts, views: Sequence[str], progress: Callable[[int, int], None]) -> Pass:
    """Build views anew and swap them in."""
    events = sum(parts.store.shard(name).head().position for name in parts.store.shards())

    def report(done: Progress) -> None:
        progress(done.applied, done.total)

    began, cpu = time.perf_counter(), _cpu_seconds()
    parts.projector.rebuild(views, report)
    return _pass(REBUILD_OF_ALL if len(views) > 1 else f"rebuild of {views[0]}", events, began, cpu)


def _caught_up(what: str, parts: Parts, projector: Projector) -> Pass:
    """Start a projector whose views are behind, and wait until all are at the head."""
    lag = projector.lag()
    behind = max(sum(one.positions for one in lag if one.view == view.name) for view in VIEWS)
    began, cpu = time.perf_counter(), _cpu_seconds()
    projector.start()
    _wait(parts, projector)
    return _pass(what, behind, began, cpu)


def _wait(parts: Parts, projector: Projector) -> None:
    """Wait until every view has every event; raise ``RuntimeError`` if one cannot take an event of the bench."""
    for view in VIEWS:
        for shard in parts.store.shards():
            if not projector.wait_for(view.name, shard, parts.store.shard(shard).head().position, CATCH_UP_MAX_SECONDS):
                raise RuntimeError(f"view {view.name} did not catch up with shard {shard}")
    parked = {view: streams for view, streams in projector.parked().items() if streams}
    if parked:
        raise RuntimeError(f"views could not take events of the bench: {parked}")


def _pass(what: str, events: int, began: float, cpu: float) -> Pass:
    seconds = time.perf_counter() - began
    return Pass(
        what=what,
        events=events,
        seconds=round(seconds, 2),
        per_second=round(events / seconds, 1),
        cpu_us_an_event=round((_cpu_seconds() - cpu) / events * 1_000_000, 1),
    )


def _cpu_seconds() -> float:
    """Return what this process has used, and what it began and that has ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
