"""One batch into one generation of a view: its rows, what it parks, and how far it has come, in the caller's transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, and_, bindparam, insert, select, update
from sqlalchemy.exc import InterfaceError, OperationalError

from domain.kernel.events import Recorded
from projections.kernel.schema import PARKED, TRACKING
from projections.kernel.view import Tables, View

NOT_THE_EVENTS_FAULT: Final = (OperationalError, InterfaceError, OSError, MemoryError)
"""The database or the machine failed: the batch is tried again, nothing is parked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """An event of the log that could not be opened or decoded: it parks its stream wherever it is not ignored."""

    stream: str
    position: int
    event_type: str
    reason_type: str


@dataclass(frozen=True, slots=True)
class Place:
    """The generation of a view, and the shard that a batch belongs to."""

    view: View
    generation: int
    shard: str
    tables: Tables

    @property
    def key(self) -> dict[str, str | int]:
        """The parameters that name it in the statements below."""
        return {"of_view": self.view.name, "of_generation": self.generation, "of_shard": self.shard}

    @property
    def row(self) -> dict[str, str | int]:
        """What a row that belongs to it begins with."""
        return {"view": self.view.name, "generation": self.generation, "shard": self.shard}


# Statements that every batch needs are made once: making them takes longer than running them.
_OF_SHARD: Final = and_(
    TRACKING.c.view == bindparam("of_view"), TRACKING.c.generation == bindparam("of_generation"), TRACKING.c.shard == bindparam("of_shard")
)
_POSITION: Final = select(TRACKING.c.position).where(_OF_SHARD)
_POSITIONS: Final = select(TRACKING.c.view, TRACKING.c.generation, TRACKING.c.position).where(TRACKING.c.shard == bindparam("of_shard"))
_MOVE: Final = update(TRACKING).where(_OF_SHARD).values(position=bindparam("upto_position"))
_PARKED: Final = select(PARKED.c.view, PARKED.c.generation, PARKED.c.stream).where(PARKED.c.shard == bindparam("of_shard"))


def position_of(connection: Connection, view: str, generation: int, shard: str) -> int:
    """Return the last position applied, 0 if none was."""
    return connection.execute(_POSITION, {"of_view": view, "of_generation": generation, "of_shard": shard}).scalar() or 0


def apply_batch(
    connection: Connection, places: Sequence[Place], batch: Sequence[Recorded | Unreadable], upto_position: int, *, finds_fault: bool
) -> frozenset[str]:
    """Write the rows that views make of ``batch`` and move their tracking to ``upto_position``; return the views that were not there yet.

    The places are of one shard. Events at or before a tracked position are passed over, so that a batch may be given again.
    With ``finds_fault`` an event that a view cannot take parks its stream. Without, which takes half the statements, the error that it
    raises is passed on: roll back, and apply the batch again finding fault.
    """
    rows = connection.execute(_POSITIONS, {"of_shard": places[0].shard})  # which stay so in this transaction, since writers take turns
    tracked = {(row.view, row.generation): row.position for row in rows}
    reached = [(place, tracked.get((place.view.name, place.generation), 0)) for place in places]
    behind = [(place, position) for place, position in reached if position < upto_position]
    if not behind:
        return frozenset()
    parked = _parked_streams(connection, places[0].shard)
    for place, position in behind:
        handles = place.view.handles  # as ``concerns`` has it, without a call for every event and view
        fresh = [
            item
            for item in batch
            if item.position > position and (item.event_type in handles if isinstance(item, Recorded) else concerns(place.view, item))
        ]
        if fresh:
            _Parking(connection, place, parked.get((place.view.name, place.generation), set()), finds_fault=finds_fault).take(fresh)
    if moves := [{**place.key, "upto_position": upto_position} for place, position in behind if position]:
        connection.execute(_MOVE, moves)
    if begun := [{**place.row, "position": upto_position} for place, position in behind if not position]:
        connection.execute(insert(TRACKING), begun)
    return frozenset(place.view.name for place, _ in behind)


