"""When a watch looks again: after a commit, and not more often than it is worth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from projections.kernel.database import ViewDatabase

QUIET_SECONDS: Final = 0.25
"""A watch looks at most this often: what is recorded within it comes together."""
LISTEN_SECONDS: Final = 30.0


class Ticker:
    """Ticks when a view has moved, and at the latest every half minute, so that access is judged anew."""

    def __init__(self, views: ViewDatabase) -> None:
        """Watch these views."""
        self._views = views

    async def ticks(self, view: str, shard: str) -> AsyncIterator[None]:
        """Yield at once, and again whenever ``view`` has moved on in ``shard``."""
        while True:
            reached = await asyncio.to_thread(self._position, view, shard)
            yield
            await asyncio.sleep(QUIET_SECONDS)
            waited = 0.0
            while waited < LISTEN_SECONDS and await asyncio.to_thread(self._position, view, shard) == reached:
                await asyncio.to_thread(self._views.wait_for, view, shard, reached + 1, 1.0)
                waited += 1.0

    def _position(self, view: str, shard: str) -> int:
        with self._views.reading(view) as reading:
            return reading.position(shard)
