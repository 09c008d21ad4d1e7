"""Watches: woken when a view moves, looked at no more often than it is worth, ended when the watcher does not keep up."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import grpc.aio
from google.protobuf.message import Message

from domain.kernel.ids import AgencyId
from projections.kernel.database import Move, ViewDatabase
from services.runtime.errors import Exhausted, Unavailable
from services.runtime.limits import AGENCY_MAX_WATCHES, WATCH_BUFFER_MAX_EVENTS

QUIET_SECONDS: Final = 0.1
"""A watch looks at most this often: what is recorded within it comes together."""
LISTEN_SECONDS: Final = 30.0
"""A watch looks at least this often: members of a partnership change with the day, and deadlines with the hour."""
_STUCK_LOOK_SECONDS: Final = 1.0


class Bell:
    """Rung by the moves that one waiter wants to hear of; what rings while it is busy is not lost."""

    def __init__(self, views: Collection[str], shard: str | None, *, unchanged: bool) -> None:
        """Hear of these views, in one shard or in all; with ``unchanged`` also of moves that leave their rows as they were."""
        self._views = frozenset(views)
        self._shard = shard
        self._unchanged = unchanged
        self._rung = asyncio.Event()
        self.position = 0
        """The last position of the one shard that was heard of."""

    def hear(self, move: Move) -> None:
        """Take note of a move."""
        if move.view not in self._views or (self._shard is not None and move.shard not in (self._shard, None)):
            return
        if self._shard is not None:
            self.saw(move.position)
        if move.changed or self._unchanged:
            self._rung.set()

    def saw(self, position: int) -> None:
        """Take note of a position that a look has shown."""
        self.position = max(self.position, position)

    async def wait(self, timeout_seconds: float) -> None:
        """Return when it has rung since the last time, or when the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_seconds):
                await self._rung.wait()
        self._rung.clear()

    async def next_look(self, quiet_seconds: float = QUIET_SECONDS) -> None:
        """Return when there is reason to look again, and not before ``quiet_seconds`` are over."""
        await asyncio.sleep(quiet_seconds)
        await self.wait(LISTEN_SECONDS)


class Ticker:
    """Hands out bells and counts watches. Touched by the event loop's thread alone."""

    def __init__(self, views: ViewDatabase) -> None:
        """Watch these views."""
        self._views = views
        self._bells: set[Bell] = set()
        self._watches: Counter[AgencyId] = Counter()
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def listening(self, *views: str, shard: str | None = None, unchanged: bool = False) -> Iterator[Bell]:
        """Give a bell that is rung until the context ends."""
        bell = Bell(views, shard, unchanged=unchanged)
        if not self._bells:
            self._loop = asyncio.get_running_loop()
            self._views.listen(self._moved)
        self._bells.add(bell)
        try:
            yield bell
        finally:
            self._bells.discard(bell)
            if not self._bells:
                self._views.unlisten(self._moved)

    @contextmanager
    def watching(self, agency_id: AgencyId, *views: str, shard: str | None = None, unchanged: bool = False) -> Iterator[Bell]:
        """Give a bell for one of an agency's watches; raise ``Unavailable`` if it has too many."""
        if self._watches[agency_id] >= AGENCY_MAX_WATCHES:
            raise Unavailable(f"the agency has {AGENCY_MAX_WATCHES} watches open, the most it may", retry_after_seconds=5.0)
        self._watches[agency_id] += 1
        try:
            with self.listening(*views, shard=shard, unchanged=unchanged) as bell:
                yield bell
        finally:
            self._watches[agency_id] -= 1

    def _moved(self, move: Move) -> None:
        """Carry a move from the writer's thread to the event loop."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._ring, move)

    def _ring(self, move: Move) -> None:
        """Ring every bell that is to hear of a move."""
        for bell in self._bells:
            bell.hear(move)


async def hand_over(context: grpc.aio.ServicerContext[Any, Any], bell: Bell, answer: Message, position: int) -> None:
    """Give a watcher an answer; raise ``Exhausted`` if it leaves it lying while more than ``WATCH_BUFFER_MAX_EVENTS`` are recorded.

    ``position``: what to resume with behind this answer, which still reaches the watcher first, whenever it reads on.
    """
    began = bell.position
    writing = asyncio.ensure_future(context.write(answer))
    try:
        while not writing.done():
            await asyncio.wait([writing], timeout=_STUCK_LOOK_SECONDS)
            if not writing.done() and bell.position - began > WATCH_BUFFER_MAX_EVENTS:
                raise Exhausted(f"more than {WATCH_BUFFER_MAX_EVENTS} events wait for this watcher", resume_token=str(position))
    finally:
        if not writing.done():
            writing.cancel()
    await writing
