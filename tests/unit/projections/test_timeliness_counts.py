from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import holidays
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.calendar import end_of_day
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import Shard
from domain.local_review.events import LocalReviewInitiated, LocalReviewPublished
from domain.partnership.events import PartnershipEstablished
from domain.rapid_review.events import SentToPanel
from domain.rules import ClockInstance, PartnershipTerms, clock_instances
from projections.deadlines.timeliness import Duty, Grouping, Standing, Timeliness, count_timeliness, dated_duties, undated_clocks
from projections.deadlines.wanted import DeadlineFilter
from projections.oversight.panel_table import Period
from safeguarding.hub.v1.oversight_pb2 import GetTimelinessRequest
from services.cli.synthetic.generator import england_2020
from services.queries.timeliness import TimelinessAsked
from tests.support.builders import (
    BUSINESS_UNIT,
    CASE,
    COUNCIL,
    OTHER_CASE,
    SCHOOL,
    SHARD,
    a_notification,
    a_referral,
    a_withdrawal,
    body_gone,
    done,
    recorded,
)
from tests.unit.cli.test_synthetic import admitted
from tests.unit.projections.test_deadlines import EVERYTHING, RULEBOOK, START, View, log, logs, moment

REPORT = json.loads(Path(__file__).parents[3].joinpath("projections/oversight/panel_2020.json").read_text(encoding="utf-8"))
DUTIES = dated_duties(RULEBOOK.rules)
ALWAYS = (date(2000, 1, 1), date(2099, 12, 31))
ELSEWHERE = Shard("elsewhere")
CLOSED = set(holidays.country_holidays("GB", subdiv="ENG", years=range(2018, 2030)))


@pytest.fixture
def view() -> Iterator[View]:
    opened = View()
    yield opened
    opened.close()


def counted(
    view: View,
    as_of: datetime,
    *,
    period: tuple[date, date] = ALWAYS,
    wanted: DeadlineFilter = EVERYTHING,
    grouping: Grouping | None = None,
) -> dict[tuple[str, str], Timeliness]:
    """Return what there is of each duty of which something fell due, by shard and by what ids begin with."""
    found = count_timeliness(view.at(as_of).list_due(*period, wanted), DUTIES, grouping)
    names = {duty: name for name, duty in DUTIES.items()}
    return {(one.shard, names[one.duty]): one for one in found if one.due}


def counts(found: dict[tuple[str, str], Timeliness], name: str) -> dict[str, int]:
    """Return how a duty's deadlines stand, all together."""
    return {standing.value: count for standing, count in found["", name].counts.items()}


# ── against a count that shares no code with ours ──


def naive_standing(one: ClockInstance, due_on: date, as_of: datetime) -> tuple[str, int | None]:
    """Say how an instance stands, and how many working days late it is."""
    stopped = one.stopped_at is not None and one.stopped_at <= as_of
    if not stopped and one.cancelled_at is not None and one.cancelled_at <= as_of:
        return "cancelled", None
    if one.not_known:
        return "not_known", None
    until = one.stopped_at if stopped and one.stopped_at is not None else as_of
    last = until.astimezone(ZoneInfo("Europe/London")).date()
    if until <= one.due_at if one.due_at is not None else last <= due_on:
        return ("on_time" if stopped else "not_yet_due"), None
    days = [due_on + timedelta(days=number) for number in range(1, (last - due_on).days + 1)]
    late = sum(day.isoweekday() <= 5 and day not in CLOSED for day in days)
    return ("late_authorised" if one.lateness_authorised else "late" if stopped else "overdue"), late


def naive(told: Sequence[Recorded], as_of: datetime, first: date, last: date, *, by_shard: bool) -> dict[tuple[str, str], object]:
    """Count every deadline of a shard's log from the events alone."""
    found: dict[tuple[str, str], list[tuple[str, int | None]]] = {}
    for shard in (SHARD, ELSEWHERE):
        of_shard = [one for one in told if one.shard == shard]
        hours = [one.event.written_confirmation_hours for one in of_shard if isinstance(one.event, PartnershipEstablished)]
        terms = PartnershipTerms(written_confirmation_hours=hours[-1]) if hours else None
        for case in (CASE, OTHER_CASE):
            known = [one for one in of_shard if one.stream.endswith(case) and one.known_at <= as_of and one.scored_at <= as_of]
            for each in clock_instances(known, RULEBOOK.calendar, RULEBOOK.rules, partnership=terms):
                if each.due_on is not None and first <= each.due_on <= last:
                    key = (shard if by_shard else "", each.instance_id.split(":")[0])
                    found.setdefault(key, []).append(naive_standing(each, each.due_on, as_of))
    return {
        key: (Counter(standing for standing, _ in stood), sorted(late for _, late in stood if late is not None))
        for key, stood in found.items()
    }


