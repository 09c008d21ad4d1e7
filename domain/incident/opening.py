"""From the first word of a case to the judgement of the criteria."""

from __future__ import annotations

from typing import assert_never

from domain.incident.codes import CriteriaOutcome
from domain.incident.events import (
    CaseReferred,
    Criteria,
    CriteriaAssessed,
    IncidentBecameKnown,
    PartnerDissented,
    ReferralConfirmedInWriting,
)
from domain.incident.guards import BEGUN, RUNNING, check_after_awareness, check_council, check_first, check_stage, check_words, refuse_if
from domain.incident.kinds import Opening
from domain.incident.rules import (
    CONTRADICTION,
    CRITERIA_NOT_MET,
    DISSENTER,
    DUPLICATE_CHILD,
    IMPOSSIBLE_TIMES,
    LIMB,
    REFERRER,
)
from domain.incident.state import (
    Assessed,
    Facts,
    Incident,
    Judgement,
    Notified,
    Referral,
    Referred,
    Unknown,
    awareness_of,
    facts_of,
    notification_of,
    notifying_council,
    with_facts,
)
from domain.kernel.copies import replace
from domain.kernel.corrections import placed
from domain.kernel.decider import Context
from domain.kernel.events import Recorded, london_day
from domain.kernel.rules import Finding
from domain.kernel.times import done_on
from domain.partnership.state import Partnership, is_statutory_partner


def admit(state: Incident, event: Opening, context: Context, partnership: Partnership) -> tuple[Finding, ...]:
    """Judge how a case begins; a not-met judgement by the council that notified is a finding."""
    match event:
        case CaseReferred():
            check_stage(state, event, Unknown, *RUNNING)
            check_first(context.agency_id in facts_of(state).referrals, event, CONTRADICTION)
            refuse_if(len(set(event.children)) < len(event.children), DUPLICATE_CHILD)
        case ReferralConfirmedInWriting():
            _check_confirmation(state, event, context)
        case IncidentBecameKnown():
            _check_awareness(state, event, context)
        case CriteriaAssessed():
            return _judge_criteria(state, event, context)
        case PartnerDissented():
            _check_dissent(state, event, context, partnership)
        case _:
            assert_never(event)
    return ()


def check_criteria(criteria: Criteria) -> None:
    """Raise ``Refused`` unless a met judgement names its limb, a not-met one names none and gives its reason."""
    met = criteria.outcome is CriteriaOutcome.MET
    not_met = criteria.outcome is CriteriaOutcome.NOT_MET
    refuse_if((met and criteria.limb is None) or (not_met and criteria.limb is not None), LIMB)
    if not_met:
        check_words(criteria.rationale)


def _check_confirmation(state: Incident, event: ReferralConfirmedInWriting, context: Context) -> None:
    check_stage(state, event, *BEGUN)
    referral = facts_of(state).referrals.get(context.agency_id)
    refuse_if(referral is None, REFERRER)
    made_on = None if referral is None else referral.made_on
    refuse_if(context.imported and made_on is not None and done_on(event, context) < made_on, IMPOSSIBLE_TIMES)
    check_first(referral is not None and referral.confirmed, event, CONTRADICTION)


def _check_awareness(state: Incident, event: IncidentBecameKnown, context: Context) -> None:
    check_stage(state, event, Unknown, *RUNNING)
    check_first(context.agency_id in awareness_of(state), event, CONTRADICTION)
    notification = notification_of(state)
    if notification is not None:
        aware_on = london_day(event.awareness.aware_at)
        notified_before = context.agency_id == notifying_council(state) and aware_on > notification.knew_by
        refuse_if(aware_on < notification.incident_on.day or notified_before, IMPOSSIBLE_TIMES)


def _judge_criteria(state: Incident, event: CriteriaAssessed, context: Context) -> tuple[Finding, ...]:
    check_council(context)
    check_stage(state, event, Unknown, *RUNNING)
    check_criteria(event.criteria)
    if event.criteria.outcome is not CriteriaOutcome.UNSURE:  # a council may doubt before it suspects, and doubt stops no clock
        check_after_awareness(state, context, event)
    notification = notification_of(state)
    stands = (
        isinstance(state, Notified) and state.by == context.agency_id and notification is not None and not notification.care_leaver_only
    )
    return (Finding(rule=CRITERIA_NOT_MET),) if stands and event.criteria.outcome is CriteriaOutcome.NOT_MET else ()


def _check_dissent(state: Incident, event: PartnerDissented, context: Context, partnership: Partnership) -> None:
    refuse_if(not is_statutory_partner(partnership, context.agency_id), DISSENTER)
    check_stage(state, event, Assessed, Notified)
    others = [made.outcome for made in facts_of(state).judgements.values() if made.agency_id != context.agency_id]
    refuse_if(not others or others[-1] is event.outcome, DISSENTER)


def evolve(state: Incident, event: Opening, recorded: Recorded) -> Incident:
    """Return the case with what was said of its beginning."""
    facts = facts_of(state)
    match event:
        case CaseReferred():
            before = facts.referrals.get(recorded.agency_id, Referral())
            says_when = event.details is not None and event.details.done_at is not None
            made_on = london_day(recorded.asserted_at) if says_when or before.made_on is None else before.made_on
            referral = replace(before, children=event.children, made_on=made_on)
            return with_facts(state, replace(facts, referrals={**facts.referrals, recorded.agency_id: referral}))
        case ReferralConfirmedInWriting():
            referral = replace(facts.referrals.get(recorded.agency_id, Referral()), confirmed=True)
            return with_facts(state, replace(facts, referrals={**facts.referrals, recorded.agency_id: referral}))
        case IncidentBecameKnown():
            return with_facts(state, replace(facts, awareness={**facts.awareness, recorded.agency_id: event.awareness.aware_at}))
        case CriteriaAssessed():
            judged = with_judgement(facts, event.criteria, recorded)
            return Assessed(facts=judged) if isinstance(state, (Unknown, Referred)) else with_facts(state, judged)
        case PartnerDissented():
            return state
        case _:
            assert_never(event)


def with_judgement(facts: Facts, criteria: Criteria, recorded: Recorded) -> Facts:
    """Return the facts with a judgement among them: a correction in the place of what it corrects, any other as the newest."""
    judgement = Judgement(agency_id=recorded.agency_id, outcome=criteria.outcome, limb=criteria.limb)
    return replace(facts, judgements=placed(facts.said, facts.judgements, facts.said[recorded.event_id].root, judgement))
