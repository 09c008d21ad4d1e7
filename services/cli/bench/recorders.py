"""Recording unsigned events at the store port, and beside it with eventsourcing's own recorders: same callers, same size."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import uvloop
from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory, StoredEvent
from eventsourcing.utils import Environment
from sqlalchemy.engine import make_url

from services.cli.bench.measuring import with_tasks, with_threads
from services.cli.bench.plan import EVENT_BYTES, Plan, Recorder
from services.eventstore.local import LocalEventStore
from services.eventstore.port import Accepted, Append, Expectation, ProposedEvent, Result
from services.eventstore.shard import NodeShard
from services.runtime.randomness import rising_id

HUB: Final = "hub, store port"
PEER: Final = "eventsourcing, SQLite"
POSTGRESQL: Final = "eventsourcing, PostgreSQL"
MANY_EVENTS: Final = 10
SHARD: Final = "bench"
_STATE: Final = os.urandom(EVENT_BYTES)
_HASH: Final = bytes(32)


def measure_recorders(
    folder: Path, plan: Plan, postgresql: str | None, progress: Callable[[str], None]
) -> tuple[list[Recorder], list[str]]:
    """Measure the hub's store and its peers; return the figures and what was skipped, with the reason."""
    sizes = [(callers, 1) for callers in plan.callers] + [(callers, MANY_EVENTS) for callers in (1, max(plan.callers))]
    progress("recording at the store port, unsigned")
    found = _hub(folder, plan, sizes)
    progress("recording with eventsourcing's SQLite recorder")
    found += _library(PEER, {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": str(folder / "peer.sqlite")}, plan, sizes)
    if postgresql is None:
        return found, ["PostgreSQL: no database was named (--postgresql URL)"]
    progress("recording with eventsourcing's PostgreSQL recorder")
    return found + _library(POSTGRESQL, _postgresql_environment(postgresql), plan, sizes), []


def compared(recorders: list[Recorder], commits_per_second: float) -> tuple[Recorder, ...]:
    """Return the figures with their ratios to the peer and to the raw floor."""
    peer = {(one.throughput.callers, one.throughput.events_a_call): one.throughput.per_second for one in recorders if one.name == PEER}
    compared = []
    for one in recorders:
        beside = peer[one.throughput.callers, one.throughput.events_a_call]
        per_second = one.throughput.per_second
        compared.append(replace(one, times_peer=round(per_second / beside, 2), times_floor=round(per_second / commits_per_second, 2)))
    return tuple(compared)


def _hub(folder: Path, plan: Plan, sizes: list[tuple[int, int]]) -> list[Recorder]:
    store = LocalEventStore(folder / "hub.sqlite")
    try:
        shard = store.create_shard(SHARD)
        found = []
        for callers, events in sizes:
            found += measured_by_threads_and_tasks(HUB, callers, events, plan.seconds_each, shard)
        return found
    finally:
        store.close()


def measured_by_threads_and_tasks(name: str, callers: int, events: int, seconds: float, shard: NodeShard) -> list[Recorder]:
    """Measure a store's shard with callers of both kinds, each appending so many events a call to a stream of its own."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        by_tasks = runner.run(with_tasks(callers, events, seconds, partial(_awaited_appends, shard, events)))
    by_threads = with_threads(callers, events, seconds, partial(_blocking_appends, shard, events))
    return [Recorder(name=name, style="asyncio", throughput=by_tasks), Recorder(name=name, style="threads", throughput=by_threads)]


def appends(events: int) -> Iterator[Append]:
    """Yield appends that fill one new stream."""
    stream, version = f"case-{uuid.uuid4()}", 0
    while True:
        proposed = tuple(
            [ProposedEvent(stream, version + number, rising_id(), _HASH, "", "bench.v1", _STATE) for number in range(1, events + 1)]
        )
        yield Append(rising_id(), SHARD, "bench", (Expectation(stream, version),), proposed)
        version += events


def _blocking_appends(shard: NodeShard, events: int, _number: int) -> Callable[[], int]:
    source = appends(events)
    return lambda: _accepted(shard.append(next(source)).result())


def _awaited_appends(shard: NodeShard, events: int, _number: int) -> Callable[[], Awaitable[int]]:
    source = appends(events)

    async def append() -> int:
        return _accepted(await shard.append_async(next(source)))

    return append


def _accepted(result: Result) -> int:
    if not isinstance(result, Accepted):
        raise TypeError(f"the store refused an append of the bench: {result}")
    return len(result.placed)


def _library(name: str, variables: dict[str, str], plan: Plan, sizes: list[tuple[int, int]]) -> list[Recorder]:
    """Measure a recorder of eventsourcing as its own factory makes it."""
    factory: InfrastructureFactory[Any] = InfrastructureFactory.construct(Environment(name="bench", env=variables))
    try:
        recorder = factory.application_recorder()
        found = []
        for callers, events in sizes:
            measured = with_threads(callers, events, plan.seconds_each, partial(_inserts, recorder, events))
            found.append(Recorder(name=name, style="threads", throughput=measured))
        return found
    finally:
        factory.close()


def _inserts(recorder: ApplicationRecorder, events: int, _number: int) -> Callable[[], int]:
    """Return a call that inserts the next events of one new originator in one transaction."""
    originator, version = uuid.uuid4(), 0

    def insert() -> int:
        nonlocal version
        recorder.insert_events([StoredEvent(originator, version + number, "bench.v1", _STATE) for number in range(1, events + 1)])
        version += events
        return events

    return insert


def _postgresql_environment(text: str) -> dict[str, str]:
    """Return a database URL as eventsourcing's PostgreSQL factory wants it."""
    url = make_url(text)
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": url.database or "",
        "POSTGRES_HOST": url.host or "localhost",
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_USER": url.username or "",
        "POSTGRES_PASSWORD": url.password or "",
    }
