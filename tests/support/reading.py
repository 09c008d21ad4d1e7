"""Reading a hub as an agency would: every query with its metadata, and what a refusal looks like from outside."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message
from grpc_status import rpc_status

from domain.access.events import AccessDenied, CaseViewed
from domain.kernel.events import Recorded, london_day
from safeguarding.hub.v1 import chronology_pb2, deadlines_pb2, event_log_pb2
from safeguarding.hub.v1.chronology_pb2_grpc import ChronologyServiceStub
from safeguarding.hub.v1.deadlines_pb2_grpc import DeadlineServiceStub
from safeguarding.hub.v1.event_log_pb2_grpc import EventLogServiceStub
from safeguarding.hub.v1.oversight_pb2_grpc import OversightServiceStub
from safeguarding.hub.v1.registry_pb2_grpc import RegistryServiceStub
from services.bootstrap import now
from tests.support.builders import BUSINESS_UNIT, COUNCIL, SCHOOL, SHARD, a_notification, a_share, an_entry, an_information_request
from tests.support.hub import RunningHub

ASKS: Final = (("hub-user", "u-417"), ("hub-role", "analyst"), ("hub-purpose", "rapid_review"))
CALL_SECONDS: Final = 20.0
M = TypeVar("M", bound=Message)


def a_uuid() -> str:
    """Return an id that nothing has yet."""
    return str(uuid.uuid4())


@dataclass(frozen=True, slots=True)
class Refused:
    """What the caller of a query that failed is told: all of it."""

    code: str
    message: str | None
    trailers: tuple[tuple[str, str | bytes], ...]

    @classmethod
    def of(cls, error: grpc.aio.AioRpcError) -> Refused:
        """Return what an error tells."""
        return cls(error.code().name, error.details(), tuple(error.trailing_metadata() or ()))


class Queries:
    """All query services on one connection. Unary calls carry ``ASKS`` unless told otherwise."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        """Call over ``channel``."""
        self.chronology = ChronologyServiceStub(channel)
        self.deadlines = DeadlineServiceStub(channel)
        self.log = EventLogServiceStub(channel)
        self.oversight = OversightServiceStub(channel)
        self.registry = RegistryServiceStub(channel)

    async def story(self, case_id: str, *, shard: str = SHARD, **asked: Any) -> chronology_pb2.GetChronologyResponse:
        """Return a page of a chronology with all entries."""
        request = chronology_pb2.GetChronologyRequest(shard=shard, case_id=case_id, **{"all_entries": True, **asked})
        return await self.chronology.GetChronology(request, metadata=ASKS, timeout=CALL_SECONDS)

    async def cases_of(self, child_id: str, **asked: Any) -> list[str]:
        """Return the cases of a child."""
        request = chronology_pb2.ListCasesOfChildRequest(shard=SHARD, child_id=child_id, **asked)
        return list((await self.chronology.ListCasesOfChild(request, metadata=ASKS, timeout=CALL_SECONDS)).case_ids)

    async def stream(self, stream: str, *, shard: str = SHARD, **asked: Any) -> event_log_pb2.ReadStreamResponse:
        """Return a page of a stream."""
        request = event_log_pb2.ReadStreamRequest(shard=shard, stream=stream, **asked)
        return await self.log.ReadStream(request, metadata=ASKS, timeout=CALL_SECONDS)

    async def owed(self, **asked: Any) -> deadlines_pb2.ListDeadlinesResponse:
        """Return a page of deadlines; ``case_id`` and the like go into the filter."""
        names = deadlines_pb2.DeadlineFilter.DESCRIPTOR.fields_by_name
        wanted = deadlines_pb2.DeadlineFilter(**{name: value for name, value in asked.items() if name in names})
        rest = {name: value for name, value in asked.items() if name not in names}
        request = deadlines_pb2.ListDeadlinesRequest(filter=wanted, **rest)
        return await self.deadlines.ListDeadlines(request, metadata=ASKS, timeout=CALL_SECONDS)

    async def explained(
        self, case_id: str, clock: str = "K5B", *, shard: str = SHARD, **asked: Any
    ) -> deadlines_pb2.ExplainDeadlineResponse:
        """Return why a deadline is what it is."""
        request = deadlines_pb2.ExplainDeadlineRequest(shard=shard, case_id=case_id, clock=clock, **asked)
        return await self.deadlines.ExplainDeadline(request, metadata=ASKS, timeout=CALL_SECONDS)

    def watch(self, case_id: str, *, shard: str = SHARD, **asked: Any) -> Any:
        """Open a watch of a chronology."""
        request = chronology_pb2.WatchChronologyRequest(shard=shard, case_id=case_id, **{"all_entries": True, **asked})
        return self.chronology.WatchChronology(request, metadata=ASKS, timeout=60)

    def subscribe(self, after_position: int = 0, *, shard: str = SHARD) -> Any:
        """Open a subscription to a shard."""
        request = event_log_pb2.SubscribeRequest(shard=shard, after_position=after_position)
        return self.log.Subscribe(request, metadata=ASKS, timeout=60)


@asynccontextmanager
async def queries(hub: RunningHub, agency_id: str, options: Sequence[tuple[str, Any]] = ()) -> AsyncIterator[Queries]:
    """Give the queries of an agency; ``options`` of its channel, as gRPC names them."""
    async with hub.channel(agency_id, options) as channel:
        yield Queries(channel)


async def refusal(answer: Awaitable[Any]) -> Refused:
    """Return what a call that is expected to fail tells."""
    try:
        found = await answer
    except grpc.aio.AioRpcError as error:
        return Refused.of(error)
    raise AssertionError(f"it was answered: {found}")


def detail(error: grpc.aio.AioRpcError, kind: type[M]) -> M:
    """Return the detail of a kind that an error carries."""
    status = rpc_status.from_call(error)
    found = kind()
    assert any(one.Unpack(found) for one in status.details), f"no {kind.DESCRIPTOR.name}: {status}"
    return found


async def code_of(answer: Awaitable[Any]) -> str:
    """Return the name of the status that a call ends with."""
    try:
        await answer
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def first(watch: Any) -> Any:
    """Return the next answer of a watch."""
    answer = await asyncio.wait_for(watch.read(), CALL_SECONDS)
    assert answer is not grpc.aio.EOF
    return answer


def case_calls(asks: Queries, case_id: str, shard: str = SHARD) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Return every call that reads one case, by a name for it."""
    return {
        "GetChronology": lambda: asks.story(case_id, shard=shard),
        "WatchChronology": lambda: first(asks.watch(case_id, shard=shard)),
        "ExplainDeadline": lambda: asks.explained(case_id, shard=shard),
        "ReadStream incident": lambda: asks.stream(f"incident-{case_id}", shard=shard),
        "ReadStream sharing": lambda: asks.stream(f"sharing-{case_id}", shard=shard),
        "ReadStream access": lambda: asks.stream(f"access-{case_id}", shard=shard),
    }


