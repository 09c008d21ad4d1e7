"""England 2020, written out from the printed counts: our tables equal the Panel's, and its printed faults show as such."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from domain.incident.codes import Characteristic, DeathCategory, Ethnicity, HarmCategory, NotificationType, OtherDeathKind
from domain.kernel.events import Recorded
from domain.local_review.events import LocalReviewInitiated
from domain.rapid_review.events import SentToPanel
from projections.oversight.definitions import count_table
from projections.oversight.panel_table import PanelTable, Period
from projections.oversight.published import Comparison, Verdict, bundled_report, compare, known_faults
from tests.support.builders import BUSINESS_UNIT, COUNCIL, a_child, a_notification, done, on, recorded
from tests.support.naive_tables import working_days
from tests.support.oversight_rows import population_of

REPORT = bundled_report()
TABLES = REPORT["tables"]
COUNT_DAY = date(2021, 3, 31)
ENTERED_AT = datetime(2026, 2, 2, tzinfo=UTC)
TYPES = [NotificationType.DEATH] * 206 + [NotificationType.SERIOUS_HARM] * 267 + [NotificationType.OTHER] * 9
ETHNICITIES = (
    Ethnicity.INDIAN,
    Ethnicity.BLACK_AFRICAN,
    Ethnicity.MIXED_OTHER,
    Ethnicity.WHITE_BRITISH,
    Ethnicity.ARAB,
    Ethnicity.NOT_RECORDED,
)


def spread(values: Any, counts: list[int]) -> list[Any]:
    """Return each value as often as its count says."""
    return [value for value, count in zip(values, counts, strict=True) for _ in range(count)]


def numbers(name: str) -> list[int]:
    return [row["number"] for row in TABLES[name]["rows"]]


def characteristics_of(place: int) -> tuple[Characteristic, ...]:
    """Give each characteristic to the first incidents of each type, as many as are printed."""
    kind = TYPES[place]
    within = place - TYPES.index(kind)
    rows = TABLES["table_4"]["rows"]
    return tuple(code for code, row in zip(list(Characteristic)[:12], rows, strict=True) if within < row[kind.value])


def review_days() -> list[date | None]:
    """For 445 incidents notified on 4 March 2020: the day their review came, as printed by band; None if not by March 2021."""
    first = {"1-15": date(2020, 3, 25), "16-25": date(2020, 4, 1), "26-59": date(2020, 5, 1), "60+": date(2020, 9, 1)}
    days: list[date | None] = []
    for row in TABLES["table_6"]["rows"]:
        days += [first[row["band_working_days"]]] * row["received"]
    return [*days, *[None] * 24]


def england_2020() -> Iterator[Recorded]:
    """Yield 482 imported notifications of 514 children, and the rapid reviews due in 2020."""
    deaths = spread(DeathCategory, numbers("table_2"))
    harms = spread(HarmCategory, numbers("table_3"))
    kinds = spread(OtherDeathKind, [row["number"] for row in next(iter(TABLES["table_2"]["subrows"].values()))])
    ethnic = spread(ETHNICITIES, numbers("table_1"))
    reviews = review_days()
    position = 0
    for place, kind in enumerate(TYPES):
        case = f"01890000-0000-7000-8000-{place:012d}"
        category = deaths[place] if place < len(deaths) else None
        child = a_child(
            f"{case[:-12]}{place:012x}",
            ethnicity=ethnic.pop(),
            death_category=category,
            other_death_kind=kinds.pop() if category is DeathCategory.OTHER_MALTREATMENT_RELATED else None,
            harm_category=None if category is not None else harms[place - len(deaths)],
        )
        more = [a_child(f"{case[:-12]}{place + 1000:012x}", index_child=False, ethnicity=ethnic.pop())] if place < 514 - 482 else []
        notified_at = datetime(2020, 3, 4, 12, tzinfo=UTC) if place < 445 else datetime(2020, 12, 21, 12, tzinfo=UTC)
        notification = a_notification(
            details=done(notified_at),
            notification_type=kind,
            incident_on=on(date(2020, 3, 1)),
            children=(child, *more),
            characteristics=characteristics_of(place),
        )
        position += 1
        yield recorded(notification, by=COUNCIL, at=ENTERED_AT, position=position, stream=f"incident-{case}", imported=True)
        received_on = reviews[place] if place < 445 else date(2021, 2, 1)
        if received_on is not None:
            position += 1
            sent = SentToPanel(details=done(datetime(received_on.year, received_on.month, received_on.day, 9, tzinfo=UTC)))
            yield recorded(sent, by=BUSINESS_UNIT, at=ENTERED_AT, position=position, stream=f"rapid_review-{case}", imported=True)


@pytest.fixture(scope="module")
def counted() -> dict[str, PanelTable]:
    everyone = population_of(list(england_2020()), COUNT_DAY)
    return {number: count_table(everyone, number, Period.year(2020)) for number in ("chart", "1", "2", "3", "4", "6", "5", "decisions")}


def faults(comparison: Comparison) -> list[tuple[str, str, object, object, str | None]]:
    return [
        (line.row, line.column, line.ours, line.printed, None if line.flag is None else line.flag.id) for line in comparison.differences
    ]


@pytest.mark.parametrize(
    ("number", "figures", "expected"),
    [
        ("chart", 7, []),
        ("1", 13, []),
        (
            "2",
            31,
            [
                ("overt_filicide", "percent", Decimal("4.9"), Decimal("4.8"), "F08"),
                ("suicide", "percent", Decimal("20.4"), Decimal("20.3"), "F08"),
            ],
        ),
        ("3", 22, []),
        (
            "4",
            88,
            [
                ("domestic_abuse", "serious_harm_percent", Decimal("42.7"), Decimal("42.6"), "F09"),
                ("elective_home_education", "total_percent", Decimal("3.1"), Decimal("3.3"), "F10"),
            ],
        ),
        ("6", 20, [("16-25", "percent", Decimal(43), 44, "F11")]),
    ],
)
def test_our_tables_equal_the_printed_counts_and_differ_only_where_the_print_contradicts_itself(
    counted: dict[str, PanelTable],
    number: str,
    figures: int,
    expected: list[tuple[str, str, object, object, str | None]],
) -> None:
    comparison = compare(counted[number], REPORT)
    assert len(comparison.lines) == figures
    assert faults(comparison) == expected
    assert {line.verdict for line in comparison.differences} <= {Verdict.PRINTED_FAULT}
    assert comparison.match


def test_the_reviews_due_in_2020_and_those_waiting_are_the_printed_ones(counted: dict[str, PanelTable]) -> None:
    table = counted["6"]
    assert table.total is not None
    assert table.total.cells == (421, 24, 445, Decimal(100))
    assert table.figure("fewest_days_waiting") == table.figure("most_days_waiting") == working_days(date(2020, 3, 4), COUNT_DAY)


def test_one_incident_too_many_is_a_difference_and_no_fault_of_the_print() -> None:
    log = list(england_2020())
    extra = a_notification(details=done(datetime(2020, 3, 4, tzinfo=UTC)), incident_on=on(date(2020, 3, 1)))
    log.append(recorded(extra, at=ENTERED_AT, position=10_000, stream="incident-01890000-0000-7000-8000-ffffffffffff", imported=True))
    comparison = compare(count_table(population_of(log, COUNT_DAY), "2", Period.year(2020)), REPORT)
    assert not comparison.match
    assert ("fatal_physical_abuse", "number", 23, 22, None) in faults(comparison)
    assert ("total", "number", 207, 206, None) in faults(comparison)


def test_a_count_that_the_report_does_not_print_is_a_difference() -> None:
    log = list(england_2020())
    extra = a_notification(
        details=done(datetime(2020, 3, 4, tzinfo=UTC)),
        incident_on=on(date(2020, 3, 1)),
        children=(a_child(death_category=None),),
    )
    log.append(recorded(extra, at=ENTERED_AT, position=10_000, stream="incident-01890000-0000-7000-8000-ffffffffffff", imported=True))
    comparison = compare(count_table(population_of(log, COUNT_DAY), "2", Period.year(2020)), REPORT)
    assert ("not_recorded", "number", 1, None, None) in faults(comparison)


def test_a_table_that_the_report_does_not_print_has_nothing_to_compare(counted: dict[str, PanelTable]) -> None:
    assert compare(counted["5"], REPORT).lines == ()


def test_local_reviews_initiated_are_one_fewer_than_the_printed_total_as_its_years_are() -> None:
    log = []
    years = spread((2018, 2019, 2020), [2, 72, 182])
    for place, year in enumerate(years):
        case = f"01890000-0000-7000-8000-{place:012d}"
        at = datetime(year, 11, 2, 12, tzinfo=UTC)
        log.append(recorded(a_notification(), at=at, position=2 * place + 1, stream=f"incident-{case}"))
        initiated = LocalReviewInitiated(decided_on=at.date())
        log.append(recorded(initiated, at=at, position=2 * place + 2, stream=f"local_review-{case}"))
    period = Period(first=date(2018, 6, 29), last=date(2020, 12, 31))
    comparison = compare(count_table(population_of(log, COUNT_DAY), "local_reviews_initiated", period), REPORT)
    assert faults(comparison) == [("total", "number", 256, 257, "F01")]
    assert comparison.match


def test_every_flag_of_the_data_file_is_known_and_those_named_are_there() -> None:
    flags = known_faults(REPORT)
    assert [flag.id for flag in flags] == [one["id"] for one in REPORT["flags"]]
    nobody = population_of([], COUNT_DAY)
    empty = {number: count_table(nobody, number, Period.year(2020)) for number in ("2", "3", "4", "6", "decisions")}
    remarks = {number: [flag.id for flag in compare(table, REPORT).remarks] for number, table in empty.items()}
    assert remarks == {
        "2": ["F03", "F08"],
        "3": ["F05", "F06", "F07", "F12"],
        "4": ["F04", "F09", "F10"],
        "6": ["F11", "F16", "F20"],
        "decisions": ["F14", "F16"],
    }
