"""What the metrics say of the views and the databases: lag, parked streams, deadlines by band, sizes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

from domain.rules import Rulebook
from projections.deadlines.projection import DEADLINES
from projections.deadlines.queries import DeadlineReader
from projections.deadlines.wanted import DeadlineFilter
from projections.kernel.database import NotLive, ViewDatabase
from services.projector.projector import Projector
from services.runtime.metrics import Metrics

MEASURE_SECONDS: Final = 5.0
SHARE: Final = 20
"""Measuring takes at most one part in this many of a thread's time, however large the views have grown."""


class Measuring:
    """Sets the gauges that nothing else sets as it happens."""

    def __init__(
        self,
        *,
        projector: Projector,
        views: ViewDatabase,
        files: Mapping[str, Path],
        metrics: Metrics,
        rulebook: Rulebook,
        clock: Callable[[], datetime],
    ) -> None:
        """``files``: the databases beside the views by the names that their sizes are shown under; ``clock`` returns aware UTC instants."""
        self._projector = projector
        self._views = views
        self._files = files
        self._metrics = metrics
        self._rulebook = rulebook
        self._clock = clock

    def measure(self) -> float:
        """Measure once and return after how many seconds to measure again."""
        began = time.monotonic()
        self._lag()
        for view, streams in self._projector.parked().items():
            self._metrics.parked_streams(view, streams)
        self._deadlines()
        for store, file in self._files.items():
            self._metrics.store_bytes(store, _size_bytes(file))
        self._metrics.store_bytes("views", self._views.size_bytes())
        return max(MEASURE_SECONDS, SHARE * (time.monotonic() - began))

    def _lag(self) -> None:
        """Show the worst lag of each view: positions and seconds each for itself."""
        lags = self._projector.lag()
        for view in {lag.view for lag in lags}:
            of_view = [lag for lag in lags if lag.view == view]
            self._metrics.projection_lag(view, positions=max(lag.positions for lag in of_view), seconds=max(lag.seconds for lag in of_view))

    def _deadlines(self) -> None:
        """Count all deadlines as they stand now; while the view is built the last counts stay."""
        try:
            with self._views.reading(DEADLINES.name) as reading:
                counts = DeadlineReader(reading.connection, reading.tables, self._rulebook, self._clock()).count_bands(DeadlineFilter())
        except NotLive:
            return
        for band, count in counts.items():
            self._metrics.deadlines(band.value, count)


def _size_bytes(database: Path) -> int:
    """Return what a SQLite database takes on disk, its write-ahead log included."""
    return sum(file.stat().st_size for file in (database, database.with_name(f"{database.name}-wal")) if file.exists())
