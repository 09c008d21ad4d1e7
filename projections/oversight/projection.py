"""From events to the oversight view's rows: each event becomes one fact, with the instant that counts and the London day it bears."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection, insert

from domain.agency.events import AgencyEnrolled
from domain.incident.events import Child, ChildAdded, IncidentNotified, IncidentReclassified, NotificationAmended
from domain.kernel.agencies import AgencyKind
from domain.kernel.events import Event, Precision, Recorded, When, london_day
from domain.kernel.ids import identity_of
from domain.local_review.events import CopyProvided, LocalReviewInitiated
from domain.rapid_review.events import DecisionMade, DecisionReconsidered
from projections.kernel.view import Tables, View
from projections.oversight.scope import HANDLES, IGNORES
from projections.oversight.tables import CHILDREN, COUNCILS, FACTS, define

Row = dict[str, Any]

_UNSAID: Final[Row] = {
    "notification_type": None,
    "occurred_on": None,
    "occurred_exactly": None,
    "notified_at": None,
    "incident_authority": None,
    "residence_authority": None,
    "deprivation_fifth": None,
    "care_leaver_only": None,
    "characteristics": None,
    "decision": None,
    "decided_on": None,
    "copy_recipient": None,
}
_EXACT: Final = frozenset({Precision.INSTANT, Precision.DAY})


def apply(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
    """Write one row for every event of a batch, and one for every child it names; rows are only ever added."""
    facts: list[Row] = []
    children: list[Row] = []
    councils: list[Row] = []
    for recorded in batch:
        if recorded.event_type == AgencyEnrolled.EVENT_TYPE:
            councils += _council_rows(recorded)
        else:
            facts.append(_fact_row(recorded))
            children += _child_rows(recorded)
    for name, rows in ((FACTS, facts), (CHILDREN, children), (COUNCILS, councils)):
        if rows:
            connection.execute(insert(tables[name]), rows)


OVERSIGHT: Final = View(name="oversight", version="1", define=define, handles=HANDLES, ignores=IGNORES, apply=apply)
"""Its rows depend on neither rules nor calendar: days are counted when a table is, and every table names the versions it was counted by."""


def _fact_row(recorded: Recorded) -> Row:
    """Return the row of one event about a case."""
    details = None if recorded.event is None else recorded.event.details
    return {
        "shard": recorded.shard,
        "position": recorded.position,
        "case_id": identity_of(recorded.stream),
        "event_type": recorded.event_type,
        "event_id": recorded.event_id,
        "corrects": recorded.corrects,
        "agency_id": recorded.agency_id,
        "imported": recorded.imported,
        "opened": recorded.event is not None,
        "scored_at": recorded.scored_at,
        "done_at": None if details is None else details.done_at,
        "counts_on": london_day(recorded.scored_at),
        **_UNSAID,
        **_said(recorded.event),
    }


def _said(event: Event | None) -> Row:  # noqa: PLR0911 (one an event type)
    """Return what an event says in codes, ids and days; nothing for one whose body is gone."""
    match event:
        case IncidentNotified():
            return {
                "notification_type": event.notification_type.value,
                **_occurrence(event.incident_on),
                "incident_authority": event.incident_authority,
                "residence_authority": event.residence_authority,
                "deprivation_fifth": event.deprivation_fifth,
                "care_leaver_only": event.care_leaver_only,
                "characteristics": [code.value for code in event.characteristics],
            }
        case NotificationAmended():
            return {
                **_occurrence(event.incident_on),
                "notified_at": event.notified_at,
                "residence_authority": event.residence_authority,
                "deprivation_fifth": event.deprivation_fifth,
                "characteristics": None if event.characteristics is None else [code.value for code in event.characteristics.values],
            }
        case IncidentReclassified():
            return {"notification_type": event.notification_type.value}
        case DecisionMade() | DecisionReconsidered():
            return {"decision": event.decision.value}
        case LocalReviewInitiated():
            return {"decided_on": event.decided_on}
        case CopyProvided():
            return {"copy_recipient": event.recipient.value}
        case _:
            return {}


def _occurrence(when: When | None) -> Row:
    """Return the London day an incident counts on (the first of a month, year or period), and whether it is that exact."""
    if when is None:
        return {}
    return {"occurred_on": when.day, "occurred_exactly": when.precision in _EXACT}


def _child_rows(recorded: Recorded) -> list[Row]:
    """Return a row for every child that an event names with its codes."""
    match recorded.event:
        case IncidentNotified() | NotificationAmended() | IncidentReclassified():
            children = recorded.event.children
        case ChildAdded():
            children = (recorded.event.child,)
        case _:
            return []
    return [_child_row(recorded, place, child) for place, child in enumerate(children)]


def _child_row(recorded: Recorded, place: int, child: Child) -> Row:
    """Return the row of one child as one event describes it."""
    return {
        "shard": recorded.shard,
        "position": recorded.position,
        "place": place,
        "case_id": identity_of(recorded.stream),
        "child_id": child.child_id,
        "index_child": child.index_child,
        "gender": child.gender.value,
        "age_years": child.age_years,
        "born_on": child.born_on,
        "ethnicity": child.ethnicity.value,
        "services": [code.value for code in child.services],
        "court_orders": [code.value for code in child.court_orders],
        "living_arrangement": child.living_arrangement.value,
        "death_category": None if child.death_category is None else child.death_category.value,
        "other_death_kind": None if child.other_death_kind is None else child.other_death_kind.value,
        "harm_category": None if child.harm_category is None else child.harm_category.value,
    }


def _council_rows(recorded: Recorded) -> list[Row]:
    """Return the row of an enrolment if it is a council's."""
    event = recorded.event
    if not isinstance(event, AgencyEnrolled) or event.kind is not AgencyKind.LOCAL_AUTHORITY:
        return []
    return [{"shard": recorded.shard, "position": recorded.position, "agency_id": event.agency_id, "name": event.name}]
