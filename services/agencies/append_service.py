"""What the seven append services have in common: who calls, how much, and a stream that one bad event never ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import grpc.aio

from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.ids import AgencyId
from safeguarding.hub.v1.append_pb2 import AppendEventsRequest, AppendEventsResponse, GetReceiptRequest, GetReceiptResponse
from services.agencies.gate import Gate
from services.intake.intake import Intake
from services.runtime.errors import HubError, Invalid, NotPermitted, Violation
from services.runtime.fieldrules import check_fields
from services.runtime.interceptors import Unreadable
from services.runtime.limits import REQUEST_MAX_BYTES, REQUEST_MAX_EVENTS
from services.runtime.metrics import Metrics
from services.runtime.status import status_of

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class AppendService:
    """Base of the append services. Subclasses name the kind of agency that may call them."""

    KIND: ClassVar[AgencyKind]
    add_to_server: ClassVar[Callable[..., None]]
    """The generated function that registers it with a server."""

    def __init__(self, *, intake: Intake, identify: Callable[[Context], AgencyId], gate: Gate, metrics: Metrics) -> None:
        """``identify`` returns the agency of a call's client certificate or raises ``NotPermitted``."""
        self._intake = intake
        self._identify = identify
        self._gate = gate
        self._metrics = metrics

    def _caller(self, context: Context) -> AgencyId:
        caller = self._identify(context)
        if kind_of(caller) is not self.KIND:
            raise NotPermitted("wire.service_kind", f"this service is for agencies of kind {self.KIND.value}")
        return caller

    async def AppendEvents(self, _requests: object, context: Context) -> None:  # noqa: N802  # the RPC's name
        """Answer each request in order; a request that cannot be taken as a whole is answered so, and the stream goes on."""
        request = await self._next(context)
        # Judged after the first message: grpc.aio's client reports INTERNAL if its write meets a call that has ended already.
        caller = self._caller(context)
        with self._gate.stream(caller):
            while request is not None:
                await context.write(await self._answer(caller, request))
                request = await self._next(context)

    async def _next(self, context: Context) -> AppendEventsRequest | Unreadable | None:
        """Return the next request, None when the client has finished or the hub stops; raise ``Unavailable`` for an idle stream."""
        request = await self._gate.next(context.read)
        return None if request is grpc.aio.EOF else request

    async def _answer(self, caller: AgencyId, request: AppendEventsRequest | Unreadable) -> AppendEventsResponse:
        try:
            readable = check_request(request)
            self._gate.admit(caller, len(readable.events))
        except HubError as error:
            return AppendEventsResponse(error=status_of(error))
        began = time.perf_counter()
        outcomes = await self._intake.append(caller, readable.events, atomic=readable.atomic)
        self._metrics.append_took(time.perf_counter() - began)
        return AppendEventsResponse(outcomes=outcomes)

    async def GetReceipt(self, request: GetReceiptRequest, context: Context) -> GetReceiptResponse:  # noqa: N802  # the RPC's name
        """Return the receipt of an event that the caller appended."""
        caller = self._caller(context)
        check_fields(request)
        return GetReceiptResponse(receipt=await self._intake.receipt(caller, request.shard, request.event_id))


def check_request(request: AppendEventsRequest | Unreadable) -> AppendEventsRequest:
    """Refuse what is no request of 1 to 500 events and 3 MiB."""
    if isinstance(request, Unreadable):
        raise Invalid(Violation("request", "a serialized AppendEventsRequest"), rule="wire.request_unreadable")
    if not 1 <= len(request.events) <= REQUEST_MAX_EVENTS:
        found = len(request.events)
        raise Invalid(Violation("events", f"1 to {REQUEST_MAX_EVENTS} events a request, found {found}"), rule="wire.request_events")
    size = request.ByteSize()
    if size > REQUEST_MAX_BYTES:
        raise Invalid(Violation("request", f"at most {REQUEST_MAX_BYTES} bytes, found {size}"), rule="wire.request_size")
    return request
