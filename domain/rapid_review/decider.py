"""Decide on the events of a rapid review: refuse what cannot be true or is not the sender's to say, find what should not have happened."""

from __future__ import annotations

from datetime import date
from typing import Final, assert_never, cast, get_args

from domain.incident.state import care_leaver_only, incident_in, incident_stream, is_notified, is_withdrawn, notification_of
from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.copies import replace
from domain.kernel.corrections import check_correction, is_correction
from domain.kernel.decider import Context, Decider
from domain.kernel.events import EVENT_TYPES, Event, Recorded
from domain.kernel.facts import Facts, scoring_day
from domain.kernel.ids import Shard, Stream, identity_of
from domain.kernel.rules import Finding, Refused, Rule
from domain.partnership.state import (
    Established,
    Partnership,
    is_business_unit,
    is_member,
    is_statutory_partner,
    partnership_in,
    partnership_stream,
)
from domain.rapid_review import rules
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
from domain.rapid_review.findings import broken_by, mended_by
from domain.rapid_review.kinds import RapidReviewEvent, gist_of
from domain.rapid_review.state import (
    Answer,
    Completed,
    Drafted,
    Open,
    RapidReview,
    Responded,
    Sent,
    Unknown,
    decision_of,
    facts_of,
    is_decided,
    is_sent,
    this_round,
)

_LSCB_UNTIL_ON: Final = date(2020, 9, 29)
"""The last day on which a predecessor board could act (Working Together: transitional guidance 2018)."""

_ANSWERS: Final[dict[type[Event], Answer]] = {
    PanelAgreed: Answer.AGREED,
    PanelDisagreed: Answer.DISAGREED,
    PanelAskedForMore: Answer.ASKED_FOR_MORE,
}


def reads(_event: Event, stream: Stream, shard: Shard) -> tuple[Stream, ...]:
    """Look at the incident, for a withdrawal closes its review, and at who the partners are."""
    return (incident_stream(identity_of(stream)), partnership_stream(shard))


def admit(state: RapidReview, said: Event, context: Context) -> tuple[Finding, ...]:
    """Raise ``Refused`` unless the event can be true and is the sender's to say; return what should not have happened but did."""
    event = cast(RapidReviewEvent, said)
    partnership = partnership_in(context.others, context.shard, context.now)
    _check_sender(state, event, context, partnership)
    _check_incident(state, event, context)
    check_correction(facts_of(state).said, event, gist_of(event).thing, context, rules.CORRECTION)
    _check_content(event)
    _check_order(state, event)
    if not is_correction(event):
        _check_once(state, event, context)
    return tuple(Finding(rule=broken) for broken in broken_by(state, event, context, partnership))


def _check_sender(state: RapidReview, event: RapidReviewEvent, context: Context, partnership: Partnership) -> None:
    """Refuse what is not the sender's to say."""
    match event:
        case PartnerSignedOff():
            if not is_statutory_partner(partnership, context.agency_id):
                raise Refused(rules.SIGN_OFF_IS_THE_PARTNERS_OWN)
        case PanelAcknowledged() | PanelAgreed() | PanelDisagreed() | PanelAskedForMore():
            if context.agency_kind is not AgencyKind.PANEL:
                raise Refused(rules.PANEL_ONLY)
        case AgencyReturnReceived():
            own = event.agency == context.agency_id and (is_member(partnership, event.agency) or _was_asked(state, event.agency))
            if kind_of(event.agency) in _GIVES_NO_RETURN or not (own or _is_business_unit(event, context, partnership)):
                raise Refused(rules.RETURN_IS_AN_AGENCYS_OWN)
        case (
            RapidReviewOpened()
            | MeetingHeld()
            | MinutesCirculated()
            | RapidReviewDrafted()
            | ImmediateLearningIdentified()
            | ImmediateLearningDisseminated()
            | EthnicityAndCultureConsidered()
            | DecisionRecommended()
            | RapidReviewCompleted()
            | DecisionMade()
            | ChairAndScrutineerInformed()
            | SentToPanel()
            | DecisionReconsidered()
        ):
            if not _is_business_unit(event, context, partnership):
                raise Refused(rules.NOT_THE_PARTNERSHIP)
        case _:
            assert_never(event)


