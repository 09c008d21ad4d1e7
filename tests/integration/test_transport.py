"""The transport over real sockets: mutual TLS, unreadable requests, statuses with details, limits, deadlines, health, metrics."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import structlog
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status.rpc_status import aio as rpc_status_aio  # type: ignore[attr-defined]  # the stubs do not know it
from prometheus_client import CollectorRegistry

from domain.kernel.rules import Refused, rule
from safeguarding.hub.v1.append_pb2 import (
    AppendEventsRequest,
    AppendEventsResponse,
    GetReceiptRequest,
    GetReceiptResponse,
    Receipt,
)
from safeguarding.hub.v1.append_pb2_grpc import (
    LocalAuthorityServiceServicer,
    LocalAuthorityServiceStub,
    add_LocalAuthorityServiceServicer_to_server,
)
from services.runtime import transport
from services.runtime.errors import WrongExpectedVersion
from services.runtime.health import Health
from services.runtime.interceptors import RpcInterceptor, Unreadable
from services.runtime.limits import CONNECTION_MAX_AGE_SECONDS, GRPC_RECEIVE_MAX_BYTES, METADATA_MAX_BYTES
from services.runtime.metrics import Metrics, serve_metrics
from services.runtime.transport import CONNECTION_GRACE_SECONDS, server_credentials, server_options
from services.trust.identity import Identities
from services.trust.pki import create_authority
from tests.support.builders import COUNCIL, POLICE

pytestmark = pytest.mark.timeout(60)
SERVICE = "safeguarding.hub.v1.LocalAuthorityService"
GARBAGE = b"\xff\xff\xff"
WAIT_SECONDS = 5.0
LONG_SECONDS = 50.0


class Probe(LocalAuthorityServiceServicer):
    """Answers with what it saw; fails as the shard's name says."""

    def __init__(self, identities: Identities) -> None:
        self._identities = identities
        self.began = asyncio.Event()
        self.may_answer = asyncio.Event()
        self.ended = asyncio.Event()

    async def GetReceipt(self, request: GetReceiptRequest, context: Any) -> GetReceiptResponse:  # noqa: N802
        match request.shard:
            case "refused":
                raise Refused(rule("incident.notifier", "Only a council notifies.", "s16C"))
            case "conflict":
                raise WrongExpectedVersion("incident-1", 2, 3)
            case "bug":
                raise KeyError("a child's name")
            case "slow":
                await asyncio.sleep(30)
            case "held":
                self.began.set()
                try:
                    await self.may_answer.wait()
                finally:
                    self.ended.set()
            case _:
                pass
        return GetReceiptResponse(receipt=Receipt(stream=self._identities.caller(context)))

    async def AppendEvents(self, _requests: object, context: Any) -> None:  # type: ignore[override]  # noqa: N802  # answers by context.write
        while (request := await context.read()) is not grpc.aio.EOF:
            error = Status(message=f"unreadable {request.size_bytes}") if isinstance(request, Unreadable) else Status(message="read")
            await context.write(AppendEventsResponse(error=error))


async def iterating(requests: AsyncIterator[AppendEventsRequest], _context: Any) -> AsyncIterator[AppendEventsResponse]:
    async for request in requests:
        yield AppendEventsResponse(error=Status(message=f"{len(request.events)} events"))


async def failing_stream(_request: GetReceiptRequest, _context: Any) -> AsyncIterator[GetReceiptResponse]:
    yield GetReceiptResponse()
    raise WrongExpectedVersion("incident-1", 2, 3)


async def writing_to_nobody(_request: GetReceiptRequest, context: Any) -> None:
    """Write once more when the client has gone, as a handler does that has not heard of it yet."""
    await context.write(GetReceiptResponse())
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(30)
    await context.write(GetReceiptResponse())


