"""What agencies asked of and told each other in a case, and what the access rule needs to know of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

from domain.incident.state import Incident, named_agencies, notified_part, speakers
from domain.kernel.agencies import PANEL_ID
from domain.kernel.corrections import NOTHING_SAID, SaidSoFar
from domain.kernel.events import Marking
from domain.kernel.ids import AgencyId, EventId, RequestId
from domain.kernel.moulds import quick
from domain.partnership.state import Established, Partnership
from domain.sharing.events import LegalGate


class Answer(StrEnum):
    """Where a request stands."""

    OPEN = "open"
    PARTLY_SHARED = "partly_shared"
    SHARED = "shared"
    NIL_RETURN = "nil_return"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request for information."""

    recipient: AgencyId
    gate: LegalGate
    asked_on: date
    """The London day on which the sender says that it asked, or signed that it did."""
    acknowledged: bool = False
    answer: Answer = Answer.OPEN


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An entry of the chronology: whose it is and the marking its author gave it."""

    author: AgencyId
    marking: Marking


@dataclass(frozen=True, slots=True, kw_only=True)
class Restriction:
    """A raised marking and the only agencies that read from then on."""

    entry_id: RequestId | None
    """None: the whole case."""
    marking: Marking
    named: frozenset[AgencyId]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A warning."""

    raised_by: AgencyId
    cleared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Everything that was asked, told, restricted and warned of in a case; empty at first."""

    said: SaidSoFar = field(default_factory=lambda: NOTHING_SAID)
    requests: Mapping[RequestId, Request] = field(default_factory=dict)
    entries: Mapping[RequestId, Held] = field(default_factory=dict)
    restrictions: Mapping[EventId, Restriction] = field(default_factory=dict)
    """By the event that restricted, in order; a correction replaces in place."""
    flags: Mapping[RequestId, Flag] = field(default_factory=dict)


def linked_agencies(sharing: Sharing, incident: Incident, partnership: Partnership) -> frozenset[AgencyId]:
    """Return the agencies linked to the case.

    They are the statutory partners and the business unit of the shard, whoever was asked for information or said anything in the
    case, the councils the case names and those who were informed, and the Panel once it was notified. A relevant agency is linked
    only by being asked or by speaking.
    """
    lead = frozenset({partnership.business_unit, *partnership.partners}) if isinstance(partnership, Established) else frozenset()
    asked = frozenset(request.recipient for request in sharing.requests.values())
    wrote = frozenset(note.agency_id for note in sharing.said.values())
    panel = frozenset() if notified_part(incident) is None else frozenset({PANEL_ID})
    return lead | asked | wrote | speakers(incident) | named_agencies(incident) | panel


def rank(marking: Marking) -> int:
    """Return the place of a marking in the rising order of handling, from 0."""
    return list(Marking).index(marking)


def marking_of(sharing: Sharing, entry_id: RequestId | None) -> Marking:
    """Return the highest marking an entry, or the whole case, has been given; OFFICIAL if none."""
    own = sharing.entries.get(entry_id) if entry_id is not None else None
    given = [restriction.marking for restriction in sharing.restrictions.values() if restriction.entry_id == entry_id]
    return max([Marking.OFFICIAL, *([] if own is None else [own.marking]), *given], key=rank)


def narrowest(sharing: Sharing, entry_id: RequestId | None) -> frozenset[AgencyId] | None:
    """Return the agencies that every restriction of the entry, or of the whole case, names."""
    lists = [restriction.named for restriction in sharing.restrictions.values() if restriction.entry_id == entry_id]
    return frozenset.intersection(*lists) if lists else None
