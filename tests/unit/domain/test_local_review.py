from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st

from domain.incident.codes import ProceedingKind
from domain.incident.state import Facts as IncidentFacts
from domain.incident.state import Incident, Proceeding, Withdrawn, incident_stream
from domain.kernel.events import Event
from domain.kernel.ids import RequestId, Stream
from domain.kernel.rules import Rule
from domain.local_review import rules
from domain.local_review.decider import DECIDER
from domain.local_review.events import (
    AnonymisationApproved,
    AnonymisationCheck,
    CommentReceived,
    ConflictDeclared,
    CopyKind,
    CopyProvided,
    CopyRecipient,
    DepositedWithRepository,
    DraftRequestedInWriting,
    FamilyDeclined,
    FamilyInformed,
    FamilyViewsReceived,
    ImprovementsOnlyPublished,
    LocalReviewDrafted,
    LocalReviewInitiated,
    LocalReviewPublished,
    LocalReviewUnpublished,
    MethodAgreed,
    NonPublicationJustified,
    PractitionersInvolved,
    ProgressChecked,
    PublicationDeclined,
    PublicationRescheduled,
    PublicationScheduled,
    RecommendationMade,
    RegardToCommentRecorded,
    ReportCompleted,
    ReviewerAppointed,
    ReviewerRemoved,
    TermsOfReferenceAgreed,
)
from domain.local_review.findings import open_prerequisites
from domain.local_review.state import LocalReview, Published, facts_of, planned_on, reviewers
from domain.partnership.state import partnership_stream
from domain.rapid_review.decider import DECIDER as RAPID_REVIEW
from domain.rapid_review.events import Decision, DecisionMade, DecisionReconsidered, RapidReviewOpened
from domain.rapid_review.state import RapidReview, rapid_review_stream
from tests.support.builders import (
    BUSINESS_UNIT,
    CASE,
    COUNCIL,
    HUB,
    ICB,
    LSCB,
    MONDAY,
    OPERATOR,
    OTHER_COUNCIL,
    PANEL,
    POLICE,
    PROCEEDING,
    SCHOOL,
    SHARD,
    a_notified_incident,
    a_partnership,
    an_event_id,
    an_id,
    body_gone,
    corrects,
    done,
    recorded,
)
from tests.support.spec import Given, Spec
from tests.support.story import Step, after, after_those_admitted, attempt, logged

REVIEWER = an_id(41)
SECOND_REVIEWER = an_id(42)
COMMENT = an_id(43)
MISTAKE = an_event_id(77)

PUBLICATION_DAY = datetime(2024, 3, 14, 10, tzinfo=UTC)
"""A Thursday; seven working days before it is Tuesday 5 March 2024."""
IN_TIME = datetime(2024, 3, 5, 23, 30, tzinfo=UTC)
TOO_LATE = datetime(2024, 3, 6, 0, 30, tzinfo=UTC)


def a_decided_rapid_review(*decisions: Event) -> RapidReview:
    said = (RapidReviewOpened(), *decisions)
    return RAPID_REVIEW.fold(recorded(event, version=version) for version, event in enumerate(said, start=1))


def decided(decision: Decision) -> DecisionMade:
    return DecisionMade(decision=decision, rationale="Synthetic rationale.")


def reconsidered(decision: Decision) -> DecisionReconsidered:
    return DecisionReconsidered(decision=decision, rationale="Synthetic rationale.")


def an_incident(*, live: bool = False, restricts: bool = True) -> Incident:
    proceeding = Proceeding(kind=ProceedingKind.CRIMINAL, said={an_event_id(1): restricts}, live=live)
    return a_notified_incident(facts=IncidentFacts(proceedings={PROCEEDING: proceeding}))


RESTRAINED = {incident_stream(CASE): an_incident(live=True)}
CLEARED = {incident_stream(CASE): an_incident(live=True, restricts=False)}


def start(*decisions: Event, incident: Incident | None = None) -> Given[LocalReview]:
    others: dict[Stream, Any] = {
        incident_stream(CASE): a_notified_incident() if incident is None else incident,
        partnership_stream(SHARD): a_partnership(),
        rapid_review_stream(CASE): a_decided_rapid_review(*(decisions or (decided(Decision.LOCAL_REVIEW),))),
    }
    return Spec(DECIDER, others=others).given()


def appointed(reviewer: RequestId = REVIEWER) -> ReviewerAppointed:
    return ReviewerAppointed(reviewer_id=reviewer, experience="Synthetic experience.")


def report(version: int = 1) -> ReportCompleted:
    return ReportCompleted(executive_summary="Synthetic summary.", document_sha256=bytes([version]) * 32)


def copy(recipient: CopyRecipient, kind: CopyKind = CopyKind.FULL_REPORT) -> CopyProvided:
    return CopyProvided(recipient=recipient, copy_kind=kind)


def copies(kind: CopyKind = CopyKind.FULL_REPORT, at: datetime = MONDAY) -> tuple[Step, ...]:
    return tuple(Step(copy(recipient, kind), at=at) for recipient in CopyRecipient)


