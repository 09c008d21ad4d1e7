"""The notification of a serious incident to the Panel, and what changes it (s16C Children Act 2004)."""

from __future__ import annotations

from datetime import date
from typing import TypeAlias, assert_never

from domain.incident.children import check_children, check_known, check_named_once
from domain.incident.codes import CriteriaOutcome, Limb
from domain.incident.events import (
    ChildAdded,
    IncidentBecameKnown,
    IncidentNotified,
    IncidentReclassified,
    NotificationAmended,
    NotificationWithdrawn,
)
from domain.incident.guards import RUNNING, check_first, check_notifying_council, check_stage, check_words, refuse_if
from domain.incident.kinds import Notifying
from domain.incident.opening import check_criteria, with_judgement
from domain.incident.rules import (
    AUTHORITY,
    AWARENESS_NEEDED,
    CHANGES_NOTHING,
    CONTRADICTION,
    CRITERIA_NEEDED,
    CRITERIA_NOT_MET,
    DEPRIVATION_FIFTH,
    DUPLICATE_CHILD,
    IMPOSSIBLE_TIMES,
    NOT_A_COUNCIL,
    NOTIFIED_AT,
    NOTIFIED_ELSEWHERE,
    OCCURRENCE_REASON,
    SAME_TYPE,
    SECOND_NOTIFICATION,
    STATE,
)
from domain.incident.state import (
    Change,
    Closed,
    Incident,
    Judgement,
    Notification,
    Notified,
    Unknown,
    Withdrawn,
    awareness_of,
    by_id,
    facts_of,
    is_notified_elsewhere,
    judgement_for,
    notification_of,
    notified_part,
    with_change,
)
from domain.kernel.corrections import is_correction, root_in
from domain.kernel.decider import Context
from domain.kernel.events import Recorded, london_day
from domain.kernel.rules import Finding, Refused
from domain.kernel.times import done_on
from domain.partnership.state import is_council

Changing: TypeAlias = ChildAdded | NotificationAmended | IncidentReclassified
"""What says some of the notification anew."""


def admit(state: Incident, event: Notifying, context: Context) -> tuple[Finding, ...]:
    """Judge a notification or a change of it; one whose criteria are judged not met, or that another council owed, is a finding."""
    match event:
        case IncidentNotified():
            return _judge_notification(state, event, context)
        case ChildAdded():
            notification = _notified(state, event, context)
            check_first(event.child.child_id in notification.children, event, DUPLICATE_CHILD)
            check_children(_readable(_changed(state, event, context)))
        case NotificationAmended():
            return _judge_amendment(state, event, context)
        case IncidentReclassified():
            notification = _notified(state, event, context)
            same = event.notification_type is notification.notification_type
            refuse_if(same and not is_correction(event), SAME_TYPE)
            check_named_once(event.children)
            check_known(event.children, notification.children)
            check_children(_readable(_changed(state, event, context)))
        case NotificationWithdrawn():
            check_notifying_council(state, context)
            check_stage(state, event, Notified)
            check_words(event.rationale)
        case _:
            assert_never(event)
    return ()


def _notified(state: Incident, event: Notifying, context: Context, *ended: type[Incident]) -> Notification:
    """Return what the notification says, if the sender may change it now; at some stages of a case that has ended, too."""
    check_notifying_council(state, context)
    check_stage(state, event, Notified, *ended)
    return _readable(state)


def _readable(state: Incident) -> Notification:
    """Return what the notification says by now; raise ``Refused`` if nobody can tell."""
    notification = notification_of(state)
    if notification is None:
        raise Refused(STATE, "what was notified can no longer be read")
    return notification


def _changed(state: Incident, event: Changing, context: Context) -> Incident:
    """Return the case as it would be with the notification so changed."""
    return with_change(state, root_in(facts_of(state).said, event, context), _change(event))


def _judge_notification(state: Incident, event: IncidentNotified, context: Context) -> tuple[Finding, ...]:
    refuse_if(notified_part(state) is not None, SECOND_NOTIFICATION)
    check_stage(state, event, Unknown, *RUNNING)
    refuse_if(not is_council(event.incident_authority) or not is_council(event.residence_authority), NOT_A_COUNCIL)
    _check_awareness(state, event, context)
    judgement = _judgement(state, event, context)
    told_on = done_on(event, context)
    first = _first(event, judgement.limb, told_on, knew_by=told_on)
    expected = first.owing_council
    refuse_if(context.agency_id != expected, AUTHORITY, f"notifying council: expected {expected}, found {context.agency_id}")
    check_named_once(event.children)
    check_children(first)
    _check_deprivation(event.deprivation_fifth)
    unmet = judgement.outcome is CriteriaOutcome.NOT_MET and not event.care_leaver_only
    return (Finding(rule=CRITERIA_NOT_MET),) if unmet else ()


def _check_awareness(state: Incident, event: IncidentNotified, context: Context) -> None:
    """Refuse to contradict an instant given before, to know before it happened, or to notify before knowing."""
    recorded = facts_of(state).awareness
    own = recorded.get(context.agency_id)
    if event.awareness is None:
        refuse_if(not any(is_council(agency) for agency in recorded), AWARENESS_NEEDED)
        aware_at = own
    else:
        aware_at = event.awareness.aware_at
        refuse_if(own is not None and own != aware_at, CONTRADICTION)
    if aware_at is not None:
        aware_on = london_day(aware_at)
        refuse_if(not event.incident_on.day <= aware_on <= done_on(event, context), IMPOSSIBLE_TIMES)