_GIVES_NO_RETURN: Final = frozenset({AgencyKind.PANEL, AgencyKind.OPERATOR, AgencyKind.HUB, AgencyKind.PARTNERSHIP})


def _was_asked(state: RapidReview, agency: str) -> bool:
    return any(agency in opened.values for opened in facts_of(state).of(RapidReviewOpened))


def _is_business_unit(event: Event, context: Context, partnership: Partnership) -> bool:
    """Tell whether the sender speaks for the partners jointly; a predecessor board did so before their arrangements began."""
    if context.agency_kind is not AgencyKind.LSCB:
        return is_business_unit(partnership, context.agency_id)
    day = scoring_day(event, context)
    began_on = partnership.arrangements_start_on if isinstance(partnership, Established) else date.min
    if day >= began_on or day > _LSCB_UNTIL_ON:
        raise Refused(rules.LSCB_TIME)
    return True


_NEEDS_NO_NOTIFICATION: Final = (
    AgencyReturnReceived | MeetingHeld | MinutesCirculated | ImmediateLearningIdentified | ImmediateLearningDisseminated
)
"""What agencies do as soon as they know of an incident, whether or not the Panel was notified by then; no clock counts it."""


def _check_incident(state: RapidReview, event: RapidReviewEvent, context: Context) -> None:
    """Refuse to review what was not notified, or is not any more, and what comes before it."""
    incident = incident_in(context.others, identity_of(context.stream))
    if is_withdrawn(incident):
        raise Refused(rules.NOTIFICATION_WITHDRAWN)
    notification = notification_of(incident)
    moves = context.imported and not isinstance(event, _NEEDS_NO_NOTIFICATION)  # what is said live gives no step an earlier day
    if moves and notification is not None and facts_of(state).scoring_day(event, context) < notification.done_on:
        raise Refused(rules.NEEDS_NOTIFICATION, "history told of a day before that of the notification")
    if notification is not None:
        _check_days(event, notification.incident_on.day)
    if not isinstance(event, RapidReviewOpened):
        return
    if not is_notified(incident):
        raise Refused(rules.NEEDS_NOTIFICATION)
    if care_leaver_only(incident):
        raise Refused(rules.CARE_LEAVER_ONLY)


def _check_days(event: RapidReviewEvent, happened_on: date) -> None:
    """Refuse what is said to have been done before the first day on which the incident may have happened."""
    match event:
        case MeetingHeld(held_on=day) | ChairAndScrutineerInformed(informed_on=day):
            if day < happened_on:
                raise Refused(rules.IMPOSSIBLE_DAYS, f"{day.isoformat()} is before {happened_on.isoformat()}, the day of the incident")
        case _:
            pass


def _check_content(event: RapidReviewEvent) -> None:
    """Refuse what does not say what it must say."""
    match event:
        case DecisionRecommended(recommendation=Recommendation.OTHER_REVIEW, method=method):
            if method is None or not method.strip():
                raise Refused(rules.NEEDS_METHOD)
        case DecisionMade(decision=Decision.NO_LOCAL_REVIEW, rationale=rationale):
            _check_reason(rationale)
        case DecisionReconsidered(decision=Decision.NO_LOCAL_REVIEW, rationale=rationale):
            _check_reason(rationale)
        case _:
            pass


def _check_reason(rationale: str) -> None:
    if not rationale.strip():
        raise Refused(rules.NEEDS_REASON)


def _check_order(state: RapidReview, event: RapidReviewEvent) -> None:
    """Refuse a step that has nothing to stand on."""
    if isinstance(state, Unknown) and not isinstance(event, RapidReviewOpened):
        raise Refused(rules.NOT_OPEN)
    facts = facts_of(state)
    match event:
        case MinutesCirculated():
            if not facts.perhaps_about(MeetingHeld, event.meeting_id):
                raise Refused(rules.NEEDS_MEETING)
        case ImmediateLearningDisseminated():
            if not facts.perhaps_about(ImmediateLearningIdentified, event.learning_id):
                raise Refused(rules.NEEDS_LEARNING)
        case DecisionReconsidered() | ChairAndScrutineerInformed():
            if not is_decided(state):
                raise Refused(rules.NEEDS_DECISION)
        case PanelAcknowledged() | PanelAgreed() | PanelDisagreed() | PanelAskedForMore():
            if not is_sent(state):
                raise Refused(rules.NEEDS_SENDING)
        case _:
            pass


