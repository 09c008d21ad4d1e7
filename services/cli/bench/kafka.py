"""Recording at the store port of a node on Kafka, beside what the raw client gives: same brokers, same size, same run."""

from __future__ import annotations

import os
import time
import uuid
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import closing
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

from services.cli.bench.home import AREAS
from services.cli.bench.measuring import throughput, with_threads
from services.cli.bench.plan import EVENT_BYTES, Pass, Plan, Recorder, Throughput
from services.cli.bench.recorders import MANY_EVENTS, SHARD, appends, measured_by_threads_and_tasks
from services.eventstore.brokers import Kafka
from services.eventstore.cluster import ClusterEventStore
from services.eventstore.kafka import open_store
from services.eventstore.port import Result
from services.eventstore.shard import NodeShard
from services.eventstore.topic import make_topic
from services.runtime import interpreter

HUB_ON_KAFKA: Final = "hub, store port on Kafka"
RAW: Final = "kafka-python, raw produce"
REFOLDED: Final = "the topic folded from the beginning"
RESUMED: Final = "the state taken up again, its last record checked"
PIPELINED_MAX: Final = 256
"""So many records are under way at once where calls are pipelined."""
WAIT_MAX_SECONDS: Final = 60.0
GROWN_EVENTS: Final = 300
GROWN_UNDER_WAY: Final = 8
_PARTITIONS: Final = 2


def measure_kafka(folder: Path, plan: Plan, bootstrap: str, progress: Callable[[str], None]) -> tuple[list[Recorder], list[Pass]]:
    """Measure the client alone, a node's store, and a log folded from the beginning and taken up again. Two topics are made and left."""
    progress("producing with the Kafka client alone")
    found = _raw(_topic(bootstrap, _PARTITIONS), plan)
    progress("recording at the store port of a node on Kafka, unsigned")
    kafka, path = _topic(bootstrap, _PARTITIONS), folder / "kafka.sqlite"
    with _opened(path, kafka) as store:
        shard = store.create_shard(SHARD)
        for callers, events in [*((callers, 1) for callers in plan.callers), (1, MANY_EVENTS), (max(plan.callers), MANY_EVENTS)]:
            found += measured_by_threads_and_tasks(HUB_ON_KAFKA, callers, events, plan.seconds_each, shard)
        source = appends(MANY_EVENTS)
        many = _pipelined(plan.seconds_each, MANY_EVENTS, lambda: shard.append(next(source)).result)
        found.append(Recorder(name=HUB_ON_KAFKA, style="pipelined", throughput=many))
        events = shard.head().position
        progress(f"folding {events:,} events of the topic from the beginning")
        passes = [_by_itself(_opening, REFOLDED, folder / "refolded.sqlite", kafka, events)]
        progress(f"growing the state to {plan.cold_start_events:,} events, and taking it up again")
        events += _grow(shard, plan.cold_start_events - events)
    return found, [*passes, _by_itself(_opening, RESUMED, path, kafka, events)]


def _by_itself(measure: Callable[..., Pass], *arguments: object) -> Pass:
    """Measure in a process of its own, as a node that begins is one."""
    with ProcessPoolExecutor(1, get_context("spawn"), interpreter.settle) as process:
        return process.submit(measure, *arguments).result()


def _grow(shard: NodeShard, events: int) -> int:
    """Append at least so many events, many to a record; return how many."""
    source, under_way, grown = appends(GROWN_EVENTS), deque[Future[Result]](), 0
    while grown < events:
        under_way.append(shard.append(next(source)))
        grown += GROWN_EVENTS
        if len(under_way) >= GROWN_UNDER_WAY:
            under_way.popleft().result(WAIT_MAX_SECONDS)
    for future in under_way:
        future.result(WAIT_MAX_SECONDS)
    return grown


def topic_for_a_hub(bootstrap: str) -> dict[str, str]:
    """Make a topic for a hub of the bench; return the settings that name it. It is left."""
    kafka = _topic(bootstrap, partitions=1 + AREAS)
    return {"kafka_bootstrap": bootstrap, "kafka_topic": kafka.topic}


def _topic(bootstrap: str, partitions: int) -> Kafka:
    brokers = tuple(bootstrap.split(","))
    kafka = Kafka(bootstrap=brokers, topic=f"hub.events.bench.{uuid.uuid4().hex}")
    make_topic(kafka, partitions=partitions, replication=min(len(brokers), 3))
    return kafka


def _raw(kafka: Kafka, plan: Plan) -> list[Recorder]:
    client = kafka.producer()
    value = os.urandom(EVENT_BYTES)
    send = partial(client.send, kafka.topic, partition=0)

    def one() -> int:
        send(value=value).get(WAIT_MAX_SECONDS)
        return 1

    try:
        one()
        alone = with_threads(1, 1, plan.seconds_each, lambda _number: one)
        pipelined = [_pipelined(plan.seconds_each, events, _sending(send, value * events)) for events in (1, MANY_EVENTS)]
    finally:
        client.close(timeout=1.0)
    return [
        Recorder(name=RAW, style="synchronous", throughput=alone),
        *(Recorder(name=RAW, style="pipelined", throughput=one) for one in pipelined),
    ]


def _sending(send: Callable[..., Any], record: bytes) -> Callable[[], Callable[[float], object]]:
    """Return what hands a record over, and then what waits until it is on the log."""
    return lambda: send(value=record).get


def _pipelined(seconds: float, events: int, begin: Callable[[], Callable[[float], object]]) -> Throughput:
    """Measure one caller who has many calls of so many events under way; ``begin`` returns what waits for one, so many seconds."""
    under_way: deque[Callable[[float], object]] = deque()
    calls: list[float] = []
    began = now = time.perf_counter()
    while now < began + seconds:
        under_way.append(begin())
        if len(under_way) >= PIPELINED_MAX:
            under_way.popleft()(WAIT_MAX_SECONDS)
        before, now = now, time.perf_counter()
        calls.append(now - before)
    for wait in under_way:
        wait(WAIT_MAX_SECONDS)
    return throughput(1, events, len(calls) * events, calls, time.perf_counter() - began)


def _opening(what: str, path: Path, kafka: Kafka, events: int) -> Pass:
    began, cpu = time.perf_counter(), time.process_time()
    with _opened(path, kafka) as store:
        store.create_shard(SHARD).log_end(WAIT_MAX_SECONDS)
        seconds = time.perf_counter() - began
    used = (time.process_time() - cpu) / events * 1_000_000
    return Pass(what=what, events=events, seconds=round(seconds, 3), per_second=round(events / seconds, 1), cpu_us_an_event=round(used, 1))


def _opened(path: Path, kafka: Kafka) -> closing[ClusterEventStore]:
    return closing(open_store(path, kafka, root=SHARD))
