"""What stands out in a story: months without contact, and presentations that repeat. Both look only at lines the viewer may see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

from domain.sharing.events import Tone
from projections.chronology.projection import Kind
from projections.chronology.story import Line

REPEAT_WITHIN_DAYS: Final = 182
REPEAT_MIN_ENTRIES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Whole calendar months, from the first to the last, in which no agency recorded a contact; each given by its first day."""

    first_month: date
    last_month: date
    months: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """Repeat presentations: at least three negative entries of one agency, none more than half a year after the one before."""

    agency_id: str
    first_on: date
    last_on: date
    places: tuple[tuple[int, int], ...]
    """Position and ordinal of each entry."""


def gaps(lines: Iterable[Line]) -> tuple[Gap, ...]:
    """Return the runs of months without an entry between the first entry and the last, in order."""
    months = sorted({_month(entry.when.day) for entry in _standing_entries(lines)})
    return tuple(
        Gap(first_month=_first_day(earlier + 1), last_month=_first_day(later - 1), months=later - earlier - 1)
        for earlier, later in pairwise(months)
        if later - earlier > 1
    )


def patterns(lines: Iterable[Line]) -> tuple[Pattern, ...]:
    """Return every longest run of repeat presentations, by agency and day."""
    by_agency: dict[str, list[Line]] = {}
    for entry in _standing_entries(lines):
        if entry.account is not None and entry.account.tone is Tone.NEGATIVE:
            by_agency.setdefault(entry.agency_id, []).append(entry)
    return tuple(_pattern(run) for agency in sorted(by_agency) for run in _runs(by_agency[agency]) if len(run) >= REPEAT_MIN_ENTRIES)


def _standing_entries(lines: Iterable[Line]) -> list[Line]:
    """Return the entries in force, by day."""
    entries = [line for line in lines if line.kind is Kind.ENTRY and line.replaced_by_position is None]
    return sorted(entries, key=lambda line: (line.when.day, line.position, line.ordinal))


def _runs(entries: Sequence[Line]) -> list[list[Line]]:
    """Cut entries, by day, wherever more than half a year lies between two."""
    runs: list[list[Line]] = []
    for entry in entries:
        if runs and (entry.when.day - runs[-1][-1].when.day).days <= REPEAT_WITHIN_DAYS:
            runs[-1].append(entry)
        else:
            runs.append([entry])
    return runs


def _pattern(run: Sequence[Line]) -> Pattern:
    """Name one run."""
    return Pattern(
        agency_id=run[0].agency_id,
        first_on=run[0].when.day,
        last_on=run[-1].when.day,
        places=tuple((line.position, line.ordinal) for line in run),
    )


def _month(day: date) -> int:
    """Return the number of a day's month, counted through the years."""
    return day.year * 12 + day.month - 1


def _first_day(month: int) -> date:
    """Return the first day of a numbered month."""
    return date(month // 12, month % 12 + 1, 1)
