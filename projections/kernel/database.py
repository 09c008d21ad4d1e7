"""The view database: generations of views, filled beside each other and swapped, read while they are written.

Statements are dialect-neutral; what belongs to one database lies in its own module (``sqlite.py``, ``postgresql.py``).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, MetaData, Table, and_, bindparam, delete, func, insert, inspect, select, update
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from domain.kernel.events import Recorded
from projections.kernel import sqlite
from projections.kernel.backend import Access, Backend, Beside, Tenure
from projections.kernel.batch import NOT_THE_EVENTS_FAULT, Place, Unreadable, apply_batch, concerns, position_of
from projections.kernel.digest import row_digest, shape_of
from projections.kernel.schema import GENERATIONS, KERNEL, LOG, PARKED, TRACKING
from projections.kernel.view import WHILE_BUILDING, Tables, View

_LOOK_AGAIN_SECONDS: Final = 0.25
"""How often a waiting reader looks for what another process has written; this process wakes it at once."""
_TIDY_AGAIN_SECONDS: Final = 1.0
_SHOWN: Final = 16
"""Of a leaf hash, which is enough to tell two apart by eye."""

_OWNER: Final = select(LOG.c.first_leaf)

_ALL_PARKED: Final = (
    select(PARKED.c.shard, PARKED.c.stream, PARKED.c.position, PARKED.c.event_type, PARKED.c.reason_type, PARKED.c.skipped)
    .where(PARKED.c.view == bindparam("of_view"), PARKED.c.generation == bindparam("of_generation"))
    .order_by(PARKED.c.shard, PARKED.c.position)
)
_GENERATION: Final = select(GENERATIONS).where(GENERATIONS.c.view == bindparam("of_view"), GENERATIONS.c.state == bindparam("of_state"))


class State(StrEnum):
    """What a generation is for."""

    BUILDING = "building"
    LIVE = "live"
    FORMER = "former"
    """Gone but for its tables, which somebody may still be reading."""


_STATES: Final = select(GENERATIONS.c.view, GENERATIONS.c.generation, GENERATIONS.c.state).where(GENERATIONS.c.state != State.FORMER.value)
_STATE: Final = _STATES.with_only_columns(GENERATIONS.c.state).where(
    GENERATIONS.c.view == bindparam("of_view"), GENERATIONS.c.generation == bindparam("of_generation")
)
_FORMER: Final = select(GENERATIONS.c.view, GENERATIONS.c.generation).where(GENERATIONS.c.state == State.FORMER.value)
_ALL_POSITIONS: Final = (
    select(GENERATIONS.c.view, GENERATIONS.c.generation, TRACKING.c.shard, TRACKING.c.position)
    .outerjoin(TRACKING, and_(TRACKING.c.view == GENERATIONS.c.view, TRACKING.c.generation == GENERATIONS.c.generation))
    .where(GENERATIONS.c.state == State.LIVE.value)
)


class NotLive(Exception):
    """The view has no generation that can be read: it is being built."""


class GenerationGone(Exception):
    """The generation was swapped out or discarded: look again which one is live."""


class OtherLog(Exception):
    """The database holds views of another log."""


class Behind(Exception):
    """A generation is not as far as the live one in some shard: swapping it in would take reads back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One filling of a view's tables."""

    view: str
    generation: int
    version: str
    state: State
    tables: Tables


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedStream:
    """A stream whose event at ``position`` a view could not take; its later events, ``skipped`` so far, are missing from the view too."""

    shard: str
    stream: str
    position: int
    event_type: str
    reason_type: str
    skipped: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """A live view was written: it has come to ``position`` of a shard, or another generation was swapped in (no shard)."""

    view: str
    shard: str | None
    position: int
    changed: bool
    """Whether an event that the view handles was among what was written; if not, its rows are what they were."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A consistent look at a live view: use ``connection`` for every query of one answer."""

    connection: Connection
    live: Generation

    @property
    def tables(self) -> Tables:
        """The live generation's tables."""
        return self.live.tables

    def position(self, shard: str) -> int:
        """Return how far the view has come in a shard, as this look sees it."""
        return position_of(self.connection, self.live.view, self.live.generation, shard)

    def parked(self, shard: str | None = None, streams: Sequence[str] | None = None) -> tuple[ParkedStream, ...]:
        """Return the parked streams: all, those of one shard, or those among ``streams``."""
        return _parked(self.connection, self.live.view, self.live.generation, shard, streams)


