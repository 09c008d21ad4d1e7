from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from safeguarding.hub.v1.append_pb2 import Outcome, Receipt, Refusal, RefusalCode
from services.runtime.metrics import Metrics


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry, views=("chronology", "deadlines"))


def samples(registry: CollectorRegistry, *names: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name in names and sample.value
    }


def test_outcomes_are_counted_by_what_they_are(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.outcome(Outcome(receipt=Receipt()))
    metrics.outcome(Outcome(refusal=Refusal(code=RefusalCode.REFUSAL_CODE_SIGNATURE_INVALID)))
    metrics.outcome(Outcome(refusal=Refusal(code=99)))  # type: ignore[arg-type]
    metrics.appended("replayed", 3)
    assert samples(registry, "hub_appends_total", "hub_refusals_total") == {
        ("hub_appends_total", "accepted"): 1.0,
        ("hub_appends_total", "refused"): 2.0,
        ("hub_appends_total", "replayed"): 3.0,
        ("hub_refusals_total", "signature_invalid"): 1.0,
        ("hub_refusals_total", "other"): 1.0,
    }


def test_labels_outside_the_closed_sets_become_other(metrics: Metrics, registry: CollectorRegistry) -> None:
    text = "a child's name"
    metrics.appended(text)
    metrics.refused(text)
    metrics.verify_failed(text)
    metrics.deadlines(text, 1)
    metrics.store_bytes(text, 1)
    metrics.projection_lag(text, positions=1, seconds=1.0)
    metrics.parked_streams(text, 1)
    metrics.rpc_handled(text, "Service", "Method", text, 0.1)
    labels = {value for metric in registry.collect() for sample in metric.samples for value in sample.labels.values()}
    assert text not in labels
    assert "other" in labels


def test_failed_checks_are_counted_by_check(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.verify_failed("wire.commitment")
    metrics.verify_failed("commitment")
    assert samples(registry, "hub_verify_failures_total") == {("hub_verify_failures_total", "commitment"): 2.0}


def test_digests_are_counted_by_whether_they_are_the_same(metrics: Metrics, registry: CollectorRegistry) -> None:
    assert registry.get_sample_value("hub_digests_compared_total", {"result": "different"}) == 0.0
    for is_same in (True, True, False):
        metrics.digest_compared(is_same)
    assert registry.get_sample_value("hub_digests_compared_total", {"result": "equal"}) == 2.0
    assert registry.get_sample_value("hub_digests_compared_total", {"result": "different"}) == 1.0


def test_how_far_a_start_has_come_is_shown(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.coming_to_end(3, 9)
    assert registry.get_sample_value("hub_start_records_folded") == 3.0
    assert registry.get_sample_value("hub_start_records_end") == 9.0


def test_gauges_show_the_last_value(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.projection_lag("deadlines", positions=9, seconds=4.0)
    metrics.projection_lag("deadlines", positions=2, seconds=0.5)
    metrics.parked_streams("chronology", 1)
    metrics.deadlines("overdue", 3)
    metrics.store_bytes("events", 4096)
    gauges = ("hub_projection_lag_positions", "hub_projection_lag_seconds", "hub_parked_streams", "hub_deadlines", "hub_store_bytes")
    assert samples(registry, *gauges) == {
        ("hub_projection_lag_positions", "deadlines"): 2.0,
        ("hub_projection_lag_seconds", "deadlines"): 0.5,
        ("hub_parked_streams", "chronology"): 1.0,
        ("hub_deadlines", "overdue"): 3.0,
        ("hub_store_bytes", "events"): 4096.0,
    }


def test_rpcs_have_the_standard_names_and_labels(metrics: Metrics, registry: CollectorRegistry) -> None:
    metrics.rpc_started("unary", "S", "M")
    metrics.rpc_handled("unary", "S", "M", "OK", 0.02)
    metrics.replay_mismatch()
    metrics.append_took(0.2)
    labels = {"grpc_type": "unary", "grpc_service": "S", "grpc_method": "M"}
    assert registry.get_sample_value("grpc_server_started_total", labels) == 1.0
    assert registry.get_sample_value("grpc_server_handled_total", {**labels, "grpc_code": "OK"}) == 1.0
    assert registry.get_sample_value("grpc_server_handling_seconds_bucket", {**labels, "le": "0.025"}) == 1.0
    assert registry.get_sample_value("grpc_server_handling_seconds_bucket", {**labels, "le": "0.01"}) == 0.0
    assert registry.get_sample_value("hub_replay_mismatch_total") == 1.0
    assert registry.get_sample_value("hub_append_seconds_count") == 1.0


def test_two_hubs_in_one_process_do_not_share_counts(metrics: Metrics, registry: CollectorRegistry) -> None:
    other = CollectorRegistry()
    Metrics(other).replay_mismatch()
    assert (registry.get_sample_value("hub_replay_mismatch_total"), other.get_sample_value("hub_replay_mismatch_total")) == (0.0, 1.0)
    metrics.replay_mismatch()
    assert registry.get_sample_value("hub_replay_mismatch_total") == 1.0
