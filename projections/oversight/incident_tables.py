"""The tables whose unit is the incident: the chart, tables 2 to 5, and what the text says of characteristics and deprivation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from domain.incident.codes import Characteristic, CourtOrder, DeathCategory, LivingArrangement, NotificationType, ServiceInvolvement
from projections.oversight.body import BY_TYPE, Body, ByType, key_of, simple_body
from projections.oversight.cases import Case
from projections.oversight.facts import ChildFact
from projections.oversight.labels import (
    ARRANGEMENTS,
    CHARACTERISTICS,
    COURT_ORDERS,
    COURT_ORDERS_GROUP,
    DEATH_CATEGORIES,
    FIFTHS,
    HARM_CATEGORIES,
    KNOWN_TO_SERVICES,
    NOT_AT_HOME,
    NOTIFICATION_TYPES,
    OTHER_CHARACTERISTICS,
    OTHER_DEATH_KINDS,
    SERVICES,
)
from projections.oversight.panel_table import Row
from projections.oversight.population import Counted

Code = TypeVar("Code", ServiceInvolvement, CourtOrder, LivingArrangement)


def chart(counted: Counted) -> Body:
    """Count notifications by type."""
    return simple_body(NOTIFICATION_TYPES, (case.notice.notification_type for case in counted.cases), "%", 0)


def category_of_death(counted: Counted) -> Body:
    """Count fatal incidents by the index child's category of death (table 2)."""
    index = [case.index_child for case in counted.cases]
    body = simple_body(DEATH_CATEGORIES, (None if child is None else child.death_category for child in index), "% of fatal incidents", 1)
    rows: list[Row] = []
    for row in body.rows:
        rows.append(row)
        if row.key == DeathCategory.OTHER_MALTREATMENT_RELATED.value:
            rows += _kinds_of_other_death([child for child in index if child is not None])
    return Body(columns=body.columns, rows=tuple(rows), total=body.total)


def _kinds_of_other_death(index: Iterable[ChildFact]) -> list[Row]:
    """Return table 2's sub-rows; those of no recorded kind only where there are any."""
    category = DeathCategory.OTHER_MALTREATMENT_RELATED
    kinds = Counter(child.other_death_kind for child in index if child.death_category is category)
    rows = [
        Row(key=f"{category.value}.{kind.value}", label=label, cells=(kinds[kind], None), level=1)
        for kind, label in OTHER_DEATH_KINDS.items()
    ]
    if kinds[None]:
        rows.append(Row(key=f"{category.value}.not_recorded", label="Kind not recorded", cells=(kinds[None], None), level=1))
    return rows


def category_of_harm(counted: Counted) -> Body:
    """Count incidents of serious harm, and those notified as other, by the index child's category of harm (table 3)."""
    index = [case.index_child for case in counted.cases]
    body = simple_body(HARM_CATEGORIES, (None if child is None else child.harm_category for child in index), "% of non-fatal incidents", 1)
    others = sum(case.notice.notification_type is NotificationType.OTHER for case in counted.cases)
    note = f"Includes {others} notified as other."
    return Body(columns=body.columns, rows=body.rows, total=body.total, notes=(note,) if others else ())


def case_characteristics(counted: Counted) -> Body:
    """Count incidents with each of the twelve characteristics, by type (table 4)."""
    return _characteristics(counted, CHARACTERISTICS)


def other_characteristics(counted: Counted) -> Body:
    """Count incidents with each characteristic that the report counts in its text alone, by type."""
    return _characteristics(counted, OTHER_CHARACTERISTICS)


def _characteristics(counted: Counted, groups: Mapping[str, Mapping[Characteristic, str]]) -> Body:
    """Count incidents with characteristics, which do not exclude each other."""
    bases = ByType.of(counted.cases)
    rows = [
        Row(
            key=code.value,
            label=label,
            group=group,
            cells=bases.cells(case for case in counted.cases if code in case.notice.characteristics),
        )
        for group, labels in groups.items()
        for code, label in labels.items()
    ]
    return Body(columns=BY_TYPE, rows=tuple(rows), total=bases.base_row())


def service_involvement(counted: Counted) -> Body:
    """Count incidents by what services knew of the index child, by type; percents for the group rows (table 5)."""
    bases = ByType.of(counted.cases)
    rows: tuple[Row, ...] = (
        *_service_group(counted.cases, bases, KNOWN_TO_SERVICES, SERVICES, lambda child: child.services),
        *_service_group(counted.cases, bases, COURT_ORDERS_GROUP, COURT_ORDERS, lambda child: child.court_orders),
        *_service_group(counted.cases, bases, NOT_AT_HOME, ARRANGEMENTS, lambda child: frozenset({child.living_arrangement})),
    )
    return Body(columns=BY_TYPE, rows=rows, total=bases.base_row())


def _service_group(
    cases: Iterable[Case],
    bases: ByType,
    group: str,
    labels: Mapping[Code, str],
    codes_of: Callable[[ChildFact], frozenset[Code]],
) -> tuple[Row, ...]:
    """Return a group's row, counting each incident with any of its codes once, and a row for each code."""
    key = group.lower().replace(" ", "_")
    found = [(case, frozenset[Code]() if case.index_child is None else codes_of(case.index_child)) for case in cases]
    first = Row(key=key, label=group, group=group, cells=bases.cells(case for case, codes in found if not codes.isdisjoint(labels)))
    rows: list[Row] = [
        Row(
            key=f"{key}.{key_of(code)}",
            label=label,
            group=group,
            level=1,
            cells=bases.cells((case for case, codes in found if code in codes), with_percents=False),
        )
        for code, label in labels.items()
    ]
    return (first, *rows)


def deprivation(counted: Counted) -> Body:
    """Count incidents by the fifth of England that the place belongs to, 1 the most deprived."""
    return simple_body(FIFTHS, (case.notice.deprivation_fifth for case in counted.cases), "% of incidents", 0)
