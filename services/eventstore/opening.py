"""From an event as the log stores it to an event as the domain sees it."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from domain.kernel.copies import replace
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import EventId
from safeguarding.hub.v1.envelope_pb2 import EventHeader
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.codec import decode_trusted, recorded_from, recorded_instant
from services.eventstore.port import ProposedEvent, Stored
from services.runtime.errors import IntegrityError
from services.trust.keystore import Destroyed
from services.trust.sealing import open_sealed

EXPECTED_MAX_EVENTS: Final = 2_000
"""More than views that keep up are behind; what is pushed out is opened as any other."""
EXPECTED_MAX_BYTES: Final = 16 * 1024
"""Larger events are opened as any other, so that what is expected takes at most some 32 MiB."""


class UnreadableEvent(IntegrityError):
    """One event cannot be opened or read; the fault is the event's, not the key store's."""


def logged_event(stored: Stored) -> tuple[LoggedEvent, EventHeader] | None:
    """Return an event as the hub logged it, and its header; None for one that others put into the same store: it has no header."""
    try:
        logged = LoggedEvent.FromString(stored.state)
        header = EventHeader.FromString(logged.header)
    except DecodeError:
        return None
    return (logged, header) if header.event_id else None


class DataKeys(Protocol):
    """Where data keys are kept; a ``KeyStore`` is one."""

    def get(self, key_id: str, /) -> bytes | Destroyed:
        """Return the key's 32 bytes or ``DESTROYED``; raise ``IntegrityError`` for one that never existed."""


@dataclass(frozen=True, slots=True)
class _Expected:
    """What an event's bytes say to whoever sealed them here."""

    state: bytes
    data_key_id: str
    recorded: Recorded


class Opener:
    """Opens stored events, from any thread. It keeps no keys: what was destroyed a moment ago does not open any more."""

    def __init__(self, keys: DataKeys) -> None:
        """Open with these keys."""
        self._keys = keys
        self._expected: OrderedDict[EventId, _Expected] = OrderedDict()

    def expect(self, proposed: ProposedEvent, data_key_id: str, recorded: Recorded) -> None:
        """Take note of what an event says that was sealed here and may soon be on the log: whoever opens it first need not decrypt it.

        Only the very bytes proposed are taken for it, and only while its data key exists.
        """
        if len(proposed.state) <= EXPECTED_MAX_BYTES:
            self._expected[recorded.event_id] = _Expected(proposed.state, data_key_id, recorded)
            if len(self._expected) > EXPECTED_MAX_EVENTS:
                self._expected.popitem(last=False)

    def open(self, shard: str, stored: Stored) -> Recorded:
        """Return the event; without its body (``event`` is None) if its data key was destroyed.

        Raise ``UnreadableEvent`` if it does not open or its header, type or body cannot be read, and ``IntegrityError`` if its data
        key never existed (a key store that was lost or restored from too old a copy: nothing is wrong with the event).
        """
        expected = self._expected.pop(EventId(stored.event_id), None) if self._expected else None
        if expected is not None and expected.state == stored.state and expected.recorded.shard == shard:
            return self._as_expected(expected, stored)
        of_hub = logged_event(stored)
        if of_hub is None:
            raise UnreadableEvent(f"the event at {shard}/{stored.position} is no logged event")
        logged, header = of_hub
        key = self._keys.get(logged.data_key_id)
        try:
            event = None if isinstance(key, Destroyed) else _event(stored.type, logged, key)
            return recorded_from(shard, stored, header, logged, event)
        except IntegrityError as error:
            raise UnreadableEvent(f"the event at {shard}/{stored.position} cannot be read: {error}") from error

    def _as_expected(self, expected: _Expected, stored: Stored) -> Recorded:
        """Return an event that was expected, at the place where it came to lie."""
        gone = isinstance(self._keys.get(expected.data_key_id), Destroyed)
        return replace(
            expected.recorded,
            position=stored.position,
            version=stored.version,
            recorded_at=recorded_instant(stored.recorded_at_ms),
            event=None if gone else expected.recorded.event,
        )


def _event(event_type: str, logged: LoggedEvent, key: bytes) -> Event:
    """Return what a sealed body says."""
    _salt, body = open_sealed(key, hashlib.sha256(logged.header).digest(), logged.nonce, logged.sealed)
    return decode_trusted(event_type, body)
