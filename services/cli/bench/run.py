"""One run of the bench, section by section, in a folder that is removed afterwards."""

from __future__ import annotations

import asyncio
import os
import platform
import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import uvloop

from services.bootstrap import open_parts
from services.cli.bench.aims import aims, kafka_aims
from services.cli.bench.coldstart import measure_cold_start
from services.cli.bench.contending import measure_contention
from services.cli.bench.filling import Filler
from services.cli.bench.floor import measure_floor
from services.cli.bench.home import Home, another_node, found
from services.cli.bench.kafka import measure_kafka, topic_for_a_hub
from services.cli.bench.plan import ColdStart, Contention, Pass, Plan, Reads, Report, Throughput
from services.cli.bench.reads import measure_reads
from services.cli.bench.recorders import compared, measure_recorders
from services.cli.bench.schema import own_schema
from services.cli.bench.signed import measure_signed
from services.cli.bench.views import begin_views, measure_catch_up, measure_postgresql, measure_rebuild
from services.runtime.interpreter import usable_cores

PART_MORE: Final = 10
"""Live projection into PostgreSQL is measured over a tenth of the large store."""

Bar = Callable[[str], AbstractContextManager[Callable[[int, int], None]]]


@dataclass(frozen=True, slots=True)
class Telling:
    """How a run says what it is doing: in words, and with a bar where the length is known."""

    words: Callable[[str], None]
    bar: Bar


def measure(folder: Path, plan: Plan, postgresql: str | None, kafka: str | None, telling: Telling) -> Report:
    """Measure everything that the plan asks for; ``folder`` is empty, ``postgresql`` and ``kafka`` name servers to measure on as well."""
    began = time.perf_counter()
    surroundings = environment()
    telling.words("the raw floor: SQLite commits and Ed25519")
    floor = measure_floor(folder, plan.seconds_each)
    recorders, skipped = measure_recorders(folder, plan, postgresql, telling.words)
    on_kafka: list[Pass] = []
    signed_on_kafka: tuple[Throughput, ...] = ()
    if kafka is None:
        skipped.append("Kafka: no brokers were named (--kafka BOOTSTRAP)")
    else:
        more, on_kafka = measure_kafka(folder, plan, kafka, telling.words)
        recorders += more
        telling.words("a hub on Kafka")
        signed_on_kafka = _signed(found(folder / "signed-on-kafka", **topic_for_a_hub(kafka)), plan, telling)
    contention: tuple[Contention, ...] = ()
    if kafka is None or postgresql is None:
        skipped.append("nodes that contend: they need Kafka and PostgreSQL")
    else:
        contention = _contended(folder / "contended", plan, kafka, postgresql, telling)
    beside = compared(recorders, floor.sqlite_commits_per_second)
    signed = _signed(found(folder / "signed"), plan, telling)
    passes, reads, cold_start = _grown(folder / "grown", plan, postgresql, telling)
    return Report(
        plan=plan,
        environment=surroundings,
        floor=floor,
        recorders=beside,
        signed=signed,
        signed_on_kafka=signed_on_kafka,
        contention=contention,
        passes=(*on_kafka, *passes),
        reads=reads,
        cold_start=cold_start,
        aims=(*aims(beside, signed, passes, reads, cold_start), *kafka_aims(beside, signed_on_kafka, on_kafka)),
        skipped=tuple(skipped),
        seconds=round(time.perf_counter() - began, 1),
    )


def _signed(home: Home, plan: Plan, telling: Telling) -> tuple[Throughput, ...]:
    """Measure signed events end to end."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(measure_signed(home, plan, telling.words))


def _contended(folder: Path, plan: Plan, kafka: str, postgresql: str, telling: Telling) -> tuple[Contention, ...]:
    """Found a hub on Kafka and PostgreSQL, prepare a second node's home, and measure both at once."""
    with own_schema(postgresql) as schema:
        first = found(folder / "first", **topic_for_a_hub(kafka), keys_database_url=schema, database_url=schema)
        both = (first, another_node(first, folder / "second"))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(measure_contention(both, plan, telling.words))


def _grown(folder: Path, plan: Plan, postgresql: str | None, telling: Telling) -> tuple[tuple[Pass, ...], tuple[Reads, ...], ColdStart]:
    """Grow one store and measure at each size: reads at the small one, views and reads at the large one, a cold start at the end."""
    home = found(folder)
    filler = Filler(home, plan.population)
    with open_parts(home.settings) as parts:
        begin_views(parts)
    _grow(home, filler, plan.small_events, telling)
    telling.words(f"reading chronologies, {plan.small_events:,} events in the store")
    reads = [measure_reads(home, filler.cases, plan.small_events, plan.reads)]
    passes = [_grow(home, filler, plan.large_events, telling)]
    with open_parts(home.settings) as parts:
        names = [view.name for view in parts.views.views]
        for views in (*([name] for name in names), names):
            with telling.bar(f"rebuilding {', '.join(views)}") as bar:
                passes.append(measure_rebuild(parts, views, bar))
    telling.words(f"reading chronologies, {plan.large_events:,} events in the store")
    reads.append(measure_reads(home, filler.cases, plan.large_events, plan.reads))
    if postgresql is not None:
        telling.words("views in PostgreSQL")
        more = plan.large_events + plan.large_events // PART_MORE
        with open_parts(home.settings) as parts:
            passes += measure_postgresql(parts, postgresql, lambda: filler.fill(parts, more, lambda _done, _total: None))
    if plan.cold_start_events > plan.large_events:
        _grow(home, filler, plan.cold_start_events, telling)
    telling.words("cold start")
    return tuple(passes), tuple(reads), measure_cold_start(home, plan.cold_start_events, plan.cold_starts)


def _grow(home: Home, filler: Filler, events: int, telling: Telling) -> Pass:
    """Fill the store with the views standing still, then let them catch up."""
    with open_parts(home.settings) as parts:
        with telling.bar(f"filling the store to {events:,} events") as bar:
            filler.fill(parts, events, bar)
        telling.words("views catch up")
        return measure_catch_up(parts)


def environment() -> dict[str, str]:
    """Return what the figures depend on."""
    load = f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"
    return {
        "cpu": _cpu_model(),
        "cores": str(usable_cores()),
        "load_before": load,
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "grpc": grpc.__version__,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor() or "unknown")
