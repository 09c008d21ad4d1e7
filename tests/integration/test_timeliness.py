"""How timely duties were kept, as the Panel is told over the wire: the same as the list of deadlines says one by one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import pytest

from domain.calendar import end_of_day
from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import Event
from domain.rapid_review.events import RapidReviewOpened, SentToPanel
from domain.rules import bundled_rulebook
from safeguarding.hub.v1 import oversight_pb2 as pb
from services.queries.asking import stamp
from services.queries.timeliness import BASE, BASIS, UNIT
from tests.support.builders import BUSINESS_UNIT, COUNCIL, SHARD, a_notification, a_withdrawal, an_awareness, done, on
from tests.support.hub import RunningHub, running_hub
from tests.support.kinds_of_hub import KINDS, settings_of
from tests.support.reading import ASKS, CALL_SECONDS, Queries, a_uuid, caught_up, queries

NOTIFIED: Final = datetime(2023, 3, 6, 10, 0, tzinfo=UTC)
DUE: Final = date(2023, 3, 27)
COUNT_DAY: Final = date(2023, 3, 31)
WORDS: Final = {
    "met on time": "on_time",
    "met 1 working day late": "late",
    "met 3 working days late": "late",
    "overdue by 4 working days": "overdue",
    "cancelled (the notification was withdrawn)": "cancelled",
}
"""How the list says in words what is counted."""


@pytest.fixture(scope="module", params=KINDS)
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub of either kind, with five cases of March 2023."""
    with ExitStack() as stack:
        settings = stack.enter_context(settings_of(request.param, request))
        served = stack.enter_context(running_hub(tmp_path_factory.mktemp("hub"), **settings))
        for days in (21, 22, 24):
            served.run(tell(served, (BUSINESS_UNIT, RapidReviewOpened(details=at(1))), (BUSINESS_UNIT, SentToPanel(details=at(days)))))
        served.run(tell(served))
        served.run(tell(served, (COUNCIL, replace(a_withdrawal(), details=at(2)))))
        yield served


def at(days: int) -> Any:
    return done(NOTIFIED + timedelta(days=days))


async def tell(hub: RunningHub, *rest: tuple[str, Event]) -> None:
    """Enter the history of a case that the council notified on 6 March."""
    case_id = a_uuid()
    notified = a_notification(awareness=an_awareness(NOTIFIED - timedelta(days=3)), incident_on=on(date(2023, 3, 1)), details=at(0))
    for agency_id, event in ((COUNCIL, notified), *rest):
        (receipt,) = await hub.said(agency_id, event, case_id=case_id, imported=True)
    await caught_up(hub, receipt.position)


async def timeliness(asks: Queries, **asked: Any) -> pb.GetTimelinessResponse:
    """Ask how timely what fell due in March 2023 was, at the end of the month."""
    march = {"period_from": "2023-03-01", "period_until": "2023-03-31", "count_day": COUNT_DAY.isoformat()}
    return await asks.oversight.GetTimeliness(pb.GetTimelinessRequest(**{**march, **asked}), metadata=ASKS, timeout=CALL_SECONDS)


async def test_the_figures_are_labelled_and_those_of_the_deadlines_listed_one_by_one(hub: RunningHub) -> None:
    rulebook = bundled_rulebook()
    async with queries(hub, PANEL_ID) as asks:
        told = await timeliness(asks, clocks=["K5B"])
        listed = await asks.owed(clocks=["K5B"], as_of=stamp(end_of_day(COUNT_DAY) - datetime.resolution))
    (duty,) = told.duties
    assert {one.due_on for one in listed.deadlines} == {DUE.isoformat()}
    expected = Counter(WORDS[one.status] for one in listed.deadlines)
    assert {name: getattr(duty, name) for name in set(WORDS.values())} == expected
    assert (duty.shard, duty.clock, duty.name, duty.due) == ("", "K5B", "Send the rapid review to the Panel, from notification", 5)
    assert (duty.on_time, duty.late, duty.overdue, duty.cancelled) == (1, 2, 1, 1)
    assert (duty.on_time_percent, duty.median_working_days_late, duty.longest_working_days_late) == ("25.0", "3", 4)
    assert (told.unit, told.base, told.basis) == (UNIT, BASE, BASIS)
    assert (told.period, told.count_day) == ("2023-03-01/2023-03-31", "2023-03-31")
    assert (told.rules_version, told.calendar_version) == (rulebook.rules.version, rulebook.calendar.version)
    assert "K7, K8 set no day: nothing of theirs falls due" in told.notes


async def test_as_at_an_earlier_count_day_nothing_of_what_was_done_later_is_known(hub: RunningHub) -> None:
    async with queries(hub, PANEL_ID) as asks:
        (duty,) = (await timeliness(asks, clocks=["K5B"], count_day="2023-03-24")).duties
    assert (duty.due, duty.not_yet_due, duty.cancelled) == (5, 4, 1)
    assert (duty.on_time_percent, duty.median_working_days_late, duty.HasField("longest_working_days_late")) == ("", "", False)


async def test_every_duty_is_named_and_by_partnership_only_what_fell_due(hub: RunningHub) -> None:
    async with queries(hub, PANEL_ID) as asks:
        together, apart = await timeliness(asks), await timeliness(asks, by="partnership")
    clocks = dict.fromkeys(rule.id for rule in bundled_rulebook().rules.clocks)
    assert list(dict.fromkeys(one.clock for one in together.duties)) == [one for one in clocks if one not in {"K7", "K8"}]
    assert [one.part for one in together.duties if one.clock == "K2"] == ["", "other_area"]
    assert [(one.shard, one.clock, one.due) for one in apart.duties] == [(SHARD, one.clock, one.due) for one in together.duties if one.due]


async def test_what_was_just_said_is_counted_for_whoever_asks_for_its_position(hub: RunningHub) -> None:
    (receipt,) = await hub.said(COUNCIL, a_notification(), case_id=a_uuid())
    least: Any = [{"shard": SHARD, "position": receipt.position}]
    period = {"period_from": "2023-04-01", "period_until": "2100-12-31", "count_day": ""}
    async with queries(hub, PANEL_ID) as asks:
        told = await timeliness(asks, clocks=["K5B"], min_positions=least, **period)
    assert [(one.due, one.not_yet_due) for one in told.duties] == [(1, 1)]
    assert [(one.shard, one.position >= receipt.position) for one in told.freshness] == [(SHARD, True)]
