from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event

from domain.access.events import DenialReason
from domain.calendar import bundled
from domain.incident.codes import CloseReason
from domain.incident.events import IncidentClosed, SafetyActionTaken
from domain.kernel.agencies import kind_of
from domain.kernel.events import EVENT_TYPES, Details, Event, Marking, Precision, Recorded, When
from domain.kernel.ids import AgencyId, RuleId, Shard
from domain.partnership.events import MembershipChange, MembershipChanged
from domain.rapid_review.events import RapidReviewOpened, SentToPanel
from domain.sharing.events import (
    Caveat,
    FamilyTold,
    InformationCorrected,
    InformationDisputed,
    InformationPartlyShared,
    InformationQueried,
    InformationRestricted,
    InformationShared,
    LegalGate,
    NilReturn,
    RefusalReason,
    Significance,
    Tone,
)
from projections.chronology.access import Standing, standing_of
from projections.chronology.headlines import HEADLINES
from projections.chronology.projection import CHRONOLOGY, Kind
from projections.chronology.queries import access_facts, behind, case_lines, cases_of_child, names_child, significant
from projections.chronology.redaction import Viewer, redact
from projections.chronology.shape import Gap, gaps, patterns
from projections.chronology.story import Line, Note, Order, ShownFinding
from projections.kernel.batch import Unreadable
from projections.kernel.database import ViewDatabase
from tests.support.builders import (
    BUSINESS_UNIT,
    CASE,
    CHILD,
    COUNCIL,
    HOSPITAL,
    HUB,
    ICB,
    MONDAY,
    OPERATOR,
    OTHER_CASE,
    OTHER_COUNCIL,
    PANEL,
    POLICE,
    REQUEST,
    SCHOOL,
    SHARD,
    SIBLING,
    STRANGER,
    a_child,
    a_harm_notification,
    a_notification,
    a_partnership_established,
    a_referral,
    a_share,
    an_entry,
    an_id,
    an_information_request,
    became_known,
    body_gone,
    corrects,
    done,
    on,
    recorded,
)

TODAY = date(2024, 6, 3)
CALENDAR = bundled()
INCIDENT = f"incident-{CASE}"
SHARING = f"sharing-{CASE}"
RAPID = f"rapid_review-{CASE}"


class Log:
    """A shard's log and the chronology made of it; each test has a shard of its own."""

    def __init__(self, database: ViewDatabase, shard: str) -> None:
        self.database = database
        live = database.live("chronology")
        assert live is not None
        self.generation = live.generation
        self.shard = Shard(shard)
        self.position = 0

    def say(self, event: Event, stream: str = SHARING, by: str = SCHOOL, at: datetime = MONDAY, **more: object) -> Recorded:
        self.position += 1
        one = recorded(event, by=by, at=at, stream=stream, version=self.position)
        return self.put(replace(one, **more))  # type: ignore[arg-type]

    def put(self, one: Recorded) -> Recorded:
        self.position = max(self.position, one.position)
        placed = replace(one, shard=self.shard)
        self.database.apply("chronology", self.generation, self.shard, [placed], one.position)
        return placed

    def park(self, stream: str = SHARING, event_type: str = InformationShared.EVENT_TYPE) -> None:
        """Put an event on the log that nobody can read."""
        self.position += 1
        unreadable = Unreadable(stream=stream, position=self.position, event_type=event_type, reason_type="DecodeError")
        self.database.apply("chronology", self.generation, self.shard, [unreadable], self.position)

    def lines(self, *, order: Order = Order.AS_HAPPENED, known_at: datetime | None = None, case_id: str = CASE) -> tuple[Line, ...]:
        with self.database.reading("chronology") as look:
            return case_lines(look.connection, look.tables, self.shard, case_id, order=order, known_at=known_at, calendar=CALENDAR)

    def seen_by(self, agency: str, standing: Standing, *, for_family: bool = False) -> tuple[Line, ...]:
        viewer = Viewer(agency_id=agency, kind=kind_of(agency), standing=standing, for_family=for_family)
        with self.database.reading("chronology") as look:
            parked = {one.stream for one in look.parked(self.shard)}
        return redact(self.lines(), viewer, parked)

    def standing(self, agency: str, today: date = TODAY, case_id: str = CASE) -> Standing | DenialReason:
        with self.database.reading("chronology") as look:
            return standing_of(access_facts(look.connection, look.tables, self.shard, case_id), agency, today)

    def cases_of(self, child: str) -> tuple[str, ...]:
        with self.database.reading("chronology") as look:
            return cases_of_child(look.connection, look.tables, self.shard, child)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewDatabase]:
    opened = ViewDatabase(f"sqlite:///{tmp_path_factory.mktemp('chronology') / 'views.sqlite'}", [CHRONOLOGY])
    opened.swap("chronology", opened.begin_build("chronology").generation)
    yield opened
    opened.close()


SHARDS = itertools.count()


@pytest.fixture
def log(database: ViewDatabase) -> Log:
    return Log(database, f"shard-{next(SHARDS)}")


