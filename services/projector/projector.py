"""The projector: follows every shard, opens its events and keeps all views at the head; one thread, woken by commits.

Of several projectors of one database one works. The others stand by: they look how far the views have come, for whoever waits for
them on their node, and one takes over when the first ends. Two that work at once, as when a connection is lost, do each other no harm:
their transactions take turns, and what is in a view already is not applied again.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from projections.kernel.database import GenerationGone, ViewDatabase
from services.eventstore.opening import Opener
from services.projector.parallel import Workplace
from services.projector.rebuild import Progress, Rebuild, Stopped
from services.projector.source import FollowedStore, ignored_by_all, read_batch

BATCH_MAX_EVENTS: Final = 500
LOOK_FOR_SHARDS_SECONDS: Final = 0.1
"""How often a quiet projector looks whether there is a new shard; a new event in a shard it follows wakes it at once."""
REST_SECONDS: Final = 0.03
"""After every round: a lone event is in the views at once, while under load many events share what a round costs."""
REST_TIMES_ROUND: Final = 4.0
REST_MAX_SECONDS: Final = 0.2
"""A round that took longer is followed by so many times its own duration, up to this: the more comes, the more events share a round."""
RETRY_SECONDS: Final = 0.5
"""After a failure that is not an event's fault (disk full, lost key), when a shard is tried again."""
CLAIM_SECONDS: Final = 1.0
"""How often a projector makes sure that it is the one that works, or asks whether it may be."""
_LOG: Final = structlog.get_logger("projector")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """How far a live view is behind a shard: positions, and seconds since the oldest event it lacks was recorded."""

    view: str
    shard: str
    positions: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _ShardBell:
    """Rung by a shard's commits, on the writer's thread: says which shard has moved."""

    name: str
    rung: queue.SimpleQueue[str | None]

    def set(self) -> None:
        """Say so."""
        self.rung.put(self.name)