async def caught_up(hub: RunningHub, position: int, shard: str = SHARD) -> None:
    """Wait until every view has come to a position."""
    for view in hub.parts.views.views:
        assert await asyncio.to_thread(hub.parts.projector.wait_for, view.name, shard, position, CALL_SECONDS)


async def a_told_case(hub: RunningHub) -> tuple[str, int]:
    """Have a case told and projected: the council notifies, the school is asked and answers. Return its id and the last position."""
    case_id, request_id, entry_id = a_uuid(), a_uuid(), a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    await hub.said(BUSINESS_UNIT, an_information_request(request_id, recipient=SCHOOL, due_on=london_day(now())), case_id=case_id)
    (receipt,) = await hub.said(SCHOOL, a_share(an_entry(entry_id), request_id=request_id), case_id=case_id)
    await caught_up(hub, receipt.position)
    return case_id, receipt.position


def access_events(hub: RunningHub, stream: str, shard: str = SHARD) -> list[Recorded]:
    """Return the hub's own record of who read what, straight from the log."""
    stored = hub.parts.store.shard(shard).read_stream(stream)
    return [hub.parts.opener.open(shard, one) for one in stored]


def said_of(recorded: Recorded) -> tuple[str, ...]:
    """Return what an access event says of a read, in words to compare."""
    event = recorded.event
    assert isinstance(event, CaseViewed | AccessDenied)
    outcome = f"{event.rows} rows" if isinstance(event, CaseViewed) else event.reason.value
    return (
        recorded.agency_id,
        event.viewer_agency,
        event.viewer_user,
        event.viewer_role,
        event.viewer_purpose.value,
        event.resource.value,
        outcome,
    )
