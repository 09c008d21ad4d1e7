from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, MetaData, create_engine, func, select

import domain.access.events
import domain.agency.events
import domain.local_review.events
import domain.partnership.events
import domain.rapid_review.events
from domain.calendar import Calendar, bundled
from domain.incident.codes import CriteriaOutcome, LegalStatus
from domain.incident.events import NotificationAmended, OtherAreaInformed, PartnersInformed, ReferralConfirmedInWriting
from domain.kernel.events import EVENT_TYPES, Details, Event, Recorded
from domain.kernel.ids import AgencyId
from domain.local_review.events import (
    CopyKind,
    CopyProvided,
    CopyRecipient,
    LocalReviewInitiated,
    LocalReviewPublished,
    PublicationDeclined,
    PublicationRescheduled,
    PublicationScheduled,
)
from domain.partnership.events import MembershipChange, MembershipChanged
from domain.rapid_review.events import PanelAgreed, RapidReviewCompleted, SentToPanel
from domain.rules import Band, PartnershipTerms, Rulebook, bundled_rulebook, bundled_rules, clock_instances, instances_of, status
from projections.deadlines.ordering import RANKS, PageKey
from projections.deadlines.projection import DEADLINES, deadlines_view, facts_by_case, terms_of
from projections.deadlines.queries import Deadline, DeadlineReader
from projections.deadlines.rows import instance_of, instance_row
from projections.deadlines.wanted import DeadlineFilter, members_of
from projections.kernel.digest import row_digest
from projections.kernel.view import Tables
from tests.support.builders import (
    BUSINESS_UNIT,
    CASE,
    COUNCIL,
    ICB,
    OPERATOR,
    OTHER_CASE,
    OTHER_COUNCIL,
    PANEL,
    POLICE,
    REQUEST,
    SCHOOL,
    SECOND_COUNCIL,
    SHARD,
    a_child,
    a_delay,
    a_looked_after_death,
    a_notification,
    a_partnership_established,
    a_referral,
    a_share,
    a_withdrawal,
    an_awareness,
    an_information_request,
    assessed,
    became_known,
    body_gone,
    corrects,
    recorded,
)

RULEBOOK: Final = bundled_rulebook()
START: Final = datetime(2024, 2, 26, 9, 0, tzinfo=UTC)
AWARE: Final = datetime(2024, 2, 29, 9, 30, tzinfo=UTC)
EVERYTHING: Final = DeadlineFilter()


class View:
    """The view's tables in a database in memory."""

    def __init__(self) -> None:
        metadata = MetaData()
        self.engine = create_engine("sqlite://")
        self.tables: Tables = DEADLINES.define(metadata, "deadlines_1_")
        metadata.create_all(self.engine)
        self.connection: Connection = self.engine.connect()

    def apply(self, *events: Recorded) -> None:
        DEADLINES.apply(self.connection, self.tables, [event for event in events if event.event_type in DEADLINES.handles])

    def at(self, moment: datetime) -> DeadlineReader:
        return DeadlineReader(self.connection, self.tables, RULEBOOK, moment)

    def listed(self, moment: datetime, wanted: DeadlineFilter = EVERYTHING) -> tuple[Deadline, ...]:
        return self.at(moment).list_deadlines(wanted).deadlines

    def ids(self, moment: datetime, wanted: DeadlineFilter = EVERYTHING) -> list[str]:
        return [each.instance.instance_id for each in self.listed(moment, wanted)]

    def close(self) -> None:
        self.connection.close()
        self.engine.dispose()


@pytest.fixture
def view() -> Iterator[View]:
    opened = View()
    yield opened
    opened.close()


def moment(day: int, hour: int = 12) -> datetime:
    return datetime(2024, 3, day, hour, 0, tzinfo=UTC)


