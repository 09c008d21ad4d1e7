"""The events of a local review, and what of each later events are judged by."""

from __future__ import annotations

from typing import Final, TypeAlias, assert_never, get_args

from domain.kernel.events import Event
from domain.kernel.facts import Gist
from domain.local_review.events import (
    AnonymisationApproved,
    CommentReceived,
    ConflictDeclared,
    CopyProvided,
    DepositedWithRepository,
    DraftRequestedInWriting,
    FamilyDeclined,
    FamilyInformed,
    FamilyViewsReceived,
    ImprovementsOnlyPublished,
    LocalReviewDrafted,
    LocalReviewInitiated,
    LocalReviewPublished,
    LocalReviewUnpublished,
    MethodAgreed,
    NonPublicationJustified,
    PractitionersInvolved,
    ProgressChecked,
    PublicationDeclined,
    PublicationRescheduled,
    PublicationScheduled,
    RecommendationMade,
    RegardToCommentRecorded,
    ReportCompleted,
    ReviewerAppointed,
    ReviewerRemoved,
    TermsOfReferenceAgreed,
)

Preparing: TypeAlias = LocalReviewInitiated | ReviewerAppointed | ReviewerRemoved | ConflictDeclared
"""The beginning, and who reviews."""

Working: TypeAlias = TermsOfReferenceAgreed | MethodAgreed | PractitionersInvolved | ProgressChecked | DraftRequestedInWriting
"""The course of the review."""

Listening: TypeAlias = FamilyInformed | FamilyViewsReceived | FamilyDeclined
"""The family's part; it does not end with the report."""

Writing: TypeAlias = LocalReviewDrafted | ReportCompleted | AnonymisationApproved | RecommendationMade
"""The report."""

Consulting: TypeAlias = CopyProvided | CommentReceived | RegardToCommentRecorded
"""Who had a copy, and what they said."""

Publishing: TypeAlias = (
    PublicationScheduled
    | PublicationRescheduled
    | PublicationDeclined
    | LocalReviewPublished
    | ImprovementsOnlyPublished
    | NonPublicationJustified
    | DepositedWithRepository
    | LocalReviewUnpublished
)
"""What became public, or why not."""

LocalReviewEvent: TypeAlias = Preparing | Working | Listening | Writing | Consulting | Publishing

WORK: Final[tuple[type[Event], ...]] = (*get_args(Working), *get_args(Listening))
"""The first event of these types after a reviewer's appointment puts the review in progress."""


def gist_of(event: LocalReviewEvent) -> Gist:
    """Return what later events are judged by."""
    match event:
        case LocalReviewInitiated():
            gist = Gist(values=(event.decided_on.isoformat(),))
        case ReviewerAppointed() | ReviewerRemoved() | ConflictDeclared():
            gist = Gist(thing=event.reviewer_id)
        case ReportCompleted():
            gist = Gist(values=(event.document_sha256.hex(),))
        case PublicationScheduled():
            gist = Gist(values=(event.planned_on.isoformat(), *(["improvements_only"] if event.improvements_only else [])))
        case PublicationRescheduled():
            gist = Gist(values=(event.planned_on.isoformat(),))
        case CopyProvided():
            gist = Gist(thing=event.recipient.value, values=(event.copy_kind.value,))
        case CommentReceived() | RegardToCommentRecorded():
            gist = Gist(thing=event.comment_id)
        case RecommendationMade():
            gist = Gist(thing=event.recommendation_id)
        case (
            TermsOfReferenceAgreed()
            | MethodAgreed()
            | FamilyInformed()
            | FamilyViewsReceived()
            | FamilyDeclined()
            | PractitionersInvolved()
            | ProgressChecked()
            | DraftRequestedInWriting()
            | LocalReviewDrafted()
            | AnonymisationApproved()
            | PublicationDeclined()
            | LocalReviewPublished()
            | ImprovementsOnlyPublished()
            | NonPublicationJustified()
            | DepositedWithRepository()
            | LocalReviewUnpublished()
        ):
            gist = Gist()
        case _:
            assert_never(event)
    return gist
