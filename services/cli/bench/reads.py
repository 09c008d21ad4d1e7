"""Reading chronologies through gRPC with mutual TLS, one caller, one case after another."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from typing import Final

import grpc

from safeguarding.hub.v1.chronology_pb2 import GetChronologyRequest, GetChronologyResponse
from safeguarding.hub.v1.chronology_pb2_grpc import ChronologyServiceStub
from services.cli.bench.filling import SEED, Case
from services.cli.bench.home import Home, serving
from services.cli.bench.measuring import percentile
from services.cli.bench.plan import Reads

WARM_READS: Final = 20
READ_MAX_SECONDS: Final = 15.0
_METADATA: Final = (("hub-user", "bench"), ("hub-role", "analyst"), ("hub-purpose", "rapid_review"))


def measure_reads(home: Home, cases: Sequence[Case], events: int, reads: int) -> Reads:
    """Read cases drawn from all that are in the store, as the business unit that leads the first."""
    rng = random.Random(SEED)  # noqa: S311  # seeded, so that every run reads the same cases
    unit = cases[0].business_unit
    own = [case for case in cases if case.business_unit == unit]
    calls: list[float] = []
    with serving(home) as served, grpc.secure_channel(served.address, home.credentials(unit)) as channel:
        read = _reader(ChronologyServiceStub(channel), own, rng)
        for _ in range(WARM_READS):
            read()
        cpu, lines = served.cpu_seconds(), 0
        for _ in range(reads):
            began = time.perf_counter()
            lines += read()
            calls.append(time.perf_counter() - began)
        cpu = served.cpu_seconds() - cpu
    return Reads(
        events_in_store=events,
        lines_a_read=round(lines / reads, 1),
        reads=reads,
        p50_ms=round(percentile(calls, 50) * 1_000, 2),
        p99_ms=round(percentile(calls, 99) * 1_000, 2),
        hub_cpu_ms=round(cpu / reads * 1_000, 2),
    )


def _reader(stub: ChronologyServiceStub, cases: Sequence[Case], rng: random.Random) -> Callable[[], int]:
    """Return a call that reads the chronology of one of the cases and returns how many lines it has."""

    def read() -> int:
        case = rng.choice(cases)
        request = GetChronologyRequest(shard=case.shard, case_id=case.case_id)
        answer: GetChronologyResponse = stub.GetChronology(request, metadata=_METADATA, timeout=READ_MAX_SECONDS)
        return len(answer.lines)

    return read