@settings(max_examples=30)
@given(logs(), logs(), st.integers(-24, 60 * 24), st.integers(-10, 40), st.integers(0, 60), st.sampled_from((None, *Grouping)))
def test_figures_are_those_of_a_naive_count_at_any_moment_of_any_period(
    here: list[Recorded], there: list[Recorded], hours: int, offset_days: int, days: int, grouping: Grouping | None
) -> None:
    elsewhere = [replace(one, shard=ELSEWHERE) for one in there]
    as_of, first = START + timedelta(hours=hours), START.date() + timedelta(days=offset_days)
    last = first + timedelta(days=days)
    view = View()
    view.apply(*here)
    view.apply(*elsewhere)
    found = counted(view, as_of, period=(first, last), grouping=grouping)
    figures = {key: (one.counts, sorted(one.working_days_late)) for key, one in found.items()}
    assert figures == naive([*here, *elsewhere], as_of, first, last, by_shard=grouping is not None)
    assert all(one.due == sum(one.counts.values()) for one in found.values())
    view.close()


def test_the_rapid_reviews_of_england_2020_stand_as_the_panel_printed() -> None:
    view = View()
    shards: dict[str, list[Recorded]] = {}
    for one in admitted(england_2020(REPORT)).log:
        shards.setdefault(one.shard, []).append(one)
    for told in shards.values():
        view.apply(*told)
    year = (date(2020, 1, 1), date(2020, 12, 31))
    reviews = counted(view, end_of_day(date(2021, 3, 31)) - datetime.resolution, period=year)["", "K5B"]
    printed = REPORT["tables"]["table_6"]
    assert reviews.counts[Standing.ON_TIME] == next(row["received"] for row in printed["rows"] if row["band_working_days"] == "1-15")
    assert reviews.due == reviews.decided == printed["reported_total"]["total"]
    view.close()


# ── one standing after the other ──


def test_a_duty_is_met_on_time_late_overdue_or_cancelled(view: View) -> None:
    for number, told in enumerate(
        (
            [(moment(4), a_notification(), COUNCIL), (moment(25), SentToPanel(), BUSINESS_UNIT)],
            [(moment(4), a_notification(), COUNCIL), (moment(26), SentToPanel(), BUSINESS_UNIT)],
            [(moment(4), a_notification(), COUNCIL), (moment(28), SentToPanel(), BUSINESS_UNIT)],
            [(moment(4), a_notification(), COUNCIL)],
            [(moment(4), a_notification(), COUNCIL), (moment(5), a_withdrawal(), COUNCIL)],
        )
    ):
        view.apply(*log(*told, case=f"01890000-0000-7000-8000-00000000c{number:03}", first=10 * number + 1))
    found = counted(view, datetime(2024, 4, 2, 12, 0, tzinfo=UTC))["", "K5B"]
    assert found.counts == {Standing.ON_TIME: 1, Standing.LATE: 2, Standing.OVERDUE: 1, Standing.CANCELLED: 1}
    assert (found.due, found.decided) == (5, 4)
    # Due on 25 March; Good Friday and Easter Monday, 29 March and 1 April, do not count.
    assert (sorted(found.working_days_late), str(found.median_working_days_late), found.longest_working_days_late) == ([1, 3, 4], "3", 4)


def test_the_median_of_two_lies_between_them_and_of_none_is_nothing(view: View) -> None:
    for number, day in enumerate((26, 27)):
        told = [(moment(4), a_notification(), COUNCIL), (moment(day), SentToPanel(), BUSINESS_UNIT)]
        view.apply(*log(*told, case=f"01890000-0000-7000-8000-00000000c{number:03}", first=10 * number + 1))
    assert str(counted(view, moment(28))["", "K5B"].median_working_days_late) == "1.5"
    early = counted(view, moment(20))["", "K5B"]
    assert (early.median_working_days_late, early.longest_working_days_late) == (None, None)


def test_what_is_due_on_the_count_day_is_not_late_on_it_and_an_hour_that_has_passed_is(view: View) -> None:
    view.apply(*log((moment(4), a_notification(), COUNCIL), (moment(5), a_referral(), SCHOOL)))
    assert counts(counted(view, end_of_day(date(2024, 3, 25)) - datetime.resolution), "K5B") == {"not_yet_due": 1}
    assert counts(counted(view, end_of_day(date(2024, 3, 25))), "K5B") == {"overdue": 1}
    assert counts(counted(view, moment(7)), "K9") == {"not_yet_due": 1}
    assert counts(counted(view, moment(7, 13)), "K9") == {"overdue": 1}