def probe_streams() -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(
        "test.Streams",
        {
            "Iterating": grpc.stream_stream_rpc_method_handler(
                iterating, AppendEventsRequest.FromString, AppendEventsResponse.SerializeToString
            ),
            "Failing": grpc.unary_stream_rpc_method_handler(
                failing_stream, GetReceiptRequest.FromString, GetReceiptResponse.SerializeToString
            ),
            "ToNobody": grpc.unary_stream_rpc_method_handler(
                writing_to_nobody, GetReceiptRequest.FromString, GetReceiptResponse.SerializeToString
            ),
        },
    )


@dataclass
class Running:
    port: int
    folder: Path
    registry: CollectorRegistry
    interceptor: RpcInterceptor
    health: Health
    probe: Probe

    @asynccontextmanager
    async def channel(self, agency_id: str | None = COUNCIL, folder: str = "") -> AsyncIterator[Any]:
        own = self.folder / (folder or str(agency_id))
        credentials = grpc.ssl_channel_credentials(
            root_certificates=(self.folder / "pki" / "ca.pem").read_bytes(),
            private_key=None if agency_id is None else (own / "client.key").read_bytes(),
            certificate_chain=None if agency_id is None else (own / "client.pem").read_bytes(),
        )
        options = [("grpc.enable_retries", 0), ("grpc.absolute_max_metadata_size", 64 * 1024)]
        async with grpc.aio.secure_channel(f"localhost:{self.port}", credentials, options=options) as channel:
            yield channel

    async def handled(self, method: str, code: str, service: str = SERVICE, rpc_type: str = "unary") -> float:
        """How often an RPC ended so: counted a moment after its caller has the answer, so this waits for the first."""
        labels = {"grpc_type": rpc_type, "grpc_service": service, "grpc_method": method, "grpc_code": code}
        async with asyncio.timeout(WAIT_SECONDS):
            while (found := self.registry.get_sample_value("grpc_server_handled_total", labels)) is None:  # noqa: ASYNC110  no one signals it
                await asyncio.sleep(0.01)
        return found


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, now = tmp_path_factory.mktemp("tls"), datetime.now(UTC)
    authority = create_authority(folder / "pki", now=now)
    authority.issue_server(folder / "pki", now=now)
    authority.issue_agency(folder / COUNCIL, COUNCIL, trust_domain="hub.example", now=now)
    authority.issue_agency(folder / POLICE, POLICE, trust_domain="hub.example", now=now)
    authority.issue_agency(folder / "elsewhere", COUNCIL, trust_domain="other.example", now=now)
    create_authority(folder / "other", now=now).issue_agency(folder / "impostor", COUNCIL, trust_domain="hub.example", now=now)
    return folder


@pytest.fixture
async def hub(certificates: Path) -> AsyncIterator[Running]:
    registry = CollectorRegistry()
    interceptor = RpcInterceptor(Metrics(registry), deadline_seconds=0.2, most_seconds=1.0)
    server = grpc.aio.server(interceptors=[interceptor], options=server_options())
    pki = certificates / "pki"
    credentials = server_credentials(key_file=pki / "server.key", certificate_file=pki / "server.pem", authority_file=pki / "ca.pem")
    probe = Probe(Identities("hub.example"))
    add_LocalAuthorityServiceServicer_to_server(probe, server)
    server.add_generic_rpc_handlers((probe_streams(),))
    health = Health([SERVICE])
    await health.add_to(server)
    port = server.add_secure_port("localhost:0", credentials)
    await server.start()
    yield Running(port, certificates, registry, interceptor, health, probe)
    await server.stop(0)


async def receipt(channel: Any, shard: str = "northmoor", **options: Any) -> GetReceiptResponse:
    stub: Any = LocalAuthorityServiceStub(channel)
    response: GetReceiptResponse = await stub.GetReceipt(GetReceiptRequest(shard=shard), **{"timeout": WAIT_SECONDS, **options})
    return response


async def raw(channel: Any, request: bytes) -> bytes:
    answer: bytes = await channel.unary_unary(f"/{SERVICE}/GetReceipt")(request, timeout=WAIT_SECONDS)
    return answer


