from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as forall
from hypothesis import settings
from hypothesis import strategies as st

from domain.incident.codes import CloseReason
from domain.incident.state import Closed, Facts, Incident, Referred, Withdrawn, incident_stream
from domain.kernel.events import Event
from domain.kernel.ids import AgencyId, Stream
from domain.kernel.rules import Rule
from domain.partnership.state import Partnership, partnership_stream
from domain.rapid_review import rules
from domain.rapid_review.decider import DECIDER
from domain.rapid_review.events import (
    AgencyReturnReceived,
    ChairAndScrutineerInformed,
    Decision,
    DecisionMade,
    DecisionRecommended,
    DecisionReconsidered,
    EthnicityAndCultureConsidered,
    ImmediateLearningDisseminated,
    ImmediateLearningIdentified,
    MeetingHeld,
    MinutesCirculated,
    PanelAcknowledged,
    PanelAgreed,
    PanelAskedForMore,
    PanelDisagreed,
    PartnerSignedOff,
    RapidReviewCompleted,
    RapidReviewDrafted,
    RapidReviewOpened,
    Recommendation,
    SentToPanel,
)
from domain.rapid_review.state import Answer, RapidReview, Responded, decision_of, is_decided, signed_off_by
from tests.support.builders import (
    BUSINESS_UNIT,
    CASE,
    COUNCIL,
    HOSPITAL,
    HUB,
    ICB,
    LSCB,
    MONDAY,
    OPERATOR,
    OTHER_COUNCIL,
    PANEL,
    POLICE,
    SCHOOL,
    SECOND_COUNCIL,
    SHARD,
    STRANGER,
    a_notification,
    a_notified_incident,
    a_partnership,
    an_event_id,
    an_id,
    body_gone,
    corrects,
    done,
)
from tests.support.spec import Given, Spec
from tests.support.story import Step, after, after_those_admitted, attempt, logged

PARTNERS = (COUNCIL, SECOND_COUNCIL, ICB, POLICE)
MEETING = an_id(31)
LEARNING = an_id(32)


def others(incident: Incident | None = None, partnership: Partnership | None = None) -> dict[Stream, Any]:
    return {
        incident_stream(CASE): a_notified_incident() if incident is None else incident,
        partnership_stream(SHARD): a_partnership() if partnership is None else partnership,
    }


def start(incident: Incident | None = None, partnership: Partnership | None = None) -> Given[RapidReview]:
    return Spec(DECIDER, others=others(incident, partnership)).given()


def start_of_history() -> Given[RapidReview]:
    """An incident that was notified on 30 August 2019, as imported history tells."""
    incident = a_notified_incident(imported=True)
    assert incident.first is not None
    return start(incident=replace(incident, first=replace(incident.first, done_on=date(2019, 8, 30))))


def withdrawn() -> Withdrawn:
    return Withdrawn(facts=Facts(), notified=a_notified_incident())


def decided(decision: Decision = Decision.LOCAL_REVIEW, rationale: str = "Synthetic rationale.") -> DecisionMade:
    return DecisionMade(decision=decision, rationale=rationale)


def reconsidered(decision: Decision = Decision.LOCAL_REVIEW, rationale: str = "Synthetic rationale.") -> DecisionReconsidered:
    return DecisionReconsidered(decision=decision, rationale=rationale)


def recommended(recommendation: Recommendation, method: str | None = None) -> DecisionRecommended:
    return DecisionRecommended(recommendation=recommendation, method=method, rationale="Synthetic rationale.")


def signed_by(*partners: str) -> tuple[Step, ...]:
    return tuple(Step(PartnerSignedOff(by_role="Delegated lead"), by=partner) for partner in partners)


