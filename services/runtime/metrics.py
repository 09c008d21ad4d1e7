"""What Prometheus may ask. Every label comes from a closed set; anything else is counted as ``other``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIServer
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, make_wsgi_app, start_http_server

OTHER: Final = "other"
OUTCOMES: Final = frozenset({"accepted", "replayed", "refused"})
REFUSALS: Final = frozenset(
    {
        "invalid",
        "signature_invalid",
        "not_permitted",
        "refused",
        "wrong_expected_version",
        "content_mismatch",
        "unavailable",
        "atomic",
        "integrity",
    }
)
"""``RefusalCode`` of the contract, without its prefix, in lower case."""
CHECKS: Final = frozenset(
    {
        "header_unreadable",
        "key_id_mismatch",
        "log_origin",
        "agency_certificate",
        "key_unknown",
        "key_owner",
        "key_encoding",
        "key_low_order",
        "key_possession",
        "signature",
        "salt_length",
        "commitment",
        "key_retired",
        "key_revoked",
        "agency_unknown",
        "agency_suspended",
    }
)
"""``services.trust.verify.CHECKS`` without ``wire.``."""
BANDS: Final = frozenset({"overdue", "due_today", "due_soon", "later", "not_known", "met", "cancelled"})
"""``domain.rules.Band``."""
STORES: Final = frozenset({"events", "keys", "views"})
RPC_TYPES: Final = frozenset({"unary", "client_stream", "server_stream", "bidi_stream"})
CODES: Final = frozenset(
    {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    }
)
DIGESTS: Final = frozenset({"equal", "different"})
_RPC_LABELS: Final = ("grpc_type", "grpc_service", "grpc_method")
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)


class Metrics:
    """All metrics of one hub, on one registry. Thread-safe."""

    def __init__(self, registry: CollectorRegistry, *, views: Iterable[str] = ()) -> None:
        """Define the metrics; ``views`` are the names that a view's metrics may bear."""
        self.registry = registry
        self._views = frozenset(views)
        self._started = Counter("grpc_server_started", "RPCs begun.", _RPC_LABELS, registry=registry)
        self._handled = Counter("grpc_server_handled", "RPCs ended, by status.", (*_RPC_LABELS, "grpc_code"), registry=registry)
        self._handling = Histogram("grpc_server_handling_seconds", "Duration of RPCs.", _RPC_LABELS, buckets=_SECONDS, registry=registry)
        self._appends = Counter("hub_appends", "Events answered, by outcome.", ("outcome",), registry=registry)
        self._refusals = Counter("hub_refusals", "Events refused, by code.", ("code",), registry=registry)
        self._verify_failures = Counter("hub_verify_failures", "Events that failed verification, by check.", ("check",), registry=registry)
        self._append_seconds = Histogram("hub_append_seconds", "From request to outcomes.", buckets=_SECONDS, registry=registry)
        self._lag_positions = Gauge("hub_projection_lag_positions", "Positions not yet projected.", ("view",), registry=registry)
        self._lag_seconds = Gauge("hub_projection_lag_seconds", "Age of the oldest event not yet projected.", ("view",), registry=registry)
        self._spooled = Gauge("hub_spooled_events", "Events of the hub's own that wait for the log.", registry=registry)
        self._parked = Gauge("hub_parked_streams", "Streams that a view could not read to their end.", ("view",), registry=registry)
        self._deadlines = Gauge("hub_deadlines", "Deadlines, by band.", ("band",), registry=registry)
        self._store_bytes = Gauge("hub_store_bytes", "Size of the databases.", ("store",), registry=registry)
        self._replay_mismatches = Counter("hub_replay_mismatch", "Event ids sent again with other bytes.", registry=registry)
        self._digests = Counter("hub_digests_compared", "Digests of other nodes, beside this one's.", ("result",), registry=registry)
        self._records_folded = Gauge("hub_start_records_folded", "Records of the log folded since the start.", registry=registry)
        self._records_end = Gauge("hub_start_records_end", "Records of the log at the start: it serves from there on.", registry=registry)
        # A count that is not there cannot be seen to rise from nothing.
        closed = ((self._appends, OUTCOMES), (self._refusals, REFUSALS), (self._verify_failures, CHECKS), (self._digests, DIGESTS))
        for counter, labels in closed:
            for label in labels:
                counter.labels(label)

    def rpc_expected(self, rpc_type: str, service: str, method: str) -> None:
        """Have an RPC's contradictions counted from nothing on: an alarm looks for their rise, and the first of them is to be seen."""
        self._handled.labels(_of(rpc_type, RPC_TYPES), service, method, "DATA_LOSS")

    def rpc_started(self, rpc_type: str, service: str, method: str) -> None:
        """Count an RPC; ``service`` and ``method`` are those of a registered handler, or ``other``."""
        self._started.labels(_of(rpc_type, RPC_TYPES), service, method).inc()

    def rpc_handled(self, rpc_type: str, service: str, method: str, code: str, seconds: float) -> None:
        """Count an RPC's end. ``code``: name of a gRPC status code."""
        kind = _of(rpc_type, RPC_TYPES)
        self._handled.labels(kind, service, method, _of(code, CODES)).inc()
        self._handling.labels(kind, service, method).observe(seconds)

    def appended(self, outcome: str, events: int = 1) -> None:
        """Count answered events (``OUTCOMES``)."""
        self._appends.labels(_of(outcome, OUTCOMES)).inc(events)

    def refused(self, code: str, events: int = 1) -> None:
        """Count refused events (``REFUSALS``)."""
        self._refusals.labels(_of(code, REFUSALS)).inc(events)

    def outcome(self, outcome: Any) -> None:
        """Count one event's ``Outcome`` message. Any message of that form will do: this layer does not know the contract."""
        if outcome.WhichOneof("result") == "receipt":
            self.appended("accepted")
            return
        refusal = outcome.refusal
        codes = refusal.DESCRIPTOR.fields_by_name["code"].enum_type.values_by_number
        name = codes[refusal.code].name if refusal.code in codes else OTHER
        self.appended("refused")
        self.refused(name.removeprefix("REFUSAL_CODE_").lower())

    def verify_failed(self, rule: str) -> None:
        """Count a failed check by its rule (``wire.signature``)."""
        self._verify_failures.labels(_of(rule.removeprefix("wire."), CHECKS)).inc()

    def replay_mismatch(self) -> None:
        """Count an event id that was sent again with other bytes: an alarm."""
        self._replay_mismatches.inc()

    def digest_compared(self, is_same: bool) -> None:  # told by the event store, which knows no labels
        """Count a digest that another node published, by whether this node holds the same."""
        self._digests.labels("equal" if is_same else "different").inc()

    def coming_to_end(self, folded: int, end: int) -> None:
        """Set how many records of the log this node has folded at its start, of how many."""
        self._records_folded.set(folded)
        self._records_end.set(end)

    def append_took(self, seconds: float) -> None:
        """Note how long a request of events took."""
        self._append_seconds.observe(seconds)

    def projection_lag(self, view: str, *, positions: int, seconds: float) -> None:
        """Set how far a view is behind: the worst of all shards."""
        name = _of(view, self._views)
        self._lag_positions.labels(name).set(positions)
        self._lag_seconds.labels(name).set(seconds)

    def show_spooled(self, count: Callable[[], int]) -> None:
        """Have ``count`` asked, at each scrape, how many of the hub's own events wait on this node's disk for the log."""
        self._spooled.set_function(count)

    def parked_streams(self, view: str, streams: int) -> None:
        """Set how many streams a view has parked: an alarm unless none."""
        self._parked.labels(_of(view, self._views)).set(streams)

    def deadlines(self, band: str, count: int) -> None:
        """Set how many deadlines are in a band (``BANDS``)."""
        self._deadlines.labels(_of(band, BANDS)).set(count)

    def store_bytes(self, store: str, size_bytes: int) -> None:
        """Set a database's size (``STORES``)."""
        self._store_bytes.labels(_of(store, STORES)).set(size_bytes)


