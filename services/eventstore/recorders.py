"""eventsourcing's recorders over one shard of the event store.

A notification id is a position on the shard, a tracking name stays what the application calls it. Every insert is one append
without expectations, its event ids minted here; so a stream begins at any version and then counts up by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Protocol
from uuid import UUID

from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    DatabaseError,
    DataError,
    IntegrityError,
    ListenNotifySubscription,
    Notification,
    OperationalError,
    ProcessRecorder,
    StoredEvent,
    Tracking,
    TrackingRecorder,
)

from services.eventstore import port
from services.runtime import errors
from services.runtime.limits import APPEND_DEADLINE_SECONDS
from services.runtime.randomness import rising_id

NODE_ID: Final = "eventsourcing"
NO_HEADER_HASH: Final = sha256(b"").digest()
"""What comes through the library has no header: every event hashes the same empty one."""


class Wakeable(Protocol):
    """What a commit wakes, for instance a ``threading.Event``."""

    def set(self) -> None:
        """Note that there is something new."""


class RecordedShard(port.ShardStore, Protocol):
    """A shard with the reads and the notices that the library's contract needs beside the port's."""

    def select_stream(
        self, stream: str, *, after_version: int | None, to_version: int | None, newest_first: bool, limit: int | None
    ) -> list[port.Stored]:
        """Return a stream's events between two versions, the first excluded, in order or newest first."""

    def select(self, after_position: int, limit: int, *, stop: int | None, types: Sequence[str]) -> list[port.Stored]:
        """Return events behind ``after_position``, up to ``stop``, of these types only if any are named."""

    def tracking_position(self, name: str) -> int | None:
        """Return how far a consumer has come, None for one never seen."""

    def listen(self, listener: Wakeable) -> None:
        """Have every commit call ``listener.set()``."""

    def unlisten(self, listener: Wakeable) -> None:
        """Take a listener back."""


@dataclass(frozen=True, slots=True)
class Log:
    """The shard that recorders share, and whether the application's ids are UUIDs."""

    shard: RecordedShard
    uuid_ids: bool

    def append(self, events: Sequence[StoredEvent], tracking: Tracking | None = None) -> list[int]:
        """Append events and tracking together and return the events' positions; raise the library's errors."""
        append = port.Append(
            append_id=rising_id(),
            shard=self.shard.name,
            node_id=NODE_ID,
            expectations=(),
            events=tuple([self._proposed(event) for event in events]),
            tracking=None if tracking is None else port.Tracking(tracking.application_name, tracking.notification_id),
        )
        with library_errors():
            result = self.shard.append(append).result(APPEND_DEADLINE_SECONDS)
        match result:
            case port.Accepted(placed):
                return [place.position for place in placed]
            case port.Malformed(reason):
                raise DataError(reason)
            case port.Conflict(what, expected, actual):
                raise IntegrityError(f"{what}: expected {expected}, found {actual}")
            case _:
                raise IntegrityError(f"refused by the event store: {result}")

    def stored_event(self, stored: port.Stored) -> StoredEvent:
        """Return an event of the log as the library knows it."""
        return StoredEvent(self.originator_id(stored.stream), stored.version, stored.type, stored.state)

    def notification(self, stored: port.Stored) -> Notification:
        """Return an event of the log with its position."""
        return Notification(self.originator_id(stored.stream), stored.version, stored.type, stored.state, stored.position)

    def originator_id(self, stream: str) -> UUID | str:
        """Return a stream's name as the application's id."""
        return UUID(stream) if self.uuid_ids else stream

    @staticmethod
    def _proposed(event: StoredEvent) -> port.ProposedEvent:
        """Return an event with an id of its own."""
        return port.ProposedEvent(
            stream=str(event.originator_id),
            version=event.originator_version,
            event_id=rising_id(),
            header_hash=NO_HEADER_HASH,
            key_id="",
            type=event.topic,
            state=event.state,
        )


class LogAggregateRecorder(AggregateRecorder):
    """Streams of events, without positions to the outside."""

    def __init__(self, log: Log) -> None:
        """Read and append on this log."""
        self.log = log

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:  # noqa: ARG002  its contract
        """Append events; all or none."""
        if stored_events:
            self.log.append(stored_events)
        return None

    def select_events(
        self, originator_id: UUID | str, *, gt: int | None = None, lte: int | None = None, desc: bool = False, limit: int | None = None
    ) -> Sequence[StoredEvent]:
        """Return a stream's events between two versions, the first excluded."""
        with library_errors():
            found = self.log.shard.select_stream(str(originator_id), after_version=gt, to_version=lte, newest_first=desc, limit=limit)
        return [self.log.stored_event(stored) for stored in found]


class LogApplicationRecorder(LogAggregateRecorder, ApplicationRecorder):
    """Streams of events and their total order."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:  # noqa: ARG002  its contract
        """Append events, all or none, and return their positions."""
        return self.log.append(stored_events) if stored_events else []

    def select_notifications(
        self, start: int | None, limit: int, stop: int | None = None, topics: Sequence[str] = (), *, inclusive_of_start: bool = True
    ) -> Sequence[Notification]:
        """Return events in order of their positions."""
        after = 0 if start is None else start - 1 if inclusive_of_start else start
        with library_errors():
            found = self.log.shard.select(after, limit, stop=stop, types=topics)
        return [self.log.notification(stored) for stored in found]

    def max_notification_id(self) -> int | None:
        """Return the last position, None before the first."""
        return self.log.shard.head().position or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> CommitSubscription:
        """Return an iterator over the events behind ``gt`` and those to come; a commit wakes it."""
        return CommitSubscription(self, gt, topics)


class LogTrackingRecorder(TrackingRecorder):
    """How far consumers have come."""

    def __init__(self, log: Log) -> None:
        """Read and append on this log."""
        self.log = log

    def insert_tracking(self, tracking: Tracking) -> None:
        """Record tracking; refuse a position that is not past the last."""
        self.log.append((), tracking)

    def max_tracking_id(self, application_name: str) -> int | None:
        """Return the last position recorded for an upstream application."""
        with library_errors():
            return self.log.shard.tracking_position(application_name)


class LogProcessRecorder(LogTrackingRecorder, LogApplicationRecorder, ProcessRecorder):
    """Events and tracking in one append."""

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Append events together with ``tracking``, if given, and return the events' positions."""
        tracking: Tracking | None = kwargs.get("tracking")
        return self.log.append(stored_events, tracking) if stored_events or tracking is not None else []


class CommitSubscription(ListenNotifySubscription[LogApplicationRecorder]):
    """A subscription that sleeps until a commit."""

    def __init__(self, recorder: LogApplicationRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        """Begin behind ``gt``."""
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        recorder.log.shard.listen(self._has_been_notified)

    def stop(self) -> None:
        """End the iteration."""
        super().stop()
        self._recorder.log.shard.unlisten(self._has_been_notified)


@contextmanager
def library_errors() -> Iterator[None]:
    """Raise the hub's errors, and a wait in vain, as eventsourcing's."""
    try:
        yield
    except FutureTimeoutError as error:
        raise OperationalError(f"not durable within {APPEND_DEADLINE_SECONDS} s; the outcome is unknown") from error
    except errors.IntegrityError as error:
        raise DatabaseError(str(error)) from error
    except errors.HubError as error:
        raise OperationalError(str(error)) from error
