"""The registry of agencies and keys as this node knows it, and key revocations carried into every shard."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from typing import Final

from domain.kernel.ids import NATIONAL, KeyId
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

    def revoked(self) -> tuple[KeyId, ...]:
        """Return the keys that are revoked."""
        return tuple(self.state.revoked_keys())

    def spread(self, revoked: Iterable[KeyId]) -> list[Future[None]]:
        """Have a control record of each of these keys written into every shard that lacks it; each is durable when its future is done."""
        under_way: list[Future[None]] = []
        for name in self._store.shards():
            shard = self._store.shard(name)
            known = shard.revoked_keys()
            under_way += [shard.revoke_key(key_id) for key_id in revoked if key_id not in known]
        return under_way
