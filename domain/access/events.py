"""Who read what, recorded by the hub itself (streams ``access-<case id>``)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from domain.kernel.events import Event, Label, Purpose, event_type
from domain.kernel.ids import AgencyId


class Resource(StrEnum):
    """What was read."""

    CHRONOLOGY = "chronology"
    DEADLINES = "deadlines"
    OVERSIGHT = "oversight"
    EVENTS = "events"


class DenialReason(StrEnum):
    """Why it was not shown; the caller is told only "not found"."""

    NOT_LINKED = "not_linked"
    RESTRICTED = "restricted"
    RECUSED = "recused"
    KIND = "kind"


@event_type("access.viewed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class CaseViewed(Event):
    """An agency's user read a case. The user id is pseudonymous and asserted by the agency."""

    viewer_agency: AgencyId
    viewer_user: Label
    viewer_role: Label
    viewer_purpose: Purpose
    resource: Resource
    rows: int


@event_type("access.denied.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class AccessDenied(Event):
    """An agency's user asked for a case and was told that it was not found."""

    viewer_agency: AgencyId
    viewer_user: Label
    viewer_role: Label
    viewer_purpose: Purpose
    resource: Resource
    reason: DenialReason
