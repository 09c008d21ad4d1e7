"""The events of a rapid review, and what of each later events are judged by."""

from __future__ import annotations

from typing import TypeAlias, assert_never

from domain.kernel.facts import Gist
from domain.rapid_review.events import (
    AgencyReturnReceived,
    ChairAndScrutineerInformed,
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
    SentToPanel,
)

RapidReviewEvent: TypeAlias = (
    RapidReviewOpened
    | AgencyReturnReceived
    | MeetingHeld
    | MinutesCirculated
    | RapidReviewDrafted
    | ImmediateLearningIdentified
    | ImmediateLearningDisseminated
    | EthnicityAndCultureConsidered
    | DecisionRecommended
    | PartnerSignedOff
    | RapidReviewCompleted
    | DecisionMade
    | ChairAndScrutineerInformed
    | SentToPanel
    | PanelAcknowledged
    | PanelAgreed
    | PanelDisagreed
    | PanelAskedForMore
    | DecisionReconsidered
)


def gist_of(event: RapidReviewEvent) -> Gist:
    """Return what later events are judged by."""
    match event:
        case RapidReviewOpened():
            gist = Gist(values=tuple(event.agencies_asked))
        case AgencyReturnReceived():
            gist = Gist(thing=event.agency)
        case MeetingHeld() | MinutesCirculated():
            gist = Gist(thing=event.meeting_id)
        case ImmediateLearningIdentified() | ImmediateLearningDisseminated():
            gist = Gist(thing=event.learning_id)
        case DecisionRecommended():
            gist = Gist(values=(event.recommendation.value,))
        case DecisionMade() | DecisionReconsidered():
            gist = Gist(values=(event.decision.value,))
        case (
            RapidReviewDrafted()
            | EthnicityAndCultureConsidered()
            | PartnerSignedOff()
            | RapidReviewCompleted()
            | ChairAndScrutineerInformed()
            | SentToPanel()
            | PanelAcknowledged()
            | PanelAgreed()
            | PanelDisagreed()
            | PanelAskedForMore()
        ):
            gist = Gist()
        case _:
            assert_never(event)
    return gist
