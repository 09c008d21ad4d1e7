"""How much one agency may ask of the hub at a time, and until when."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from domain.kernel.ids import AgencyId
from services.runtime.errors import Unavailable
from services.runtime.limits import AGENCY_MAX_STREAMS, STREAM_IDLE_MAX_SECONDS

T = TypeVar("T")


class Gate:
    """Counts an agency's open streams and the events it sends a second. Touched by the event loop's thread alone."""

    def __init__(self, *, events_per_second: int, monotonic_seconds: Callable[[], float]) -> None:
        """``events_per_second`` may be sent by each agency on average, twice that in one burst; 0 means no limit."""
        self._events_per_second = events_per_second
        self._monotonic_seconds = monotonic_seconds
        self._open: Counter[AgencyId] = Counter()
        self._buckets: dict[AgencyId, tuple[float, float]] = {}
        self._reads: set[asyncio.Task[Any]] = set()
        self._draining = False

    def drain(self) -> None:
        """End every stream: those that wait for a request at once, those that have read one when it is answered.

        They end well, not with an error: gRPC may drop answers that a client has not read when an error comes behind them.
        """
        self._draining = True
        for reading in self._reads:
            reading.cancel()

    async def next(self, read: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
        """Return what a stream reads next, None if nothing more is taken; raise ``Unavailable`` if nothing comes for too long."""
        if self._draining:
            return None
        reading = asyncio.ensure_future(read())
        self._reads.add(reading)
        try:
            return await asyncio.wait_for(reading, STREAM_IDLE_MAX_SECONDS)
        except TimeoutError:
            raise Unavailable(f"no message for {STREAM_IDLE_MAX_SECONDS:.0f} seconds; open a new stream") from None
        except asyncio.CancelledError:
            if not self._draining:
                raise
            return None
        finally:
            self._reads.discard(reading)

    @contextmanager
    def stream(self, caller: AgencyId) -> Iterator[None]:
        """Hold one of the agency's streams; raise ``Unavailable`` if it has too many open."""
        if self._open[caller] >= AGENCY_MAX_STREAMS:
            raise Unavailable(f"the agency has {AGENCY_MAX_STREAMS} streams open, the most it may", retry_after_seconds=5.0)
        self._open[caller] += 1
        try:
            yield
        finally:
            self._open[caller] -= 1

    def admit(self, caller: AgencyId, events: int) -> None:
        """Take ``events`` from the agency's quota; raise ``Unavailable`` saying when there is room."""
        if not self._events_per_second:
            return
        now = self._monotonic_seconds()
        burst = 2.0 * self._events_per_second
        left, since = self._buckets.get(caller, (burst, now))
        left = min(burst, left + (now - since) * self._events_per_second)
        if events > left and left < burst:
            self._buckets[caller] = (left, now)
            wait_seconds = (min(events, burst) - left) / self._events_per_second
            raise Unavailable("the agency's quota of events a second is used up", retry_after_seconds=wait_seconds)
        self._buckets[caller] = (left - events, now)