def facts_of(lines: Sequence[Line]) -> list[str]:
    return [line.account.fact if line.account else line.withheld or line.headline or line.event_type for line in lines]


def restricts(entry_id: str | None, *agencies: str, caveats: tuple[Caveat, ...] = ()) -> InformationRestricted:
    return InformationRestricted(
        entry_id=None if entry_id is None else an_entry(entry_id).entry_id,
        marking=Marking.RESTRICTED,
        caveats=caveats,
        named_agencies=tuple(AgencyId(agency) for agency in agencies),
        reason="Synthetic reason.",
    )


def replaces(entry_id: str, fact: str, **changes: object) -> InformationCorrected:
    replacement = an_entry(entry_id, fact=fact, **changes)
    return InformationCorrected(entry_id=replacement.entry_id, replacement=replacement, reason="It was the wrong day.")


# ── what is shown ──


def test_entries_and_milestones_are_one_story_in_the_order_in_which_they_happened(log: Log) -> None:
    log.say(a_notification(), INCIDENT, COUNCIL, MONDAY)
    log.say(
        a_share(
            an_entry(an_id(10), occurred=on(date(2023, 5, 2)), fact="Second."),
            an_entry(an_id(11), occurred=When(precision=Precision.MONTH, on=date(2023, 5, 1)), fact="First."),
        )
    )
    assert facts_of(log.lines()) == ["First.", "Second.", "Incident notified to the Panel: death, 1 child"]
    assert [line.kind for line in log.lines()] == [Kind.ENTRY, Kind.ENTRY, Kind.MILESTONE]


def test_of_moments_that_begin_together_the_coarser_comes_first(log: Log) -> None:
    start = datetime(2023, 1, 1, tzinfo=UTC)
    moments = [
        When(precision=Precision.INSTANT, at=start),
        When(precision=Precision.DAY, on=start.date()),
        When(precision=Precision.MONTH, on=start.date()),
        When(precision=Precision.YEAR, on=start.date()),
        When(precision=Precision.PERIOD, on=start.date(), until_on=date(2023, 6, 1)),
    ]
    log.say(a_share(*(an_entry(an_id(20 + place), occurred=when) for place, when in enumerate(moments))))
    assert [line.when.precision.value for line in log.lines()] == ["period", "year", "month", "day", "instant"]


def test_as_known_orders_by_when_it_became_known(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10), occurred=on(date(2023, 5, 2)), fact="Told later.")), at=MONDAY + timedelta(days=1), position=2)
    log.put(
        replace(
            recorded(a_share(an_entry(an_id(11), occurred=on(date(2024, 1, 1)), fact="Known first."), details=done(MONDAY)), by=SCHOOL),
            position=3,
            imported=True,
            stream=SHARING,  # type: ignore[arg-type]
            recorded_at=MONDAY + timedelta(days=9),
        )
    )
    assert facts_of(log.lines(order=Order.AS_KNOWN)) == ["Known first.", "Told later."]
    assert facts_of(log.lines()) == ["Told later.", "Known first."]


def test_as_known_at_a_moment_shows_only_what_was_known_by_then_as_it_then_stood(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10), fact="As first told.")))
    log.say(replaces(an_id(10), "As corrected."), at=MONDAY + timedelta(days=2))
    before = log.lines(known_at=MONDAY + timedelta(days=1))
    assert [(line.account and line.account.fact, line.replaced_by_position) for line in before] == [("As first told.", None)]
    assert log.lines(known_at=MONDAY - timedelta(seconds=1)) == ()


def test_imported_history_counts_as_known_when_it_had_become_known(log: Log) -> None:
    known = datetime(2020, 3, 1, tzinfo=UTC)
    told = a_share(details=done(datetime(2020, 5, 1, tzinfo=UTC), became_known_at=known))
    log.say(told, imported=True)
    (line,) = log.lines(known_at=known)
    assert (line.imported, line.late, line.known_at) == (True, False, known)
    assert log.lines(known_at=known - timedelta(seconds=1)) == ()


def test_a_correction_replaces_an_entry_and_the_former_wording_stays_marked(log: Log) -> None:
    first = log.say(a_share(an_entry(an_id(10), fact="As first told.")))
    second = log.say(replaces(an_id(10), "As corrected."))
    third = log.say(replaces(an_id(10), "As corrected again."))
    marks = [(line.account and line.account.fact, line.replaces_position, line.replaced_by_position) for line in log.lines()]
    assert marks == [
        ("As first told.", None, second.position),
        ("As corrected.", first.position, third.position),
        ("As corrected again.", second.position, None),
    ]
    assert [line.correction_reason for line in log.lines()] == [None, "It was the wrong day.", "It was the wrong day."]


