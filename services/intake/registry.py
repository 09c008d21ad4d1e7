"""The registry of agencies and keys as this node knows it, and key revocations carried into every shard."""

from __future__ import annotations

from typing import Final

from domain.kernel.ids import NATIONAL
from services.eventstore.opening import Opener
from services.eventstore.port import EventStore
from services.trust.registry import RegistryState

_BATCH_EVENTS: Final = 1_000


class RegistryFollower:
    """Keeps a ``RegistryState`` at the head of the national shard."""

    def __init__(self, store: EventStore, opener: Opener, state: RegistryState) -> None:
        """Begin with ``state`` (the trust root alone) and read what the national shard holds."""
        self._store = store
        self._opener = opener
        self.state = state
        self.catch_up()

    def catch_up(self) -> RegistryState:
        """Apply what the national shard decided since; return the state."""
        national = self._store.shard(NATIONAL)
        head = national.head().position
        while self.state.position < head:
            for stored in national.read(self.state.position, _BATCH_EVENTS):
                self.state.apply(self._opener.open(NATIONAL, stored))
        return self.state

    def spread_revocations(self) -> None:
        """Write every revoked key's control record into every shard that lacks it; returns when all are durable."""
        revoked = self.state.revoked_keys()
        for name in self._store.shards():
            shard = self._store.shard(name)
            known = shard.revoked_keys()
            for done in [shard.revoke_key(key_id) for key_id in revoked if key_id not in known]:
                done.result(timeout=10)