INITIATED = LocalReviewInitiated(decided_on=date(2024, 3, 1))
TERMS = TermsOfReferenceAgreed(terms="Synthetic terms.")
METHOD = MethodAgreed(method="Systems review")
REMOVED = ReviewerRemoved(reviewer_id=REVIEWER, reason="Synthetic reason.")
CONFLICT = ConflictDeclared(reviewer_id=REVIEWER, nature="Synthetic interest.")
FAMILY_INFORMED = FamilyInformed(how="A letter")
VIEWS = FamilyViewsReceived(views="Synthetic views.")
FAMILY_DECLINED = FamilyDeclined()
PRACTITIONERS = PractitionersInvolved(how="A learning event")
PROGRESS = ProgressChecked(on_track=True, assessment="Synthetic assessment.")
DRAFT_ASKED = DraftRequestedInWriting(due_on=date(2024, 6, 1))
DRAFTED = LocalReviewDrafted(summary="Synthetic summary.")
REPORT = report()
APPROVED = AnonymisationApproved(by_role="Head of safeguarding", checks=tuple(AnonymisationCheck))
SCHEDULED = PublicationScheduled(planned_on=PUBLICATION_DAY.date())
RESCHEDULED = PublicationRescheduled(planned_on=date(2024, 4, 15), reason="Synthetic reason.")
COMMENTED = CommentReceived(comment_id=COMMENT, sender=CopyRecipient.PANEL, comment="Synthetic comment.")
REGARD = RegardToCommentRecorded(comment_id=COMMENT, response="Synthetic response.")
RECOMMENDED = RecommendationMade(recommendation_id=an_id(44), recommendation="Synthetic.", addressed_to="The council")
DECLINED = PublicationDeclined(rationale="Synthetic rationale.")
PUBLISHED = Step(LocalReviewPublished(location="https://example.test/report"), at=PUBLICATION_DAY)
IMPROVEMENTS = Step(ImprovementsOnlyPublished(location="https://example.test/improvements"), at=PUBLICATION_DAY)
JUSTIFIED = NonPublicationJustified(justification="Synthetic justification.")
DEPOSITED = DepositedWithRepository(reference="Synthetic reference")
UNPUBLISHED = LocalReviewUnpublished(court_order="Synthetic order.")

FLAWLESS = (
    Step(INITIATED),
    Step(appointed()),
    Step(TERMS),
    Step(METHOD),
    Step(FAMILY_INFORMED),
    Step(VIEWS),
    Step(FAMILY_DECLINED),
    Step(PRACTITIONERS),
    Step(PROGRESS),
    Step(DRAFT_ASKED),
    Step(DRAFTED),
    Step(RECOMMENDED),
    Step(REPORT),
    Step(APPROVED),
    Step(SCHEDULED),
    *copies(),
    Step(COMMENTED, by=PANEL),
    Step(REGARD),
    PUBLISHED,
    Step(DEPOSITED),
)


def begun() -> Given[LocalReview]:
    return after(start(), INITIATED, appointed())


def complete() -> Given[LocalReview]:
    return after(begun(), REPORT)


def imported_report() -> Given[LocalReview]:
    """A review of November 2023 whose report is complete and approved."""
    details = done(datetime(2023, 11, 1, tzinfo=UTC))
    return after(start(), *(Step(replace(one, details=details), imported=True) for one in (INITIATED, appointed(), REPORT, APPROVED)))


def ready() -> Given[LocalReview]:
    """A review that may be published on the planned day without a finding."""
    return after(complete(), APPROVED, SCHEDULED, *copies())


def published() -> Given[LocalReview]:
    return after(ready(), PUBLISHED)


def stage(given: Given[LocalReview]) -> str:
    return type(given.state).__name__


# ── a whole review ──


def test_a_review_is_decided_after_its_incident_and_published_after_that() -> None:
    happened_on = date(2024, 2, 28)
    start().when(LocalReviewInitiated(decided_on=happened_on - timedelta(days=1))).refused(rules.IMPOSSIBLE_DAYS)
    start().when(LocalReviewInitiated(decided_on=happened_on)).then()
    begun = after(start(), Step(INITIATED, event_id=MISTAKE))
    begun.when(LocalReviewInitiated(decided_on=happened_on - timedelta(days=1), details=corrects(MISTAKE))).refused(rules.IMPOSSIBLE_DAYS)
    begun.when(PublicationScheduled(planned_on=INITIATED.decided_on - timedelta(days=1))).refused(rules.IMPOSSIBLE_DAYS)
    scheduled = after(begun, Step(PublicationScheduled(planned_on=INITIATED.decided_on)))
    scheduled.when(replace(RESCHEDULED, planned_on=happened_on)).refused(rules.IMPOSSIBLE_DAYS)
    later = LocalReviewInitiated(decided_on=INITIATED.decided_on + timedelta(days=1), details=corrects(MISTAKE))
    scheduled.when(later).refused(rules.IMPOSSIBLE_DAYS)
    begun.when(later).then()


def test_a_flawless_review_is_admitted_without_a_finding_and_ends_published() -> None:
    given = after(start(), *FLAWLESS)
    assert [one.findings for one in given.history] == [()] * len(FLAWLESS)
    assert given.state == Published(facts=facts_of(given.state), report=True)
    assert DECIDER.open_rules(given.state) == frozenset()


def test_a_review_passes_its_stages_in_order() -> None:
    stages = []
    given = start()
    for step in FLAWLESS:
        given = after(given, step)
        stages.append(stage(given))
    assert list(dict.fromkeys(stages)) == [
        "Initiated",
        "Appointed",
        "InProgress",
        "Drafted",
        "FinalReport",
        "PrePublication",
        "Published",
    ]


def test_imported_history_is_admitted_in_its_natural_order_and_judged_by_its_own_days() -> None:
    begun_at = datetime(2020, 6, 1, 9, tzinfo=UTC)
    history = [
        replace(step, imported=True, at=MONDAY, event=replace(step.event, details=done(begun_at + timedelta(days=20 * place))))
        for place, step in enumerate(FLAWLESS)
    ]
    given = after(start(), *history)
    assert [one.findings for one in given.history] == [()] * len(FLAWLESS)


def test_terms_may_be_agreed_before_a_reviewer_is_appointed() -> None:
    given = after(start(), INITIATED, TERMS)
    assert stage(given) == "Initiated"
    assert stage(after(given, appointed())) == "Appointed"