OPENED = RapidReviewOpened(agencies_asked=(SCHOOL, STRANGER))
MET = MeetingHeld(meeting_id=MEETING, held_on=date(2024, 3, 1), agencies_present=(COUNCIL, ICB, POLICE))
MINUTES = MinutesCirculated(meeting_id=MEETING)
DRAFTED = RapidReviewDrafted(summary="Synthetic summary.")
IDENTIFIED = ImmediateLearningIdentified(learning_id=LEARNING, learning="Synthetic learning.")
DISSEMINATED = ImmediateLearningDisseminated(learning_id=LEARNING, audience="All schools")
CONSIDERED = EthnicityAndCultureConsidered(considerations="Synthetic considerations.")
COMPLETED = RapidReviewCompleted(summary="Synthetic summary.")
INFORMED = ChairAndScrutineerInformed(informed_on=date(2024, 3, 4))
SENT = SentToPanel()
ACKNOWLEDGED = Step(PanelAcknowledged(), by=PANEL)
AGREED = Step(PanelAgreed(), by=PANEL)
DISAGREED = Step(PanelDisagreed(rationale="Synthetic rationale."), by=PANEL)
ASKED = Step(PanelAskedForMore(questions="Synthetic questions."), by=PANEL)
RETURNED = AgencyReturnReceived(agency=SCHOOL)

FLAWLESS = (
    Step(OPENED),
    Step(RETURNED),
    Step(MET),
    Step(MINUTES),
    Step(DRAFTED),
    Step(IDENTIFIED),
    Step(DISSEMINATED),
    Step(CONSIDERED),
    Step(recommended(Recommendation.LOCAL_REVIEW)),
    *signed_by(*PARTNERS),
    Step(COMPLETED),
    Step(decided()),
    Step(INFORMED),
    Step(SENT),
    ACKNOWLEDGED,
    AGREED,
)


def opened() -> Given[RapidReview]:
    return after(start(), OPENED)


def ready() -> Given[RapidReview]:
    """A review that may be sent without a finding."""
    return after(opened(), CONSIDERED, COMPLETED, decided(), *signed_by(*PARTNERS))


def sent() -> Given[RapidReview]:
    return after(ready(), SENT)


# ── a whole review ──


def test_a_flawless_review_is_admitted_without_a_finding_and_ends_answered() -> None:
    given = after(start(), *FLAWLESS)
    assert [one.findings for one in given.history] == [()] * len(FLAWLESS)
    assert isinstance(given.state, Responded)
    assert given.state.answer is Answer.AGREED
    assert DECIDER.open_rules(given.state) == frozenset()


def test_a_review_passes_its_stages_in_order() -> None:
    stages = []
    given = start()
    for step in FLAWLESS:
        given = after(given, step)
        stages.append(type(given.state).__name__)
    assert list(dict.fromkeys(stages)) == ["Open", "Drafted", "Completed", "Sent", "Responded"]


def test_imported_history_is_admitted_in_its_natural_order() -> None:
    begun = datetime(2020, 6, 1, 9, tzinfo=UTC)
    history = [
        replace(step, imported=True, event=replace(step.event, details=done(begun + timedelta(days=place))))
        for place, step in enumerate(FLAWLESS)
    ]
    given = after(start_of_history(), *history)
    assert [one.findings for one in given.history] == [()] * len(FLAWLESS)


@pytest.mark.parametrize("event", [OPENED, COMPLETED, SENT])
def test_no_history_is_told_of_a_day_before_the_notification(event: Event) -> None:
    told = replace(event, details=done(datetime(2024, 3, 3, 12, tzinfo=UTC)))
    given = start() if event == OPENED else opened()
    given.when(told, imported=True).refused(rules.NEEDS_NOTIFICATION)
    same_day = replace(event, details=done(MONDAY))
    assert given.when(same_day, imported=True).refusal is None


@pytest.mark.parametrize("event", [RETURNED, MET, IDENTIFIED])
def test_history_tells_of_what_agencies_did_before_the_notification(event: Event) -> None:
    opened().when(replace(event, details=done(datetime(2024, 3, 3, 12, tzinfo=UTC))), imported=True).then()


@pytest.mark.parametrize("said", [lambda day: replace(MET, held_on=day), lambda day: ChairAndScrutineerInformed(informed_on=day)])
def test_nobody_met_or_was_told_of_a_decision_before_the_incident(said: Callable[[date], Event]) -> None:
    happened_on = date(2024, 2, 28)
    given = after(opened(), Step(decided()))
    given.when(said(happened_on - timedelta(days=1))).refused(rules.IMPOSSIBLE_DAYS)
    assert given.when(said(happened_on)).refusal is None


