"""A view's tracking as ``eventsourcing`` knows it: what waits for a ``TrackingRecorder`` can wait for a view."""

from __future__ import annotations

from typing import Final

from eventsourcing.persistence import IntegrityError, Tracking, TrackingRecorder

from projections.kernel.database import ViewDatabase


class ViewTracking(TrackingRecorder):
    """The tracking of one generation of a view; an application's name is a shard, a notification id a position."""

    def __init__(self, database: ViewDatabase, view: str, generation: int) -> None:
        """Adapt this generation."""
        self._database: Final = database
        self._view: Final = view
        self._generation: Final = generation

    def insert_tracking(self, tracking: Tracking) -> None:
        """Move tracking on without rows; raise the library's ``IntegrityError`` if it is there or past it already."""
        if not self._database.apply(self._view, self._generation, tracking.application_name, [], tracking.notification_id):
            raise IntegrityError(f"{tracking.application_name} is tracked to {tracking.notification_id} or past it already")

    def max_tracking_id(self, application_name: str) -> int | None:
        """Return the last position applied of a shard, None if none was."""
        return self._database.tracking(self._view, self._generation, application_name) or None