def test_lateness_that_the_rules_authorise_stands_apart_whether_met_or_not(view: View) -> None:
    notified = datetime(2020, 4, 6, 12, 0, tzinfo=UTC)
    late = [(notified, a_notification(), COUNCIL), (notified + timedelta(days=60), SentToPanel(), BUSINESS_UNIT)]
    view.apply(*log(*late, first=1))
    view.apply(*log(late[0], case=OTHER_CASE, first=11))
    found = counted(view, notified + timedelta(days=90))["", "K5B"]
    assert found.counts == {Standing.LATE_AUTHORISED: 2}
    assert len(found.working_days_late) == 2


def test_a_deadline_whose_end_was_destroyed_is_counted_as_not_known(view: View) -> None:
    published = recorded(
        LocalReviewPublished(location="Synthetic.", details=done(moment(20))), by=BUSINESS_UNIT, at=moment(20), position=2, imported=True
    )
    view.apply(*log((moment(4), LocalReviewInitiated(decided_on=date(2024, 3, 1)), BUSINESS_UNIT)), body_gone(published))
    assert counts(counted(view, moment(28)), "K10") == {"not_known": 1}


# ── what is asked for ──


def test_a_count_day_is_looked_at_from_its_last_moment_in_london_and_today_from_now() -> None:
    year = Period.year(2024)
    day, now = date(2024, 7, 1), datetime(2024, 7, 2, 9, 0, tzinfo=UTC)
    past = TimelinessAsked.of(GetTimelinessRequest(), year, day, now)
    today = TimelinessAsked.of(GetTimelinessRequest(), year, now.date(), now)
    assert past.as_of == datetime(2024, 7, 1, 22, 59, 59, 999_999, tzinfo=UTC)
    assert today.as_of == now


@pytest.mark.parametrize("later", [(), ((moment(20), SentToPanel(), BUSINESS_UNIT),)], ids=["nothing later", "more said later"])
def test_only_what_falls_due_in_the_period_counts_its_first_and_last_day_included(
    view: View, later: tuple[tuple[datetime, Event, str], ...]
) -> None:
    view.apply(*log((moment(4), a_notification(), COUNCIL), *later))
    due = date(2024, 3, 25)

    def found(first: date, last: date) -> bool:
        return ("", "K5B") in counted(view, moment(8), period=(first, last))

    day = timedelta(days=1)
    assert (found(due, due), found(due - day, due - day), found(due + day, due + day)) == (True, False, False)


def test_a_count_day_in_the_past_knows_nothing_of_what_was_said_later(view: View) -> None:
    view.apply(*log((moment(4), a_notification(), COUNCIL), (moment(25), SentToPanel(), BUSINESS_UNIT)))
    assert counts(counted(view, moment(22)), "K5B") == {"not_yet_due": 1}
    assert counts(counted(view, moment(26)), "K5B") == {"on_time": 1}
    assert counted(view, moment(3)) == {}


def test_every_duty_with_a_day_has_its_line_in_the_order_of_the_rules_and_by_partnership_those_that_fell_due(view: View) -> None:
    view.apply(*log((moment(4), a_notification(), COUNCIL)))
    view.apply(*log((moment(4), a_notification(), COUNCIL), shard=ELSEWHERE))
    due = list(view.at(moment(8)).list_due(*ALWAYS, EVERYTHING))
    together, apart = count_timeliness(due, DUTIES, None), count_timeliness(due, DUTIES, Grouping.PARTNERSHIP)
    assert [one.duty for one in together] == list(DUTIES.values())
    assert [one.due for one in together if one.duty.clock == "K5B"] == [2]
    fallen_due = [one.duty for one in together if one.due]
    assert [(one.shard, one.duty, one.due) for one in apart] == [
        (shard, duty, 1) for shard in sorted((SHARD, ELSEWHERE)) for duty in fallen_due
    ]


def test_only_the_clocks_asked_for_are_counted(view: View) -> None:
    view.apply(*log((moment(4), a_notification(), COUNCIL)))
    assert {name for _, name in counted(view, moment(8), wanted=DeadlineFilter(clocks=frozenset({"K5A", "K5B"})))} == {"K5A", "K5B"}


def test_clocks_either_set_a_day_or_do_not() -> None:
    undated = undated_clocks(RULEBOOK.rules)
    assert undated == ("K7", "K8")
    assert {duty.clock for duty in DUTIES.values()} == {rule.id for rule in RULEBOOK.rules.clocks} - set(undated)


def test_a_duty_that_the_rules_no_longer_have_is_counted_under_its_clock(view: View) -> None:
    view.apply(*log((moment(4), a_notification(), COUNCIL)))
    due = view.at(moment(8)).list_due(*ALWAYS, DeadlineFilter(clocks=frozenset({"K5B"})))
    (found,) = count_timeliness(due, {}, None)
    assert (found.duty, found.due) == (Duty(clock=DUTIES["K5B"].clock, part="", name="K5B"), 1)