class ViewDatabase:
    """All views of one hub in one database. Writers take turns; every reader has a connection of its own."""

    def __init__(self, url: str, views: Sequence[View], *, passing: bool = False) -> None:
        """Open, and create what is missing. ``url``: as SQLAlchemy has it, ``sqlite:///<path>`` or ``postgresql+psycopg://…``.

        ``passing``: for a database that is thrown away after any crash, and therefore written several times as fast.
        """
        self._backend: Final = _backend(url)
        self._views: Final = {view.name: view for view in views}
        self._writer: Final = self._backend.engine(url, Access.WRITE_PASSING if passing else Access.WRITE)
        self._readers: Final = self._backend.engine(url, Access.READ)
        self._turn: Final = threading.RLock()
        self._moved: Final = threading.Condition()
        self._moves = 0
        self._listeners: tuple[Callable[[Move], None], ...] = ()
        self._defined: Final[dict[tuple[str, int], Tables]] = {}
        self._seen: dict[tuple[str, int, str | None], int] = {}
        self._tidy_at: float | None = 0.0  # another process may have left something
        self._shapes: Final = {view.name: shape_of(view.define(MetaData(), "")) for view in views}
        with self._write() as connection:
            KERNEL.create_all(connection)

    @property
    def views(self) -> tuple[View, ...]:
        """The views of this code."""
        return tuple(self._views.values())

    def close(self) -> None:
        """Close every connection; idempotent."""
        if self._tidy_at:
            self._tidy()
        self._writer.dispose()
        self._readers.dispose()

    def belong_to(self, log: str | None) -> None:
        """Hold the views of a log, named by the leaf hash of its first event; None is said of a log that has none yet.

        Raise ``OtherLog`` if the database holds those of another.
        """
        with self.reader() as connection:
            owner = connection.execute(_OWNER).scalar_one_or_none()
        if owner is None and log is not None:
            with self._write() as connection:
                owner = connection.execute(_OWNER).scalar_one_or_none()
                if owner is None:
                    connection.execute(insert(LOG).values(first_leaf=log))
        if owner is not None and owner != log:
            beside = "this log is empty" if log is None else f"this one begins with {log[:_SHOWN]}…"
            raise OtherLog(f"the view database is of another log: that begins with event {owner[:_SHOWN]}…, {beside}")

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        """Give a connection that only reads and sees one moment throughout, whatever is written or swapped meanwhile."""
        with self._readers.begin() as connection:
            yield connection

    @contextmanager
    def reading(self, view: str) -> Iterator[Reading]:
        """Give a consistent look at a live view; raise ``NotLive`` while it has none."""
        while True:
            with self.reader() as connection:
                live = self.live(view, connection)
                if live is None:
                    raise NotLive(f"view {view} is being built")
                if self._backend.hold(connection, live.tables):
                    yield Reading(connection, live)
                    return

    def live(self, view: str, connection: Connection | None = None) -> Generation | None:
        """Return the generation to read, or None: there is none yet, or its tables are of another shape than this code reads.

        It may be of an older version than the code's until the rebuild beside it is swapped in.
        """
        if connection is None:
            with self.reader() as own:
                return self.live(view, own)
        return self._generation(connection, view, State.LIVE, shape=self._shapes[view])

    def building(self, view: str) -> Generation | None:
        """Return the generation that ``begin_build`` would go on with, if there is one."""
        with self.reader() as connection:
            begun = self._generation(connection, view, State.BUILDING)
            return begun if begun is not None and self._is_of_this_code(connection, begun) else None

    def is_current(self, view: str) -> bool:
        """Tell whether the live generation is of this code's version and shape, so that events may be applied to it."""
        live = self.live(view)
        return live is not None and live.version == self._views[view].version

    def begin_build(self, view: str) -> Generation:
        """Return a generation to fill beside the live one: the one begun before if it is of this version, else a new one."""
        with self._write() as connection:
            begun = self._generation(connection, view, State.BUILDING)
            if begun is not None:
                if self._is_of_this_code(connection, begun):
                    return begun
                self._discard(connection, view, begun.generation)
            last = connection.execute(select(func.max(GENERATIONS.c.generation)).where(GENERATIONS.c.view == view)).scalar() or 0
            version, tables = self._views[view].version, self._tables(view, last + 1)
            row = {"view": view, "generation": last + 1, "version": version, "shape": self._shapes[view], "state": State.BUILDING.value}
            connection.execute(insert(GENERATIONS).values(row))
            for table in tables.values():
                connection.execute(CreateTable(table))
            _create_indexes(connection, tables, only=WHILE_BUILDING)
            return Generation(view=view, generation=last + 1, version=version, state=State.BUILDING, tables=tables)

    def index(self, view: str, generation: int) -> None:
        """Make the indexes that a filled generation lacks, so that its swap need not; raise ``GenerationGone`` if there is none such."""
        with self._write() as connection:
            if self._state(connection, view, generation) is None:
                raise GenerationGone(f"view {view} has no generation {generation}")
            tables = self._tables(view, generation)
            _create_indexes(connection, tables)
            self._backend.settle(connection, tables)

    def discard(self, view: str, generation: int) -> None:
        """Drop a generation that was being filled; raise ``ValueError`` for the live one."""
        with self._write() as connection:
            if self._state(connection, view, generation) is not State.BUILDING:
                raise ValueError(f"generation {generation} of view {view} is not being built")
            self._discard(connection, view, generation)
        self.tidy()

    def swap(self, view: str, generation: int) -> None:
        """Make a filled generation the live one and discard the former, in one transaction; readers see either. ``tidy`` drops its tables.

        Raise ``Behind`` if it is behind the live one in any shard (reads never go back), ``ValueError`` if it is not being built.
        """
        with self._write() as connection:
            if self._state(connection, view, generation) is not State.BUILDING:
                raise ValueError(f"generation {generation} of view {view} is not being built")
            former = self._former(connection, view)
            if former is not None:
                self._demand_not_behind(connection, view, generation, former)
                self._discard(connection, view, former)
            _create_indexes(connection, self._tables(view, generation))
            chosen = and_(GENERATIONS.c.view == view, GENERATIONS.c.generation == generation)
            connection.execute(update(GENERATIONS).where(chosen).values(state=State.LIVE.value))
        self._announce(Move(view=view, shard=None, position=0, changed=True))

    def apply(self, view: str, generation: int, shard: str, batch: Sequence[Recorded | Unreadable], upto_position: int) -> bool:
        """Write a batch's rows and tracking in ONE transaction; False, and nothing written, if tracking is there already.

        ``batch``: events of one shard in position order, types that the view passes over may be among them; ``upto_position``:
        the last position read, whether or not an event of it is in the batch. An event that the view cannot take parks its stream.
        Raise ``GenerationGone`` if there is no such generation any more.
        """
        return view in self.apply_together({view: generation}, shard, batch, upto_position)

    def apply_together(
        self, generations: Mapping[str, int], shard: str, batch: Sequence[Recorded | Unreadable], upto_position: int
    ) -> frozenset[str]:
        """As ``apply``, to a generation of each of several views in ONE transaction; return the views that were not there yet."""
        try:
            applied, live = self._apply(generations, shard, batch, upto_position, finds_fault=False)
        except (GenerationGone, *NOT_THE_EVENTS_FAULT):
            raise
        except Exception:  # noqa: BLE001 (whatever a projection raises about an event, it is found and parked)
            applied, live = self._apply(generations, shard, batch, upto_position, finds_fault=True)
        for view in applied & live:
            changed = any(concerns(self._views[view], item) for item in batch)
            self._announce(Move(view=view, shard=shard, position=upto_position, changed=changed))
        return applied

    def _apply(
        self, generations: Mapping[str, int], shard: str, batch: Sequence[Recorded | Unreadable], upto_position: int, *, finds_fault: bool
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Apply a batch in one transaction; return the views that were not there yet, and those whose generation is the live one."""
        with self._write() as connection:
            states = {(row.view, row.generation): State(row.state) for row in connection.execute(_STATES)}
            for view, generation in generations.items():
                if (view, generation) not in states:
                    raise GenerationGone(f"view {view} has no generation {generation}")
            places = [Place(self._views[view], number, shard, self._tables(view, number)) for view, number in generations.items()]
            applied = apply_batch(connection, places, batch, upto_position, finds_fault=finds_fault)
        return applied, frozenset(view for view, generation in generations.items() if states[view, generation] is State.LIVE)

    def absorb(self, file: Path, generations: Sequence[Generation]) -> bool:
        """Take over all that another database holds of some views, rows, parked streams and tracking, in ONE transaction.

        ``file``: a closed SQLite database in which whole shards were projected from their beginning, into one generation of each of
        these views. False, and nothing written, if one of ``generations`` has come anywhere in one of its shards already, or was swapped
        in by another process that was filling it too: then they are to be filled from there on. Raise ``GenerationGone`` if one is gone.
        """
        with self._turn, self._backend.beside(self._writer, file) as beside:
            connection, shards = beside.connection, set(beside.look(select(TRACKING.c.shard)).scalars())
            for one in generations:
                state = self._state(connection, one.view, one.generation)
                if state not in {State.BUILDING, State.LIVE}:
                    raise GenerationGone(f"view {one.view} has no generation {one.generation}")
                if state is State.LIVE or shards & _positions(connection, one.view, one.generation).keys():
                    return False
            for one in generations:
                _copy(beside, one)
        return True

    def tracking(self, view: str, generation: int, shard: str) -> int:
        """Return the last position of a shard applied to a generation, 0 if none was."""
        with self.reader() as connection:
            return position_of(connection, view, generation, shard)

    def positions(self, view: str, generation: int) -> dict[str, int]:
        """Return the last position applied of every shard that a generation has seen."""
        with self.reader() as connection:
            return _positions(connection, view, generation)

    def parked(self, view: str, generation: int) -> tuple[ParkedStream, ...]:
        """Return the streams that a generation has parked."""
        with self.reader() as connection:
            return _parked(connection, view, generation, None, None)

    def digest(self, view: str, generation: int) -> bytes:
        """Return SHA-256 over all rows of the view's tables, in key order: equal digests, equal rows. Reads everything."""
        tables = self._tables(view, generation)
        with self.reader() as connection:
            if not self._backend.hold(connection, tables):
                raise GenerationGone(f"view {view} has no generation {generation}")
            return row_digest(connection, tables)

    def size_bytes(self) -> int:
        """Return what the database takes on disk."""
        return self._backend.size_bytes(self._readers)

    def tenure(self) -> Tenure:
        """Return this process's claim to be the one that keeps these views at the head of the log, not made yet."""
        return self._backend.tenure(self._writer)

    def look_around(self) -> None:
        """Announce how far the live views have come by other processes since the last look: who waits or listens here hears of it."""
        with self.reader() as connection:
            found = {(row.view, row.generation, row.shard): row.position or 0 for row in connection.execute(_ALL_POSITIONS)}
        before, self._seen = self._seen, found
        live = {(view, generation) for view, generation, _ in before}
        for view in sorted(view for view, _ in {(view, generation) for view, generation, _ in found} - live):
            self._announce(Move(view=view, shard=None, position=0, changed=True))
        for (view, generation, shard), position in found.items():
            if shard is not None and (view, generation) in live and position > before.get((view, generation, shard), 0):
                self._announce(Move(view=view, shard=shard, position=position, changed=True))

    def tidy(self) -> None:
        """Drop the tables of former generations that nobody reads any more; costs nothing when there are none, or were a moment ago."""
        if self._tidy_at is not None and time.monotonic() >= self._tidy_at:
            self._tidy()

    def wait_for(self, view: str, shard: str, position: int, timeout_seconds: float) -> bool:
        """Wait until the live view has come to ``position`` of a shard; False when the time is up."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            seen = self._moves
            with self.reader() as connection:
                live = self.live(view, connection)
                if live is not None and position_of(connection, view, live.generation, shard) >= position:
                    return True
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            with self._moved:
                self._moved.wait_for(lambda: self._moves != seen, min(remaining, _LOOK_AGAIN_SECONDS))  # noqa: B023 (called here only)

    def listen(self, heard: Callable[[Move], None]) -> None:
        """Call ``heard`` after every commit of this process, on the writer's thread: it must neither block nor raise."""
        with self._moved:
            self._listeners = (*self._listeners, heard)

    def unlisten(self, heard: Callable[[Move], None]) -> None:
        """Call it no more."""
        with self._moved:
            self._listeners = tuple(one for one in self._listeners if one != heard)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other writers of this process waiting, so that a generation can catch up with the live one and be swapped in."""
        with self._turn:
            yield

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        """Give the writing connection, one caller at a time."""
        with self._turn, self._writer.begin() as connection:
            yield connection

    def _announce(self, move: Move) -> None:
        """Wake readers that wait for a position, and tell who listens."""
        with self._moved:
            self._moves += 1
            self._moved.notify_all()
            listeners = self._listeners
        for heard in listeners:
            heard(move)

    def _tables(self, view: str, generation: int) -> Tables:
        """Return a generation's tables as this code defines them."""
        key = (view, generation)
        if key not in self._defined:
            self._defined[key] = self._views[view].define(MetaData(), _prefix(view, generation))
        return self._defined[key]

    def _tidy(self) -> None:
        """Drop what can be dropped, and note when to try the rest again."""
        left = False
        try:
            with self.reader() as connection:
                former = list(connection.execute(_FORMER))
            for view, generation in former:
                with self._write() as connection:
                    self._backend.be_impatient(connection)
                    self._drop(connection, view, generation)
        except OperationalError:  # somebody reads on
            left = True
        self._tidy_at = time.monotonic() + _TIDY_AGAIN_SECONDS if left else None

    def _generation(self, connection: Connection, view: str, state: State, shape: str | None = None) -> Generation | None:
        """Return the view's generation in a state, if it is of the shape asked for."""
        row = connection.execute(_GENERATION, {"of_view": view, "of_state": state.value}).one_or_none()
        if row is None or (shape is not None and row.shape != shape):
            return None
        tables = self._tables(view, row.generation)
        return Generation(view=view, generation=row.generation, version=row.version, state=state, tables=tables)

    def _state(self, connection: Connection, view: str, generation: int) -> State | None:
        """Return what a generation is for, None if it does not exist."""
        found = connection.execute(_STATE, {"of_view": view, "of_generation": generation}).scalar_one_or_none()
        return None if found is None else State(found)

    def _former(self, connection: Connection, view: str) -> int | None:
        """Return the number of the live generation, whatever its shape."""
        live = self._generation(connection, view, State.LIVE)
        return None if live is None else live.generation

    def _is_of_this_code(self, connection: Connection, begun: Generation) -> bool:
        """Tell whether a generation begun earlier has this code's version and shape, so that filling it may go on."""
        statement = select(GENERATIONS.c.shape).where(GENERATIONS.c.view == begun.view, GENERATIONS.c.generation == begun.generation)
        shape = connection.execute(statement).scalar_one()
        return begun.version == self._views[begun.view].version and shape == self._shapes[begun.view]

    def _demand_not_behind(self, connection: Connection, view: str, generation: int, former: int) -> None:
        """Raise ``Behind`` if a generation is behind the live one in any shard."""
        reached = _positions(connection, view, generation)
        for shard, position in _positions(connection, view, former).items():
            found = reached.get(shard, 0)
            if found < position:
                raise Behind(f"view {view}, shard {shard}: generation {generation} is at {found}, the live one at {position}")

    def _discard(self, connection: Connection, view: str, generation: int) -> None:
        """Drop all of a generation but its tables: nobody waits for these to be overwritten, nor for whoever may still be reading them."""
        for table in (TRACKING, PARKED):
            connection.execute(delete(table).where(table.c.view == view, table.c.generation == generation))
        chosen = and_(GENERATIONS.c.view == view, GENERATIONS.c.generation == generation)
        connection.execute(update(GENERATIONS).where(chosen).values(state=State.FORMER.value))
        self._tidy_at = time.monotonic()

    def _drop(self, connection: Connection, view: str, generation: int) -> None:
        """Drop a generation: its tables as the database has them (an older code may have defined others) and all that is noted of it."""
        prefix = _prefix(view, generation)
        for name in inspect(connection).get_table_names():
            if name.startswith(prefix):
                connection.execute(DropTable(Table(name, MetaData())))
        for table in (GENERATIONS, TRACKING, PARKED):
            connection.execute(delete(table).where(table.c.view == view, table.c.generation == generation))
        self._defined.pop((view, generation), None)


def _backend(url: str) -> Backend:
    """Return the module of a URL's database; raise ``ValueError`` if there is none."""
    name = make_url(url).get_backend_name()
    if name == "sqlite":
        return sqlite
    if name == "postgresql":
        from projections.kernel import postgresql  # noqa: PLC0415 (most hubs do without its driver)

        return postgresql
    raise ValueError(f"views lie on sqlite or postgresql, not on {name}")


def _create_indexes(connection: Connection, tables: Tables, only: str | None = None) -> None:
    """Make those indexes of a generation that there are not yet; ``only``: that are marked so.

    Rows come faster without, and sorting all rows for an index once takes less than putting each into its place.
    """
    for table in tables.values():
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            if only is None or only in index.info:
                connection.execute(CreateIndex(index, if_not_exists=True))


def _copy(beside: Beside, into: Generation) -> None:
    """Copy a generation's rows, parked streams and tracking from the only generation of its view in the database beside."""
    (source,) = beside.look(select(GENERATIONS.c.generation).where(GENERATIONS.c.view == into.view)).scalars()
    for table in into.tables.values():
        beside.copy(f"{_prefix(into.view, source)}{table.name.removeprefix(_prefix(into.view, into.generation))}", table)
    for table in (PARKED, TRACKING):
        rows = [row._asdict() for row in beside.look(select(table).where(table.c.view == into.view))]
        if rows:
            beside.connection.execute(insert(table), [row | {"generation": into.generation} for row in rows])


def _prefix(view: str, generation: int) -> str:
    """Return what the names of a generation's tables and indexes begin with."""
    return f"{view}_g{generation}_"


def _positions(connection: Connection, view: str, generation: int) -> dict[str, int]:
    """Return the last position applied of each shard."""
    statement = select(TRACKING.c.shard, TRACKING.c.position).where(TRACKING.c.view == view, TRACKING.c.generation == generation)
    return {row.shard: row.position for row in connection.execute(statement)}


def _parked(
    connection: Connection,
    view: str,
    generation: int,
    shard: str | None,
    streams: Sequence[str] | None,
) -> tuple[ParkedStream, ...]:
    """Return parked streams, by shard and position."""
    rows = connection.execute(_ALL_PARKED, {"of_view": view, "of_generation": generation})
    parked = (ParkedStream(**row._asdict()) for row in rows)
    return tuple(one for one in parked if (shard is None or one.shard == shard) and (streams is None or one.stream in streams))
