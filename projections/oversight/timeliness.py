"""When a rapid review was asked for, how many working days it took or has taken, and in which of the Panel's bands that falls."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Final

from domain.calendar import OutsideCalendar, working_days_between
from projections.oversight.cases import Case
from projections.oversight.review_clock import ReviewClock

BANDS: Final = (("1-15", 15), ("16-25", 25), ("26-59", 59), ("60+", None))
"""The Panel's bands of working days from notification (annual report 2020, table 6), each with its last day. Day 0 falls in the first."""


class Timeliness(StrEnum):
    """How a rapid review stands against its requested completion day (clock K5B)."""

    NOT_OWED = "not_owed"
    NOT_COUNTABLE = "not_countable"
    ON_TIME = "on_time"
    LATE = "late"
    LATE_AUTHORISED = "late_authorised"
    NOT_YET_DUE = "not_yet_due"
    OVERDUE = "overdue"
    OVERDUE_AUTHORISED = "overdue_authorised"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewTime:
    """The time of one rapid review at the end of a count day."""

    due_on: date
    working_days: int
    """From notification (day 0) up to and including the day received, or the count day where it is not received."""
    received: bool
    relaxed: bool
    """The Panel had relaxed the period for this due day (K6)."""

    @property
    def band(self) -> str:
        """The Panel's band that the working days fall in."""
        return band_of(self.working_days)

    def standing(self, count_day: date, received_on: date | None) -> Timeliness:
        """Return how it stands: late from the first day after the due day on."""
        if (received_on or count_day) <= self.due_on:
            return Timeliness.NOT_YET_DUE if received_on is None else Timeliness.ON_TIME
        if received_on is None:
            return Timeliness.OVERDUE_AUTHORISED if self.relaxed else Timeliness.OVERDUE
        return Timeliness.LATE_AUTHORISED if self.relaxed else Timeliness.LATE


def band_of(working_days: int) -> str:
    """Return the band of a number of working days; what was received on day 0 falls in the first."""
    return next(name for name, last in BANDS if last is None or working_days <= last)


def owes_review(case: Case) -> bool:
    """Tell whether a rapid review follows: not where withdrawn, nor where only a care leaver's death is notified."""
    return case.withdrawn_on is None and not case.notice.care_leaver_only


def review_time(case: Case, count_day: date, clock: ReviewClock) -> ReviewTime | None:
    """Return the time of a case's rapid review; None where its days lie outside the calendar or no rule was in force."""
    try:
        due_on = clock.due_on(case.notified_on)
        if due_on is None:
            return None
        working_days = working_days_between(case.notified_on, case.received_on or count_day, clock.calendar)
    except OutsideCalendar:
        return None
    return ReviewTime(due_on=due_on, working_days=working_days, received=case.received_on is not None, relaxed=clock.is_relaxed(due_on))
