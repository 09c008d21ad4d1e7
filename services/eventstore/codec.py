"""Between the bytes of an event's body and the domain's dataclass: compiled once for each event type from the contract.

The table of event types comes from the ``event_type`` option of the messages; ``tests/architecture/test_contract.py``
holds messages, dataclasses, enums and names equal.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from types import ModuleType
from typing import Any, Final

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

import domain.access.events
import domain.agency.events
import domain.incident.events
import domain.local_review.events
import domain.partnership.events
import domain.rapid_review.events
import domain.sharing.events  # noqa: F401  # these seven fill EVENT_TYPES
from domain.kernel.events import EVENT_TYPES, Event, LawfulBasis, Marking, Purpose, Recorded
from domain.kernel.moulds import assembler
from safeguarding.hub.v1 import (
    access_pb2,
    agency_pb2,
    common_pb2,
    incident_pb2,
    local_review_pb2,
    options_pb2,
    partnership_pb2,
    rapid_review_pb2,
    sharing_pb2,
)
from safeguarding.hub.v1.envelope_pb2 import EventHeader
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.conversion import Read, Unwritable, Write, misfits, reader, writer
from services.eventstore.inspection import Inspect, inspector, is_text_rule
from services.eventstore.port import Stored
from services.runtime.errors import IntegrityError, Invalid, Violation
from services.runtime.fieldrules import check_fields, refuse_unknown_fields

_AREAS: Final[tuple[ModuleType, ...]] = (
    agency_pb2,
    partnership_pb2,
    incident_pb2,
    sharing_pb2,
    rapid_review_pb2,
    local_review_pb2,
    access_pb2,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_BODY: Final = "wire.body"


@dataclass(frozen=True)
class _Form:
    """One event type: its message, its dataclass, and the ways between them, each compiled when it is first gone.

    All of them would take a fifth of the time in which a process begins, and few processes go all of them.
    """

    descriptor: Descriptor
    event: Any

    @cached_property
    def message(self) -> type[Message]:
        return GetMessageClass(self.descriptor)

    @cached_property
    def read(self) -> Read:
        return reader(self.descriptor, self.event)

    @cached_property
    def inspect(self) -> Inspect:
        return inspector(self.event) or _holds_neither

    @cached_property
    def write(self) -> Write:
        return writer(self.descriptor, self.event)


def _holds_neither(_event: Event) -> tuple[Violation, ...]:
    """For an event without text and moments; there is none, since every event may carry details."""
    return ()


def _forms() -> dict[str, _Form]:
    """Return every event of the contract, by its name on the log."""
    forms = {}
    for area in _AREAS:
        for descriptor in area.DESCRIPTOR.message_types_by_name.values():
            event_type = descriptor.GetOptions().Extensions[options_pb2.event_type]
            if event_type:
                forms[event_type] = _Form(descriptor, EVENT_TYPES[event_type])
    return forms


_FORMS: Final = _forms()
EVENT_NAMES: Final = frozenset(_FORMS)
"""Every event type of the contract."""


def message_class(event_type: str) -> type[Message]:
    """Return the message of an event type; raise ``Invalid`` (rule ``wire.event_type``) for a name the contract does not hold."""
    return _form(event_type).message


def decode_event(event_type: str, body: bytes) -> Event:
    """Return what a body says, checked against every rule of the contract.

    Raise ``Invalid`` naming the fields, with rule ``wire.event_type`` (no such event), ``wire.body`` (unreadable bytes),
    ``wire.unknown_field`` (the contract has no such field), ``wire.fields`` (a field rule) or ``wire.text`` (characters).
    """
    form = _form(event_type)
    read = form.read
    message = _parse(form.message, body)
    refuse_unknown_fields(message, body)
    check_fields(message)
    try:
        event: Event = read(message)
    except (ValueError, OverflowError):
        raise Invalid(*misfits(message)) from None
    if wrong := form.inspect(event):
        raise Invalid(*wrong, rule="wire.text" if is_text_rule(wrong) else "wire.fields")
    return event


def decode_trusted(event_type: str, body: bytes) -> Event:
    """Return what the body of an event on the log says: it was checked when admitted. Raise ``IntegrityError`` if it is unreadable."""
    form = _FORMS.get(event_type)
    if form is None:
        raise IntegrityError(f"the log holds an event type that this hub does not know: {event_type}")
    read, message = form.read, form.message
    try:
        event: Event = read(message.FromString(body))
    except (DecodeError, KeyError, ValueError, OverflowError) as error:
        raise IntegrityError(f"the log holds a body that is no {event_type}") from error
    return event


def to_message(event: Event) -> Message:
    """Return an event as its message; raise ``Invalid`` for what no message can hold (an instant without time zone, broken Unicode)."""
    try:
        message: Message = _FORMS[event.EVENT_TYPE].write(event)
    except Unwritable as error:
        raise Invalid(Violation(".".join(error.path), error.expected)) from None
    return message


def encode_event(event: Event) -> bytes:
    """Return an event as the bytes of a body: the same event gives the same bytes."""
    return to_message(event).SerializeToString(deterministic=True)


def _form(event_type: str) -> _Form:
    """Return an event type's form."""
    form = _FORMS.get(event_type)
    if form is None:
        raise Invalid(Violation("event_type", "the name of an event of this contract"), rule="wire.event_type")
    return form


