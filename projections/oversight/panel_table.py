"""One counted table, labelled with all that its figures depend on; prints and serialises without knowing which table it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

Cell = int | Decimal | None
"""A count, a percent, or nothing."""


class Basis(StrEnum):
    """What brings an incident, review or local review into a period."""

    OCCURRED = "occurred"
    NOTIFIED = "notified"
    DUE = "due"
    RECEIVED = "received"
    INITIATED = "initiated"
    LOCAL_REVIEW_RECEIVED = "local_review_received"


BASIS_WORDS: Final = {
    Basis.OCCURRED: "incident occurred in the period",
    Basis.NOTIFIED: "incident notified in the period",
    Basis.DUE: "requested completion day in the period",
    Basis.RECEIVED: "rapid review received by the Panel in the period",
    Basis.INITIATED: "decision to initiate the local review made in the period",
    Basis.LOCAL_REVIEW_RECEIVED: "local review received by the Panel or published in the period",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """Days from ``first`` to ``last``, both included."""

    first: date
    last: date

    def __post_init__(self) -> None:
        """Refuse a period that ends before it begins."""
        if self.last < self.first:
            raise ValueError(f"a period's last day is not before its first: expected from {self.first} on, found {self.last}")

    def __contains__(self, day: date) -> bool:
        """Tell whether a day lies in the period."""
        return self.first <= day <= self.last

    def __str__(self) -> str:
        """Return the period as ISO 8601 writes an interval of days."""
        return f"{self.first.isoformat()}/{self.last.isoformat()}"

    @classmethod
    def parse(cls, text: str) -> Period:
        """Read ``2020`` or ``2020-01-01/2020-12-31``; raise ``ValueError`` for other text."""
        first, separator, last = text.strip().partition("/")
        if separator:
            return cls(first=_day(first), last=_day(last))
        if len(first) == 4 and first.isascii() and first.isdigit() and first != "0000":
            return cls.year(int(first))
        raise ValueError("a period is a year or two days: expected 2020 or 2020-01-01/2020-12-31")

    @classmethod
    def year(cls, year: int) -> Period:
        """Return a calendar year."""
        return cls(first=date(year, 1, 1), last=date(year, 12, 31))


def _day(text: str) -> date:
    """Read one day written YYYY-MM-DD."""
    if len(text) != len("2020-01-01"):
        raise ValueError("a day is written YYYY-MM-DD")
    return date.fromisoformat(text)


class Kind(StrEnum):
    """What the cells of a column are."""

    COUNT = "count"
    PERCENT = "percent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; ``places`` are a percent's decimals."""

    key: str
    label: str
    kind: Kind = Kind.COUNT
    places: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row. ``key`` is unique in its table; ``group`` is the printed heading above it; ``level`` 1 is "of which"."""

    key: str
    label: str
    cells: tuple[Cell, ...]
    group: str | None = None
    level: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure beside the table, such as the base of its percents."""

    key: str
    label: str
    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelTable:
    """A counted table. ``number`` is the report's (``1`` to ``8``, ``chart``) or a name; percents are rounded half up."""

    number: str
    title: str
    unit: str
    base: str
    basis: Basis
    period: Period
    count_day: date
    rules_version: str
    calendar_version: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    total: Row | None
    figures: tuple[Figure, ...] = ()
    notes: tuple[str, ...] = ()

    def cell(self, row: str, column: str) -> Cell:
        """Return a cell by the keys of its row (``total`` for the last) and column; raise ``KeyError`` where there is none."""
        keys = [one.key for one in self.columns]
        if column not in keys:
            raise KeyError(column)
        for one in self.all_rows():
            if one.key == row:
                return one.cells[keys.index(column)]
        raise KeyError(row)

    def figure(self, key: str) -> int:
        """Return a figure beside the table; raise ``KeyError`` where there is none."""
        return {figure.key: figure.value for figure in self.figures}[key]

    def all_rows(self) -> Iterator[Row]:
        """Yield the rows, the total last."""
        yield from self.rows
        if self.total is not None:
            yield self.total

    def described(self) -> tuple[tuple[str, str], ...]:
        """Return what the figures depend on, as label and words, in order of reading."""
        return (
            ("unit", self.unit),
            ("base", self.base),
            ("basis", BASIS_WORDS[self.basis]),
            ("period", str(self.period)),
            ("count day", self.count_day.isoformat()),
            ("rules version", self.rules_version),
            ("calendar version", self.calendar_version),
        )

    def as_document(self) -> dict[str, Any]:
        """Return the table in JSON's own types; counts are numbers, percents are text, so that no reader makes floats of them."""
        return {
            "number": self.number,
            "title": self.title,
            "unit": self.unit,
            "base": self.base,
            "basis": self.basis.value,
            "period": str(self.period),
            "count_day": self.count_day.isoformat(),
            "rules_version": self.rules_version,
            "calendar_version": self.calendar_version,
            "columns": [{"key": one.key, "label": one.label, "kind": one.kind.value, "places": one.places} for one in self.columns],
            "rows": [self._row_document(row) for row in self.rows],
            "total": None if self.total is None else self._row_document(self.total),
            "figures": [{"key": one.key, "label": one.label, "value": one.value} for one in self.figures],
            "notes": list(self.notes),
        }

    def _row_document(self, row: Row) -> dict[str, Any]:
        """Return one row in JSON's own types, its cells by column key."""
        cells = zip(self.columns, row.cells, strict=True)
        return {
            "key": row.key,
            "label": row.label,
            "group": row.group,
            "level": row.level,
            "cells": {column.key: str(cell) if isinstance(cell, Decimal) else cell for column, cell in cells},
        }


def percent(part: int, whole: int, places: int) -> Decimal | None:
    """Return ``part`` of ``whole`` in percent, rounded half up to ``places`` decimals by integers alone; None of nothing."""
    if whole == 0:
        return None
    scaled = 100 * 10**places * part
    return Decimal((2 * scaled + whole) // (2 * whole)).scaleb(-places)
