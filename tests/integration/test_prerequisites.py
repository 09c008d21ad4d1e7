"""What still stands before a planned publication: who is told of it, from when on, until when, and in which words."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

import pytest

from domain.incident.events import ParallelProceedingUpdated
from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import Event, london_day
from domain.kernel.ids import AgencyId
from domain.kernel.rules import Rule
from domain.local_review import rules
from domain.local_review.events import (
    AnonymisationApproved,
    AnonymisationCheck,
    ConflictDeclared,
    CopyKind,
    CopyProvided,
    CopyRecipient,
    LocalReviewInitiated,
    LocalReviewPublished,
    PublicationDeclined,
    PublicationRescheduled,
    PublicationScheduled,
    ReportCompleted,
    ReviewerAppointed,
    ReviewerRemoved,
)
from domain.rapid_review.events import Decision, DecisionMade, RapidReviewOpened
from safeguarding.hub.v1 import chronology_pb2 as pb
from services.bootstrap import now
from services.eventstore.port import Accepted, Append, Expectation, ProposedEvent
from services.trust.keystore import case_key_id
from tests.support.builders import (
    BUSINESS_UNIT,
    CHILD,
    COUNCIL,
    ICB,
    PROCEEDING,
    SCHOOL,
    SHARD,
    STRANGER,
    a_notification,
    a_proceeding,
    an_id,
    an_information_request,
    corrects,
    done,
    on,
)
from tests.support.command import ran
from tests.support.hub import RunningHub, running_hub
from tests.support.reading import Queries, a_uuid, queries, refusal

REVIEWER: Final = an_id(41)
DAY: Final = london_day(now()) + timedelta(days=60)
BEGINS: Final[tuple[Event, ...]] = (
    LocalReviewInitiated(decided_on=date(2023, 6, 1)),
    ReviewerAppointed(reviewer_id=REVIEWER, experience="Synthetic experience."),
)
REPORT: Final = ReportCompleted(executive_summary="Synthetic summary.", document_sha256=bytes(32))
APPROVED: Final = AnonymisationApproved(by_role="Head of safeguarding", checks=tuple(AnonymisationCheck))
SCHEDULED: Final = PublicationScheduled(planned_on=DAY)
COPIES: Final = tuple(CopyProvided(recipient=recipient, copy_kind=CopyKind.FULL_REPORT) for recipient in CopyRecipient)
CLEARED: Final = ParallelProceedingUpdated(proceeding_id=PROCEEDING, restricts_publication=False, summary="Synthetic clearance.")
PUBLISHED: Final = LocalReviewPublished(location="https://example.test/report")
ALL: Final = (rules.NEEDS_REPORT, rules.NOT_ANONYMISED, rules.COPIES_MISSING, rules.LIVE_PROCEEDING)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One hub for all tests, which the command finds too: each test uses a case of its own."""
    with running_hub(tmp_path_factory.mktemp("hub")) as running:
        running.settings.address_file.write_text(running.address + "\n")
        yield running


class Review:
    """A case with a local review, beside a proceeding that restrains publication; a school is linked to it."""

    def __init__(self, hub: RunningHub) -> None:
        self.hub = hub
        self.case_id = a_uuid()
        self.position = 0

    async def said(self, *events: Event, by: AgencyId = BUSINESS_UNIT, imported: bool = False) -> None:
        """Have an agency say something more."""
        for event in events:
            (receipt,) = await self.hub.said(by, event, case_id=self.case_id, imported=imported)
            self.position = receipt.position

    async def told(self, asks: Queries, known_at: datetime | None = None) -> pb.GetChronologyResponse:
        """Return the chronology as somebody is told it."""
        return await asks.story(self.case_id, min_position=self.position, known_at=known_at)

    async def open(self, asks: Queries, known_at: datetime | None = None) -> list[str]:
        """Return the rules that stand before publication, as somebody is told them."""
        return [one.rule for one in (await self.told(asks, known_at)).open_prerequisites]


async def a_review(hub: RunningHub, *events: Event, begins: tuple[Event, ...] = BEGINS) -> Review:
    """Have a case told until a local review begins, and then its business unit say more."""
    review = Review(hub)
    await review.said(a_notification(incident_on=on(date(2023, 5, 1))), a_proceeding(), by=COUNCIL)
    await review.said(an_information_request(a_uuid(), due_on=london_day(now())))
    await review.said(RapidReviewOpened(), DecisionMade(decision=Decision.LOCAL_REVIEW, rationale="Synthetic."))
    await review.said(*begins, *events)
    return review


def ids(*expected: Rule) -> list[str]:
    """Return rules by id."""
    return [rule.id for rule in expected]


