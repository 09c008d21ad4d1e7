"""What the oversight view makes rows from, and what it passes over, each event named once."""

from __future__ import annotations

from typing import Final

from domain.access import events as access
from domain.agency import events as agency
from domain.incident import events as incident
from domain.kernel.events import Event
from domain.local_review import events as local_review
from domain.partnership import events as partnership
from domain.rapid_review import events as rapid_review
from domain.sharing import events as sharing


def _names(*kinds: type[Event]) -> frozenset[str]:
    """Return the names that event classes have on the log."""
    return frozenset(kind.EVENT_TYPE for kind in kinds)


COMPOSED: Final = _names(
    agency.AgencyEnrolled,
    incident.IncidentNotified,
    incident.ChildAdded,
    incident.NotificationAmended,
    incident.IncidentReclassified,
    incident.NotificationWithdrawn,
    incident.IncidentClosed,
    incident.DuplicateLinked,
    rapid_review.RapidReviewOpened,
    rapid_review.RapidReviewCompleted,
    rapid_review.DecisionMade,
    rapid_review.DecisionReconsidered,
    rapid_review.SentToPanel,
    rapid_review.PanelAgreed,
    rapid_review.PanelDisagreed,
    rapid_review.PanelAskedForMore,
    local_review.LocalReviewInitiated,
    local_review.CopyProvided,
    local_review.PublicationDeclined,
    local_review.PublicationScheduled,
    local_review.LocalReviewPublished,
    local_review.ImprovementsOnlyPublished,
    local_review.NonPublicationJustified,
    local_review.LocalReviewUnpublished,
)
"""What these say is kept: cases, and the councils there are, are composed of it."""

JUDGED: Final = _names(
    incident.CareLeaverDeathNotified,
    incident.CaseReferred,
    incident.CriteriaAssessed,
    incident.DelayExplained,
    incident.IncidentBecameKnown,
    incident.LookedAfterChildDeathNotified,
    incident.OtherAreaInformed,
    incident.ParallelProceedingClosed,
    incident.ParallelProceedingOpened,
    incident.ParallelProceedingUpdated,
    incident.PartnerDissented,
    incident.PartnersInformed,
    incident.ReferralConfirmedInWriting,
    incident.SafetyActionTaken,
    local_review.AnonymisationApproved,
    local_review.CommentReceived,
    local_review.ConflictDeclared,
    local_review.DepositedWithRepository,
    local_review.DraftRequestedInWriting,
    local_review.FamilyDeclined,
    local_review.FamilyInformed,
    local_review.FamilyViewsReceived,
    local_review.LocalReviewDrafted,
    local_review.MethodAgreed,
    local_review.PractitionersInvolved,
    local_review.ProgressChecked,
    local_review.PublicationRescheduled,
    local_review.RecommendationMade,
    local_review.RegardToCommentRecorded,
    local_review.ReportCompleted,
    local_review.ReviewerAppointed,
    local_review.ReviewerRemoved,
    local_review.TermsOfReferenceAgreed,
    rapid_review.AgencyReturnReceived,
    rapid_review.ChairAndScrutineerInformed,
    rapid_review.DecisionRecommended,
    rapid_review.EthnicityAndCultureConsidered,
    rapid_review.ImmediateLearningDisseminated,
    rapid_review.ImmediateLearningIdentified,
    rapid_review.MeetingHeld,
    rapid_review.MinutesCirculated,
    rapid_review.PanelAcknowledged,
    rapid_review.PartnerSignedOff,
    rapid_review.RapidReviewDrafted,
)
"""Of these nothing is kept but the rules that they broke or mended."""

HANDLES: Final = COMPOSED | JUDGED

IGNORES: Final = _names(
    access.AccessDenied,
    access.CaseViewed,
    agency.AgencySuspended,
    agency.KeyRegistered,
    agency.KeyRetired,
    agency.KeyRevoked,
    partnership.MembershipChanged,
    partnership.PartnershipEstablished,
    sharing.EnforcementConsidered,
    sharing.FlagCleared,
    sharing.FlagRaised,
    sharing.InformationAcknowledged,
    sharing.InformationCorrected,
    sharing.InformationDisputed,
    sharing.InformationOffered,
    sharing.InformationPartlyShared,
    sharing.InformationQueried,
    sharing.InformationRefused,
    sharing.InformationRequested,
    sharing.InformationRestricted,
    sharing.InformationShared,
    sharing.NilReturn,
    sharing.OnwardShareApproved,
)