async def failure(call: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def details(error: grpc.aio.AioRpcError, kind: type[Any]) -> Any:
    trailers = error.trailing_metadata()
    status = Status.FromString(next(value for key, value in trailers if key == "grpc-status-details-bin"))
    assert (status.code, status.message) == (error.code().value[0], error.details())
    message = kind()
    assert any(one.Unpack(message) for one in status.details)
    return message


@pytest.mark.parametrize("agency_id", [COUNCIL, POLICE])
async def test_the_certificate_names_the_caller(hub: Running, agency_id: str) -> None:
    async with hub.channel(agency_id) as channel:
        assert (await receipt(channel)).receipt.stream == agency_id


async def test_without_a_certificate_there_is_no_connection(hub: Running) -> None:
    async with hub.channel(None) as channel:
        assert (await failure(receipt(channel))).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_authority_gets_no_connection(hub: Running) -> None:
    async with hub.channel(COUNCIL, "impostor") as channel:
        assert (await failure(receipt(channel))).code() is grpc.StatusCode.UNAVAILABLE


async def test_a_certificate_of_another_trust_domain_is_refused(hub: Running) -> None:
    async with hub.channel(COUNCIL, "elsewhere") as channel:
        error = await failure(receipt(channel))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert dict(details(error, ErrorInfo).metadata) == {"rule": "identity.trust_domain"}


async def test_a_refusal_of_the_domain_arrives_with_its_rule(hub: Running) -> None:
    async with hub.channel() as channel:
        error = await failure(receipt(channel, "refused"))
    info = details(error, ErrorInfo)
    assert (error.code(), info.reason, info.domain, dict(info.metadata)) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        "REFUSED",
        "safeguarding.hub",
        {"rule": "incident.notifier"},
    )
    assert await hub.handled("GetReceipt", "FAILED_PRECONDITION") == 1.0


async def test_an_unreadable_unary_request_is_an_invalid_argument_and_the_connection_lives(hub: Running) -> None:
    async with hub.channel() as channel:
        error = await failure(raw(channel, GARBAGE))
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert dict(details(error, ErrorInfo).metadata) == {"rule": "wire.request_unreadable"}
        assert [violation.field for violation in details(error, BadRequest).field_violations] == ["request"]
        assert (await receipt(channel)).receipt.stream == COUNCIL
    assert (await hub.handled("GetReceipt", "INVALID_ARGUMENT"), await hub.handled("GetReceipt", "OK")) == (1.0, 1.0)


async def test_an_unreadable_message_does_not_end_a_stream_whose_handler_reads(hub: Running) -> None:
    async with hub.channel() as channel:
        call = channel.stream_stream(f"/{SERVICE}/AppendEvents", response_deserializer=AppendEventsResponse.FromString)(
            timeout=WAIT_SECONDS
        )
        answers = []
        for request in (b"", GARBAGE, b""):
            await call.write(request)
            answers.append((await call.read()).error.message)
        await call.done_writing()
        assert await call.code() is grpc.StatusCode.OK
    assert answers == ["read", "unreadable 3", "read"]


async def test_an_unreadable_message_ends_a_stream_whose_handler_iterates(hub: Running) -> None:
    async with hub.channel() as channel:
        call = channel.stream_stream("/test.Streams/Iterating", response_deserializer=AppendEventsResponse.FromString)(timeout=WAIT_SECONDS)
        await call.write(b"")
        assert (await call.read()).error.message == "0 events"
        await call.write(GARBAGE)
        error = await failure(call.read())
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert await hub.handled("Iterating", "INVALID_ARGUMENT", "test.Streams", "bidi_stream") == 1.0


