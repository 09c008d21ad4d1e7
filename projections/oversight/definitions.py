"""Every table the Panel can ask for: its number or name, what it counts, on which bases, and how; and the labelling of what was counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from domain.incident.codes import NotificationType
from projections.oversight.body import Body
from projections.oversight.cases import Case
from projections.oversight.children_tables import age, ethnicity, gender
from projections.oversight.finding_tables import findings
from projections.oversight.incident_tables import (
    case_characteristics,
    category_of_death,
    category_of_harm,
    chart,
    deprivation,
    other_characteristics,
    service_involvement,
)
from projections.oversight.local_tables import local_reviews_initiated, local_reviews_received, notifications_per_area
from projections.oversight.panel_table import Basis, PanelTable, Period
from projections.oversight.population import Counted, Population, counted
from projections.oversight.review_tables import (
    agreement,
    decisions,
    timeliness,
)
from projections.oversight.timeliness import owes_review

_INCIDENT_BASES: Final = (Basis.OCCURRED, Basis.NOTIFIED)
_INCIDENTS: Final = "incidents"
_REVIEWS: Final = "rapid reviews"
_CHILDREN: Final = "children"
_LOCAL: Final = "local reviews"
_BREACHES: Final = "times that a rule was found broken in a case"
_NOT_EXCLUSIVE: Final = "incidents (rows do not exclude each other)"
_OF_TYPE: Final = "incidents of the column's type"
_SUMMER_HALF: Final = range(4, 10)
"""April to September, the months of the requested completion days that table 8 counts."""


class UnknownTable(LookupError):
    """There is no table of this number or name, or it is not counted on this basis; ``asked`` says which of the two was asked for."""

    def __init__(self, asked: str, expected: str) -> None:
        """Keep what was asked for amiss, ``table`` or ``basis``, and what was expected."""
        self.asked = asked
        super().__init__(expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """One table; the first of its bases is the report's."""

    number: str
    title: str
    unit: str
    base: str
    bases: tuple[Basis, ...]
    count: Callable[[Counted], Body]
    only: Callable[[Counted, Case], bool]
    """Which of the cases that a basis brings into a period are counted here."""


def _is_any(_those: Counted, _case: Case) -> bool:
    return True


def _is_fatal(_those: Counted, case: Case) -> bool:
    return case.notice.notification_type is NotificationType.DEATH


def _is_not_fatal(those: Counted, case: Case) -> bool:
    return not _is_fatal(those, case)


def _owes_review(_those: Counted, case: Case) -> bool:
    return owes_review(case)


def _is_received(_those: Counted, case: Case) -> bool:
    return owes_review(case) and case.received_on is not None


def _is_due_in_summer_half(those: Counted, case: Case) -> bool:
    return those.time(case).due_on.month in _SUMMER_HALF


def _is_due_in_winter_half(those: Counted, case: Case) -> bool:
    return not _is_due_in_summer_half(those, case)


def _incidents(
    number: str,
    title: str,
    base: str,
    count: Callable[[Counted], Body],
    unit: str = _INCIDENTS,
    only: Callable[[Counted, Case], bool] = _is_any,
) -> Definition:
    """Define a table of incidents or their children."""
    return Definition(number=number, title=title, unit=unit, base=base, bases=_INCIDENT_BASES, count=count, only=only)


def _due(number: str, title: str, only: Callable[[Counted, Case], bool] = _is_any) -> Definition:
    """Define a table of timeliness."""
    base = "all rapid reviews of the table"
    return Definition(number=number, title=title, unit=_REVIEWS, base=base, bases=(Basis.DUE,), count=timeliness, only=only)


