"""The checks of time that every event passes before its area judges it: whole, not in the future, and never backdated by import."""

from __future__ import annotations

import calendar
from dataclasses import fields, is_dataclass
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Final, get_args, get_type_hints

from domain.kernel.decider import Context
from domain.kernel.events import Event, Precision, When, london_day
from domain.kernel.rules import Refused, Rule, rule

_SOURCE: Final = "Hub rule: two axes of time (asserted and recorded)"

INCOMPLETE: Final = rule(
    "time.incomplete",
    "A moment known to the instant has an instant; any other has its first day, and a period its last day, not before the first.",
    _SOURCE,
)
FUTURE: Final = rule("time.future", "Nothing is asserted to have happened more than one day after it is recorded.", _SOURCE)
IMPORTED_NEEDS_DONE_AT: Final = rule(
    "time.imported_needs_done_at", "Imported history counts by asserted instants, so it says when the step was done.", _SOURCE
)
IMPORTED_AFTER_LIVE: Final = rule(
    "time.imported_after_live",
    "Imported history asserts nothing on or after the day its agency went live, so that it cannot be used to backdate.",
    _SOURCE,
)
RULES: Final[tuple[Rule, ...]] = (INCOMPLETE, FUTURE, IMPORTED_NEEDS_DONE_AT, IMPORTED_AFTER_LIVE)

PLANNED: Final = frozenset({"arrangements_start_on", "due_on", "effective_on", "expected_on", "live_from", "planned_on", "until_on"})
"""Fields that speak of what is to come: they may lie ahead of the event that names them."""

_TOLERANCE: Final = timedelta(days=1)


def check_times(event: Event, context: Context) -> None:
    """Raise ``Refused`` unless every moment the event asserts is whole, not in the future and, if imported, before the live day."""
    moments = _moments(event, [])
    for _, moment in moments:
        if isinstance(moment, When) and not is_whole(moment):
            raise Refused(INCOMPLETE)
    asserted = _asserted(moments)
    latest = context.now + _TOLERANCE
    latest_day = london_day(latest)
    for name, value in asserted:
        if value > (latest if isinstance(value, datetime) else latest_day):
            raise Refused(FUTURE, f"{name} is more than one day after the event would be recorded")
    if context.imported:
        _check_imported(event, asserted, context.live_from)


def is_whole(moment: When) -> bool:
    """Tell whether a moment carries what its precision says it does."""
    match moment.precision:
        case Precision.INSTANT:
            return moment.at is not None
        case Precision.PERIOD:
            return moment.on is not None and moment.until_on is not None and moment.on <= moment.until_on
        case _:
            return moment.on is not None


def last_day(moment: When) -> date:
    """Return the last London day the moment may be; ``When.day`` is the first."""
    match moment.precision:
        case Precision.MONTH:
            return moment.day.replace(day=calendar.monthrange(moment.day.year, moment.day.month)[1])
        case Precision.YEAR:
            return moment.day.replace(month=12, day=31)
        case Precision.PERIOD:
            return moment.until_on or moment.day
        case Precision.INSTANT | Precision.DAY:
            return moment.day


def done_on(event: Event, context: Context) -> date:
    """Return the London day on which the agency says the step was done; the day of recording if it does not say."""
    said = None if event.details is None else event.details.done_at
    return london_day(context.now if said is None else said)


def _check_imported(event: Event, asserted: list[tuple[str, date | datetime]], live_from: date | None) -> None:
    if event.details is None or event.details.done_at is None:
        raise Refused(IMPORTED_NEEDS_DONE_AT)
    if live_from is None:
        raise Refused(IMPORTED_AFTER_LIVE, "the sender has no live day, so it has no history to import")
    for name, value in asserted:
        if _day(value) >= live_from:
            raise Refused(IMPORTED_AFTER_LIVE, f"{name} is not before the sender's live day {live_from.isoformat()}")


def _day(value: date | datetime) -> date:
    return london_day(value) if isinstance(value, datetime) else value


@cache
def _dated(cls: Any) -> tuple[str, ...]:
    """Return the fields of a dataclass that may hold a moment, at any depth: looking at every field of every event is slow."""
    if not is_dataclass(cls):
        return ()
    hints = get_type_hints(cls)
    return tuple(one.name for one in fields(cls) if _may_hold_moment(hints[one.name]))


def _may_hold_moment(hint: Any) -> bool:
    """Tell whether a value of this type is a moment or has one inside."""
    if isinstance(hint, type) and not get_args(hint):
        return issubclass(hint, date) or (is_dataclass(hint) and (hint is When or bool(_dated(hint))))
    return any(_may_hold_moment(part) for part in get_args(hint))


def _moments(thing: Any, found: list[tuple[str, date | When]]) -> list[tuple[str, date | When]]:
    """Add every moment inside a dataclass to ``found``, by the name of its field; what a ``When`` is made of follows it."""
    kind: Any = type(thing)
    for name in _dated(kind):
        value = getattr(thing, name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, date):
                found.append((name, one))
            elif one is not None:
                if isinstance(one, When):
                    found.append((name, one))
                _moments(one, found)
    return found


def _asserted(moments: list[tuple[str, date | When]]) -> list[tuple[str, date | datetime]]:
    """Return every instant and day by the name of its field; a period's last day counts as asserted, a plan's does not."""
    return [(name, _asserted_day(value) if isinstance(value, When) else value) for name, value in moments if name not in PLANNED]


def _asserted_day(moment: When) -> date:
    return last_day(moment) if moment.precision is Precision.PERIOD else moment.day
