"""From events to the oversight view's rows: each event becomes one fact, with the instant that counts and the London day it bears."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection

from domain.agency.events import AgencyEnrolled
from domain.incident.events import Child, ChildAdded, IncidentNotified, IncidentReclassified, NotificationAmended
from domain.kernel.agencies import AgencyKind
from domain.kernel.events import Event, Precision, Recorded, When, london_day
from domain.kernel.ids import identity_of
from domain.local_review.events import CopyProvided, LocalReviewInitiated
from domain.rapid_review.events import DecisionMade, DecisionReconsidered
from projections.kernel.rows import insert_rows
from projections.kernel.view import Tables, View
from projections.oversight.scope import COMPOSED, HANDLES, IGNORES
from projections.oversight.tables import CHILDREN, COUNCILS, FACTS, FINDINGS, NOTICES, define

Row = dict[str, Any]

_EXACT: Final = frozenset({Precision.INSTANT, Precision.DAY})
_DESCRIBE: Final = frozenset(kind.EVENT_TYPE for kind in (IncidentNotified, NotificationAmended, IncidentReclassified, ChildAdded))
_UNSAID: Final[Row] = dict.fromkeys(
    (
        "notification_type",
        "occurred_on",
        "occurred_exactly",
        "notified_at",
        "incident_authority",
        "residence_authority",
        "deprivation_fifth",
        "care_leaver_only",
        "characteristics",
    ),
)


def apply(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
    """Write one row for every event that a case is composed of, and rows for what any says of notification and children, breaks and mends.

    Rows are only ever added.
    """
    rows: dict[str, list[Row]] = {FACTS: [], NOTICES: [], CHILDREN: [], COUNCILS: [], FINDINGS: []}
    for recorded in batch:
        if recorded.event_type == AgencyEnrolled.EVENT_TYPE:
            rows[COUNCILS] += _council_rows(recorded)
            continue
        if recorded.event_type in COMPOSED:
            rows[FACTS].append(_fact_row(recorded))
        if recorded.event_type in _DESCRIBE:
            rows[NOTICES] += _notice_rows(recorded)
            rows[CHILDREN] += _child_rows(recorded)
        if recorded.findings or recorded.mended:
            rows[FINDINGS] += _finding_rows(recorded)
    for name, added in rows.items():
        insert_rows(connection, tables[name], added)


OVERSIGHT: Final = View(name="oversight", version="4", define=define, handles=HANDLES, ignores=IGNORES, apply=apply)
"""Its rows depend on neither rules nor calendar: days are counted when a table is, and every table names the versions it was counted by."""


def _fact_row(recorded: Recorded) -> Row:
    """Return the row of one event about a case."""
    event = recorded.event
    details = None if event is None else event.details
    scored_at = recorded.scored_at
    code, code_on = _coded(event)
    return {
        "shard": recorded.shard,
        "position": recorded.position,
        "case_id": identity_of(recorded.stream),
        "event_type": recorded.event_type,
        "event_id": recorded.event_id,
        "corrects": recorded.corrects,
        "agency_id": recorded.agency_id,
        "imported": recorded.imported,
        "opened": event is not None,
        "scored_at": scored_at,
        "done_at": None if details is None else details.done_at,
        "counts_on": london_day(scored_at),
        "code": code,
        "code_on": code_on,
    }


def _coded(event: Event | None) -> tuple[str | None, date | None]:
    """Return the one code and the one day that a step says, where its type has them."""
    match event:
        case DecisionMade() | DecisionReconsidered():
            return event.decision.value, None
        case LocalReviewInitiated():
            return None, event.decided_on
        case CopyProvided():
            return event.recipient.value, None
        case _:
            return None, None


def _notice_rows(recorded: Recorded) -> list[Row]:
    """Return the row of what an event says of the notification as a whole; none for one whose body is gone."""
    said: Row
    match recorded.event:
        case IncidentNotified() as event:
            said = {
                "notification_type": event.notification_type.value,
                **_occurrence(event.incident_on),
                "incident_authority": event.incident_authority,
                "residence_authority": event.residence_authority,
                "deprivation_fifth": event.deprivation_fifth,
                "care_leaver_only": event.care_leaver_only,
                "characteristics": [code.value for code in event.characteristics],
            }
        case NotificationAmended() as event:
            said = {
                **_occurrence(event.incident_on),
                "notified_at": event.notified_at,
                "incident_authority": event.incident_authority,
                "residence_authority": event.residence_authority,
                "deprivation_fifth": event.deprivation_fifth,
                "characteristics": None if event.characteristics is None else [code.value for code in event.characteristics.values],
            }
        case IncidentReclassified() as event:
            said = {"notification_type": event.notification_type.value}
        case _:
            return []
    return [{"shard": recorded.shard, "position": recorded.position, **_UNSAID, **said}]


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


def _finding_rows(recorded: Recorded) -> list[Row]:
    """Return a row for every rule that an event broke, and for every one that it mended."""
    counts_on = london_day(recorded.scored_at)
    place = {"shard": recorded.shard, "position": recorded.position, "case_id": identity_of(recorded.stream), "counts_on": counts_on}
    return [
        {**place, "rule": rule, "is_mended": is_mended}
        for rules, is_mended in ((recorded.findings, False), (recorded.mended, True))
        for rule in rules
    ]
