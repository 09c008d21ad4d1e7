"""Counting along a calendar: day 0 is never counted, day 1 is the next working day."""

from __future__ import annotations

import calendar as months
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from domain.calendar.days import Calendar
from domain.kernel.events import LONDON


@dataclass(frozen=True, slots=True, kw_only=True)
class SkippedDay:
    """A day that did not count, and why: Saturday, Sunday, or the name of a bank holiday."""

    day: date
    reason: str


def working_days_between(start: date, end: date, calendar: Calendar) -> int:
    """Count the working days after ``start`` up to and including ``end`` (0 on the same day); negative where ``end`` is earlier. O(1)."""
    return calendar.working_days_up_to(end) - calendar.working_days_up_to(start)


def add_working_days(day: date, count: int, calendar: Calendar) -> date:
    """Return the working day ``count`` after ``day`` (before it where negative); ``day`` itself, working or not, for 0."""
    if count == 0:
        calendar.working_days_up_to(day)
        return day
    place = calendar.working_days_up_to(day)
    if count < 0 and not calendar.is_working_day(day):
        place += 1
    return calendar.working_day(place + count)


def skipped_days(start: date, end: date, calendar: Calendar) -> tuple[SkippedDay, ...]:
    """List the days that did not count on the way from ``start`` (not looked at) to ``end``, in date order, forward or backward."""
    if end >= start:
        days = [start + timedelta(days=step) for step in range(1, (end - start).days + 1)]
    else:
        days = [end + timedelta(days=step) for step in range((start - end).days)]
    reasons = ((day, calendar.closed_because(day)) for day in days)
    return tuple(SkippedDay(day=day, reason=reason) for day, reason in reasons if reason is not None)


def add_months(day: date, count: int) -> date:
    """Return the same day number ``count`` calendar months on, clamped to the month's end; no roll-forward to a working day."""
    year, month = divmod(day.year * 12 + day.month - 1 + count, 12)
    return date(year, month + 1, min(day.day, months.monthrange(year, month + 1)[1]))


def add_hours(instant: datetime, hours: int) -> datetime:
    """Return the instant ``hours`` elapsed hours on, in UTC: a clock change neither adds nor takes one."""
    return instant.astimezone(UTC) + timedelta(hours=hours)


def elapsed_hours(start: datetime, end: datetime) -> int:
    """Count the whole hours that elapsed from ``start`` to ``end`` (0 where ``end`` is not later)."""
    return max((end.astimezone(UTC) - start.astimezone(UTC)) // timedelta(hours=1), 0)


def end_of_day(day: date) -> datetime:
    """Return the instant at which ``day`` is over in London (the start of the next, in UTC): what is done before it is done that day."""
    return datetime.combine(day + timedelta(days=1), time(), tzinfo=LONDON).astimezone(UTC)