def test_without_its_reviewer_a_review_not_yet_worked_on_waits_for_another() -> None:
    assert stage(after(begun(), REMOVED)) == "Initiated"
    assert stage(after(begun(), TERMS, REMOVED)) == "InProgress"


# ── initiating ──


@pytest.mark.parametrize(
    "decisions",
    [
        (decided(Decision.NO_LOCAL_REVIEW),),
        (decided(Decision.UNDECIDED),),
        (decided(Decision.LOCAL_REVIEW), reconsidered(Decision.NO_LOCAL_REVIEW)),
    ],
)
def test_a_review_begins_only_upon_the_decision(decisions: tuple[Event, ...]) -> None:
    start(*decisions).when(INITIATED).refused(rules.NEEDS_DECISION)


def test_a_reconsidered_decision_counts() -> None:
    start(decided(Decision.NO_LOCAL_REVIEW), reconsidered(Decision.LOCAL_REVIEW)).when(INITIATED).then()


def test_a_review_does_not_begin_without_a_rapid_review() -> None:
    Spec(DECIDER).given().when(INITIATED).refused(rules.NEEDS_DECISION)


def test_a_review_does_not_begin_once_the_notification_is_withdrawn_but_goes_on() -> None:
    withdrawn = Withdrawn(facts=IncidentFacts(), notified=a_notified_incident())
    start(incident=withdrawn).when(INITIATED).refused(rules.NOTIFICATION_WITHDRAWN)
    begun().when(TERMS, others={incident_stream(CASE): withdrawn}).then()


def test_a_review_begins_once() -> None:
    begun().when(INITIATED).refused(rules.CONTRADICTION)


@pytest.mark.parametrize("step", FLAWLESS[1:], ids=lambda step: step.event.EVENT_TYPE)
def test_nothing_comes_before_the_beginning(step: Step) -> None:
    attempt(start(), step).refused(rules.NOT_INITIATED)


# ── who may say it ──

EVERYONE_ELSE = (COUNCIL, ICB, POLICE, SCHOOL, OTHER_COUNCIL, PANEL, OPERATOR, HUB, LSCB, "partnership-elsewhere")
JOINT = (
    *(step.event for step in FLAWLESS if step.event != COMMENTED),
    REMOVED,
    CONFLICT,
    RESCHEDULED,
    DECLINED,
    IMPROVEMENTS.event,
    JUSTIFIED,
    UNPUBLISHED,
)


@pytest.mark.parametrize("event", JOINT, ids=lambda event: event.EVENT_TYPE)
def test_only_the_business_unit_speaks_for_the_partners_jointly(event: Event) -> None:
    for by in EVERYONE_ELSE:
        start().when(event, by=by).refused(rules.NOT_THE_PARTNERSHIP)


@pytest.mark.parametrize("by", [agency for agency in EVERYONE_ELSE if agency != PANEL])
def test_comments_are_recorded_by_nobody_else_than_the_panel_and_the_business_unit(by: str) -> None:
    complete().when(COMMENTED, by=by).refused(rules.NOT_A_RECORDER_OF_COMMENTS)


@pytest.mark.parametrize("sender", CopyRecipient)
@pytest.mark.parametrize("by", [PANEL, BUSINESS_UNIT])
def test_the_panel_and_the_business_unit_record_what_any_recipient_says(sender: CopyRecipient, by: str) -> None:
    complete().when(replace(COMMENTED, sender=sender), by=by).then()


# ── reviewers ──


def test_only_an_appointed_reviewer_is_removed_or_has_a_conflict() -> None:
    given = after(start(), INITIATED, appointed(SECOND_REVIEWER))
    given.when(REMOVED).refused(rules.NEEDS_REVIEWER)
    given.when(CONFLICT).refused(rules.NEEDS_REVIEWER)


def test_a_reviewer_is_appointed_and_removed_by_turns() -> None:
    begun().when(appointed()).refused(rules.CONTRADICTION)
    given = after(begun(), appointed(SECOND_REVIEWER), REMOVED)
    assert reviewers(facts_of(given.state)) == {SECOND_REVIEWER}
    given.when(REMOVED).refused(rules.CONTRADICTION)
    given.when(appointed()).then()


GOES_ON = (TERMS, METHOD, VIEWS, PRACTITIONERS, DRAFT_ASKED, DRAFTED, REPORT, SCHEDULED)


@pytest.mark.parametrize("event", GOES_ON, ids=lambda event: event.EVENT_TYPE)
def test_work_with_a_conflicted_reviewer_is_a_finding_until_the_reviewer_is_removed(event: Event) -> None:
    given = after(begun(), CONFLICT)
    given.when(event).then(rules.CONFLICTED_REVIEWER)
    after(given, event).when(REMOVED).then().mends(rules.CONFLICTED_REVIEWER)
    after(given, REMOVED, appointed(SECOND_REVIEWER)).when(event).then()


def test_every_conflicted_reviewer_has_to_go() -> None:
    second = replace(CONFLICT, reviewer_id=SECOND_REVIEWER)
    given = after(begun(), appointed(SECOND_REVIEWER), CONFLICT, second, DRAFTED)
    given.when(REMOVED).then().mends()
    after(given, REMOVED).when(replace(REMOVED, reviewer_id=SECOND_REVIEWER)).then().mends(rules.CONFLICTED_REVIEWER)


@pytest.mark.parametrize("step", [PUBLISHED, IMPROVEMENTS])
def test_publication_with_a_conflicted_reviewer_is_a_finding(step: Step) -> None:
    attempt(after(ready(), CONFLICT), step).then(rules.CONFLICTED_REVIEWER)
    attempt(after(ready(), CONFLICT, REMOVED), step).then()


