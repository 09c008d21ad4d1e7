"""What one kind of table counts, before it is labelled; and the few forms its rows take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeVar

from domain.incident.codes import NotificationType
from projections.oversight.cases import Case
from projections.oversight.labels import NOT_RECORDED
from projections.oversight.panel_table import Cell, Column, Figure, Kind, Row, percent

Code = TypeVar("Code", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """Columns, rows, and the figures and notes that belong to this table alone."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: Row | None = None
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()


NUMBER: Final = Column(key="number", label="Number")
BY_TYPE: Final = (
    Column(key="death", label="Death"),
    Column(key="death_percent", label="Death %", kind=Kind.PERCENT, places=1),
    Column(key="serious_harm", label="Serious harm"),
    Column(key="serious_harm_percent", label="Serious harm %", kind=Kind.PERCENT, places=1),
    Column(key="other", label="Other"),
    Column(key="total", label="Total"),
    Column(key="total_percent", label="Total %", kind=Kind.PERCENT, places=1),
)
"""Tables 4 and 5: counts by type of notification; the report prints no percent for the few notified as other."""

_TYPES: Final = (NotificationType.DEATH, NotificationType.SERIOUS_HARM, NotificationType.OTHER)


def percent_column(label: str, places: int) -> Column:
    """Return the percent column beside a number."""
    return Column(key="percent", label=label, kind=Kind.PERCENT, places=places)


def key_of(code: object) -> str:
    """Return a row's key for a code."""
    return str(code.value) if isinstance(code, Enum) else str(code)


def simple_body(labels: Mapping[Code, str], found: Iterable[Code | None], percent_label: str, places: int) -> Body:
    """Count codes into labelled rows with their percent of all; a row of those not recorded only where there are any."""
    counts = Counter(found)
    base = counts.total()
    rows = [Row(key=key_of(code), label=label, cells=(counts[code], percent(counts[code], base, places))) for code, label in labels.items()]
    unlabelled = base - sum(counts[code] for code in labels)
    if unlabelled:
        rows.append(Row(key="not_recorded", label=NOT_RECORDED, cells=(unlabelled, percent(unlabelled, base, places))))
    return Body(
        columns=(NUMBER, percent_column(percent_label, places)),
        rows=tuple(rows),
        total=Row(key="total", label="Total", cells=(base, percent(base, base, places))),
    )


@dataclass(frozen=True, slots=True)
class ByType:
    """How many incidents there are of each type: the bases of tables 4 and 5."""

    bases: Mapping[NotificationType, int]

    @classmethod
    def of(cls, cases: Iterable[Case]) -> ByType:
        """Count the types of ``cases``."""
        counts = Counter(case.notice.notification_type for case in cases)
        return cls({kind: counts[kind] for kind in _TYPES})

    @property
    def total(self) -> int:
        """All incidents."""
        return sum(self.bases.values())

    def cells(self, cases: Iterable[Case], *, with_percents: bool = True) -> tuple[Cell, ...]:
        """Return the cells of a row for the incidents that have what the row counts."""
        counts = ByType.of(cases)
        cells: list[Cell] = []
        for kind in (NotificationType.DEATH, NotificationType.SERIOUS_HARM):
            number = counts.bases[kind]
            cells += [number, percent(number, self.bases[kind], 1) if with_percents else None]
        cells.append(counts.bases[NotificationType.OTHER])
        return (*cells, counts.total, percent(counts.total, self.total, 1) if with_percents else None)

    def base_row(self) -> Row:
        """Return the row of the bases."""
        death, harm, other = (self.bases[kind] for kind in _TYPES)
        return Row(key="total", label="All incidents", cells=(death, None, harm, None, other, self.total, None))
