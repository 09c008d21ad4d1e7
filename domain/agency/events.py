"""What the operator records about agencies and their keys (streams ``agency-<agency id>`` in the national shard)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.kernel.agencies import AgencyKind
from domain.kernel.events import Event, Label, Text, event_type
from domain.kernel.ids import AgencyId, KeyId, Shard


class KeyAlgorithm(StrEnum):
    """How a key signs. The registry says it, never the message."""

    ED25519 = "ed25519"
    ECDSA_P256_SHA256 = "ecdsa_p256_sha256"


class RevocationReason(StrEnum):
    """Why a key stopped being trusted."""

    COMPROMISED = "compromised"
    LOST = "lost"
    AGENCY_CLOSED = "agency_closed"
    MISTAKE = "mistake"


@event_type("agency.enrolled.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class AgencyEnrolled(Event):
    """An agency joined the hub. From ``live_from`` on it may not enter imported history."""

    agency_id: AgencyId
    kind: AgencyKind
    name: Label
    live_from: date
    shards: tuple[Shard, ...] = ()
    """The partnerships whose cases it may write to; empty for the Panel, the operator and the hub, which may write to all."""


@event_type("agency.key_registered.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRegistered(Event):
    """A public signing key of an agency became valid; ``proof`` is the key's own signature over its registration text."""

    agency_id: AgencyId
    key_id: KeyId
    algorithm: KeyAlgorithm
    public_key: bytes
    proof: bytes


@event_type("agency.key_retired.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRetired(Event):
    """A key signs nothing new; what it signed stays as good as it was."""

    agency_id: AgencyId
    key_id: KeyId


@event_type("agency.key_revoked.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRevoked(Event):
    """A key is not to be trusted from this position on, in every shard."""

    agency_id: AgencyId
    key_id: KeyId
    reason: RevocationReason
    explanation: Text | None = None


@event_type("agency.suspended.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class AgencySuspended(Event):
    """An agency may write nothing more until it is enrolled again."""

    agency_id: AgencyId
    reason: Text
