from __future__ import annotations

import itertools
import json
import math
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from services.cli.bench.contending import STREAMS
from services.cli.bench.kafka import HUB_ON_KAFKA, RAW, REFOLDED, RESUMED
from services.cli.bench.measuring import percentile, thread_cpu_seconds_of
from services.cli.bench.plan import QUICK, Recorder, Report, Throughput
from services.cli.bench.recorders import HUB, PEER, POSTGRESQL, compared
from services.cli.bench.report import show_report
from services.cli.bench.run import Telling, measure
from services.cli.bench.signed import _drafts
from services.cli.bench.views import BUILT_IN_POSTGRESQL, LIVE_INTO_POSTGRESQL
from services.cli.output import emit
from services.cli.progress import progress

TINY = replace(
    QUICK,
    name="tiny",
    seconds_each=0.05,
    callers=(1, 4),
    population=6,
    small_events=200,
    large_events=400,
    reads=5,
    cold_start_events=500,
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    said: list[str] = []
    return measure(tmp_path_factory.mktemp("bench"), TINY, None, None, Telling(said.append, progress))


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif not isinstance(value, str | bool) and value is not None:
        for one in value:
            yield from numbers(one)


@pytest.mark.timeout(300)
def test_a_tiny_run_fills_every_section_of_the_document_with_positive_figures(report: Report, capsys: pytest.CaptureFixture[str]) -> None:
    emit(report)
    document = json.loads(capsys.readouterr().out)
    sections = ["floor", "recorders", "signed", "passes", "reads", "cold_start", "aims"]
    assert [name for name in document if name in sections] == sections
    for name in sections:
        found = list(numbers(document[name]))
        assert found, name
        assert all(number > 0 and math.isfinite(number) for number in found), (name, document[name])


@pytest.mark.timeout(300)
def test_a_run_measures_hub_and_peer_with_the_same_callers_and_the_store_at_two_sizes(report: Report) -> None:
    sizes = {(name, one.throughput.callers, one.throughput.events_a_call) for one in report.recorders for name in [one.name]}
    same = {(1, 1), (4, 1), (1, 10), (4, 10)}
    assert sizes == {(name, *size) for name in (HUB, PEER) for size in same}
    assert [(one.callers, one.events_a_call) for one in report.signed] == [(1, 1), (4, 1), (8, 100)]
    assert [one.events_in_store for one in report.reads] == [200, 400]
    assert report.cold_start.events_in_store == 500
    assert report.passes[-1].events >= 400


@pytest.mark.timeout(300)
def test_a_hub_on_kafka_with_views_in_postgresql_is_measured_beside_the_client_alone(
    tmp_path: Path, kafka_bootstrap: str, postgresql_url: str
) -> None:
    report = measure(tmp_path, TINY, postgresql_url, kafka_bootstrap, Telling([].append, progress))
    of_the_hub = [one for one in report.recorders if one.name == HUB_ON_KAFKA]
    assert {(one.throughput.callers, one.throughput.events_a_call) for one in of_the_hub} == {(1, 1), (4, 1), (1, 10), (4, 10)}
    raw = [(one.style, one.throughput.events_a_call) for one in report.recorders if one.name == RAW]
    assert raw == [("synchronous", 1), ("pipelined", 1), ("pipelined", 10)]
    passes = {one.what: one.events for one in report.passes}
    events = sum(one.throughput.events for one in of_the_hub)
    assert (passes[REFOLDED], passes[RESUMED] >= max(TINY.cold_start_events, events)) == (events, True)
    assert (passes[BUILT_IN_POSTGRESQL] >= TINY.large_events, passes[LIVE_INTO_POSTGRESQL] >= 1) == (True, True)
    assert [one.events_a_call for one in report.signed_on_kafka] == [1, 1, 100]
    assert len([aim for aim in report.aims if aim.what.startswith("on Kafka, ")]) == 7
    assert POSTGRESQL in {one.name for one in report.recorders}
    assert [(one.nodes, one.streams, one.throughput.events > 0, one.voids >= 0) for one in report.contention] == [
        (2, streams, True, True) for streams in STREAMS
    ]
    show_report(report)
    with psycopg.connect(make_url(postgresql_url).set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        left = connection.execute("SELECT count(*) FROM information_schema.schemata WHERE schema_name LIKE 'hub_bench%'").fetchone()
    assert left == (0,)


@pytest.mark.timeout(300)
def test_the_tables_show_what_the_document_holds(
    report: Report, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    show_report(report)
    shown = capsys.readouterr().out
    assert f"{report.floor.sqlite_commits_per_second:,.0f}" in shown
    assert all(f"{one.per_second:,.0f}" in shown for one in report.signed)
    assert all(aim.what in shown for aim in report.aims)
    assert ("hub CPU us/event in the last line, by thread: " in shown) == bool(report.signed[-1].hub_threads_cpu_us)
    assert "skipped: PostgreSQL: no database was named (--postgresql URL)" in shown


def a_recorder(name: str, per_second: float) -> Recorder:
    throughput = Throughput(callers=1, events_a_call=1, events=10, seconds=1.0, per_second=per_second, p50_ms=1.0, p99_ms=1.0)
    return Recorder(name=name, style="threads", throughput=throughput)


def test_every_recorder_is_held_against_the_peer_and_the_floor() -> None:
    found = compared([a_recorder(HUB, 600.0), a_recorder(PEER, 200.0)], commits_per_second=400.0)
    assert [(one.name, one.times_peer, one.times_floor) for one in found] == [(HUB, 3.0, 1.5), (PEER, 1.0, 0.5)]


def test_the_cpu_of_a_process_is_told_by_thread_where_the_system_tells() -> None:
    ready, over = threading.Event(), threading.Event()

    def busy() -> None:
        while time.thread_time() < 0.1:
            pass
        ready.set()
        over.wait()

    before = thread_cpu_seconds_of(os.getpid())
    thread = threading.Thread(target=busy)
    thread.start()
    ready.wait()
    found = {name: used - before.get(name, 0.0) for name, used in thread_cpu_seconds_of(os.getpid()).items()}
    over.set()
    thread.join()
    if Path("/proc/self/task").exists():
        assert "event loop" in found
        assert found[next(name for name in found if name.endswith(f" {thread.native_id}"))] >= 0.05
    else:
        assert found == {}
    assert thread_cpu_seconds_of(2**30) == {}


def test_what_agencies_say_is_drawn_once_for_all_cases() -> None:
    drawn = list(itertools.islice(_drafts(["a", "b"]), 4))
    assert [draft.case_id for draft in drawn] == ["a", "b", "a", "b"]
    assert drawn[0].event is drawn[1].event
    assert len({draft.event.entries[0].entry_id for draft in drawn}) == 2  # type: ignore[attr-defined]


def test_a_percentile_is_the_nearest_rank() -> None:
    values = [float(number) for number in range(100, 0, -1)]
    assert (percentile(values, 50), percentile(values, 99), percentile(values, 100), percentile([7.0], 99)) == (50.0, 99.0, 100.0, 7.0)