def log(*said: tuple[datetime, Event, str], case: str = CASE, first: int = 1, shard: str = SHARD) -> list[Recorded]:
    return [
        recorded(event, by=by, at=when, version=position, position=position, stream=f"incident-{case}", shard=shard)
        for position, (when, event, by) in enumerate(said, start=first)
    ]


EVENTS: Final[Sequence[tuple[Event, str]]] = (
    (became_known(AWARE), COUNCIL),
    (became_known(AWARE + timedelta(days=1)), POLICE),
    (assessed(CriteriaOutcome.NOT_MET), COUNCIL),
    (a_notification(children=(a_child(legal_status=LegalStatus.CARE_ORDER),), residence_authority=OTHER_COUNCIL), COUNCIL),
    (NotificationAmended(reason="An earlier call.", awareness=an_awareness(AWARE - timedelta(days=1))), COUNCIL),
    (PartnersInformed(partners=(ICB, POLICE)), COUNCIL),
    (OtherAreaInformed(authority=OTHER_COUNCIL), COUNCIL),
    (a_looked_after_death(), COUNCIL),
    (a_referral(), SCHOOL),
    (ReferralConfirmedInWriting(confirmation="Synthetic."), SCHOOL),
    (an_information_request(), BUSINESS_UNIT),
    (a_share(request_id=REQUEST), SCHOOL),
    (a_share(), SCHOOL),
    (RapidReviewCompleted(summary="Synthetic."), BUSINESS_UNIT),
    (SentToPanel(), BUSINESS_UNIT),
    (PanelAgreed(), PANEL),
    (LocalReviewInitiated(decided_on=date(2024, 3, 1)), BUSINESS_UNIT),
    (a_delay("K10"), BUSINESS_UNIT),
    (PublicationScheduled(planned_on=date(2024, 4, 2)), BUSINESS_UNIT),
    (PublicationRescheduled(planned_on=date(2024, 4, 22), reason="Printer."), BUSINESS_UNIT),
    (CopyProvided(recipient=CopyRecipient.PANEL, copy_kind=CopyKind.FULL_REPORT), BUSINESS_UNIT),
    (PublicationDeclined(rationale="Synthetic."), BUSINESS_UNIT),
    (LocalReviewPublished(location="Synthetic."), BUSINESS_UNIT),
    (a_withdrawal(), COUNCIL),
    (a_partnership_established(written_confirmation_hours=24), "operator"),
    (a_partnership_established(written_confirmation_hours=72), "operator"),
)


@st.composite
def logs(draw: st.DrawFn) -> list[Recorded]:
    """Draw a log of one shard with two cases: any events in any order, live and imported, some with their bodies gone."""
    told: list[Recorded] = []
    now = START
    for position in range(1, draw(st.integers(1, 14)) + 1):
        event, by = draw(st.sampled_from(EVENTS))
        now += timedelta(hours=draw(st.integers(0, 60)))
        imported = draw(st.integers(0, 3)) == 0
        if imported:
            done_at = now - timedelta(days=draw(st.integers(0, 30)))
            learnt_at = draw(st.none() | st.just(now - timedelta(days=1)))
            event = dataclasses.replace(event, details=Details(done_at=done_at, became_known_at=learnt_at))
        of_partnership = event.EVENT_TYPE.startswith("partnership.")
        stream = f"partnership-{SHARD}" if of_partnership else f"incident-{draw(st.sampled_from((CASE, OTHER_CASE)))}"
        one = recorded(event, by=by, at=now, version=position, position=position, stream=stream, imported=imported)
        told.append(body_gone(one) if draw(st.integers(0, 9)) == 0 else one)
    return told


@settings(max_examples=15)
@given(logs(), st.data())
def test_rows_are_equal_however_the_log_is_cut_into_batches(told: list[Recorded], data: st.DataObject) -> None:
    whole, cut = View(), View()
    whole.apply(*told)
    rest = told
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        cut.apply(*rest[:size])
        rest = rest[size:]
    assert row_digest(cut.connection, cut.tables) == row_digest(whole.connection, whole.tables)
    whole.close()
    cut.close()


