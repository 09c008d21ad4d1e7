"""The hub's door. It may be opened before there is anything to answer with: whoever calls is told so, and health says NOT_SERVING."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from google.protobuf.descriptor import FileDescriptor, MethodDescriptor
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection

from services.runtime.errors import Unavailable
from services.runtime.health import Health
from services.runtime.interceptors import RPC_TYPE_OF, RpcInterceptor
from services.runtime.limits import CONCURRENT_MAX_RPCS
from services.runtime.metrics import Metrics, MetricsServer, serve_metrics
from services.runtime.settings import Settings
from services.runtime.transport import server_credentials, server_options

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
RETRY_SECONDS: Final = 5.0


class Doors(grpc.GenericRpcHandler):
    """Takes services as a server does, also while it runs; until ``open`` every call of the contract is refused as unavailable."""

    def __init__(self, contract: Sequence[FileDescriptor], why: Callable[[], str]) -> None:
        """``contract``: the files whose services are behind the doors; ``why``: what callers are told before they open."""
        self._why = why
        self._behind: list[grpc.GenericRpcHandler] = []
        self._is_open = False
        self._closed: Mapping[str, Handler] = {
            f"/{service.full_name}/{method.name}": self._refusing(method)
            for file in contract
            for service in file.services_by_name.values()
            for method in service.methods
        }

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Take a service, as generated code adds it to a server."""
        self._behind.extend(handlers)

    def add_registered_method_handlers(self, service_name: str, method_handlers: Mapping[str, Handler]) -> None:
        """Leave it at that: a server may find the same handlers faster so, but takes none any more once it runs."""

    def open(self) -> None:
        """Let calls through."""
        self._is_open = True

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Handler | None:
        """Return what answers a call."""
        if not self._is_open:
            return self._closed.get(handler_call_details.method)
        found = (handler.service(handler_call_details) for handler in self._behind)
        return next((handler for handler in found if handler is not None), None)

    def _refusing(self, method: MethodDescriptor) -> Handler:
        """Return a handler of a method's form that answers nothing."""

        async def refuse(_request: Any, _context: Any) -> Any:
            raise Unavailable(self._why(), RETRY_SECONDS)

        match method.client_streaming, method.server_streaming:
            case False, False:
                return grpc.unary_unary_rpc_method_handler(refuse)
            case True, False:
                return grpc.stream_unary_rpc_method_handler(refuse)
            case False, True:
                return grpc.unary_stream_rpc_method_handler(refuse)
            case _:
                return grpc.stream_stream_rpc_method_handler(refuse)


class Entrance:
    """The hub's server, its health and its metrics' server. To be made in the event loop that it serves in."""

    def __init__(self, settings: Settings, metrics: Metrics, contract: Sequence[FileDescriptor], why: Callable[[], str]) -> None:
        """Listen nowhere yet; ``why``: what callers are told until the doors open."""
        self._settings = settings
        self._metrics = metrics
        services = [service for file in contract for service in file.services_by_name.values()]
        for method in (method for service in services for method in service.methods):
            rpc_type = RPC_TYPE_OF[method.client_streaming, method.server_streaming]
            metrics.rpc_expected(rpc_type, method.containing_service.full_name, method.name)
        names = [service.full_name for service in services]
        self._names = (*names, health.SERVICE_NAME, reflection.SERVICE_NAME)
        self.interceptor = RpcInterceptor(metrics)
        self.server = grpc.aio.server(
            options=server_options(), interceptors=[self.interceptor], maximum_concurrent_rpcs=CONCURRENT_MAX_RPCS
        )
        self.health = Health(names)
        self.doors = Doors(contract, why)
        self.address = ""
        self._metrics_server: MetricsServer | None = None

    @property
    def metrics_address(self) -> str:
        """Where metrics are; empty for nowhere."""
        return "" if self._metrics_server is None else self._metrics_server.address

    async def listen(self) -> None:
        """Answer calls, as not serving; ``address`` then says where. Raises ``OSError`` if a port is taken. Idempotent."""
        if self.address:
            return
        settings = self._settings
        await self.health.add_to(self.server)
        reflection.enable_server_reflection(self._names, self.server)
        self.server.add_generic_rpc_handlers((self.doors,))
        credentials = server_credentials(
            key_file=settings.server_key_file,
            certificate_file=settings.server_certificate_file,
            authority_file=settings.authority_certificate_file,
        )
        try:
            port = self.server.add_secure_port(settings.listen, credentials)
        except RuntimeError as error:
            raise OSError(f"{settings.listen} cannot be listened on: is another hub running?") from error
        if settings.metrics_listen:
            try:
                self._metrics_server = serve_metrics(settings.metrics_listen, self._metrics.registry)
            except OSError as error:
                raise OSError(f"{settings.metrics_listen} cannot be listened on for metrics: {error.strerror}") from error
        await self.server.start()
        self.address = f"{settings.listen.rpartition(':')[0]}:{port}"

    async def open(self) -> None:
        """Let calls through, and say so."""
        self.doors.open()
        await self.health.serving()

    async def close(self, drain_seconds: float) -> None:
        """End every call within so many seconds, and free the ports. Idempotent."""
        await self.server.stop(drain_seconds)
        if self._metrics_server is not None:
            self._metrics_server.close()
            self._metrics_server = None