def test_a_step_is_put_right_live_though_the_notification_is_of_a_later_day_by_now() -> None:
    begun = Step(replace(OPENED, details=done(datetime(2019, 8, 30, 12, tzinfo=UTC))), imported=True, event_id=an_event_id(50))
    given = after(start_of_history(), begun)
    right = replace(OPENED, details=corrects(an_event_id(50)))
    given.when(right, others=others()).then()
    earlier = replace(OPENED, details=corrects(an_event_id(50), done_at=datetime(2019, 8, 30, 12, tzinfo=UTC)))
    given.when(earlier, imported=True, others=others()).refused(rules.NEEDS_NOTIFICATION)


@pytest.mark.parametrize("order", [(COMPLETED, decided()), (decided(), COMPLETED)])
def test_the_decision_may_come_before_or_after_completion(order: tuple[Event, Event]) -> None:
    given = after(opened(), CONSIDERED, *order, *signed_by(*PARTNERS))
    given.when(SENT).then()


def test_a_review_is_completed_though_no_draft_was_recorded() -> None:
    after(opened(), CONSIDERED).when(COMPLETED).then()


def test_a_late_draft_or_completion_does_not_take_the_review_back() -> None:
    given = after(opened(), CONSIDERED, decided(), *signed_by(*PARTNERS), SENT, DRAFTED, COMPLETED)
    assert type(given.state).__name__ == "Sent"


# ── opening ──


def test_a_review_opens_only_for_a_notified_incident() -> None:
    start(Referred(facts=Facts())).when(OPENED).refused(rules.NEEDS_NOTIFICATION)


def test_a_review_does_not_open_for_an_unknown_case() -> None:
    given = Spec(DECIDER).given()
    given.when(OPENED).refused(rules.NEEDS_NOTIFICATION)


def test_a_review_does_not_open_for_a_withdrawn_notification() -> None:
    start(withdrawn()).when(OPENED).refused(rules.NOTIFICATION_WITHDRAWN)


def test_a_review_does_not_open_for_a_care_leaver_alone() -> None:
    incident = a_notified_incident(a_notification(care_leaver_only=True))
    start(incident).when(OPENED).refused(rules.CARE_LEAVER_ONLY)


def test_a_review_opens_for_a_case_that_was_closed_after_notification() -> None:
    closed = Closed(facts=Facts(), was=a_notified_incident(), reason=CloseReason.OTHER)
    start(closed).when(OPENED).then()


def test_a_review_opens_once() -> None:
    opened().when(OPENED).refused(rules.CONTRADICTION)


@pytest.mark.parametrize("step", [step for step in FLAWLESS if step.event != OPENED], ids=lambda step: step.event.EVENT_TYPE)
def test_nothing_comes_before_the_opening(step: Step) -> None:
    attempt(start(), step).refused(rules.NOT_OPEN)


@pytest.mark.parametrize("step", FLAWLESS, ids=lambda step: step.event.EVENT_TYPE)
def test_a_withdrawn_notification_closes_the_review(step: Step) -> None:
    given = replace(sent(), others=others(withdrawn()))
    attempt(given, step).refused(rules.NOTIFICATION_WITHDRAWN)


# ── who may say it ──

EVERYONE = (COUNCIL, ICB, POLICE, BUSINESS_UNIT, SCHOOL, STRANGER, OTHER_COUNCIL, PANEL, OPERATOR, HUB, "partnership-elsewhere")
JOINT = (
    OPENED,
    MET,
    MINUTES,
    DRAFTED,
    IDENTIFIED,
    DISSEMINATED,
    CONSIDERED,
    recommended(Recommendation.LOCAL_REVIEW),
    COMPLETED,
    decided(),
    INFORMED,
    SENT,
    reconsidered(),
)


@pytest.mark.parametrize("event", JOINT, ids=lambda event: event.EVENT_TYPE)
def test_only_the_business_unit_speaks_for_the_partners_jointly(event: Event) -> None:
    for by in (agency for agency in EVERYONE if agency != BUSINESS_UNIT):
        start().when(event, by=by).refused(rules.NOT_THE_PARTNERSHIP)


