"""From events to the chronology's facts. Every row stands for one event alone, so rows never depend on how the log is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection

from domain.access.events import AccessDenied, CaseViewed
from domain.agency.events import AgencyEnrolled, AgencySuspended, KeyRegistered, KeyRetired, KeyRevoked
from domain.incident import events as incident
from domain.kernel.events import Event, Marking, Precision, Recorded, When
from domain.kernel.ids import identity_of
from domain.local_review.events import LocalReviewInitiated
from domain.partnership.events import MembershipChanged, PartnershipEstablished
from domain.rapid_review.events import ChairAndScrutineerInformed, MeetingHeld, RapidReviewOpened
from domain.sharing import events as sharing
from projections.chronology.headlines import HEADLINES
from projections.chronology.tables import define
from projections.kernel.batch import Unreadable
from projections.kernel.rows import insert_rows, insert_tuples
from projections.kernel.view import Tables, View

Row = dict[str, Any]
Fact = tuple[Any, ...]
"""A row of facts, its values in the order of the table's columns: most rows of all views are such."""


class Kind(StrEnum):
    """What a fact is in the story."""

    ENTRY = "entry"
    MILESTONE = "milestone"
    CORRECTION = "correction"
    DISPUTE = "dispute"
    QUERY = "query"
    DESTROYED = "destroyed"


class Role(StrEnum):
    """What an agency is in a partnership."""

    PARTNER = "partner"
    BUSINESS_UNIT = "business_unit"
    RELEVANT_AGENCY = "relevant_agency"


class Link(StrEnum):
    """How a request named an agency."""

    REQUESTED = "requested"
    ASKED_FOR_RETURN = "asked_for_return"


_PARTNERSHIP_EVENTS: Final = frozenset({PartnershipEstablished.EVENT_TYPE, MembershipChanged.EVENT_TYPE})
_ENTRIES_AND_MARKS: Final[tuple[type[Event], ...]] = (
    sharing.InformationShared,
    sharing.InformationPartlyShared,
    sharing.InformationCorrected,
    sharing.InformationDisputed,
    sharing.InformationQueried,
)
_REFERENCES: Final[Mapping[type[Event], tuple[str, ...]]] = {
    sharing.InformationRequested: ("request_id", "recipient"),
    sharing.InformationAcknowledged: ("request_id",),
    sharing.NilReturn: ("request_id",),
    sharing.InformationRefused: ("request_id",),
    sharing.EnforcementConsidered: ("request_id",),
    sharing.InformationRestricted: ("entry_id",),
    sharing.OnwardShareApproved: ("entry_id",),
}
"""What a milestone is about: it is handled as the entry it names, and belongs to the request it names."""
_IGNORED: Final[tuple[type[Event], ...]] = (
    AgencyEnrolled,
    AgencySuspended,
    KeyRegistered,
    KeyRetired,
    KeyRevoked,
    CaseViewed,
    AccessDenied,
)


