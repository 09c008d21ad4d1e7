"""How a clock stands at a moment, and why: every day that did not count, who owes whom, what would stop it, what did."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from typing import Final, assert_never

from domain.calendar import Calendar, OutsideCalendar, SkippedDay, add_working_days, london_day, skipped_days, working_days_between
from domain.kernel.rules import Finding, Rule, rule
from domain.rules.catalogue import ClockRule, ClockRules, Direction, Unit
from domain.rules.instances import ClockInstance, EventReference, Reason

DUE_SOON_WORKING_DAYS: Final = 2

LATE_WITHOUT_REASONS: Final[Rule] = rule(
    "deadline.late_without_reasons",
    "A local review may be published late only with recorded reasons given to the Panel and the Secretary of State.",
    "Working Together 2018 ch. 4 and 2023 ch. 5",
    "Record incident.delay_explained for the clock, telling the Panel and the Secretary of State.",
)


class State(StrEnum):
    """How a clock stands."""

    RUNNING = "running"
    DUE_SOON = "due_soon"
    DUE_TODAY = "due_today"
    OVERDUE = "overdue"
    MET_ON_TIME = "met_on_time"
    MET_LATE = "met_late"
    LATE_AUTHORISED = "late_authorised"
    DONE = "done"
    """Met, where no number is set: neither on time nor late."""
    CANCELLED = "cancelled"
    NOT_KNOWN = "not_known"


class Band(StrEnum):
    """The groups of a list of deadlines, most urgent first."""

    OVERDUE = "overdue"
    DUE_TODAY = "due_today"
    DUE_SOON = "due_soon"
    LATER = "later"
    NOT_KNOWN = "not_known"
    MET = "met"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a clock stands at ``as_of``."""

    state: State
    band: Band
    working_days: int | None = None
    """Late or overdue by so many working days (0: by less than one); None where it does not apply or lies outside the calendar."""
    because: str = ""
    """Why it is cancelled, authorised or not known."""
    findings: tuple[Finding, ...] = ()

    @property
    def words(self) -> str:
        """Say it in words, as in a list of deadlines."""
        match self.state:
            case State.OVERDUE:
                return f"overdue by {_working_days(self.working_days)}"
            case State.MET_LATE:
                return f"met {_working_days(self.working_days)} late"
            case State.LATE_AUTHORISED:
                met = "met" if self.band is Band.MET else "not met"
                return f"late, authorised ({self.because}): {met}, {_working_days(self.working_days)} late"
            case State.CANCELLED | State.NOT_KNOWN:
                return f"{self.state.value.replace('_', ' ')} ({self.because})"
            case State.RUNNING | State.DUE_SOON | State.DUE_TODAY | State.MET_ON_TIME | State.DONE:
                return self.state.value.replace("_", " ")
            case _:
                assert_never(self.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A deadline that explains itself."""

    instance: ClockInstance
    rule: ClockRule
    status: Status
    counted: str
    """The length in words."""
    skipped: tuple[SkippedDay, ...]
    """Every day between day 0 and the due day that did not count, in date order; empty for months and hours, where all count."""
    would_stop: tuple[str, ...]
    stopped_by: EventReference | None
    cancelled_by: EventReference | None
    reasons: tuple[Reason, ...]
    lateness: str
    """The relaxation under which lateness is authorised, in words; empty if there is none."""
    lines: tuple[str, ...]
    """All of it to read, one statement a line, but for the days in ``skipped``."""


def status(instance: ClockInstance, as_of: datetime, calendar: Calendar) -> Status:
    """Return how an instance, computed from what was known at ``as_of``, stands at that moment; due at the end of the London due day."""
    stopped_at = instance.stopped_at if instance.stopped_at is not None and instance.stopped_at <= as_of else None
    if stopped_at is None and instance.cancelled_at is not None and instance.cancelled_at <= as_of:
        return Status(state=State.CANCELLED, band=Band.CANCELLED, because=instance.cancelled_because)
    if instance.not_known:
        band = Band.NOT_KNOWN if stopped_at is None else Band.MET
        return Status(state=State.NOT_KNOWN, band=band, because=instance.not_known)
    if instance.due_on is None:
        return Status(state=State.DONE, band=Band.MET) if stopped_at is not None else Status(state=State.RUNNING, band=Band.LATER)
    if _in_time(instance, stopped_at or as_of, instance.due_on):
        return Status(state=State.MET_ON_TIME, band=Band.MET) if stopped_at is not None else _open(instance.due_on, as_of, calendar)
    return _late(instance, stopped_at, as_of, calendar)


def _late(instance: ClockInstance, stopped_at: datetime | None, as_of: datetime, calendar: Calendar) -> Status:
    """Return the status of a clock that is past its due day, met or not."""
    working_days = None if instance.due_on is None else _count(instance.due_on, london_day(stopped_at or as_of), calendar)
    findings = (Finding(rule=LATE_WITHOUT_REASONS),) if instance.reasons_missing else ()
    band = Band.OVERDUE if stopped_at is None else Band.MET
    if instance.lateness_authorised:
        because = instance.lateness_authorised
        return Status(state=State.LATE_AUTHORISED, band=band, working_days=working_days, because=because, findings=findings)
    state = State.OVERDUE if stopped_at is None else State.MET_LATE
    return Status(state=state, band=band, working_days=working_days, findings=findings)


def _in_time(instance: ClockInstance, at: datetime, due_on: date) -> bool:
    """Tell whether ``at`` is not past the last instant, or the end of the last London day."""
    return at <= instance.due_at if instance.due_at is not None else london_day(at) <= due_on


def _open(due_on: date, as_of: datetime, calendar: Calendar) -> Status:
    """Return the status of a clock that runs and is in time."""
    today = london_day(as_of)
    if due_on <= today:
        return Status(state=State.DUE_TODAY, band=Band.DUE_TODAY)
    if due_on < first_day_not_soon(today, calendar):
        return Status(state=State.DUE_SOON, band=Band.DUE_SOON)
    return Status(state=State.RUNNING, band=Band.LATER)


def first_day_not_soon(today: date, calendar: Calendar) -> date:
    """Return the first day that is more than two working days after ``today``; the day itself where the calendar ends before it."""
    try:
        return add_working_days(today, DUE_SOON_WORKING_DAYS + 1, calendar)
    except OutsideCalendar:
        return today


def _count(start: date, end: date, calendar: Calendar) -> int | None:
    """Count working days, or say None outside the calendar."""
    try:
        return working_days_between(start, end, calendar)
    except OutsideCalendar:
        return None


def explain(instance: ClockInstance, as_of: datetime, calendar: Calendar, rules: ClockRules) -> Explanation:
    """Explain an instance as it stands at ``as_of``: rule and source, day 0, skipped days, parties, what stops it and what did."""
    clock = rules.named(instance.rule)
    now = status(instance, as_of, calendar)
    counts_days = clock.unit is Unit.WORKING_DAYS and instance.day_zero is not None and instance.due_on is not None
    skipped = skipped_days(instance.day_zero, instance.due_on, calendar) if counts_days and instance.day_zero and instance.due_on else ()
    relaxed = [each for each in rules.relaxations if each.id == instance.lateness_authorised]
    lateness = f"{relaxed[0].id}: {relaxed[0].words} ({relaxed[0].source})" if relaxed else ""
    explanation = Explanation(
        instance=instance,
        rule=clock,
        status=now,
        counted=_counted(clock, instance),
        skipped=skipped,
        would_stop=tuple(dict.fromkeys(trigger.words for trigger in clock.stops)),
        stopped_by=instance.stopped_by,
        cancelled_by=instance.cancelled_by,
        reasons=instance.reasons,
        lateness=lateness,
        lines=(),
    )
    return _with_lines(explanation)


def _with_lines(explanation: Explanation) -> Explanation:
    """Write an explanation out."""
    instance, clock = explanation.instance, explanation.rule
    lines = [f"{clock.id} {clock.name}: {explanation.status.words}", f"Rule: {clock.source} ({clock.force})"]
    lines.append(f"Owed by {_words(instance.owed_by)} to {_words(instance.owed_to)}")
    if instance.day_zero is not None:
        day_name = "Planned day" if clock.direction is Direction.BACKWARD else "Day 0"
        amended = "" if instance.start_amended_by is None else f", as corrected by {_event(instance.start_amended_by)}"
        lines.append(f"{day_name}: {_day(instance.day_zero)}, by {_event(instance.started_by)}{amended}")
    lines.append(f"Length: {explanation.counted}")
    if instance.due_at is not None:
        lines.append(f"Due: {instance.due_at.isoformat(timespec='minutes')}")
    elif instance.due_on is not None:
        lines.append(f"Due: end of {_day(instance.due_on)}")
    lines.extend(f"Stops when {words}" for words in explanation.would_stop)
    if instance.stopped_by is not None and instance.stopped_at is not None:
        lines.append(f"Stopped: {_day(london_day(instance.stopped_at))}, by {_event(instance.stopped_by)}")
    if instance.cancelled_by is not None:
        lines.append(f"Cancelled: {instance.cancelled_because}, by {_event(instance.cancelled_by)}")
    lines.extend(
        f"Reason given for lateness: {_words(each.reason)}, expected {_day(each.expected_on)}, "
        f"told {', '.join(map(_words, each.told)) or 'nobody'}"
        for each in explanation.reasons
    )
    lines.extend(f"Finding {each.rule.id}: {each.rule.words} {each.rule.mend}" for each in explanation.status.findings)
    lines.extend(f"Remark: {each}" for each in instance.remarks)
    lines.extend(_marks(instance))
    if explanation.lateness:
        lines.append(explanation.lateness)
    if instance.not_known:
        lines.append(f"Not known: {instance.not_known}")
    return replace(explanation, lines=tuple(lines))


def _marks(instance: ClockInstance) -> list[str]:
    """Say what a reader must know about how it was recorded."""
    marks = {
        "Imported history: counts as asserted": instance.imported,
        "Recorded late: its start was asserted more than one working day before it was recorded": instance.start_recorded_late,
        "Recorded late: what stopped it was asserted more than one working day before it was recorded": instance.stop_recorded_late,
    }
    return [words for words, applies in marks.items() if applies]


def _counted(clock: ClockRule, instance: ClockInstance) -> str:
    """Say a length in words."""
    match clock.unit:
        case Unit.WORKING_DAYS:
            return f"{instance.length} working days{' before' if clock.direction is Direction.BACKWARD else ''}, day 0 not counted"
        case Unit.CALENDAR_MONTHS:
            return f"{instance.length} calendar months, clamped to the month's end"
        case Unit.HOURS:
            return f"{instance.length} hours elapsed"
        case Unit.AT_ONCE:
            return "at once: the same day"
        case Unit.OWN_DAY:
            return "the request's own due day"
        case Unit.NONE:
            return "no number is set"
        case _:
            assert_never(clock.unit)


def _working_days(count: int | None) -> str:
    """Say how many working days."""
    if count is None:
        return "a time outside the calendar"
    if count == 0:
        return "less than a working day"
    return f"{count} working day{'' if count == 1 else 's'}"


def _words(code: str) -> str:
    """Write a code as words."""
    return code.replace("_", " ")


def _day(day: date) -> str:
    """Write a day with its weekday."""
    return f"{day:%a} {day.day} {day:%b %Y}"


def _event(reference: EventReference) -> str:
    """Name an event of the log."""
    return f"{reference.event_type} of {reference.agency_id} at position {reference.position}"
