"""Filling views anew from the log, beside those that are read: one pass over the log opens each event once for all of them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from projections.kernel.database import Behind, Generation, ViewDatabase
from services.eventstore.opening import Opener
from services.eventstore.port import EventStore
from services.projector.filling import REBUILD_BATCH_EVENTS, fill_shard
from services.projector.parallel import PARALLEL_MIN_EVENTS, Workplace, fill_in_parallel
from services.projector.scratch import clear_left
from services.projector.source import FollowedStore
from services.runtime.errors import Unavailable

BEHIND_MAX_SECONDS: Final = 60.0
"""A live view that another process keeps at the head is caught up with in this time, between two of its batches."""
BEHIND_PAUSE_SECONDS: Final = 0.02


class Stopped(Exception):
    """The rebuild was told to stop; begun again, it goes on from where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rebuild has come: events of the log passed, of those known to exist."""

    applied: int
    total: int


@dataclass(frozen=True, slots=True)
class _Telling:
    """Tells of progress in several shards, from any thread."""

    progress: Callable[[Progress], None]
    heads: dict[str, int]
    reached: dict[str, int]
    turn: threading.Lock = field(default_factory=threading.Lock)

    def reach(self, shard: str, position: int) -> None:
        """Note that a shard was passed up to a position."""
        with self.turn:
            self.reached[shard] = position
            applied = sum(self.reached.values())
            self.progress(Progress(applied=applied, total=max(applied, sum(self.heads.values()))))


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A rebuild of views of ``database`` from ``store``, from any thread or process, whatever projects into the live views meanwhile."""

    store: EventStore | FollowedStore
    opener: Opener
    database: ViewDatabase
    progress: Callable[[Progress], None]
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set it to end between two batches."""
    workplace: Workplace | None = None
    """Where other processes find the same log and keys; None: this process does everything itself."""

    def run(self, views: Sequence[str]) -> None:
        """Fill a generation of each view from the whole log, then swap each in; reads go on from the live ones until then.

        A generation is swapped in only where it is not behind. Raise ``Stopped`` once ``stopping`` is set.
        """
        building = [self.database.begin_build(view) for view in views]
        if self.workplace is not None:
            clear_left(self.workplace.scratch_folder)
            self._fill_in_parallel(building, self.workplace)
        before, missing = None, self._missing(building)
        while missing and (before is None or REBUILD_BATCH_EVENTS < missing < before):  # what comes meanwhile is much after a long fill
            self.fill(building)
            before, missing = missing, self._missing(building)
        for generation in building:
            self.database.index(generation.view, generation.generation)
            self._swap(generation)

    def fill(self, generations: Sequence[Generation]) -> None:
        """Bring generations from where they are to the head of every shard; the shortest way to a view for comparison."""
        telling = self._telling(generations)
        for shard in telling.heads:
            self._fill_shard(generations, shard, telling)

    def _fill_shard(self, generations: Sequence[Generation], shard: str, telling: _Telling) -> None:
        """Bring generations to the head of a shard; raise ``Stopped`` between two batches."""
        self._go_on()
        head = telling.heads[shard]
        for position in fill_shard(self.store, self.opener, self.database, generations, shard, head):
            telling.reach(shard, position)
            if position < head:
                self._go_on()

    def _fill_in_parallel(self, generations: Sequence[Generation], workplace: Workplace) -> None:
        """Fill the shards that nothing was filled of yet with the help of other processes, if there is enough to do for them."""
        telling = self._telling(generations)
        untouched = {shard: head for shard, head in telling.heads.items() if head and not telling.reached[shard]}
        if sum(untouched.values()) >= PARALLEL_MIN_EVENTS:
            fill_in_parallel(
                workplace,
                self.database,
                generations,
                untouched,
                fill=lambda shard: self._fill_shard(generations, shard, telling),
                report=telling.reach,
                stopping=self.stopping,
            )
            self._go_on()

    def _go_on(self) -> None:
        """Raise ``Stopped`` if told to stop."""
        if self.stopping.is_set():
            raise Stopped

    def _telling(self, generations: Sequence[Generation]) -> _Telling:
        """Begin to tell how far generations have come."""
        heads = {shard: self.store.shard(shard).head().position for shard in self.store.shards()}
        return _Telling(self.progress, heads, self._reached(generations, heads))

    def _missing(self, generations: Sequence[Generation]) -> int:
        """Return how many events of the log are not in all generations."""
        heads = {shard: self.store.shard(shard).head().position for shard in self.store.shards()}
        return sum(heads.values()) - sum(self._reached(generations, heads).values())

    def _reached(self, generations: Sequence[Generation], heads: dict[str, int]) -> dict[str, int]:
        """Return the position of every shard that all generations have passed."""
        positions = [self.database.positions(one.view, one.generation) for one in generations]
        return {shard: min((known.get(shard, 0) for known in positions), default=0) for shard in heads}

    def _swap(self, generation: Generation) -> None:
        """Swap a filled generation in. While the live one moves ahead of it, catch up first, with its projector kept waiting.

        Raise ``Unavailable`` if that does not come about: the live one is of more events than the log here has.
        """
        deadline = time.monotonic() + BEHIND_MAX_SECONDS
        while True:
            self._go_on()
            with self.database.alone():
                self.fill([generation])
                try:
                    self.database.swap(generation.view, generation.generation)
                except Behind as behind:  # another process projects too: it cannot be kept waiting, and is caught up with again
                    if time.monotonic() > deadline:
                        raise Unavailable(f"{behind}, which is more than the log has here") from behind
                except ValueError:
                    live = self.database.live(generation.view)
                    if live is None or live.generation != generation.generation:
                        raise
                    return  # another process was filling it too, and was faster
                else:
                    return
            self.stopping.wait(BEHIND_PAUSE_SECONDS)