async def test_a_stream_that_fails_midway_ends_with_the_status_of_its_error(hub: Running) -> None:
    async with hub.channel() as channel:
        call = channel.unary_stream("/test.Streams/Failing")(b"", timeout=WAIT_SECONDS)
        assert await call.read() == b""
        error = await failure(call.read())
        status: Status = await rpc_status_aio.from_call(call)
    assert error.code() is grpc.StatusCode.ABORTED
    assert status.message == "stream incident-1: expected version 2, found 3"


async def test_of_an_unknown_error_nothing_is_told_and_its_type_alone_is_logged(hub: Running) -> None:
    with structlog.testing.capture_logs() as lines:
        async with hub.channel() as channel:
            error = await failure(receipt(channel, "bug"))
    assert (error.code(), error.details()) == (grpc.StatusCode.INTERNAL, "internal error")
    assert [(line["event"], line["method"], type(line["error"])) for line in lines] == [("rpc.failed", f"/{SERVICE}/GetReceipt", KeyError)]
    assert "child" not in str(error)


async def test_a_message_over_the_limit_ends_its_rpc_and_the_connection_lives(hub: Running) -> None:
    async with hub.channel() as channel:
        error = await failure(raw(channel, bytes(GRPC_RECEIVE_MAX_BYTES + 1)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await receipt(channel)).receipt.stream == COUNCIL


async def test_metadata_over_the_limit_ends_its_rpc_and_the_connection_lives(hub: Running) -> None:
    async with hub.channel() as channel:
        error = await failure(receipt(channel, metadata=(("hub-user", "x" * METADATA_MAX_BYTES),)))
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await receipt(channel)).receipt.stream == COUNCIL


async def test_a_unary_rpc_without_a_deadline_gets_one(hub: Running) -> None:
    async with hub.channel() as channel:
        async with asyncio.timeout(WAIT_SECONDS):
            error = await failure(receipt(channel, "slow", timeout=None))
    assert (error.code(), error.details()) == (grpc.StatusCode.DEADLINE_EXCEEDED, "not answered in time")
    assert await hub.handled("GetReceipt", "DEADLINE_EXCEEDED") == 1.0


async def test_a_unary_rpc_does_not_last_as_long_as_its_client_would_wait(hub: Running) -> None:
    async with hub.channel() as channel:
        async with asyncio.timeout(WAIT_SECONDS):
            error = await failure(receipt(channel, "slow", timeout=3600.0))
    assert (error.code(), error.details()) == (grpc.StatusCode.DEADLINE_EXCEEDED, "not answered in time")


async def test_a_stream_has_no_deadline_of_the_servers(hub: Running) -> None:
    async with hub.channel() as channel:
        call = channel.stream_stream(f"/{SERVICE}/AppendEvents")()
        await asyncio.sleep(0.4)
        await call.write(b"")
        assert await asyncio.wait_for(call.read(), WAIT_SECONDS)
        await call.done_writing()
        assert await asyncio.wait_for(call.code(), WAIT_SECONDS) is grpc.StatusCode.OK


async def test_a_call_that_its_client_gives_up_is_counted_as_cancelled(hub: Running) -> None:
    async with hub.channel() as channel:
        call = asyncio.create_task(receipt(channel, "held"))
        await asyncio.wait_for(hub.probe.began.wait(), WAIT_SECONDS)
        call.cancel()
        await asyncio.wait_for(hub.probe.ended.wait(), WAIT_SECONDS)
        assert await hub.handled("GetReceipt", "CANCELLED") == 1.0


async def test_a_stream_that_is_written_to_when_its_client_has_gone_is_counted_as_cancelled(hub: Running) -> None:
    with structlog.testing.capture_logs() as lines:
        async with hub.channel() as channel:
            call = channel.unary_stream("/test.Streams/ToNobody")(b"", timeout=WAIT_SECONDS)
            await call.read()
            call.cancel()
            assert await hub.handled("ToNobody", "CANCELLED", "test.Streams", "server_stream") == 1.0
    assert lines == []


