"""What proves a line of a view: its event's key, the state of that key, and its leaf."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from safeguarding.hub.v1.envelope_pb2 import EventHeader
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.port import EventStore
from services.intake.registry import RegistryFollower
from services.runtime.errors import IntegrityError

_READ_OVER_EVENTS: Final = 8
"""Reading a few events between two that are wanted costs less than asking twice."""


@dataclass(frozen=True, slots=True)
class Proof:
    """An event's id and key, whether its signature stands, and its leaf hash (32 bytes)."""

    event_id: bytes
    key_id: str
    signature_state: str
    leaf: bytes


class Proofs:
    """Looks proofs up in the log."""

    def __init__(self, store: EventStore, registry: RegistryFollower) -> None:
        """Read from ``store``; ``registry`` knows what became of keys."""
        self._store = store
        self._registry = registry

    def of(self, shard: str, positions: Iterable[int]) -> dict[int, Proof]:
        """Return the proofs of the events at some positions; those that lie close together are read together."""
        log = self._store.shard(shard)
        wanted = sorted(set(positions))
        found: dict[int, Proof] = {}
        for first, last in _runs(wanted):
            for stored in log.read(first - 1, last - first + 1):
                if stored.position in wanted:
                    key_id = EventHeader.FromString(LoggedEvent.FromString(stored.state).header).key_id
                    found[stored.position] = Proof(stored.event_id, key_id, self._state(key_id), log.leaf(stored))
        if len(found) < len(wanted):
            raise IntegrityError(f"a view knows {shard}/{min(set(wanted) - found.keys())}, the log does not")
        return found

    def _state(self, key_id: str) -> str:
        """Say how the signature stands: it was valid when admitted, or the event would not be on the log."""
        key = self._registry.state.key(key_id)
        if key is None or (key.revoked_position is None and key.retired_position is None):
            return "valid"
        return "valid, key revoked since" if key.revoked_position is not None else "valid, key retired since"


def _runs(positions: Sequence[int]) -> list[tuple[int, int]]:
    """Cut sorted positions where more lies between two than is worth reading over; return the first and the last of each run."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and position - runs[-1][1] <= _READ_OVER_EVENTS:
            runs[-1] = (runs[-1][0], position)
        else:
            runs.append((position, position))
    return runs
