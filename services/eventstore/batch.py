"""What one transaction of the state has read and will write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from services.eventstore.fold import Outcome, ShardState
from services.eventstore.port import Placed, ProposedEvent, Stored


class Mark(NamedTuple):
    """A position of a shard, and its digest there."""

    position: int
    digest: bytes


@dataclass(slots=True)
class Highest:
    """No append and no event of a shard has a higher id: ids rise with time, so most that come need not be looked up.

    One of the far future has all that come after it looked up, which costs time and changes nothing else.
    """

    append_id: bytes = b""
    event_id: bytes = b""


class Batch:
    """What one transaction has read and will write."""

    __slots__ = (
        "appends",
        "events",
        "marks",
        "new_streams",
        "outcomes",
        "partitions",
        "placed",
        "revoked",
        "states",
        "stored",
        "streams",
        "tracking",
    )

    def __init__(self) -> None:
        """Begin empty."""
        self.states: dict[str, ShardState] = {}
        self.partitions: dict[str, int] = {}
        self.outcomes: dict[tuple[str, bytes], Outcome | None] = {}
        self.stored: dict[tuple[str, bytes], Stored | None] = {}
        self.placed: dict[tuple[str, bytes], tuple[ProposedEvent, Placed]] = {}
        self.streams: dict[tuple[str, str], tuple[int, int] | None] = {}
        self.tracking: dict[tuple[str, str], int] = {}
        self.revoked: dict[tuple[str, str], int] = {}
        self.events: list[tuple[object, ...]] = []
        self.appends: list[tuple[object, ...]] = []
        self.new_streams: list[tuple[object, ...]] = []
        self.marks: dict[str, list[Mark]] = {}
