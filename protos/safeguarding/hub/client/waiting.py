"""Who waits for outcomes: one future for all parcels that were ordered together, each of which ends by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from safeguarding.hub.client.outcomes import Outcome


class Waiting:
    """Someone who waits for the outcomes of some parcels; ``done`` holds them in order, or the first error among them."""

    def __init__(self, parcels: int, make_room: Callable[[int], None]) -> None:
        """``make_room`` is told how many parcels nobody waits for any more."""
        self.done: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()
        self.done.add_done_callback(self._over)
        self._results: list[list[Outcome] | Exception | None] = [None] * parcels
        self._open = parcels
        self._make_room = make_room

    def is_over(self, place: int) -> bool:
        """Tell whether nobody waits for the parcel in this place any more."""
        return self._results[place] is not None or self.done.done()

    def end(self, place: int, result: list[Outcome] | Exception) -> None:
        """Note what became of a parcel, unless the patience for it was over; tell once all have ended."""
        if self.is_over(place):
            return
        self._results[place] = result
        self._open -= 1
        self._make_room(1)
        if not self._open:
            self._tell()

    def fail(self, error: Exception) -> None:
        """Tell at once that there will be no outcomes."""
        if not self.done.done():
            self.done.set_exception(error)

    def _tell(self) -> None:
        outcomes: list[Outcome] = []
        for result in self._results:
            if isinstance(result, Exception):
                self.done.set_exception(result)
                return
            outcomes += result or ()
        self.done.set_result(outcomes)

    def _over(self, _done: asyncio.Future[list[Outcome]]) -> None:
        """Make room also for what had not ended when whoever waits was told, or went away."""
        self._make_room(self._open)
        self._open = 0
