"""Who asks: the agency of the certificate, and the end user whom that agency asserts in metadata; and what every query works with."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias, TypeVar

import grpc.aio
from google.protobuf.timestamp_pb2 import Timestamp

from domain.access.events import AccessDenied, CaseViewed, DenialReason, Resource
from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.events import Purpose
from domain.kernel.ids import NATIONAL, AgencyId, CaseId
from projections.kernel.database import NotLive, Reading, ViewDatabase
from safeguarding.hub.client.routes import LABEL
from safeguarding.hub.v1.query_pb2 import Freshness
from services.intake.own import OwnEvents, OwnFact
from services.intake.registry import RegistryFollower
from services.queries.watching import Ticker
from services.runtime.errors import Invalid, NotFound, NotPermitted, Unavailable, Violation
from services.runtime.limits import MIN_POSITION_MAX_SECONDS, QUERY_MAX_THREADS

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
T = TypeVar("T")

_ASSERTED: Final = ("hub-user", "hub-role", "hub-purpose")
_LISTS: Final = uuid.UUID("6a0f8c1e-54b7-5d7c-9c55-2f6f1f0f7a11")
_LOOK_AGAIN_SECONDS: Final = 0.25
"""How often a query that waits looks for what another process has written; this process wakes it at once."""
_EARLIEST: Final = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2101, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """Who reads, in what role and for what purpose."""

    agency_id: AgencyId
    user: str
    role: str
    purpose: Purpose

    @property
    def kind(self) -> AgencyKind:
        """The kind of the agency."""
        return kind_of(self.agency_id)

    @property
    def list_id(self) -> CaseId:
        """The id under which this agency's reads that are of no one case are recorded."""
        return CaseId(str(uuid.uuid5(_LISTS, self.agency_id)))

    def viewed(self, resource: Resource, rows: int) -> CaseViewed:
        """Return the fact that it read."""
        return CaseViewed(
            viewer_agency=self.agency_id,
            viewer_user=self.user,
            viewer_role=self.role,
            viewer_purpose=self.purpose,
            resource=resource,
            rows=rows,
        )

    def denied(self, resource: Resource, reason: DenialReason) -> AccessDenied:
        """Return the fact that it was refused."""
        return AccessDenied(
            viewer_agency=self.agency_id,
            viewer_user=self.user,
            viewer_role=self.role,
            viewer_purpose=self.purpose,
            resource=resource,
            reason=reason,
        )


