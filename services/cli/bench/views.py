"""All views together over the log: catching up with what they lack, and built anew beside the live ones."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from services.bootstrap import Parts
from services.cli.bench.plan import Pass
from services.projector.rebuild import Progress

CATCH_UP_MAX_SECONDS = 3_600.0


def begin_views(parts: Parts) -> None:
    """Have the projector build every view over a log that holds little yet."""
    parts.projector.start()
    _wait(parts)


def measure_catch_up(parts: Parts) -> Pass:
    """Start the projector over live views that are behind, and wait until all are at the head."""
    behind = max(sum(lag.positions for lag in parts.projector.lag() if lag.view == view.name) for view in parts.views.views)
    began, cpu = time.perf_counter(), _cpu_seconds()
    parts.projector.start()
    _wait(parts)
    return _pass("projection, live", behind, began, cpu)


def measure_rebuild(parts: Parts, views: Sequence[str], progress: Callable[[int, int], None]) -> Pass:
    """Build views anew and swap them in."""
    events = sum(parts.store.shard(name).head().position for name in parts.store.shards())

    def report(done: Progress) -> None:
        progress(done.applied, done.total)

    began, cpu = time.perf_counter(), _cpu_seconds()
    parts.projector.rebuild(views, report)
    return _pass(f"rebuild of {'all views' if len(views) > 1 else views[0]}", events, began, cpu)


def _wait(parts: Parts) -> None:
    """Wait until every view has every event; raise ``RuntimeError`` if one cannot take an event of the bench."""
    for view in parts.views.views:
        for shard in parts.store.shards():
            if not parts.projector.wait_for(view.name, shard, parts.store.shard(shard).head().position, CATCH_UP_MAX_SECONDS):
                raise RuntimeError(f"view {view.name} did not catch up with shard {shard}")
    parked = {view: streams for view, streams in parts.projector.parked().items() if streams}
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
