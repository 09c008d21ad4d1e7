"""Events not yet signed, and the signing of them."""

from __future__ import annotations

import hmac
import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from safeguarding.hub.client.identifiers import new_event_id, random_bytes
from safeguarding.hub.client.identity import SigningKey
from safeguarding.hub.v1.common_pb2 import (
    LAWFUL_BASIS_PUBLIC_TASK,
    MARKING_OFFICIAL_SENSITIVE,
    PURPOSE_SAFEGUARDING,
    LawfulBasis,
    Marking,
    Purpose,
)
from safeguarding.hub.v1.envelope_pb2 import EventHeader, Signature, SignedEvent
from safeguarding.hub.v1.options_pb2 import event_type as event_type_option

EVENT_MAX_BYTES: Final = 256 * 1024
NATIONAL: Final = "national"
_SALT_BYTES: Final = 32
_CASE_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CASE_CATEGORIES: Final = {
    "case": "incident",
    "incident": "incident",
    "information": "sharing",
    "rapid_review": "rapid_review",
    "local_review": "local_review",
    "access": "access",
}


class NotSendable(ValueError):
    """A draft that could never be sent: no event of the contract, no case, too large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """The system that speaks, and what holds for all it says unless a draft says otherwise.

    ``source`` names the agency's system, ``shard`` the partnership, ``log_origin`` the hub's log as its operator names it,
    ``actor_role`` the role (never the name) of the person behind an event.
    """

    agency_id: str
    source: str
    shard: str
    log_origin: str
    actor_role: str
    purpose: Purpose.ValueType = PURPOSE_SAFEGUARDING
    lawful_basis: LawfulBasis.ValueType = LAWFUL_BASIS_PUBLIC_TASK
    marking: Marking.ValueType = MARKING_OFFICIAL_SENSITIVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An event to be signed and sent. ``case_id`` is needed by every event about a case; None elsewhere takes the sender's."""

    event: Message
    case_id: str | None = None
    shard: str | None = None
    expected_version: int | None = None
    """The version that the stream must be at (0: it must not exist); None lets the hub judge against the newest state."""
    imported: bool = False
    """History entered later: its clocks run by the instants it asserts (``details.done_at``)."""
    purpose: Purpose.ValueType | None = None
    lawful_basis: LawfulBasis.ValueType | None = None
    marking: Marking.ValueType | None = None
    actor_role: str | None = None
    causation_id: bytes = b""
    """The event that led to this one."""
    correlation_id: bytes = b""
    """A thread of events that belong together."""


@dataclass(frozen=True, slots=True)
class Signed:
    """One signed event as it is kept and sent: never serialized anew."""

    event_id: bytes
    shard: str
    stream: str
    message: bytes
    """A serialized ``SignedEvent``."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What holds for all events of one type: its name on the log, and the first part of the names of its streams."""

    event_type: str
    area: str
    category: str | None


def _kind_of(event: Message) -> _Kind:
    """Return what holds for events of this type; raise ``NotSendable`` for a message that is no event."""
    message: Any = type(event)
    return _kind(message)


@cache
def _kind(message: Any) -> _Kind:
    """Read the option that names a message on the log."""
    if not issubclass(message, Message):
        raise NotSendable(f"{message.__name__} is no event of the contract")
    name: str = message.DESCRIPTOR.GetOptions().Extensions[event_type_option]
    if not name:
        raise NotSendable(f"{message.DESCRIPTOR.full_name} is no event of the contract")
    area = name.partition(".")[0]
    return _Kind(name, area, _CASE_CATEGORIES.get(area))


def event_type_of(event: Message) -> str:
    """Return the name that an event bears on the log; raise ``NotSendable`` for a message that is no event."""
    return _kind_of(event).event_type


def shard_of(draft: Draft, sender: Sender) -> str:
    """Return the shard that a draft belongs to: agencies' own events lie in the national one."""
    if _kind_of(draft.event).area == "agency":
        return NATIONAL
    return draft.shard or sender.shard


