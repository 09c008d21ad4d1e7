"""What should not have happened in a rapid review but did, and what mends it."""

from __future__ import annotations

from domain.kernel.agencies import AgencyKind
from domain.kernel.decider import Context
from domain.kernel.facts import Facts
from domain.kernel.rules import Rule
from domain.partnership.state import Established, Partnership
from domain.rapid_review import rules
from domain.rapid_review.events import (
    Decision,
    DecisionMade,
    DecisionRecommended,
    DecisionReconsidered,
    EthnicityAndCultureConsidered,
    PanelAgreed,
    PartnerSignedOff,
    RapidReviewCompleted,
    Recommendation,
    SentToPanel,
)
from domain.rapid_review.kinds import RapidReviewEvent
from domain.rapid_review.state import RapidReview, decision_in, decision_of, facts_of, is_complete, is_decided, is_sent, signed_off_by


def broken_by(state: RapidReview, event: RapidReviewEvent, context: Context, partnership: Partnership) -> tuple[Rule, ...]:
    """Return the rules that this event breaks, though it is true, or leaves broken that it might have mended."""
    match event:
        case SentToPanel():
            found = _sent_too_early(state, context, partnership)
        case PartnerSignedOff():
            broken = rules.SENT_WITHOUT_SIGN_OFF in facts_of(state).broken and _lacks_sign_off(state, context, partnership)
            found = (rules.SENT_WITHOUT_SIGN_OFF,) if broken else ()
        case DecisionMade() | DecisionReconsidered():
            found = _decided(state, event)
        case RapidReviewCompleted():
            found = _ethnicity_forgotten(state)
        case DecisionRecommended(recommendation=Recommendation.OTHER_REVIEW):
            found = () if facts_of(state).has_newer_than(event, DecisionRecommended) else (rules.OTHER_METHOD,)
        case _:
            found = ()
    return found


def mended_by(after: Facts, event: RapidReviewEvent) -> frozenset[Rule]:
    """Return the rules of which this event mends a breach unless it was found to break them itself; ``after`` holds the event."""
    match event:
        case PartnerSignedOff():
            mended = {rules.SENT_WITHOUT_SIGN_OFF}
        case EthnicityAndCultureConsidered():
            mended = {rules.ETHNICITY_NOT_CONSIDERED}
        case RapidReviewCompleted():
            mended = {rules.SENT_INCOMPLETE}
        case SentToPanel():
            mended = {rules.SENT_WITHOUT_SIGN_OFF, rules.SENT_UNDECIDED, rules.SENT_INCOMPLETE}
        case DecisionMade() | DecisionReconsidered():
            mended = _mended_by_decision(decision_in(after))
        case DecisionRecommended():
            mended = set() if after.has_newer_than(event, DecisionRecommended) else {rules.OTHER_METHOD}
        case PanelAgreed():
            # A correction of an earlier agreement agrees to no later recommendation.
            mended = set() if after.since(PanelAgreed).has(DecisionRecommended) else {rules.OTHER_METHOD}
        case _:
            mended = set()
    return frozenset(mended)


def _sent_too_early(state: RapidReview, context: Context, partnership: Partnership) -> tuple[Rule, ...]:
    # A predecessor board sent its reviews before there were safeguarding partners to sign them.
    unsigned = context.agency_kind is not AgencyKind.LSCB and _lacks_sign_off(state, context, partnership)
    undecided = not is_decided(state) or decision_of(state) is Decision.UNDECIDED
    return (
        *((rules.SENT_WITHOUT_SIGN_OFF,) if unsigned else ()),
        *((rules.SENT_UNDECIDED,) if undecided else ()),
        *(() if is_complete(state) else (rules.SENT_INCOMPLETE,)),
    )


def _lacks_sign_off(state: RapidReview, context: Context, partnership: Partnership) -> bool:
    """Tell whether a listed partner other than the sender has not signed: several councils, ICBs and forces may have to."""
    listed = partnership.partners if isinstance(partnership, Established) else ()
    return not signed_off_by(state) | {context.agency_id} >= set(listed)


def _decided(state: RapidReview, event: DecisionMade | DecisionReconsidered) -> tuple[Rule, ...]:
    """Judge a decision; a correction of one that was replaced since leaves the newest as it is."""
    if event.decision is not Decision.UNDECIDED:
        return _ethnicity_forgotten(state)
    replaced = facts_of(state).has_newer_than(event, DecisionMade, DecisionReconsidered)
    return (rules.SENT_UNDECIDED,) if is_sent(state) and not replaced else ()


def _ethnicity_forgotten(state: RapidReview) -> tuple[Rule, ...]:
    return () if facts_of(state).has(EthnicityAndCultureConsidered) else (rules.ETHNICITY_NOT_CONSIDERED,)


def _mended_by_decision(decision: Decision | None) -> set[Rule]:
    match decision:
        case Decision.LOCAL_REVIEW:
            return {rules.SENT_UNDECIDED, rules.OTHER_METHOD}
        case Decision.NO_LOCAL_REVIEW:
            return {rules.SENT_UNDECIDED}
        case _:
            return set()
