"""The rapid review of a notified incident (streams ``rapid_review-<case id>``; Working Together 2018 ch. 4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.kernel.events import Event, Label, Narrative, Text, event_type
from domain.kernel.ids import AgencyId, RequestId


class Recommendation(StrEnum):
    """What the case review group recommends."""

    LOCAL_REVIEW = "local_review"
    OTHER_REVIEW = "other_review"
    OTHER_ACTION = "other_action"
    NO_FURTHER_ACTION = "no_further_action"


class Decision(StrEnum):
    """What the safeguarding partners decided."""

    LOCAL_REVIEW = "local_review"
    NO_LOCAL_REVIEW = "no_local_review"
    UNDECIDED = "undecided"


@event_type("rapid_review.opened.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class RapidReviewOpened(Event):
    """The partnership began its rapid review."""

    agencies_asked: tuple[AgencyId, ...] = ()


@event_type("rapid_review.agency_return_received.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class AgencyReturnReceived(Event):
    """An agency's return for the review arrived."""

    agency: AgencyId
    nil_return: bool = False


@event_type("rapid_review.meeting_held.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingHeld(Event):
    """The review met."""

    meeting_id: RequestId
    held_on: date
    agencies_present: tuple[AgencyId, ...]


@event_type("rapid_review.minutes_circulated.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class MinutesCirculated(Event):
    """The minutes of a meeting went out."""

    meeting_id: RequestId


@event_type("rapid_review.drafted.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class RapidReviewDrafted(Event):
    """A draft of the review exists."""

    summary: Narrative


@event_type("rapid_review.immediate_learning_identified.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ImmediateLearningIdentified(Event):
    """Something can be learnt at once."""

    learning_id: RequestId
    learning: Narrative


@event_type("rapid_review.immediate_learning_disseminated.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ImmediateLearningDisseminated(Event):
    """What was learnt went out."""

    learning_id: RequestId
    audience: Text


@event_type("rapid_review.ethnicity_and_culture_considered.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class EthnicityAndCultureConsidered(Event):
    """The review considered the child's ethnicity, culture and identity."""

    considerations: Narrative


@event_type("rapid_review.decision_recommended.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRecommended(Event):
    """The case review group recommended what should follow."""

    recommendation: Recommendation
    method: Label | None = None
    """The method, when another type of review is recommended."""
    rationale: Narrative


@event_type("rapid_review.partner_signed_off.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerSignedOff(Event):
    """A statutory partner signed the review off, by its own key."""

    by_role: Label


@event_type("rapid_review.completed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class RapidReviewCompleted(Event):
    """The review is complete (stops clock K5A, starts K7)."""

    summary: Narrative


@event_type("rapid_review.decision_made.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionMade(Event):
    """The partners decided on a local review; that decision starts clock K10 when the review is initiated."""

    decision: Decision
    rationale: Narrative
    national_review_suggested: bool = False


@event_type("rapid_review.chair_and_scrutineer_informed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ChairAndScrutineerInformed(Event):
    """The independent chair and scrutineer know the decision."""

    informed_on: date


@event_type("rapid_review.sent_to_panel.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class SentToPanel(Event):
    """The review went to the Panel; sent through the hub is received (stops K5B and K7, starts K8)."""

    document_sha256: bytes | None = None


@event_type("rapid_review.panel_acknowledged.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class PanelAcknowledged(Event):
    """The Panel saw the review."""

    reference: Label | None = None


@event_type("rapid_review.panel_agreed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class PanelAgreed(Event):
    """The Panel agrees with the partners' decision (stops clock K8)."""

    comment: Narrative | None = None


@event_type("rapid_review.panel_disagreed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class PanelDisagreed(Event):
    """The Panel disagrees with the partners' decision (stops clock K8)."""

    rationale: Narrative


@event_type("rapid_review.panel_asked_for_more.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class PanelAskedForMore(Event):
    """The Panel wants to know more before it agrees or disagrees (stops clock K8)."""

    questions: Narrative


@event_type("rapid_review.decision_reconsidered.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionReconsidered(Event):
    """The partners decided anew, usually upon the Panel's response; replaces the former decision."""

    decision: Decision
    rationale: Narrative