def test_a_correction_under_another_entry_id_belongs_to_the_same_entry(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10))))
    log.say(InformationCorrected(entry_id=an_id(10), replacement=an_entry(an_id(11)), reason="Synthetic."))
    last = log.say(replaces(an_id(11), "Final."))
    log.say(restricts(an_id(11), COUNCIL))
    entries = [line for line in log.lines() if line.kind is Kind.ENTRY]
    assert [line.replaced_by_position for line in entries] == [2, last.position, None]
    assert {line.handling.named for line in entries} == {frozenset({COUNCIL, SCHOOL})}


def test_an_event_that_corrects_another_supersedes_the_one_in_force(log: Log) -> None:
    first = log.say(a_notification(), INCIDENT, COUNCIL)
    second = log.say(a_notification(details=corrects(first.event_id)), INCIDENT, COUNCIL)
    third = log.say(a_harm_notification(details=corrects(first.event_id)), INCIDENT, COUNCIL)
    marks = [(line.position, line.replaces_position, line.replaced_by_position) for line in log.lines()]
    assert marks == [(1, None, second.position), (2, first.position, third.position), (3, second.position, None)]


def test_disputes_and_queries_stand_with_the_wording_they_were_about(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10))))
    log.say(InformationDisputed(entry_id=an_id(10), grounds="We saw otherwise."), by=POLICE)
    log.say(InformationQueried(entry_id=an_id(10), question="Which day?"), by=COUNCIL)
    log.say(replaces(an_id(10), "Corrected."))
    notes = [[(note.kind, note.agency_id, note.text) for note in line.notes] for line in log.lines()]
    assert notes == [[(Kind.DISPUTE, POLICE, "We saw otherwise."), (Kind.QUERY, COUNCIL, "Which day?")], []]


def test_a_corrected_dispute_is_marked(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10))))
    first = log.say(InformationDisputed(entry_id=an_id(10), grounds="No."), by=POLICE)
    log.say(InformationDisputed(entry_id=an_id(10), grounds="Not so.", details=corrects(first.event_id)), by=POLICE)
    (line,) = log.lines()
    assert [(note.text, note.superseded) for note in line.notes] == [("No.", True), ("Not so.", False)]


@pytest.mark.parametrize(
    ("done_at", "late"),
    [
        (datetime(2024, 3, 1, 10, 0, tzinfo=UTC), False),  # Friday, recorded on Monday: one working day
        (datetime(2024, 2, 29, 10, 0, tzinfo=UTC), True),  # Thursday: two
        (MONDAY, False),
        (datetime(1950, 1, 1, tzinfo=UTC), True),  # before the calendar begins
    ],
)
def test_a_live_event_done_more_than_one_working_day_before_it_was_recorded_is_late(log: Log, done_at: datetime, late: bool) -> None:
    log.say(replace(became_known(), details=done(done_at)), INCIDENT, COUNCIL)
    log.say(a_notification(details=done(done_at)), INCIDENT, COUNCIL, imported=True)
    assert {line.imported: line.late for line in log.lines()} == {False: late, True: False}


def test_an_event_whose_body_is_gone_shows_that_it_was_when_and_of_what_type(log: Log) -> None:
    log.put(body_gone(replace(recorded(a_share(), by=SCHOOL), stream=SHARING)))  # type: ignore[arg-type]
    (line,) = log.lines()
    assert (line.kind, line.event_type, line.when.at, line.account, line.children) == (
        Kind.DESTROYED,
        "information.shared.v1",
        MONDAY,
        None,
        (),
    )
    assert log.standing(SCHOOL) is Standing.LINKED


def test_findings_are_open_until_a_later_event_of_the_stream_mends_them(log: Log) -> None:
    rule = RuleId("rapid_review.sign_off")
    log.say(SentToPanel(), RAPID, BUSINESS_UNIT, findings=(rule,))
    assert [line.findings for line in log.lines()] == [(ShownFinding(rule=rule, mended_at_position=None),)]
    mended_at = MONDAY + timedelta(days=1)
    log.say(IncidentClosed(reason=CloseReason.OTHER), INCIDENT, COUNCIL, mended_at, mended=(rule,))
    log.say(SentToPanel(), RAPID, BUSINESS_UNIT, mended_at, mended=(rule,))
    assert log.lines()[0].findings == (ShownFinding(rule=rule, mended_at_position=3),)
    assert log.lines(known_at=MONDAY)[0].findings == (ShownFinding(rule=rule, mended_at_position=None),)


def test_a_finding_of_a_dispute_is_shown_with_it(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10))))
    log.say(InformationDisputed(entry_id=an_id(10), grounds="No."), by=POLICE, findings=("sharing.some",))
    (line,) = log.lines()
    assert line.notes == (
        Note(
            kind=Kind.DISPUTE,
            agency_id=POLICE,
            marking=Marking.OFFICIAL_SENSITIVE,
            position=2,
            recorded_at=MONDAY,
            text="No.",
            superseded=False,
            findings=(ShownFinding(rule="sharing.some", mended_at_position=None),),
        ),
    )