def _parked_streams(connection: Connection, shard: str) -> dict[tuple[str, int], set[str]]:
    """Return the streams of a shard parked so far, by view and generation."""
    parked: dict[tuple[str, int], set[str]] = {}
    for view, generation, stream in connection.execute(_PARKED, {"of_shard": shard}):
        parked.setdefault((view, generation), set()).add(stream)
    return parked


def concerns(view: View, item: Recorded | Unreadable) -> bool:
    """Tell whether the view makes something of this event: an unreadable one of unknown type might have mattered."""
    if isinstance(item, Unreadable):
        return item.event_type not in view.ignores
    return item.event_type in view.handles


class _Parking:
    """Applies events and parks the streams of those that the view cannot take, alike however the log is cut into batches."""

    def __init__(self, connection: Connection, place: Place, parked: set[str], *, finds_fault: bool) -> None:
        """``parked``: the streams parked so far; taken over."""
        self._connection = connection
        self._place = place
        self._parked = parked
        self._finds_fault = finds_fault
        self._skipped: Counter[str] = Counter()

    def take(self, items: Sequence[Recorded | Unreadable]) -> None:
        """Apply all at once; if that fails, one after the other, to find the event that cannot be taken."""
        open_items = items
        if self._parked:
            open_items = [item for item in items if item.stream not in self._parked]
            for item in items:
                if item.stream in self._parked:
                    self._pass_over(item)
        events = [item for item in open_items if isinstance(item, Recorded)]
        if len(events) < len(open_items) or self._failure(events) is not None:
            for item in open_items:
                self._take_one(item)
        for stream, count in self._skipped.items():
            self._skip(stream, count)

    def _pass_over(self, item: Recorded | Unreadable) -> None:
        """Count an event of a parked stream, and let the view write what it says of who may read."""
        self._skipped[item.stream] += 1
        self._narrow(item)

    def _narrow(self, item: Recorded | Unreadable) -> None:
        """Let the view write what an event that it does not apply says of who may read."""
        place = self._place
        if place.view.pass_over is not None:
            place.view.pass_over(self._connection, place.tables, place.shard, item)

    def _skip(self, stream: str, count: int) -> None:
        """Count events of a parked stream that are missing from the view."""
        place = self._place
        key = and_(PARKED.c.view == place.view.name, PARKED.c.generation == place.generation, PARKED.c.shard == place.shard)
        statement = update(PARKED).where(key, PARKED.c.stream == stream)
        self._connection.execute(statement.values(skipped=PARKED.c.skipped + count))

    def _take_one(self, item: Recorded | Unreadable) -> None:
        """Apply one event, or park its stream, or count it as skipped."""
        if item.stream in self._parked:
            self._pass_over(item)
        elif isinstance(item, Unreadable):
            self._park(item, item.reason_type)
        elif (reason := self._failure([item])) is not None:
            self._park(item, reason)

    def _failure(self, events: Sequence[Recorded]) -> str | None:
        """Apply events under a savepoint; return the type of the error (never its text, which may quote the event), or None."""
        if not events:
            return None
        if not self._finds_fault:
            self._place.view.apply(self._connection, self._place.tables, events)
            return None
        savepoint = self._connection.begin_nested()
        try:
            self._place.view.apply(self._connection, self._place.tables, events)
        except NOT_THE_EVENTS_FAULT:
            raise
        except Exception as error:  # noqa: BLE001 (whatever a projection raises about an event parks it)
            savepoint.rollback()
            return type(error).__name__
        savepoint.commit()
        return None

    def _park(self, item: Recorded | Unreadable, reason_type: str) -> None:
        """Park the stream at this event."""
        self._parked.add(item.stream)
        self._narrow(item)
        row = {"stream": item.stream, "position": item.position, "event_type": item.event_type, "reason_type": reason_type}
        self._connection.execute(insert(PARKED).values(skipped=0, **self._place.row, **row))
