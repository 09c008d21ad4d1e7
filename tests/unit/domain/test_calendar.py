from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import holidays
import pytest
from govuk_bank_holidays.bank_holidays import BankHolidays  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import (
    Calendar,
    OutsideCalendar,
    SkippedDay,
    add_hours,
    add_months,
    add_working_days,
    bundled,
    elapsed_hours,
    end_of_day,
    london_day,
    skipped_days,
    working_days_between,
)

DAY = date.fromisoformat
ENGLAND = bundled()
DAYS = st.dates(date(2013, 1, 1), date(2027, 12, 31))

FORWARD = [
    ("2020-05-01", 5, "2020-05-11"),
    ("2020-05-01", 15, "2020-05-26"),
    ("2020-12-24", 5, "2021-01-05"),
    ("2020-12-24", 15, "2021-01-19"),
    ("2021-01-05", 15, "2021-01-26"),
    ("2022-05-27", 5, "2022-06-07"),
    ("2023-04-28", 5, "2023-05-09"),
    ("2024-03-23", 5, "2024-04-02"),
]


@pytest.mark.parametrize(("start", "count", "end"), FORWARD)
def test_working_days_forward_skip_weekends_and_bank_holidays(start: str, count: int, end: str) -> None:
    assert add_working_days(DAY(start), count, ENGLAND) == DAY(end)


@pytest.mark.parametrize(("start", "count", "end"), [("2020-12-31", 7, "2020-12-18"), ("2021-01-04", 7, "2020-12-21")])
def test_working_days_backward_do_not_count_the_first_day(start: str, count: int, end: str) -> None:
    assert add_working_days(DAY(start), -count, ENGLAND) == DAY(end)


@pytest.mark.parametrize(
    ("start", "count", "end"),
    [
        ("2020-08-31", 6, "2021-02-28"),
        ("2019-08-31", 6, "2020-02-29"),
        ("2020-12-15", 6, "2021-06-15"),
        ("2020-03-31", -1, "2020-02-29"),
        ("2020-11-30", 1, "2020-12-30"),
    ],
)
def test_months_keep_the_day_number_clamped_to_the_month_end(start: str, count: int, end: str) -> None:
    assert add_months(DAY(start), count) == DAY(end)


def test_a_month_end_on_a_weekend_is_not_rolled_forward() -> None:
    assert add_months(DAY("2020-08-31"), 6).strftime("%A") == "Sunday"


def test_nothing_added_is_the_day_itself_even_a_sunday() -> None:
    assert add_working_days(DAY("2020-05-03"), 0, ENGLAND) == DAY("2020-05-03")


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [
        ("2020-05-07", "2020-05-07", 0),
        ("2020-05-07", "2020-05-08", 0),
        ("2020-05-07", "2020-05-11", 1),
        ("2020-05-09", "2020-05-10", 0),
        ("2020-05-11", "2020-05-07", -1),
        ("2020-12-24", "2021-01-19", 15),
    ],
)
def test_working_days_between_do_not_count_day_zero(start: str, end: str, count: int) -> None:
    assert working_days_between(DAY(start), DAY(end), ENGLAND) == count


@given(DAYS, st.integers(1, 60))
def test_counting_comes_back_to_what_was_added(start: date, count: int) -> None:
    end = add_working_days(start, count, ENGLAND)
    assert ENGLAND.is_working_day(end)
    assert working_days_between(start, end, ENGLAND) == count
    assert add_working_days(end, -count, ENGLAND) <= start
    assert (end - start).days == count + len(skipped_days(start, end, ENGLAND))


@given(DAYS, DAYS)
def test_the_index_counts_as_looking_at_every_day_would(one: date, other: date) -> None:
    start, end = min(one, other), max(one, other)
    days = [start + timedelta(days=step) for step in range(1, (end - start).days + 1)]
    naive = sum(day.weekday() < 5 and day not in ENGLAND.holidays for day in days)
    assert working_days_between(start, end, ENGLAND) == naive
    assert working_days_between(end, start, ENGLAND) == -naive


def test_every_skipped_day_says_why() -> None:
    assert skipped_days(DAY("2020-05-07"), DAY("2020-05-12"), ENGLAND) == (
        SkippedDay(day=DAY("2020-05-08"), reason="Early May bank holiday (VE day)"),
        SkippedDay(day=DAY("2020-05-09"), reason="Saturday"),
        SkippedDay(day=DAY("2020-05-10"), reason="Sunday"),
    )


