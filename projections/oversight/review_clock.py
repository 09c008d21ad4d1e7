"""The Panel's clock for rapid reviews (K5B), taken from the dated rules; day 0 is the day of the notification."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from domain.calendar import Calendar, add_working_days
from domain.kernel.ids import ClockId
from domain.rules.catalogue import ClockRule, ClockRules, Relaxation, Unit

PANEL_CLOCK: Final = ClockId("K5B")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewClock:
    """When the Panel asks for a rapid review; counts with one calendar and one edition of the rules, both named by version."""

    calendar: Calendar
    rules: tuple[ClockRule, ...]
    relaxations: tuple[Relaxation, ...]
    rules_version: str

    @classmethod
    def of(cls, rules: ClockRules, calendar: Calendar) -> ReviewClock:
        """Take the clock out of the catalogue; raise ``ValueError`` where it is not counted in working days."""
        rows = tuple(row for row in rules.clocks if row.id == PANEL_CLOCK)
        if not rows or any(row.unit is not Unit.WORKING_DAYS for row in rows):
            raise ValueError(f"clock {PANEL_CLOCK}: expected a length in working days")
        relaxations = tuple(one for one in rules.relaxations if one.of == PANEL_CLOCK)
        return cls(calendar=calendar, rules=rows, relaxations=relaxations, rules_version=rules.version)

    def due_on(self, notified_on: date) -> date | None:
        """Return the requested completion day of a notification; None on a day no rule is in force. Raises ``OutsideCalendar``."""
        length = next((row.length for row in self.rules if row.in_force_on(notified_on)), None)
        return None if length is None else add_working_days(notified_on, length, self.calendar)

    def is_relaxed(self, due_on: date) -> bool:
        """Tell whether being late is authorised for a review due that day (K6)."""
        return any(one.due_from <= due_on <= one.due_to for one in self.relaxations)
