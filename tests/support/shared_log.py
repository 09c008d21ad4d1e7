"""A log that several nodes of one process share, in memory: what a topic is to a cluster, without its server."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from services.eventstore.log import LogRecord, NotThere
from services.runtime.errors import Unavailable


@dataclass
class SharedLog:
    """The partitions, each a list of records. ``clock`` returns Unix milliseconds; ``may_grow``: nodes may add partitions."""

    partition_count: int = 8
    may_grow: bool = True
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    partitions: dict[int, list[LogRecord]] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def write(self, partition: int, value: bytes) -> None:
        """Put a record at the end of a partition."""
        with self.changed:
            records = self.partitions.setdefault(partition, [])
            records.append(LogRecord(partition, len(records), self.clock(), value))
            self.changed.notify_all()

    def records(self, partition: int) -> list[LogRecord]:
        """Return a partition's records."""
        with self.changed:
            return list(self.partitions.get(partition, []))


@dataclass
class NodesLog:
    """One node's way to the shared log. ``send_hook`` may stand in the way of a record: it is told to write it, or not, and to fail."""

    shared: SharedLog
    send_hook: Callable[[Callable[[], None], Callable[[Exception], None]], None] | None = None
    offsets: dict[int, int] = field(default_factory=dict)
    is_held: bool = False
    """While set, nothing comes to this node, though it can ask how far the log goes."""
    is_closed: bool = False
    brokers_cut_off: int = 0
    """So many brokers do not know of the newest records, and are asked before one that does."""
    said_of: int | None = 1
    """The partition whose records they lack, None where they do not tell."""
    is_mute: bool = False
    """Nobody says how far partitions go."""
    leaderless: frozenset[int] = frozenset()
    """Nothing of these partitions comes, and whoever asks for their end waits in vain."""

    def send(self, partition: int, _key: bytes, value: bytes, failed: Callable[[Exception], None]) -> None:
        def write() -> None:
            self.shared.write(partition, value)

        if self.send_hook is None:
            write()
        else:
            self.send_hook(write, failed)

    def follow(self, offsets: Mapping[int, int]) -> None:
        self.offsets = dict(offsets)

    def poll(self, seconds: float, most: int) -> Sequence[LogRecord]:
        if self.brokers_cut_off:
            raise NotThere("offset 2 is to be read, the log ends at 1", self.said_of)
        deadline = time.monotonic() + seconds
        with self.shared.changed:
            while not (found := self._ready(most)):
                left = deadline - time.monotonic()
                if left <= 0 or self.is_closed:
                    return ()
                self.shared.changed.wait(left)
        for record in found:
            self.offsets[record.partition] = record.offset + 1
        return found

    def end(self, partition: int, seconds: float) -> int:
        if partition in self.leaderless:
            time.sleep(seconds)
            raise Unavailable("no answer")
        if self.is_closed or self.is_mute:
            raise Unavailable("no answer")
        return 0 if self.brokers_cut_off else len(self.shared.partitions.get(partition, []))

    def look_anew(self) -> None:
        self.brokers_cut_off = max(self.brokers_cut_off - 1, 0)

    def partitions(self) -> int:
        return self.shared.partition_count

    def widen(self, partitions: int) -> None:
        if not self.shared.may_grow:
            raise Unavailable("the log gets no partitions")
        self.shared.partition_count = max(self.shared.partition_count, partitions)

    def close(self) -> None:
        self.is_closed = True

    def _ready(self, most: int) -> list[LogRecord]:
        found: list[LogRecord] = []
        for partition, offset in self.offsets.items() if not self.is_held else ():
            if partition in self.leaderless:
                continue
            records = self.shared.partitions.get(partition, [])
            if offset > len(records):
                raise NotThere(f"partition {partition} ends at {len(records)}, offset {offset} is to be read", partition)
            if records and offset < records[0].offset:
                raise NotThere(f"partition {partition} begins at {records[0].offset}, offset {offset} is to be read", partition)
            found.extend(records[offset : offset + most - len(found)])
        return found