async def test_a_method_that_does_not_exist_is_counted_without_its_name(hub: Running) -> None:
    async with hub.channel() as channel:
        error = await failure(channel.unary_unary("/a.childs/Name")(b"", timeout=WAIT_SECONDS))
    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
    assert await hub.handled("other", "UNIMPLEMENTED", "other") == 1.0
    assert "childs" not in json.dumps([str(metric) for metric in hub.registry.collect()])


async def test_health_follows_the_hub(hub: Running) -> None:
    async with hub.channel() as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)

        async def status(service: str) -> int:
            answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=WAIT_SECONDS)
            return int(answer.status)

        serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
        assert [await status(""), await status(SERVICE)] == [not_serving, not_serving]
        await hub.health.serving()
        assert [await status(""), await status(SERVICE)] == [serving, serving]
        await hub.health.drain()
        await hub.health.serving()
        assert [await status(""), await status(SERVICE)] == [not_serving, not_serving]


async def test_a_hub_that_stops_takes_no_new_calls_leaves_those_under_way_alone_and_tells_its_health(hub: Running) -> None:
    hub.interceptor._most_seconds = LONG_SECONDS
    async with hub.channel() as channel:
        under_way = asyncio.ensure_future(receipt(channel, "held", timeout=LONG_SECONDS))
        await asyncio.wait_for(hub.probe.began.wait(), WAIT_SECONDS)
        hub.interceptor.drain()
        stream: Any = LocalAuthorityServiceStub(channel).AppendEvents(timeout=WAIT_SECONDS)
        for answer in (receipt(channel), stream.read()):
            error = await failure(answer)
            assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "the hub is stopping; call again")
        health: Any = health_pb2_grpc.HealthStub(channel)
        assert (await health.Check(health_pb2.HealthCheckRequest(), timeout=WAIT_SECONDS)).status
        assert (hub.probe.ended.is_set(), under_way.done()) == (False, False)
        hub.probe.may_answer.set()
        assert (await under_way).receipt.stream == COUNCIL


def test_a_connection_lasts_an_hour_and_what_is_under_way_on_it_half_a_minute_longer() -> None:
    options = dict(server_options())
    assert (CONNECTION_MAX_AGE_SECONDS, CONNECTION_GRACE_SECONDS) == (3600, 30)
    assert options["grpc.max_connection_age_ms"] == CONNECTION_MAX_AGE_SECONDS * 1000
    assert options["grpc.max_connection_age_grace_ms"] == CONNECTION_GRACE_SECONDS * 1000


@pytest.fixture
def connections_age_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "CONNECTION_MAX_AGE_SECONDS", 1)
    monkeypatch.setattr(transport, "CONNECTION_GRACE_SECONDS", 1)


@pytest.mark.usefixtures("connections_age_soon")
async def test_a_connection_that_is_too_old_ends_with_its_streams_and_a_new_one_shows_its_certificate_again(hub: Running) -> None:
    async with hub.channel() as channel:
        stream = channel.stream_stream(f"/{SERVICE}/AppendEvents")()
        await stream.write(b"")
        assert await stream.read()
        error = await failure(stream.read())
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert (await receipt(channel)).receipt.stream == COUNCIL


async def test_a_port_that_is_taken_is_an_error(hub: Running) -> None:
    server = grpc.aio.server(options=server_options())
    with pytest.raises(RuntimeError, match="Failed to bind"):
        server.add_insecure_port(f"localhost:{hub.port}")
    await server.stop(0)


def test_metrics_are_served_over_http_until_closed() -> None:
    registry = CollectorRegistry()
    Metrics(registry).appended("accepted", 3)
    server = serve_metrics("127.0.0.1:0", registry)
    address = server.address
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=WAIT_SECONDS) as answer:
        text = answer.read().decode()
    assert 'hub_appends_total{outcome="accepted"} 3.0' in text.splitlines()
    with pytest.raises(OSError, match="in use"):
        serve_metrics(address, registry)
    server.close()
    server.close()
    serve_metrics(address, registry).close()