def naive(told: Sequence[Recorded], as_of: datetime) -> dict[tuple[str, str], str]:
    """Compute every deadline from the events alone."""
    hours = [
        one.event.written_confirmation_hours for one in told if isinstance(one.event, domain.partnership.events.PartnershipEstablished)
    ]
    terms = PartnershipTerms(written_confirmation_hours=hours[-1]) if hours else None
    found: dict[tuple[str, str], str] = {}
    for case in (CASE, OTHER_CASE):
        known = [one for one in told if one.stream.endswith(case) and one.known_at <= as_of and one.scored_at <= as_of]
        for each in clock_instances(known, RULEBOOK.calendar, RULEBOOK.rules, partnership=terms):
            found[case, each.instance_id] = status(each, as_of, RULEBOOK.calendar).words
    return found


@settings(max_examples=30)
@given(logs(), st.integers(-24, 60 * 24))
def test_a_list_as_of_any_moment_equals_what_the_events_known_by_then_give(told: list[Recorded], hours: int) -> None:
    as_of = START + timedelta(hours=hours)
    view = View()
    view.apply(*told)
    listed = view.listed(as_of)
    assert {(each.instance.case_id, each.instance.instance_id): each.status.words for each in listed} == naive(told, as_of)
    assert [each.key for each in listed] == sorted(each.key for each in listed)
    keys = [PageKey.of(each.instance, each.status, is_own=each.is_own) for each in listed]
    assert keys == [each.key for each in listed]
    counts = view.at(as_of).count_bands(EVERYTHING)
    assert counts == {band: sum(each.status.band is band for each in listed) for band in Band}
    view.close()


@settings(max_examples=15)
@given(logs(), st.integers(-24, 60 * 24), st.integers(1, 5))
def test_pages_put_together_are_the_whole_list(told: list[Recorded], hours: int, limit: int) -> None:
    view = View()
    view.apply(*told)
    reader = view.at(START + timedelta(hours=hours))
    wanted = DeadlineFilter(agency=COUNCIL)
    pages = [reader.list_deadlines(wanted, limit=limit)]
    while pages[-1].next_after is not None:
        pages.append(reader.list_deadlines(wanted, after=pages[-1].next_after, limit=limit))
    assert [each for page in pages for each in page.deadlines] == list(reader.list_deadlines(wanted).deadlines)
    assert all(len(page.deadlines) == limit for page in pages[:-1])
    view.close()


def test_a_correction_of_an_older_list_of_members_leaves_the_newest_standing(view: View) -> None:
    established = recorded(a_partnership_established(), by=OPERATOR, stream=f"partnership-{SHARD}", position=1)
    view.apply(established, *log((START, a_referral(), SCHOOL), first=2))

    def put(position: int, partner: str, of: Recorded | None = None, effective_on: date = date(2024, 1, 1)) -> Recorded:
        event = MembershipChanged(
            change=MembershipChange.OTHER,
            effective_on=effective_on,
            business_unit=BUSINESS_UNIT,
            partners=(AgencyId(partner), ICB, POLICE),
            details=None if of is None else corrects(of.event_id),
        )
        one = recorded(event, by=OPERATOR, stream=f"partnership-{SHARD}", version=position)
        view.apply(one)
        return one

    def partner(day: date = date(2024, 3, 4)) -> list[str]:
        return sorted({agency for agency in members_of(view.connection, view.tables, day).partner_in if agency.startswith("la-")})

    older = put(3, SECOND_COUNCIL)
    newest = put(4, COUNCIL)
    put(5, SECOND_COUNCIL, of=older)
    assert partner() == [COUNCIL]
    again = put(6, OTHER_COUNCIL, of=newest)
    assert partner() == [OTHER_COUNCIL]
    put(7, COUNCIL, of=again)
    assert partner() == [COUNCIL]
    terms = a_partnership_established(written_confirmation_hours=24, details=corrects(established.event_id))
    view.apply(recorded(terms, by=OPERATOR, stream=f"partnership-{SHARD}", version=8))
    assert partner() == [COUNCIL]
    assert terms_of(view.connection, view.tables, [SHARD])[SHARD].written_confirmation_hours == 24
    gone = recorded(a_partnership_established(), by=OPERATOR, stream=f"partnership-{SHARD}", version=99)
    put(10, OTHER_COUNCIL, of=gone)
    assert partner() == [COUNCIL]
    assert partner(date(2019, 1, 1)) == [COUNCIL, SECOND_COUNCIL], "the first there was"
    put(11, SECOND_COUNCIL, effective_on=date(2024, 6, 1))
    assert (partner(), partner(date(2024, 5, 31)), partner(date(2024, 6, 1))) == ([COUNCIL], [COUNCIL], [SECOND_COUNCIL])