@pytest.mark.parametrize("event", [CONFLICT, FAMILY_INFORMED, PROGRESS, COMMENTED])
def test_telling_and_checking_go_on_with_a_conflicted_reviewer(event: Event) -> None:
    after(begun(), DRAFTED, CONFLICT).when(event).then()


@pytest.mark.parametrize("event", [DRAFTED, REPORT])
def test_a_report_without_a_reviewer_is_a_finding_until_one_is_recorded(event: Event) -> None:
    given = after(start(), INITIATED)
    given.when(event).then(rules.NO_REVIEWER)
    after(given, event).when(appointed()).then().mends(rules.NO_REVIEWER)
    after(begun(), REMOVED).when(event).then()


# ── references ──


@pytest.mark.parametrize("step", [Step(APPROVED), Step(copy(CopyRecipient.PANEL)), PUBLISHED, IMPROVEMENTS])
def test_what_speaks_of_the_report_needs_it(step: Step) -> None:
    attempt(after(begun(), DRAFTED), step).refused(rules.NEEDS_REPORT)


def test_a_comment_needs_a_draft_or_report() -> None:
    begun().when(COMMENTED).refused(rules.NEEDS_DRAFT)
    after(begun(), DRAFTED).when(COMMENTED).then()


def test_regard_is_had_once_to_a_received_comment() -> None:
    complete().when(REGARD).refused(rules.NEEDS_COMMENT)
    given = after(complete(), COMMENTED)
    given.when(COMMENTED).refused(rules.CONTRADICTION)
    given.when(REGARD).then()
    after(given, REGARD).when(REGARD).refused(rules.CONTRADICTION)


def test_only_a_planned_publication_is_rescheduled() -> None:
    complete().when(RESCHEDULED).refused(rules.NEEDS_SCHEDULE)
    after(complete(), SCHEDULED, DECLINED).when(RESCHEDULED).refused(rules.NEEDS_SCHEDULE)
    assert planned_on(facts_of(after(complete(), SCHEDULED, RESCHEDULED).state)) == date(2024, 4, 15)


def test_non_publication_is_justified_once_it_was_declined_to_publish() -> None:
    complete().when(JUSTIFIED).refused(rules.NEEDS_DECLINING)
    given = after(complete(), DECLINED)
    given.when(JUSTIFIED).then()
    after(given, JUSTIFIED).when(JUSTIFIED).refused(rules.CONTRADICTION)


@pytest.mark.parametrize("event", [DEPOSITED, UNPUBLISHED])
def test_only_what_is_public_is_deposited_or_unpublished(event: Event) -> None:
    ready().when(event).refused(rules.NEEDS_PUBLICATION)
    published().when(event).then()
    after(published(), UNPUBLISHED).when(event).refused(rules.NEEDS_PUBLICATION)


def test_information_about_improvements_is_not_deposited_as_the_report() -> None:
    after(ready(), IMPROVEMENTS).when(DEPOSITED).refused(rules.NEEDS_PUBLICATION)


# ── once, and the end ──


@pytest.mark.parametrize("event", [SCHEDULED, DECLINED, REPORT, RECOMMENDED, copy(CopyRecipient.OFSTED)])
def test_what_can_be_said_only_once_is_not_said_again(event: Event) -> None:
    given = begun() if event == REPORT else complete()
    after(given, event).when(event).refused(rules.CONTRADICTION)


def test_a_report_is_deposited_once_each_time_it_is_published() -> None:
    given = after(published(), DEPOSITED)
    given.when(DEPOSITED).refused(rules.CONTRADICTION)
    after(given, UNPUBLISHED, PUBLISHED).when(DEPOSITED).then()


def test_partners_may_decline_and_justify_again_what_they_planned_again() -> None:
    given = after(complete(), DECLINED, JUSTIFIED, SCHEDULED)
    given.when(DECLINED).then()
    after(given, DECLINED).when(JUSTIFIED).then()


def test_a_revised_report_is_copied_again() -> None:
    after(ready(), report(2)).when(copy(CopyRecipient.PANEL)).then()


@pytest.mark.parametrize("event", [TERMS, METHOD, PRACTITIONERS, PROGRESS, DRAFT_ASKED, DRAFTED, report(2)])
def test_the_work_ends_with_publication_or_justified_non_publication(event: Event) -> None:
    published().when(event).refused(rules.FINISHED)
    after(ready(), IMPROVEMENTS).when(event).refused(rules.FINISHED)
    after(complete(), DECLINED, JUSTIFIED).when(event).refused(rules.FINISHED)
    after(begun(), DECLINED, JUSTIFIED).when(event).then()


@pytest.mark.parametrize("event", [SCHEDULED, PUBLISHED.event, IMPROVEMENTS.event, DECLINED])
def test_a_public_report_is_not_planned_published_or_declined_again(event: Event) -> None:
    published().when(event).refused(rules.CONTRADICTION)


def test_a_public_report_is_not_justified_as_unpublished() -> None:
    given = after(ready(), DECLINED, PUBLISHED)
    given.when(JUSTIFIED).refused(rules.CONTRADICTION)


@pytest.mark.parametrize(
    "event", [FAMILY_INFORMED, COMMENTED, RECOMMENDED, APPROVED, CONFLICT, REMOVED, copy(CopyRecipient.OFSTED, CopyKind.IMPROVEMENTS)]
)
def test_what_still_happens_after_publication_is_recorded(event: Event) -> None:
    published().when(event).then()


def test_improvements_may_become_public_after_declining_and_the_report_after_them() -> None:
    given = after(ready(), DECLINED, JUSTIFIED)
    assert stage(given) == "NotPublished"
    given = after(given, IMPROVEMENTS)
    assert given.state == Published(facts=facts_of(given.state), report=False)
    attempt(given, IMPROVEMENTS).refused(rules.CONTRADICTION)
    given = after(given, PUBLISHED)
    assert given.state == Published(facts=facts_of(given.state), report=True)


