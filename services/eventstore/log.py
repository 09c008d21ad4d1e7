"""A shared log of records as a node sees it: partitions in offset order, written by any node, never changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from services.runtime.errors import Unavailable

ASK_MAX_SECONDS: Final = 10.0
"""For one question to the log."""


class LogRecord(NamedTuple):
    """One record of the log. ``timestamp_ms``: Unix milliseconds, given by the log when it took the record."""

    partition: int
    offset: int
    timestamp_ms: int
    value: bytes


class NotThere(Unavailable):
    """The log says that it does not hold what is to be read next. A broker cut off from the others says so, too, of what these took."""

    def __init__(self, reason: str, partition: int | None = None) -> None:
        """``partition``: of which it says so, None where that is not told."""
        self.partition = partition
        super().__init__(reason)


class Log(Protocol):
    """What orders a cluster's appends. Only ``send`` and ``end`` may be called from several threads; the rest from one."""

    def send(self, partition: int, key: bytes, value: bytes, failed: Callable[[Exception], None]) -> None:
        """Hand a record over; ``failed`` is called, from any thread, when its outcome is unknown.

        It may be on the log then, or come to it later. Raises ``Unavailable`` when it could not even be handed over.
        """

    def follow(self, offsets: Mapping[int, int]) -> None:
        """Read these partitions from now on, each from the given offset."""

    def poll(self, seconds: float, most: int) -> Sequence[LogRecord]:
        """Return what came, after at most so many seconds; in offset order in each partition, without gaps.

        Raises ``Unavailable`` for what may pass, ``NotThere`` when an offset to read from is said not to be on the log (any more), and
        ``IntegrityError`` when the log contradicts itself.
        """

    def end(self, partition: int, seconds: float) -> int:
        """Return the offset behind the partition's last record; raise ``Unavailable`` without an answer in time."""

    def look_anew(self) -> None:
        """Ask others from now on, if there are any: what was said may be old."""

    def partitions(self) -> int:
        """Return how many partitions there are; raise ``Unavailable`` without an answer in time."""

    def widen(self, partitions: int) -> None:
        """Have the log get partitions until it has so many; raise ``Unavailable`` if it gets none."""

    def close(self) -> None:
        """Let go of the log; idempotent."""
