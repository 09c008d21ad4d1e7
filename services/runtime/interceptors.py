"""What surrounds every RPC: metrics, a deadline, requests that cannot be read, and errors turned into statuses."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
import structlog
from google.protobuf.message import DecodeError
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from domain.kernel.rules import Refused
from services.runtime.errors import HubError, IntegrityError, Invalid, Unavailable, Violation
from services.runtime.limits import QUERY_DEADLINE_SECONDS, UNARY_MAX_SECONDS
from services.runtime.metrics import OTHER, Metrics
from services.runtime.status import abort

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
RPC_TYPE_OF: Final = {
    (False, False): "unary",
    (True, False): "client_stream",
    (False, True): "server_stream",
    (True, True): "bidi_stream",
}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Stands in the place of a request message that could not be parsed: gRPC itself would answer INTERNAL and end the stream."""

    size_bytes: int

    def refusal(self) -> Invalid:
        """Return what to answer."""
        return Invalid(
            Violation("request", f"a serialized request message; {self.size_bytes} bytes could not be read as one"), rule=UNREADABLE
        )


UNREADABLE: Final = "wire.request_unreadable"
_REFLECTION: Final = f"/{reflection.SERVICE_NAME}/"
_HEALTH: Final = f"/{health.SERVICE_NAME}/"