_DEFINITIONS: Final = (
    _incidents("chart", "Serious Incident Notifications by type", "all incidents", chart),
    _incidents("1", "Ethnicity of children in notified incidents", "children whose ethnicity is recorded", ethnicity, _CHILDREN),
    _incidents("2", "Category of death", "fatal incidents", category_of_death, "fatal incidents", _is_fatal),
    _incidents("3", "Category of serious harm", "non-fatal incidents", category_of_harm, "non-fatal incidents", _is_not_fatal),
    _incidents("4", "Case characteristic", _OF_TYPE, case_characteristics, _NOT_EXCLUSIVE),
    _incidents("5", "Service involvement", _OF_TYPE, service_involvement, _NOT_EXCLUSIVE),
    _due("6", "Timeliness of rapid reviews"),
    _due(
        "7",
        "Timeliness of rapid reviews asked for by days in January to March and October to December",
        _is_due_in_winter_half,
    ),
    _due("8", "Timeliness of rapid reviews asked for by days in April to September", _is_due_in_summer_half),
    _incidents("gender", "Gender of children", "all children", gender, _CHILDREN),
    _incidents("age", "Age of children at the incident", "all children", age, _CHILDREN),
    _incidents("deprivation", "Deprivation of the place, by fifths of England", "all incidents", deprivation),
    _incidents("characteristics", "Other case characteristics named in the text", _OF_TYPE, other_characteristics, _NOT_EXCLUSIVE),
    _incidents("areas", "Areas by number of incidents notified", "all enrolled councils", notifications_per_area, "areas"),
    _incidents("decisions", "Local decisions on a local review", "incidents that owe a rapid review", decisions, only=_owes_review),
    Definition(
        number="agreement",
        title="The Panel's agreement with local decisions",
        unit=_REVIEWS,
        base="rapid reviews received by the count day",
        bases=(*_INCIDENT_BASES, Basis.RECEIVED),
        count=agreement,
        only=_is_received,
    ),
    _incidents("findings", "Findings: what should not have happened, and whether it was mended", "none: counts only", findings, _BREACHES),
    Definition(
        number="local_reviews_initiated",
        title="Local reviews initiated",
        unit=_LOCAL,
        base="none: counts only",
        bases=(Basis.INITIATED,),
        count=local_reviews_initiated,
        only=_is_any,
    ),
    Definition(
        number="local_reviews_received",
        title="Local reviews received, and their publication",
        unit=_LOCAL,
        base="local reviews received",
        bases=(Basis.LOCAL_REVIEW_RECEIVED,),
        count=local_reviews_received,
        only=_is_any,
    ),
)

TABLES: Final[Mapping[str, Definition]] = {one.number: one for one in _DEFINITIONS}


def definition(number: str, basis: Basis | None) -> tuple[Definition, Basis]:
    """Return a table's definition and the basis to count it on, the report's where none is given; raise ``UnknownTable``."""
    found = TABLES.get(number)
    if found is None:
        raise UnknownTable("table", f"expected one of {', '.join(TABLES)}")
    chosen = found.bases[0] if basis is None else basis
    if chosen not in found.bases:
        raise UnknownTable("basis", f"expected one of {', '.join(found.bases)} for table {number}, found {chosen}")
    return found, chosen


def count_table(everyone: Population, number: str, period: Period, basis: Basis | None = None) -> PanelTable:
    """Count one table of a population and label it with all that its figures depend on; raise ``UnknownTable``."""
    found, chosen = definition(number, basis)
    brought_in = counted(everyone, chosen, period)
    those = replace(brought_in, cases=tuple(case for case in brought_in.cases if found.only(brought_in, case)))
    body = found.count(those)
    return PanelTable(
        number=found.number,
        title=found.title,
        unit=found.unit,
        base=found.base,
        basis=chosen,
        period=period,
        count_day=everyone.count_day,
        rules_version=everyone.clock.rules_version,
        calendar_version=everyone.clock.calendar.version,
        columns=body.columns,
        rows=body.rows,
        total=body.total,
        figures=body.figures,
        notes=(*body.notes, *_notes(those)),
    )


def _notes(those: Counted) -> tuple[str, ...]:
    """Say what a reader must know of the cases in a table, with their number; nothing of what there is none of."""
    everyone, cases = those.population, those.cases
    inexact = sum(not case.notice.occurred_exactly for case in cases) if those.basis is Basis.OCCURRED else 0
    said = (
        (
            everyone.unreadable,
            "notified cases (of any period) are left out: their data keys are destroyed, nothing of them can be read.",
        ),
        (sum(case.imported for case in cases), "of the cases are imported history, counted by the instants that agencies assert."),
        (sum(case.notice.care_leaver_only for case in cases), "of the cases notify a care leaver's death alone and owe no rapid review."),
        (inexact, "of the incidents are dated to a month, year or period only and count on its first day."),
        (sum(case.linked_as_duplicate for case in cases), "of the cases are linked to another about the same incident; each counts."),
    )
    return tuple(f"{number} {words}" for number, words in said if number)
