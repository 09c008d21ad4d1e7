"""Who asks: the agency of the certificate, and the end user whom that agency asserts in metadata."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias, TypeVar

import grpc.aio
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from domain.access.events import AccessDenied, CaseViewed, DenialReason, Resource
from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.events import Event, Purpose
from domain.kernel.ids import NATIONAL, AgencyId, CaseId
from projections.kernel.database import NotLive, Reading, ViewDatabase
from safeguarding.hub.v1.query_pb2 import Freshness
from services.intake.own import OwnEvents
from services.intake.registry import RegistryFollower
from services.runtime.errors import Invalid, NotFound, Unavailable, Violation
from services.runtime.fieldrules import check_fields
from services.runtime.limits import PAGE_DEFAULT_ROWS, QUERY_DEADLINE_SECONDS

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
T = TypeVar("T")

_LABEL: Final = re.compile(r"[\x21-\x7e]{1,100}")
_LISTS: Final = uuid.UUID("6a0f8c1e-54b7-5d7c-9c55-2f6f1f0f7a11")


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
    ) -> None:
        """``clock`` returns aware UTC instants."""
        self.views = views
        self._registry = registry
        self.clock = clock
        self._own = own
        self._identify = identify

    def asker(self, context: Context) -> Asker:
        """Return who asks; raise ``Invalid`` if the metadata does not say for whom and why."""
        said = dict(context.invocation_metadata() or ())
        wrong = [name for name in ("hub-user", "hub-role") if not _LABEL.fullmatch(str(said.get(name, "")))]
        if said.get("hub-purpose") not in [purpose.value for purpose in Purpose]:
            wrong.append("hub-purpose")
        if wrong:
            expected = "printable ASCII, 1 to 100 characters; hub-purpose one of " + ", ".join(Purpose)
            raise Invalid(*(Violation(f"metadata.{name}", expected) for name in wrong), rule="wire.metadata")
        return Asker(
            agency_id=self._identify(context),
            user=str(said["hub-user"]),
            role=str(said["hub-role"]),
            purpose=Purpose(str(said["hub-purpose"])),
        )

    def caller(self, context: Context) -> AgencyId:
        """Return the agency that asks, for what is about no case."""
        return self._identify(context)

    def shards_of(self, asker: Asker) -> frozenset[str] | None:
        """Return the shards that the asker's agency works in, None for one that works in all."""
        agency = self._registry.catch_up().agency(asker.agency_id)
        return None if agency is None or not agency.shards else frozenset(agency.shards)

    async def look(self, view: str, work: Callable[[Reading], T], *, shard: str = "", min_position: int = 0) -> T:
        """Run ``work`` over one consistent look at a view, no older than ``min_position``; raise ``Unavailable`` if it is not that far."""
        if shard and min_position:
            await self.wait_for(view, shard, min_position)
        return await asyncio.to_thread(self._look, view, work)

    async def wait_for(self, view: str, shard: str, position: int) -> None:
        """Wait until a view has come to a position; raise ``Unavailable`` when that takes too long."""
        if not await asyncio.to_thread(self.views.wait_for, view, shard, position, QUERY_DEADLINE_SECONDS / 2):
            raise Unavailable(f"the view {view} has not come to position {position} of {shard} yet")

    def _look(self, view: str, work: Callable[[Reading], T]) -> T:
        try:
            with self.views.reading(view) as reading:
                return work(reading)
        except NotLive:
            raise Unavailable(f"the view {view} is being built", retry_after_seconds=5.0) from None

    async def viewed(self, asker: Asker, shard: str, case_id: str, resource: Resource, rows: int) -> None:
        """Record that a case was read; returns when that is durable."""
        await self._record(asker, shard, case_id, resource, rows=rows)

    async def listed(self, asker: Asker, resource: Resource, rows: int) -> None:
        """Record that a list or table over many cases was read."""
        await self._record(asker, NATIONAL, asker.list_id, resource, rows=rows)

    async def denied(self, asker: Asker, shard: str, case_id: str, resource: Resource, reason: DenialReason, *, exists: bool) -> NotFound:
        """Record a refusal, with the case if there is one, and return what to raise: the same for "not there" and "not yours"."""
        place = (shard, case_id) if exists else (NATIONAL, asker.list_id)
        await self._record(asker, *place, resource, reason=reason)
        return NotFound("no such case")

    async def _record(
        self, asker: Asker, shard: str, case_id: str, resource: Resource, *, rows: int = 0, reason: DenialReason | None = None
    ) -> None:
        event: Event
        viewer = {
            "viewer_agency": asker.agency_id,
            "viewer_user": asker.user,
            "viewer_role": asker.role,
            "viewer_purpose": asker.purpose,
            "resource": resource,
        }
        event = CaseViewed(**viewer, rows=rows) if reason is None else AccessDenied(**viewer, reason=reason)  # type: ignore[arg-type]
        await self._own.append(shard, case_id, event)


def checked(request: Message) -> None:
    """Raise ``Invalid`` unless a request keeps the contract's field rules."""
    check_fields(request)


def freshness(reading: Reading, shard: str) -> Freshness:
    """Say how current an answer about a shard is."""
    parked = reading.parked(shard)
    return Freshness(shard=shard, position=reading.position(shard), parked_streams=[one.stream for one in parked])


def limit_of(page_size: int) -> int:
    """Return the rows of a page: what was asked for, or the default."""
    return page_size or PAGE_DEFAULT_ROWS


def instant(timestamp: Timestamp) -> datetime:
    """Return a wire timestamp as an aware UTC instant; raise ``Invalid`` for one out of range."""
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Invalid(Violation("timestamp", "an instant between the years 1 and 9999")) from None


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
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise Invalid(Violation(field, "a day as YYYY-MM-DD")) from None
