"""Whom a table counts: the cases of the hub as at the end of a count day, and those of them that a basis brings into a period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from domain.kernel.ids import AgencyId
from projections.oversight.cases import Case, case_as_at, is_unreadable
from projections.oversight.facts import CaseKey, Fact, Verdict
from projections.oversight.panel_table import Basis, Period
from projections.oversight.review_clock import ReviewClock
from projections.oversight.timeliness import ReviewTime, owes_review, review_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """The notified cases of every shard at the end of a count day, withdrawn ones left out."""

    count_day: date
    clock: ReviewClock
    cases: tuple[Case, ...]
    unreadable: int
    """Cases whose notification cannot be read any more: nothing of them can be counted."""
    councils: frozenset[AgencyId]
    """Every council that was ever enrolled."""
    verdicts: Mapping[CaseKey, Sequence[Verdict]]
    """What was found broken and mended in every case, also past the count day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """The cases that one table counts."""

    population: Population
    basis: Basis
    period: Period
    cases: tuple[Case, ...]

    def time(self, case: Case) -> ReviewTime:
        """Return the time of the rapid review of a case that was brought in by its requested completion day."""
        time = review_time(case, self.population.count_day, self.population.clock)
        if time is None:
            raise ValueError(f"case {case.case_id} has no requested completion day")
        return time


def population(
    facts: Mapping[CaseKey, Sequence[Fact]],
    councils: Mapping[AgencyId, str],
    verdicts: Mapping[CaseKey, Sequence[Verdict]],
    count_day: date,
    clock: ReviewClock,
) -> Population:
    """Compose every case as at the end of ``count_day``; raise ``OutsideCalendar`` for a day that the calendar does not cover."""
    clock.calendar.working_days_up_to(count_day)
    composed = (case_as_at(said, count_day) for said in facts.values())
    return Population(
        count_day=count_day,
        clock=clock,
        cases=tuple(case for case in composed if case is not None and case.withdrawn_on is None),
        unreadable=sum(is_unreadable(said, count_day) for said in facts.values()),
        councils=frozenset(councils),
        verdicts=verdicts,
    )


def counted(everyone: Population, basis: Basis, period: Period) -> Counted:
    """Return the cases that ``basis`` brings into ``period``."""
    cases = tuple(case for case in everyone.cases if _brought_in(case, everyone, basis, period))
    return Counted(population=everyone, basis=basis, period=period, cases=cases)


def uncountable_reviews(everyone: Population) -> int:
    """Count the rapid reviews without a requested completion day: their days lie outside the calendar, or no rule was in force."""
    clock, day = everyone.clock, everyone.count_day
    return sum(owes_review(case) and review_time(case, day, clock) is None for case in everyone.cases)


def _brought_in(case: Case, everyone: Population, basis: Basis, period: Period) -> bool:
    """Tell whether the day that ``basis`` names exists and lies in the period."""
    day = _day(case, everyone, basis)
    return day is not None and day in period


def _day(case: Case, everyone: Population, basis: Basis) -> date | None:
    """Return the day of a case that a basis looks at."""
    match basis:
        case Basis.OCCURRED:
            return case.notice.occurred_on
        case Basis.NOTIFIED:
            return case.notified_on
        case Basis.DUE:
            time = review_time(case, everyone.count_day, everyone.clock) if owes_review(case) else None
            return None if time is None else time.due_on
        case Basis.RECEIVED:
            return case.received_on
        case Basis.INITIATED:
            return None if case.local_review is None else case.local_review.decided_on
        case Basis.LOCAL_REVIEW_RECEIVED:
            return None if case.local_review is None else case.local_review.with_panel_on