class Projector:
    """Keeps all views of a database at the head of the log. A crash anywhere resumes from tracking, without loss or repetition."""

    def __init__(
        self, store: FollowedStore, opener: Opener, database: ViewDatabase, clock: Callable[[], int], workplace: Workplace | None = None
    ) -> None:
        """Project ``store`` into ``database``. ``clock`` returns Unix milliseconds; it only measures lag.

        ``workplace``: where other processes find the same log and keys, to help with a large build; None: this process builds alone.
        """
        self._store = store
        self._opener = opener
        self._database = database
        self._clock = clock
        self._workplace = workplace
        self._rung: Final[queue.SimpleQueue[str | None]] = queue.SimpleQueue()
        self._bells: Final[dict[str, _ShardBell]] = {}
        self._targets: dict[str, int] = {}
        self._ignored: Final = ignored_by_all(database.views)
        self._reached: Final[dict[str, int]] = {}
        self._retry_at: Final[dict[str, float]] = {}
        self._stopping: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="projector", daemon=True)
        self._builder: threading.Thread | None = None
        self._tenure: Final = database.tenure()
        self._works = False
        self._claim_at = 0.0

    def start(self) -> None:
        """Begin, or stand by until the projector that works now ends."""
        self._claim()
        self._thread.start()

    def stop(self, timeout_seconds: float) -> bool:
        """Finish the batch under way and end; False if that took longer than ``timeout_seconds``. Idempotent."""
        deadline = time.monotonic() + timeout_seconds
        self._stopping.set()
        self._rung.put(None)
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._builder is not None:  # which nobody starts any more
            self._builder.join(max(0.0, deadline - time.monotonic()))
        for name, bell in self._bells.items():
            self._store.shard(name).unlisten(bell)
        self._tenure.leave()
        return not (self._thread.is_alive() or self._is_building())

    def rebuild(self, views: Sequence[str], progress: Callable[[Progress], None]) -> None:
        """Build views anew beside the live ones and swap them in, in the caller's thread; reads and projection go on."""
        Rebuild(self._store, self._opener, self._database, progress, self._stopping, self._workplace).run(views)
        self._rung.put(None)

    def wait_for(self, view: str, shard: str, position: int, timeout_seconds: float) -> bool:
        """Wait until the live view has come to ``position`` of a shard; False when the time is up."""
        return self._database.wait_for(view, shard, position, timeout_seconds)

    def lag(self) -> tuple[Lag, ...]:
        """Return how far every live view is behind every shard; a view that is not live yet counts from the beginning."""
        lags = []
        for view in self._database.views:
            live = self._database.live(view.name)
            reached = {} if live is None else self._database.positions(view.name, live.generation)
            lags += [self._lag(view.name, shard, reached.get(shard, 0)) for shard in self._store.shards()]
        return tuple(lags)

    def ahead(self) -> tuple[str, ...]:
        """Return the views that have come further in a shard than this node's log; none, unless one of both was replaced.

        What is being built counts as well: it would be gone on with. Where nodes share a log a view may well be ahead of one that folds
        it: another node projected.
        """
        heads = {shard: self._store.shard(shard).head().position for shard in self._store.shards()}
        return tuple([view.name for view in self._database.views if self._is_ahead(view.name, heads)])

    def _is_ahead(self, view: str, heads: Mapping[str, int]) -> bool:
        """Tell whether a view's generation that is read, or one that would be built on, has come further than these heads."""
        for one in (self._database.live(view), self._database.building(view)):
            reached = {} if one is None else self._database.positions(view, one.generation)
            if any(position > heads.get(shard, 0) for shard, position in reached.items()):
                return True
        return False

    def parked(self) -> dict[str, int]:
        """Return how many streams each view has parked, by view."""
        live = {view.name: self._database.live(view.name) for view in self._database.views}
        return {name: 0 if one is None else len(self._database.parked(name, one.generation)) for name, one in live.items()}

    def _lag(self, view: str, shard: str, reached: int) -> Lag:
        """Measure one lag."""
        behind = self._store.shard(shard).head().position - reached
        oldest = self._store.shard(shard).read(reached, 1) if behind > 0 else []
        seconds = max(0.0, (self._clock() - oldest[0].recorded_at_ms) / 1_000) if oldest else 0.0
        return Lag(view=view, shard=shard, positions=max(0, behind), seconds=seconds)

    @property
    def works(self) -> bool:
        """Whether this is the projector that keeps the views at the head; else it stands by."""
        return self._works

    def _run(self) -> None:
        """Follow the shards, or stand by, until told to stop."""
        while not self._stopping.is_set():
            try:
                if self._is_at_work():
                    self._round()
                else:
                    self._stand_by()
                self._database.tidy()
            except SQLAlchemyError as error:  # the view database is not there: all is looked at anew when it is
                _LOG.error("projector.failed", error=type(error).__name__)
                self._rung.put(None)
                self._stopping.wait(RETRY_SECONDS)

    def _round(self) -> None:
        """Bring the views to the head of every shard that has moved."""
        shards = self._rung_shards() | self._follow_new_shards() | self._due_again()
        began = time.monotonic()
        for shard in shards:
            while not self._stopping.is_set() and self._project_or_note(shard) and self._is_at_work():
                pass
        if shards:
            self._stopping.wait(min(REST_MAX_SECONDS, max(REST_SECONDS, REST_TIMES_ROUND * (time.monotonic() - began))))

    def _stand_by(self) -> None:
        """Tell who waits on this node how far the views have come; what rings meanwhile is for the projector that works."""
        self._rung_shards()
        self._database.look_around()

    def _is_at_work(self) -> bool:
        """Tell whether this projector is to work, asking now and then."""
        if time.monotonic() >= self._claim_at:
            self._claim()
        return self._works

    def _claim(self) -> None:
        """Make sure of the work, or try to get it, and begin it if it is new: stale views are built beside, the others follow the log."""
        worked, works = self._works, self._tenure.take()
        self._claim_at = time.monotonic() + CLAIM_SECONDS
        if works and not worked:
            self._look_which_are_live()
            if not self._is_building() and self._stale():
                self._builder = threading.Thread(target=self._build, name="projector-build", daemon=True)
                self._builder.start()
            self._rung.put(None)
        self._works = works
        if works is not worked:
            _LOG.info("projector.works" if works else "projector.stands_by")

    def _is_building(self) -> bool:
        """Tell whether a build goes on; it does though the work was lost meanwhile, for it does no harm."""
        return self._builder is not None and self._builder.is_alive()

    def _stale(self) -> list[str]:
        """Return the views that cannot be followed: of another version, or never built."""
        return [view.name for view in self._database.views if not self._database.is_current(view.name)]

    def _rung_shards(self) -> set[str]:
        """Wait for a commit and return all shards that have moved; all there are, when a view was swapped in."""
        shards: set[str] = set()
        try:
            name = self._rung.get(timeout=LOOK_FOR_SHARDS_SECONDS)
            while True:
                if name is None:
                    self._look_which_are_live()
                    shards.update(self._bells)
                else:
                    shards.add(name)
                name = self._rung.get_nowait()
        except queue.Empty:
            return shards

    def _follow_new_shards(self) -> set[str]:
        """Listen to shards not seen before; return their names."""
        new = set(self._store.shards()) - self._bells.keys()
        for name in new:
            self._bells[name] = _ShardBell(name, self._rung)
            self._store.shard(name).listen(self._bells[name])
        return new

    def _due_again(self) -> set[str]:
        """Return the shards that failed and are to be tried again now."""
        now = time.monotonic()
        return {shard for shard, due_at in self._retry_at.items() if due_at <= now}

    def _project_or_note(self, shard: str) -> bool:
        """Project one batch of a shard; True if there may be more. A failure is logged, and the shard tried again later."""
        try:
            moved = self._project(shard)
        except GenerationGone:
            self._look_which_are_live()
            return True
        except Exception as error:  # noqa: BLE001 (whatever fails, the other shards go on and this one is tried again)
            _LOG.error("projector.failed", shard=shard, error=type(error).__name__)
            self._reached.pop(shard, None)
            self._retry_at[shard] = time.monotonic() + RETRY_SECONDS
            return False
        self._retry_at.pop(shard, None)
        return moved

    def _project(self, shard: str) -> bool:
        """Apply the next batch of a shard to every live view; False if it was the last there was: what came since has rung."""
        if not self._targets:
            return False
        reached = self._reached.get(shard)
        if reached is None:
            reached = min(self._database.tracking(view, generation, shard) for view, generation in self._targets.items())
        batch = read_batch(self._store, self._opener, shard, reached, BATCH_MAX_EVENTS, self._ignored)
        if batch is not None:
            self._database.apply_together(self._targets, shard, batch.items, batch.upto_position)
            reached = batch.upto_position
        self._reached[shard] = reached
        return batch is not None and batch.events == BATCH_MAX_EVENTS

    def _look_which_are_live(self) -> None:
        """Note which generation of each view is to be kept at the head: live ones of this code's version."""
        live = {view.name: self._database.live(view.name) for view in self._database.views if self._database.is_current(view.name)}
        self._targets = {name: one.generation for name, one in live.items() if one is not None}
        self._reached.clear()

    def _build(self) -> None:
        """Build views that cannot be followed yet, trying again after failures, until there are none or it is told to stop."""
        views: Sequence[str] = ()
        while not self._stopping.is_set():
            try:
                views = self._stale()
                if views:
                    Rebuild(self._store, self._opener, self._database, _silent, self._stopping, self._workplace).run(views)
            except Stopped:
                return
            except Exception as error:  # noqa: BLE001 (a build that fails is tried again; reads go on from what is live)
                _LOG.error("projector.build_failed", view=",".join(views), error=type(error).__name__)
                self._stopping.wait(RETRY_SECONDS)
            else:
                _LOG.info("projector.built", view=",".join(views))
                self._rung.put(None)
                return


def _silent(_progress: Progress) -> None:
    """Say nothing: lag says how far a build has come."""