def apply(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
    """Write the facts of a batch of one shard."""
    facts: list[Fact] = []
    rows: dict[str, list[Row]] = {name: [] for name in tables}
    for recorded in batch:
        if recorded.event_type in _PARTNERSHIP_EVENTS:
            rows["partnership_member"] += _members(recorded)
            continue
        case_id = identity_of(recorded.stream)
        children = [] if recorded.event is None else children_of(recorded.event)
        facts += _facts(recorded, case_id, children)
        for name, values in _links(recorded, children).items():
            place = {"shard": recorded.shard, "position": recorded.position, "case_id": case_id}
            rows[name] += [{**place, "ordinal": ordinal, **value} for ordinal, value in enumerate(values)]
    insert_tuples(connection, tables["fact"], facts)
    for name, table_rows in rows.items():
        insert_rows(connection, tables[name], table_rows)


def _facts(recorded: Recorded, case_id: str, children: list[str]) -> list[Fact]:
    """Return an event's rows; its findings stand with the first."""
    shard, position = recorded.shard, recorded.position
    common = (
        case_id,
        recorded.stream,
        recorded.version,
        recorded.event_id,
        recorded.event_type,
        recorded.agency_id,
        recorded.marking._value_,
        recorded.imported,
        recorded.recorded_at,
        recorded.asserted_at,
        recorded.known_at,
        recorded.corrects,
    )
    findings, mended = list(recorded.findings), list(recorded.mended)
    rows = []
    for ordinal, (kind, entry_id, content) in enumerate(_parts(recorded, children)):
        rows.append((shard, position, ordinal, *common, findings, mended, kind._value_, entry_id, content))
        findings = mended = []
    return rows


def _parts(recorded: Recorded, children: list[str]) -> list[tuple[Kind, str | None, Row]]:
    """Return what an event adds to the story, in order: kind, the entry it is about, content."""
    match recorded.event:
        case None:
            return [(Kind.DESTROYED, None, {})]
        case sharing.InformationShared() | sharing.InformationPartlyShared() as shared:
            entries = [(Kind.ENTRY, str(entry.entry_id), _entry(entry, shared.request_id)) for entry in shared.entries]
            withheld = isinstance(shared, sharing.InformationPartlyShared)
            return entries + ([(Kind.MILESTONE, None, _partly(shared))] if withheld or not entries else [])
        case sharing.InformationCorrected() as corrected:
            return [(Kind.CORRECTION, str(corrected.entry_id), {**_entry(corrected.replacement, None), "reason": corrected.reason})]
        case sharing.InformationDisputed() as disputed:
            return [(Kind.DISPUTE, str(disputed.entry_id), {"text": disputed.grounds})]
        case sharing.InformationQueried() as queried:
            return [(Kind.QUERY, str(queried.entry_id), {"text": queried.question})]
        case event:
            return [(Kind.MILESTONE, None, _milestone(event, children))]


def _entry(entry: sharing.Entry, request_id: str | None) -> Row:
    """Return an entry's content."""
    return {
        "entry_id": entry.entry_id,
        "when": when_row(entry.occurred),
        "reference": entry.record_reference,
        "fact": entry.fact,
        "significance": entry.significance._value_,
        "why": entry.why_significant,
        "impact": entry.impact_on_child,
        "voice": entry.childs_voice,
        "outcome": entry.outcome,
        "opinion": entry.opinion,
        "third_party": entry.third_party,
        "tone": entry.tone._value_,
        "children": entry.children,
        "marking": entry.marking._value_,
        "caveats": [caveat.value for caveat in entry.caveats] if entry.caveats else [],
        "request_id": request_id,
    }


def _partly(event: sharing.InformationShared | sharing.InformationPartlyShared) -> Row:
    """Return the line that says a part was withheld, or that nothing was in what was shared."""
    if isinstance(event, sharing.InformationPartlyShared):
        headline = f"Information shared in part; the rest withheld: {event.reason.value.replace('_', ' ')}"
    else:
        headline = "Information shared without entries"
    return {"headline": headline, "significant": True, "children": [], "request_id": event.request_id}


def _milestone(event: Event, children: list[str]) -> Row:
    """Return a milestone's content; raise ``KeyError`` for an event that no headline was written for."""
    headline = HEADLINES[type(event)]
    content: Row = {"headline": headline.words(event), "significant": headline.significant, "children": children}
    moment = _moment(event)
    if moment is not None:
        content["when"] = when_row(moment)
    for name in _REFERENCES.get(type(event), ()):
        content[name] = getattr(event, name)
    return content


def _moment(event: Event) -> When | None:
    """Return when a milestone happened, as the event says it; None: when it was done, or else recorded."""
    if event.details is not None and event.details.occurred is not None:
        return event.details.occurred
    match event:
        case incident.IncidentBecameKnown():
            return _at(event.awareness.aware_at)
        case MeetingHeld():
            return _on(event.held_on)
        case ChairAndScrutineerInformed():
            return _on(event.informed_on)
        case LocalReviewInitiated():
            return _on(event.decided_on)
        case _:
            return None


def _at(instant: datetime) -> When:
    """Say that something is known to the instant."""
    return When(precision=Precision.INSTANT, at=instant)


def _on(day: date) -> When:
    """Say that something is known to the day."""
    return When(precision=Precision.DAY, on=day)


def when_row(when: When) -> Row:
    """Return a moment's content."""
    row: Row = {"precision": when.precision._value_}
    if when.at is not None:
        row["at"] = when.at.isoformat()
    if when.on is not None:
        row["on"] = when.on.isoformat()
    if when.until_on is not None:
        row["until_on"] = when.until_on.isoformat()
    return row


def when_of(row: Mapping[str, Any]) -> When:
    """Return the moment that ``when_row`` wrote."""
    return When(
        precision=Precision(row["precision"]),
        at=datetime.fromisoformat(row["at"]) if "at" in row else None,
        on=date.fromisoformat(row["on"]) if "on" in row else None,
        until_on=date.fromisoformat(row["until_on"]) if "until_on" in row else None,
    )


def _of_children(event: Any) -> Iterable[str]:
    """Name the children that an event describes."""
    return [child.child_id for child in event.children]


def _of_ids(event: Any) -> Iterable[str]:
    """Name the children whose ids an event lists."""
    ids: Iterable[str] = event.children
    return ids


def _of_one(event: Any) -> Iterable[str]:
    """Name the one child that an event is about."""
    return [event.child_id]


def _of_entries(event: Any) -> Iterable[str]:
    """Name the children that entries are about."""
    return [child for entry in event.entries for child in entry.children]


_CHILDREN: Final[Mapping[type[Event], Callable[[Any], Iterable[str]]]] = {
    incident.IncidentNotified: _of_children,
    incident.NotificationAmended: _of_children,
    incident.IncidentReclassified: _of_children,
    incident.ChildAdded: lambda event: [event.child.child_id],
    incident.LookedAfterChildDeathNotified: _of_one,
    incident.CareLeaverDeathNotified: _of_one,
    incident.CaseReferred: _of_ids,
    incident.SafetyActionTaken: _of_ids,
    sharing.InformationOffered: _of_ids,
    sharing.FlagRaised: _of_ids,
    sharing.InformationShared: _of_entries,
    sharing.InformationPartlyShared: _of_entries,
    sharing.InformationCorrected: lambda event: event.replacement.children,
}
"""Where the events that name children do so. By type: asking after each class in turn took longer than all else of a milestone."""


def children_of(event: Event) -> list[str]:
    """Return the ids of the children that an event of a case names, in order, each once."""
    named = _CHILDREN.get(type(event))
    return [] if named is None else list(dict.fromkeys(named(event)))


def _links(recorded: Recorded, children: list[str]) -> dict[str, list[Row]]:
    """Return what an event says of who belongs to the case and who may read it."""
    links: dict[str, list[Row]] = {"case_child": [{"child_id": child} for child in children]} if children else {}
    match recorded.event:
        case None:
            if recorded.event_type == sharing.InformationRestricted.EVENT_TYPE:
                links["case_restriction"] = [_lost_restriction(recorded.event_id, recorded.agency_id)]
            return links
        case sharing.InformationRequested() as requested:
            links["case_agency"] = [{"agency_id": requested.recipient, "link": Link.REQUESTED.value}]
        case RapidReviewOpened() as opened:
            links["case_agency"] = [{"agency_id": agency, "link": Link.ASKED_FOR_RETURN.value} for agency in opened.agencies_asked]
        case sharing.InformationRestricted() as restricted:
            links["case_restriction"] = [_restriction(recorded, restricted)]
        case _:
            pass
    return links


def _restriction(recorded: Recorded, event: sharing.InformationRestricted) -> Row:
    """Return a restriction's row."""
    return {
        "event_id": recorded.event_id,
        "corrects": recorded.corrects,
        "entry_id": event.entry_id,
        "marking": event.marking.value,
        "caveats": [caveat.value for caveat in event.caveats],
        "named_agencies": sorted(event.named_agencies),
    }


def _lost_restriction(event_id: bytes, *named: str) -> Row:
    """Return the row of a restriction that cannot be read: whom it named nobody can tell, so at most who raised it reads on."""
    return {
        "event_id": event_id,
        "corrects": None,
        "entry_id": None,
        "marking": Marking.RESTRICTED.value,
        "caveats": [],
        "named_agencies": list(named),
    }


def pass_over(connection: Connection, tables: Tables, shard: str, item: Recorded | Unreadable) -> None:
    """Write the restriction in an event that is not applied: it closes what it closes, whatever else cannot be told of its stream."""
    if item.event_type != sharing.InformationRestricted.EVENT_TYPE:
        return
    if isinstance(item, Recorded) and isinstance(item.event, sharing.InformationRestricted):
        said = _restriction(item, item.event)
    elif isinstance(item, Recorded):
        said = _lost_restriction(item.event_id, item.agency_id)
    else:
        said = _lost_restriction(b"")
    place = {"shard": shard, "position": item.position, "ordinal": 0, "case_id": identity_of(item.stream)}
    insert_rows(connection, tables["case_restriction"], [{**place, **said}])


def _members(recorded: Recorded) -> list[Row]:
    """Return the rows of a partnership's members; none if the body is gone, so that the former members stand."""
    event = recorded.event
    if not isinstance(event, PartnershipEstablished | MembershipChanged):
        return []
    effective_on = event.effective_on if isinstance(event, MembershipChanged) else event.arrangements_start_on
    members = [
        (event.business_unit, Role.BUSINESS_UNIT),
        *((agency, Role.PARTNER) for agency in event.partners),
        *((agency, Role.RELEVANT_AGENCY) for agency in event.relevant_agencies),
    ]
    return [
        {
            "shard": recorded.shard,
            "position": recorded.position,
            "ordinal": ordinal,
            "agency_id": agency,
            "role": role.value,
            "effective_on": effective_on,
            "event_id": recorded.event_id,
            "corrects": recorded.corrects,
        }
        for ordinal, (agency, role) in enumerate(members)
    ]


CHRONOLOGY: Final = View(
    name="chronology",
    version="2",
    define=define,
    handles=frozenset(event.EVENT_TYPE for event in (*HEADLINES, *_ENTRIES_AND_MARKS)) | _PARTNERSHIP_EVENTS,
    ignores=frozenset(event.EVENT_TYPE for event in _IGNORED),
    apply=apply,
    pass_over=pass_over,
)
