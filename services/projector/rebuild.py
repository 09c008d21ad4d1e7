"""Filling views anew from the log, beside those that are read: one pass over the log opens each event once for all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from projections.kernel.database import Behind, Generation, ViewDatabase
from services.eventstore.opening import Opener
from services.eventstore.port import EventStore
from services.projector.source import FollowedStore, ignored_by_all, read_batch

REBUILD_BATCH_EVENTS: Final = 2_000
"""Large, so that statements and commits cost little an event; small enough that the live view is not kept waiting for a second."""


class Stopped(Exception):
    """The rebuild was told to stop; begun again, it goes on from where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a rebuild has come: events of the log passed, of those known to exist."""

    applied: int
    total: int


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A rebuild of views of ``database`` from ``store``, from any thread or process, whatever projects into the live views meanwhile."""

    store: EventStore | FollowedStore
    opener: Opener
    database: ViewDatabase
    progress: Callable[[Progress], None]
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set it to end between two batches."""

    def run(self, views: Sequence[str]) -> None:
        """Fill a generation of each view from the whole log, then swap each in; reads go on from the live ones until then.

        A generation is swapped in only where it is not behind. Raise ``Stopped`` once ``stopping`` is set.
        """
        building = [self.database.begin_build(view) for view in views]
        before, missing = None, self._missing(building)
        while missing and (before is None or REBUILD_BATCH_EVENTS < missing < before):  # what comes meanwhile is much after a long fill
            self.fill(building)
            before, missing = missing, self._missing(building)
        for generation in building:
            self._swap(generation)

    def fill(self, generations: Sequence[Generation]) -> None:
        """Bring generations from where they are to the head of every shard; the shortest way to a view for comparison."""
        heads = {shard: self.store.shard(shard).head().position for shard in self.store.shards()}
        reached = self._reached(generations, heads)
        ignored = ignored_by_all(self.database.views)
        for shard, head in heads.items():
            while reached[shard] < head:
                if self.stopping.is_set():
                    raise Stopped
                batch = read_batch(self.store, self.opener, shard, reached[shard], REBUILD_BATCH_EVENTS, ignored)
                if batch is None:
                    break
                for one in generations:
                    self.database.apply(one.view, one.generation, shard, batch.items, batch.upto_position)
                reached[shard] = batch.upto_position
                applied = sum(reached.values())
                self.progress(Progress(applied=applied, total=max(applied, sum(heads.values()))))

    def _missing(self, generations: Sequence[Generation]) -> int:
        """Return how many events of the log are not in all generations."""
        heads = {shard: self.store.shard(shard).head().position for shard in self.store.shards()}
        return sum(heads.values()) - sum(self._reached(generations, heads).values())

    def _reached(self, generations: Sequence[Generation], heads: dict[str, int]) -> dict[str, int]:
        """Return the position of every shard that all generations have passed."""
        positions = [self.database.positions(one.view, one.generation) for one in generations]
        return {shard: min((known.get(shard, 0) for known in positions), default=0) for shard in heads}

    def _swap(self, generation: Generation) -> None:
        """Swap a filled generation in. While the live one moves ahead of it, catch up first, with its projector kept waiting."""
        while True:
            with self.database.alone():
                self.fill([generation])
                try:
                    self.database.swap(generation.view, generation.generation)
                except Behind:  # another process projects too: it cannot be kept waiting, and is caught up with again
                    continue
                return
