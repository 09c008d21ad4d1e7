"""The local child safeguarding practice review (streams ``local_review-<case id>``; s16F Children Act 2004, SI 2018/789)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from domain.kernel.events import Event, Label, Narrative, Text, event_type
from domain.kernel.ids import RequestId


class CopyRecipient(StrEnum):
    """Who must have a copy before publication (SI 2018/789; Working Together)."""

    PANEL = "panel"
    SECRETARY_OF_STATE = "secretary_of_state"
    OFSTED = "ofsted"


class CopyKind(StrEnum):
    """What was provided."""

    FULL_REPORT = "full_report"
    IMPROVEMENTS = "improvements"


class AnonymisationCheck(StrEnum):
    """What was checked before the report was called anonymous."""

    NAMES = "names"
    DATES = "dates"
    PLACES = "places"
    FAMILY_MAKE_UP = "family_make_up"
    MEDIA = "media"
    METADATA = "metadata"


@event_type("local_review.initiated.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class LocalReviewInitiated(Event):
    """A local review began upon the partners' decision (starts clock K10)."""

    decided_on: date
    """The day of the decision to initiate."""


@event_type("local_review.terms_of_reference_agreed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class TermsOfReferenceAgreed(Event):
    """What the review is to look at."""

    terms: Narrative


@event_type("local_review.method_agreed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class MethodAgreed(Event):
    """How the review is done."""

    method: Label


@event_type("local_review.reviewer_appointed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewerAppointed(Event):
    """A reviewer, known here by a pseudonymous id, was appointed."""

    reviewer_id: RequestId
    experience: Text


@event_type("local_review.reviewer_removed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewerRemoved(Event):
    """A reviewer left or was removed."""

    reviewer_id: RequestId
    reason: Text


@event_type("local_review.conflict_declared.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ConflictDeclared(Event):
    """A reviewer has an interest in the case."""

    reviewer_id: RequestId
    nature: Text


@event_type("local_review.family_informed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyInformed(Event):
    """The family was told of the review."""

    how: Text


@event_type("local_review.family_views_received.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyViewsReceived(Event):
    """The family or child said what they think; recorded by proxy."""

    views: Narrative


@event_type("local_review.family_declined.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyDeclined(Event):
    """The family does not wish to take part."""

    explanation: Text | None = None


@event_type("local_review.practitioners_involved.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class PractitionersInvolved(Event):
    """Practitioners took part without fear of blame."""

    how: Text


@event_type("local_review.progress_checked.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressChecked(Event):
    """The partners checked timeliness and quality (SI 2018/789 reg. 6)."""

    on_track: bool
    assessment: Text


@event_type("local_review.draft_requested_in_writing.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRequestedInWriting(Event):
    """The partners asked the reviewer in writing for a draft."""

    due_on: date


@event_type("local_review.drafted.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class LocalReviewDrafted(Event):
    """A draft report exists."""

    summary: Narrative


@event_type("local_review.report_completed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCompleted(Event):
    """The final report exists, with its executive summary."""

    executive_summary: Narrative
    document_sha256: bytes


@event_type("local_review.anonymisation_approved.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class AnonymisationApproved(Event):
    """A named role approved that nobody can be recognised in the report."""

    by_role: Label
    checks: tuple[AnonymisationCheck, ...]


@event_type("local_review.publication_scheduled.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationScheduled(Event):
    """The day of publication is planned (clock K11 counts back from it)."""

    planned_on: date
    improvements_only: bool = False


@event_type("local_review.publication_rescheduled.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationRescheduled(Event):
    """The planned day changed."""

    planned_on: date
    reason: Text


@event_type("local_review.copy_provided.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class CopyProvided(Event):
    """A copy went to the Panel, the Secretary of State or Ofsted before publication (stops clock K11 for each)."""

    recipient: CopyRecipient
    copy_kind: CopyKind


@event_type("local_review.comment_received.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class CommentReceived(Event):
    """A recipient commented on the report."""

    comment_id: RequestId
    sender: CopyRecipient
    comment: Narrative


@event_type("local_review.regard_to_comment_recorded.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class RegardToCommentRecorded(Event):
    """How regard was had to a comment (s16F(7))."""

    comment_id: RequestId
    response: Narrative


@event_type("local_review.publication_declined.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationDeclined(Event):
    """The partners consider publication inappropriate (starts clock K12)."""

    rationale: Narrative


@event_type("local_review.published.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class LocalReviewPublished(Event):
    """The report is public (stops clock K10)."""

    location: Text
    document_sha256: bytes | None = None


@event_type("local_review.improvements_only_published.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ImprovementsOnlyPublished(Event):
    """Information about improvements is public in place of the report (stops clock K10)."""

    location: Text


@event_type("local_review.non_publication_justified.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class NonPublicationJustified(Event):
    """The Panel and Secretary of State were told why nothing is published (stops clocks K10 and K12)."""

    justification: Narrative


@event_type("local_review.deposited_with_repository.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class DepositedWithRepository(Event):
    """The report is in the national case review repository."""

    reference: Label


@event_type("local_review.unpublished.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class LocalReviewUnpublished(Event):
    """A court ordered the report out of public view."""

    court_order: Text


@event_type("local_review.recommendation_made.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class RecommendationMade(Event):
    """The review recommends something to someone."""

    recommendation_id: RequestId
    recommendation: Narrative
    addressed_to: Label