def _parse(message: type[Message], body: bytes) -> Message:
    """Parse a body; the parser itself bounds nesting (100 levels), and tells it from garbage as little as from a body cut short."""
    try:
        return message.FromString(body)
    except DecodeError as error:
        if "UTF-8" in str(error):
            raise Invalid(Violation("body", "text fields hold valid UTF-8"), rule="wire.text") from None
        raise Invalid(Violation("body", f"a serialized {message.DESCRIPTOR.name}"), rule=_BODY) from None


def _members(enumeration: Any, cls: Any) -> dict[int, Any]:
    """Return the domain's member for every number of a header's code; what was not said has no member."""
    zero = enumeration.DESCRIPTOR.values_by_number[0].name.removesuffix("UNSPECIFIED")
    return {enumeration.Value(f"{zero}{member.name}"): member for member in cls}


PURPOSES: Final = _members(common_pb2.Purpose, Purpose)
LAWFUL_BASES: Final = _members(common_pb2.LawfulBasis, LawfulBasis)
MARKINGS: Final = _members(common_pb2.Marking, Marking)
"""A header's codes as the domain has them; the other two likewise."""


def signed_instant(signed_at: Timestamp) -> datetime:
    """Return when a header was signed, aware UTC; what is finer than a microsecond is cut off."""
    return _EPOCH + timedelta(0, signed_at.seconds, signed_at.nanos // 1_000)


@lru_cache(maxsize=1_024)
def recorded_instant(unix_ms: int) -> datetime:
    """Return when an event was recorded, aware UTC; the events of one commit share it."""
    return _EPOCH + timedelta(0, 0, 0, unix_ms)


_recorded: Final = assembler(Recorded)


def recorded_from(shard: str, stored: Stored, header: EventHeader, logged: LoggedEvent, event: Event | None) -> Recorded:
    """Return a stored event as the domain sees it; ``event`` is None when its body can no longer be opened."""
    try:
        # By place, in the order of the fields: named arguments would take half as long again.
        return _recorded(
            shard,
            stored.stream,
            stored.position,
            stored.version,
            stored.event_id,
            stored.type,
            header.agency_id,
            header.actor_role,
            PURPOSES[header.purpose],
            LAWFUL_BASES[header.lawful_basis],
            MARKINGS[header.marking],
            header.imported,
            signed_instant(header.signed_at),
            recorded_instant(stored.recorded_at_ms),
            tuple(found) if (found := logged.findings) else (),
            tuple(mended) if (mended := logged.mended) else (),
            event,
        )
    except (KeyError, OverflowError) as error:
        raise IntegrityError(f"the header of the event at {shard}/{stored.position} cannot be read") from error
