"""Working days of England and Wales, calendar months, elapsed hours and London days; the calendar is always an argument."""

from domain.calendar.bundled import bundled
from domain.calendar.counting import (
    SkippedDay,
    add_hours,
    add_months,
    add_working_days,
    elapsed_hours,
    end_of_day,
    skipped_days,
    working_days_between,
)
from domain.calendar.days import Calendar, OutsideCalendar
from domain.kernel.events import london_day

__all__ = [
    "Calendar",
    "OutsideCalendar",
    "SkippedDay",
    "add_hours",
    "add_months",
    "add_working_days",
    "bundled",
    "elapsed_hours",
    "end_of_day",
    "london_day",
    "skipped_days",
    "working_days_between",
]
