"""A calendar of working days: Monday to Friday less bank holidays, for the years it covers and no others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from itertools import accumulate
from types import MappingProxyType

_SATURDAY = 5


class OutsideCalendar(ValueError):
    """A day lies in a year whose bank holidays the calendar does not know; it is never guessed."""

    def __init__(self, day: date | None, first_year: int, last_year: int) -> None:
        """Keep the day (None: past the end of what ``date`` can say) and the years covered."""
        self.day = day
        super().__init__(f"{'a day' if day is None else day.isoformat()} is outside the calendar, which covers {first_year} to {last_year}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Calendar:
    """Bank holidays by day, with their names. Equal content has an equal version; counting is O(1)."""

    first_year: int
    last_year: int
    holidays: Mapping[date, str] = field(hash=False)
    version: str = field(init=False)
    """Hexadecimal SHA-256 over the years covered, the days and their names."""
    _counts: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """For every day covered, how many working days there are from the first day covered up to and including it."""
    _working: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The ordinals of all working days covered, in order."""
    _first: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Freeze the holidays and index every day once."""
        outside = [day for day in self.holidays if not self.first_year <= day.year <= self.last_year]
        if self.first_year > self.last_year or outside:
            raise ValueError("a calendar covers whole years in order, and its holidays lie in them")
        frozen = MappingProxyType(dict(sorted(self.holidays.items())))
        first = date(self.first_year, 1, 1).toordinal()
        ordinals = range(first, date(self.last_year, 12, 31).toordinal() + 1)
        closed = {day.toordinal() for day in frozen}
        # An ordinal is a day's number from Monday 1 January of year 1 on, that day being 1.
        open_days = [(ordinal + 6) % 7 < _SATURDAY and ordinal not in closed for ordinal in ordinals]
        object.__setattr__(self, "holidays", frozen)
        object.__setattr__(self, "version", _digest(self.first_year, self.last_year, frozen))
        object.__setattr__(self, "_first", first)
        object.__setattr__(self, "_counts", tuple(accumulate(open_days, initial=0))[1:])
        object.__setattr__(self, "_working", tuple(ordinal for ordinal, is_open in zip(ordinals, open_days, strict=True) if is_open))

    def covers(self, day: date) -> bool:
        """Tell whether the bank holidays of the day's year are known."""
        return self.first_year <= day.year <= self.last_year

    def working_days_up_to(self, day: date) -> int:
        """Count the working days from the first day covered up to and including ``day``; raise ``OutsideCalendar`` outside."""
        if not self.first_year <= day.year <= self.last_year:
            raise OutsideCalendar(day, self.first_year, self.last_year)
        return self._counts[day.toordinal() - self._first]

    def working_day(self, place: int) -> date:
        """Return the working day that is number ``place`` (1, 2 …) of all covered; raise ``OutsideCalendar`` past either end."""
        if not 1 <= place <= len(self._working):
            raise OutsideCalendar(None, self.first_year, self.last_year)
        return date.fromordinal(self._working[place - 1])

    def is_working_day(self, day: date) -> bool:
        """Tell whether ``day`` is Monday to Friday and no bank holiday; raise ``OutsideCalendar`` outside the years covered."""
        return self.closed_because(day) is None

    def closed_because(self, day: date) -> str | None:
        """Return why ``day`` is no working day, the bank holiday's name before the weekend's; None for a working day."""
        if not self.covers(day):
            raise OutsideCalendar(day, self.first_year, self.last_year)
        name = self.holidays.get(day)
        if name is not None:
            return name
        if day.weekday() < _SATURDAY:
            return None
        return "Saturday" if day.weekday() == _SATURDAY else "Sunday"


def _digest(first_year: int, last_year: int, holidays: Mapping[date, str]) -> str:
    """Digest a calendar's content; each part is on a line of its own, and names hold no line ends."""
    lines = [f"{first_year} {last_year}", *(f"{day.isoformat()} {name}" for day, name in holidays.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