def test_only_significant_lines_are_shown_first(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10), fact="Kept."), an_entry(an_id(11), fact="Routine.", significance=Significance.ROUTINE)))
    log.say(an_information_request(), by=BUSINESS_UNIT)
    assert sorted(facts_of(significant(log.lines()))) == ["Information requested (s16h partners), due on 2024-03-18", "Kept."]


def test_a_part_withheld_is_a_line_of_its_own(log: Log) -> None:
    partly = InformationPartlyShared(
        request_id=REQUEST,
        entries=(an_entry(),),
        withheld="Synthetic.",
        reason=RefusalReason.LEGAL_PRIVILEGE,
        family_told=FamilyTold(told=True),
    )
    log.say(partly)
    assert facts_of(log.lines()) == ["Synthetic fact.", "Information shared in part; the rest withheld: legal privilege"]


def test_months_without_an_entry_between_two_are_gaps_and_routine_contacts_count(log: Log) -> None:
    days = [date(2023, 1, 31), date(2023, 2, 1), date(2023, 5, 20), date(2024, 1, 2)]
    log.say(
        a_share(
            *(
                an_entry(an_id(30 + place), occurred=on(day), significance=Significance.ROUTINE if place == 1 else Significance.SIGNIFICANT)
                for place, day in enumerate(days)
            )
        )
    )
    assert gaps(log.lines()) == (
        Gap(first_month=date(2023, 3, 1), last_month=date(2023, 4, 1), months=2),
        Gap(first_month=date(2023, 6, 1), last_month=date(2023, 12, 1), months=7),
    )


def test_three_negative_entries_of_one_agency_within_half_a_year_of_each_other_are_a_pattern(log: Log) -> None:
    def negative(number: int, day: date) -> Callable[[], Recorded]:
        entry = an_entry(an_id(number), occurred=on(day), tone=Tone.NEGATIVE)
        return lambda: log.say(a_share(entry), by=HOSPITAL)

    for act in (negative(40, date(2023, 1, 1)), negative(41, date(2023, 7, 2)), negative(42, date(2023, 12, 31))):
        act()
    log.say(a_share(an_entry(an_id(43), occurred=on(date(2023, 2, 1)), tone=Tone.NEGATIVE)), by=SCHOOL)
    (found,) = patterns(log.lines())
    assert (found.agency_id, found.first_on, found.last_on, found.places) == (
        HOSPITAL,
        date(2023, 1, 1),
        date(2023, 12, 31),
        ((1, 0), (2, 0), (3, 0)),
    )
    log.say(replaces(an_id(41), "Not negative after all."), by=HOSPITAL)
    assert patterns(log.lines()) == ()


@pytest.mark.parametrize("order", Order)
def test_pages_follow_each_other_without_loss(log: Log, order: Order) -> None:
    log.say(a_share(*(an_entry(an_id(50 + place), fact=str(place)) for place in range(5))))
    lines = log.lines(order=order)
    assert behind(lines, order, None) == lines
    assert [behind(lines, order, line.place_in(order)) for line in lines] == [lines[number:] for number in range(1, 6)]


def test_what_is_told_between_two_pages_makes_no_line_come_twice_or_not_at_all(log: Log) -> None:
    log.say(a_share(*(an_entry(an_id(50 + place), fact=str(place), occurred=on(date(2023, 5, 10 + place))) for place in range(4))))
    place = log.lines()[1].place_in(Order.AS_HAPPENED)
    log.say(a_share(an_entry(an_id(60), fact="earlier", occurred=on(date(2023, 5, 1)))))
    log.say(a_share(an_entry(an_id(61), fact="later", occurred=on(date(2023, 5, 12)))))
    assert facts_of(behind(log.lines(), Order.AS_HAPPENED, place)) == ["2", "later", "3"]


def test_a_line_is_touched_by_its_correction_by_notes_on_it_and_by_the_mending_of_its_findings(log: Log) -> None:
    log.say(a_share(an_entry(an_id(50))), by=SCHOOL)
    assert [line.touched_position for line in log.lines()] == [1]
    log.say(InformationDisputed(entry_id=an_id(50), grounds="Synthetic."), by=POLICE)
    assert [line.touched_position for line in log.lines()] == [2]
    log.say(replaces(an_id(50), "Otherwise."), by=SCHOOL)
    assert sorted((line.position, line.touched_position) for line in log.lines()) == [(1, 3), (3, 3)]


def test_a_child_is_followed_across_the_cases_of_a_shard(log: Log) -> None:
    log.say(a_referral(CHILD), INCIDENT)
    log.say(a_notification(children=(a_child(SIBLING),)), f"incident-{OTHER_CASE}", COUNCIL)
    log.say(SafetyActionTaken(action="Synthetic.", children=(CHILD,)), f"incident-{OTHER_CASE}", COUNCIL)
    assert log.cases_of(CHILD) == (CASE, OTHER_CASE)
    assert log.cases_of(SIBLING) == (OTHER_CASE,)
    assert names_child(log.lines(case_id=OTHER_CASE), CHILD)
    assert not names_child(log.lines(), SIBLING)


