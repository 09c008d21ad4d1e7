"""A Panel table as it came over the wire, made fit to be held against the Panel's printed figures."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Final

from projections.oversight.panel_table import BASIS_WORDS, Cell, Column, Figure, Kind, PanelTable, Period, Row
from projections.oversight.published import Comparison, bundled_report, compare
from safeguarding.hub.v1 import oversight_pb2 as pb

_BASES: Final = {words: basis for basis, words in BASIS_WORDS.items()}


def compared(table: pb.PanelTable) -> Comparison:
    """Hold a counted table against the Panel's annual report 2020."""
    return compare(counted(table), bundled_report())


def counted(table: pb.PanelTable) -> PanelTable:
    """Return a table from the wire in the form that is compared and printed."""
    columns = tuple(Column(key=one.key, label=one.label, kind=Kind(one.kind)) for one in table.columns)
    return PanelTable(
        number=table.table,
        title=table.title,
        unit=table.unit,
        base=table.base,
        basis=_BASES[table.basis],
        period=Period.parse(table.period),
        count_day=date.fromisoformat(table.count_day),
        rules_version=table.rules_version,
        calendar_version=table.calendar_version,
        columns=columns,
        rows=tuple(_row(row, columns) for row in table.rows),
        total=_row(table.total, columns) if table.HasField("total") else None,
        figures=tuple(Figure(key=one.key, label=one.label, value=one.value) for one in table.figures),
        notes=tuple(table.notes),
    )


def _row(row: pb.PanelRow, columns: tuple[Column, ...]) -> Row:
    cells = tuple(_cell(text, column) for text, column in zip(row.cells, columns, strict=True))
    return Row(key=row.key, label=row.label, cells=cells, group=row.group or None, level=row.level)


def _cell(text: str, column: Column) -> Cell:
    if not text:
        return None
    return int(text) if column.kind is Kind.COUNT else Decimal(text)
