"""What an operator's Prometheus sees after some traffic, and what health checks and reflection answer, over real sockets."""

from __future__ import annotations

import asyncio
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from prometheus_client.parser import text_string_to_metric_families

from domain.kernel.agencies import OPERATOR_ID
from domain.rules import Band
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import Identity
from safeguarding.hub.v1 import append_pb2, append_pb2_grpc
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from services.bootstrap import CONTRACT, VIEWS
from services.eventstore.codec import to_message
from services.runtime import metrics
from services.trust.verify import CHECKS
from tests.support.builders import COUNCIL, POLICE, SHARD, STRANGER, a_notification, a_referral
from tests.support.exposed import CLOSED, SERVICES
from tests.support.hub import RunningHub, running_hub
from tests.support.reading import a_told_case, a_uuid, caught_up, first, queries, refusal

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
PROMISED: Final = {
    "grpc_server_started_total",
    "grpc_server_handled_total",
    "grpc_server_handling_seconds_bucket",
    "hub_appends_total",
    "hub_refusals_total",
    "hub_verify_failures_total",
    "hub_append_seconds_bucket",
    "hub_projection_lag_positions",
    "hub_projection_lag_seconds",
    "hub_parked_streams",
    "hub_spooled_events",
    "hub_deadlines",
    "hub_store_bytes",
    "hub_replay_mismatch_total",
    "hub_digests_compared_total",
    "hub_start_records_folded",
    "hub_start_records_end",
}


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub whose metrics are served over HTTP."""
    with running_hub(tmp_path_factory.mktemp("hub"), metrics_listen="127.0.0.1:0") as hub:
        yield hub


def scrape(hub: RunningHub) -> Samples:
    """Return what ``/metrics`` shows."""
    with urllib.request.urlopen(f"http://{hub.metrics}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    """Return one sample, 0 if it is not there."""
    return samples.get((name, frozenset(labels.items())), 0.0)


def rise(before: Samples, after: Samples, name: str, **labels: str) -> float:
    """Return by how much a sample rose."""
    return value(after, name, **labels) - value(before, name, **labels)


async def send(hub: RunningHub, *events: SignedEvent) -> list[append_pb2.Outcome]:
    """Send signed events as the council, in one request."""
    async with hub.channel(COUNCIL) as channel:
        stub = append_pb2_grpc.LocalAuthorityServiceStub(channel)
        requests = iter([append_pb2.AppendEventsRequest(events=events)])
        return [outcome async for answer in stub.AppendEvents(requests, timeout=20) for outcome in answer.outcomes]


def a_signed(hub: RunningHub, number: int) -> SignedEvent:
    """Return a council's referral of a case of its own."""
    sender = Sender(agency_id=COUNCIL, source="metrics", shard=SHARD, log_origin=hub.settings.log_origin, actor_role="tester")
    key = Identity.from_folder(hub.settings.agency_folder(COUNCIL)).signing_key
    draft = Draft(event=to_message(a_referral("01890000-0000-7000-8000-0000000000aa")), case_id=a_uuid())
    return SignedEvent.FromString(sign(draft, sender, key, number).message)


async def test_appends_are_counted_by_outcome_and_refusals_by_code_and_check(observed: RunningHub) -> None:
    before = scrape(observed)
    first, second, third = (a_signed(observed, number) for number in range(1, 4))
    forged = SignedEvent(header=third.header, body=third.body, salt=third.salt)
    forged.signature.key_id, forged.signature.value = third.signature.key_id, bytes(64)
    other_body = SignedEvent.FromString(third.SerializeToString())
    other_body.body += b"\x00"
    await send(observed, first, second)
    await send(observed, first, third, forged, other_body)
    await observed.say(COUNCIL, a_notification(), a_notification(), case_id=a_uuid())
    after = scrape(observed)
    assert rise(before, after, "hub_appends_total", outcome="accepted") == 4
    assert rise(before, after, "hub_appends_total", outcome="replayed") == 1
    assert rise(before, after, "hub_appends_total", outcome="refused") == 3
    assert rise(before, after, "hub_refusals_total", code="signature_invalid") == 2
    assert rise(before, after, "hub_refusals_total", code="refused") == 1
    assert rise(before, after, "hub_verify_failures_total", check="signature") == 1
    assert rise(before, after, "hub_verify_failures_total", check="commitment") == 1
    assert rise(before, after, "hub_append_seconds_count") == 3
    assert 0 < rise(before, after, "hub_append_seconds_sum") < 30