def stream_of(draft: Draft, sender: Sender) -> str:
    """Return the stream that a draft belongs to; raise ``NotSendable`` if it needs a case and names none."""
    kind = _kind_of(draft.event)
    if kind.category is not None:
        if draft.case_id is None or _CASE_ID.fullmatch(draft.case_id) is None:
            raise NotSendable(f"an event about a {kind.category} needs case_id, a lower-case UUID")
        return f"{kind.category}-{draft.case_id}"
    if kind.area == "agency":
        return f"agency-{draft.event.agency_id}"  # type: ignore[attr-defined]
    if kind.area == "partnership":
        return f"partnership-{shard_of(draft, sender)}"
    raise NotSendable(f"this version of the client does not know where {kind.area} events belong")


def check(draft: Draft, sender: Sender) -> None:
    """Raise ``NotSendable`` for a draft that could never be sent: signed with those of other callers it would fail them all."""
    try:
        EventHeader(**_said(draft, sender))
    except NotSendable:
        raise
    except (TypeError, ValueError) as error:
        raise NotSendable(f"a header cannot hold what the draft says: {error}") from error
    size = draft.event.ByteSize()
    if size > EVENT_MAX_BYTES:
        raise NotSendable(f"an event holds at most {EVENT_MAX_BYTES} bytes, this one {size}")


def _said(draft: Draft, sender: Sender) -> dict[str, Any]:
    """Return what a draft, and the sender for it, says in its header."""
    return {
        "shard": shard_of(draft, sender),
        "stream": stream_of(draft, sender),
        "expected_version": draft.expected_version,
        "purpose": sender.purpose if draft.purpose is None else draft.purpose,
        "lawful_basis": sender.lawful_basis if draft.lawful_basis is None else draft.lawful_basis,
        "marking": sender.marking if draft.marking is None else draft.marking,
        "actor_role": sender.actor_role if draft.actor_role is None else draft.actor_role,
        "causation_id": draft.causation_id,
        "correlation_id": draft.correlation_id,
        "imported": draft.imported,
    }


@dataclass(slots=True)
class _Unsigned:
    """What is signed, and what goes with it."""

    event_id: bytes
    shard: str
    stream: str
    header: bytes
    body: bytes
    salt: bytes


def sign(draft: Draft, sender: Sender, key: SigningKey, sequence: int) -> Signed:
    """Sign a draft as the sender's event number ``sequence`` in its shard."""
    (signed,) = sign_all([(draft, sequence)], sender, key)
    return signed


def sign_all(numbered: Iterable[tuple[Draft, int]], sender: Sender, key: SigningKey) -> list[Signed]:
    """Sign drafts, each as the sender's event of that number in its shard.

    All headers come first, then all signatures: what signing reads and runs fills the processor's caches, and in turns with it everything
    else takes twice as long.
    """
    unsigned = [_unsigned(draft, sender, key.key_id, sequence) for draft, sequence in numbered]
    signatures = [key.sign(one.header) for one in unsigned]
    return [_signed(one, Signature(key_id=key.key_id, value=value)) for one, value in zip(unsigned, signatures, strict=True)]


def _unsigned(draft: Draft, sender: Sender, key_id: str, sequence: int) -> _Unsigned:
    """Return a draft's header, which binds its body."""
    body = draft.event.SerializeToString(deterministic=True)
    salt = random_bytes(_SALT_BYTES)
    event_id, said = new_event_id(), _said(draft, sender)
    seconds, microseconds = divmod(time.time_ns() // 1_000, 1_000_000)
    header = EventHeader(
        event_id=event_id,
        log_origin=sender.log_origin,
        agency_id=sender.agency_id,
        key_id=key_id,
        source=sender.source,
        source_sequence=sequence,
        event_type=event_type_of(draft.event),
        # ``hmac.digest`` would give up the interpreter's lock for each event, and in a program with threads that costs more than the bytes.
        body_commitment=hmac.new(salt, body, "sha256").digest(),
        signed_at=Timestamp(seconds=seconds, nanos=microseconds * 1_000),
        **said,
    )
    return _Unsigned(event_id, said["shard"], said["stream"], header.SerializeToString(deterministic=True), body, salt)


def _signed(unsigned: _Unsigned, signature: Signature) -> Signed:
    """Return a signed event as it is kept and sent."""
    message = SignedEvent(header=unsigned.header, signature=signature, body=unsigned.body, salt=unsigned.salt)
    return Signed(unsigned.event_id, unsigned.shard, unsigned.stream, message.SerializeToString(deterministic=True))
