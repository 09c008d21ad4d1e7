"""Events on a real log, sealed as intake seals them (the signature is left out: nothing behind intake looks at it)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from domain.kernel.events import Event
from domain.kernel.ids import category_of, identity_of
from safeguarding.hub.v1 import common_pb2
from safeguarding.hub.v1.envelope_pb2 import EventHeader
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.codec import encode_event
from services.eventstore.port import Accepted, Append, EventStore, ProposedEvent
from services.runtime.errors import IntegrityError
from services.trust.keystore import DESTROYED, Destroyed
from services.trust.sealing import seal
from tests.support.builders import BUSINESS_UNIT, MONDAY

SALT: Final = bytes(32)


class KeysInMemory:
    """Data keys that exist while the test runs: minted when first sealed with, destroyed or lost when the test says so."""

    def __init__(self) -> None:
        """Begin with none."""
        self._keys: dict[str, bytes | Destroyed] = {}
        self._hidden: set[str] = set()

    def mint(self, key_id: str) -> bytes:
        """Return a key to seal with."""
        key = self._keys.setdefault(key_id, hashlib.sha256(key_id.encode()).digest())
        assert isinstance(key, bytes)
        return key

    def get(self, key_id: str) -> bytes | Destroyed:
        """Return a key, or that it was destroyed; raise ``IntegrityError`` for one that is not there."""
        if key_id not in self._keys or key_id in self._hidden:
            raise IntegrityError(f"data key {key_id} never existed")
        return self._keys[key_id]

    def destroy(self, key_id: str) -> None:
        """Destroy a key."""
        self._keys[key_id] = DESTROYED

    def hide(self, key_id: str) -> Callable[[], None]:
        """Lose a key, as a key store restored from an old copy does; the result brings it back."""
        self._hidden.add(key_id)
        return lambda: self._hidden.discard(key_id)


def data_key_id(stream: str) -> str:
    """Return which data key a stream's bodies are sealed with."""
    return stream if category_of(stream) in {"agency", "partnership"} else f"case-{identity_of(stream)}"


def a_logged_event(
    keys: KeysInMemory,
    event: Event | tuple[str, bytes],
    *,
    stream: str,
    by: str = BUSINESS_UNIT,
    at: datetime = MONDAY,
    event_id: bytes,
    imported: bool = False,
    findings: Sequence[str] = (),
) -> LoggedEvent:
    """Build what the log keeps of an event; ``event`` may be a type with a body that nobody can read."""
    event_type, body = (event.EVENT_TYPE, encode_event(event)) if isinstance(event, Event) else event
    header = EventHeader(
        event_id=event_id,
        log_origin="hub.example/test",
        agency_id=by,
        key_id=f"{by}:1",
        source="test",
        source_sequence=1,
        stream=stream,
        event_type=event_type,
        purpose=common_pb2.PURPOSE_SAFEGUARDING,
        lawful_basis=common_pb2.LAWFUL_BASIS_PUBLIC_TASK,
        marking=common_pb2.MARKING_OFFICIAL_SENSITIVE,
        actor_role="tester",
        imported=imported,
    )
    header.signed_at.FromDatetime(at)
    encoded = header.SerializeToString()
    nonce, sealed = seal(keys.mint(data_key_id(stream)), hashlib.sha256(encoded).digest(), SALT, body)
    return LoggedEvent(header=encoded, sealed=sealed, nonce=nonce, data_key_id=data_key_id(stream), findings=findings)


class Writer:
    """Appends events to a store, one append each or several together."""

    def __init__(self, store: EventStore, keys: KeysInMemory) -> None:
        """Write to this store."""
        self._store = store
        self._keys = keys
        self._count = 0

    def write(self, shard: str, *events: tuple[str, Event | tuple[str, bytes]], by: str = BUSINESS_UNIT) -> int:
        """Append (stream, event) pairs together; return the shard's last position."""
        target = self._store.create_shard(shard)
        proposed = []
        versions: dict[str, int] = {}
        for stream, event in events:
            self._count += 1
            event_id = self._count.to_bytes(16, "big")
            versions[stream] = versions.get(stream, target.stream_version(stream)) + 1
            logged = a_logged_event(self._keys, event, stream=stream, by=by, event_id=event_id)
            proposed.append(
                ProposedEvent(
                    stream=stream,
                    version=versions[stream],
                    event_id=event_id,
                    header_hash=hashlib.sha256(logged.header).digest(),
                    key_id=f"{by}:1",
                    type=event.EVENT_TYPE if isinstance(event, Event) else event[0],
                    state=logged.SerializeToString(),
                )
            )
        append = Append(
            append_id=hashlib.sha256(f"{shard} {self._count}".encode()).digest()[:16],
            shard=shard,
            node_id="node-1",
            expectations=(),
            events=tuple(proposed),
        )
        result = target.append(append).result(timeout=20)
        assert isinstance(result, Accepted), result
        return result.placed[-1].position
