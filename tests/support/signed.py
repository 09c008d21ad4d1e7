"""Signed events and registries for tests: the independent counterpart of ``services.trust.verify``."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Final

from domain.agency.events import AgencyEnrolled, KeyAlgorithm
from domain.agency.state import agency_stream
from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.events import Event
from domain.kernel.ids import NATIONAL, AgencyId, Shard
from safeguarding.hub.v1.common_pb2 import LawfulBasis, Marking, Purpose
from safeguarding.hub.v1.envelope_pb2 import EventHeader, Signature, SignedEvent
from services.trust.possession import registration
from services.trust.registry import RegistryState
from services.trust.signing import SigningKey
from tests.support.builders import CASE, OPERATOR, SHARD, recorded

LOG_ORIGIN: Final = "hub.example/test"
BODY: Final = b"a serialized event"
SALT: Final = bytes(range(32))


@dataclass(frozen=True, slots=True)
class Member:
    """An agency with one signing key."""

    agency_id: AgencyId
    key: SigningKey
    key_id: str

    @classmethod
    def of(cls, agency_id: AgencyId, algorithm: KeyAlgorithm = KeyAlgorithm.ED25519) -> Member:
        """Make a member with a new key."""
        return cls(agency_id, SigningKey.generate(algorithm), f"{agency_id}:main")


def enrolment(agency_id: AgencyId, *, shards: tuple[Shard, ...] = (SHARD,)) -> AgencyEnrolled:
    """Build an enrolment that fits the agency's kind."""
    kind = kind_of(agency_id)
    everywhere = kind in {AgencyKind.PANEL, AgencyKind.OPERATOR, AgencyKind.HUB}
    return AgencyEnrolled(
        agency_id=agency_id, kind=kind, name="Synthetic agency", live_from=date(2024, 1, 1), shards=() if everywhere else shards
    )


class RegistryLog:
    """A national shard in memory."""

    def __init__(self) -> None:
        """Begin with a trust root of its own."""
        self.root = SigningKey.generate()
        self.state = RegistryState(self.root.algorithm, self.root.public_bytes)
        self._versions: dict[str, int] = {}

    def add(self, agency_id: AgencyId, event: Event) -> None:
        """Append an event to the agency's stream and apply it."""
        stream = agency_stream(agency_id)
        version = self._versions[stream] = self._versions.get(stream, 0) + 1
        position = self.state.position + 1
        self.state.apply(recorded(event, by=OPERATOR, shard=NATIONAL, stream=stream, version=version, position=position))

    def enrol(self, member: Member) -> None:
        """Enrol an agency and register its key."""
        self.add(member.agency_id, enrolment(member.agency_id))
        self.add(member.agency_id, registration(member.key, member.agency_id, member.key_id))


def a_header(member: Member, body: bytes = BODY) -> EventHeader:
    """Build a header that passes every check, committing to the body under ``SALT``."""
    header = EventHeader(
        event_id=bytes(16),
        log_origin=LOG_ORIGIN,
        agency_id=member.agency_id,
        key_id=member.key_id,
        source="case-system",
        source_sequence=1,
        shard=SHARD,
        stream=f"incident-{CASE}",
        event_type="incident.notified.v1",
        purpose=Purpose.PURPOSE_NOTIFICATION,
        lawful_basis=LawfulBasis.LAWFUL_BASIS_LEGAL_OBLIGATION,
        marking=Marking.MARKING_OFFICIAL_SENSITIVE,
        actor_role="duty officer",
        body_commitment=hmac.new(SALT, body, hashlib.sha256).digest(),
    )
    header.signed_at.FromJsonString("2024-03-04T10:00:00Z")
    return header


def sign(member: Member, header: EventHeader, body: bytes = BODY) -> SignedEvent:
    """Sign a header and add what it commits to."""
    serialized = header.SerializeToString()
    return SignedEvent(
        header=serialized, signature=Signature(key_id=header.key_id, value=member.key.sign(serialized)), body=body, salt=SALT
    )


def a_signed_event(member: Member, change: Callable[[EventHeader], None] = lambda _header: None) -> SignedEvent:
    """Build a signed event whose header was changed before it was signed."""
    header = a_header(member)
    change(header)
    return sign(member, header)