def test_a_justification_after_improvements_leaves_them_public() -> None:
    given = after(ready(), DECLINED, IMPROVEMENTS, JUSTIFIED)
    assert given.state == Published(facts=facts_of(given.state), report=False)


def test_what_was_not_published_may_be_planned_anew() -> None:
    given = after(ready(), DECLINED, JUSTIFIED, SCHEDULED)
    assert stage(given) == "PrePublication"
    attempt(given, PUBLISHED).then()


def test_what_a_court_took_out_of_view_may_be_published_again() -> None:
    given = after(published(), UNPUBLISHED)
    assert stage(given) == "NotPublished"
    attempt(given, PUBLISHED).then()


def test_publication_may_be_planned_before_the_report_is_complete() -> None:
    given = after(begun(), SCHEDULED)
    assert stage(given) == "Appointed"
    assert stage(after(given, REPORT)) == "PrePublication"


# ── publication ──


@pytest.mark.parametrize("step", [PUBLISHED, IMPROVEMENTS])
def test_publication_without_approved_anonymisation_is_a_finding_until_approved(step: Step) -> None:
    given = after(complete(), *copies())
    attempt(given, step).then(rules.NOT_ANONYMISED)
    after(given, step).when(APPROVED).then().mends(rules.NOT_ANONYMISED)


def test_a_revised_report_needs_approval_anew() -> None:
    given = after(ready(), report(2))
    attempt(given, PUBLISHED).then(rules.NOT_ANONYMISED)
    attempt(after(given, APPROVED), PUBLISHED).then()


@pytest.mark.parametrize("missing", CopyRecipient)
@pytest.mark.parametrize("step", [PUBLISHED, IMPROVEMENTS])
def test_publication_without_every_copy_is_a_finding_until_it_is_provided(missing: CopyRecipient, step: Step) -> None:
    others = [one for one in copies() if one.event != copy(missing)]
    given = after(complete(), APPROVED, *others)
    attempt(given, step).then(rules.COPIES_MISSING)
    mending = copy(missing)
    after(given, step).when(mending, at=PUBLICATION_DAY).then().mends(rules.COPIES_MISSING)


def test_providing_one_of_two_missing_copies_mends_nothing_yet() -> None:
    given = after(complete(), APPROVED, copy(CopyRecipient.OFSTED), PUBLISHED)
    given.when(copy(CopyRecipient.PANEL), at=PUBLICATION_DAY).then().mends()


@pytest.mark.parametrize(
    ("recipient", "expected"),
    [
        (CopyRecipient.PANEL, [rules.COPIES_MISSING]),
        (CopyRecipient.SECRETARY_OF_STATE, [rules.COPIES_MISSING]),
        (CopyRecipient.OFSTED, []),
    ],
)
def test_improvements_are_no_copy_of_the_report_but_for_ofsted(recipient: CopyRecipient, expected: list[Rule]) -> None:
    given = after(
        complete(), APPROVED, *(copy(to, CopyKind.IMPROVEMENTS if to is recipient else CopyKind.FULL_REPORT) for to in CopyRecipient)
    )
    attempt(given, PUBLISHED).then(*expected)


def test_improvements_are_copy_enough_before_improvements_are_published() -> None:
    attempt(after(complete(), APPROVED, *copies(CopyKind.IMPROVEMENTS)), IMPROVEMENTS).then()


@pytest.mark.parametrize(("at", "expected"), [(IN_TIME, []), (TOO_LATE, [rules.COPIES_LATE])])
@pytest.mark.parametrize("step", [PUBLISHED, IMPROVEMENTS])
def test_a_copy_less_than_seven_working_days_before_publication_is_a_finding(at: datetime, expected: list[Rule], step: Step) -> None:
    given = after(complete(), APPROVED, *copies()[:2], Step(copy(CopyRecipient.OFSTED), at=at))
    attempt(given, step).then(*expected)


def test_a_second_copy_does_not_make_the_first_late() -> None:
    given = after(ready(), Step(copy(CopyRecipient.OFSTED, CopyKind.IMPROVEMENTS), at=TOO_LATE))
    attempt(given, PUBLISHED).then()


def test_copies_of_the_improvements_mend_their_publication() -> None:
    given = after(complete(), APPROVED, *copies(CopyKind.IMPROVEMENTS)[:2], IMPROVEMENTS)
    given.when(copy(CopyRecipient.OFSTED, CopyKind.IMPROVEMENTS), at=PUBLICATION_DAY).then().mends(rules.COPIES_MISSING)


def test_a_bank_holiday_is_no_working_day() -> None:
    # Easter 2024: Good Friday 29 March, Easter Monday 1 April; seven working days before 8 April is 26 March.
    def published_after_copies_of(day: int) -> list[Rule]:
        given = after(complete(), APPROVED, *copies(at=datetime(2024, 3, day, 12, tzinfo=UTC)))
        outcome = attempt(given, replace(PUBLISHED, at=datetime(2024, 4, 8, 12, tzinfo=UTC)))
        return [finding.rule for finding in outcome.findings]

    assert [published_after_copies_of(day) for day in (26, 27)] == [[], [rules.COPIES_LATE]]


def test_a_publication_outside_the_calendar_is_not_judged_by_working_days() -> None:
    given = after(complete(), APPROVED, *copies(at=datetime(2098, 1, 2, tzinfo=UTC)))
    attempt(given, replace(PUBLISHED, at=datetime(2098, 1, 3, tzinfo=UTC))).then()