async def test_what_stands_before_publication_is_listed_once_it_is_scheduled_and_gets_less_until_nothing_does(hub: RunningHub) -> None:
    review = await a_review(hub)
    async with queries(hub, BUSINESS_UNIT) as unit:
        assert await review.open(unit) == []
        await review.said(SCHEDULED)
        assert await review.open(unit) == ids(*ALL)
        for event, rest in ((REPORT, ALL[1:]), (APPROVED, ALL[2:]), (COPIES[0], ALL[2:]), (COPIES[1], ALL[2:]), (COPIES[2], ALL[3:])):
            await review.said(event)
            assert await review.open(unit) == ids(*rest), event
        await review.said(CLEARED, by=COUNCIL)
        assert await review.open(unit) == []
        await review.said(ConflictDeclared(reviewer_id=REVIEWER, nature="Synthetic interest."))
        assert await review.open(unit) == ids(rules.CONFLICTED_REVIEWER)
        await review.said(ReviewerRemoved(reviewer_id=REVIEWER, reason="Synthetic reason."))
        assert await review.open(unit) == []


async def test_each_is_told_with_what_is_so_what_mends_it_and_the_planned_day(hub: RunningHub) -> None:
    review = await a_review(hub, REPORT, SCHEDULED, *COPIES)
    async with queries(hub, BUSINESS_UNIT) as unit:
        first, *_ = (await review.told(unit)).open_prerequisites
        told = rules.PREREQUISITES[rules.NOT_ANONYMISED]
        assert (first.rule, first.words, first.mend, first.planned_on) == (told.rule.id, told.words, told.mend, DAY.isoformat())


async def test_copies_that_went_too_late_for_the_planned_day_stand_before_it_until_a_later_day_is_planned(hub: RunningHub) -> None:
    soon, later = london_day(now()) + timedelta(days=5), london_day(now()) + timedelta(days=30)
    review = await a_review(hub, REPORT, APPROVED, PublicationScheduled(planned_on=soon), *COPIES)
    await review.said(CLEARED, by=COUNCIL)
    async with queries(hub, BUSINESS_UNIT) as unit:
        assert await review.open(unit) == ids(rules.COPIES_LATE)
        await review.said(PublicationRescheduled(planned_on=later, reason="Synthetic reason."))
        assert await review.open(unit) == []


async def test_once_it_is_published_all_the_same_they_are_its_findings(hub: RunningHub) -> None:
    review = await a_review(hub, REPORT, SCHEDULED)
    async with queries(hub, BUSINESS_UNIT) as unit:
        before = await review.told(unit)
        await review.said(PUBLISHED)
        after = await review.told(unit)
    expected = [one.rule for one in before.open_prerequisites]
    assert (expected, list(after.open_prerequisites)) == (ids(*ALL[1:]), [])
    assert {one.rule for one in after.open_findings} - {one.rule for one in before.open_findings} == set(expected)


async def test_nothing_stands_before_a_publication_that_was_declined(hub: RunningHub) -> None:
    review = await a_review(hub, SCHEDULED, PublicationDeclined(rationale="Synthetic rationale."))
    async with queries(hub, BUSINESS_UNIT) as unit:
        assert await review.open(unit) == []


async def test_a_plan_made_anew_is_not_ended_by_a_correction_of_what_ended_the_former_one(hub: RunningHub) -> None:
    declined = PublicationDeclined(rationale="Synthetic rationale.")
    review = await a_review(hub, SCHEDULED)
    (receipt,) = await hub.said(BUSINESS_UNIT, declined, case_id=review.case_id)
    await review.said(SCHEDULED, replace(declined, details=corrects(receipt.event_id)))
    async with queries(hub, BUSINESS_UNIT) as unit:
        assert await review.open(unit) == ids(*ALL)
        await review.said(declined)
        assert await review.open(unit) == []


async def test_at_a_past_moment_it_is_what_stood_then(hub: RunningHub) -> None:
    review = await a_review(hub)
    moments = [await a_moment()]
    for events in ((SCHEDULED,), (REPORT,), (APPROVED, *COPIES), (PUBLISHED,)):
        await review.said(*events)
        moments.append(await a_moment())
    await review.said(CLEARED, by=COUNCIL)
    async with queries(hub, BUSINESS_UNIT) as unit:
        told = [await review.open(unit, known_at) for known_at in moments]
    assert told == [[], ids(*ALL), ids(*ALL[1:]), ids(*ALL[3:]), []]


async def a_moment() -> datetime:
    """Return a moment between what was said before and what is said from now on, which the log tells by milliseconds."""
    await asyncio.sleep(0.01)
    moment = now()
    await asyncio.sleep(0.01)
    return moment


