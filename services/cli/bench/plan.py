"""How much is measured, and the form in which every figure is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

EVENT_BYTES: Final = 900
"""The size of an event's state where nothing is signed: about what a signed event with one chronology entry takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The sizes of one run."""

    name: str
    seconds_each: float
    """For how long each throughput is measured."""
    callers: tuple[int, ...] = (1, 16, 64)
    population: int
    """Incidents whose events are signed and sealed one by one; larger stores hold copies of them."""
    small_events: int
    large_events: int
    reads: int
    cold_start_events: int
    cold_starts: int


QUICK: Final = Plan(
    name="quick",
    seconds_each=0.4,
    population=40,
    small_events=1_000,
    large_events=10_000,
    reads=150,
    cold_start_events=20_000,
    cold_starts=1,
)
FULL: Final = Plan(
    name="full",
    seconds_each=4.0,
    population=300,
    small_events=1_000,
    large_events=100_000,
    reads=1_000,
    cold_start_events=1_000_000,
    cold_starts=3,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Events a second with the latency of one call. CPU is per event, of the hub's process and of the client's, where they are apart."""

    callers: int
    events_a_call: int
    events: int
    seconds: float
    per_second: float
    p50_ms: float
    p99_ms: float
    hub_cpu_us: float | None = None
    client_cpu_us: float | None = None
    hub_threads_cpu_us: dict[str, float] = field(default_factory=dict)
    """The hub's, by thread and most first, where the system tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorder:
    """One way to record events at the store port: who records, and with what kind of callers."""

    name: str
    style: str
    throughput: Throughput
    times_peer: float | None = None
    """Beside eventsourcing's SQLite recorder with as many callers and events a call."""
    times_floor: float | None = None
    """Beside raw SQLite, one row a transaction, one caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What the machine gives: durable one-row transactions, and Ed25519 alone, each a second on one core."""

    sqlite_commits_per_second: float
    ed25519_signs_per_second: float
    ed25519_verifies_per_second: float
    ed25519_sign_and_verify_per_second: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Contention:
    """Signed events through several nodes whose callers all tell of the same streams."""

    nodes: int
    streams: int
    throughput: Throughput
    voids: int
    """Records that the fold made void because another node's came before; each was judged anew and written again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One pass over the log by all views together."""

    what: str
    events: int
    seconds: float
    per_second: float
    cpu_us_an_event: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """Reading the chronology of one case after another, each reading recorded on the log before it is answered."""

    events_in_store: int
    lines_a_read: float
    reads: int
    p50_ms: float
    p99_ms: float
    hub_cpu_ms: float
    """CPU of the hub's process for one read: what is left of the figure on a machine that is busy with other things."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """From starting the program to the first answered health check, the store's file out of the page cache; the median of several."""

    events_in_store: int
    store_megabytes: float
    seconds: float
    all_seconds: tuple[float, ...]
    imports_seconds: float
    """What loading the program's code alone takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """What the hub is meant to reach, and what this run found; None where this run does not measure it."""

    what: str
    target: float
    found: float
    is_met: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that one run found."""

    plan: Plan
    environment: dict[str, str]
    floor: Floor
    recorders: tuple[Recorder, ...]
    signed: tuple[Throughput, ...]
    signed_on_kafka: tuple[Throughput, ...]
    contention: tuple[Contention, ...]
    passes: tuple[Pass, ...]
    reads: tuple[Reads, ...]
    cold_start: ColdStart
    aims: tuple[Aim, ...]
    skipped: tuple[str, ...]
    seconds: float
