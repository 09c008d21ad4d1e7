"""What runs beside a case: safety, other proceedings, duplicates; and its end."""

from __future__ import annotations

import re
from typing import Final, assert_never

from domain.incident.codes import CloseReason
from domain.incident.events import (
    DuplicateLinked,
    IncidentClosed,
    ParallelProceedingClosed,
    ParallelProceedingOpened,
    ParallelProceedingUpdated,
    SafetyActionTaken,
)
from domain.incident.guards import RUNNING, check_first, check_lead, check_stage, refuse_if
from domain.incident.kinds import Course
from domain.incident.rules import (
    CLOSE_REASON,
    CONTRADICTION,
    DUPLICATE_LINK,
    DUPLICATE_PROCEEDING,
    PROCEEDING_ENDED,
    UNKNOWN_CHILD,
    UNKNOWN_PROCEEDING,
)
from domain.incident.state import (
    Closed,
    Facts,
    Incident,
    Notified,
    Proceeding,
    Unknown,
    Withdrawn,
    care_leaver_only,
    facts_of,
    is_notified,
    known_children,
    with_facts,
)
from domain.kernel.agencies import AgencyKind
from domain.kernel.copies import replace
from domain.kernel.decider import Context
from domain.kernel.events import Recorded
from domain.kernel.ids import RequestId, identity_of
from domain.partnership.state import Partnership

_CASE_ID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def admit(state: Incident, event: Course, context: Context, partnership: Partnership) -> None:
    """Raise ``Refused`` unless it can be true; nothing here is a finding."""
    match event:
        case SafetyActionTaken():
            check_stage(state, event, *RUNNING)
            refuse_if(not known_children(state) >= set(event.children), UNKNOWN_CHILD)
        case ParallelProceedingOpened():
            check_stage(state, event, *RUNNING)
            check_first(event.proceeding_id in facts_of(state).proceedings, event, DUPLICATE_PROCEEDING)
        case ParallelProceedingUpdated() | ParallelProceedingClosed():
            _check_proceeding(state, event)
        case IncidentClosed():
            check_lead(state, context, partnership)
            check_stage(state, event, *RUNNING, Withdrawn)
            refuse_if(not _fits(state.was if isinstance(state, Closed) else state, event), CLOSE_REASON)
        case DuplicateLinked():
            if context.agency_kind is not AgencyKind.PANEL:
                check_lead(state, context, partnership)
            check_stage(state, event, *RUNNING, Withdrawn, Closed)
            other = event.other_case
            refuse_if(_CASE_ID.fullmatch(other) is None or other == identity_of(context.stream), DUPLICATE_LINK)
            check_first(other in facts_of(state).duplicates.values(), event, CONTRADICTION)
        case _:
            assert_never(event)


def _check_proceeding(state: Incident, event: ParallelProceedingUpdated | ParallelProceedingClosed) -> None:
    """Follow a proceeding that lives, after withdrawal and closing of the case too: a trial outlives it."""
    check_stage(state, event, *RUNNING, Withdrawn, Closed)
    proceeding = facts_of(state).proceedings.get(event.proceeding_id)
    refuse_if(proceeding is None, UNKNOWN_PROCEEDING)
    check_first(proceeding is not None and not proceeding.live, event, PROCEEDING_ENDED)


def _fits(state: Incident, event: IncidentClosed) -> bool:
    match event.reason:
        case CloseReason.REVIEW_PUBLISHED | CloseReason.NO_LOCAL_REVIEW:
            return is_notified(state) and not care_leaver_only(state)
        case CloseReason.CRITERIA_NOT_MET:
            return not is_notified(state)
        case CloseReason.LOOKED_AFTER_OR_CARE_LEAVER_ONLY:
            return care_leaver_only(state) if isinstance(state, Notified) else bool(facts_of(state).deaths)
        case CloseReason.OTHER:
            return bool((event.explanation or "").strip())
        case _:
            assert_never(event.reason)


def evolve(state: Incident, event: Course, recorded: Recorded) -> Incident:
    """Return the case with what happened beside it."""
    match event:
        case SafetyActionTaken():
            return state
        case ParallelProceedingOpened() | ParallelProceedingUpdated() | ParallelProceedingClosed():
            return with_facts(state, _with_proceeding(facts_of(state), event, recorded))
        case IncidentClosed():
            if isinstance(state, Closed):
                return replace(state, reason=event.reason)
            return state if isinstance(state, Unknown) else Closed(facts=state.facts, was=state, reason=event.reason)
        case DuplicateLinked():
            facts = facts_of(state)
            return with_facts(state, replace(facts, duplicates={**facts.duplicates, facts.said[recorded.event_id].root: event.other_case}))
        case _:
            assert_never(event)


def _with_proceeding(
    facts: Facts, event: ParallelProceedingOpened | ParallelProceedingUpdated | ParallelProceedingClosed, recorded: Recorded
) -> Facts:
    identity: RequestId = event.proceeding_id
    root = facts.said[recorded.event_id].root
    before = facts.proceedings.get(identity)
    match event:
        case ParallelProceedingOpened():
            earlier = {} if before is None else before.said
            live = before is None or before.live
            after = Proceeding(kind=event.kind, said={**earlier, root: event.restricts_publication}, live=live)
        case ParallelProceedingUpdated():
            if before is None:
                return facts
            after = replace(before, said={**before.said, root: event.restricts_publication})
        case ParallelProceedingClosed():
            if before is None:
                return facts
            after = replace(before, live=False)
        case _:
            assert_never(event)
    return replace(facts, proceedings={**facts.proceedings, identity: after})
