"""Appends for tests of the event store, and its hashes written a second time from the design alone."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from services.eventstore.port import Append, Expectation, ProposedEvent, Stored, Tracking


def an_id(text: str) -> bytes:
    """Return the 16-byte id that a test calls ``text``."""
    return sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


def an_event(
    stream: str, version: int, *, name: str | None = None, header: str | None = None, key_id: str = "key-1", state: bytes = b"state"
) -> ProposedEvent:
    """Return an event; its id and header follow from its name, which follows from its place unless given."""
    name = f"{stream}@{version}" if name is None else name
    return ProposedEvent(
        stream=stream,
        version=version,
        event_id=an_id(name),
        header_hash=sha256((name if header is None else header).encode("utf-8", "surrogatepass")).digest(),
        key_id=key_id,
        type="incident.referred.v1",
        state=state,
    )


def an_append(
    name: str,
    *events: ProposedEvent,
    expects: Iterable[tuple[str, int]] | None = None,
    shard: str = "north",
    tracking: Tracking | None = None,
) -> Append:
    """Return an append; it expects each of its streams where its first event there says, unless told otherwise."""
    if expects is None:
        first: dict[str, int] = {}
        for event in events:
            first.setdefault(event.stream, event.version - 1)
        expects = first.items()
    expectations = tuple([Expectation(stream, version) for stream, version in expects])
    return Append(an_id(name), shard, "node-1", expectations, events, tracking)


def naive_leaf(shard: str, stored: Stored) -> bytes:
    """Hash an event as the design says: 0x00, then texts and bytes behind a u32 length, integers as u64."""
    hashed = b"\x00"
    for part in (shard, stored.position, stored.stream, stored.version, stored.event_id, stored.type, stored.recorded_at_ms, stored.state):
        if isinstance(part, int):
            hashed += part.to_bytes(8, "big")
        else:
            encoded = part.encode() if isinstance(part, str) else part
            hashed += len(encoded).to_bytes(4, "big") + encoded
    return sha256(hashed).digest()


def naive_digest(shard: str, events: Iterable[Stored]) -> bytes:
    """Chain the leaves of a shard from 32 zero bytes."""
    digest = bytes(32)
    for stored in events:
        digest = sha256(digest + naive_leaf(shard, stored)).digest()
    return digest