def _of(value: str, allowed: frozenset[str]) -> str:
    return value if value in allowed else OTHER


class MetricsServer:
    """Serves ``/metrics`` over HTTP until closed."""

    def __init__(self, server: WSGIServer, thread: threading.Thread) -> None:
        """Take over a running server and its thread; use ``serve_metrics``."""
        self._server = server
        self._thread = thread

    @property
    def address(self) -> str:
        """Where it listens, as host:port."""
        host, port = self._server.server_address[:2]
        return f"[{host!s}]:{port}" if ":" in str(host) else f"{host!s}:{port}"

    def close(self) -> None:
        """Stop answering and free the port; idempotent."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def serve_metrics(address: str, registry: CollectorRegistry) -> MetricsServer:
    """Serve a registry at ``host:port`` (port 0: a free one); raise ``OSError`` if the address is taken."""
    host, _, port = address.rpartition(":")
    server, thread = start_http_server(int(port), addr=host.strip("[]"), registry=registry)
    server.set_app(_at_its_path_alone(make_wsgi_app(registry)))
    return MetricsServer(server, thread)


def _at_its_path_alone(metrics: WSGIApplication) -> WSGIApplication:
    """Have metrics answer at ``/metrics`` alone: a probe of anything else must not take them for health."""

    def answer(asked: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if asked["PATH_INFO"] == "/metrics":
            return metrics(asked, start)
        start("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
        return [b"there is only /metrics here; health is asked over gRPC\n"]

    return answer