def _judgement(state: Incident, event: IncidentNotified, context: Context) -> Judgement:
    """Return the judgement the notification rests on: its own, or the council's, or any council's recorded before."""
    if event.criteria is not None:
        check_criteria(event.criteria)
        return Judgement(agency_id=context.agency_id, outcome=event.criteria.outcome, limb=event.criteria.limb)
    earlier = judgement_for(facts_of(state), context.agency_id)
    if earlier is None:
        raise Refused(CRITERIA_NEEDED)
    return earlier


def _check_deprivation(fifth: int | None) -> None:
    refuse_if(fifth is not None and not 1 <= fifth <= 5, DEPRIVATION_FIFTH)


def _judge_amendment(state: Incident, event: NotificationAmended, context: Context) -> tuple[Finding, ...]:
    notification = _notified(state, event, context, Withdrawn, Closed)
    refuse_if(event == NotificationAmended(details=event.details, reason=event.reason), CHANGES_NOTHING)
    refuse_if((event.incident_on is None) != (event.occurrence_reason is None), OCCURRENCE_REASON)
    named = [authority for authority in (event.incident_authority, event.residence_authority) if authority is not None]
    refuse_if(not all(is_council(authority) for authority in named), NOT_A_COUNCIL)
    _check_deprivation(event.deprivation_fifth)
    check_named_once(event.children)
    check_known(event.children, notification.children)
    after = _changed(state, event, context)
    check_children(_readable(after))
    _check_amended_times(state, event, after, context)
    return (Finding(rule=NOTIFIED_ELSEWHERE),) if is_notified_elsewhere(after) and not is_notified_elsewhere(state) else ()


def _check_amended_times(state: Incident, event: NotificationAmended, after: Incident, context: Context) -> None:
    """Refuse what cannot be true of occurrence, awareness and notification, each as it would be ``after``, and in this order."""
    part = notified_part(state)
    if part is None:
        return
    before, amended = _readable(state), _readable(after)
    was_aware_at, aware_at = awareness_of(state).get(part.by), awareness_of(after).get(part.by)
    if event.awareness is not None:
        said = facts_of(state).said.values()
        said_apart = any(note.event_type == IncidentBecameKnown.EVENT_TYPE and note.agency_id == part.by for note in said)
        contradicts = said_apart and event.awareness.aware_at != was_aware_at
        refuse_if(contradicts, CONTRADICTION, f"the council's awareness was recorded by {IncidentBecameKnown.EVENT_TYPE}: correct that")
    aware_on = amended.incident_on.day if aware_at is None else london_day(aware_at)
    refuse_if(aware_on < amended.incident_on.day, IMPOSSIBLE_TIMES)
    if event.notified_at is not None:
        refuse_if(not part.imported, NOTIFIED_AT, "the notification was not imported")
        is_live = context.live_from is None or london_day(event.notified_at) >= context.live_from
        refuse_if(is_live, NOTIFIED_AT, "the instant is not before the live day")
    moved = (aware_at, amended.knew_by) != (was_aware_at, before.knew_by)
    refuse_if(moved and amended.knew_by < aware_on, IMPOSSIBLE_TIMES)


def _first(event: IncidentNotified, limb: Limb | None, day: date, *, knew_by: date) -> Notification:
    return Notification(
        notification_type=event.notification_type,
        incident_on=event.incident_on,
        place=event.place,
        incident_authority=event.incident_authority,
        residence_authority=event.residence_authority,
        children=by_id(event.children),
        done_on=day,
        knew_by=knew_by,
        aware_at=None if event.awareness is None else event.awareness.aware_at,
        care_leaver_only=event.care_leaver_only,
        limb=limb,
    )


def _change(event: Changing) -> Change:
    match event:
        case ChildAdded():
            return Change(children=(event.child,))
        case NotificationAmended():
            return Change(
                incident_on=event.incident_on,
                place=event.place,
                incident_authority=event.incident_authority,
                residence_authority=event.residence_authority,
                children=event.children,
                done_on=None if event.notified_at is None else london_day(event.notified_at),
                aware_at=None if event.awareness is None else event.awareness.aware_at,
            )
        case IncidentReclassified():
            return Change(notification_type=event.notification_type, children=event.children)
        case _:
            assert_never(event)


def evolve(state: Incident, event: Notifying, recorded: Recorded) -> Incident:
    """Return the case with the notification as it says by now."""
    match event:
        case IncidentNotified():
            return _evolve_notified(state, event, recorded)
        case NotificationWithdrawn():
            return Withdrawn(facts=state.facts, notified=state) if isinstance(state, Notified) else state
        case ChildAdded() | NotificationAmended() | IncidentReclassified():
            return with_change(state, facts_of(state).said[recorded.event_id].root, _change(event))
        case _:
            assert_never(event)


def _evolve_notified(state: Incident, event: IncidentNotified, recorded: Recorded) -> Incident:
    if not isinstance(state, (Unknown, *RUNNING)) or isinstance(state, Notified):
        return state
    facts = facts_of(state)
    if event.criteria is not None:
        facts = with_judgement(facts, event.criteria, recorded)
    judgement = judgement_for(facts, recorded.agency_id)
    limb = None if judgement is None else judgement.limb
    told_on, scored_on = london_day(recorded.asserted_at), london_day(recorded.scored_at)
    return Notified(
        facts=facts,
        by=recorded.agency_id,
        imported=recorded.imported,
        first=_first(event, limb, told_on, knew_by=max(told_on, scored_on)),
    )
