"""Every event's moments are whole, not in the future, and never backdated by import."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from types import UnionType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.areas import AREAS
from domain.kernel.decider import Context
from domain.kernel.events import EVENT_TYPES, Details, Event, Precision, When
from domain.kernel.ids import Stream
from domain.kernel.rules import Refused
from domain.kernel.times import PLANNED, RULES, check_times, done_on, is_whole, last_day
from tests.support.builders import (
    CASE,
    COUNCIL,
    LIVE_FROM,
    MONDAY,
    SHARD,
    a_notification,
    a_referral,
    a_share,
    an_awareness,
    an_entry,
    an_event_id,
    an_information_request,
    done,
    on,
)

BEFORE_LIVE = datetime(2023, 12, 31, 23, 59, tzinfo=UTC)
"""Winter: UTC is London's time."""
ON_LIVE = datetime(2024, 1, 1, tzinfo=UTC)
HISTORY = datetime(2021, 5, 4, 9, tzinfo=UTC)


def _context(*, imported: bool = False, live_from: date | None = LIVE_FROM, now: datetime = MONDAY) -> Context:
    return Context(
        agency_id=COUNCIL,
        event_id=an_event_id(1),
        shard=SHARD,
        stream=Stream(f"incident-{CASE}"),
        now=now,
        imported=imported,
        live_from=live_from,
    )


def _refusal(event: Event, context: Context) -> str:
    with pytest.raises(Refused) as refused:
        check_times(event, context)
    return str(refused.value.rule.id)


def _import(**changes: object) -> Event:
    return replace(
        a_notification(incident_on=on(date(2021, 5, 1)), awareness=an_awareness(HISTORY), details=done(HISTORY)),
        **changes,  # type: ignore[arg-type]
    )


def test_a_live_event_of_today_passes() -> None:
    check_times(a_notification(), _context())


def test_what_is_planned_may_lie_ahead() -> None:
    check_times(an_information_request(due_on=date(2031, 1, 1)), _context())


def test_nothing_is_asserted_more_than_a_day_ahead() -> None:
    late = MONDAY + timedelta(days=1, seconds=1)
    assert _refusal(replace(a_referral(), details=done(late)), _context()) == "time.future"
    check_times(replace(a_referral(), details=done(late - timedelta(seconds=1))), _context())


def test_a_day_after_tomorrow_is_in_the_future() -> None:
    assert _refusal(a_notification(incident_on=on(date(2024, 3, 6))), _context()) == "time.future"
    check_times(a_notification(incident_on=on(date(2024, 3, 5))), _context())


def test_a_moment_deep_inside_an_event_is_looked_at() -> None:
    assert _refusal(a_share(an_entry(occurred=on(date(2024, 4, 1)))), _context()) == "time.future"
    assert _refusal(a_notification(awareness=an_awareness(datetime(2024, 4, 1, tzinfo=UTC))), _context()) == "time.future"


def test_a_period_ends_no_later_than_it_is_recorded() -> None:
    period = When(precision=Precision.PERIOD, on=date(2024, 2, 1), until_on=date(2024, 4, 1))
    assert _refusal(a_share(an_entry(occurred=period)), _context()) == "time.future"


@pytest.mark.parametrize(
    "moment",
    [
        When(precision=Precision.INSTANT),
        When(precision=Precision.DAY, at=MONDAY),
        When(precision=Precision.MONTH),
        When(precision=Precision.YEAR),
        When(precision=Precision.PERIOD, on=date(2024, 2, 1)),
        When(precision=Precision.PERIOD, on=date(2024, 2, 2), until_on=date(2024, 2, 1)),
    ],
)
def test_a_moment_carries_what_its_precision_says(moment: When) -> None:
    assert not is_whole(moment)
    assert _refusal(a_notification(incident_on=moment), _context()) == "time.incomplete"
    assert _refusal(replace(a_referral(), details=Details(occurred=moment)), _context()) == "time.incomplete"


def test_imported_history_says_when_it_was_done() -> None:
    assert _refusal(_import(details=None), _context(imported=True)) == "time.imported_needs_done_at"
    assert _refusal(_import(details=Details()), _context(imported=True)) == "time.imported_needs_done_at"


