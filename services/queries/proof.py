"""What proves a line of a view: its event's key, the state of that key, and its leaf."""

from __future__ import annotations

from dataclasses import dataclass

from safeguarding.hub.v1.envelope_pb2 import EventHeader
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.port import EventStore, Stored
from services.intake.registry import RegistryFollower
from services.runtime.errors import IntegrityError


@dataclass(frozen=True, slots=True)
class Proof:
    """An event's key, whether its signature stands, and its leaf hash (32 bytes)."""

    key_id: str
    signature_state: str
    leaf: bytes


class Proofs:
    """Looks proofs up in the log."""

    def __init__(self, store: EventStore, registry: RegistryFollower) -> None:
        """Read from ``store``; ``registry`` knows what became of keys."""
        self._store = store
        self._registry = registry

    def of(self, shard: str, position: int) -> Proof:
        """Return the proof of the event at a position."""
        stored = self._at(shard, position)
        key_id = EventHeader.FromString(LoggedEvent.FromString(stored.state).header).key_id
        return Proof(key_id, self._state(key_id), self._store.shard(shard).leaf(stored))

    def event_id_at(self, shard: str, position: int) -> bytes:
        """Return the id of the event at a position."""
        return self._at(shard, position).event_id

    def _at(self, shard: str, position: int) -> Stored:
        found = self._store.shard(shard).read(position - 1, 1)
        if not found:
            raise IntegrityError(f"a view knows {shard}/{position}, the log does not")
        return found[0]

    def _state(self, key_id: str) -> str:
        """Say how the signature stands: it was valid when admitted, or the event would not be on the log."""
        key = self._registry.state.key(key_id)
        if key is None or (key.revoked_position is None and key.retired_position is None):
            return "valid"
        return "valid, key revoked since" if key.revoked_position is not None else "valid, key retired since"