def test_no_headline_holds_a_word_of_narrative(log: Log) -> None:
    log.say(a_notification(circumstances="SECRET"), INCIDENT, COUNCIL)
    log.say(an_information_request(scope="SECRET"), by=COUNCIL)
    log.say(restricts(None, COUNCIL), by=COUNCIL)
    assert not [line for line in log.lines() if "SECRET" in line.headline]


# ── who sees what ──


def test_an_entry_restricted_to_named_agencies_is_there_for_no_one_else_also_for_the_past(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10), fact="Told.")), by=SCHOOL)
    log.say(restricts(an_id(10), POLICE), at=MONDAY + timedelta(days=3), by=SCHOOL)
    told = ["Told.", "An entry restricted to 1 named agency (restricted)"]
    assert facts_of(log.seen_by(POLICE, Standing.PARTNER)) == told
    assert facts_of(log.seen_by(SCHOOL, Standing.LINKED)) == told
    for agency, standing in ((COUNCIL, Standing.PARTNER), (HOSPITAL, Standing.LINKED), (PANEL, Standing.PANEL)):
        assert facts_of(log.seen_by(agency, standing)) == []
    past = log.lines(known_at=MONDAY)
    assert facts_of(past) == ["Told."]
    assert redact(past, Viewer(agency_id=COUNCIL, kind=kind_of(COUNCIL), standing=Standing.PARTNER)) == ()


def test_two_restrictions_leave_only_those_whom_both_name_and_a_correction_takes_the_place_of_the_first(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10))), by=SCHOOL)
    first = log.say(restricts(an_id(10), POLICE, COUNCIL), by=SCHOOL)
    log.say(restricts(an_id(10), COUNCIL, ICB), by=SCHOOL)
    assert log.lines()[0].handling.named == frozenset[str]({COUNCIL, SCHOOL})
    log.say(replace(restricts(an_id(10), ICB), details=corrects(first.event_id)), by=SCHOOL)
    assert log.lines()[0].handling.named == frozenset[str]({ICB, SCHOOL})


@pytest.mark.parametrize(
    ("caveat", "readings"),
    [
        (Caveat.POLICE_INTELLIGENCE, ([], [], ["Told."], ["Told."])),
        (Caveat.ADOPTION, ([], [], [], ["Told."])),
        (Caveat.LEGALLY_PRIVILEGED, (["legally privileged"], ["legally privileged"], ["legally privileged"], ["Told."])),
        (Caveat.THIRD_PARTY, (["Told."], ["third party"], ["Told."], ["Told."])),
        (Caveat.SUB_JUDICE, (["Told."], ["sub judice"], ["Told."], ["Told."])),
        (Caveat.SAFE_ADDRESS, (["safe address"], ["safe address"], ["safe address"], ["safe address"])),
        (Caveat.NOT_FOR_FAMILY, (["Told."], ["Told."], ["Told."], ["Told."])),
        (Caveat.ANONYMISED, (["Told."], ["Told."], ["Told."], ["Told."])),
    ],
)
def test_each_caveat_narrows_who_reads_an_entry(log: Log, caveat: Caveat, readings: tuple[list[str], ...]) -> None:
    log.say(a_share(an_entry(an_id(10), fact="Told.", caveats=(caveat,))), by=SCHOOL)
    viewers = ((COUNCIL, Standing.PARTNER), (HOSPITAL, Standing.LINKED), (POLICE, Standing.PARTNER), (SCHOOL, Standing.LINKED))
    assert tuple(facts_of(log.seen_by(agency, standing)) for agency, standing in viewers) == readings


def test_what_is_withheld_leaves_nothing_but_place_moment_and_source(log: Log) -> None:
    log.say(
        a_share(
            an_entry(
                an_id(10),
                caveats=(Caveat.LEGALLY_PRIVILEGED,),
                why_significant="Why.",
                impact_on_child="Impact.",
                childs_voice="Voice.",
                outcome="Outcome.",
            )
        ),
        findings=("sharing.some",),
    )
    log.say(InformationDisputed(entry_id=an_id(10), grounds="Grounds."), by=POLICE)
    (line,) = log.seen_by(COUNCIL, Standing.PARTNER)
    assert (line.withheld, line.account, line.children, line.notes, line.findings, line.headline) == (
        "legally privileged",
        None,
        (),
        (),
        (),
        "",
    )
    assert (line.agency_id, line.when) == (SCHOOL, on(date(2024, 1, 15)))


def test_an_entry_keeps_the_strictest_caveat_that_any_wording_of_it_ever_had(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10), fact="Told.")), by=COUNCIL)
    log.say(replaces(an_id(10), "Told better.", caveats=(Caveat.POLICE_INTELLIGENCE,)), by=COUNCIL)
    assert facts_of(log.seen_by(ICB, Standing.PARTNER)) == []
    assert facts_of(log.seen_by(POLICE, Standing.PARTNER)) == ["Told.", "Told better."]


