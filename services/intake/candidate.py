"""An event that is verified and decoded, and stands where its type belongs: all that can be said of it without the log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from domain.agency.events import KeyRegistered
from domain.areas import AREAS
from domain.incident.state import incident_stream
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import NATIONAL, AgencyId, EventId, RuleId, Shard, Stream, category_of, identity_of
from domain.kernel.moulds import assembler, quick
from domain.partnership.events import PartnershipEstablished
from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from services.eventstore.codec import LAWFUL_BASES, MARKINGS, PURPOSES, decode_event, decode_trusted, signed_instant
from services.eventstore.wiretext import TEXT_EXPECTED, is_clean_text
from services.runtime.errors import Invalid, NotPermitted, Violation
from services.runtime.limits import EVENT_MAX_BYTES
from services.trust.keystore import case_key_id
from services.trust.possession import check_registration
from services.trust.registry import RegistryState
from services.trust.signing import PublicKey
from services.trust.verify import VerifiedEvent, verify

_CASE_ID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NANOS_PER_SECOND: Final = 1_000_000_000
_CASELESS: Final = frozenset({"agency", "partnership"})
_PLACE_BYTES: Final = 512
"""More than what the log keeps of an event beside the event itself."""
CATEGORY_OF: Final = {event.EVENT_TYPE: decider.category for decider in AREAS for event in decider.events}
_recorded: Final = assembler(Recorded)


@quick
@dataclass(frozen=True, slots=True)
class Candidate:
    """One event of a request, ready to be judged."""

    verified: VerifiedEvent
    event: Event
    shard: Shard
    stream: Stream
    event_id: EventId
    data_key_id: str
    incident: Stream | None
    """The stream that its case begins with; None for what belongs to no case."""
    signed_at: datetime
    size_bytes: int
    """What it takes on the log, about."""

    @property
    def expected_version(self) -> int | None:
        """The version that the sender expects the stream at, if it said so."""
        header = self.verified.header
        return header.expected_version if header.HasField("expected_version") else None

    @property
    def begins_shard(self) -> bool:
        """Tell whether this event begins a shard."""
        return isinstance(self.event, PartnershipEstablished)

    def recorded(self, *, version: int, recorded_at: datetime, findings: tuple[RuleId, ...]) -> Recorded:
        """Return the event as the log would hold it, with the rules that it broke; its position is not known yet."""
        header = self.verified.header
        return _recorded(
            shard=self.shard,
            stream=self.stream,
            position=0,
            version=version,
            event_id=self.event_id,
            event_type=header.event_type,
            agency_id=AgencyId(header.agency_id),
            actor_role=header.actor_role,
            purpose=PURPOSES[header.purpose],
            lawful_basis=LAWFUL_BASES[header.lawful_basis],
            marking=MARKINGS[header.marking],
            imported=header.imported,
            signed_at=self.signed_at,
            recorded_at=recorded_at,
            findings=findings,
            mended=(),
            event=self.event,
        )


def _signed_at(timestamp: Timestamp) -> datetime:
    """Return when a header was signed; raise ``Invalid`` for nanoseconds that no second has."""
    if not 0 <= timestamp.nanos < _NANOS_PER_SECOND:
        raise Invalid(Violation("header.signed_at.nanos", f"0 to {_NANOS_PER_SECOND - 1}"), rule="wire.fields")
    return signed_instant(timestamp)


def examine(
    signed: SignedEvent, caller: AgencyId, registry: RegistryState, log_origin: str, *, proven: PublicKey | None = None
) -> Candidate:
    """Verify, then parse, then place an event; raise the refusal that applies. ``proven``: as for ``verify``.

    Raises ``Invalid``, ``SignatureInvalid`` or ``NotPermitted``.
    """
    size = signed.ByteSize()
    if size > EVENT_MAX_BYTES:
        raise Invalid(Violation("event", f"at most {EVENT_MAX_BYTES} bytes, found {size}"), rule="wire.event_size")
    verified = verify(signed, caller, registry, log_origin, proven=proven)
    header = verified.header
    if not is_clean_text(header.actor_role):
        raise Invalid(Violation("header.actor_role", TEXT_EXPECTED), rule="wire.text")
    event = decode_event(header.event_type, verified.body) if proven is None else decode_trusted(header.event_type, verified.body)
    if isinstance(event, KeyRegistered):
        check_registration(event)
    shard, stream = Shard(header.shard), Stream(header.stream)
    category, identity = category_of(stream), identity_of(stream)
    _check_place(category, identity, shard, event)
    _check_shard(caller, shard, registry)
    is_case = category not in _CASELESS
    return Candidate(
        verified=verified,
        event=event,
        shard=shard,
        stream=stream,
        event_id=EventId(header.event_id),
        data_key_id=case_key_id(shard, identity) if is_case else stream,
        incident=incident_stream(identity) if is_case else None,
        signed_at=_signed_at(header.signed_at),
        size_bytes=size + _PLACE_BYTES,
    )


def _check_place(category: str, identity: str, shard: Shard, event: Event) -> None:
    """Hold an event to a stream of its area's category, and that to its shard."""
    if CATEGORY_OF.get(event.EVENT_TYPE) != category:
        raise Invalid(
            Violation("header.stream", f"a stream of the category that {event.EVENT_TYPE} belongs to"), rule="wire.stream_category"
        )
    if category != "access" and (category == "agency") != (shard == NATIONAL):
        raise Invalid(Violation("header.shard", "national for agency streams, a partnership for all others"), rule="wire.stream_shard")
    if category == "partnership":
        right = identity == shard
    elif category == "agency":
        right = identity == getattr(event, "agency_id", None)
    elif category == "access":
        right = True
    else:
        right = _CASE_ID.fullmatch(identity) is not None
    if not right:
        raise Invalid(Violation("header.stream", "the category, a dash and the id of what the event is about"), rule="wire.stream_identity")


def _check_shard(caller: AgencyId, shard: Shard, registry: RegistryState) -> None:
    """Hold an agency to the shards it is enrolled for; one enrolled for none in particular writes to all."""
    agency = registry.agency(caller)
    if agency is not None and agency.shards and shard not in agency.shards:
        raise NotPermitted("wire.shard_not_yours", "the agency is not enrolled for this shard")