async def test_an_atomic_request_sent_again_is_counted_as_replayed(observed: RunningHub) -> None:
    events = [a_signed(observed, number) for number in (11, 12)]
    async with observed.channel(COUNCIL) as channel:
        stub = append_pb2_grpc.LocalAuthorityServiceStub(channel)
        request = append_pb2.AppendEventsRequest(events=events, atomic=True)
        before = scrape(observed)
        answers = [answer.SerializeToString() async for answer in stub.AppendEvents(iter([request, request]), timeout=20)]
        after = scrape(observed)
    assert answers[0] == answers[1]
    found = [rise(before, after, "hub_appends_total", outcome=outcome) for outcome in ("accepted", "replayed", "refused")]
    assert found == [2, 2, 0]


async def test_an_id_that_comes_again_with_other_bytes_is_an_alarm(observed: RunningHub) -> None:
    event, other = a_signed(observed, 21), a_signed(observed, 22)
    header = EventHeader.FromString(other.header)
    header.event_id = EventHeader.FromString(event.header).event_id
    other.header = header.SerializeToString()
    other.signature.value = Identity.from_folder(observed.settings.agency_folder(COUNCIL)).signing_key.sign(other.header)
    before = scrape(observed)
    await send(observed, event)
    await send(observed, other)
    await send(observed, other)
    after = scrape(observed)
    assert rise(before, after, "hub_replay_mismatch_total") == 2
    assert rise(before, after, "hub_refusals_total", code="content_mismatch") == 2


async def test_rpcs_are_counted_under_the_standard_names(observed: RunningHub) -> None:
    case_id, _ = await a_told_case(observed)
    before = scrape(observed)
    async with queries(observed, POLICE) as asks, queries(observed, STRANGER) as stranger:
        await asks.story(case_id)
        await asks.story(case_id)
        await refusal(stranger.story(case_id))
    labels = {"grpc_type": "unary", "grpc_service": "safeguarding.hub.v1.ChronologyService", "grpc_method": "GetChronology"}
    counted = {
        ("grpc_server_started_total", ""): 3,
        ("grpc_server_handled_total", "OK"): 2,
        ("grpc_server_handled_total", "NOT_FOUND"): 1,
        ("grpc_server_handling_seconds_count", ""): 3,
    }
    for _ in range(200):  # a call is counted as handled once its answer is on its way, and a scrape may fall in between
        after = scrape(observed)
        found = {(name, code): rise(before, after, name, **labels, **({"grpc_code": code} if code else {})) for name, code in counted}
        if found == counted:
            break
        await asyncio.sleep(0.05)
    assert found == counted


def test_contradictions_are_counted_from_nothing_on_so_that_the_first_is_seen_to_rise(observed: RunningHub) -> None:
    counts = scrape(observed)
    found = {
        dict(labels)["grpc_method"]
        for name, labels in counts
        if name == "grpc_server_handled_total" and ("grpc_code", "DATA_LOSS") in labels
    }

    assert found == {method.name for file in CONTRACT for service in file.services_by_name.values() for method in service.methods}


async def test_gauges_follow_the_views_and_the_stores(observed: RunningHub) -> None:
    _, position = await a_told_case(observed)
    await caught_up(observed, position)
    expected = {(view.name, 0.0) for view in VIEWS}
    for _ in range(240):  # on a busy machine measuring rests for long: twenty times what it took
        samples = scrape(observed)
        lags = {(view.name, value(samples, "hub_projection_lag_positions", view=view.name)) for view in VIEWS}
        bands = {band: value(samples, "hub_deadlines", band=band.value) for band in Band}
        if lags == expected and bands[Band.LATER] > 0:
            break
        await asyncio.sleep(0.25)
    assert lags == expected
    assert {view.name: value(samples, "hub_projection_lag_seconds", view=view.name) for view in VIEWS} == {view.name: 0.0 for view in VIEWS}
    assert bands[Band.LATER] > 0
    assert {sample[1] for sample in samples if sample[0] == "hub_deadlines"} == {frozenset({("band", band.value)}) for band in Band}
    sizes = {store: value(samples, "hub_store_bytes", store=store) for store in ("events", "keys", "views")}
    assert all(size > 4_096 for size in sizes.values()), sizes