def test_a_late_live_copy_stays_late_whatever_is_said_of_its_day_later() -> None:
    late = Step(copy(CopyRecipient.OFSTED), at=TOO_LATE, event_id=MISTAKE)
    given = after(complete(), APPROVED, *copies()[:2], late, PUBLISHED)
    right = replace(copy(CopyRecipient.OFSTED), details=corrects(MISTAKE, done_at=datetime(2023, 12, 1, tzinfo=UTC)))
    for imported in (False, True):
        given.when(right, at=PUBLICATION_DAY, imported=imported).then().mends()


def test_a_late_imported_copy_is_mended_only_by_correcting_a_wrong_day_in_imported_history() -> None:
    published_at = datetime(2023, 12, 14, 10, tzinfo=UTC)
    said_late = replace(copy(CopyRecipient.OFSTED), details=done(datetime(2023, 12, 13, tzinfo=UTC)))
    late = Step(said_late, at=PUBLICATION_DAY, event_id=MISTAKE, imported=True)
    others = [
        replace(one, event=replace(one.event, details=done(datetime(2023, 12, 1, tzinfo=UTC))), imported=True) for one in copies()[:2]
    ]
    published = replace(PUBLISHED, event=replace(PUBLISHED.event, details=done(published_at)), imported=True)
    given = after(imported_report(), *others, late, published)
    assert DECIDER.open_rules(given.state) == {rules.COPIES_LATE}
    given.when(copy(CopyRecipient.OFSTED, CopyKind.IMPROVEMENTS), at=PUBLICATION_DAY).then().mends()
    right = replace(copy(CopyRecipient.OFSTED), details=corrects(MISTAKE, done_at=datetime(2023, 12, 1, tzinfo=UTC)))
    given.when(right, at=PUBLICATION_DAY).then().mends()
    given.when(right, at=PUBLICATION_DAY, imported=True).then().mends(rules.COPIES_LATE)


@pytest.mark.parametrize("event", [PROGRESS, copy(CopyRecipient.PANEL), PUBLISHED.event])
def test_no_history_is_told_of_a_day_before_the_review_began(event: Event) -> None:
    told = replace(event, details=done(datetime(2023, 12, 1, tzinfo=UTC)))
    complete().when(told, at=PUBLICATION_DAY, imported=True).refused(rules.NOT_INITIATED)
    earlier = replace(event, details=done(datetime(2023, 10, 31, tzinfo=UTC)))
    imported_report().when(earlier, at=PUBLICATION_DAY, imported=True).refused(rules.NOT_INITIATED)


@pytest.mark.parametrize("event", [copy(CopyRecipient.PANEL), PUBLISHED.event, IMPROVEMENTS.event])
def test_no_history_is_told_of_a_copy_or_publication_before_there_was_a_report(event: Event) -> None:
    begun_then = Step(replace(INITIATED, details=done(datetime(2023, 11, 1, tzinfo=UTC))), imported=True)
    told = replace(event, details=done(datetime(2023, 12, 1, tzinfo=UTC)))
    after(start(), begun_then, REPORT).when(told, at=PUBLICATION_DAY, imported=True).refused(rules.NEEDS_REPORT)


def test_history_is_told_of_a_copy_after_the_first_report_in_whatever_order_reports_are_told() -> None:
    begun_then = replace(INITIATED, details=done(datetime(2023, 10, 2, tzinfo=UTC)))
    revised = replace(report(2), details=done(datetime(2023, 12, 4, tzinfo=UTC)))
    first = replace(report(1), details=done(datetime(2023, 11, 1, tzinfo=UTC)))
    given = after(
        start(), *(Step(one, imported=True) for one in (begun_then, replace(appointed(), details=begun_then.details), revised, first))
    )
    told = replace(copy(CopyRecipient.PANEL), details=done(datetime(2023, 11, 20, tzinfo=UTC)))
    given.when(told, imported=True).then()


def test_what_history_told_of_a_day_before_the_report_is_still_put_right_live() -> None:
    told = replace(copy(CopyRecipient.PANEL), details=done(datetime(2023, 12, 1, tzinfo=UTC)))
    given = after(imported_report(), Step(told, imported=True, event_id=MISTAKE))
    moved = recorded(replace(REPORT, details=corrects(given.history[2].event_id, done_at=datetime(2023, 12, 4, tzinfo=UTC))), imported=True)
    given = replace(given, history=(*given.history, replace(moved, version=len(given.history) + 1)))
    improvements = replace(copy(CopyRecipient.PANEL, CopyKind.IMPROVEMENTS), details=corrects(MISTAKE))
    given.when(improvements, at=PUBLICATION_DAY).then()
    given.when(replace(told, details=corrects(MISTAKE, done_at=datetime(2023, 12, 1, tzinfo=UTC))), imported=True).refused(
        rules.NEEDS_REPORT
    )


def test_no_history_is_told_of_a_justification_before_the_declining() -> None:
    told = replace(JUSTIFIED, details=done(datetime(2023, 12, 1, tzinfo=UTC)))
    after(imported_report(), DECLINED).when(told, at=PUBLICATION_DAY, imported=True).refused(rules.NEEDS_DECLINING)


def test_a_correction_of_what_was_published_is_judged_by_the_day_of_publication() -> None:
    published = replace(PUBLISHED, event_id=MISTAKE)
    given = after(complete(), APPROVED, *copies()[:2], Step(copy(CopyRecipient.OFSTED), at=TOO_LATE), published)
    corrected = replace(published.event, details=corrects(MISTAKE))
    given.when(corrected, at=PUBLICATION_DAY + timedelta(days=30)).then(rules.COPIES_LATE)


