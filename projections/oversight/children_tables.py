"""The tables whose unit is the child: ethnicity (table 1), and gender and age as the text gives them."""

from __future__ import annotations

from collections import Counter
from typing import Final

from domain.incident.codes import Ethnicity
from projections.oversight.body import NUMBER, Body, percent_column, simple_body
from projections.oversight.cases import Case
from projections.oversight.facts import ChildFact
from projections.oversight.labels import ETHNIC_GROUPS, GENDERS, NO_ETHNICITY, NOT_RECORDED, WHITE
from projections.oversight.panel_table import Figure, Row, percent
from projections.oversight.population import Counted

_AGES: Final = (("Under 1", 0), ("1 to 4", 4), ("5 to 9", 9), ("10 to 14", 14), ("15 to 17", 17), ("18 and over", None))
"""The text names the first and the band from 15 to 17; the others divide what lies between. Care leavers may be older."""


def ethnicity(counted: Counted) -> Body:
    """Count all children of the incidents by ethnic group, with percents of those recorded (table 1)."""
    found = Counter(child.ethnicity for case in counted.cases for child in case.notice.children)
    missing = sum(found[code] for code in NO_ETHNICITY)
    base = found.total() - missing
    rows = []
    for label, codes in ETHNIC_GROUPS.items():
        number = sum(found[code] for code in codes)
        rows.append(Row(key=label.lower().replace(" ", "_"), label=label, cells=(number, percent(number, base, 1))))
    rows.append(Row(key="not_recorded", label=NOT_RECORDED, cells=(missing, None)))
    other_white = sum(found[code] for code in ETHNIC_GROUPS[WHITE]) - found[Ethnicity.WHITE_BRITISH]
    note = f"The report has no row for other White groups: {other_white} such children are counted in the row it calls {WHITE}."
    return Body(
        columns=(NUMBER, percent_column("% where recorded", 1)),
        rows=tuple(rows),
        total=Row(key="total", label="Total", cells=(found.total(), None)),
        figures=(Figure(key="recorded_base", label="Children whose ethnicity is recorded", value=base),),
        notes=(note,) if other_white else (),
    )


def gender(counted: Counted) -> Body:
    """Count all children by gender as the Panel reports it."""
    codes = (child.gender for case in counted.cases for child in case.notice.children)
    return simple_body(GENDERS, codes, "% of children", 0)


def age(counted: Counted) -> Body:
    """Count all children by their age in completed years on the day of the incident."""
    labels = {name: name for name, last in _AGES if last is not None}
    found = [_age_band(case, child) for case in counted.cases for child in case.notice.children]
    oldest = _AGES[-1][0]
    return simple_body({**labels, oldest: oldest} if oldest in found else labels, found, "% of children", 0)


def _age_band(case: Case, child: ChildFact) -> str | None:
    """Return the band of a child's age; None where neither age nor date of birth is recorded."""
    years = child.age_years
    if child.born_on is not None:
        day, born = case.notice.occurred_on, child.born_on
        # An incident dated only to a month or year may seem to lie before the birth of a child who was there.
        years = max(day.year - born.year - ((day.month, day.day) < (born.month, born.day)), 0)
    if years is None:
        return None
    return next(name for name, last in _AGES if last is None or years <= last)
