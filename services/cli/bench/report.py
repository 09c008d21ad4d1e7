"""A run's figures as tables."""

from __future__ import annotations

from collections.abc import Sequence

from services.cli.bench.plan import Floor, Report, Throughput
from services.cli.output import say, show

LEAST_SHOWN_US = 1.0
_LOAD_COLUMNS = ("callers", "events a call", "events/s", "p50 ms", "p99 ms")


def show_report(report: Report) -> None:
    """Print all tables, ratios beside the figures."""
    say("  ".join(f"{name} {value}" for name, value in report.environment.items()))
    say()
    _show_floor(report)
    _show_recorders(report)
    _show_signed(report)
    _show_views_and_reads(report)
    show(
        "Aims",
        ("aim", "target", "found", "met"),
        [(aim.what, f"{aim.target:,g}", f"{aim.found:,g}", "yes" if aim.is_met else "NO") for aim in report.aims],
        right=(1, 2),
    )
    for words in report.skipped:
        say(f"skipped: {words}")
    say(f"{report.plan.name} run, {report.seconds:.0f} s")


def _show_floor(report: Report) -> None:
    floor = report.floor
    rows = [
        ("SQLite, one row a transaction, synchronous=FULL", f"{floor.sqlite_commits_per_second:,.0f}"),
        ("Ed25519 sign", f"{floor.ed25519_signs_per_second:,.0f}"),
        ("Ed25519 verify", f"{floor.ed25519_verifies_per_second:,.0f}"),
        ("Ed25519 sign and verify", f"{floor.ed25519_sign_and_verify_per_second:,.0f}"),
    ]
    show("Raw floor, one after the other", ("what", "a second"), rows, right=(1,))


def _show_recorders(report: Report) -> None:
    rows = [
        (one.name, one.style, *_load(one.throughput), _times(one.times_peer), _times(one.times_floor))
        for one in sorted(report.recorders, key=lambda one: (one.throughput.events_a_call, one.throughput.callers, one.name))
    ]
    columns = ("recorder", "callers are", *_LOAD_COLUMNS, "x peer", "x floor")
    show("Unsigned at the store port, in process; peer: eventsourcing's SQLite recorder", columns, rows, right=range(2, 9))


def _show_signed(report: Report) -> None:
    _show_signed_as("Signed end to end: SDK, mutual TLS, hub in another process, receipts", report.signed, report.floor)
    if report.signed_on_kafka:
        _show_signed_as("The same with the hub on Kafka", report.signed_on_kafka, report.floor)
    if report.contention:
        rows = [
            (f"{one.nodes}", f"{one.streams:,}", *_load(one.throughput), f"{one.voids:,}", f"{one.voids / one.throughput.events:.2f}")
            for one in report.contention
        ]
        columns = ("nodes", "streams", *_LOAD_COLUMNS, "voids", "voids an event")
        show("Signed events through several nodes on Kafka that contend for streams", columns, rows, right=range(9))


def _show_signed_as(title: str, signed: Sequence[Throughput], floor: Floor) -> None:
    rows = [
        (
            *_load(one),
            _times(one.per_second / floor.sqlite_commits_per_second),
            _times(one.per_second / floor.ed25519_sign_and_verify_per_second),
            f"{one.hub_cpu_us or 0:,.0f}",
            f"{one.client_cpu_us or 0:,.0f}",
        )
        for one in signed
    ]
    columns = (*_LOAD_COLUMNS, "x SQLite floor", "x signature floor", "hub CPU us/event", "client CPU us/event")
    show(title, columns, rows, right=range(9))
    threads = signed[-1].hub_threads_cpu_us
    if threads:
        words = "; ".join(f"{thread} {used:,.0f}" for thread, used in threads.items() if used >= LEAST_SHOWN_US)
        say(f"hub CPU us/event in the last line, by thread: {words}")
        say()


def _show_views_and_reads(report: Report) -> None:
    rows = [(one.what, f"{one.events:,}", f"{one.per_second:,.0f}", f"{one.cpu_us_an_event:,.0f}") for one in report.passes]
    show("Passes over the log", ("what", "events", "events/s", "CPU us/event"), rows, right=(1, 2, 3))
    first = report.reads[0].p50_ms
    reads = [
        (
            f"{one.events_in_store:,}",
            f"{one.lines_a_read:g}",
            f"{one.p50_ms:.1f}",
            f"{one.p99_ms:.1f}",
            f"{one.hub_cpu_ms:.1f}",
            _times(one.p50_ms / first),
        )
        for one in report.reads
    ]
    columns = ("events in store", "lines", "p50 ms", "p99 ms", "hub CPU ms", "x smallest")
    show("Chronology of a case through gRPC, the reading recorded first", columns, reads, right=range(6))
    cold = report.cold_start
    row = (f"{cold.events_in_store:,}", f"{cold.store_megabytes:,.0f}", f"{cold.seconds:.2f}", f"{cold.imports_seconds:.2f}")
    show("Cold start to the first answer", ("events in store", "MB", "seconds", "of which loading code"), [row], right=range(4))


def _load(one: Throughput) -> tuple[str, ...]:
    return (f"{one.callers}", f"{one.events_a_call}", f"{one.per_second:,.0f}", f"{one.p50_ms:.2f}", f"{one.p99_ms:.2f}")


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