def test_days_skipped_on_the_way_back_leave_out_the_day_counted_from() -> None:
    skipped = skipped_days(DAY("2020-12-28"), DAY("2020-12-24"), ENGLAND)
    assert [each.reason for each in skipped] == ["Christmas Day", "Saturday", "Sunday"]


@pytest.mark.parametrize("day", ["2011-12-30", "2029-01-02"])
def test_a_day_outside_the_calendar_is_never_guessed(day: str) -> None:
    with pytest.raises(OutsideCalendar, match="covers 2012 to 2028"):
        ENGLAND.is_working_day(DAY(day))
    with pytest.raises(OutsideCalendar, match=day):
        working_days_between(DAY("2020-01-02"), DAY(day), ENGLAND)


def test_counting_past_the_end_of_the_calendar_is_refused() -> None:
    assert add_working_days(DAY("2028-12-28"), 1, ENGLAND) == DAY("2028-12-29")
    with pytest.raises(OutsideCalendar):
        add_working_days(DAY("2028-12-28"), 2, ENGLAND)
    with pytest.raises(OutsideCalendar):
        add_working_days(DAY("2012-01-03"), -1, ENGLAND)


def test_the_version_is_a_digest_of_the_content() -> None:
    plain = Calendar(first_year=2020, last_year=2020, holidays={DAY("2020-05-08"): "VE day"})
    same = Calendar(first_year=2020, last_year=2020, holidays={DAY("2020-05-08"): "VE day"})
    assert (plain, plain.version, hash(plain)) == (same, same.version, hash(same))
    others = [
        Calendar(first_year=2020, last_year=2020, holidays={DAY("2020-05-08"): "May Day"}),
        Calendar(first_year=2020, last_year=2020, holidays={DAY("2020-05-04"): "VE day"}),
        Calendar(first_year=2020, last_year=2021, holidays={DAY("2020-05-08"): "VE day"}),
    ]
    assert len({plain.version, *(other.version for other in others)}) == 4


def test_a_holiday_outside_the_years_covered_is_refused() -> None:
    with pytest.raises(ValueError, match="whole years"):
        Calendar(first_year=2020, last_year=2020, holidays={DAY("2021-05-03"): "May Day"})


def test_the_bundled_days_are_those_published_on_gov_uk() -> None:
    published = {each["date"] for each in BankHolidays(use_cached_holidays=True).get_holidays(division=BankHolidays.ENGLAND_AND_WALES)}
    assert {day for day in ENGLAND.holidays if 2015 <= day.year <= 2028} == {day for day in published if 2015 <= day.year <= 2028}


def test_the_bundled_days_are_those_that_the_law_gives() -> None:
    computed = holidays.country_holidays("GB", subdiv="ENG", years=range(2012, 2029))
    weekdays = {day for day in computed if day.weekday() < 5}
    assert set(ENGLAND.holidays) == weekdays


def test_the_bundled_calendar_is_read_once() -> None:
    assert bundled() is bundled()
    assert (ENGLAND.first_year, ENGLAND.last_year) == (2012, 2028)


def test_a_day_ends_at_london_midnight_in_winter_and_summer() -> None:
    assert end_of_day(DAY("2024-01-15")) == datetime(2024, 1, 16, 0, 0, tzinfo=UTC)
    assert end_of_day(DAY("2024-07-15")) == datetime(2024, 7, 15, 23, 0, tzinfo=UTC)
    assert london_day(datetime(2024, 7, 15, 23, 0, tzinfo=UTC)) == DAY("2024-07-16")


def test_the_days_on_which_clocks_change_last_23_and_25_hours() -> None:
    assert end_of_day(DAY("2024-03-31")) - end_of_day(DAY("2024-03-30")) == timedelta(hours=23)
    assert end_of_day(DAY("2024-10-27")) - end_of_day(DAY("2024-10-26")) == timedelta(hours=25)


def test_hours_are_elapsed_hours_across_a_clock_change() -> None:
    start = datetime(2024, 3, 30, 12, 0, tzinfo=UTC)
    assert add_hours(start, 48) == datetime(2024, 4, 1, 12, 0, tzinfo=UTC)
    assert elapsed_hours(start, datetime(2024, 4, 1, 11, 59, tzinfo=UTC)) == 47
    assert elapsed_hours(start, start - timedelta(hours=3)) == 0
