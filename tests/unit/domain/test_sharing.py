"""What agencies ask of and tell each other: who asks, who answers, who corrects, who may still read."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from domain.incident.codes import CloseReason
from domain.incident.state import Closed, Facts, Incident, Informed, Referral, Referred, Withdrawn, incident_stream
from domain.incident.state import Unknown as UnknownIncident
from domain.kernel.events import Event, Marking, Recorded
from domain.kernel.ids import AgencyId, ChildId, RequestId, stream
from domain.partnership.state import Unknown as NoPartnership
from domain.partnership.state import partnership_stream
from domain.sharing.decider import DECIDER
from domain.sharing.events import (
    Caveat,
    EnforcementConsidered,
    FamilyTold,
    FlagCleared,
    FlagRaised,
    InformationAcknowledged,
    InformationCorrected,
    InformationDisputed,
    InformationOffered,
    InformationPartlyShared,
    InformationQueried,
    InformationRefused,
    InformationRestricted,
    LegalGate,
    NilReturn,
    OnwardShareApproved,
    RefusalReason,
)
from domain.sharing.rules import RULES
from domain.sharing.state import (
    Answer,
    Sharing,
    linked_agencies,
    marking_of,
    narrowest,
)
from tests.support.builders import (
    BUSINESS_UNIT,
    CASE,
    CHILD,
    COUNCIL,
    ENTRY,
    FLAG,
    HOSPITAL,
    HUB,
    ICB,
    LSCB,
    MONDAY,
    OPERATOR,
    OTHER_COUNCIL,
    PANEL,
    POLICE,
    REQUEST,
    SCHOOL,
    SECOND_COUNCIL,
    SHARD,
    STRANGE_CHILD,
    STRANGER,
    a_notification,
    a_notified_incident,
    a_partnership,
    a_restricted_entry,
    a_share,
    an_entry,
    an_event_id,
    an_id,
    an_information_request,
    body_gone,
    corrects,
    done,
    recorded,
)
from tests.support.spec import Spec

NOTIFIED = a_notified_incident()
INCIDENT = incident_stream(CASE)
SPEC: Spec[Sharing] = Spec(DECIDER, others={partnership_stream(SHARD): a_partnership(), INCIDENT: NOTIFIED})

ASKED = recorded(an_information_request(), by=BUSINESS_UNIT, event_id=an_event_id(1))
TOLD = recorded(a_share(), by=SCHOOL, event_id=an_event_id(2))
ANSWERED = recorded(a_share(request_id=REQUEST), by=SCHOOL, event_id=an_event_id(2))
SECOND_ENTRY = an_entry(an_id(22))

ACKNOWLEDGED = InformationAcknowledged(request_id=REQUEST)
NIL = NilReturn(request_id=REQUEST, searched="All records since 2015.")
REFUSED = InformationRefused(
    request_id=REQUEST, reason=RefusalReason.ONGOING_INVESTIGATION, legal_basis="Synthetic basis.", explanation="Synthetic explanation."
)
PARTLY = InformationPartlyShared(
    request_id=REQUEST,
    entries=(an_entry(),),
    withheld="Synthetic part.",
    reason=RefusalReason.LEGAL_PRIVILEGE,
    family_told=FamilyTold(told=True),
)
QUERY = InformationQueried(entry_id=ENTRY, question="Which clinic?")
DISPUTE = InformationDisputed(entry_id=ENTRY, grounds="Our record differs.")
ONWARD = OnwardShareApproved(entry_id=ENTRY, to="The coroner's officer")


def corrected(entry_id: str = ENTRY, **changes: Any) -> InformationCorrected:
    return InformationCorrected(entry_id=RequestId(entry_id), replacement=an_entry(entry_id, **changes), reason="Typing error.")


def restricted(*named: str, entry_id: str | None = ENTRY, marking: Marking = Marking.RESTRICTED, **changes: Any) -> InformationRestricted:
    return InformationRestricted(
        entry_id=None if entry_id is None else RequestId(entry_id),
        marking=marking,
        named_agencies=tuple(AgencyId(agency) for agency in named),
        reason="Risk to a source.",
        **changes,
    )


def a_flag(**changes: Any) -> FlagRaised:
    said: dict[str, Any] = {
        "flag_id": FLAG,
        "flag": "Do not visit alone",
        "children": (CHILD,),
        "until_on": date(2024, 9, 1),
        "explanation": "Synthetic explanation.",
    }
    return FlagRaised(**{**said, **changes})


def enforcement(request_id: str = REQUEST) -> EnforcementConsidered:
    return EnforcementConsidered(request_id=RequestId(request_id), seek_injunction=False, rationale="The trial comes first.")


# --- Who speaks, about what ---


def test_a_case_needs_a_partnership_and_a_beginning() -> None:
    SPEC.given().when(a_share(), by=SCHOOL, others={partnership_stream(SHARD): NoPartnership()}).refused("sharing.no_partnership")
    SPEC.given().when(a_share(), by=SCHOOL, others={INCIDENT: UnknownIncident()}).refused("sharing.unknown_case")


@pytest.mark.parametrize("sender", [COUNCIL, SECOND_COUNCIL, ICB, POLICE, BUSINESS_UNIT, SCHOOL, HOSPITAL])
def test_every_agency_of_the_partnership_shares(sender: str) -> None:
    SPEC.given().when(a_share(), by=sender).then()


@pytest.mark.parametrize("sender", [STRANGER, OTHER_COUNCIL, LSCB, OPERATOR, HUB])
def test_nobody_else_shares(sender: str) -> None:
    SPEC.given().when(a_share(), by=sender).refused("sharing.sender")


def test_a_council_the_case_names_shares() -> None:
    lives_elsewhere = a_notified_incident(a_notification(residence_authority=OTHER_COUNCIL))
    SPEC.given().when(a_share(), by=OTHER_COUNCIL, others={INCIDENT: lives_elsewhere}).then()
    informed = Facts(
        informed={an_event_id(9): Informed(council=COUNCIL, told=frozenset({OTHER_COUNCIL}), partners=False, told_on=MONDAY.date())}
    )
    SPEC.given().when(a_share(), by=OTHER_COUNCIL, others={INCIDENT: a_notified_incident(facts=informed)}).then()


def test_the_panel_takes_part_once_it_was_notified_and_shares_nothing() -> None:
    ask = an_information_request(gate=LegalGate.S16D_PANEL)
    SPEC.given().when(ask, by=PANEL).then()
    SPEC.given().when(ask, by=PANEL, others={INCIDENT: Referred(facts=Facts())}).refused("sharing.sender")
    for told in (a_share(), InformationOffered(summary="Something."), corrected()):
        SPEC.given(TOLD).when(told, by=PANEL).refused("sharing.panel_asks")


def test_the_incident_and_the_partnership_are_read_with_every_event() -> None:
    assert DECIDER.reads(ACKNOWLEDGED, stream("sharing", CASE), SHARD) == (INCIDENT, partnership_stream(SHARD))


# --- Requests and answers ---


@pytest.mark.parametrize(
    ("gate", "sender", "admitted"),
    [
        (LegalGate.S16D_PANEL, PANEL, True),
        (LegalGate.S16D_PANEL, BUSINESS_UNIT, False),
        (LegalGate.S16H_PARTNERS, BUSINESS_UNIT, True),
        (LegalGate.S16H_PARTNERS, POLICE, True),
        (LegalGate.S16H_PARTNERS, PANEL, False),
        (LegalGate.S16H_PARTNERS, HOSPITAL, False),
        (LegalGate.VOLUNTARY, HOSPITAL, True),
        (LegalGate.VOLUNTARY, PANEL, True),
    ],
)
def test_each_power_to_ask_has_its_holder(gate: LegalGate, sender: str, admitted: bool) -> None:
    outcome = SPEC.given().when(an_information_request(gate=gate), by=sender)
    if admitted:
        outcome.then()
    else:
        outcome.refused("sharing.gate")


@pytest.mark.parametrize("recipient", [STRANGER, OTHER_COUNCIL, BUSINESS_UNIT, PANEL, HUB, "nobody"])
def test_another_agency_of_the_case_is_asked(recipient: str) -> None:
    SPEC.given().when(an_information_request(recipient=recipient), by=BUSINESS_UNIT).refused("sharing.unknown_recipient")


def test_a_council_the_case_names_is_asked() -> None:
    lives_elsewhere = a_notified_incident(a_notification(residence_authority=OTHER_COUNCIL))
    SPEC.given().when(an_information_request(recipient=OTHER_COUNCIL), by=ICB, others={INCIDENT: lives_elsewhere}).then()


def test_an_answer_is_not_due_before_it_is_asked_for() -> None:
    SPEC.given().when(an_information_request(due_on=date(2024, 3, 4)), at=MONDAY).then()
    SPEC.given().when(an_information_request(due_on=date(2024, 3, 3)), at=MONDAY).refused("sharing.due")
    earlier = done(MONDAY.replace(day=1))
    SPEC.given().when(an_information_request(due_on=date(2024, 3, 3), details=earlier), at=MONDAY).then()


def test_a_request_is_made_once_and_corrected() -> None:
    SPEC.given(ASKED).when(an_information_request()).refused("sharing.duplicate_request")
    other = an_information_request(recipient=HOSPITAL, details=corrects(an_event_id(1)))
    assert SPEC.given(ASKED).when(other).then().state.requests[REQUEST].recipient == HOSPITAL
    seen = recorded(ACKNOWLEDGED, by=SCHOOL)
    SPEC.given(ASKED, seen).when(other).refused("sharing.contradiction")
    later = an_information_request(due_on=date(2024, 4, 1), details=corrects(an_event_id(1)))
    assert SPEC.given(ASKED, seen).when(later).then().state.requests[REQUEST].acknowledged


@pytest.mark.parametrize("end", ["withdrawn", "closed"])
def test_nothing_new_is_asked_after_the_end_but_what_was_asked_is_answered(end: str) -> None:
    ended: Incident = Withdrawn(facts=Facts(), notified=NOTIFIED)
    if end == "closed":
        ended = Closed(facts=Facts(), was=NOTIFIED, reason=CloseReason.NO_LOCAL_REVIEW)
    others = {INCIDENT: ended}
    SPEC.given().when(an_information_request(), others=others).refused("sharing.case_ended")
    SPEC.given(ASKED).when(a_share(request_id=REQUEST), by=SCHOOL, others=others).then()
    SPEC.given(TOLD).when(DISPUTE, by=ICB, others=others).then()


@pytest.mark.parametrize("answer", [ACKNOWLEDGED, NIL, REFUSED, PARTLY, a_share(request_id=REQUEST)], ids=lambda event: event.EVENT_TYPE)
def test_only_the_agency_asked_answers_what_was_asked(answer: Event) -> None:
    SPEC.given(ASKED).when(answer, by=SCHOOL).then()
    SPEC.given(ASKED).when(answer, by=HOSPITAL).refused("sharing.recipient")
    SPEC.given().when(answer, by=SCHOOL).refused("sharing.unknown_request")


@pytest.mark.parametrize("answer", [ACKNOWLEDGED, NIL, REFUSED, PARTLY, a_share(request_id=REQUEST)], ids=lambda event: event.EVENT_TYPE)
def test_history_from_before_a_request_does_not_answer_it(answer: Event) -> None:
    yesterday, told = MONDAY - timedelta(days=1), SPEC.given(ASKED)
    told.when(replace(answer, details=done(yesterday)), by=SCHOOL, imported=True).refused("sharing.answered_before")
    told.when(replace(answer, details=done(MONDAY)), by=SCHOOL, imported=True).then()
    told.when(replace(answer, details=done(yesterday)), by=SCHOOL).then()
    by_word = replace(an_information_request(), details=done(yesterday))
    SPEC.given(recorded(by_word, by=BUSINESS_UNIT)).when(replace(answer, details=done(yesterday)), by=SCHOOL, imported=True).then()


def test_a_correction_of_a_request_leaves_the_day_on_which_it_was_made_unless_it_says_another() -> None:
    asked = recorded(an_information_request(), by=BUSINESS_UNIT, event_id=an_event_id(8))
    tuesday = MONDAY + timedelta(days=1)
    corrected = an_information_request(due_on=date(2024, 4, 2), details=corrects(an_event_id(8)))
    answer = replace(NIL, details=done(MONDAY))
    SPEC.given(asked, recorded(corrected, by=BUSINESS_UNIT, at=tuesday)).when(answer, by=SCHOOL, imported=True).then()
    moved = replace(corrected, details=corrects(an_event_id(8), done_at=tuesday))
    later = SPEC.given(asked, recorded(moved, by=BUSINESS_UNIT, at=tuesday))
    later.when(answer, by=SCHOOL, imported=True).refused("sharing.answered_before")


FULL = a_share(SECOND_ENTRY, request_id=REQUEST)
PART = replace(PARTLY, entries=(SECOND_ENTRY,))
AFTER: list[tuple[Event, set[str]]] = [
    (PARTLY, {"information.shared.v1"}),
    (a_share(request_id=REQUEST), set()),
    (NIL, set()),
    (REFUSED, {"information.shared.v1", "information.partly_shared.v1"}),
]


@pytest.mark.parametrize(("first", "allowed"), AFTER, ids=[first.EVENT_TYPE for first, _ in AFTER])
def test_a_request_is_answered_once_except_that_more_may_be_shared(first: Event, allowed: set[str]) -> None:
    history = (ASKED, recorded(first, by=SCHOOL))
    for then in (FULL, PART, NIL, REFUSED, ACKNOWLEDGED):
        outcome = SPEC.given(*history).when(then, by=SCHOOL)
        if then.EVENT_TYPE in allowed:
            outcome.then()
        else:
            outcome.refused("sharing.answered")


def test_a_request_is_acknowledged_once() -> None:
    SPEC.given(ASKED, recorded(ACKNOWLEDGED, by=SCHOOL)).when(ACKNOWLEDGED, by=SCHOOL).refused("sharing.contradiction")


def test_where_a_request_stands() -> None:
    def stands(*history: Recorded) -> Answer:
        return SPEC.given(ASKED, *history).state.requests[REQUEST].answer

    refused = recorded(REFUSED, by=SCHOOL, event_id=an_event_id(8))
    assert stands() is Answer.OPEN
    assert stands(recorded(ACKNOWLEDGED, by=SCHOOL)) is Answer.OPEN
    assert stands(recorded(NIL, by=SCHOOL)) is Answer.NIL_RETURN
    assert stands(recorded(PARTLY, by=SCHOOL)) is Answer.PARTLY_SHARED
    assert stands(refused, ANSWERED) is Answer.SHARED
    assert stands(refused, ANSWERED, recorded(replace(REFUSED, details=corrects(an_event_id(8))), by=SCHOOL)) is Answer.SHARED


def test_an_answer_is_corrected() -> None:
    refused = recorded(REFUSED, by=SCHOOL, event_id=an_event_id(8))
    SPEC.given(ASKED, refused).when(replace(REFUSED, reason=RefusalReason.OTHER, details=corrects(an_event_id(8))), by=SCHOOL).then()
    SPEC.given(ASKED, refused).when(replace(NIL, details=corrects(an_event_id(8))), by=SCHOOL).refused("sharing.correction")


def test_enforcement_is_considered_of_a_refused_request_by_whoever_has_the_power() -> None:
    refused = recorded(REFUSED, by=SCHOOL)
    SPEC.given(ASKED, refused).when(enforcement(), by=COUNCIL).then()
    SPEC.given(ASKED).when(enforcement(), by=COUNCIL).refused("sharing.not_refused")
    SPEC.given().when(enforcement(), by=COUNCIL).refused("sharing.unknown_request")
    SPEC.given(ASKED, refused).when(enforcement(), by=PANEL).refused("sharing.enforcer")
    SPEC.given(ASKED, refused).when(enforcement(), by=HOSPITAL).refused("sharing.enforcer")
    of_panel = recorded(an_information_request(gate=LegalGate.S16D_PANEL), by=PANEL)
    SPEC.given(of_panel, refused).when(enforcement(), by=PANEL).then()
    voluntary = recorded(an_information_request(gate=LegalGate.VOLUNTARY), by=HOSPITAL)
    SPEC.given(voluntary, refused).when(enforcement(), by=HOSPITAL).refused("sharing.enforcer")


# --- Entries ---


def test_what_is_shared_has_entries_with_ids_of_their_own() -> None:
    SPEC.given().when(replace(a_share(), entries=()), by=SCHOOL).refused("sharing.no_entries")
    SPEC.given().when(a_share(an_entry(), an_entry()), by=SCHOOL).refused("sharing.duplicate_entry")
    SPEC.given(TOLD).when(a_share(an_entry()), by=HOSPITAL).refused("sharing.duplicate_entry")
    state = SPEC.given(TOLD).when(a_share(SECOND_ENTRY), by=HOSPITAL).then().state
    assert {identity: held.author for identity, held in state.entries.items()} == {ENTRY: SCHOOL, an_id(22): HOSPITAL}


def test_an_entry_is_about_children_the_case_knows() -> None:
    strange = (STRANGE_CHILD,)
    SPEC.given().when(a_share(an_entry(children=strange)), by=SCHOOL).refused("sharing.unknown_child")
    SPEC.given().when(InformationOffered(summary="Something.", children=strange), by=SCHOOL).refused("sharing.unknown_child")
    SPEC.given().when(a_flag(children=strange), by=SCHOOL).refused("sharing.unknown_child")
    SPEC.given(TOLD).when(corrected(children=strange), by=SCHOOL).refused("sharing.unknown_child")
    referred = Referred(facts=Facts(referrals={SCHOOL: Referral(children=(ChildId(STRANGE_CHILD),))}))
    SPEC.given().when(a_share(an_entry(children=strange)), by=SCHOOL, others={INCIDENT: referred}).then()
    SPEC.given().when(InformationOffered(summary="Something.", children=(CHILD,)), by=SCHOOL).then()


@pytest.mark.parametrize(
    ("family", "admitted"),
    [
        (FamilyTold(told=True), True),
        (FamilyTold(told=False, reason_if_not="It would put the child at risk."), True),
        (FamilyTold(told=False), False),
        (FamilyTold(told=False, reason_if_not=" "), False),
        (FamilyTold(told=True, reason_if_not="But why?"), False),
    ],
)
def test_a_family_that_was_not_told_has_a_reason(family: FamilyTold, admitted: bool) -> None:
    for outcome in (
        SPEC.given().when(a_share(family_told=family), by=SCHOOL),
        SPEC.given(ASKED).when(replace(PARTLY, family_told=family), by=SCHOOL),
    ):
        if admitted:
            outcome.then()
        else:
            outcome.refused("sharing.family_told")


def test_a_caveat_needs_a_marking() -> None:
    plain = {"marking": Marking.OFFICIAL}
    SPEC.given().when(a_share(an_entry(**plain, third_party=True)), by=SCHOOL).refused("sharing.caveats")
    SPEC.given().when(a_share(an_entry(**plain, caveats=(Caveat.SAFE_ADDRESS,))), by=SCHOOL).refused("sharing.caveats")
    SPEC.given().when(a_share(an_entry(**plain, caveats=(Caveat.ANONYMISED,))), by=SCHOOL).then()
    SPEC.given().when(a_share(a_restricted_entry()), by=POLICE).then()
    SPEC.given().when(restricted(COUNCIL, entry_id=None, marking=Marking.OFFICIAL), by=COUNCIL).refused("sharing.caveats")


def test_only_the_author_corrects_an_entry_under_its_id() -> None:
    SPEC.given(TOLD).when(corrected(fact="Another."), by=SCHOOL).then()
    SPEC.given(TOLD).when(corrected(), by=HOSPITAL).refused("sharing.author")
    SPEC.given(TOLD).when(corrected(an_id(99)), by=SCHOOL).refused("sharing.unknown_entry")
    SPEC.given(TOLD).when(replace(corrected(), replacement=SECOND_ENTRY), by=SCHOOL).refused("sharing.replacement")


def test_a_replacement_does_not_lower_the_marking() -> None:
    SPEC.given(TOLD).when(corrected(marking=Marking.OFFICIAL), by=SCHOOL).refused("sharing.marking_raised")
    raised = recorded(restricted(SCHOOL, COUNCIL), by=SCHOOL)
    SPEC.given(TOLD, raised).when(corrected(), by=SCHOOL).refused("sharing.marking_raised")
    SPEC.given(TOLD, raised).when(corrected(marking=Marking.RESTRICTED), by=SCHOOL).then()


def test_a_share_is_corrected_with_the_same_entries_only() -> None:
    again = a_share(an_entry(fact="Another."), details=corrects(an_event_id(2)))
    SPEC.given(TOLD).when(again, by=SCHOOL).then()
    SPEC.given(TOLD).when(a_share(SECOND_ENTRY, details=corrects(an_event_id(2))), by=SCHOOL).refused("sharing.correction")
    SPEC.given(ASKED, ANSWERED).when(replace(again, request_id=REQUEST), by=SCHOOL).then()


# --- Handling ---


@pytest.mark.parametrize("event", [QUERY, DISPUTE], ids=lambda event: event.EVENT_TYPE)
def test_an_entry_is_questioned_by_another_agency_than_its_author(event: Event) -> None:
    SPEC.given(TOLD).when(event, by=HOSPITAL).then()
    SPEC.given(TOLD).when(event, by=PANEL).then()
    SPEC.given(TOLD).when(event, by=SCHOOL).refused("sharing.own_entry")
    SPEC.given().when(event, by=HOSPITAL).refused("sharing.unknown_entry")


def test_the_author_lets_an_entry_go_on() -> None:
    SPEC.given(TOLD).when(ONWARD, by=SCHOOL).then()
    SPEC.given(TOLD).when(ONWARD, by=BUSINESS_UNIT).refused("sharing.author")
    SPEC.given().when(ONWARD, by=SCHOOL).refused("sharing.unknown_entry")


def test_an_entry_is_restricted_by_its_author_or_those_who_lead() -> None:
    for sender in (SCHOOL, BUSINESS_UNIT, POLICE):
        SPEC.given(TOLD).when(restricted(sender), by=sender).then()
    SPEC.given(TOLD).when(restricted(HOSPITAL), by=HOSPITAL).refused("sharing.restricter")
    SPEC.given(TOLD).when(restricted(SCHOOL, entry_id=None), by=SCHOOL).refused("sharing.restricter")
    SPEC.given(TOLD).when(restricted(POLICE, entry_id=None), by=POLICE).then()
    SPEC.given().when(restricted(POLICE), by=POLICE).refused("sharing.unknown_entry")


@pytest.mark.parametrize("named", [(), (COUNCIL,), (POLICE, POLICE), (POLICE, "nobody")])
def test_a_restriction_names_agencies_and_its_own(named: tuple[str, ...]) -> None:
    SPEC.given(TOLD).when(restricted(*named), by=POLICE).refused("sharing.named")


def test_a_marking_is_only_raised_and_the_readers_only_narrowed() -> None:
    sensitive = Marking.OFFICIAL_SENSITIVE
    raised = recorded(restricted(POLICE, COUNCIL), by=POLICE, event_id=an_event_id(8))
    SPEC.given(TOLD).when(restricted(POLICE, COUNCIL, marking=sensitive), by=POLICE).then()
    SPEC.given(TOLD, raised).when(restricted(POLICE, marking=sensitive), by=POLICE).refused("sharing.marking_raised")
    SPEC.given(TOLD, raised).when(restricted(POLICE, COUNCIL, ICB), by=POLICE).refused("sharing.marking_raised")
    SPEC.given(TOLD, raised).when(restricted(POLICE), by=POLICE).then()
    wider = restricted(POLICE, COUNCIL, ICB, details=corrects(an_event_id(8)))
    assert narrowest(SPEC.given(TOLD, raised).when(wider, by=POLICE).then().state, ENTRY) == frozenset({POLICE, COUNCIL, ICB})


def test_a_warning_is_raised_once_for_known_children_and_stands_a_day() -> None:
    raised = recorded(a_flag(), by=HOSPITAL)
    SPEC.given(raised).when(a_flag(), by=SCHOOL).refused("sharing.duplicate_flag")
    SPEC.given().when(a_flag(children=()), by=HOSPITAL).refused("sharing.flag_children")
    SPEC.given().when(a_flag(until_on=date(2024, 3, 3)), by=HOSPITAL, at=MONDAY).refused("sharing.flag_until")
    SPEC.given().when(a_flag(until_on=date(2024, 3, 4)), by=HOSPITAL, at=MONDAY).then()


def test_a_warning_is_cleared_once_by_whoever_raised_it_or_those_who_lead() -> None:
    clearing = FlagCleared(flag_id=FLAG, reason="The person moved away.")
    raised = recorded(a_flag(), by=HOSPITAL, event_id=an_event_id(8))
    SPEC.given().when(clearing, by=HOSPITAL).refused("sharing.unknown_flag")
    SPEC.given(raised).when(clearing, by=SCHOOL).refused("sharing.flag_clearer")
    SPEC.given(raised).when(clearing, by=BUSINESS_UNIT).then()
    cleared = recorded(clearing, by=HOSPITAL)
    SPEC.given(raised, cleared).when(clearing, by=HOSPITAL).refused("sharing.flag_cleared")
    longer = a_flag(until_on=date(2025, 1, 1), details=corrects(an_event_id(8)))
    assert SPEC.given(raised, cleared).when(longer, by=HOSPITAL).then().state.flags[FLAG].cleared


# --- What the access rule asks ---


def test_the_agencies_linked_to_a_case() -> None:
    lead = {BUSINESS_UNIT, COUNCIL, SECOND_COUNCIL, ICB, POLICE}
    assert linked_agencies(Sharing(), UnknownIncident(), a_partnership()) == lead
    assert linked_agencies(Sharing(), NOTIFIED, a_partnership()) == lead | {PANEL}
    assert linked_agencies(SPEC.given(ASKED).state, NOTIFIED, a_partnership()) == lead | {PANEL, SCHOOL}
    told = recorded(a_share(), by=HOSPITAL)
    assert linked_agencies(SPEC.given(told).state, NOTIFIED, a_partnership()) == lead | {PANEL, HOSPITAL}
    lives_elsewhere = a_notified_incident(a_notification(residence_authority=OTHER_COUNCIL))
    assert linked_agencies(Sharing(), lives_elsewhere, NoPartnership()) == {COUNCIL, OTHER_COUNCIL, PANEL}


def test_restrictions_of_the_case_and_of_an_entry_are_apart() -> None:
    whole, one = (recorded(restricted(POLICE, COUNCIL, entry_id=None), by=POLICE), recorded(restricted(POLICE), by=POLICE))
    assert [narrowest(SPEC.given(TOLD).state, of) for of in (None, ENTRY)] == [None, None]
    assert [narrowest(SPEC.given(TOLD, whole).state, of) for of in (None, ENTRY)] == [frozenset({POLICE, COUNCIL}), None]
    assert [narrowest(SPEC.given(TOLD, one).state, of) for of in (None, ENTRY)] == [None, frozenset({POLICE})]


def test_the_highest_marking_counts() -> None:
    assert marking_of(SPEC.given().state, None) is Marking.OFFICIAL
    assert marking_of(SPEC.given(TOLD).state, ENTRY) is Marking.OFFICIAL_SENSITIVE
    assert marking_of(SPEC.given(TOLD, recorded(restricted(POLICE), by=POLICE)).state, ENTRY) is Marking.RESTRICTED
    assert marking_of(SPEC.given(recorded(restricted(POLICE, entry_id=None), by=POLICE)).state, None) is Marking.RESTRICTED


def test_an_event_whose_body_is_gone_tells_only_who_spoke() -> None:
    state = DECIDER.fold([body_gone(ASKED), body_gone(TOLD)])
    assert {note.agency_id for note in state.said.values()} == {BUSINESS_UNIT, SCHOOL}
    assert (dict(state.requests), dict(state.entries)) == ({}, {})
    assert DECIDER.fold([body_gone(ASKED), ANSWERED]).requests == {}


def test_nothing_stays_broken_here() -> None:
    assert DECIDER.open_rules(SPEC.given(ASKED, TOLD).state) == frozenset()


def test_every_rule_names_its_authority() -> None:
    assert [rule.id for rule in RULES if not (rule.source and rule.words)] == []
    assert len({rule.id for rule in RULES}) == len(RULES)
