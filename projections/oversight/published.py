"""The Panel's printed figures beside ours: what is equal, what differs, and which printed figures their own counts contradict."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, Final

from projections.oversight.panel_table import Cell, Kind, PanelTable, Row
from projections.oversight.printed import FULL_TABLES, PRINTED, Printed

Published = Mapping[str, Any]
"""The report as ``panel_2020.json`` holds it."""


class Verdict(StrEnum):
    """What comes of holding one of our figures against the printed one."""

    EQUAL = "equal"
    PRINTED_FAULT = "printed_fault"
    """Ours is what the printed counts give; the printed percent or sum is not."""
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A fault or caution known of the printed report."""

    id: str
    where: str
    finding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One figure: ours, and the printed one (None where nothing is printed). ``flag`` names a known fault behind a difference."""

    row: str
    label: str
    column: str
    ours: Cell
    printed: Cell
    verdict: Verdict
    flag: Flag | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One table held against the report. ``remarks`` are all flags about that table, whether or not a figure shows them."""

    number: str
    title: str
    lines: tuple[Line, ...]
    remarks: tuple[Flag, ...]

    @property
    def differences(self) -> tuple[Line, ...]:
        """Every figure that is not the printed one, known faults included."""
        return tuple(line for line in self.lines if line.verdict is not Verdict.EQUAL)

    @property
    def match(self) -> bool:
        """Tell whether no figure differs but by a fault of the printed report."""
        return all(line.verdict is not Verdict.DIFFERENT for line in self.lines)

    def as_document(self) -> dict[str, Any]:
        """Return the comparison in JSON's own types; percents are text."""
        return {
            "match": self.match,
            "compared": len(self.lines),
            "differences": [
                {
                    "row": line.row,
                    "label": line.label,
                    "column": line.column,
                    "ours": _plain(line.ours),
                    "printed": _plain(line.printed),
                    "verdict": line.verdict.value,
                    "flag": None if line.flag is None else line.flag.id,
                }
                for line in self.differences
            ],
            "remarks": [{"id": flag.id, "where": flag.where, "finding": flag.finding} for flag in self.remarks],
        }


_CELL_FLAGS: Final[Mapping[tuple[str, str, str], str]] = {
    ("2", "overt_filicide", "percent"): "F08",
    ("2", "suicide", "percent"): "F08",
    ("4", "domestic_abuse", "serious_harm_percent"): "F09",
    ("4", "elective_home_education", "total_percent"): "F10",
    ("6", "16-25", "percent"): "F11",
    ("local_reviews_initiated", "total", "number"): "F01",
}
_TABLE_FLAGS: Final[Mapping[str, tuple[str, ...]]] = {
    "chart": ("F21", "F24"),
    "1": ("F13", "F23", "F24"),
    "2": ("F03", "F08"),
    "3": ("F05", "F06", "F07", "F12"),
    "4": ("F04", "F09", "F10"),
    "6": ("F11", "F16", "F20"),
    "characteristics": ("F02", "F04"),
    "gender": ("F24",),
    "age": ("F24",),
    "decisions": ("F14", "F16"),
    "agreement": ("F16",),
    "local_reviews_initiated": ("F01",),
}


@cache
def bundled_report() -> Published:
    """Return the Panel's annual report 2020 as bundled; read once."""
    text = resources.files("projections.oversight").joinpath("panel_2020.json").read_text(encoding="utf-8")
    content: Published = json.loads(text, parse_float=Decimal)
    return content


def known_faults(published: Published) -> tuple[Flag, ...]:
    """Return every fault and caution that the data file lists of its source."""
    return tuple(Flag(id=one["id"], where=one["where"], finding=one["finding"]) for one in published["flags"])


def compare(table: PanelTable, published: Published) -> Comparison:
    """Hold every printed figure of a table against ours, and ours against print; a table that is not printed gives no lines."""
    flags = {flag.id: flag for flag in known_faults(published)}
    extract: Callable[[Published], Iterator[Printed]] | None = PRINTED.get(table.number)
    printed = [] if extract is None else list(extract(published))
    lines = [_line(table, one, flags) for one in printed]
    if table.number in FULL_TABLES:
        lines += _unprinted(table, {(line.row, line.column) for line in lines})
    remarks = tuple(flags[identity] for identity in _TABLE_FLAGS.get(table.number, ()) if identity in flags)
    return Comparison(number=table.number, title=table.title, lines=tuple(lines), remarks=remarks)


def _line(table: PanelTable, printed: Printed, flags: Mapping[str, Flag]) -> Line:
    """Compare one printed figure with ours."""
    row = next((row for row in table.all_rows() if printed.row in (row.key, row.label)), None)
    key = printed.row if row is None else row.key
    ours = _ours(table, row, printed)
    if ours is not None and ours == printed.value:
        verdict = Verdict.EQUAL
    elif ours is not None and ours == printed.recomputed:
        verdict = Verdict.PRINTED_FAULT
    else:
        verdict = Verdict.DIFFERENT
    flag = flags.get(_CELL_FLAGS.get((table.number, key, printed.column), "")) if verdict is Verdict.PRINTED_FAULT else None
    label = printed.row if row is None else row.label
    return Line(row=key, label=label, column=printed.column, ours=ours, printed=printed.value, verdict=verdict, flag=flag)


def _ours(table: PanelTable, row: Row | None, printed: Printed) -> Cell:
    """Return our figure for a printed one: a cell, or a figure beside the table; None where we have none."""
    if row is not None:
        return table.cell(row.key, printed.column)
    return next((figure.value for figure in table.figures if figure.key == printed.row), None)


def _unprinted(table: PanelTable, seen: set[tuple[str, str]]) -> list[Line]:
    """Return our counts in places where the report prints nothing; nought there is no difference."""
    lines = []
    for row in table.all_rows():
        for column, cell in zip(table.columns, row.cells, strict=True):
            if column.kind is Kind.COUNT and cell and (row.key, column.key) not in seen:
                different = Verdict.DIFFERENT
                lines.append(Line(row=row.key, label=row.label, column=column.key, ours=cell, printed=None, verdict=different))
    return lines


def _plain(cell: Cell) -> int | str | None:
    """Return a cell in JSON's own types."""
    return str(cell) if isinstance(cell, Decimal) else cell
