"""A serious incident from the first word to its closing: who may say what, at which stage, and what it leaves open."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from domain.incident.codes import (
    AbuseKind,
    Characteristic,
    CloseReason,
    CriteriaOutcome,
    DeathCategory,
    HarmCategory,
    LegalStatus,
    Limb,
    NotificationType,
    OtherDeathKind,
    PlaceKind,
    Recipient,
    SuspectRelationship,
)
from domain.incident.decider import DECIDER
from domain.incident.events import (
    Characteristics,
    ChildAdded,
    DuplicateLinked,
    IncidentClosed,
    IncidentReclassified,
    NotificationAmended,
    OtherAreaInformed,
    ParallelProceedingClosed,
    ParallelProceedingUpdated,
    PartnerDissented,
    PartnersInformed,
    ReferralConfirmedInWriting,
    SafetyActionTaken,
    SuspectedAbuse,
)
from domain.incident.rules import PARTNERS_UNTOLD, RULES
from domain.incident.state import (
    Assessed,
    Closed,
    Incident,
    Notified,
    Referred,
    Unknown,
    Withdrawn,
    awareness_of,
    care_leaver_only,
    facts_of,
    incident_in,
    incident_stream,
    is_closed,
    is_known,
    is_notified,
    is_withdrawn,
    known_children,
    live_restrictions,
    named_agencies,
    notification_of,
    notifying_council,
    speakers,
)
from domain.kernel.events import Event, Precision, Recorded, When
from domain.kernel.ids import AgencyId, CaseId, ChildId
from domain.partnership.state import Members, partnership_stream
from domain.partnership.state import Unknown as NoPartnership
from tests.support.builders import (
    AWARE_AT,
    BUSINESS_UNIT,
    CASE,
    CHILD,
    COUNCIL,
    HOSPITAL,
    HUB,
    ICB,
    LSCB,
    MONDAY,
    OPERATOR,
    OTHER_CASE,
    OTHER_COUNCIL,
    PANEL,
    POLICE,
    PROCEEDING,
    SCHOOL,
    SECOND_COUNCIL,
    SHARD,
    SIBLING,
    STRANGE_CHILD,
    STRANGER,
    a_care_leaver,
    a_care_leaver_death,
    a_child,
    a_delay,
    a_harm_notification,
    a_harmed_child,
    a_looked_after_death,
    a_notification,
    a_partnership,
    a_proceeding,
    a_referral,
    a_sibling,
    a_withdrawal,
    an_awareness,
    an_event_id,
    an_id,
    assessed,
    became_known,
    body_gone,
    corrects,
    criteria,
    done,
    on,
    recorded,
)
from tests.support.spec import Spec

SPEC: Spec[Incident] = Spec(DECIDER)
MET, NOT_MET, UNSURE = CriteriaOutcome.MET, CriteriaOutcome.NOT_MET, CriteriaOutcome.UNSURE

REFERRED = recorded(a_referral(CHILD), by=SCHOOL, event_id=an_event_id(1))
KNOWN = recorded(became_known(), by=COUNCIL, event_id=an_event_id(2))
JUDGED = recorded(assessed(), by=COUNCIL, event_id=an_event_id(3))
NOTIFIED = recorded(a_notification(), by=COUNCIL, event_id=an_event_id(4))
HARM = recorded(a_harm_notification(), by=COUNCIL, event_id=an_event_id(4))
UNMET = recorded(a_notification(criteria=criteria(NOT_MET)), by=COUNCIL, event_id=an_event_id(4))
WITHDRAWN = recorded(a_withdrawal(), by=COUNCIL, event_id=an_event_id(5))
CLOSED = recorded(IncidentClosed(reason=CloseReason.NO_LOCAL_REVIEW), by=BUSINESS_UNIT, event_id=an_event_id(6))
OPENED = recorded(a_proceeding(), by=POLICE, event_id=an_event_id(7))
CARE_LEAVER = a_notification(children=(a_care_leaver(),), care_leaver_only=True, criteria=criteria(NOT_MET))

STAGES: dict[type[Incident], tuple[Recorded, ...]] = {
    Unknown: (),
    Referred: (REFERRED,),
    Assessed: (REFERRED, JUDGED),
    Notified: (REFERRED, NOTIFIED),
    Withdrawn: (REFERRED, NOTIFIED, WITHDRAWN),
    Closed: (REFERRED, NOTIFIED, CLOSED),
}


def _notification(state: Incident) -> dict[str, Any]:
    notification = notification_of(state)
    assert notification is not None
    return {name: getattr(notification, name) for name in type(notification).__slots__}


def amended(**changes: Any) -> NotificationAmended:
    return NotificationAmended(**{"reason": "More is known.", **changes})


def reclassified(to: NotificationType, *children: Any, **changes: Any) -> IncidentReclassified:
    return IncidentReclassified(notification_type=to, children=children, reason="The child has died.", **changes)


# --- Stages ---


def test_the_stages_of_a_case() -> None:
    assert [type(SPEC.given(*history).state) for history in STAGES.values()] == list(STAGES)


ADDED = ChildAdded(child=a_sibling(), reason="A sibling was hurt too.")
EVERYBODY = (ICB, POLICE, SECOND_COUNCIL)
PARTNERS = (COUNCIL, ICB, POLICE, SECOND_COUNCIL)
BEGUN: set[type[Incident]] = {Referred, Assessed, Notified, Withdrawn, Closed}
PLACES: list[tuple[Event, str, set[type[Incident]]]] = [
    (a_referral(), HOSPITAL, {Unknown, Referred, Assessed, Notified}),
    (ReferralConfirmedInWriting(confirmation="Confirmed."), SCHOOL, BEGUN),
    (became_known(), ICB, {Unknown, Referred, Assessed, Notified}),
    (assessed(), COUNCIL, {Unknown, Referred, Assessed, Notified}),
    (PartnerDissented(outcome=NOT_MET, rationale="No."), ICB, {Assessed, Notified}),
    (ADDED, COUNCIL, {Notified}),
    (amended(place=PlaceKind.HOSPITAL), COUNCIL, {Notified, Withdrawn, Closed}),
    (reclassified(NotificationType.OTHER, a_harmed_child()), COUNCIL, {Notified}),
    (a_withdrawal(), COUNCIL, {Notified}),
    (PartnersInformed(partners=EVERYBODY), COUNCIL, BEGUN),
    (OtherAreaInformed(authority=OTHER_COUNCIL), COUNCIL, BEGUN),
    (a_looked_after_death(), COUNCIL, {Unknown, *BEGUN}),
    (a_care_leaver_death(), COUNCIL, {Unknown, *BEGUN}),
    (a_delay("K1"), COUNCIL, BEGUN),
    (SafetyActionTaken(action="Placed with an aunt."), COUNCIL, {Referred, Assessed, Notified}),
    (a_proceeding(), POLICE, {Referred, Assessed, Notified}),
    (IncidentClosed(reason=CloseReason.OTHER, explanation="Moved."), COUNCIL, {Referred, Assessed, Notified, Withdrawn}),
    (DuplicateLinked(other_case=OTHER_CASE, rationale="Same incident."), COUNCIL, BEGUN),
]


@pytest.mark.parametrize(("event", "sender", "stages"), PLACES, ids=[event.EVENT_TYPE for event, _, _ in PLACES])
def test_each_event_has_its_stages(event: Event, sender: str, stages: set[type[Incident]]) -> None:
    for stage, history in STAGES.items():
        outcome = SPEC.given(*history).when(event, by=sender)
        if stage in stages:
            outcome.then()
        else:
            outcome.refused("incident.state")


# --- Who speaks ---


def test_a_case_needs_a_partnership_in_its_shard() -> None:
    none = {partnership_stream(SHARD): NoPartnership()}
    SPEC.given().when(a_notification(), by=COUNCIL, others=none).refused("incident.no_partnership")


@pytest.mark.parametrize("sender", [COUNCIL, SECOND_COUNCIL, ICB, POLICE, BUSINESS_UNIT, SCHOOL, HOSPITAL])
def test_every_agency_of_the_partnership_refers(sender: str) -> None:
    assert isinstance(SPEC.given().when(a_referral(CHILD), by=sender).then().state, Referred)


@pytest.mark.parametrize("sender", [STRANGER, OTHER_COUNCIL, LSCB, PANEL, OPERATOR, HUB])
def test_nobody_else_begins_a_case(sender: str) -> None:
    SPEC.given().when(a_referral(), by=sender).refused("incident.member")


def test_another_council_joins_a_case_that_began_here() -> None:
    SPEC.given().when(became_known(), by=OTHER_COUNCIL).refused("incident.member")
    SPEC.given(REFERRED).when(became_known(), by=OTHER_COUNCIL).then()
    SPEC.given(REFERRED).when(became_known(), by=STRANGER).refused("incident.member")


@pytest.mark.parametrize("sender", [ICB, POLICE, BUSINESS_UNIT, SCHOOL, PANEL, LSCB, STRANGER, OPERATOR, HUB])
def test_only_a_local_authority_notifies(sender: str) -> None:
    SPEC.given().when(a_notification(), by=sender).refused("incident.notifier")


@pytest.mark.parametrize(
    "event",
    [
        assessed(),
        PartnersInformed(partners=(ICB,)),
        OtherAreaInformed(authority=OTHER_COUNCIL),
        a_looked_after_death(),
        a_care_leaver_death(),
    ],
    ids=lambda event: event.EVENT_TYPE,
)
def test_only_a_council_judges_and_tells(event: Event) -> None:
    SPEC.given(REFERRED).when(event, by=POLICE).refused("incident.council")


@pytest.mark.parametrize(
    "event", [ADDED, amended(place=PlaceKind.HOSPITAL), reclassified(NotificationType.OTHER, a_harmed_child()), a_withdrawal()]
)
def test_only_the_council_that_notified_changes_or_withdraws_it(event: Event) -> None:
    SPEC.given(NOTIFIED).when(event, by=SECOND_COUNCIL).refused("incident.notifying_council")
    SPEC.given(NOTIFIED).when(event, by=BUSINESS_UNIT).refused("incident.notifying_council")


@pytest.mark.parametrize(
    "event", [IncidentClosed(reason=CloseReason.NO_LOCAL_REVIEW), DuplicateLinked(other_case=OTHER_CASE, rationale="Same incident.")]
)
def test_only_those_who_lead_close_or_link(event: Event) -> None:
    SPEC.given(NOTIFIED).when(event, by=SCHOOL).refused("incident.lead")
    SPEC.given(NOTIFIED).when(event, by=ICB).then()
    SPEC.given(REFERRED, recorded(a_notification(incident_authority=OTHER_COUNCIL), by=OTHER_COUNCIL)).when(event, by=OTHER_COUNCIL).then()


def test_the_panel_links_duplicates_and_says_nothing_else_here() -> None:
    link = DuplicateLinked(other_case=OTHER_CASE, rationale="Same incident.")
    SPEC.given(NOTIFIED).when(link, by=PANEL).then()
    SPEC.given(REFERRED).when(link, by=PANEL).refused("incident.member")
    SPEC.given(NOTIFIED).when(a_delay(), by=PANEL).refused("incident.member")


# --- Opening ---


def test_each_agency_refers_and_confirms_once() -> None:
    confirmation = ReferralConfirmedInWriting(confirmation="Confirmed.")
    SPEC.given(REFERRED).when(a_referral(), by=SCHOOL).refused("incident.contradiction")
    SPEC.given(REFERRED).when(confirmation, by=HOSPITAL).refused("incident.referrer")
    SPEC.given(REFERRED, recorded(confirmation, by=SCHOOL)).when(confirmation, by=SCHOOL).refused("incident.contradiction")


def test_history_from_before_a_referral_does_not_confirm_it() -> None:
    sunday = MONDAY - timedelta(days=1)
    confirmation = ReferralConfirmedInWriting(confirmation="Confirmed.")
    SPEC.given(REFERRED).when(replace(confirmation, details=done(sunday)), by=SCHOOL, imported=True).refused("incident.impossible_times")
    SPEC.given(REFERRED).when(replace(confirmation, details=done(MONDAY)), by=SCHOOL, imported=True).then()
    by_word = recorded(replace(a_referral(CHILD), details=done(sunday)), by=SCHOOL)
    SPEC.given(by_word).when(replace(confirmation, details=done(sunday)), by=SCHOOL, imported=True).then()


def test_a_referral_names_each_child_once() -> None:
    SPEC.given().when(a_referral(CHILD, CHILD), by=SCHOOL).refused("incident.duplicate_child")


def test_an_agency_becomes_aware_once_and_corrects_when() -> None:
    later = AWARE_AT + timedelta(hours=1)
    SPEC.given(KNOWN).when(became_known(later), by=COUNCIL).refused("incident.contradiction")
    state = SPEC.given(KNOWN).when(replace(became_known(later), details=corrects(an_event_id(2))), by=COUNCIL).then().state
    assert isinstance(state, Referred)
    assert dict(state.facts.awareness) == {COUNCIL: later}


def test_nobody_knows_of_an_incident_before_it_happened() -> None:
    before = datetime(2024, 2, 27, 12, tzinfo=UTC)
    SPEC.given(NOTIFIED).when(became_known(before), by=ICB).refused("incident.impossible_times")
    SPEC.given().when(a_notification(awareness=an_awareness(before)), by=COUNCIL).refused("incident.impossible_times")
    SPEC.given(recorded(became_known(before), by=COUNCIL)).when(a_notification(awareness=None), by=COUNCIL).refused(
        "incident.impossible_times"
    )


def test_nobody_notifies_before_knowing() -> None:
    SPEC.given().when(a_notification(details=done(AWARE_AT - timedelta(days=1))), by=COUNCIL).refused("incident.impossible_times")


def test_a_council_that_notified_became_aware_no_later() -> None:
    known = recorded(became_known(), by=COUNCIL, event_id=an_event_id(2))
    notified = recorded(a_notification(awareness=None), by=COUNCIL, event_id=an_event_id(4))
    that_day, next_day = MONDAY + timedelta(hours=1), MONDAY + timedelta(days=1)
    corrected = replace(became_known(next_day), details=corrects(an_event_id(2)))
    SPEC.given(known, notified).when(corrected, by=COUNCIL, at=next_day).refused("incident.impossible_times")
    elsewhere = recorded(became_known(), by=SECOND_COUNCIL)
    SPEC.given(elsewhere, notified).when(became_known(next_day), by=COUNCIL, at=next_day).refused("incident.impossible_times")
    SPEC.given(elsewhere, notified).when(became_known(that_day), by=COUNCIL, at=next_day).then()
    SPEC.given(elsewhere, notified).when(became_known(next_day), by=ICB, at=next_day).then()


def test_met_criteria_name_their_limb_and_unmet_ones_none() -> None:
    SPEC.given().when(assessed(MET, limb=None), by=COUNCIL).refused("incident.limb")
    SPEC.given().when(assessed(NOT_MET, limb=Limb.IN_AREA), by=COUNCIL).refused("incident.limb")
    SPEC.given().when(a_notification(criteria=criteria(MET, limb=None)), by=COUNCIL).refused("incident.limb")
    SPEC.given().when(assessed(UNSURE), by=COUNCIL).then()


def test_unmet_criteria_have_a_reason() -> None:
    SPEC.given().when(assessed(NOT_MET, rationale="  "), by=COUNCIL).refused("incident.rationale")


def test_a_judgement_is_made_anew_without_correcting_the_former() -> None:
    state = SPEC.given(recorded(assessed(UNSURE), by=COUNCIL)).when(assessed(MET), by=COUNCIL).then().state
    assert isinstance(state, Assessed)
    assert [judgement.outcome for judgement in state.facts.judgements.values()] == [UNSURE, MET]


def test_a_corrected_judgement_stays_in_its_place() -> None:
    history = (recorded(assessed(UNSURE), by=COUNCIL, event_id=an_event_id(8)), JUDGED)
    state = SPEC.given(*history).when(replace(assessed(NOT_MET), details=corrects(an_event_id(8))), by=COUNCIL).then().state
    assert isinstance(state, Assessed)
    assert [judgement.outcome for judgement in state.facts.judgements.values()] == [NOT_MET, MET]


def test_a_partner_dissents_from_the_judgement_of_another() -> None:
    dissent = PartnerDissented(outcome=NOT_MET, rationale="An accident.")
    SPEC.given(JUDGED).when(dissent, by=POLICE).then()
    SPEC.given(JUDGED).when(dissent, by=COUNCIL).refused("incident.dissenter")
    SPEC.given(JUDGED).when(dissent, by=SCHOOL).refused("incident.dissenter")
    SPEC.given(JUDGED).when(replace(dissent, outcome=MET), by=POLICE).refused("incident.dissenter")


# --- The notification ---


def test_a_notification_begins_a_case_when_it_carries_awareness_and_criteria() -> None:
    state = SPEC.given().when(a_notification(), by=COUNCIL).then().state
    assert isinstance(state, Notified)
    assert (state.by, state.imported, notifying_council(state)) == (COUNCIL, False, COUNCIL)
    assert _notification(state)["children"] == {CHILD: a_child()}
    assert awareness_of(state) == {COUNCIL: AWARE_AT}


def test_a_notification_needs_an_awareness_and_criteria_of_a_council() -> None:
    SPEC.given(JUDGED).when(a_notification(awareness=None), by=COUNCIL).refused("incident.awareness_needed")
    SPEC.given(recorded(became_known(), by=ICB)).when(a_notification(awareness=None), by=COUNCIL).refused("incident.awareness_needed")
    SPEC.given(KNOWN).when(a_notification(criteria=None), by=COUNCIL).refused("incident.criteria_needed")
    SPEC.given(KNOWN, JUDGED).when(a_notification(awareness=None, criteria=None), by=COUNCIL).then()
    SPEC.given(recorded(became_known(), by=SECOND_COUNCIL)).when(a_notification(awareness=None), by=COUNCIL).then()


def test_a_notification_does_not_contradict_the_awareness_recorded_before() -> None:
    SPEC.given(KNOWN).when(a_notification(), by=COUNCIL).then()
    other = an_awareness(AWARE_AT + timedelta(minutes=1))
    SPEC.given(KNOWN).when(a_notification(awareness=other), by=COUNCIL).refused("incident.contradiction")


def test_a_case_is_notified_once() -> None:
    SPEC.given(NOTIFIED).when(a_notification(), by=COUNCIL).refused("incident.second_notification")
    SPEC.given(NOTIFIED, WITHDRAWN).when(a_notification(), by=COUNCIL).refused("incident.second_notification")
    SPEC.given(NOTIFIED, CLOSED).when(a_notification(), by=COUNCIL).refused("incident.second_notification")
    again = a_notification(details=corrects(an_event_id(4)))
    SPEC.given(NOTIFIED).when(again, by=COUNCIL).refused("incident.second_notification")


def test_a_closed_case_is_not_notified() -> None:
    closed = recorded(IncidentClosed(reason=CloseReason.CRITERIA_NOT_MET), by=COUNCIL)
    SPEC.given(REFERRED, closed).when(a_notification(), by=COUNCIL).refused("incident.state")


def test_the_council_of_the_area_notifies() -> None:
    SPEC.given().when(a_notification(), by=SECOND_COUNCIL).refused("incident.authority")
    SPEC.given().when(a_notification(residence_authority=OTHER_COUNCIL), by=COUNCIL).then()


def test_outside_england_the_council_of_residence_notifies() -> None:
    abroad = criteria(MET, limb=Limb.RESIDENT_OUTSIDE_ENGLAND)
    event = a_notification(incident_authority=OTHER_COUNCIL, criteria=abroad)
    SPEC.given().when(event, by=COUNCIL).then()
    SPEC.given(REFERRED).when(event, by=OTHER_COUNCIL).refused("incident.authority")
    unsure = a_notification(incident_authority=OTHER_COUNCIL, place=PlaceKind.ABROAD, criteria=criteria(UNSURE))
    SPEC.given().when(unsure, by=COUNCIL).then()


def test_the_authorities_are_councils() -> None:
    SPEC.given().when(a_notification(incident_authority=ICB), by=COUNCIL).refused("incident.not_a_council")
    SPEC.given().when(a_notification(residence_authority=AgencyId("?")), by=COUNCIL).refused("incident.not_a_council")


def test_exactly_one_of_several_children_is_the_index_child() -> None:
    def notify(*children: Any) -> Any:
        return SPEC.given().when(a_notification(children=children), by=COUNCIL)

    notify().refused("incident.index_child")
    notify(a_child(index_child=False), a_sibling()).refused("incident.index_child")
    notify(a_child(), a_sibling(index_child=True)).refused("incident.index_child")
    notify(a_child(), a_sibling()).then()
    notify(a_child(), a_child()).refused("incident.duplicate_child")


def test_an_only_child_is_the_index_child() -> None:
    state = SPEC.given().when(a_notification(children=(a_child(index_child=False),)), by=COUNCIL).then().state
    assert _notification(state)["children"] == {CHILD: a_child(index_child=True)}


@pytest.mark.parametrize(
    ("kind", "children", "admitted"),
    [
        (NotificationType.DEATH, (a_child(),), True),
        (NotificationType.DEATH, (a_harmed_child(),), False),
        (NotificationType.DEATH, (a_child(death_category=None), a_sibling(death_category=DeathCategory.SUDI)), False),
        (NotificationType.SERIOUS_HARM, (a_harmed_child(),), True),
        (NotificationType.SERIOUS_HARM, (a_child(death_category=None),), False),
        (NotificationType.SERIOUS_HARM, (a_child(harm_category=HarmCategory.NEGLECT),), False),
        (NotificationType.SERIOUS_HARM, (a_harmed_child(), a_sibling(death_category=DeathCategory.SUDI)), False),
        (NotificationType.OTHER, (a_harmed_child(),), True),
        (NotificationType.OTHER, (a_child(death_category=None),), False),
    ],
)
def test_the_index_child_has_the_category_of_its_type(kind: NotificationType, children: tuple[Any, ...], admitted: bool) -> None:
    outcome = SPEC.given().when(a_notification(notification_type=kind, children=children), by=COUNCIL)
    if admitted:
        outcome.then()
    else:
        outcome.refused("incident.category")


def test_only_another_maltreatment_related_death_has_a_further_kind() -> None:
    further = {"other_death_kind": OtherDeathKind.POISONING}
    SPEC.given().when(a_notification(children=(a_child(**further),)), by=COUNCIL).refused("incident.other_death_kind")
    SPEC.given().when(
        a_notification(children=(a_child(death_category=DeathCategory.OTHER_MALTREATMENT_RELATED, **further),)), by=COUNCIL
    ).then()


@pytest.mark.parametrize(
    ("changes", "admitted"),
    [
        ({"age_years": None}, False),
        ({"age_years": -1}, False),
        ({"age_years": 17}, True),
        ({"age_years": 18}, False),
        ({"age_years": 24, "legal_status": LegalStatus.CARE_LEAVER}, True),
        ({"age_years": 25, "legal_status": LegalStatus.CARE_LEAVER}, False),
        ({"age_years": None, "born_on": date(2022, 2, 28)}, True),
        ({"age_years": 2, "born_on": date(2022, 2, 28)}, True),
        ({"age_years": 2, "born_on": date(2022, 2, 29 - 1)}, True),
        ({"age_years": 2, "born_on": date(2022, 3, 1)}, False),
        ({"age_years": 1, "born_on": date(2022, 2, 28)}, False),
        ({"age_years": None, "born_on": date(2006, 2, 28)}, False),
        ({"age_years": None, "born_on": date(2006, 3, 1)}, True),
        ({"age_years": None, "born_on": date(2024, 2, 28)}, True),
        ({"age_years": None, "born_on": date(2024, 2, 29)}, False),
    ],
)
def test_a_child_has_an_age_that_can_be_true(changes: dict[str, Any], admitted: bool) -> None:
    outcome = SPEC.given().when(a_notification(children=(a_child(**changes),)), by=COUNCIL)
    if admitted:
        outcome.then()
    else:
        outcome.refused("incident.age")


def test_an_age_agrees_with_any_day_the_incident_may_have_been() -> None:
    in_february = When(precision=Precision.MONTH, on=date(2024, 2, 1))

    def notify(age: int) -> Any:
        child = a_child(age_years=age, born_on=date(2022, 2, 15))
        return SPEC.given().when(a_notification(incident_on=in_february, children=(child,)), by=COUNCIL)

    notify(1).then()
    notify(2).then()
    notify(3).refused("incident.age")
    newborn = a_child(age_years=0, born_on=date(2024, 2, 15))
    SPEC.given().when(a_notification(incident_on=in_february, children=(newborn,)), by=COUNCIL).then()


def test_a_care_leaver_only_notification_is_of_care_leavers_who_died() -> None:
    state = SPEC.given().when(CARE_LEAVER, by=COUNCIL).then().state
    assert care_leaver_only(state)
    SPEC.given().when(replace(CARE_LEAVER, children=(a_child(age_years=17),)), by=COUNCIL).refused("incident.care_leaver_only")
    SPEC.given().when(replace(CARE_LEAVER, children=(a_care_leaver(age_years=15),)), by=COUNCIL).refused("incident.care_leaver_only")
    harmed = a_care_leaver(death_category=None, harm_category=HarmCategory.OTHER)
    SPEC.given().when(replace(CARE_LEAVER, notification_type=NotificationType.SERIOUS_HARM, children=(harmed,)), by=COUNCIL).refused(
        "incident.care_leaver_only"
    )


@pytest.mark.parametrize("fifth", [0, 6, -1])
def test_a_deprivation_fifth_is_one_to_five(fifth: int) -> None:
    SPEC.given().when(a_notification(deprivation_fifth=fifth), by=COUNCIL).refused("incident.deprivation_fifth")
    SPEC.given(NOTIFIED).when(amended(deprivation_fifth=fifth), by=COUNCIL).refused("incident.deprivation_fifth")
    SPEC.given().when(a_notification(deprivation_fifth=5), by=COUNCIL).then()


def test_a_notification_with_unmet_criteria_is_a_finding() -> None:
    outcome = SPEC.given().when(a_notification(criteria=criteria(NOT_MET)), by=COUNCIL).then("incident.criteria_not_met")
    assert [rule.id for rule in DECIDER.open_rules(outcome.state)] == ["incident.criteria_not_met"]
    earlier = recorded(assessed(NOT_MET), by=COUNCIL)
    SPEC.given(KNOWN, earlier).when(a_notification(awareness=None, criteria=None), by=COUNCIL).then("incident.criteria_not_met")
    SPEC.given(NOTIFIED).when(assessed(NOT_MET), by=COUNCIL).then("incident.criteria_not_met")


def test_the_judgement_of_another_council_is_no_finding_on_the_notification() -> None:
    outcome = SPEC.given(NOTIFIED).when(assessed(NOT_MET), by=SECOND_COUNCIL).then()
    assert DECIDER.open_rules(outcome.state) == frozenset()


def test_unmet_criteria_are_mended_by_meeting_them_or_withdrawing() -> None:
    SPEC.given(UNMET).when(assessed(MET), by=COUNCIL).then().mends("incident.criteria_not_met")
    SPEC.given(UNMET).when(a_withdrawal(), by=COUNCIL).then().mends("incident.criteria_not_met")
    SPEC.given(UNMET).when(amended(place=PlaceKind.HOSPITAL), by=COUNCIL).then().mends()
    closing = IncidentClosed(reason=CloseReason.NO_LOCAL_REVIEW)
    SPEC.given(UNMET).when(closing, by=COUNCIL).then().mends()


def test_another_child_is_added_once() -> None:
    state = SPEC.given(NOTIFIED).when(ADDED, by=COUNCIL).then().state
    assert list(_notification(state)["children"]) == [CHILD, SIBLING]
    SPEC.given(NOTIFIED, recorded(ADDED, by=COUNCIL)).when(ADDED, by=COUNCIL).refused("incident.duplicate_child")
    SPEC.given(NOTIFIED).when(ChildAdded(child=a_child(), reason="Again."), by=COUNCIL).refused("incident.duplicate_child")
    second_index = ChildAdded(child=a_sibling(index_child=True), reason="A sibling.")
    SPEC.given(NOTIFIED).when(second_index, by=COUNCIL).refused("incident.index_child")
    grown = ChildAdded(child=a_sibling(age_years=30), reason="A sibling.")
    SPEC.given(NOTIFIED).when(grown, by=COUNCIL).refused("incident.age")


def test_an_added_child_is_corrected_under_its_own_id() -> None:
    added = recorded(ADDED, by=COUNCIL, event_id=an_event_id(8))
    older = ChildAdded(child=a_sibling(age_years=6), reason="Its age.", details=corrects(an_event_id(8)))
    state = SPEC.given(NOTIFIED, added).when(older, by=COUNCIL).then().state
    assert _notification(state)["children"][SIBLING].age_years == 6
    other = ChildAdded(child=a_child(STRANGE_CHILD, index_child=False), reason="Its id.", details=corrects(an_event_id(8)))
    SPEC.given(NOTIFIED, added).when(other, by=COUNCIL).refused("incident.correction")


def test_an_amendment_replaces_what_it_gives_and_leaves_the_rest() -> None:
    before = _notification(SPEC.given(NOTIFIED).state)
    event = amended(place=PlaceKind.HOSPITAL, residence_authority=OTHER_COUNCIL, children=(a_child(age_years=3),))
    after = _notification(SPEC.given(NOTIFIED).when(event, by=COUNCIL).then().state)
    assert after == {
        **before,
        "place": PlaceKind.HOSPITAL,
        "residence_authority": OTHER_COUNCIL,
        "children": {CHILD: a_child(age_years=3)},
    }


def test_what_was_notified_of_a_case_that_is_closed_is_still_put_right() -> None:
    event = amended(children=(a_child(age_years=3),))
    closed = SPEC.given(NOTIFIED, CLOSED).when(event, by=COUNCIL).then().state
    assert isinstance(closed, Closed)
    assert _notification(closed)["children"] == {CHILD: a_child(age_years=3)}
    SPEC.given(REFERRED, CLOSED).when(event, by=COUNCIL).refused("incident.state")


@pytest.mark.parametrize(
    "changes",
    [
        {"circumstances": "More."},
        {"characteristics": Characteristics()},
        {"characteristics": Characteristics(values=(Characteristic.NEGLECT,))},
        {"deprivation_fifth": 1},
        {"suspected_abuse": SuspectedAbuse()},
        {"suspected_abuse": SuspectedAbuse(values=(AbuseKind.NEGLECT,))},
        {"suspect_relationship": SuspectRelationship.CARER},
    ],
)
def test_an_amendment_may_change_what_no_rule_looks_at(changes: dict[str, Any]) -> None:
    SPEC.given(NOTIFIED).when(amended(**changes), by=COUNCIL).then()


def test_an_amendment_changes_something_known() -> None:
    SPEC.given(NOTIFIED).when(amended(), by=COUNCIL).refused("incident.changes_nothing")
    SPEC.given(NOTIFIED).when(amended(children=(a_sibling(),)), by=COUNCIL).refused("incident.unknown_child")
    twice = amended(children=(a_child(), a_child()))
    SPEC.given(NOTIFIED).when(twice, by=COUNCIL).refused("incident.duplicate_child")
    SPEC.given(NOTIFIED).when(amended(residence_authority=POLICE), by=COUNCIL).refused("incident.not_a_council")
    SPEC.given(NOTIFIED).when(amended(incident_authority=POLICE), by=COUNCIL).refused("incident.not_a_council")


def test_an_amendment_leaves_children_that_can_be_counted() -> None:
    SPEC.given(NOTIFIED).when(amended(children=(a_child(death_category=None),)), by=COUNCIL).refused("incident.category")
    SPEC.given(NOTIFIED).when(amended(children=(a_child(age_years=None),)), by=COUNCIL).refused("incident.age")
    several = recorded(a_notification(children=(a_child(), a_sibling())), by=COUNCIL)
    SPEC.given(several).when(amended(children=(a_child(index_child=False),)), by=COUNCIL).refused("incident.index_child")
    swapped = (a_child(index_child=False), a_sibling(index_child=True, death_category=DeathCategory.SUDI))
    SPEC.given(several).when(amended(children=swapped), by=COUNCIL).then()


def test_when_it_happened_is_never_changed_silently() -> None:
    moved = {"incident_on": on(date(2024, 2, 27))}
    SPEC.given(NOTIFIED).when(amended(**moved), by=COUNCIL).refused("incident.occurrence_reason")
    SPEC.given(NOTIFIED).when(amended(occurrence_reason="Post-mortem."), by=COUNCIL).refused("incident.occurrence_reason")
    state = SPEC.given(NOTIFIED).when(amended(**moved, occurrence_reason="Post-mortem."), by=COUNCIL).then().state
    assert _notification(state)["incident_on"] == on(date(2024, 2, 27))
    after_awareness = amended(incident_on=on(date(2024, 3, 1)), occurrence_reason="Post-mortem.")
    SPEC.given(NOTIFIED).when(after_awareness, by=COUNCIL).refused("incident.impossible_times")


def test_an_amendment_corrects_the_awareness_that_the_notification_gave() -> None:
    earlier = amended(awareness=an_awareness(datetime(2024, 2, 28, 9, tzinfo=UTC)))
    state = SPEC.given(NOTIFIED).when(earlier, by=COUNCIL).then().state
    assert awareness_of(state) == {COUNCIL: datetime(2024, 2, 28, 9, tzinfo=UTC)}
    for impossible in (datetime(2024, 2, 27, 9, tzinfo=UTC), datetime(2024, 3, 5, 9, tzinfo=UTC)):
        event = amended(awareness=an_awareness(impossible))
        SPEC.given(NOTIFIED).when(event, by=COUNCIL, at=MONDAY + timedelta(days=9)).refused("incident.impossible_times")
    moved = amended(
        incident_on=on(date(2024, 3, 1)), occurrence_reason="Post-mortem.", awareness=an_awareness(datetime(2024, 3, 1, tzinfo=UTC))
    )
    SPEC.given(NOTIFIED).when(moved, by=COUNCIL).then()


def test_a_day_mistyped_in_a_live_notification_holds_up_no_awareness() -> None:
    first, wrong, right = (datetime(2024, 2, day, 9, tzinfo=UTC) for day in (28, 28, 29))
    mistyped = recorded(a_notification(awareness=an_awareness(first), details=done(wrong)), by=COUNCIL)
    state = SPEC.given(mistyped).when(amended(awareness=an_awareness(right)), by=COUNCIL).then().state
    assert awareness_of(state) == {COUNCIL: right}
    apart = recorded(a_notification(awareness=None, details=done(wrong)), by=COUNCIL, event_id=an_event_id(4))
    known = recorded(became_known(first), by=COUNCIL, event_id=an_event_id(2))
    corrected = replace(became_known(right), details=corrects(an_event_id(2)))
    SPEC.given(known, apart).when(corrected, by=COUNCIL).then()
    notice = a_looked_after_death(aware_at=right, details=done(MONDAY))
    SPEC.given(mistyped).when(notice, by=COUNCIL).then()
    after = amended(awareness=an_awareness(MONDAY + timedelta(days=1)))
    SPEC.given(mistyped).when(after, by=COUNCIL, at=MONDAY + timedelta(days=2)).refused("incident.impossible_times")


def test_an_awareness_recorded_apart_is_corrected_where_it_was_recorded() -> None:
    other = amended(awareness=an_awareness(AWARE_AT + timedelta(hours=1)))
    SPEC.given(KNOWN, NOTIFIED).when(other, by=COUNCIL).refused("incident.contradiction")
    put_right = recorded(replace(became_known(AWARE_AT + timedelta(hours=1)), details=corrects(an_event_id(2))), by=COUNCIL)
    SPEC.given(KNOWN, NOTIFIED, put_right).when(other, by=COUNCIL).then()


def test_an_imported_notification_is_amended_to_no_instant_before_its_amended_awareness() -> None:
    old_day, aware = on(date(2021, 5, 1)), an_awareness(datetime(2021, 5, 2, 9, tzinfo=UTC))
    notified_at = datetime(2021, 5, 4, 9, tzinfo=UTC)
    imported = recorded(a_notification(incident_on=old_day, awareness=aware, details=done(notified_at)), by=COUNCIL, imported=True)
    sixth = datetime(2021, 5, 6, 9, tzinfo=UTC)
    SPEC.given(imported).when(amended(awareness=an_awareness(sixth)), by=COUNCIL).refused("incident.impossible_times")
    both = SPEC.given(imported).when(amended(awareness=an_awareness(sixth), notified_at=sixth), by=COUNCIL).then()
    assert _notification(both.state)["done_on"] == date(2021, 5, 6)
    later = recorded(amended(notified_at=sixth), by=COUNCIL)
    SPEC.given(imported, later).when(amended(awareness=an_awareness(sixth)), by=COUNCIL).then()


def test_an_amendment_by_which_another_council_owed_the_notification_is_a_finding_until_that_one_is_told() -> None:
    elsewhere = amended(incident_authority=OTHER_COUNCIL)
    outcome = SPEC.given(NOTIFIED).when(elsewhere, by=COUNCIL).then("incident.notified_elsewhere")
    assert _notification(outcome.state)["incident_authority"] == OTHER_COUNCIL
    assert [rule.id for rule in DECIDER.open_rules(outcome.state)] == ["incident.notified_elsewhere"]
    made = recorded(elsewhere, by=COUNCIL)
    told = OtherAreaInformed(authority=OTHER_COUNCIL)
    SPEC.given(NOTIFIED, made).when(told, by=COUNCIL).then().mends("incident.notified_elsewhere")
    SPEC.given(NOTIFIED, recorded(told, by=COUNCIL)).when(elsewhere, by=COUNCIL).then()
    SPEC.given(NOTIFIED, made).when(amended(incident_authority=COUNCIL), by=COUNCIL).then().mends("incident.notified_elsewhere")
    said = recorded(told, by=COUNCIL, event_id=an_event_id(61))
    taken_back = replace(told, authority=AgencyId("la-E09999977"), details=corrects(an_event_id(61)))
    SPEC.given(NOTIFIED, made, said).when(taken_back, by=COUNCIL).then("incident.notified_elsewhere")
    SPEC.given(NOTIFIED, made).when(amended(place=PlaceKind.HOSPITAL), by=COUNCIL).then().mends()
    SPEC.given(NOTIFIED, made).when(a_withdrawal(), by=COUNCIL).then().mends("incident.notified_elsewhere")


def test_outside_england_the_council_of_residence_owed_the_notification() -> None:
    abroad = criteria(limb=Limb.RESIDENT_OUTSIDE_ENGLAND)
    event = recorded(a_notification(incident_authority=OTHER_COUNCIL, place=PlaceKind.ABROAD, criteria=abroad), by=COUNCIL)
    SPEC.given(event).when(amended(incident_authority=SECOND_COUNCIL), by=COUNCIL).then()
    SPEC.given(event).when(amended(residence_authority=OTHER_COUNCIL), by=COUNCIL).then("incident.notified_elsewhere")


def test_only_an_imported_notification_gets_another_instant() -> None:
    old_day = on(date(2021, 5, 1))
    aware = an_awareness(datetime(2021, 5, 2, 9, tzinfo=UTC))
    notified_at = datetime(2021, 5, 4, 9, tzinfo=UTC)
    imported = recorded(a_notification(incident_on=old_day, awareness=aware, details=done(notified_at)), by=COUNCIL, imported=True)
    SPEC.given(imported).when(amended(notified_at=notified_at + timedelta(days=1)), by=COUNCIL).then()
    SPEC.given(NOTIFIED).when(amended(notified_at=notified_at), by=COUNCIL).refused("incident.notified_at")
    live = amended(notified_at=datetime(2024, 1, 1, tzinfo=UTC))
    SPEC.given(imported).when(live, by=COUNCIL).refused("incident.notified_at")
    SPEC.given(imported).when(amended(notified_at=notified_at), by=COUNCIL, live_from=None).refused("incident.notified_at")
    too_soon = amended(notified_at=notified_at - timedelta(days=3))
    SPEC.given(imported).when(too_soon, by=COUNCIL).refused("incident.impossible_times")


def test_a_reclassification_changes_the_type_with_its_category() -> None:
    died = a_child(harm_category=HarmCategory.NEGLECT)
    state = SPEC.given(HARM).when(reclassified(NotificationType.DEATH, died), by=COUNCIL).then().state
    assert _notification(state)["notification_type"] is NotificationType.DEATH
    SPEC.given(HARM).when(reclassified(NotificationType.SERIOUS_HARM), by=COUNCIL).refused("incident.same_type")
    SPEC.given(HARM).when(reclassified(NotificationType.DEATH), by=COUNCIL).refused("incident.category")
    SPEC.given(HARM).when(reclassified(NotificationType.DEATH, a_sibling()), by=COUNCIL).refused("incident.unknown_child")
    SPEC.given(HARM).when(reclassified(NotificationType.DEATH, died, died), by=COUNCIL).refused("incident.duplicate_child")
    SPEC.given(HARM).when(reclassified(NotificationType.OTHER), by=COUNCIL).then()


def test_a_withdrawal_has_a_reason_and_is_the_end_of_the_notification() -> None:
    SPEC.given(NOTIFIED).when(replace(a_withdrawal(), rationale=""), by=COUNCIL).refused("incident.rationale")
    state = SPEC.given(NOTIFIED).when(a_withdrawal(), by=COUNCIL).then().state
    assert (is_notified(state), is_withdrawn(state), is_closed(state)) == (False, True, False)
    again = replace(a_withdrawal(), details=corrects(an_event_id(5)))
    assert isinstance(SPEC.given(NOTIFIED, WITHDRAWN).when(again, by=COUNCIL).then().state, Withdrawn)


# --- Telling ---


def test_the_partners_informed_are_others_of_the_partnership() -> None:
    for strangers in ((), (SCHOOL,), (ICB, COUNCIL), (ICB, OTHER_COUNCIL)):
        SPEC.given(REFERRED).when(PartnersInformed(partners=strangers), by=COUNCIL).refused("incident.unknown_agency")
    state = SPEC.given(REFERRED).when(PartnersInformed(partners=(ICB, POLICE, BUSINESS_UNIT)), by=COUNCIL).then().state
    assert named_agencies(state) == {ICB, POLICE, BUSINESS_UNIT}


def test_who_was_informed_is_not_informed_again() -> None:
    informed = recorded(PartnersInformed(partners=(ICB,)), by=COUNCIL, event_id=an_event_id(8))
    SPEC.given(REFERRED, informed).when(PartnersInformed(partners=(ICB,)), by=COUNCIL).refused("incident.changes_nothing")
    SPEC.given(REFERRED, informed).when(PartnersInformed(partners=EVERYBODY), by=COUNCIL).then()
    SPEC.given(REFERRED, informed).when(PartnersInformed(partners=(ICB,)), by=SECOND_COUNCIL).then("incident.partners_untold")
    other = recorded(OtherAreaInformed(authority=OTHER_COUNCIL), by=COUNCIL)
    SPEC.given(REFERRED, other).when(OtherAreaInformed(authority=OTHER_COUNCIL), by=COUNCIL).refused("incident.changes_nothing")


def test_a_correction_replaces_who_was_informed() -> None:
    informed = recorded(PartnersInformed(partners=(ICB,)), by=COUNCIL, event_id=an_event_id(8))
    event = PartnersInformed(partners=(POLICE,), details=corrects(an_event_id(8)))
    outcome = SPEC.given(REFERRED, informed).when(event, by=COUNCIL).then("incident.partners_untold")
    assert named_agencies(outcome.state) == {POLICE}


def test_a_partner_who_is_not_told_while_others_are_is_a_finding_until_that_partner_knows() -> None:
    some = PartnersInformed(partners=(ICB, SECOND_COUNCIL))
    outcome = SPEC.given(REFERRED).when(some, by=COUNCIL).then("incident.partners_untold")
    assert [rule.id for rule in DECIDER.open_rules(outcome.state)] == ["incident.partners_untold"]
    told = replace(recorded(some, by=COUNCIL, event_id=an_event_id(8)), findings=(PARTNERS_UNTOLD.id,))
    for rest in ((POLICE,), (BUSINESS_UNIT,)):
        SPEC.given(REFERRED, told).when(PartnersInformed(partners=rest), by=COUNCIL).then().mends("incident.partners_untold")
    by_another = PartnersInformed(partners=(POLICE,))
    SPEC.given(REFERRED, told).when(by_another, by=SECOND_COUNCIL).then().mends("incident.partners_untold")
    corrected = PartnersInformed(partners=EVERYBODY, details=corrects(an_event_id(8)))
    SPEC.given(REFERRED, told).when(corrected, by=COUNCIL).then().mends("incident.partners_untold")


def test_who_says_something_in_the_case_need_not_be_told_of_it() -> None:
    by_police = recorded(a_referral(CHILD), by=POLICE)
    SPEC.given(by_police).when(PartnersInformed(partners=(ICB, SECOND_COUNCIL)), by=COUNCIL).then()
    SPEC.given(NOTIFIED).when(PartnersInformed(partners=(ICB, POLICE)), by=SECOND_COUNCIL).then()


def test_history_is_not_asked_for_partners_who_joined_since() -> None:
    lists = {
        an_event_id(70): Members(effective_on=date(2019, 9, 29), business_unit=BUSINESS_UNIT, partners=PARTNERS[:3], relevant_agencies=()),
        an_event_id(71): Members(effective_on=MONDAY.date(), business_unit=BUSINESS_UNIT, partners=PARTNERS, relevant_agencies=()),
    }
    others = {partnership_stream(SHARD): a_partnership(partners=PARTNERS, lists=lists)}
    told = PartnersInformed(partners=(ICB, POLICE), details=done(MONDAY - timedelta(days=1)))
    SPEC.given(REFERRED).when(told, by=COUNCIL, imported=True, others=others).then()
    SPEC.given(REFERRED).when(told, by=COUNCIL, others=others).then("incident.partners_untold")
    before = recorded(told, by=COUNCIL, imported=True, event_id=an_event_id(8))
    corrected = replace(told, details=corrects(an_event_id(8)))
    SPEC.given(REFERRED, before).when(corrected, by=COUNCIL, others=others).then()


def test_a_council_of_the_partnership_that_is_told_as_another_area_knows() -> None:
    elsewhere = OtherAreaInformed(authority=SECOND_COUNCIL)
    SPEC.given(REFERRED).when(elsewhere, by=COUNCIL).then()
    told = replace(recorded(PartnersInformed(partners=(ICB, POLICE)), by=COUNCIL), findings=(PARTNERS_UNTOLD.id,))
    SPEC.given(REFERRED, told).when(elsewhere, by=COUNCIL).then().mends("incident.partners_untold")
    SPEC.given(REFERRED, told).when(OtherAreaInformed(authority=OTHER_COUNCIL), by=COUNCIL).then("incident.partners_untold")
    other = recorded(elsewhere, by=COUNCIL, event_id=an_event_id(9))
    taken_back = OtherAreaInformed(authority=OTHER_COUNCIL, details=corrects(an_event_id(9)))
    SPEC.given(REFERRED, told, other).when(taken_back, by=COUNCIL).then("incident.partners_untold")


def test_another_area_is_another_council() -> None:
    SPEC.given(REFERRED).when(OtherAreaInformed(authority=ICB), by=COUNCIL).refused("incident.not_a_council")
    SPEC.given(REFERRED).when(OtherAreaInformed(authority=COUNCIL), by=COUNCIL).refused("incident.not_a_council")


def test_a_looked_after_death_is_told_to_both_or_it_is_a_finding() -> None:
    assert isinstance(SPEC.given().when(a_looked_after_death(), by=COUNCIL).then().state, Referred)
    half = a_looked_after_death(told=(Recipient.OFSTED,))
    outcome = SPEC.given().when(half, by=COUNCIL).then("incident.death_untold")
    assert [rule.id for rule in DECIDER.open_rules(outcome.state)] == ["incident.death_untold"]
    told = recorded(half, by=COUNCIL)
    rest = a_looked_after_death(told=(Recipient.SECRETARY_OF_STATE,))
    SPEC.given(told).when(rest, by=COUNCIL).then().mends("incident.death_untold")
    SPEC.given().when(a_care_leaver_death(told=()), by=COUNCIL).then("incident.death_untold")


@pytest.mark.parametrize("event", [assessed(), PartnersInformed(partners=EVERYBODY), OtherAreaInformed(authority=OTHER_COUNCIL)])
def test_nobody_judges_or_tells_of_an_incident_in_history_from_before_knowing_of_it(event: Event) -> None:
    before = replace(event, details=done(AWARE_AT - timedelta(days=1)))
    SPEC.given(KNOWN).when(before, by=COUNCIL, imported=True).refused("incident.impossible_times")
    SPEC.given(KNOWN).when(replace(event, details=done(AWARE_AT)), by=COUNCIL, imported=True).then()
    SPEC.given(KNOWN).when(before, by=COUNCIL).then()


def test_a_council_may_have_been_unsure_before_it_came_to_know() -> None:
    unsure = replace(assessed(UNSURE), details=done(AWARE_AT - timedelta(days=1)))
    SPEC.given(KNOWN).when(unsure, by=COUNCIL, imported=True).then()


def test_a_council_that_notified_a_death_knew_of_it_no_later() -> None:
    next_day = MONDAY + timedelta(days=1)
    late = a_looked_after_death(aware_at=next_day)
    SPEC.given(NOTIFIED).when(late, by=COUNCIL, at=next_day).refused("incident.impossible_times")
    SPEC.given(NOTIFIED).when(late, by=OTHER_COUNCIL, at=next_day).then()
    died_later = recorded(reclassified(NotificationType.DEATH, a_child()), by=COUNCIL, at=next_day)
    SPEC.given(HARM, died_later).when(late, by=COUNCIL, at=next_day).then()


@pytest.mark.parametrize("end", [WITHDRAWN, CLOSED])
def test_what_was_left_untold_is_told_and_explained_though_the_case_has_ended(end: Recorded) -> None:
    in_care = recorded(a_notification(children=(a_child(legal_status=LegalStatus.CARE_ORDER),)), by=COUNCIL)
    half = recorded(a_looked_after_death(told=(Recipient.OFSTED,)), by=COUNCIL)
    unexplained = recorded(a_delay(told=(Recipient.PANEL,)), by=BUSINESS_UNIT)
    ended = SPEC.given(in_care, half, unexplained, end)
    ended.when(a_looked_after_death(told=(Recipient.SECRETARY_OF_STATE,)), by=COUNCIL).then().mends("incident.death_untold")
    ended.when(a_delay(), by=BUSINESS_UNIT).then().mends("incident.delay_untold")


def test_a_death_is_told_once_and_the_same() -> None:
    told = recorded(a_looked_after_death(), by=COUNCIL, event_id=an_event_id(8))
    SPEC.given(told).when(a_looked_after_death(), by=COUNCIL).refused("incident.contradiction")
    other_day = a_looked_after_death(died_on=on(date(2024, 2, 27)), told=(Recipient.PANEL,))
    SPEC.given(told).when(other_day, by=COUNCIL).refused("incident.contradiction")
    SPEC.given(told).when(a_care_leaver_death(told=(Recipient.PANEL,)), by=COUNCIL).refused("incident.contradiction")
    SPEC.given(told).when(a_looked_after_death(child_id=SIBLING), by=COUNCIL).then()
    corrected = replace(other_day, details=corrects(an_event_id(8)))
    SPEC.given(told).when(corrected, by=COUNCIL).then("incident.death_untold")


def test_nobody_tells_of_a_death_before_knowing_of_it_whatever_a_correction_says() -> None:
    next_day = MONDAY + timedelta(days=1)
    told = recorded(a_looked_after_death(), by=COUNCIL, event_id=an_event_id(8))
    SPEC.given().when(a_looked_after_death(aware_at=next_day), by=COUNCIL).refused("incident.impossible_times")
    later = a_looked_after_death(aware_at=next_day, details=corrects(an_event_id(8)))
    SPEC.given(told).when(later, by=COUNCIL, at=next_day + timedelta(days=1)).refused("incident.impossible_times")
    same_day = a_looked_after_death(aware_at=MONDAY, details=corrects(an_event_id(8)))
    SPEC.given(told).when(same_day, by=COUNCIL, at=next_day).then()
    saying_so = replace(later, details=corrects(an_event_id(8), done_at=next_day))
    SPEC.given(told).when(saying_so, by=COUNCIL, at=next_day).refused("incident.impossible_times")


def test_the_day_on_which_a_death_was_told_and_known_is_put_right_together() -> None:
    friday = MONDAY - timedelta(days=3)
    mistaken = a_looked_after_death(aware_at=AWARE_AT, details=done(AWARE_AT))
    right = a_looked_after_death(aware_at=friday, details=corrects(an_event_id(8), done_at=MONDAY))
    live = SPEC.given(recorded(mistaken, by=COUNCIL, event_id=an_event_id(8)))
    live.when(right, by=COUNCIL, at=MONDAY + timedelta(days=2)).then()
    live.when(replace(right, details=corrects(an_event_id(8))), by=COUNCIL).refused("incident.impossible_times")
    history = SPEC.given(recorded(mistaken, by=COUNCIL, imported=True, event_id=an_event_id(8)))
    history.when(right, by=COUNCIL).refused("incident.impossible_times")
    history.when(right, by=COUNCIL, imported=True).then()


def test_a_child_who_was_notified_as_dead_by_mistake_and_dies_later_was_not_known_to_be_dead() -> None:
    dead, hurt = a_child(SIBLING, index_child=False), a_harmed_child(SIBLING, index_child=False)
    both = recorded(a_notification(children=(a_child(), dead)), by=COUNCIL)
    put_right = recorded(amended(children=(hurt,)), by=COUNCIL, event_id=an_event_id(5))
    died_on = MONDAY + timedelta(days=10)
    dies = recorded(amended(children=(dead,)), by=COUNCIL, at=died_on, event_id=an_event_id(6))
    notice = a_looked_after_death(child_id=SIBLING, died_on=on(died_on.date()), aware_at=died_on)
    SPEC.given(both, put_right, dies).when(notice, by=COUNCIL, at=died_on).then()
    SPEC.given(both).when(notice, by=COUNCIL, at=died_on).refused("incident.impossible_times")


def test_a_death_is_that_of_a_child_the_case_says_died() -> None:
    SPEC.given(NOTIFIED).when(a_looked_after_death(child_id=SIBLING), by=COUNCIL).refused("incident.unknown_child")
    SPEC.given(HARM).when(a_looked_after_death(), by=COUNCIL).refused("incident.not_a_death")
    SPEC.given().when(a_looked_after_death(aware_at=datetime(2024, 2, 27, tzinfo=UTC)), by=COUNCIL).refused("incident.impossible_times")


def test_a_looked_after_child_is_no_care_leaver() -> None:
    leaver = recorded(CARE_LEAVER, by=COUNCIL)
    SPEC.given(leaver).when(a_care_leaver_death(), by=COUNCIL).then()
    SPEC.given(leaver).when(a_looked_after_death(), by=COUNCIL).refused("incident.care_status")
    in_care = recorded(a_notification(children=(a_child(legal_status=LegalStatus.CARE_ORDER, age_years=17),)), by=COUNCIL)
    SPEC.given(in_care).when(a_looked_after_death(), by=COUNCIL).then()
    SPEC.given(in_care).when(a_care_leaver_death(age_years=17), by=COUNCIL).refused("incident.care_status")


@pytest.mark.parametrize(("age", "admitted"), [(15, False), (16, True), (24, True), (25, False)])
def test_a_care_leaver_is_sixteen_to_twenty_four(age: int, admitted: bool) -> None:
    outcome = SPEC.given().when(a_care_leaver_death(age_years=age), by=COUNCIL)
    if admitted:
        outcome.then()
    else:
        outcome.refused("incident.care_leaver_age")


@pytest.mark.parametrize("clock", ["K0", "K5", "K20", "k1", "K01", "", "K10 "])
def test_a_delay_names_a_clock_that_exists(clock: str) -> None:
    SPEC.given(NOTIFIED).when(a_delay(clock), by=BUSINESS_UNIT).refused("incident.unknown_clock")


@pytest.mark.parametrize("clock", ["K1", "K5A", "K5B", "K19"])
def test_a_delay_of_any_clock_but_publication_is_told_to_whom_it_may(clock: str) -> None:
    SPEC.given(NOTIFIED).when(a_delay(clock, told=()), by=BUSINESS_UNIT).then()


def test_a_delay_has_a_reason_in_words() -> None:
    SPEC.given(NOTIFIED).when(replace(a_delay(), explanation=" "), by=BUSINESS_UNIT).refused("incident.rationale")


def test_a_delay_of_publication_is_told_to_panel_and_secretary_of_state_or_is_a_finding() -> None:
    SPEC.given(NOTIFIED).when(a_delay(), by=BUSINESS_UNIT).then()
    half = a_delay(told=(Recipient.PANEL,))
    SPEC.given(NOTIFIED).when(half, by=BUSINESS_UNIT).then("incident.delay_untold")
    told = recorded(half, event_id=an_event_id(8))
    SPEC.given(NOTIFIED, told).when(a_delay(told=(Recipient.SECRETARY_OF_STATE,)), by=BUSINESS_UNIT).then().mends("incident.delay_untold")
    SPEC.given(NOTIFIED, told).when(replace(a_delay(), details=corrects(an_event_id(8))), by=BUSINESS_UNIT).then().mends(
        "incident.delay_untold"
    )
    further = replace(a_delay(told=()), expected_on=date(2025, 1, 6))
    whole = recorded(a_delay(), event_id=an_event_id(9))
    SPEC.given(NOTIFIED, whole).when(further, by=BUSINESS_UNIT).then("incident.delay_untold")
    SPEC.given(NOTIFIED, whole, recorded(further)).when(replace(a_delay(), expected_on=further.expected_on), by=BUSINESS_UNIT).then().mends(
        "incident.delay_untold"
    )
    earlier = replace(a_delay(told=()), expected_on=date(2024, 9, 2), details=done(MONDAY - timedelta(days=60)))
    SPEC.given(NOTIFIED, whole).when(earlier, by=BUSINESS_UNIT, imported=True).then()
    other_clock = replace(a_delay("K5B"), details=corrects(an_event_id(8)))
    SPEC.given(NOTIFIED, told).when(other_clock, by=BUSINESS_UNIT).refused("incident.correction")


# --- The course of the case ---


def test_a_safety_action_is_for_children_the_case_knows() -> None:
    action = SafetyActionTaken(action="Placed with an aunt.", children=(CHILD,))
    SPEC.given(REFERRED).when(action, by=HOSPITAL).then()
    SPEC.given(NOTIFIED).when(replace(action, children=(CHILD, STRANGE_CHILD)), by=HOSPITAL).refused("incident.unknown_child")


def _update(*, restricts: bool, proceeding: str = PROCEEDING, **changes: Any) -> ParallelProceedingUpdated:
    return ParallelProceedingUpdated(
        proceeding_id=an_id(3) if proceeding == PROCEEDING else an_id(99), restricts_publication=restricts, summary="News.", **changes
    )


ENDED = ParallelProceedingClosed(proceeding_id=PROCEEDING, outcome="Convicted.")


def test_a_live_proceeding_restrains_publication_until_cleared_or_ended() -> None:
    opened = SPEC.given(NOTIFIED, OPENED)
    assert live_restrictions(opened.state) == (PROCEEDING,)
    assert live_restrictions(opened.when(_update(restricts=False), by=POLICE).then().state) == ()
    assert live_restrictions(opened.when(ENDED, by=POLICE).then().state) == ()
    assert live_restrictions(opened.when(a_proceeding(an_id(30), restricts_publication=False), by=POLICE).then().state) == (PROCEEDING,)


def test_a_proceeding_opens_once_and_ends_once() -> None:
    SPEC.given(NOTIFIED, OPENED).when(a_proceeding(), by=POLICE).refused("incident.duplicate_proceeding")
    SPEC.given(NOTIFIED).when(_update(restricts=True), by=POLICE).refused("incident.unknown_proceeding")
    SPEC.given(NOTIFIED).when(ENDED, by=POLICE).refused("incident.unknown_proceeding")
    SPEC.given().when(ENDED, by=POLICE).refused("incident.state")
    SPEC.given(NOTIFIED, OPENED, recorded(ENDED, by=POLICE)).when(_update(restricts=True), by=POLICE).refused("incident.proceeding_ended")
    SPEC.given(NOTIFIED, OPENED, recorded(ENDED, by=POLICE)).when(ENDED, by=POLICE).refused("incident.proceeding_ended")


def test_a_trial_outlives_the_case() -> None:
    for end in (WITHDRAWN, CLOSED):
        SPEC.given(NOTIFIED, OPENED, end).when(_update(restricts=False), by=POLICE).then()
        SPEC.given(NOTIFIED, OPENED, end).when(ENDED, by=POLICE).then()


def test_a_corrected_beginning_of_a_proceeding_leaves_its_later_news() -> None:
    cleared = recorded(_update(restricts=False), by=POLICE)
    event = replace(a_proceeding(), details=corrects(an_event_id(7)))
    assert live_restrictions(SPEC.given(NOTIFIED, OPENED, cleared).when(event, by=POLICE).then().state) == ()
    assert live_restrictions(SPEC.given(NOTIFIED, OPENED).when(replace(event, restricts_publication=False), by=POLICE).then().state) == ()


@pytest.mark.parametrize(
    ("reason", "history", "admitted"),
    [
        (CloseReason.REVIEW_PUBLISHED, (NOTIFIED,), True),
        (CloseReason.REVIEW_PUBLISHED, (REFERRED,), False),
        (CloseReason.NO_LOCAL_REVIEW, (NOTIFIED, WITHDRAWN), False),
        (CloseReason.NO_LOCAL_REVIEW, (recorded(CARE_LEAVER, by=COUNCIL),), False),
        (CloseReason.CRITERIA_NOT_MET, (REFERRED, JUDGED), True),
        (CloseReason.CRITERIA_NOT_MET, (NOTIFIED,), False),
        (CloseReason.CRITERIA_NOT_MET, (NOTIFIED, WITHDRAWN), True),
        (CloseReason.LOOKED_AFTER_OR_CARE_LEAVER_ONLY, (recorded(CARE_LEAVER, by=COUNCIL),), True),
        (CloseReason.LOOKED_AFTER_OR_CARE_LEAVER_ONLY, (recorded(a_looked_after_death(), by=COUNCIL),), True),
        (CloseReason.LOOKED_AFTER_OR_CARE_LEAVER_ONLY, (NOTIFIED,), False),
        (CloseReason.LOOKED_AFTER_OR_CARE_LEAVER_ONLY, (REFERRED,), False),
        (CloseReason.OTHER, (NOTIFIED,), False),
    ],
)
def test_the_reason_for_closing_fits_the_case(reason: CloseReason, history: tuple[Recorded, ...], admitted: bool) -> None:
    outcome = SPEC.given(*history).when(IncidentClosed(reason=reason), by=COUNCIL)
    if admitted:
        assert isinstance(outcome.then().state, Closed)
    else:
        outcome.refused("incident.close_reason")


def test_closing_does_not_undo_the_notification_and_its_reason_is_corrected() -> None:
    state = SPEC.given(NOTIFIED, CLOSED).state
    assert (is_notified(state), is_withdrawn(state), is_closed(state)) == (True, False, True)
    assert is_withdrawn(SPEC.given(NOTIFIED, WITHDRAWN, recorded(IncidentClosed(reason=CloseReason.CRITERIA_NOT_MET))).state)
    event = IncidentClosed(reason=CloseReason.REVIEW_PUBLISHED, details=corrects(an_event_id(6)))
    corrected = SPEC.given(NOTIFIED, CLOSED).when(event, by=BUSINESS_UNIT).then().state
    assert isinstance(corrected, Closed)
    assert corrected.reason is CloseReason.REVIEW_PUBLISHED


@pytest.mark.parametrize("other", [CASE, "not-a-case", OTHER_CASE.upper(), ""])
def test_a_case_is_linked_to_another_case(other: str) -> None:
    SPEC.given(NOTIFIED).when(DuplicateLinked(other_case=CaseId(other), rationale="Same."), by=COUNCIL).refused("incident.duplicate_link")


def test_a_duplicate_is_linked_once() -> None:
    link = DuplicateLinked(other_case=OTHER_CASE, rationale="Same incident.")
    SPEC.given(NOTIFIED, recorded(link, by=COUNCIL)).when(link, by=ICB).refused("incident.contradiction")


# --- Corrections ---


def test_a_correction_points_at_an_event_of_its_type_stream_and_agency() -> None:
    SPEC.given(KNOWN).when(replace(became_known(), details=corrects(an_event_id(77))), by=COUNCIL).refused("incident.correction")
    SPEC.given(KNOWN, JUDGED).when(replace(became_known(), details=corrects(an_event_id(3))), by=COUNCIL).refused("incident.correction")
    SPEC.given(KNOWN).when(replace(became_known(), details=corrects(an_event_id(2))), by=SECOND_COUNCIL).refused("incident.correction")


def test_what_was_said_before_the_end_is_corrected_after_it() -> None:
    event = replace(became_known(AWARE_AT + timedelta(hours=1)), details=corrects(an_event_id(2)))
    SPEC.given(KNOWN, NOTIFIED, WITHDRAWN).when(event, by=COUNCIL).then()
    amendment = recorded(amended(place=PlaceKind.SCHOOL), by=COUNCIL, event_id=an_event_id(8))
    corrected = amended(place=PlaceKind.HOSPITAL, details=corrects(an_event_id(8)))
    for end in (WITHDRAWN, CLOSED):
        state = SPEC.given(NOTIFIED, amendment, end).when(corrected, by=COUNCIL).then().state
        assert _notification(state)["place"] is PlaceKind.HOSPITAL


def test_a_correction_of_an_older_amendment_leaves_what_a_later_one_set() -> None:
    older = recorded(amended(place=PlaceKind.SCHOOL, residence_authority=OTHER_COUNCIL), by=COUNCIL, event_id=an_event_id(8))
    newer = recorded(amended(place=PlaceKind.HOSPITAL), by=COUNCIL, event_id=an_event_id(9))
    corrected = amended(place=PlaceKind.PUBLIC_PLACE, deprivation_fifth=2, details=corrects(an_event_id(8)))
    for end in ((), (WITHDRAWN,), (CLOSED,), (WITHDRAWN, CLOSED)):
        said = _notification(SPEC.given(NOTIFIED, older, newer, *end).when(corrected, by=COUNCIL).then().state)
        assert (said["place"], said["residence_authority"]) == (PlaceKind.HOSPITAL, COUNCIL)
    again = recorded(corrected, by=COUNCIL, event_id=an_event_id(10))
    twice = replace(corrected, residence_authority=SECOND_COUNCIL, details=corrects(an_event_id(10)))
    said = _notification(SPEC.given(NOTIFIED, older, newer, again).when(twice, by=COUNCIL).then().state)
    assert (said["place"], said["residence_authority"]) == (PlaceKind.HOSPITAL, SECOND_COUNCIL)


def test_an_amendment_corrected_to_say_less_gives_back_what_it_had_replaced() -> None:
    aware = an_awareness(AWARE_AT - timedelta(hours=1))
    made = recorded(amended(place=PlaceKind.SCHOOL, awareness=aware), by=COUNCIL, event_id=an_event_id(8))
    state = SPEC.given(NOTIFIED, made).when(amended(deprivation_fifth=2, details=corrects(an_event_id(8))), by=COUNCIL).then().state
    assert _notification(state) == _notification(SPEC.given(NOTIFIED).state)
    assert awareness_of(state) == {COUNCIL: AWARE_AT}


def test_a_correction_of_an_older_reclassification_or_amendment_leaves_the_newest_type_and_children() -> None:
    harm = recorded(reclassified(NotificationType.OTHER, a_harmed_child()), by=COUNCIL, event_id=an_event_id(8))
    death = recorded(reclassified(NotificationType.DEATH, a_child(age_years=3)), by=COUNCIL, event_id=an_event_id(9))
    corrected = replace(reclassified(NotificationType.OTHER, a_harmed_child(age_years=5)), details=corrects(an_event_id(8)))
    said = _notification(SPEC.given(HARM, harm, death).when(corrected, by=COUNCIL).then().state)
    assert (said["notification_type"], said["children"]) == (NotificationType.DEATH, {CHILD: a_child(age_years=3)})
    older = recorded(amended(children=(a_child(age_years=4),)), by=COUNCIL, event_id=an_event_id(8))
    newer = recorded(amended(children=(a_child(age_years=3),)), by=COUNCIL, event_id=an_event_id(9))
    event = amended(children=(a_child(age_years=5),), details=corrects(an_event_id(8)))
    assert _notification(SPEC.given(NOTIFIED, older, newer).when(event, by=COUNCIL).then().state)["children"] == {
        CHILD: a_child(age_years=3)
    }


def test_an_older_amendment_is_corrected_to_another_council_without_a_finding_if_a_later_one_names_it() -> None:
    older = recorded(amended(incident_authority=COUNCIL), by=COUNCIL, event_id=an_event_id(8))
    newer = recorded(amended(incident_authority=COUNCIL), by=COUNCIL, event_id=an_event_id(9))
    elsewhere = amended(incident_authority=OTHER_COUNCIL, details=corrects(an_event_id(8)))
    SPEC.given(NOTIFIED, older, newer).when(elsewhere, by=COUNCIL).then()
    wrong = recorded(amended(incident_authority=OTHER_COUNCIL), by=COUNCIL, event_id=an_event_id(9))
    back = amended(incident_authority=COUNCIL, details=corrects(an_event_id(8)))
    SPEC.given(NOTIFIED, older, wrong).when(back, by=COUNCIL).then().mends()


def test_a_correction_may_not_give_back_what_cannot_be_true() -> None:
    old_day, aware = on(date(2021, 5, 1)), an_awareness(datetime(2021, 5, 2, 9, tzinfo=UTC))
    fourth, sixth = datetime(2021, 5, 4, 9, tzinfo=UTC), datetime(2021, 5, 6, 9, tzinfo=UTC)
    imported = recorded(a_notification(incident_on=old_day, awareness=aware, details=done(fourth)), by=COUNCIL, imported=True)
    moved = recorded(amended(notified_at=sixth), by=COUNCIL, event_id=an_event_id(8))
    learnt = recorded(amended(awareness=an_awareness(sixth)), by=COUNCIL, event_id=an_event_id(9))
    event = amended(place=PlaceKind.HOSPITAL, details=corrects(an_event_id(8)))
    SPEC.given(imported, moved, learnt).when(event, by=COUNCIL).refused("incident.impossible_times")
    SPEC.given(imported, moved).when(event, by=COUNCIL).then()


def test_a_correction_of_what_nobody_can_read_any_more_stays_in_its_place() -> None:
    gone = body_gone(recorded(assessed(UNSURE), by=COUNCIL, event_id=an_event_id(8)))
    state = SPEC.given(REFERRED, gone, JUDGED).when(replace(assessed(NOT_MET), details=corrects(an_event_id(8))), by=COUNCIL).then().state
    assert [judgement.outcome for judgement in facts_of(state).judgements.values()] == [NOT_MET, MET]
    gone = body_gone(recorded(amended(place=PlaceKind.SCHOOL), by=COUNCIL, event_id=an_event_id(8)))
    newer = recorded(amended(place=PlaceKind.HOSPITAL), by=COUNCIL, event_id=an_event_id(9))
    event = amended(place=PlaceKind.SCHOOL, details=corrects(an_event_id(8)))
    assert _notification(SPEC.given(NOTIFIED, gone, newer).when(event, by=COUNCIL).then().state)["place"] is PlaceKind.HOSPITAL


def test_a_correction_of_a_correction_replaces_the_first() -> None:
    first = recorded(assessed(UNSURE), by=COUNCIL, event_id=an_event_id(8))
    second = recorded(replace(assessed(MET), details=corrects(an_event_id(8))), by=COUNCIL, event_id=an_event_id(9))
    state = SPEC.given(first, second).when(replace(assessed(NOT_MET), details=corrects(an_event_id(9))), by=COUNCIL).then().state
    assert isinstance(state, Assessed)
    assert [judgement.outcome for judgement in state.facts.judgements.values()] == [NOT_MET]


# --- What others ask ---


def test_the_questions_asked_of_an_incident() -> None:
    state = SPEC.given(REFERRED, NOTIFIED, recorded(OtherAreaInformed(authority=OTHER_COUNCIL), by=COUNCIL)).state
    assert known_children(state) == {CHILD}
    assert speakers(state) == {SCHOOL, COUNCIL}
    assert named_agencies(state) == {COUNCIL, OTHER_COUNCIL}
    assert (is_known(Unknown()), is_known(state), is_notified(Unknown()), care_leaver_only(state)) == (False, True, False, False)
    assert (known_children(Unknown()), live_restrictions(Unknown()), notifying_council(Unknown())) == (frozenset(), (), None)
    assert known_children(SPEC.given(recorded(a_looked_after_death(child_id=ChildId("c")), by=COUNCIL)).state) == {"c"}


def test_an_incident_is_found_among_the_states_read() -> None:
    state = SPEC.given(NOTIFIED).state
    assert incident_in({incident_stream(CASE): state}, CASE) == state
    assert incident_in({incident_stream(CASE): state}, OTHER_CASE) == Unknown()


def test_the_partnership_is_read_with_every_event() -> None:
    assert DECIDER.reads(a_referral(), incident_stream(CASE), SHARD) == (partnership_stream(SHARD),)


def test_the_header_alone_tells_the_stage() -> None:
    for stage, history in STAGES.items():
        assert type(DECIDER.fold([body_gone(one) for one in history])) is stage
    gone = DECIDER.fold([body_gone(REFERRED), body_gone(NOTIFIED)])
    assert isinstance(gone, Notified)
    assert (gone.by, gone.notification, is_notified(gone)) == (COUNCIL, None, True)
    assert speakers(gone) == {SCHOOL, COUNCIL}


def test_a_notification_that_can_no_longer_be_read_is_not_changed() -> None:
    SPEC.given(body_gone(NOTIFIED)).when(amended(place=PlaceKind.HOSPITAL), by=COUNCIL).refused("incident.state")


def test_every_rule_names_its_authority() -> None:
    assert [rule.id for rule in RULES if not (rule.source and rule.words)] == []
    assert len({rule.id for rule in RULES}) == len(RULES)
