"""What was found against what the hub is meant to reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from services.cli.bench.kafka import HUB_ON_KAFKA, RAW, REFOLDED, RESUMED
from services.cli.bench.plan import Aim, ColdStart, Pass, Reads, Recorder, Throughput
from services.cli.bench.recorders import HUB, MANY_EVENTS, POSTGRESQL
from services.cli.bench.signed import BATCH_EVENTS
from services.cli.bench.views import REBUILD_OF_ALL

SIGNED_PER_SECOND: Final = 2_500.0
STORE_TIMES_PEER: Final = 2.0
REBUILD_PER_SECOND: Final = 15_000.0
READ_RATIO: Final = 1.5
"""Reading from a store a hundred times as large takes at most this much as long: independent, within the noise."""
COLD_START_SECONDS: Final = 3.0
KAFKA_TIMES_RAW_LATENCY: Final = 1.3
KAFKA_TIMES_POSTGRESQL: Final = 4.0
KAFKA_TIMES_RAW_EVENTS: Final = 0.5
KAFKA_SIGNED_PER_SECOND: Final = 2_000.0
REFOLD_PER_SECOND: Final = 25_000.0
RESUME_SECONDS: Final = 5.0


def aims(
    recorders: Sequence[Recorder], signed: Sequence[Throughput], passes: Sequence[Pass], reads: Sequence[Reads], cold: ColdStart
) -> tuple[Aim, ...]:
    """Hold the embedded hub against what it is meant to reach."""
    most = max(one.throughput.callers for one in recorders)
    beside_peer = max(one.times_peer or 0.0 for one in recorders if _is(one, HUB, most, 1))
    ratio = round(reads[-1].p50_ms / reads[0].p50_ms, 2)
    rebuild = next(one.per_second for one in passes if one.what == REBUILD_OF_ALL)
    return (
        _least(f"unsigned, one event an append, {most} callers: times eventsourcing's SQLite recorder", STORE_TIMES_PEER, beside_peer),
        _least(f"signed end to end in batches of {BATCH_EVENTS}, events a second", SIGNED_PER_SECOND, _in_batches(signed)),
        _least("rebuild of all views, events a second", REBUILD_PER_SECOND, rebuild),
        _most(f"chronology read p50, {reads[-1].events_in_store:,} against {reads[0].events_in_store:,} events", READ_RATIO, ratio),
        _most(f"cold start with {cold.events_in_store:,} events, seconds", COLD_START_SECONDS, cold.seconds),
    )


def kafka_aims(recorders: Sequence[Recorder], signed: Sequence[Throughput], passes: Sequence[Pass]) -> tuple[Aim, ...]:
    """Hold a hub on Kafka against what it is meant to reach; nothing where none was measured."""
    if not signed:
        return ()
    most = max(one.throughput.callers for one in recorders)
    raw = {(one.style, one.throughput.events_a_call): one.throughput for one in recorders if one.name == RAW}
    alone = min(one.throughput.p50_ms for one in recorders if _is(one, HUB_ON_KAFKA, 1, 1))
    many = max(one.throughput.per_second for one in recorders if _is(one, HUB_ON_KAFKA, most, 1))
    pipelined = next(one.throughput.per_second for one in recorders if one.name == HUB_ON_KAFKA and one.style == "pipelined")
    refolded, resumed = (next(one for one in passes if one.what == what) for what in (REFOLDED, RESUMED))
    on_postgresql = [one.throughput.per_second for one in recorders if _is(one, POSTGRESQL, most, 1)]
    return (
        _most(
            "on Kafka, one caller: p50 times a raw synchronous produce",
            KAFKA_TIMES_RAW_LATENCY,
            round(alone / raw["synchronous", 1].p50_ms, 2),
        ),
        *(
            _least(f"on Kafka, {most} callers: times eventsourcing on PostgreSQL", KAFKA_TIMES_POSTGRESQL, round(many / peer, 2))
            for peer in on_postgresql
        ),
        *(
            _least(
                f"on Kafka, pipelined appends of {MANY_EVENTS}, events: times raw pipelined records of {events}",
                KAFKA_TIMES_RAW_EVENTS,
                round(pipelined / raw["pipelined", events].per_second, 2),
            )
            for events in (1, MANY_EVENTS)
        ),
        _least(f"on Kafka, signed end to end in batches of {BATCH_EVENTS}, events a second", KAFKA_SIGNED_PER_SECOND, _in_batches(signed)),
        _least("on Kafka, the log folded from the beginning, events a second", REFOLD_PER_SECOND, refolded.per_second),
        _most(f"on Kafka, a state of {resumed.events:,} events taken up again, seconds", RESUME_SECONDS, resumed.seconds),
    )


def _is(recorder: Recorder, name: str, callers: int, events_a_call: int) -> bool:
    """Tell whether this is one recorder's figure at one size."""
    return (recorder.name, recorder.throughput.callers, recorder.throughput.events_a_call) == (name, callers, events_a_call)


def _in_batches(signed: Sequence[Throughput]) -> float:
    """Return the events a second of the measurement in batches."""
    return next(one.per_second for one in signed if one.events_a_call == BATCH_EVENTS)


def _least(what: str, target: float, found: float) -> Aim:
    return Aim(what=f"{what}, at least", target=target, found=found, is_met=found >= target)


def _most(what: str, target: float, found: float) -> Aim:
    return Aim(what=f"{what}, at most", target=target, found=found, is_met=found <= target)
