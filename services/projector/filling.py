"""Filling generations of views from one shard of the log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from projections.kernel.database import Generation, ViewDatabase
from services.eventstore.opening import Opener
from services.eventstore.port import EventStore
from services.projector.source import FollowedStore, ignored_by_all, read_batch

REBUILD_BATCH_EVENTS: Final = 2_000
"""Large, so that statements and commits cost little an event; small enough that the live view is not kept waiting for a second."""


def fill_shard(
    store: EventStore | FollowedStore, opener: Opener, database: ViewDatabase, generations: Sequence[Generation], shard: str, upto: int
) -> Iterator[int]:
    """Bring generations from where they are in a shard to position ``upto``, each event opened once for all; yield after every batch."""
    numbers = {one.view: one.generation for one in generations}
    ignored = ignored_by_all([view for view in database.views if view.name in numbers])
    reached = min(database.tracking(one.view, one.generation, shard) for one in generations)
    while reached < upto:
        batch = read_batch(store, opener, shard, reached, REBUILD_BATCH_EVENTS, ignored)
        if batch is None:
            return
        database.apply_together(numbers, shard, batch.items, batch.upto_position)
        reached = batch.upto_position
        yield reached