def test_a_third_party_entry_is_for_statutory_partners_and_its_author(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10), fact="Told.", third_party=True)), by=SCHOOL)
    assert facts_of(log.seen_by(ICB, Standing.PARTNER)) == ["Told."]
    assert facts_of(log.seen_by(HOSPITAL, Standing.LINKED)) == ["third party"]


def test_a_restricted_marking_without_names_is_for_statutory_partners_and_its_author(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10), fact="Told.", marking=Marking.RESTRICTED)), by=SCHOOL)
    assert facts_of(log.seen_by(ICB, Standing.PARTNER)) == ["Told."]
    assert facts_of(log.seen_by(SCHOOL, Standing.LINKED)) == ["Told."]
    assert facts_of(log.seen_by(HOSPITAL, Standing.LINKED)) == []


def test_a_restricted_dispute_or_question_is_for_statutory_partners_and_whoever_raised_it(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10), fact="Told.")), by=SCHOOL)
    log.say(InformationDisputed(entry_id=an_id(10), grounds="Between us."), by=POLICE, marking=Marking.RESTRICTED)
    log.say(InformationQueried(entry_id=an_id(10), question="Mine?"), by=HOSPITAL, marking=Marking.RESTRICTED)
    log.say(InformationQueried(entry_id=an_id(10), question="Which day?"), by=COUNCIL)

    def notes_for(agency: str, standing: Standing) -> list[str]:
        (line,) = log.seen_by(agency, standing)
        return [note.text for note in line.notes]

    assert notes_for(ICB, Standing.PARTNER) == ["Between us.", "Mine?", "Which day?"]
    assert notes_for(HOSPITAL, Standing.LINKED) == ["Mine?", "Which day?"]
    assert notes_for(SCHOOL, Standing.LINKED) == ["Which day?"]


def test_a_caveat_on_the_whole_case_spares_the_agencies_that_its_restriction_names(log: Log) -> None:
    log.say(a_share(an_entry(an_id(10), fact="Told.")), by=SCHOOL)
    log.say(restricts(None, COUNCIL, SCHOOL, caveats=(Caveat.POLICE_INTELLIGENCE,)), by=POLICE)
    assert facts_of(log.seen_by(COUNCIL, Standing.PARTNER))[:1] == ["Told."]
    assert "Told." not in facts_of(log.seen_by(ICB, Standing.PARTNER))


def test_what_goes_to_the_family_holds_nothing_that_is_not_for_them_or_about_others(log: Log) -> None:
    log.say(
        a_share(
            an_entry(an_id(10), fact="Told."),
            an_entry(an_id(11), caveats=(Caveat.NOT_FOR_FAMILY,)),
            an_entry(an_id(12), third_party=True),
            an_entry(an_id(13), caveats=(Caveat.POLICE_INTELLIGENCE,)),
            an_entry(an_id(14), caveats=(Caveat.LEGALLY_PRIVILEGED,)),
        ),
        by=COUNCIL,
    )
    assert facts_of(log.seen_by(COUNCIL, Standing.PARTNER, for_family=True)) == ["Told.", "third party", "legally privileged"]


def test_the_panel_sees_milestones_and_what_was_sent_to_it_never_local_entries(log: Log) -> None:
    log.say(a_notification(), INCIDENT, COUNCIL)
    log.say(a_share(an_entry(an_id(10), fact="Local.")), by=SCHOOL)
    log.say(an_information_request(an_id(60), SCHOOL), by=BUSINESS_UNIT)
    log.say(an_information_request(an_id(61), SCHOOL, gate=LegalGate.S16D_PANEL), by=PANEL)
    log.say(a_share(an_entry(an_id(11), fact="For the Panel."), request_id=an_id(61)), by=SCHOOL)
    log.say(NilReturn(request_id=an_id(60), searched="All."), by=SCHOOL)
    log.say(NilReturn(request_id=an_id(61), searched="All."), by=HOSPITAL)
    log.say(replaces(an_id(11), "For the Panel, corrected."), by=SCHOOL)
    assert facts_of(log.seen_by(PANEL, Standing.PANEL)) == [
        "For the Panel.",
        "For the Panel, corrected.",
        "Incident notified to the Panel: death, 1 child",
        "Information requested (s16d panel), due on 2024-03-18",
        "Nil return: searched, nothing held",
    ]


def test_findings_are_for_partnership_and_panel_and_for_whoever_made_them(log: Log) -> None:
    log.say(SentToPanel(), RAPID, BUSINESS_UNIT, findings=("rapid_review.sign_off",))
    shown = {
        agency: [len(line.findings) for line in log.seen_by(agency, standing)]
        for agency, standing in ((COUNCIL, Standing.PARTNER), (PANEL, Standing.PANEL), (SCHOOL, Standing.LINKED))
    }
    assert shown == {COUNCIL: [1], PANEL: [1], SCHOOL: [0]}