async def test_of_imported_history_it_is_what_stood_by_what_was_known_then_and_not_by_what_was_recorded(hub: RunningHub) -> None:
    review = await a_review(hub, begins=())
    days: dict[date, tuple[Event, ...]] = {
        date(2023, 6, 1): BEGINS,
        date(2023, 9, 1): (REPORT,),
        date(2023, 10, 2): (PublicationScheduled(planned_on=date(2023, 12, 14)),),
        date(2023, 11, 1): (APPROVED,),
        date(2023, 12, 1): COPIES,
        date(2023, 12, 14): (PUBLISHED,),
    }
    for day, events in days.items():
        done_at = done(datetime.combine(day, time(10), UTC))
        await review.said(*(replace(event, details=done_at) for event in events), imported=True)
    async with queries(hub, BUSINESS_UNIT) as unit:
        told = [await review.open(unit, datetime.combine(day, time(11), UTC)) for day in days]
    assert told == [[], [], ids(rules.NOT_ANONYMISED, rules.COPIES_MISSING), ids(rules.COPIES_MISSING), [], []]


async def test_partners_and_the_panel_are_told_and_who_is_only_linked_or_not_at_all_is_not(hub: RunningHub) -> None:
    review = await a_review(hub, SCHEDULED)
    for agency_id, expected in ((BUSINESS_UNIT, ALL), (COUNCIL, ALL), (ICB, ALL), (PANEL_ID, ALL), (SCHOOL, ())):
        async with queries(hub, agency_id) as asks:
            assert await review.open(asks) == ids(*expected), agency_id
    async with queries(hub, STRANGER) as stranger:
        assert (await refusal(review.told(stranger))).code == "NOT_FOUND"


async def test_of_an_erased_case_it_is_told_what_publication_would_be_found_to_break(hub: RunningHub) -> None:
    review = await a_review(hub, REPORT, SCHEDULED, APPROVED, *COPIES)
    async with queries(hub, BUSINESS_UNIT) as unit:
        assert await review.open(unit) == ids(rules.LIVE_PROCEEDING)
        hub.parts.keys.destroy(case_key_id(SHARD, review.case_id))
        (told,) = (await review.told(unit)).open_prerequisites
    assert (told.rule, told.planned_on) == (rules.COPIES_MISSING.id, "")


@pytest.mark.parametrize("category", ["local_review", "incident"])
async def test_nothing_is_told_while_the_view_cannot_read_what_it_follows_from(hub: RunningHub, category: str) -> None:
    review = await a_review(hub, SCHEDULED)
    review.position = park(hub, f"{category}-{review.case_id}")
    async with queries(hub, BUSINESS_UNIT) as unit:
        told = await review.told(unit)
    assert list(told.freshness.parked_streams) == [f"{category}-{review.case_id}"]
    assert list(told.open_prerequisites) == []


def park(hub: RunningHub, stream: str) -> int:
    """Put an event on the log that nobody can open; return its position."""
    shard = hub.parts.store.shard(SHARD)
    version = shard.stream_version(stream)
    unreadable = ProposedEvent(stream, version + 1, uuid.uuid4().bytes, bytes(32), "", "local_review.published.v1", b"\xff\xff")
    append = Append(uuid.uuid4().bytes, SHARD, "test", (Expectation(stream, version),), (unreadable,))
    result = shard.append(append).result(10)
    assert isinstance(result, Accepted), result
    return result.placed[0].position


async def test_the_command_prints_them_under_a_heading_of_their_own_and_as_json(hub: RunningHub) -> None:
    review = await a_review(hub, REPORT, SCHEDULED)
    async with queries(hub, BUSINESS_UNIT) as unit:
        told = list((await review.told(unit)).open_prerequisites)

    def command(*options: str) -> tuple[str, list[dict[str, str]]]:
        words = ("chronology", review.case_id, "--shard", SHARD, "--home", hub.settings.home, *options)
        return ran(*words).out, ran(*words, "--json").document["open_prerequisites"]

    printed, document = await asyncio.to_thread(command, "--as", BUSINESS_UNIT)
    lines = printed.splitlines()
    heading = lines.index(f"before the publication planned for {DAY}:")
    listed = [f"  to be mended: {one.words} ({one.rule}); {one.mend}" for one in told]
    assert (len(listed), lines[heading + 1 : heading + 1 + len(listed)]) == (3, listed)
    assert document == [{"rule": one.rule, "words": one.words, "mend": one.mend, "planned_on": DAY.isoformat()} for one in told]
    unlisted, nothing = await asyncio.to_thread(command, "--as", SCHOOL)
    assert ("before the publication" in unlisted, nothing) == (False, [])

    def of_child() -> list[str]:
        words = ("chronology", "--child", CHILD, "--shard", SHARD, "--home", hub.settings.home, "--as", BUSINESS_UNIT)
        return ran(*words).out.splitlines()

    told_of_child = await asyncio.to_thread(of_child)
    (number,) = [line.split()[1] for line in told_of_child if line.startswith("case ") and review.case_id in line]
    heading = told_of_child.index(f"case {number} before the publication planned for {DAY}:")
    assert told_of_child[heading + 1 : heading + 1 + len(listed)] == listed
