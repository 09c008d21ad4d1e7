"""Who the safeguarding partners of a shard are (stream ``partnership-<shard>``; Children Act 2004 ss16E-16G)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.kernel.events import Event, Label, Text, event_type
from domain.kernel.ids import AgencyId


class MembershipChange(StrEnum):
    """Why the members of a partnership changed."""

    MERGER = "merger"
    BOUNDARY_CHANGE = "boundary_change"
    CCG_TO_ICB = "ccg_to_icb"
    NEW_RELEVANT_AGENCY = "new_relevant_agency"
    OTHER = "other"


@event_type("partnership.established.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class PartnershipEstablished(Event):
    """A partnership's arrangements began: its statutory partners, its business unit and the agencies that work with it."""

    name: Label
    arrangements_start_on: date
    business_unit: AgencyId
    partners: tuple[AgencyId, ...]
    """Every council, ICB and police force that must each sign; at least one of each kind."""
    relevant_agencies: tuple[AgencyId, ...] = ()
    written_confirmation_hours: int = 48
    """How soon a referral to the business unit is to be confirmed in writing here (clock K9, local procedure)."""


@event_type("partnership.membership_changed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class MembershipChanged(Event):
    """The members changed; the lists replace the former ones. Cases stay in the shard they began in."""

    change: MembershipChange
    effective_on: date
    business_unit: AgencyId
    partners: tuple[AgencyId, ...]
    relevant_agencies: tuple[AgencyId, ...] = ()
    explanation: Text | None = None
