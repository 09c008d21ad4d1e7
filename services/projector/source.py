"""Reading the log for views: batches of one shard, opened once for all views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.kernel.events import Recorded
from projections.kernel.batch import Unreadable
from projections.kernel.view import View
from services.eventstore.opening import Opener, UnreadableEvent
from services.eventstore.port import EventStore, ShardStore, Stored


class Bell(Protocol):
    """What a commit rings; quick and never raising."""

    def set(self) -> None:
        """Note that there is something new."""


class FollowedShard(ShardStore, Protocol):
    """A shard that says when it has moved."""

    def listen(self, listener: Bell, /) -> None:
        """Have every commit ring the bell."""

    def unlisten(self, listener: Bell, /) -> None:
        """Take a bell back."""


class FollowedStore(Protocol):
    """An event store whose shards say when they have moved."""

    def shards(self) -> tuple[str, ...]:
        """Return the names of the shards that exist here."""

    def shard(self, name: str) -> FollowedShard:
        """Return a shard."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Events of one shard, opened; the last position read, and how many events were."""

    items: Sequence[Recorded | Unreadable]
    upto_position: int
    events: int


def ignored_by_all(views: Iterable[View]) -> frozenset[str]:
    """Return the event types that none of these views makes anything of: nobody opens those (who read what is most of a busy log)."""
    return frozenset.intersection(*(view.ignores for view in views))


def read_batch(
    store: EventStore | FollowedStore, opener: Opener, shard: str, after_position: int, limit: int, ignored: frozenset[str] = frozenset()
) -> Batch | None:
    """Return up to ``limit`` events of a shard behind a position, opened but for ``ignored`` types; None if there are none.

    An event that cannot be read stands in the batch as ``Unreadable``; a lost data key raises ``IntegrityError``.
    """
    stored = store.shard(shard).read(after_position, limit)
    if not stored:
        return None
    return Batch([_opened(opener, shard, one) for one in stored if one.type not in ignored], stored[-1].position, len(stored))


def _opened(opener: Opener, shard: str, stored: Stored) -> Recorded | Unreadable:
    """Open one event."""
    try:
        return opener.open(shard, stored)
    except UnreadableEvent as error:
        reason = type(error.__cause__ or error).__name__
        return Unreadable(stream=stored.stream, position=stored.position, event_type=stored.type, reason_type=reason)