@pytest.mark.parametrize("step", [ACKNOWLEDGED, AGREED, DISAGREED, ASKED], ids=lambda step: step.event.EVENT_TYPE)
def test_only_the_panel_says_what_the_panel_thinks(step: Step) -> None:
    given = sent()
    for by in (agency for agency in EVERYONE if agency != PANEL):
        given.when(step.event, by=by).refused(rules.PANEL_ONLY)


@pytest.mark.parametrize("by", [BUSINESS_UNIT, PANEL, SCHOOL, OTHER_COUNCIL, OPERATOR, HUB])
def test_only_a_listed_partner_signs_off(by: str) -> None:
    opened().when(PartnerSignedOff(by_role="Lead"), by=by).refused(rules.SIGN_OFF_IS_THE_PARTNERS_OWN)


@pytest.mark.parametrize("partner", PARTNERS)
def test_every_listed_partner_signs_off_once(partner: str) -> None:
    given = after(opened(), *signed_by(partner))
    assert signed_off_by(given.state) == {partner}
    given.when(PartnerSignedOff(by_role="Lead"), by=partner).refused(rules.CONTRADICTION)


def test_nobody_speaks_in_a_shard_without_a_partnership() -> None:
    given = Spec(DECIDER, others={incident_stream(CASE): a_notified_incident()}).given()
    given.when(OPENED).refused(rules.NOT_THE_PARTNERSHIP)


@pytest.mark.parametrize("by", [BUSINESS_UNIT, SCHOOL])
def test_a_return_is_recorded_by_the_business_unit_or_the_agency_itself(by: str) -> None:
    opened().when(RETURNED, by=by).then()


@pytest.mark.parametrize("by", [COUNCIL, HOSPITAL, PANEL])
def test_a_return_is_not_recorded_by_another_agency(by: str) -> None:
    opened().when(RETURNED, by=by).refused(rules.RETURN_IS_AN_AGENCYS_OWN)


def test_an_agency_from_elsewhere_records_its_own_return_if_it_was_asked() -> None:
    returned = AgencyReturnReceived(agency=STRANGER)
    opened().when(returned, by=STRANGER).then()
    after(start(), RapidReviewOpened()).when(returned, by=STRANGER).refused(rules.RETURN_IS_AN_AGENCYS_OWN)


@pytest.mark.parametrize("agency", [PANEL, OPERATOR, HUB, BUSINESS_UNIT])
def test_who_knows_no_child_makes_no_return(agency: AgencyId) -> None:
    opened().when(AgencyReturnReceived(agency=agency)).refused(rules.RETURN_IS_AN_AGENCYS_OWN)


def test_a_predecessor_board_speaks_as_imported_history_of_its_time() -> None:
    event = replace(OPENED, details=done(datetime(2019, 9, 27, 12, tzinfo=UTC)))
    start_of_history().when(event, by=LSCB, imported=True).then()


@pytest.mark.parametrize(
    ("day", "arrangements_start_on", "imported"),
    [
        (datetime(2019, 9, 29, 12, tzinfo=UTC), date(2019, 9, 29), True),
        (datetime(2020, 9, 30, 12, tzinfo=UTC), date(2021, 1, 1), True),
        (datetime(2019, 9, 27, 12, tzinfo=UTC), date(2019, 9, 29), False),
    ],
)
def test_a_predecessor_board_speaks_of_no_other_time(day: datetime, arrangements_start_on: date, imported: bool) -> None:
    given = start(partnership=a_partnership(arrangements_start_on=arrangements_start_on))
    given.when(replace(OPENED, details=done(day)), by=LSCB, imported=imported).refused(rules.LSCB_TIME)


def test_a_predecessor_board_sent_its_reviews_before_there_were_partners_to_sign() -> None:
    details = done(datetime(2019, 9, 2, 12, tzinfo=UTC))
    steps = [Step(replace(event, details=details), by=LSCB, imported=True) for event in (OPENED, CONSIDERED, COMPLETED, decided())]
    after(start_of_history(), *steps).when(replace(SENT, details=details), by=LSCB, imported=True).then()


# ── references ──


def test_minutes_are_of_a_recorded_meeting() -> None:
    opened().when(MINUTES).refused(rules.NEEDS_MEETING)
    after(opened(), MET).when(MINUTES).then()