def _check_once(state: RapidReview, event: RapidReviewEvent, context: Context) -> None:
    """Refuse to hear again what can be true only once; drafts, considerations and reconsiderations may follow one another."""
    facts = facts_of(state)
    match event:
        case RapidReviewOpened():
            again = not isinstance(state, Unknown)
        case AgencyReturnReceived() | MeetingHeld() | ImmediateLearningIdentified() | MinutesCirculated():
            again = facts.about(type(event), gist_of(event).thing)
        case PartnerSignedOff():
            again = any(fact.agency_id == context.agency_id for fact in this_round(facts).of(PartnerSignedOff))
        case DecisionRecommended() | RapidReviewCompleted() | SentToPanel() | PanelAcknowledged():
            again = this_round(facts).has(type(event))
        case DecisionMade():
            again = decision_of(state) in {Decision.LOCAL_REVIEW, Decision.NO_LOCAL_REVIEW}
        case PanelAgreed() | PanelDisagreed() | PanelAskedForMore():
            again = _is_answered(state)
        case (
            RapidReviewDrafted()
            | ImmediateLearningDisseminated()
            | EthnicityAndCultureConsidered()
            | ChairAndScrutineerInformed()
            | DecisionReconsidered()
        ):
            again = False
        case _:
            assert_never(event)
    if again:
        raise Refused(rules.CONTRADICTION)


def _is_answered(state: RapidReview) -> bool:
    """Tell whether the Panel's answer stands: it asked for nothing more, and the partners have decided nothing since."""
    match state:
        case Responded(facts=facts, answer=Answer.AGREED | Answer.DISAGREED):
            return not facts.since(*_ANSWERS).has(DecisionMade, DecisionReconsidered)
        case Responded() | Sent() | Completed() | Drafted() | Open() | Unknown():
            return False
        case _:
            assert_never(state)


def evolve(state: RapidReview, recorded: Recorded) -> RapidReview:
    """Return the review after the event; of one whose body is gone its type, sender, findings and mendings still tell."""
    kind = EVENT_TYPES.get(recorded.event_type)
    if kind not in _EVENTS:
        return state
    before = facts_of(state)
    event = cast(RapidReviewEvent | None, recorded.event)
    facts = before.with_fact(recorded, None if event is None else gist_of(event))
    mends = mended_by(facts, event) if event is not None and facts.is_whole else ()
    facts = facts.judged(recorded, mends, rules.BY_ID)
    stands = before.corrected_by(recorded)
    match state:
        case Unknown():
            return Open(facts=facts)
        case Open() | Drafted() | Completed() | Sent() | Responded():
            return replace(state, facts=facts) if stands else _next_stage(state, kind, facts)
        case _:
            assert_never(state)


def _next_stage(state: Open | Drafted | Completed | Sent | Responded, kind: type[Event], facts: Facts) -> RapidReview:
    """Return the stage that an event of this type leads to; what comes late (a draft, the completion) leads to none before it."""
    answer = _ANSWERS.get(kind)
    if answer is not None:
        return Responded(facts=facts, answer=answer)
    if kind is SentToPanel:
        return Sent(facts=facts)
    if kind is RapidReviewCompleted and isinstance(state, (Open, Drafted)):
        return Completed(facts=facts)
    if kind is RapidReviewDrafted and isinstance(state, Open):
        return Drafted(facts=facts)
    return replace(state, facts=facts)


def open_rules(state: RapidReview) -> frozenset[Rule]:
    """Return the rules that were found broken and are not mended."""
    return facts_of(state).broken


_EVENTS: Final[tuple[type[Event], ...]] = get_args(RapidReviewEvent)

DECIDER: Final[Decider[RapidReview]] = Decider(
    category="rapid_review",
    events=_EVENTS,
    initial=Unknown(),
    reads=reads,
    admit=admit,
    evolve=evolve,
    open_rules=open_rules,
)
