"""The event store as intake, projector and queries see it.

An append is decided by the fold and answered with one of the results below; a future that fails raised ``Unavailable``
(the outcome is unknown: resend the same append under the same ``append_id``).
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from domain.kernel.moulds import quick


@quick
@dataclass(frozen=True, slots=True)
class Expectation:
    """``stream`` must be at ``version``; 0 means that it must not exist. With ``event_id`` (16 bytes) that event must be at the version.

    A decided version names one history; a predicted one does not, until the events it rests on are decided. So what was judged on a
    prediction names the last event it was judged on.
    """

    stream: str
    version: int
    event_id: bytes = b""


@quick
@dataclass(frozen=True, slots=True)
class ProposedEvent:
    """One event of an append. ``event_id``: 16 bytes; ``header_hash``: 32 bytes; ``key_id`` empty for what no agency signed."""

    stream: str
    version: int
    event_id: bytes
    header_hash: bytes
    key_id: str
    type: str
    state: bytes


@dataclass(frozen=True, slots=True)
class Tracking:
    """A consumer's progress, stored together with the events it wrote."""

    name: str
    position: int


@dataclass(frozen=True, slots=True)
class Append:
    """One proposal: all its events stand or fall together. ``append_id``: 16 bytes, the same whenever it is sent again."""

    append_id: bytes
    shard: str
    node_id: str
    expectations: tuple[Expectation, ...]
    events: tuple[ProposedEvent, ...]
    tracking: Tracking | None = None


@quick
@dataclass(frozen=True, slots=True)
class Placed:
    """Where an accepted event lies. ``recorded_at_ms``: Unix milliseconds; ``leaf``: 32 bytes."""

    event_id: bytes
    stream: str
    version: int
    position: int
    recorded_at_ms: int
    leaf: bytes


@dataclass(frozen=True, slots=True)
class Accepted:
    """All events are on the log, durably. ``duplicate``: they were before; these are their first places."""

    placed: tuple[Placed, ...]
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Conflict:
    """An expectation was not met: ``what`` (a stream or ``tracking <name>``) was to be at ``expected`` and is at ``actual``."""

    what: str
    expected: int
    actual: int


@dataclass(frozen=True, slots=True)
class PartialDuplicate:
    """Some events are on the log already, others not: propose the rest anew."""

    event_ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Mismatch:
    """``event_id`` is on the log with another header."""

    event_id: bytes


@dataclass(frozen=True, slots=True)
class Revoked:
    """``key_id`` is revoked in this shard."""

    key_id: str


@dataclass(frozen=True, slots=True)
class Malformed:
    """The append itself is wrong."""

    reason: str


Result = Accepted | Conflict | PartialDuplicate | Mismatch | Revoked | Malformed


@quick
@dataclass(frozen=True, slots=True)
class Stored:
    """One event on the log."""

    position: int
    stream: str
    version: int
    event_id: bytes
    header_hash: bytes
    type: str
    recorded_at_ms: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """How far a shard has come: its last position, the digest over all leaves (32 bytes), and when the last event was recorded."""

    position: int
    digest: bytes
    recorded_at_ms: int


class ShardStore(Protocol):
    """One totally ordered shard."""

    @property
    def name(self) -> str:
        """The shard's name."""

    def append(self, append: Append) -> Future[Result]:
        """Propose an append; the future holds the fold's decision once it is durable."""

    def revoke_key(self, key_id: str) -> Future[None]:
        """Write a KEY_REVOKED control record; done when it is durable. Repeating it changes nothing."""

    def read_stream(self, stream: str, after_version: int = 0, limit: int | None = None) -> list[Stored]:
        """Return a stream's events behind ``after_version``, in order."""

    def read(self, after_position: int, limit: int) -> list[Stored]:
        """Return the shard's events behind ``after_position``, in order."""

    def stream_version(self, stream: str) -> int:
        """Return a stream's version, 0 if it does not exist."""

    def find(self, event_id: bytes) -> Stored | None:
        """Return the event of this id."""

    def leaf(self, stored: Stored) -> bytes:
        """Return the leaf hash of an event of this shard."""

    def revoked_keys(self) -> dict[str, int]:
        """Return the revoked keys, each with the shard's position when it was revoked."""

    def head(self) -> Head:
        """Return how far this node's state has come."""

    def log_end(self, timeout_seconds: float) -> int:
        """Return a position such that everything decided before this call lies at or before it once folded; waits until it is."""

    def wait_for(self, position: int, timeout_seconds: float) -> bool:
        """Wait until the state has come to ``position``; False when the time is up."""


class EventStore(Protocol):
    """All shards that this node follows."""

    @property
    def shares_log(self) -> bool:
        """Tell whether other nodes write to the log as well, so that it may hold more than this node has folded."""

    def come_to_end(self, shard: str, timeout_seconds: float) -> None:
        """Wait until this node has folded what the log held of a shard, and of where shards lie, when this was called.

        Nothing is waited for of a shard that does not exist. Raises ``Unavailable`` if it takes longer.
        """

    def demand_followed(self, shard: str) -> None:
        """Raise ``Unavailable`` for a shard that this node does not follow, whether there is one of that name or not."""

    def shards(self) -> tuple[str, ...]:
        """Return the names of the shards that exist here."""

    def shard(self, name: str) -> ShardStore:
        """Return a shard; raise ``Unavailable`` for one that this node does not follow."""

    def create_shard(self, name: str) -> ShardStore:
        """Begin a shard with its GENESIS record; return it, also when it exists."""

    def close(self) -> None:
        """Finish what was accepted and close; idempotent."""