def test_a_live_correction_of_a_copy_does_not_make_it_late() -> None:
    given = after(complete(), APPROVED, *copies()[:2], Step(copy(CopyRecipient.OFSTED), event_id=MISTAKE))
    given = after(given, Step(replace(copy(CopyRecipient.OFSTED, CopyKind.IMPROVEMENTS), details=corrects(MISTAKE)), at=TOO_LATE))
    attempt(given, PUBLISHED).then()


@pytest.mark.parametrize("step", [PUBLISHED, IMPROVEMENTS])
def test_publication_beside_a_live_proceeding_without_clearance_is_a_finding(step: Step) -> None:
    attempt(ready(), replace(step, others=RESTRAINED)).then(rules.LIVE_PROCEEDING)
    attempt(ready(), replace(step, others=CLEARED)).then()
    attempt(ready(), replace(step, others={incident_stream(CASE): an_incident(live=False)})).then()


def test_a_live_proceeding_is_mended_by_clearance_and_a_correction_of_the_publication() -> None:
    given = after(ready(), replace(PUBLISHED, others=RESTRAINED, event_id=MISTAKE))
    again = replace(PUBLISHED, event=replace(PUBLISHED.event, details=corrects(MISTAKE)))
    attempt(given, replace(again, others=RESTRAINED)).then(rules.LIVE_PROCEEDING).mends()
    attempt(given, replace(again, others=CLEARED)).then().mends(rules.LIVE_PROCEEDING)


def test_a_correction_of_an_earlier_publication_leaves_what_was_found_of_the_newest() -> None:
    given = after(complete(), APPROVED, *copies(CopyKind.IMPROVEMENTS), replace(IMPROVEMENTS, event_id=MISTAKE), PUBLISHED)
    assert DECIDER.open_rules(given.state) == {rules.COPIES_MISSING}
    again = replace(IMPROVEMENTS, event=replace(IMPROVEMENTS.event, details=corrects(MISTAKE)))
    attempt(given, again).then().mends()
    mended = after(ready(), replace(IMPROVEMENTS, event_id=MISTAKE), PUBLISHED)
    attempt(mended, replace(again, others=RESTRAINED)).then()


def test_a_correction_of_a_court_order_does_not_clear_a_later_publication() -> None:
    given = after(ready(), PUBLISHED, Step(UNPUBLISHED, event_id=MISTAKE), replace(PUBLISHED, others=RESTRAINED))
    given.when(replace(UNPUBLISHED, details=corrects(MISTAKE))).then().mends()


def test_a_correction_of_the_approval_of_an_earlier_report_approves_no_later_one() -> None:
    given = after(complete(), Step(APPROVED, event_id=MISTAKE), *copies(), report(2), PUBLISHED)
    assert DECIDER.open_rules(given.state) == {rules.NOT_ANONYMISED}
    given.when(replace(APPROVED, details=corrects(MISTAKE))).then().mends()


def test_taking_the_report_out_of_view_mends_what_made_it_harmful_but_not_the_missing_copies() -> None:
    given = after(complete(), replace(PUBLISHED, others=RESTRAINED))
    assert DECIDER.open_rules(given.state) == {rules.NOT_ANONYMISED, rules.COPIES_MISSING, rules.LIVE_PROCEEDING}
    given.when(UNPUBLISHED).then().mends(rules.LIVE_PROCEEDING, rules.NOT_ANONYMISED)


# ── open prerequisites ──


def before_publication(state: LocalReview, incident: Incident) -> tuple[Rule, ...]:
    return tuple(one.rule for one in open_prerequisites(state, incident))


def test_prerequisites_are_listed_from_the_moment_publication_is_scheduled() -> None:
    restrained = an_incident(live=True)
    given = after(begun(), CONFLICT)
    assert before_publication(given.state, restrained) == ()
    given = after(given, SCHEDULED)
    everything = (rules.NEEDS_REPORT, rules.CONFLICTED_REVIEWER, rules.NOT_ANONYMISED, rules.COPIES_MISSING, rules.LIVE_PROCEEDING)
    assert before_publication(given.state, restrained) == everything
    given = after(given, REPORT, REMOVED, APPROVED)
    assert before_publication(given.state, an_incident()) == (rules.COPIES_MISSING,)
    assert before_publication(after(given, *copies()).state, an_incident()) == ()


def test_a_copy_too_late_for_the_planned_day_is_a_prerequisite_until_rescheduled() -> None:
    given = after(complete(), APPROVED, SCHEDULED, *copies(at=TOO_LATE))
    assert before_publication(given.state, an_incident()) == (rules.COPIES_LATE,)
    assert before_publication(after(given, RESCHEDULED).state, an_incident()) == ()


def test_a_plan_of_improvements_only_asks_for_copies_of_either_kind() -> None:
    planned = replace(SCHEDULED, improvements_only=True)
    given = after(complete(), APPROVED, *copies(CopyKind.IMPROVEMENTS))
    assert before_publication(after(given, planned).state, an_incident()) == ()
    assert before_publication(after(given, SCHEDULED).state, an_incident()) == (rules.COPIES_MISSING,)


@pytest.mark.parametrize("ending", [PUBLISHED, IMPROVEMENTS, Step(DECLINED)])
def test_nothing_is_a_prerequisite_once_the_plan_is_over(ending: Step) -> None:
    given = after(complete(), SCHEDULED, ending)
    assert before_publication(given.state, an_incident(live=True)) == ()


@pytest.mark.parametrize("gone", [REPORT, APPROVED, SCHEDULED, copies()[0].event], ids=lambda event: event.EVENT_TYPE)
def test_prerequisites_are_those_that_publication_would_be_found_to_break_also_where_bodies_are_gone(gone: Event) -> None:
    given = ready()
    given = replace(given, history=tuple(body_gone(one) if one.event == gone else one for one in given.history))
    attempt(given, replace(PUBLISHED, others=RESTRAINED)).then(*before_publication(given.state, an_incident(live=True)))


