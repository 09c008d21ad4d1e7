"""Who may read a case: the facts that the access rule judges by, and the rule itself, judged today whatever moment is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.access.events import DenialReason
from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.events import Marking
from domain.partnership.state import in_force
from domain.sharing.events import Caveat


class Standing(StrEnum):
    """In what capacity an agency reads a case."""

    PARTNER = "partner"
    """A statutory partner or the business unit of the case's shard."""
    LINKED = "linked"
    """Named in a request, or author of an event in the case."""
    PANEL = "panel"
    """Every case, national fields only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """A raised marking: of the whole case (no entry), or of one entry."""

    event_id: bytes
    corrects: bytes | None
    entry_id: str | None
    marking: Marking
    caveats: tuple[Caveat, ...]
    named_agencies: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """The members of a partnership from a day on."""

    effective_on: date
    business_unit: frozenset[str]
    partners: frozenset[str]
    relevant_agencies: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessFacts:
    """What the access rule needs to know of a case. ``exists`` is False for a case that nothing was said of."""

    shard: str
    case_id: str
    exists: bool
    authors: frozenset[str]
    requested: frozenset[str]
    """Agencies named in a request for information or for a return to the rapid review."""
    restrictions: tuple[Restriction, ...]
    memberships: tuple[Membership, ...]
    """In the order of the log."""

    @property
    def restricted_to(self) -> frozenset[str] | None:
        """The only agencies that may read the case; None if the whole case is not restricted."""
        return narrowest([one for one in self.restrictions if one.entry_id is None])


def standing_of(facts: AccessFacts, agency_id: str, today: date) -> Standing | DenialReason:
    """Return in what capacity an agency may read a case today, or why not (the caller is told "not found" in every such case)."""
    if kind_of(agency_id) is AgencyKind.PANEL:
        return Standing.PANEL if facts.exists else DenialReason.NOT_LINKED
    if kind_of(agency_id) in (AgencyKind.OPERATOR, AgencyKind.HUB):
        return DenialReason.KIND
    is_lead = facts.exists and leads(agency_id, in_force(facts.memberships, today))
    if not is_lead and agency_id not in facts.authors | facts.requested:
        return DenialReason.NOT_LINKED
    if facts.restricted_to is not None and agency_id not in facts.restricted_to:
        return DenialReason.RESTRICTED
    return Standing.PARTNER if is_lead else Standing.LINKED


def leads(agency_id: str, members: Membership | None) -> bool:
    """Tell whether an agency is one of the statutory partners or the business unit."""
    return members is not None and agency_id in members.partners | members.business_unit


def narrowest(restrictions: Sequence[Restriction]) -> frozenset[str] | None:
    """Return the agencies that every restriction names; None where there is none. A correction takes the place of what it corrects."""
    root: dict[bytes, bytes] = {}
    in_force: dict[bytes, frozenset[str]] = {}
    for one in restrictions:
        first = one.event_id if one.corrects is None else root.get(one.corrects, one.corrects)
        root[one.event_id] = first
        in_force[first] = one.named_agencies
    return frozenset.intersection(*in_force.values()) if in_force else None