def test_the_access_rule_knows_partners_the_linked_and_the_panel(log: Log) -> None:
    log.say(a_partnership_established(), f"partnership-{SHARD}", OPERATOR)
    log.say(a_notification(), INCIDENT, COUNCIL)
    log.say(an_information_request(recipient=OTHER_COUNCIL), by=BUSINESS_UNIT)
    log.say(RapidReviewOpened(agencies_asked=(AgencyId(HOSPITAL),)), RAPID, BUSINESS_UNIT)
    answers = {agency: log.standing(agency) for agency in (COUNCIL, ICB, POLICE, BUSINESS_UNIT, OTHER_COUNCIL, HOSPITAL, PANEL)}
    assert answers == {
        COUNCIL: Standing.PARTNER,
        ICB: Standing.PARTNER,
        POLICE: Standing.PARTNER,
        BUSINESS_UNIT: Standing.PARTNER,
        OTHER_COUNCIL: Standing.LINKED,
        HOSPITAL: Standing.LINKED,
        PANEL: Standing.PANEL,
    }
    for agency in (SCHOOL, STRANGER):
        assert log.standing(agency) is DenialReason.NOT_LINKED
    for agency in (OPERATOR, HUB):
        assert log.standing(agency) is DenialReason.KIND


def test_a_case_that_nothing_was_said_of_is_no_ones(log: Log) -> None:
    log.say(a_partnership_established(), f"partnership-{SHARD}", OPERATOR)
    assert {log.standing(agency) for agency in (COUNCIL, SCHOOL, PANEL)} == {DenialReason.NOT_LINKED}


def test_a_restricted_case_is_read_by_named_agencies_and_the_panel_only(log: Log) -> None:
    log.say(a_partnership_established(), f"partnership-{SHARD}", OPERATOR)
    log.say(a_share(), by=SCHOOL)
    log.say(restricts(None, POLICE, SCHOOL), by=POLICE)
    answers = {agency: log.standing(agency) for agency in (POLICE, SCHOOL, COUNCIL, PANEL, HOSPITAL)}
    assert answers == {
        POLICE: Standing.PARTNER,
        SCHOOL: Standing.LINKED,
        COUNCIL: DenialReason.RESTRICTED,
        PANEL: Standing.PANEL,
        HOSPITAL: DenialReason.NOT_LINKED,
    }


def test_a_restriction_whose_body_is_gone_still_restricts_to_whoever_raised_it(log: Log) -> None:
    log.say(a_partnership_established(), f"partnership-{SHARD}", OPERATOR)
    log.say(a_share(), by=SCHOOL)
    log.put(body_gone(replace(recorded(restricts(None, ICB), by=POLICE, version=3), stream=SHARING)))  # type: ignore[arg-type]
    assert (log.standing(POLICE), log.standing(ICB)) == (Standing.PARTNER, DenialReason.RESTRICTED)


def test_of_a_sharing_stream_that_could_not_be_read_to_its_end_each_agency_sees_its_own_alone(log: Log) -> None:
    log.say(a_notification(), INCIDENT, COUNCIL)
    log.say(a_share(an_entry(an_id(10), fact="The school's.")), by=SCHOOL)
    log.say(a_share(an_entry(an_id(11), fact="The police's.")), by=POLICE)
    log.park()
    log.say(replaces(an_id(10), "Restricted by now.", marking=Marking.RESTRICTED), by=SCHOOL)
    notified = "Incident notified to the Panel: death, 1 child"
    seen = {agency: facts_of(log.seen_by(agency, Standing.PARTNER)) for agency in (COUNCIL, POLICE)}
    assert {agency: sorted(facts) for agency, facts in seen.items()} == {COUNCIL: [notified], POLICE: [notified, "The police's."]}
    assert sorted(facts_of(log.seen_by(SCHOOL, Standing.LINKED))) == [notified, "The school's."]
    assert facts_of(log.seen_by(POLICE, Standing.PARTNER, for_family=True)) == [notified]
    assert facts_of(log.seen_by(PANEL, Standing.PANEL)) == [notified]


def test_a_restriction_closes_the_case_though_its_stream_could_not_be_read(log: Log) -> None:
    log.say(a_partnership_established(), f"partnership-{SHARD}", OPERATOR)
    log.say(a_notification(), INCIDENT, COUNCIL)
    log.park()
    assert log.standing(ICB) is Standing.PARTNER
    log.say(restricts(None, COUNCIL, POLICE), by=BUSINESS_UNIT)
    assert [log.standing(agency) for agency in (COUNCIL, ICB)] == [Standing.PARTNER, DenialReason.RESTRICTED]
    log.put(body_gone(replace(recorded(restricts(None, COUNCIL), by=POLICE, stream=SHARING), position=log.position + 1)))
    assert [log.standing(agency) for agency in (COUNCIL, POLICE)] == [DenialReason.RESTRICTED, Standing.PARTNER]


def test_a_restriction_that_cannot_be_read_closes_the_case_to_all_but_the_panel(log: Log) -> None:
    log.say(a_partnership_established(), f"partnership-{SHARD}", OPERATOR)
    log.say(a_notification(), INCIDENT, COUNCIL)
    log.park(event_type=InformationRestricted.EVENT_TYPE)
    log.park(event_type=InformationRestricted.EVENT_TYPE)
    assert [log.standing(agency) for agency in (COUNCIL, PANEL)] == [DenialReason.RESTRICTED, Standing.PANEL]