def test_only_identified_learning_is_disseminated_and_to_several_audiences() -> None:
    opened().when(DISSEMINATED).refused(rules.NEEDS_LEARNING)
    after(opened(), IDENTIFIED, DISSEMINATED).when(DISSEMINATED).then()


@pytest.mark.parametrize("event", [INFORMED, reconsidered()])
def test_only_a_decision_that_was_made_is_told_or_reconsidered(event: Event) -> None:
    opened().when(event).refused(rules.NEEDS_DECISION)
    after(opened(), CONSIDERED, decided()).when(event).then()


@pytest.mark.parametrize("step", [ACKNOWLEDGED, AGREED, DISAGREED, ASKED], ids=lambda step: step.event.EVENT_TYPE)
def test_the_panel_answers_only_what_was_sent(step: Step) -> None:
    attempt(ready(), step).refused(rules.NEEDS_SENDING)
    attempt(sent(), step).then()


# ── what must be said ──


@pytest.mark.parametrize("method", [None, "", "  "])
def test_another_type_of_review_names_its_method(method: str | None) -> None:
    opened().when(recommended(Recommendation.OTHER_REVIEW, method)).refused(rules.NEEDS_METHOD)


@pytest.mark.parametrize("event", [decided(Decision.NO_LOCAL_REVIEW, " "), reconsidered(Decision.NO_LOCAL_REVIEW, "\n")])
def test_no_local_review_needs_a_reason(event: Event) -> None:
    after(opened(), decided(Decision.UNDECIDED)).when(event).refused(rules.NEEDS_REASON)


def test_partners_may_decide_otherwise_than_was_recommended_with_a_reason() -> None:
    given = after(opened(), CONSIDERED, recommended(Recommendation.LOCAL_REVIEW))
    given.when(decided(Decision.NO_LOCAL_REVIEW)).then()


# ── once ──


@pytest.mark.parametrize("event", [RETURNED, MET, MINUTES, IDENTIFIED, recommended(Recommendation.OTHER_ACTION), COMPLETED, decided()])
def test_what_can_be_said_only_once_is_not_said_again(event: Event) -> None:
    given = after(opened(), CONSIDERED, MET, IDENTIFIED)
    given = given if event in (MET, IDENTIFIED) else after(given, event)
    given.when(event).refused(rules.CONTRADICTION)


def test_another_meeting_return_or_learning_is_another_fact() -> None:
    given = after(opened(), RETURNED, MET, IDENTIFIED)
    given.when(replace(MET, meeting_id=an_id(33))).then()
    given.when(replace(IDENTIFIED, learning_id=an_id(34))).then()
    given.when(AgencyReturnReceived(agency=HOSPITAL, nil_return=True)).then()


def test_the_undecided_may_decide_and_the_decided_only_reconsider() -> None:
    given = after(opened(), CONSIDERED, decided(Decision.UNDECIDED), decided(Decision.NO_LOCAL_REVIEW))
    given.when(decided(Decision.LOCAL_REVIEW)).refused(rules.CONTRADICTION)
    assert decision_of(after(given, reconsidered()).state) is Decision.LOCAL_REVIEW


def test_a_review_is_sent_once_until_the_panel_wants_more() -> None:
    sent().when(SENT).refused(rules.CONTRADICTION)
    after(sent(), AGREED).when(SENT).refused(rules.CONTRADICTION)
    assert type(after(sent(), ASKED, SENT).state).__name__ == "Sent"
    after(sent(), DISAGREED, COMPLETED, *signed_by(COUNCIL)).when(SENT).then()


def test_the_panel_acknowledges_once() -> None:
    attempt(after(sent(), ACKNOWLEDGED), ACKNOWLEDGED).refused(rules.CONTRADICTION)


@pytest.mark.parametrize("first", [AGREED, DISAGREED])
@pytest.mark.parametrize("second", [AGREED, DISAGREED, ASKED])
def test_an_answer_stands_until_the_partners_decide_anew_or_send_anew(first: Step, second: Step) -> None:
    attempt(after(sent(), first), second).refused(rules.CONTRADICTION)
    attempt(after(sent(), first, reconsidered()), second).then()