async def test_every_promised_name_is_there_and_every_label_is_of_a_closed_set(observed: RunningHub) -> None:
    async with observed.channel(COUNCIL) as channel:
        for method in ("Jane.Doe/WasHere", "safeguarding.hub.v1.ChronologyService/JaneDoe", "safeguarding.hub.v2.JaneDoe/GetChronology"):
            unknown: Any = channel.unary_unary(f"/{method}")
            assert (await refusal(unknown(b"", timeout=5))).code == "UNIMPLEMENTED"
    await send(observed, SignedEvent(header=b"\xff"))
    for _ in range(240):  # deadlines are counted when their view is there
        samples = scrape(observed)
        if {name for name, _ in samples} >= PROMISED:
            break
        await asyncio.sleep(0.25)
    assert PROMISED - {name for name, _ in samples} == set()
    for name, labels in samples:
        if not name.startswith(("grpc_server_", "hub_")):
            continue
        for label, found in labels:
            if label == "le":
                assert re.fullmatch(r"\+Inf|[0-9.e+-]+", found)
            else:
                assert found in CLOSED[label], (name, label, found)


def test_metrics_are_at_their_path_alone(observed: RunningHub) -> None:
    for path in ("/", "/health", "/favicon.ico", "/metrics/health"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{observed.metrics}{path}", timeout=5)
        with refused.value as answer:
            assert (answer.code, answer.read().decode()) == (404, "there is only /metrics here; health is asked over gRPC\n")
    assert scrape(observed)


def test_the_closed_sets_are_those_of_the_code_that_counts() -> None:
    assert {band.value for band in Band} == metrics.BANDS
    assert {check.removeprefix("wire.") for check in CHECKS} == metrics.CHECKS
    codes = append_pb2.RefusalCode.keys()
    assert {code.removeprefix("REFUSAL_CODE_").lower() for code in codes} - {"unspecified"} == metrics.REFUSALS
    assert {code.name for code in grpc.StatusCode} == metrics.CODES


# ── health and reflection ──


async def test_health_says_serving_over_mutual_tls_and_not_serving_from_the_moment_of_draining(tmp_path: Path) -> None:
    running = running_hub(tmp_path / "hub", populate=False)
    hub = await asyncio.to_thread(running.__enter__)
    async with hub.channel(OPERATOR_ID) as channel:
        health = HealthStub(channel)
        for service in ("", *SERVICES):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
            assert answer.status == health_pb2.HealthCheckResponse.SERVING, service
        assert (await refusal(health.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=5))).code == "NOT_FOUND"
        watch = health.Watch(health_pb2.HealthCheckRequest(), timeout=30)
        before = (await first(watch)).status
        stopping = asyncio.ensure_future(asyncio.to_thread(running.__exit__, None, None, None))
        after = (await first(watch)).status
        await stopping
    assert (before, after) == (health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING)


async def test_health_is_not_for_those_without_a_certificate_of_the_authority(observed: RunningHub) -> None:
    authority = observed.settings.authority_certificate_file.read_bytes()
    async with grpc.aio.secure_channel(observed.address, grpc.ssl_channel_credentials(authority)) as channel:
        assert (await refusal(HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=5))).code == "UNAVAILABLE"


async def test_reflection_names_every_service_and_gives_out_the_contract(observed: RunningHub) -> None:
    async with observed.channel(OPERATOR_ID) as channel:
        asked = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="safeguarding.hub.v1.ChronologyService"),
        ]
        answers = [one async for one in ServerReflectionStub(channel).ServerReflectionInfo(iter(asked), timeout=10)]
    named = {service.name for service in answers[0].list_services_response.service}
    assert named == {*SERVICES, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert b"WatchChronology" in b"".join(answers[1].file_descriptor_response.file_descriptor_proto)
