"""From an event as the log stores it to an event as the domain sees it."""

from __future__ import annotations

import hashlib
from typing import Protocol

from google.protobuf.message import DecodeError

from domain.kernel.events import Event, Recorded
from safeguarding.hub.v1.envelope_pb2 import EventHeader
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.codec import decode_trusted, recorded_from
from services.eventstore.port import Stored
from services.runtime.errors import IntegrityError
from services.trust.keystore import Destroyed
from services.trust.sealing import open_sealed


class UnreadableEvent(IntegrityError):
    """One event cannot be opened or read; the fault is the event's, not the key store's."""


class DataKeys(Protocol):
    """Where data keys are kept; a ``KeyStore`` is one."""

    def get(self, key_id: str, /) -> bytes | Destroyed:
        """Return the key's 32 bytes or ``DESTROYED``; raise ``IntegrityError`` for one that never existed."""


class Opener:
    """Opens stored events. It keeps no keys: what was destroyed a moment ago does not open any more."""

    def __init__(self, keys: DataKeys) -> None:
        """Open with these keys."""
        self._keys = keys

    def open(self, shard: str, stored: Stored) -> Recorded:
        """Return the event; without its body (``event`` is None) if its data key was destroyed.

        Raise ``UnreadableEvent`` if it does not open or its header, type or body cannot be read, and ``IntegrityError`` if its data
        key never existed (a key store that was lost or restored from too old a copy: nothing is wrong with the event).
        """
        try:
            logged = LoggedEvent.FromString(stored.state)
            header = EventHeader.FromString(logged.header)
        except DecodeError:
            raise UnreadableEvent(f"the event at {shard}/{stored.position} is no logged event") from None
        key = self._keys.get(logged.data_key_id)
        try:
            event = None if isinstance(key, Destroyed) else _event(stored.type, logged, key)
            return recorded_from(shard, stored, header, logged, event)
        except IntegrityError as error:
            raise UnreadableEvent(f"the event at {shard}/{stored.position} cannot be read: {error}") from error


def _event(event_type: str, logged: LoggedEvent, key: bytes) -> Event:
    """Return what a sealed body says."""
    _salt, body = open_sealed(key, hashlib.sha256(logged.header).digest(), logged.nonce, logged.sealed)
    return decode_trusted(event_type, body)
