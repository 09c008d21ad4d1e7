"""What comes of a log by two ways: its acknowledgements of what this node wrote, and what is fetched of it.

An acknowledgement comes first, and is enough for a record that lies directly behind all that came before it. One that lies further
on, since another node's record is in between, waits for the fetch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from services.eventstore.log import LogRecord
from services.runtime.errors import IntegrityError


class Arrivals:
    """The records of each followed partition, each once and in the order of their offsets. For one thread at a time."""

    def __init__(self, max_bytes: int) -> None:
        """Follow nothing yet. ``max_bytes``: of what waits to be taken, and of what was acknowledged and not fetched; of each so many."""
        self._max_bytes = max_bytes
        self._next: dict[int, int] = {}
        """By partition, the offset behind all that waits to be taken or was."""
        self._ready: deque[LogRecord] = deque()
        self._ready_bytes = 0
        self._early: dict[int, dict[int, LogRecord]] = {}
        """Acknowledged, by partition and offset, and behind a gap; only partitions that have such."""
        self._unfetched: dict[int, dict[int, LogRecord]] = {}
        """Acknowledged and made ready by that: what will be fetched must be equal to it."""
        self._acknowledged_bytes = 0

    def follow(self, offsets: Mapping[int, int]) -> None:
        """Begin anew: these partitions, each at the given offset."""
        self._next = dict(offsets)
        self._early = {}
        self._unfetched = {partition: {} for partition in offsets}
        self._ready.clear()
        self._ready_bytes = self._acknowledged_bytes = 0

    @property
    def is_ready(self) -> bool:
        """Tell whether there is anything to take."""
        return bool(self._ready)

    @property
    def is_full(self) -> bool:
        """Tell whether some must be taken before more is fetched."""
        return self._ready_bytes >= self._max_bytes

    @property
    def has_gap(self) -> bool:
        """Tell whether an acknowledged record waits for what lies before it to be fetched."""
        return bool(self._early)

    def lacks(self, partition: int, end: int) -> bool:
        """Tell whether a followed partition, which ends at this offset, has not come to its end here."""
        return self._next.get(partition, end) < end

    def acknowledged(self, record: LogRecord) -> None:
        """Take note of a record that the log has taken from this node; without room for it the fetch will bring it."""
        partition, offset = record.partition, record.offset
        following = self._next.get(partition)
        if following is None or offset < following or self.is_full or self._acknowledged_bytes >= self._max_bytes:
            return
        self._early.setdefault(partition, {})[offset] = record
        self._acknowledged_bytes += len(record.value)
        self._close_gap(partition)

    def fetched(self, records: Iterable[LogRecord]) -> bool:
        """Take note of what was fetched, in offset order in each partition; tell whether any of it had not been acknowledged before.

        A gap is handed on as it is. Raises ``IntegrityError`` if the log holds anything but what it had acknowledged.
        """
        is_any_new = False
        for record in records:
            partition = record.partition
            following = self._next.get(partition)
            if following is None:
                continue
            if record.offset < following:
                self._confirm(record)
            else:
                is_any_new = True
                self._next[partition] = record.offset + 1
                self._make_ready(record)
                self._close_gap(partition)
        return is_any_new

    def take(self, most: int) -> list[LogRecord]:
        """Return what comes next, at most so many."""
        ready = self._ready
        taken = [ready.popleft() for _ in range(min(most, len(ready)))]
        self._ready_bytes -= sum([len(record.value) for record in taken])
        return taken

    def _make_ready(self, record: LogRecord) -> None:
        """Put a record behind all others."""
        self._ready.append(record)
        self._ready_bytes += len(record.value)

    def _close_gap(self, partition: int) -> None:
        """Make ready what was acknowledged and has no gap before it any more."""
        early, offset = self._early.get(partition), self._next[partition]
        if early is None:
            return
        while (record := early.pop(offset, None)) is not None:
            self._make_ready(record)
            self._unfetched[partition][offset] = record
            offset += 1
        self._next[partition] = offset
        if not early:
            del self._early[partition]

    def _confirm(self, record: LogRecord) -> None:
        """Hold a fetched record against what was acknowledged at its offset."""
        expected = self._unfetched[record.partition].pop(record.offset, record)
        if expected is not record:
            self._acknowledged_bytes -= len(expected.value)
        if expected != record:
            raise IntegrityError(
                f"the log holds another record at offset {record.offset} of partition {record.partition} than it acknowledged"
            )