@settings(max_examples=15)
@given(
    logs(),
    st.integers(-24, 60 * 24),
    st.builds(
        DeadlineFilter,
        agency=st.sampled_from((None, COUNCIL, BUSINESS_UNIT, SCHOOL)),
        shards=st.sampled_from((None, frozenset({SHARD}), frozenset[str]())),
        hidden_cases=st.sampled_from((frozenset[tuple[str, str]](), frozenset({(SHARD, CASE)}))),
        linked_cases=st.sampled_from((frozenset[tuple[str, str]](), frozenset({(SHARD, CASE), ("elsewhere", OTHER_CASE)}))),
        cases=st.sampled_from((None, frozenset({OTHER_CASE}))),
        owed_by=st.sampled_from((frozenset[str](), frozenset({ICB}), frozenset({COUNCIL, SCHOOL}))),
        owed_to=st.sampled_from((frozenset[str](), frozenset({"panel"}), frozenset({BUSINESS_UNIT}), frozenset({POLICE}))),
        clocks=st.sampled_from((frozenset[str](), frozenset({"K5B", "K9"}))),
        bands=st.sampled_from((frozenset[Band](), frozenset({Band.OVERDUE, Band.MET}))),
    ),
)
def test_a_filter_gives_the_same_of_stored_and_of_past_deadlines(told: list[Recorded], hours: int, wanted: DeadlineFilter) -> None:
    as_of = START + timedelta(hours=hours)
    view, past = View(), View()
    known = [one for one in told if one.known_at <= as_of and one.scored_at <= as_of]
    members = [one for one in told if one.event_type.startswith("partnership.")]
    view.apply(*sorted({one.position: one for one in (*known, *members)}.values(), key=lambda one: one.position))
    past.apply(*told)
    assert past.listed(as_of, wanted) == view.listed(as_of, wanted)
    view.close()
    past.close()


def test_lists_are_grouped_by_urgency_and_own_comes_first_in_each_group(view: View) -> None:
    view.apply(
        *log((AWARE, became_known(AWARE), COUNCIL), (moment(4), a_referral(), SCHOOL), (moment(4), an_information_request(), POLICE))
    )
    listed = view.listed(moment(7), DeadlineFilter(agency=SCHOOL))
    assert [(each.status.band, each.is_own, each.instance.instance_id) for each in listed] == [
        (Band.OVERDUE, True, f"K9:{SCHOOL}"),
        (Band.DUE_TODAY, False, f"K1:{COUNCIL}"),
        (Band.DUE_TODAY, False, f"K2:{COUNCIL}"),
        (Band.LATER, True, f"K17:{REQUEST}"),
        (Band.LATER, False, "K5A"),
    ]