def test_a_prerequisite_is_told_in_words_of_what_is_not_published_yet() -> None:
    told = [(one.words, one.mend) for one in rules.PREREQUISITES.values()]
    assert [text for text in told if not all(text)] == []
    assert [words for words, mend in told if "was published" in words or "out of public view" in mend] == []
    assert set(rules.PREREQUISITES) <= set(rules.RULES)


# ── corrections ──


def test_a_correction_replaces_what_was_said_where_it_was_said() -> None:
    given = after(complete(), Step(SCHEDULED, event_id=MISTAKE), RESCHEDULED)
    corrected = replace(SCHEDULED, planned_on=date(2024, 5, 1), details=corrects(MISTAKE))
    assert planned_on(facts_of(given.when(corrected).then().state)) == date(2024, 4, 15)
    given = after(complete(), Step(SCHEDULED, event_id=MISTAKE))
    assert planned_on(facts_of(given.when(corrected).then().state)) == date(2024, 5, 1)


def test_a_correction_points_at_an_event_of_its_own_kind_author_and_subject() -> None:
    given = after(start(), INITIATED, Step(appointed(), event_id=MISTAKE))
    given.when(replace(appointed(), details=corrects(an_event_id(78)))).refused(rules.CORRECTION)
    given.when(replace(appointed(SECOND_REVIEWER), details=corrects(MISTAKE))).refused(rules.CORRECTION)
    given.when(replace(TERMS, details=corrects(MISTAKE))).refused(rules.CORRECTION)
    given.when(replace(appointed(), details=corrects(MISTAKE))).then()


def test_the_business_unit_does_not_correct_the_panel() -> None:
    given = after(complete(), Step(COMMENTED, by=PANEL, event_id=MISTAKE))
    given.when(replace(COMMENTED, details=corrects(MISTAKE))).refused(rules.CORRECTION)


# ── rules ──


def test_every_rule_has_its_words_and_authority_and_every_finding_what_mends_it() -> None:
    assert len({rule.id for rule in rules.RULES}) == len(rules.RULES)
    assert [rule.id for rule in rules.RULES if not (rule.words and rule.source and rule.id.startswith("local_review."))] == []
    assert [rule.id for rule in rules.FINDINGS if not rule.mend] == []


@pytest.mark.parametrize("event", JOINT, ids=lambda event: event.EVENT_TYPE)
def test_a_decider_looks_at_no_more_streams_than_it_must(event: Event) -> None:
    stream = Stream(f"local_review-{CASE}")
    reads = DECIDER.reads(event, stream, SHARD)
    expected = {partnership_stream(SHARD)}
    if event in (INITIATED, PUBLISHED.event, IMPROVEMENTS.event):
        expected |= {incident_stream(CASE)}
    if event == INITIATED:
        expected |= {rapid_review_stream(CASE)}
    assert (len(reads), set(reads)) == (len(expected), expected)


# ── bodies gone, and any order ──

FEW = settings(max_examples=50)
"""A history costs as much as its length squared, for each step is judged by a fold of all before it."""

CORRECTABLE = an_event_id(500)
POOL = (
    *FLAWLESS,
    Step(appointed(SECOND_REVIEWER)),
    Step(REMOVED),
    Step(CONFLICT),
    Step(report(2)),
    Step(RESCHEDULED),
    Step(DECLINED),
    Step(JUSTIFIED),
    Step(UNPUBLISHED),
    IMPROVEMENTS,
    replace(PUBLISHED, others=RESTRAINED, event_id=CORRECTABLE),
    replace(PUBLISHED, event=replace(PUBLISHED.event, details=corrects(CORRECTABLE))),
    *copies(CopyKind.IMPROVEMENTS, at=TOO_LATE),
)


def histories() -> st.SearchStrategy[list[Step]]:
    """An order of any steps behind the beginning; a step may come twice, but an id only once."""
    steps = st.lists(st.sampled_from(POOL), max_size=18).filter(lambda chosen: sum(step.event_id is not None for step in chosen) < 2)
    return steps.map(lambda chosen: [replace(step, at=step.at + timedelta(minutes=n)) for n, step in enumerate([Step(INITIATED), *chosen])])


@FEW
@forall(histories(), st.randoms(use_true_random=False))
def test_the_fold_never_raises_on_an_admitted_history_and_loses_no_finding_with_the_bodies(steps: list[Step], random: Any) -> None:
    given = after_those_admitted(start(), *steps)
    whole = DECIDER.fold(given.history)
    some_gone = DECIDER.fold(body_gone(one) if random.random() < 0.5 else one for one in given.history)
    all_gone = DECIDER.fold(map(body_gone, given.history))
    assert DECIDER.open_rules(whole) == DECIDER.open_rules(some_gone) == DECIDER.open_rules(all_gone)
    assert DECIDER.open_rules(whole) <= set(rules.FINDINGS)
    for state in (whole, some_gone, all_gone):
        assert set(open_prerequisites(state, an_incident(live=True))) <= set(rules.PREREQUISITES.values())


def outline(state: LocalReview) -> tuple[str, frozenset[Rule], frozenset[str]]:
    return (type(state).__name__, DECIDER.open_rules(state), reviewers(facts_of(state)))


@FEW
@forall(histories())
def test_what_is_said_twice_is_refused_or_changes_nothing(steps: list[Step]) -> None:
    given = start()
    for step in steps:
        outcome = attempt(given, step)
        if outcome.refusal is not None:
            continue
        given = replace(given, history=(*given.history, logged(outcome)))
        again = attempt(given, replace(step, at=step.at + timedelta(seconds=1), event_id=None))
        assert again.refusal is not None or outline(again.state) == outline(given.state)