@pytest.mark.parametrize("answer", [AGREED, DISAGREED, ASKED])
def test_the_panel_answers_again_after_asking_for_more(answer: Step) -> None:
    attempt(after(sent(), ASKED), answer).then()
    attempt(after(sent(), DISAGREED, SENT), answer).then()


# ── corrections ──

MISTAKE = an_event_id(77)


def test_a_correction_replaces_what_was_said() -> None:
    given = after(opened(), CONSIDERED, Step(decided(Decision.NO_LOCAL_REVIEW), event_id=MISTAKE))
    correction = replace(decided(Decision.LOCAL_REVIEW), details=corrects(MISTAKE))
    assert decision_of(given.when(correction).then().state) is Decision.LOCAL_REVIEW


def test_a_correction_of_a_replaced_decision_leaves_the_newest_alone() -> None:
    given = after(sent(), AGREED)
    made = next(one.event_id for one in given.history if one.event_type == DecisionMade.EVENT_TYPE)
    given = after(given, reconsidered(Decision.NO_LOCAL_REVIEW))
    outcome = given.when(replace(decided(Decision.UNDECIDED), details=corrects(made))).then()
    assert decision_of(outcome.state) is Decision.NO_LOCAL_REVIEW


def test_a_correction_does_not_move_the_stage() -> None:
    given = after(ready(), Step(SENT, event_id=MISTAKE), ASKED, DISAGREED)
    outcome = given.when(replace(SENT, details=corrects(MISTAKE))).then()
    assert isinstance(outcome.state, Responded)
    assert outcome.state.answer is Answer.DISAGREED


def test_a_correction_points_at_an_event_of_its_own_kind_and_author() -> None:
    given = after(opened(), Step(RETURNED, by=SCHOOL, event_id=MISTAKE), MET)
    given.when(replace(RETURNED, details=corrects(an_event_id(78))), by=SCHOOL).refused(rules.CORRECTION)
    given.when(replace(RETURNED, details=corrects(MISTAKE))).refused(rules.CORRECTION)
    given.when(replace(DRAFTED, details=corrects(MISTAKE))).refused(rules.CORRECTION)
    given.when(replace(RETURNED, nil_return=True, details=corrects(MISTAKE)), by=SCHOOL).then()


def test_the_panel_corrects_its_answer_though_it_stands() -> None:
    given = after(sent(), replace(AGREED, event_id=MISTAKE))
    given.when(replace(PanelAgreed(comment="Synthetic."), details=corrects(MISTAKE)), by=PANEL).then()


# ── findings ──


def test_sending_without_every_listed_partners_sign_off_is_a_finding_until_the_last_has_signed() -> None:
    given = after(opened(), CONSIDERED, COMPLETED, decided(), *signed_by(COUNCIL, ICB))
    given.when(SENT).then(rules.SENT_WITHOUT_SIGN_OFF)
    given = after(given, SENT)
    sign_off = PartnerSignedOff(by_role="Lead")
    given.when(sign_off, by=POLICE).then(rules.SENT_WITHOUT_SIGN_OFF).mends()
    given = after(given, *signed_by(POLICE))
    assert DECIDER.open_rules(given.state) == {rules.SENT_WITHOUT_SIGN_OFF}
    outcome = given.when(sign_off, by=SECOND_COUNCIL).then().mends(rules.SENT_WITHOUT_SIGN_OFF)
    assert DECIDER.open_rules(outcome.state) == frozenset()


def test_a_sign_off_counts_though_its_body_is_gone() -> None:
    given = after(opened(), CONSIDERED, COMPLETED, decided(), *signed_by(*PARTNERS))
    gone = replace(given, history=tuple(body_gone(one) if one.event_type == PartnerSignedOff.EVENT_TYPE else one for one in given.history))
    gone.when(SENT).then()


@pytest.mark.parametrize("before", [(), (decided(Decision.UNDECIDED),)])
@pytest.mark.parametrize("decision", [Decision.LOCAL_REVIEW, Decision.NO_LOCAL_REVIEW])
def test_sending_undecided_is_a_finding_until_the_decision(before: tuple[Event, ...], decision: Decision) -> None:
    given = after(opened(), CONSIDERED, COMPLETED, *signed_by(*PARTNERS), *before)
    given.when(SENT).then(rules.SENT_UNDECIDED)
    given = after(given, SENT)
    given.when(decided(decision)).then().mends(rules.SENT_UNDECIDED)
    given.when(decided(Decision.UNDECIDED)).then(rules.SENT_UNDECIDED).mends()