class RpcInterceptor(grpc.aio.ServerInterceptor):
    """Counts every RPC, gives unary ones a deadline and ends failed ones with the status of their error.

    A unary request that cannot be read is answered INVALID_ARGUMENT here. A stream's handler gets ``Unreadable`` from ``context.read()``
    and may go on; a handler that iterates over its requests ends with INVALID_ARGUMENT.
    """

    def __init__(
        self,
        metrics: Metrics,
        *,
        monotonic_seconds: Callable[[], float] = time.perf_counter,
        deadline_seconds: float = QUERY_DEADLINE_SECONDS,
        most_seconds: float = UNARY_MAX_SECONDS,
    ) -> None:
        """``deadline_seconds`` is for unary RPCs whose client sets none; ``most_seconds`` for those whose client sets a later one."""
        self._metrics = metrics
        self._monotonic_seconds = monotonic_seconds
        self._deadline_seconds = deadline_seconds
        self._most_seconds = most_seconds
        self._log = structlog.get_logger()
        self._watches: set[asyncio.Task[Any]] = set()
        self._draining = False

    def drain(self) -> None:
        """Take no call any more but for health, and end what would go on for ever: watches and server reflection."""
        self._draining = True
        for watch in self._watches:
            watch.cancel()

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]], handler_call_details: grpc.HandlerCallDetails
    ) -> Handler | None:
        """Wrap the handler of one call. A method that does not exist is counted without its name: callers choose that."""
        handler = await continuation(handler_call_details)
        if handler is None:
            self._metrics.rpc_started("unary", OTHER, OTHER)
            self._metrics.rpc_handled("unary", OTHER, OTHER, "UNIMPLEMENTED", 0.0)
            return None
        return self._wrapped(handler, handler_call_details.method)

    def _wrapped(self, handler: Handler, method: str) -> Handler:
        reading, writing = readable(handler.request_deserializer), handler.response_serializer
        match handler.request_streaming, handler.response_streaming:
            case False, False:
                behaviour = self._unary(handler.unary_unary, method)
                return grpc.unary_unary_rpc_method_handler(behaviour, reading, writing)
            case True, False:
                behaviour = self._unary(handler.stream_unary, method, "client_stream")
                return grpc.stream_unary_rpc_method_handler(behaviour, reading, writing)
            case False, True:
                return grpc.unary_stream_rpc_method_handler(
                    self._streaming(handler.unary_stream, method, "server_stream"), reading, writing
                )
            case _:
                return grpc.stream_stream_rpc_method_handler(
                    self._streaming(handler.stream_stream, method, "bidi_stream"), reading, writing
                )

    def _unary(self, behaviour: Any, method: str, rpc_type: str = "unary") -> Any:
        async def answer(request: Any, context: Context) -> Any:
            async with self._watched(method, rpc_type, context), self._deadline(context, rpc_type):
                self._demand_open(method)
                return await behaviour(_checked(request), context)

        return answer

    def _streaming(self, behaviour: Any, method: str, rpc_type: str) -> Any:
        if not inspect.isasyncgenfunction(behaviour):

            async def write_answers(request: Any, context: Context) -> None:
                async with self._watched(method, rpc_type, context), self._ended_by_drain(method, rpc_type):
                    await behaviour(_checked(request), context)

            return write_answers

        async def answers(request: Any, context: Context) -> AsyncIterator[Any]:
            async with (
                self._watched(method, rpc_type, context),
                self._ended_by_drain(method, rpc_type),
                aclosing(behaviour(_checked(request), context)) as given,
            ):
                async for answer in given:
                    yield answer

        return answers

    @asynccontextmanager
    async def _deadline(self, context: Context, rpc_type: str) -> AsyncIterator[None]:
        if rpc_type != "unary":
            yield
            return
        remaining = context.time_remaining()
        async with asyncio.timeout(self._deadline_seconds if remaining is None else min(remaining, self._most_seconds)):
            yield

    def _demand_open(self, method: str) -> None:
        """Raise ``Unavailable`` for a new call when the hub drains. Its health can be asked for to the end."""
        if self._draining and not method.startswith(_HEALTH):
            raise _stopping()

    @asynccontextmanager
    async def _ended_by_drain(self, method: str, rpc_type: str) -> AsyncIterator[None]:
        """Have a watch end when the hub drains. Not so an append stream: its gate ends it, once what it accepted is answered."""
        task = asyncio.current_task()
        self._demand_open(method)
        if not (rpc_type == "server_stream" or method.startswith(_REFLECTION)) or task is None:
            yield
            return
        self._watches.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if self._draining and task.uncancel() == 0:
                raise _stopping() from None
            raise
        finally:
            self._watches.discard(task)

    @asynccontextmanager
    async def _watched(self, method: str, rpc_type: str, context: Context) -> AsyncIterator[None]:
        """Count, time, and turn whatever is raised into a status."""
        _, service, name = method.split("/", 2)
        began = self._monotonic_seconds()
        self._metrics.rpc_started(rpc_type, service, name)
        code = "OK"
        try:
            yield
            code = _code_of(context, "OK")
        except grpc.aio.AbortError:
            code = _code_of(context, "UNKNOWN")
            raise
        except (asyncio.CancelledError, GeneratorExit, grpc.aio.InternalError):
            # gRPC's own error: an answer could not be sent, since whoever asked has gone.
            remaining = context.time_remaining()
            code = "DEADLINE_EXCEEDED" if remaining is not None and remaining <= 0 else "CANCELLED"
            raise
        except Exception as error:  # noqa: BLE001  # the last place that can answer the caller
            self._note(error, method)
            try:
                await abort(context, error)
            finally:
                code = _code_of(context, "INTERNAL")
        finally:
            self._metrics.rpc_handled(rpc_type, service, name, code, self._monotonic_seconds() - began)

    def _note(self, error: Exception, method: str) -> None:
        """Log what nobody expected, by type: the text of an unknown exception may hold anything."""
        if isinstance(error, IntegrityError):
            self._log.error("rpc.integrity", method=method, error=error)
        elif not isinstance(error, HubError | Refused | TimeoutError):
            self._log.error("rpc.failed", method=method, error=error)


def _stopping() -> Unavailable:
    """Return what new calls and watches are told by a hub that stops."""
    return Unavailable("the hub is stopping; call again")


def readable(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Return a deserializer that gives ``Unreadable`` where the given one raises."""
    if deserialize is None:
        return None

    def read(serialized: bytes) -> Any:
        try:
            return deserialize(serialized)
        except DecodeError:
            return Unreadable(len(serialized))

    return read


def _checked(request: Any) -> Any:
    if isinstance(request, Unreadable):
        raise request.refusal()
    return _each_checked(request) if hasattr(request, "__aiter__") else request


async def _each_checked(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        if isinstance(request, Unreadable):
            raise request.refusal()
        yield request


def _code_of(context: Context, otherwise: str) -> str:
    """Return the name of a context's status code; gRPC gives None, 0 or a number where nothing was set."""
    code: object = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((known.name for known in grpc.StatusCode if known.value[0] == code), otherwise)
