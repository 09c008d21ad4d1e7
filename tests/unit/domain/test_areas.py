"""What holds for every area: the catalogue of rules, and the fold of any history that was admitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import areas
from domain.access.events import AccessDenied, CaseViewed, DenialReason, Resource
from domain.areas import AREAS, RULES, decider_for
from domain.incident.codes import CloseReason, CriteriaOutcome, NotificationType, PlaceKind, Recipient
from domain.incident.events import (
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
)
from domain.incident.state import incident_stream
from domain.kernel.corrections import check_correction
from domain.kernel.decider import Context, Decider
from domain.kernel.events import EVENT_TYPES, Correction, Details, Event, Marking, Purpose, Recorded
from domain.kernel.ids import Stream, stream
from domain.kernel.rules import Refused, rule
from domain.partnership.events import MembershipChange, MembershipChanged
from domain.partnership.state import partnership_stream
from domain.sharing.events import (
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
    NilReturn,
    OnwardShareApproved,
    RefusalReason,
)
from tests.support.builders import (
    BUSINESS_UNIT,
    CASE,
    CHILD,
    COUNCIL,
    ENTRY,
    FLAG,
    HUB,
    ICB,
    LIVE_FROM,
    MONDAY,
    OPERATOR,
    OTHER_CASE,
    OTHER_COUNCIL,
    PANEL,
    POLICE,
    PROCEEDING,
    REQUEST,
    SCHOOL,
    SHARD,
    STRANGER,
    a_care_leaver_death,
    a_child,
    a_delay,
    a_harm_notification,
    a_harmed_child,
    a_looked_after_death,
    a_notification,
    a_notified_incident,
    a_partnership,
    a_partnership_established,
    a_proceeding,
    a_referral,
    a_share,
    a_sibling,
    a_withdrawal,
    an_entry,
    an_event_id,
    an_id,
    an_information_request,
    assessed,
    became_known,
    body_gone,
    corrects,
    criteria,
    recorded,
)

INCIDENT_EVENTS: tuple[Event, ...] = (
    a_referral(),
    a_referral(CHILD),
    ReferralConfirmedInWriting(confirmation="Confirmed."),
    became_known(),
    assessed(),
    assessed(CriteriaOutcome.NOT_MET),
    PartnerDissented(outcome=CriteriaOutcome.NOT_MET, rationale="No."),
    a_notification(),
    a_harm_notification(),
    a_notification(awareness=None, criteria=None),
    a_notification(criteria=criteria(CriteriaOutcome.NOT_MET)),
    ChildAdded(child=a_sibling(), reason="A sibling."),
    NotificationAmended(reason="More is known.", place=PlaceKind.HOSPITAL, children=(a_child(age_years=3),)),
    IncidentReclassified(notification_type=NotificationType.DEATH, children=(a_child(),), reason="The child died."),
    IncidentReclassified(notification_type=NotificationType.OTHER, children=(a_harmed_child(),), reason="Not harm."),
    a_withdrawal(),
    PartnersInformed(partners=(ICB,)),
    PartnersInformed(partners=(ICB, POLICE)),
    OtherAreaInformed(authority=OTHER_COUNCIL),
    a_looked_after_death(told=(Recipient.OFSTED,)),
    a_looked_after_death(),
    a_care_leaver_death(),
    a_delay(),
    a_delay(told=()),
    SafetyActionTaken(action="Placed with an aunt.", children=(CHILD,)),
    a_proceeding(),
    ParallelProceedingUpdated(proceeding_id=PROCEEDING, restricts_publication=False, summary="News."),
    ParallelProceedingClosed(proceeding_id=PROCEEDING, outcome="Ended."),
    IncidentClosed(reason=CloseReason.CRITERIA_NOT_MET),
    IncidentClosed(reason=CloseReason.OTHER, explanation="Moved."),
    DuplicateLinked(other_case=OTHER_CASE, rationale="Same incident."),
)
SHARING_EVENTS: tuple[Event, ...] = (
    an_information_request(),
    InformationAcknowledged(request_id=REQUEST),
    a_share(),
    a_share(an_entry(an_id(22)), request_id=REQUEST),
    InformationPartlyShared(
        request_id=REQUEST,
        entries=(an_entry(an_id(23)),),
        withheld="A part.",
        reason=RefusalReason.OTHER,
        family_told=FamilyTold(told=True),
    ),
    NilReturn(request_id=REQUEST, searched="All."),
    InformationRefused(request_id=REQUEST, reason=RefusalReason.OTHER, legal_basis="A basis.", explanation="Because."),
    InformationQueried(entry_id=ENTRY, question="When?"),
    InformationOffered(summary="Something."),
    InformationCorrected(entry_id=ENTRY, replacement=an_entry(fact="Another."), reason="Typing error."),
    InformationDisputed(entry_id=ENTRY, grounds="No."),
    InformationRestricted(entry_id=ENTRY, marking=Marking.RESTRICTED, named_agencies=(COUNCIL, SCHOOL), reason="Risk."),
    InformationRestricted(marking=Marking.RESTRICTED, named_agencies=(COUNCIL, POLICE, BUSINESS_UNIT), reason="Risk."),
    OnwardShareApproved(entry_id=ENTRY, to="The coroner"),
    FlagRaised(flag_id=FLAG, flag="Care", children=(CHILD,), until_on=date(2024, 9, 1), explanation="Risk."),
    FlagCleared(flag_id=FLAG, reason="Gone."),
    EnforcementConsidered(request_id=REQUEST, seek_injunction=True, rationale="Needed."),
)
PARTNERSHIP_EVENTS: tuple[Event, ...] = (
    a_partnership_established(),
    a_partnership_established(name="Northmoor and Eastmoor"),
    MembershipChanged(
        change=MembershipChange.MERGER, effective_on=date(2022, 7, 1), business_unit=BUSINESS_UNIT, partners=(COUNCIL, ICB, POLICE)
    ),
    MembershipChanged(
        change=MembershipChange.OTHER, effective_on=date(2023, 7, 1), business_unit=BUSINESS_UNIT, partners=(OTHER_COUNCIL, ICB, POLICE)
    ),
)
ACCESS_EVENTS: tuple[Event, ...] = (
    CaseViewed(
        viewer_agency=COUNCIL,
        viewer_user="u",
        viewer_role="r",
        viewer_purpose=Purpose.OVERSIGHT,
        resource=Resource.EVENTS,
        rows=1,
    ),
    AccessDenied(
        viewer_agency=COUNCIL,
        viewer_user="u",
        viewer_role="r",
        viewer_purpose=Purpose.OVERSIGHT,
        resource=Resource.EVENTS,
        reason=DenialReason.KIND,
    ),
)


@dataclass(frozen=True)
class Play:
    """An area, what may be tried in it, by whom, and beside which states."""

    category: str
    identity: str
    events: tuple[Event, ...]
    senders: tuple[str, ...]
    others: Mapping[Stream, Any]

    @property
    def decider(self) -> Decider[Any]:
        return decider_for(self.category)

    @property
    def stream(self) -> Stream:
        return stream(self.category, self.identity)


_PARTNERSHIP = {partnership_stream(SHARD): a_partnership()}
PLAYS = (
    Play("partnership", SHARD, PARTNERSHIP_EVENTS, (OPERATOR, OPERATOR, BUSINESS_UNIT), {}),
    Play("incident", CASE, INCIDENT_EVENTS, (COUNCIL, COUNCIL, COUNCIL, ICB, POLICE, BUSINESS_UNIT, SCHOOL, PANEL, STRANGER), _PARTNERSHIP),
    Play(
        "sharing",
        CASE,
        SHARING_EVENTS,
        (COUNCIL, SCHOOL, SCHOOL, SCHOOL, BUSINESS_UNIT, POLICE, PANEL, STRANGER),
        {**_PARTNERSHIP, incident_stream(CASE): a_notified_incident()},
    ),
    Play("access", CASE, ACCESS_EVENTS, (HUB, HUB, COUNCIL), {}),
)
TIMELESS = tuple(play for play in PLAYS if play.decider.timeless)


def _attempt(play: Play, history: Sequence[Recorded], said: Recorded) -> bool:
    """Tell whether the decider admits the event after the history; anything but a refusal is an error."""
    assert said.event is not None
    context = Context(
        agency_id=said.agency_id,
        event_id=said.event_id,
        shard=said.shard,
        stream=said.stream,
        now=said.recorded_at,
        live_from=LIVE_FROM,
        others=play.others,
    )
    try:
        play.decider.admit(play.decider.fold(history), said.event, context)
    except Refused as refusal:
        broken = refusal.rule
    else:
        return True
    assert RULES[broken.id] == broken
    return False


@st.composite
def histories(draw: st.DrawFn, play: Play) -> list[Recorded]:
    """Draw attempts at random, some of them corrections of what was admitted before, and keep those that are admitted."""
    admitted: list[Recorded] = []
    attempts = draw(
        st.lists(
            st.tuples(st.sampled_from(play.events), st.sampled_from(play.senders), st.integers(min_value=0, max_value=30)),
            min_size=1,
            max_size=25,
        )
    )
    for number, (event, sender, target) in enumerate(attempts, start=1):
        said = event
        if target < len(admitted):
            corrected = admitted[target]
            said = replace(event, details=Details(corrects=Correction(event_id=bytes(corrected.event_id), reason="An error.")))
            sender = corrected.agency_id  # noqa: PLW2901
        saying = recorded(
            said,
            by=sender,
            at=MONDAY + timedelta(minutes=number),
            version=len(admitted) + 1,
            stream=play.stream,
            event_id=an_event_id(number),
        )
        if _attempt(play, admitted, saying):
            admitted.append(saying)
    return admitted


def _plays() -> pytest.MarkDecorator:
    return pytest.mark.parametrize("play", PLAYS, ids=[play.category for play in PLAYS])


QUICK = settings(max_examples=60)


@_plays()
@QUICK
@given(draw=st.data())
def test_the_fold_of_an_admitted_history_never_raises(play: Play, draw: st.DataObject) -> None:
    history = draw.draw(histories(play))
    state = play.decider.fold(history)
    assert play.decider.open_rules(state) <= set(RULES.values())
    assert play.decider.fold(history) == state


@_plays()
@QUICK
@given(draw=st.data())
def test_the_fold_copes_with_bodies_that_are_gone(play: Play, draw: st.DataObject) -> None:
    history = draw.draw(histories(play))
    gone = draw.draw(st.sets(st.integers(min_value=0, max_value=max(len(history) - 1, 0))))
    state = play.decider.fold([body_gone(one) if number in gone else one for number, one in enumerate(history)])
    assert play.decider.open_rules(state) <= set(RULES.values())
    play.decider.fold([body_gone(one) for one in history])


def test_the_areas_that_count_as_timeless() -> None:
    assert [area.category for area in AREAS if area.timeless] == ["partnership", "sharing", "access"]


@pytest.mark.parametrize("play", TIMELESS, ids=[play.category for play in TIMELESS])
@QUICK
@given(draw=st.data())
def test_a_timeless_state_knows_neither_place_nor_time_nor_mendings_of_its_events(play: Play, draw: st.DataObject) -> None:
    history = draw.draw(histories(play))
    moved = [
        replace(one, position=one.position + 7, recorded_at=one.recorded_at + timedelta(days=1), mended=tuple(RULES)) for one in history
    ]
    assert play.decider.fold(moved) == play.decider.fold(history)


@pytest.mark.parametrize("play", PLAYS[:3], ids=[play.category for play in PLAYS[:3]])
@QUICK
@given(draw=st.data())
def test_the_same_event_twice_changes_nothing_or_is_refused(play: Play, draw: st.DataObject) -> None:
    history = draw.draw(histories(play))
    if history and _attempt(play, history, history[-1]):
        assert play.decider.fold([*history, history[-1]]) == play.decider.fold(history)


@pytest.mark.parametrize("play", PLAYS, ids=[play.category for play in PLAYS])
def test_every_event_of_the_area_is_judged_and_folded(play: Play) -> None:
    assert {type(event) for event in play.events} == set(play.decider.events)
    for event in play.events:
        for sender in play.senders:
            said = recorded(event, by=sender, stream=play.stream)
            _attempt(play, [], said)
            play.decider.fold([said])


def test_every_event_type_belongs_to_one_area() -> None:
    claimed = [kind for area in AREAS for kind in area.events]
    assert sorted(kind.EVENT_TYPE for kind in claimed) == sorted(EVENT_TYPES)
    assert [area.category for area in AREAS] == ["agency", "partnership", "incident", "sharing", "rapid_review", "local_review", "access"]


def test_an_area_is_found_by_its_category() -> None:
    assert [decider_for(area.category) for area in AREAS] == list(AREAS)
    with pytest.raises(KeyError):
        decider_for("weather")


def test_every_rule_has_words_and_an_authority_and_every_finding_a_remedy() -> None:
    assert [identity for identity, one in RULES.items() if one.id != identity or not one.words or not one.source] == []
    untold = {"incident.death_untold", "incident.delay_untold", "incident.partners_untold"}
    findings = {"incident.criteria_not_met", "incident.notified_elsewhere", *untold}
    assert {identity for identity in RULES if identity.startswith("incident.") and RULES[identity].mend} == findings


def test_two_different_rules_never_share_an_id() -> None:
    first = rule("a.b", "One.", "Law")
    assert areas._catalogue([first, first]) == {"a.b": first}
    with pytest.raises(ValueError, match=r"two rules are called a\.b"):
        areas._catalogue([first, rule("a.b", "Another.", "Law")])


def test_an_event_that_corrects_nothing_passes_any_check_of_corrections() -> None:
    context = Context(agency_id=COUNCIL, event_id=an_event_id(1), shard=SHARD, stream=incident_stream(CASE), now=MONDAY)
    check_correction({}, a_referral(), "", context, rule("a.b", "One.", "Law"))
    with pytest.raises(Refused):
        check_correction({}, replace(a_referral(), details=corrects(an_event_id(9))), "", context, rule("a.b", "One.", "Law"))
