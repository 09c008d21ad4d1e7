"""How far the log goes, asked for many callers at once: a node that others write beside must know it before it refuses anybody."""

from __future__ import annotations

import asyncio

from services.eventstore.port import EventStore
from services.runtime.limits import APPEND_DEADLINE_SECONDS


class LogEnds:
    """Comes to the ends of shards' logs. Touched by the event loop's thread alone."""

    def __init__(self, store: EventStore) -> None:
        """Ask nothing yet."""
        self._store = store
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._next: dict[str, asyncio.Task[None]] = {}

    async def reach(self, shard: str) -> None:
        """Wait until this node has folded what the log held of a shard, and of where shards lie, when this was called.

        Raises ``Unavailable`` if that takes longer than an append may. Of each shard one question is under way at a time; whoever comes
        meanwhile shares the next one.
        """
        asked = self._next.get(shard)
        if asked is None:
            asked = self._next[shard] = asyncio.ensure_future(self._ask(shard, self._under_way.get(shard)))
            asked.add_done_callback(_heard)
        await asyncio.shield(asked)

    async def _ask(self, shard: str, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        self._under_way[shard] = self._next.pop(shard)
        await asyncio.to_thread(self._store.come_to_end, shard, APPEND_DEADLINE_SECONDS)


def _heard(asked: asyncio.Task[None]) -> None:
    """Take note of a failure: whoever asked may have gone."""
    if not asked.cancelled():
        asked.exception()
