"""What of a case is the Panel's to read word for word: what was sent to it by law or by name. Of the rest it sees national fields only."""

from __future__ import annotations

from typing import Final

from domain.incident import events as incident
from domain.incident.codes import Recipient
from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import Event
from domain.local_review import events as local_review
from domain.rapid_review import events as rapid_review
from domain.sharing.events import InformationRequested

_TO_THE_PANEL: Final = (
    incident.IncidentNotified,
    incident.ChildAdded,
    incident.NotificationAmended,
    incident.IncidentReclassified,
    incident.NotificationWithdrawn,
    rapid_review.SentToPanel,
    local_review.LocalReviewPublished,
    local_review.ImprovementsOnlyPublished,
    local_review.NonPublicationJustified,
    local_review.DepositedWithRepository,
)
"""The notification and what changes it (s16C Children Act 2004), the sent review, and what is public or justified to the Panel."""

_PARTS_OF_THE_REVIEW: Final = (
    rapid_review.RapidReviewCompleted,
    rapid_review.DecisionMade,
    rapid_review.DecisionReconsidered,
    rapid_review.ImmediateLearningIdentified,
)
"""What the Panel reads of a rapid review from the moment it is sent."""


def goes_to_panel(event: Event, *, review_sent: bool) -> bool:
    """Tell whether an event was said to the Panel; ``review_sent``: the case's rapid review has gone to it."""
    match event:
        case incident.DelayExplained() | incident.LookedAfterChildDeathNotified() | incident.CareLeaverDeathNotified():
            return Recipient.PANEL in event.told
        case local_review.CopyProvided():
            return event.recipient is local_review.CopyRecipient.PANEL
        case InformationRequested():
            return event.recipient == PANEL_ID
        case _:
            return isinstance(event, _TO_THE_PANEL) or (review_sent and isinstance(event, _PARTS_OF_THE_REVIEW))