def test_to_be_undecided_again_after_sending_is_a_finding_until_reconsidered() -> None:
    given = after(sent(), ASKED)
    given.when(reconsidered(Decision.UNDECIDED)).then(rules.SENT_UNDECIDED)
    after(given, reconsidered(Decision.UNDECIDED)).when(reconsidered()).then().mends(rules.SENT_UNDECIDED)


def test_sending_before_completion_is_a_finding_until_completion() -> None:
    given = after(opened(), CONSIDERED, decided(), *signed_by(*PARTNERS))
    given.when(SENT).then(rules.SENT_INCOMPLETE)
    after(given, SENT).when(COMPLETED).then().mends(rules.SENT_INCOMPLETE)


@pytest.mark.parametrize("event", [COMPLETED, decided(), decided(Decision.NO_LOCAL_REVIEW)])
def test_not_having_considered_ethnicity_is_a_finding_until_it_was(event: Event) -> None:
    opened().when(event).then(rules.ETHNICITY_NOT_CONSIDERED)
    after(opened(), event).when(CONSIDERED).then().mends(rules.ETHNICITY_NOT_CONSIDERED)


def test_being_undecided_needs_no_consideration_of_ethnicity_yet() -> None:
    opened().when(decided(Decision.UNDECIDED)).then()


@pytest.mark.parametrize("mending", [Step(decided()), Step(recommended(Recommendation.LOCAL_REVIEW))])
def test_another_type_of_review_is_warned_of_until_a_local_review(mending: Step) -> None:
    other = recommended(Recommendation.OTHER_REVIEW, "Thematic review")
    opened().when(other).then(rules.OTHER_METHOD)
    given = after(opened(), CONSIDERED, Step(other, event_id=MISTAKE))
    if isinstance(mending.event, DecisionRecommended):
        mending = replace(mending, event=replace(mending.event, details=corrects(MISTAKE)))
    attempt(given, mending).then().mends(rules.OTHER_METHOD)
    given.when(decided(Decision.NO_LOCAL_REVIEW)).then().mends()


def test_another_type_of_review_is_warned_of_until_the_panel_agrees() -> None:
    other = recommended(Recommendation.OTHER_REVIEW, "Thematic review")
    given = after(opened(), CONSIDERED, other, COMPLETED, decided(Decision.NO_LOCAL_REVIEW), *signed_by(*PARTNERS), SENT)
    attempt(given, DISAGREED).then().mends()
    attempt(given, AGREED).then().mends(rules.OTHER_METHOD)


def test_sending_anew_judges_anew() -> None:
    given = after(opened(), SENT, ASKED, CONSIDERED)
    assert DECIDER.open_rules(given.state) == {rules.SENT_WITHOUT_SIGN_OFF, rules.SENT_UNDECIDED, rules.SENT_INCOMPLETE}
    given.when(SENT).then(rules.SENT_WITHOUT_SIGN_OFF, rules.SENT_UNDECIDED, rules.SENT_INCOMPLETE)
    given = after(given, COMPLETED, decided())
    given.when(SENT).then(rules.SENT_WITHOUT_SIGN_OFF)


def test_sending_anew_mends_the_sign_off_of_a_partner_no_longer_listed() -> None:
    given = after(opened(), CONSIDERED, COMPLETED, decided(), *signed_by(COUNCIL, ICB, POLICE), SENT, ASKED)
    merged = {partnership_stream(SHARD): a_partnership(partners=(COUNCIL, ICB, POLICE))}
    given.when(SENT).then(rules.SENT_WITHOUT_SIGN_OFF).mends()
    given.when(SENT, others=merged).then().mends(rules.SENT_WITHOUT_SIGN_OFF)


def test_a_correction_of_a_replaced_decision_does_not_mend_the_newest() -> None:
    given = after(opened(), CONSIDERED, COMPLETED, *signed_by(*PARTNERS), Step(decided(Decision.UNDECIDED), event_id=MISTAKE))
    given = after(given, reconsidered(Decision.UNDECIDED), SENT)
    given.when(replace(decided(), details=corrects(MISTAKE))).then().mends()