def test_imported_history_lies_before_the_live_day() -> None:
    check_times(_import(), _context(imported=True))
    check_times(_import(details=done(BEFORE_LIVE)), _context(imported=True))
    assert _refusal(_import(details=done(ON_LIVE)), _context(imported=True)) == "time.imported_after_live"
    assert _refusal(_import(details=done(HISTORY, became_known_at=ON_LIVE)), _context(imported=True)) == "time.imported_after_live"
    assert _refusal(_import(incident_on=on(LIVE_FROM)), _context(imported=True)) == "time.imported_after_live"
    assert _refusal(_import(awareness=an_awareness(ON_LIVE)), _context(imported=True)) == "time.imported_after_live"


def test_the_live_day_begins_at_midnight_in_london() -> None:
    last_minute_of_june = datetime(2024, 6, 30, 22, 59, tzinfo=UTC)
    context = _context(imported=True, live_from=date(2024, 7, 1), now=datetime(2024, 9, 1, tzinfo=UTC))
    check_times(_import(details=done(last_minute_of_june)), context)
    assert _refusal(_import(details=done(last_minute_of_june + timedelta(minutes=1))), context) == "time.imported_after_live"


def test_an_agency_without_a_live_day_imports_nothing() -> None:
    assert _refusal(_import(), _context(imported=True, live_from=None)) == "time.imported_after_live"


def test_a_live_event_may_speak_of_days_before_and_after_the_live_day() -> None:
    check_times(_import(), _context())
    check_times(a_notification(details=done(MONDAY)), _context())


def test_the_day_something_was_done_is_the_day_in_london() -> None:
    assert done_on(a_referral(), _context(now=datetime(2024, 7, 1, 23, 30, tzinfo=UTC))) == date(2024, 7, 2)
    assert done_on(replace(a_referral(), details=done(HISTORY)), _context()) == date(2021, 5, 4)


def test_the_last_day_a_moment_may_be() -> None:
    assert last_day(When(precision=Precision.INSTANT, at=MONDAY)) == date(2024, 3, 4)
    assert last_day(on(date(2024, 3, 4))) == date(2024, 3, 4)
    assert last_day(When(precision=Precision.MONTH, on=date(2024, 2, 1))) == date(2024, 2, 29)
    assert last_day(When(precision=Precision.YEAR, on=date(2024, 1, 1))) == date(2024, 12, 31)
    assert last_day(When(precision=Precision.PERIOD, on=date(2024, 1, 1), until_on=date(2024, 1, 9))) == date(2024, 1, 9)


@given(st.dates(min_value=date(1990, 1, 1), max_value=date(2040, 1, 1)))
def test_a_day_is_in_the_future_exactly_from_the_day_after_tomorrow_on(day: date) -> None:
    event = a_notification(incident_on=on(day))
    if day > date(2024, 3, 5):
        assert _refusal(event, _context()) == "time.future"
    else:
        check_times(event, _context())


def _date_fields(kind: type) -> set[str]:
    """Name every field of a class, or of a class inside it, that holds a day or an instant."""
    named: set[str] = set()
    for name, hint in typing.get_type_hints(kind).items():
        for inner in _inner(hint):
            if inner in (date, datetime, When):
                named.add(name)
            elif dataclasses.is_dataclass(inner):
                named |= _date_fields(typing.cast(type, inner))
    return named


def _inner(hint: object) -> list[object]:
    if isinstance(hint, UnionType) or typing.get_origin(hint) is not None:
        return [one for argument in typing.get_args(hint) for one in _inner(argument)]
    return [hint]


def test_every_day_and_instant_of_every_event_is_known_as_asserted_or_planned() -> None:
    assert {area.category for area in AREAS} >= {"incident", "sharing"}
    asserted = set[str]().union(*(_date_fields(kind) for kind in EVENT_TYPES.values())) - PLANNED
    assert sorted(asserted) == [
        "aware_at",
        "became_known_at",
        "born_on",
        "decided_on",
        "died_on",
        "done_at",
        "held_on",
        "incident_on",
        "informed_on",
        "notified_at",
        "occurred",
    ]


def test_every_rule_of_times_has_an_authority() -> None:
    assert [rule.id for rule in RULES if not (rule.source and rule.words)] == []
