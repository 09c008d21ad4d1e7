"""A shared log whose every delay, loss and reordering is a step that somebody else chooses: no threads, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.eventstore.arrivals import Arrivals
from services.eventstore.log import LogRecord
from services.runtime.errors import IntegrityError, Unavailable

BEFORE_SEND: Final = "before send"
AFTER_SEND: Final = "after send"
ARRIVED_MAX_BYTES: Final = 4_000
"""So few that some acknowledgements are dropped, and their records come by the fetch."""


@dataclass(eq=False, slots=True)
class Flight:
    """A record between its producer and the log."""

    link: NodeLink
    partition: int
    value: bytes
    failed: Callable[[Exception], None]
    given_up: bool = False
    """The producer was told that its outcome is unknown; it may still be written."""


@dataclass
class SimulatedLog:
    """The partitions, and what is on its way to them. ``taken`` is told of each record as it is written."""

    partition_count: int
    taken: Callable[[LogRecord], None]
    now_ms: int = 1_700_000_000_000
    partitions: dict[int, list[LogRecord]] = field(default_factory=dict)
    flights: list[Flight] = field(default_factory=list)

    def write(self, partition: int, value: bytes) -> LogRecord:
        """Put a record at the end of a partition and return it."""
        records = self.partitions.setdefault(partition, [])
        record = LogRecord(partition, len(records), self.now_ms, value)
        records.append(record)
        self.taken(record)
        return record

    def length(self, partition: int) -> int:
        """Return the offset behind a partition's last record."""
        return len(self.partitions.get(partition, ()))


class NodeLink:
    """One node's way to the log, from one start of the node to its end; ``sends`` and ``reads`` tell which ways are open."""

    def __init__(self, log: SimulatedLog, *, sends: bool = True, reads: bool = True) -> None:
        self.log = log
        self.sends = sends
        self.reads = reads
        self.most = 1_000
        """How many records a poll returns at most."""
        self.first = 0
        """From which of the followed partitions on a poll reads."""
        self.fetches = True
        """Whether a poll fetches, or gives only what acknowledgements told."""
        self.at: Callable[[str], None] = lambda _: None
        """Called before and after a record is handed over."""
        self.offsets: dict[int, int] = {}
        self.arrivals = Arrivals(ARRIVED_MAX_BYTES)

    def send(self, partition: int, _key: bytes, value: bytes, failed: Callable[[Exception], None]) -> None:
        self.at(BEFORE_SEND)
        if not self.sends:
            raise Unavailable("cut off")
        self.log.flights.append(Flight(self, partition, value, failed))
        self.at(AFTER_SEND)

    def follow(self, offsets: Mapping[int, int]) -> None:
        self.offsets = dict(offsets)
        self.arrivals.follow(offsets)

    def poll(self, _seconds: float, most: int) -> Sequence[LogRecord]:
        most = min(most, self.most)
        if self.reads and self.fetches:
            self.arrivals.fetched(self._fetched(most))
        if not self.reads and not self.arrivals.is_ready:
            raise Unavailable("cut off")
        return self.arrivals.take(most)

    def end(self, partition: int, _seconds: float) -> int:
        if not self.reads:
            raise Unavailable("cut off")
        return self.log.length(partition)

    def look_anew(self) -> None:
        """Nothing that this log says is old."""

    def partitions(self) -> int:
        return self.log.partition_count

    def widen(self, _partitions: int) -> None:
        raise Unavailable("the log gets no partitions")

    def close(self) -> None:
        self.sends = self.reads = False

    def _fetched(self, most: int) -> list[LogRecord]:
        """Return what the log has next."""
        found: list[LogRecord] = []
        order = sorted(self.offsets)
        first = self.first % max(len(order), 1)
        for partition in order[first:] + order[:first]:
            offset = self.offsets[partition]
            if offset > self.log.length(partition):
                raise IntegrityError(f"partition {partition} ends before offset {offset}")
            came = self.log.partitions.get(partition, [])[offset : offset + most - len(found)]
            self.offsets[partition] = offset + len(came)
            found.extend(came)
        return found
