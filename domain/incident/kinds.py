"""The events of an incident by theme: each theme is judged and folded in its own module."""

from __future__ import annotations

from typing import TypeAlias

from domain.incident.events import (
    CareLeaverDeathNotified,
    CaseReferred,
    ChildAdded,
    CriteriaAssessed,
    DelayExplained,
    DuplicateLinked,
    IncidentBecameKnown,
    IncidentClosed,
    IncidentNotified,
    IncidentReclassified,
    LookedAfterChildDeathNotified,
    NotificationAmended,
    NotificationWithdrawn,
    OtherAreaInformed,
    ParallelProceedingClosed,
    ParallelProceedingOpened,
    ParallelProceedingUpdated,
    PartnerDissented,
    PartnersInformed,
    ReferralConfirmedInWriting,
    SafetyActionTaken,
)

Opening: TypeAlias = CaseReferred | ReferralConfirmedInWriting | IncidentBecameKnown | CriteriaAssessed | PartnerDissented
"""From the first word of a case to the judgement of the criteria."""

Notifying: TypeAlias = IncidentNotified | ChildAdded | NotificationAmended | IncidentReclassified | NotificationWithdrawn
"""The notification and what changes it."""

Telling: TypeAlias = PartnersInformed | OtherAreaInformed | LookedAfterChildDeathNotified | CareLeaverDeathNotified | DelayExplained
"""Who else was told what."""

Course: TypeAlias = (
    SafetyActionTaken | ParallelProceedingOpened | ParallelProceedingUpdated | ParallelProceedingClosed | IncidentClosed | DuplicateLinked
)
"""What runs beside the case, and its end."""

IncidentEvent: TypeAlias = Opening | Notifying | Telling | Course


def subject_of(event: IncidentEvent) -> str:
    """Return the id of the thing the event is about, which a correction may not change; empty if it is about the case."""
    match event:
        case ChildAdded():
            return event.child.child_id
        case LookedAfterChildDeathNotified() | CareLeaverDeathNotified():
            return event.child_id
        case ParallelProceedingOpened() | ParallelProceedingUpdated() | ParallelProceedingClosed():
            return event.proceeding_id
        case DelayExplained():
            return event.clock
        case _:
            return ""