def test_a_correction_of_a_replaced_recommendation_neither_warns_nor_mends() -> None:
    other = recommended(Recommendation.OTHER_REVIEW, "Thematic review")
    local = recommended(Recommendation.LOCAL_REVIEW)
    warned = after(opened(), Step(local, event_id=MISTAKE), SENT, DISAGREED, other)
    warned.when(replace(local, details=corrects(MISTAKE))).then().mends()
    replaced = after(opened(), Step(other, event_id=MISTAKE), SENT, DISAGREED, local)
    replaced.when(replace(other, details=corrects(MISTAKE))).then()


def test_a_correction_of_an_agreement_agrees_to_no_later_recommendation() -> None:
    given = after(sent(), replace(AGREED, event_id=MISTAKE), reconsidered(), DISAGREED)
    given = after(given, recommended(Recommendation.OTHER_REVIEW, "Thematic review"))
    given.when(replace(PanelAgreed(comment="Synthetic."), details=corrects(MISTAKE)), by=PANEL).then().mends()


def test_every_rule_has_its_words_and_authority_and_every_finding_what_mends_it() -> None:
    assert len({rule.id for rule in rules.RULES}) == len(rules.RULES)
    assert [rule.id for rule in rules.RULES if not (rule.words and rule.source and rule.id.startswith("rapid_review."))] == []
    assert [rule.id for rule in rules.FINDINGS if not rule.mend] == []


# ── bodies gone, and any order ──


def test_of_a_decision_whose_body_is_gone_only_that_it_was_made_is_known() -> None:
    given = after(opened(), CONSIDERED, decided())
    gone = replace(given, history=tuple(map(body_gone, given.history)))
    assert is_decided(gone.state)
    assert decision_of(gone.state) is None


FEW = settings(max_examples=50)
"""A history costs as much as its length squared, for each step is judged by a fold of all before it."""

CORRECTABLE = an_event_id(500)
POOL = (
    *FLAWLESS,
    DISAGREED,
    ASKED,
    Step(RETURNED, by=SCHOOL),
    Step(recommended(Recommendation.OTHER_REVIEW, "Audit")),
    Step(decided(Decision.UNDECIDED)),
    Step(decided(Decision.NO_LOCAL_REVIEW), event_id=CORRECTABLE),
    Step(replace(decided(Decision.UNDECIDED), details=corrects(CORRECTABLE))),
    Step(reconsidered(Decision.UNDECIDED)),
    Step(reconsidered(Decision.NO_LOCAL_REVIEW)),
    *signed_by(OTHER_COUNCIL),
)


def told(place: int, step: Step) -> Step:
    """The step at another moment, so that it is another event unless its id is given."""
    return replace(step, at=MONDAY + timedelta(minutes=place))


def histories() -> st.SearchStrategy[list[Step]]:
    """Mostly natural orders: a shuffled choice behind an opening."""
    steps = st.lists(st.sampled_from(POOL), max_size=18, unique_by=lambda step: step.event_id or id(step))
    return steps.map(lambda chosen: [told(place, step) for place, step in enumerate([Step(OPENED), *chosen])])


@FEW
@forall(histories(), st.randoms(use_true_random=False))
def test_the_fold_never_raises_on_an_admitted_history_and_loses_no_finding_with_the_bodies(steps: list[Step], random: Any) -> None:
    given = after_those_admitted(start(), *steps)
    whole = DECIDER.fold(given.history)
    some_gone = DECIDER.fold(body_gone(one) if random.random() < 0.5 else one for one in given.history)
    all_gone = DECIDER.fold(map(body_gone, given.history))
    assert DECIDER.open_rules(whole) == DECIDER.open_rules(some_gone) == DECIDER.open_rules(all_gone)
    assert DECIDER.open_rules(whole) <= set(rules.FINDINGS)
    assert signed_off_by(whole) == signed_off_by(all_gone)


def outline(state: RapidReview) -> tuple[str, frozenset[Rule], Decision | None, frozenset[str]]:
    return (type(state).__name__, DECIDER.open_rules(state), decision_of(state), frozenset(signed_off_by(state)))


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