def test_what_partners_owe_is_every_partners_own_and_the_business_units(view: View) -> None:
    view.apply(recorded(a_partnership_established(), by="operator", stream=f"partnership-{SHARD}", position=1))
    view.apply(*log((moment(4), a_notification(), COUNCIL), first=2))
    view.apply(*log((moment(4), a_notification(), COUNCIL), case=OTHER_CASE, shard="elsewhere"))
    for agency in (COUNCIL, ICB, POLICE, BUSINESS_UNIT):
        owed = view.listed(moment(4), DeadlineFilter(owed_by=frozenset({agency}), clocks=frozenset({"K5B"})))
        assert [(each.instance.shard, each.instance.instance_id) for each in owed] == [(SHARD, "K5B")]
    assert view.listed(moment(4), DeadlineFilter(owed_by=frozenset({SCHOOL}))) == ()
    assert len(view.listed(moment(4), DeadlineFilter(clocks=frozenset({"K5B"})))) == 2


def test_what_is_owed_to_the_business_unit_or_the_partners_is_theirs(view: View) -> None:
    view.apply(recorded(a_partnership_established(), by="operator", stream=f"partnership-{SHARD}", position=1))
    view.apply(*log((moment(4), a_referral(), SCHOOL), (moment(4), SentToPanel(), BUSINESS_UNIT), first=2))
    assert view.ids(moment(4), DeadlineFilter(owed_to=frozenset({BUSINESS_UNIT}))) == [f"K9:{SCHOOL}", "K8"]
    assert view.ids(moment(4), DeadlineFilter(owed_to=frozenset({ICB}))) == ["K8"]


def test_a_partnerships_hours_hold_for_its_cases_whenever_they_are_told(view: View) -> None:
    view.apply(*log((moment(4), a_referral(), SCHOOL)))
    assert view.listed(moment(4))[0].instance.due_at == moment(6)
    established = a_partnership_established(written_confirmation_hours=24)
    view.apply(recorded(established, by="operator", stream=f"partnership-{SHARD}", position=2))
    assert view.listed(moment(4))[0].instance.due_at == moment(5)


def test_the_past_is_listed_as_it_was_known(view: View) -> None:
    view.apply(*log((moment(4), a_notification(), COUNCIL), (moment(28), SentToPanel(), BUSINESS_UNIT)))
    overdue = DeadlineFilter(bands=frozenset({Band.OVERDUE}), clocks=frozenset({"K5B"}))
    assert [each.status.words for each in view.listed(moment(27), overdue)] == ["overdue by 2 working days"]
    assert view.ids(moment(28), overdue) == []
    assert view.listed(moment(3)) == ()


def test_stored_bands_change_at_the_same_instants_as_the_clocks(view: View) -> None:
    view.apply(*log((AWARE, became_known(AWARE), COUNCIL), (moment(4), a_referral(), SCHOOL), (moment(4), a_notification(), COUNCIL)))
    day = datetime(2024, 3, 4, 12, 0, tzinfo=UTC)
    while day < datetime(2024, 3, 28, tzinfo=UTC):
        for instant in (day, day + timedelta(microseconds=1), day - timedelta(microseconds=1)):
            stored = [(each.instance.instance_id, RANKS[each.key.rank]) for each in view.listed(instant)]
            asked = [(each.instance.instance_id, each.status.band) for each in view.listed(instant)]
            assert stored == asked
        day += timedelta(hours=12)


def test_history_learnt_of_before_it_was_done_counts_from_when_it_was_done(view: View) -> None:
    details = Details(done_at=moment(8), became_known_at=moment(4))
    sent = dataclasses.replace(SentToPanel(), details=details)
    (told,) = log((moment(20), sent, BUSINESS_UNIT))
    view.apply(*log((moment(4), a_notification(), COUNCIL), first=2), dataclasses.replace(told, imported=True))
    wanted = DeadlineFilter(clocks=frozenset({"K5B", "K8"}))
    assert view.ids(moment(7), wanted) == ["K5B"]
    assert view.ids(moment(8), wanted) == ["K8", "K5B"]