class Desk:
    """What every query service works with: who asks, looking at views, and recording who looked."""

    def __init__(
        self,
        *,
        views: ViewDatabase,
        own: OwnEvents,
        registry: RegistryFollower,
        identify: Callable[[Context], AgencyId],
        clock: Callable[[], datetime],
        ticker: Ticker,
        follows: tuple[str, ...] = (),
    ) -> None:
        """``clock`` returns aware UTC instants; ``follows``: the shards that this node follows besides the national one, none for all.

        Views are read by threads of its own, so that readers never keep appends waiting.
        """
        self.clock = clock
        self._views = views
        self._own = own
        self._registry = registry
        self._identify = identify
        self._ticker = ticker
        self._follows = follows
        self._threads = ThreadPoolExecutor(QUERY_MAX_THREADS, thread_name_prefix="query")

    def close(self) -> None:
        """Let the threads go; what they are doing is finished, what waits for them is not begun."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    # ── who asks ──

    def asker(self, context: Context) -> Asker:
        """Return who asks of cases, as ``caller`` and ``admit`` allow; raise ``Invalid`` unless metadata says for whom and why, once."""
        agency_id = self.caller(context)
        self.admit(agency_id)
        told: dict[str, list[str]] = {name: [] for name in _ASSERTED}
        for name, value in context.invocation_metadata() or ():
            if name in told:
                told[name].append(str(value))
        said = {name: values[0] if len(values) == 1 else "" for name, values in told.items()}
        wrong = [name for name in ("hub-user", "hub-role") if not LABEL.fullmatch(said[name])]
        if said["hub-purpose"] not in [purpose.value for purpose in Purpose]:
            wrong.append("hub-purpose")
        if wrong:
            expected = "once, printable ASCII without spaces, 1 to 100 characters; hub-purpose one of " + ", ".join(Purpose)
            raise Invalid(*(Violation(f"metadata.{name}", expected) for name in wrong), rule="wire.metadata")
        return Asker(agency_id=agency_id, user=said["hub-user"], role=said["hub-role"], purpose=Purpose(said["hub-purpose"]))

    def caller(self, context: Context) -> AgencyId:
        """Return the agency that asks; raise ``NotPermitted`` for one that holds a certificate and was never enrolled."""
        agency_id = self._identify(context)
        if self._registry.catch_up().agency(agency_id) is None:
            raise NotPermitted("wire.agency_unknown", "the agency is not enrolled")
        return agency_id

    def admit(self, agency_id: AgencyId) -> None:
        """Raise ``NotPermitted`` for an agency that is suspended: until it is enrolled again it reads no more of any case than it writes.

        Asked before every answer, so that a suspension also ends the watches that were begun before it.
        """
        entry = self._registry.catch_up().agency(agency_id)
        if entry is None or entry.is_suspended:
            raise NotPermitted("wire.agency_suspended", "the agency is suspended")

    def demand_followed(self, shards: Iterable[str]) -> None:
        """Raise ``Unavailable`` for a question about a shard that this node does not follow; none named means all there are."""
        if not self._follows:
            return
        named = sorted(set(shards))
        if not named:
            raise Unavailable(f"this node follows {', '.join(self._follows)} alone; ask one that follows every shard")
        if elsewhere := [shard for shard in named if shard != NATIONAL and shard not in self._follows]:
            raise Unavailable(f"this node does not follow shard {elsewhere[0]!r}")

    # ── looking ──

    async def look(self, view: str, work: Callable[[Reading], T]) -> T:
        """Run ``work`` over one consistent look at a view; raise ``Unavailable`` while it is being built."""
        return await self._run(lambda: self._look(view, work))

    async def wait_for(self, least: Iterable[tuple[str, int]], *views: str) -> None:
        """Wait until views have come to a position of each of some shards; raise ``Unavailable`` when that takes too long."""
        wanted = {shard: position for shard, position in sorted(least) if position}
        if not wanted:
            return
        self.demand_followed(wanted)
        loop = asyncio.get_running_loop()
        until = loop.time() + MIN_POSITION_MAX_SECONDS
        with self._ticker.listening(*views, shard=next(iter(wanted)) if len(wanted) == 1 else None, unchanged=True) as bell:
            while behind := await self._run(lambda: self._behind(wanted, views)):
                remaining = until - loop.time()
                if remaining <= 0:
                    raise Unavailable(f"what is asked of {behind} has not come to position {wanted[behind]} yet")
                await bell.wait(min(remaining, _LOOK_AGAIN_SECONDS))

    def beside(self, reading: Reading, view: str) -> Reading:
        """Return another view as it was at the moment of a look."""
        live = self._views.live(view, reading.connection)
        if live is None:
            raise _being_built(view)
        return Reading(reading.connection, live)

    async def _run(self, work: Callable[[], T]) -> T:
        """Run ``work`` on one of the desk's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _look(self, view: str, work: Callable[[Reading], T]) -> T:
        try:
            with self._views.reading(view) as reading:
                return work(reading)
        except NotLive:
            raise _being_built(view) from None

    def _behind(self, wanted: Mapping[str, int], views: Iterable[str]) -> str | None:
        """Return a shard in which some view is not as far as is wanted, None if there is none."""
        for view in views:
            try:
                with self._views.reading(view) as reading:
                    behind = [shard for shard, position in wanted.items() if reading.position(shard) < position]
            except NotLive:
                behind = list(wanted)
            if behind:
                return behind[0]
        return None

    # ── recording who looked ──

    async def viewed(self, asker: Asker, resource: Resource, cases: Iterable[tuple[str, str, int]]) -> None:
        """Record that cases were read, each given by shard, id and rows; returns when that is durable."""
        await self._own.append([OwnFact(shard, case_id, asker.viewed(resource, rows), asker.list_id) for shard, case_id, rows in cases])

    async def listed(self, asker: Asker, resource: Resource, rows: int) -> None:
        """Record that a list or table over many cases was read."""
        await self._own.append([OwnFact(NATIONAL, asker.list_id, asker.viewed(resource, rows), asker.list_id)])

    async def denied(self, asker: Asker, resource: Resource, reason: DenialReason, case: tuple[str, str] | None = None) -> None:
        """Record a refusal: with the case if there is one, else under the agency's lists."""
        shard, case_id = case or (NATIONAL, asker.list_id)
        await self._own.append([OwnFact(shard, case_id, asker.denied(resource, reason), asker.list_id)])


def no_such_case() -> NotFound:
    """Return what everybody is told of what is not there or not theirs."""
    return NotFound("no such case")


def _being_built(view: str) -> Unavailable:
    return Unavailable(f"the view {view} is being built", retry_after_seconds=5.0)


def freshness(reading: Reading, shard: str, streams: list[str] | None = None) -> Freshness:
    """Say how current an answer about a shard, or about some of its streams, is."""
    parked = reading.parked(shard, streams)
    return Freshness(shard=shard, position=reading.position(shard), parked_streams=[one.stream for one in parked])


def instant(timestamp: Timestamp, field: str) -> datetime:
    """Return a wire timestamp as an aware UTC instant; raise ``Invalid`` for one out of range."""
    try:
        moment = timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        moment = _LATEST
    if not _EARLIEST <= moment < _LATEST:
        raise Invalid(Violation(field, "an instant between the years 1900 and 2100"))
    return moment


def stamp(instant_: datetime) -> Timestamp:
    """Return an aware instant as a wire timestamp."""
    timestamp = Timestamp()
    timestamp.FromDatetime(instant_)
    return timestamp


def day(text: str, field: str, otherwise: date) -> date:
    """Read a day written YYYY-MM-DD; raise ``Invalid`` for other text."""
    if not text:
        return otherwise
    try:
        read = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        read = _LATEST
    if not _EARLIEST <= read < _LATEST:
        raise Invalid(Violation(field, "a day as YYYY-MM-DD, between 1900 and 2100"))
    return read.date()