def test_membership_is_judged_by_the_list_in_force_today(log: Log) -> None:
    log.say(a_partnership_established(), f"partnership-{SHARD}", OPERATOR)
    log.say(a_notification(), INCIDENT, COUNCIL)
    change = MembershipChanged(
        change=MembershipChange.MERGER,
        effective_on=date(2024, 7, 1),
        business_unit=BUSINESS_UNIT,
        partners=(COUNCIL, OTHER_COUNCIL, ICB, POLICE),
    )
    log.say(change, f"partnership-{SHARD}", OPERATOR)
    assert log.standing(OTHER_COUNCIL, date(2024, 6, 30)) is DenialReason.NOT_LINKED
    assert log.standing(OTHER_COUNCIL, date(2024, 7, 1)) is Standing.PARTNER


# ── rows ──


def test_every_event_type_is_handled_or_ignored_and_every_case_event_has_its_words() -> None:
    assert CHRONOLOGY.handles | CHRONOLOGY.ignores == set(EVENT_TYPES)
    assert not CHRONOLOGY.handles & CHRONOLOGY.ignores
    assert {event.EVENT_TYPE for event in HEADLINES} < CHRONOLOGY.handles


STEPS: tuple[tuple[Event, str, str], ...] = (
    (a_partnership_established(), f"partnership-{SHARD}", OPERATOR),
    (a_referral(CHILD), INCIDENT, SCHOOL),
    (a_notification(), INCIDENT, COUNCIL),
    (an_information_request(), SHARING, BUSINESS_UNIT),
    (a_share(an_entry(an_id(10)), an_entry(an_id(11))), SHARING, SCHOOL),
    (replaces(an_id(10), "Corrected."), SHARING, SCHOOL),
    (InformationDisputed(entry_id=an_id(11), grounds="No."), SHARING, POLICE),
    (restricts(an_id(11), POLICE), SHARING, SCHOOL),
    (restricts(None, POLICE), f"sharing-{OTHER_CASE}", POLICE),
    (SentToPanel(), RAPID, BUSINESS_UNIT),
)


@settings(max_examples=8, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.sampled_from(STEPS), st.booleans()), max_size=16),
    cuts=st.lists(st.integers(0, 16), max_size=5),
)
def test_rows_are_the_same_however_the_log_is_cut(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[tuple[Event, str, str], bool]], cuts: list[int]
) -> None:
    database = ViewDatabase(f"sqlite:///{tmp_path_factory.mktemp('cut') / 'views.sqlite'}", [CHRONOLOGY])
    events = [
        recorded(event, by=by, stream=stream, version=place, shard=Shard(SHARD)) for place, ((event, stream, by), _) in enumerate(steps, 1)
    ]
    events = [body_gone(one) if gone else one for one, (_, gone) in zip(events, steps, strict=True)]
    whole = database.begin_build("chronology").generation
    database.swap("chronology", whole)
    database.apply("chronology", whole, SHARD, events, len(events))
    pieces = database.begin_build("chronology").generation
    for start, end in itertools.pairwise([0, *sorted(cut for cut in cuts if cut <= len(events)), len(events)]):
        database.apply("chronology", pieces, SHARD, events[start:end], end)
    assert database.parked("chronology", whole) == ()
    assert database.digest("chronology", pieces) == database.digest("chronology", whole)
    with database.reading("chronology") as look:
        for order in Order:
            case_lines(look.connection, look.tables, SHARD, CASE, order=order, known_at=None, calendar=CALENDAR)
    database.close()


def test_every_read_is_a_search_by_index_whatever_the_store_holds(log: Log) -> None:
    log.say(a_share())
    searched: list[str] = []

    def explain(connection: Connection, _cursor: object, statement: str, parameters: object, *_rest: object) -> None:
        if statement.startswith("SELECT"):
            plan = connection.connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
            searched.extend(row[3] for row in plan)

    with log.database.reading("chronology") as look:
        event.listen(look.connection, "before_cursor_execute", explain)
        access_facts(look.connection, look.tables, log.shard, CASE)
        case_lines(look.connection, look.tables, log.shard, CASE, order=Order.AS_KNOWN, known_at=None, calendar=CALENDAR)
        cases_of_child(look.connection, look.tables, log.shard, CHILD)
    assert len([step for step in searched if step.startswith("SEARCH")]) == 7
    assert not [step for step in searched if step.startswith("SCAN")]


def test_details_occurred_says_when_a_milestone_happened(log: Log) -> None:
    log.say(SafetyActionTaken(action="Synthetic.", details=Details(occurred=on(date(2024, 2, 1)))), INCIDENT, COUNCIL)
    assert [line.when for line in log.lines()] == [on(date(2024, 2, 1))]