def test_a_finding_that_depends_on_dates_appears_and_is_mended(view: View) -> None:
    review = LocalReviewInitiated(decided_on=date(2024, 3, 1))
    late = datetime(2024, 9, 3, 12, 0, tzinfo=UTC)
    view.apply(*log((moment(4), review, BUSINESS_UNIT), (late, a_delay("K10"), BUSINESS_UNIT)))
    found = [finding.rule.id for each in view.listed(late - timedelta(minutes=1)) for finding in each.status.findings]
    assert found == ["deadline.late_without_reasons"]
    assert [each.status.findings for each in view.listed(late)] == [()]


def test_one_deadline_is_explained_as_known_at_a_moment(view: View) -> None:
    view.apply(*log((moment(4), a_notification(), COUNCIL), (moment(25), SentToPanel(), BUSINESS_UNIT)))
    now = view.at(moment(26)).explain_deadline(SHARD, CASE, "K5B")
    before = view.at(moment(24)).explain_deadline(SHARD, CASE, "K5B")
    assert now is not None
    assert before is not None
    assert now.lines[0] == "K5B Send the rapid review to the Panel, from notification: met on time"
    assert now.stopped_by is not None
    assert (before.status.words, before.stopped_by) == ("due soon", None)
    assert view.at(moment(3)).explain_deadline(SHARD, CASE, "K5B") is None
    assert view.at(moment(26)).explain_deadline(SHARD, OTHER_CASE, "K5B") is None


def test_a_case_whose_bodies_are_gone_says_what_cannot_be_known(view: View) -> None:
    view.apply(*(body_gone(one) for one in log((moment(4), a_notification(), COUNCIL))))
    (deadline,) = view.listed(moment(26), DeadlineFilter(clocks=frozenset({"K5B"})))
    assert (deadline.status.band, deadline.instance.due_on) == (Band.NOT_KNOWN, None)


def test_a_page_has_a_limit(view: View) -> None:
    for limit in (0, 1_001):
        with pytest.raises(ValueError, match="1 to 1000"):
            view.at(moment(4)).list_deadlines(EVERYTHING, limit=limit)


def test_shares_that_answer_no_request_leave_no_row(view: View) -> None:
    view.apply(*log((moment(4), a_share(), SCHOOL)))
    assert [view.connection.scalar(select(func.count()).select_from(table)) for table in view.tables.values()] == [0] * 5


def test_no_narrative_is_kept(view: View) -> None:
    said = [(moment(4), event, by) for event, by in EVENTS if not event.EVENT_TYPE.startswith("partnership.")]
    view.apply(*log(*said))
    rows = repr([tuple(row) for table in view.tables.values() for row in view.connection.execute(select(table))])
    for words in ("Synthetic", "Abuse is suspected", "hospital", "Printer"):
        assert words not in rows


def test_an_instance_comes_back_from_its_row_as_it_went_in(view: View) -> None:
    said = [(moment(4), event, by) for event, by in EVENTS if not event.EVENT_TYPE.startswith("partnership.")]
    view.apply(*log(*said))
    facts = facts_by_case(view.connection, view.tables, SHARD, [CASE])[CASE]
    instances = instances_of(facts, RULEBOOK.calendar, RULEBOOK.rules)
    assert len(instances) > 10
    assert [instance_of(instance_row(each)["document"]) for each in instances] == list(instances)


def test_every_event_is_handled_or_named_as_passed_over() -> None:
    assert DEADLINES.handles | DEADLINES.ignores == frozenset(EVENT_TYPES)
    assert DEADLINES.handles & DEADLINES.ignores == frozenset()


def test_another_calendar_is_another_version_of_the_view() -> None:
    calendar = bundled()
    shorter = Calendar(first_year=2012, last_year=2027, holidays={day: name for day, name in calendar.holidays.items() if day.year < 2028})
    assert deadlines_view(Rulebook(rules=bundled_rules(), calendar=shorter)).version != DEADLINES.version
    assert deadlines_view(Rulebook(rules=bundled_rules(), calendar=calendar)).version == DEADLINES.version
