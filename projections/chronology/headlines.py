"""What a milestone's line says: from the event's type and codes, never from its narrative."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from domain.incident import events as incident
from domain.kernel.events import Event
from domain.local_review import events as local_review
from domain.rapid_review import events as rapid_review
from domain.sharing import events as sharing

Words = Callable[[Any], str]


@dataclass(frozen=True, slots=True)
class Headline:
    """The words of one event type, and whether its line belongs to the story that is shown first."""

    words: Words
    significant: bool = True


def _code(code: StrEnum) -> str:
    """Write a code as words."""
    return code.value.replace("_", " ")


def _codes(codes: tuple[StrEnum, ...]) -> str:
    """Write codes as a list in words."""
    return ", ".join(_code(code) for code in codes)


def _says(words: str) -> Words:
    """Say the same of every event of a type."""
    return lambda _event: words


def _children(children: tuple[object, ...]) -> str:
    """Count children."""
    return "1 child" if len(children) == 1 else f"{len(children)} children"


def _amended(event: incident.NotificationAmended) -> str:
    """Name what an amendment changed."""
    named = {
        "children": bool(event.children),
        "characteristics": event.characteristics is not None,
        "circumstances": event.circumstances is not None,
        "place": event.place is not None,
        "council of residence": event.residence_authority is not None,
        "deprivation fifth": event.deprivation_fifth is not None,
        "day of the incident": event.incident_on is not None,
        "moment of notification": event.notified_at is not None,
        "awareness": event.awareness is not None,
        "suspected abuse": event.suspected_abuse is not None,
        "relationship of the person suspected": event.suspect_relationship is not None,
        "council of the incident": event.incident_authority is not None,
    }
    return "Notification amended: " + (", ".join(name for name, changed in named.items() if changed) or "reason only")


def _restricted(event: sharing.InformationRestricted) -> str:
    """Say what was restricted, to how many."""
    what = "Case" if event.entry_id is None else "An entry"
    count = len(event.named_agencies)
    return f"{what} restricted to {count} named {'agency' if count == 1 else 'agencies'} ({_code(event.marking)})"


def _proceeding(event: incident.ParallelProceedingOpened) -> str:
    """Say what runs beside the review."""
    return f"Parallel proceeding opened: {_code(event.kind)}" + ("; it restricts publication" if event.restricts_publication else "")


def _decided(event: rapid_review.DecisionMade) -> str:
    """Say what the partners decided."""
    return f"Partners decided: {_code(event.decision)}" + ("; national review suggested" if event.national_review_suggested else "")


_INCIDENT: Final[Mapping[type[Event], Headline]] = {
    incident.CaseReferred: Headline(lambda e: f"Case referred to the business unit, {_children(e.children)}"),
    incident.ReferralConfirmedInWriting: Headline(_says("Referral confirmed in writing"), significant=False),
    incident.IncidentBecameKnown: Headline(_says("Incident became known")),
    incident.CriteriaAssessed: Headline(lambda e: f"Notification criteria judged: {_code(e.criteria.outcome)}"),
    incident.PartnerDissented: Headline(lambda e: f"Partner dissented on the criteria: {_code(e.outcome)}"),
    incident.IncidentNotified: Headline(
        lambda e: f"Incident notified to the Panel: {_code(e.notification_type)}, {_children(e.children)}",
    ),
    incident.ChildAdded: Headline(_says("Child added to the notification")),
    incident.NotificationAmended: Headline(_amended),
    incident.IncidentReclassified: Headline(lambda e: f"Incident reclassified: {_code(e.notification_type)}"),
    incident.NotificationWithdrawn: Headline(_says("Notification withdrawn")),
    incident.PartnersInformed: Headline(_says("Safeguarding partners informed")),
    incident.OtherAreaInformed: Headline(_says("Another council informed")),
    incident.LookedAfterChildDeathNotified: Headline(lambda e: f"Looked-after child's death notified: {_codes(e.told)}"),
    incident.CareLeaverDeathNotified: Headline(lambda e: f"Care leaver's death notified: {_codes(e.told)}"),
    incident.SafetyActionTaken: Headline(_says("Safety action taken")),
    incident.ParallelProceedingOpened: Headline(_proceeding),
    incident.ParallelProceedingUpdated: Headline(
        lambda e: f"Parallel proceeding updated; publication {'restricted' if e.restricts_publication else 'not restricted'}",
        significant=False,
    ),
    incident.ParallelProceedingClosed: Headline(_says("Parallel proceeding closed")),
    incident.DelayExplained: Headline(lambda e: f"Delay explained ({e.clock}): {_code(e.reason)}, expected on {e.expected_on}"),
    incident.IncidentClosed: Headline(lambda e: f"Case closed: {_code(e.reason)}"),
    incident.DuplicateLinked: Headline(_says("Linked to another case as a duplicate")),
}

_SHARING: Final[Mapping[type[Event], Headline]] = {
    sharing.InformationRequested: Headline(lambda e: f"Information requested ({_code(e.gate)}), due on {e.due_on}"),
    sharing.InformationAcknowledged: Headline(_says("Request acknowledged"), significant=False),
    sharing.NilReturn: Headline(_says("Nil return: searched, nothing held")),
    sharing.InformationRefused: Headline(lambda e: f"Information refused: {_code(e.reason)}"),
    sharing.InformationOffered: Headline(_says("Information offered"), significant=False),
    sharing.InformationRestricted: Headline(_restricted),
    sharing.OnwardShareApproved: Headline(_says("Onward sharing approved"), significant=False),
    sharing.FlagRaised: Headline(lambda e: f"Warning flag raised for {_children(e.children)}, until {e.until_on}"),
    sharing.FlagCleared: Headline(_says("Warning flag cleared")),
    sharing.EnforcementConsidered: Headline(
        lambda e: f"Enforcement considered: injunction {'to be sought' if e.seek_injunction else 'not sought'}",
    ),
}

_RAPID_REVIEW: Final[Mapping[type[Event], Headline]] = {
    rapid_review.RapidReviewOpened: Headline(_says("Rapid review opened")),
    rapid_review.AgencyReturnReceived: Headline(
        lambda e: "Agency return received" + (": nil return" if e.nil_return else ""),
        significant=False,
    ),
    rapid_review.MeetingHeld: Headline(lambda e: f"Rapid review meeting held, {len(e.agencies_present)} agencies present"),
    rapid_review.MinutesCirculated: Headline(_says("Minutes circulated"), significant=False),
    rapid_review.RapidReviewDrafted: Headline(_says("Rapid review drafted"), significant=False),
    rapid_review.ImmediateLearningIdentified: Headline(_says("Immediate learning identified")),
    rapid_review.ImmediateLearningDisseminated: Headline(_says("Immediate learning disseminated")),
    rapid_review.EthnicityAndCultureConsidered: Headline(_says("Ethnicity, culture and identity considered"), significant=False),
    rapid_review.DecisionRecommended: Headline(lambda e: f"Case review group recommended: {_code(e.recommendation)}"),
    rapid_review.PartnerSignedOff: Headline(_says("Statutory partner signed the rapid review off")),
    rapid_review.RapidReviewCompleted: Headline(_says("Rapid review completed")),
    rapid_review.DecisionMade: Headline(_decided),
    rapid_review.ChairAndScrutineerInformed: Headline(_says("Chair and scrutineer informed"), significant=False),
    rapid_review.SentToPanel: Headline(_says("Rapid review sent to the Panel")),
    rapid_review.PanelAcknowledged: Headline(_says("Panel acknowledged the rapid review"), significant=False),
    rapid_review.PanelAgreed: Headline(_says("Panel agreed with the decision")),
    rapid_review.PanelDisagreed: Headline(_says("Panel disagreed with the decision")),
    rapid_review.PanelAskedForMore: Headline(_says("Panel asked for more")),
    rapid_review.DecisionReconsidered: Headline(lambda e: f"Decision reconsidered: {_code(e.decision)}"),
}

_LOCAL_REVIEW: Final[Mapping[type[Event], Headline]] = {
    local_review.LocalReviewInitiated: Headline(_says("Local review initiated")),
    local_review.TermsOfReferenceAgreed: Headline(_says("Terms of reference agreed"), significant=False),
    local_review.MethodAgreed: Headline(_says("Method agreed"), significant=False),
    local_review.ReviewerAppointed: Headline(_says("Reviewer appointed")),
    local_review.ReviewerRemoved: Headline(_says("Reviewer removed")),
    local_review.ConflictDeclared: Headline(_says("Reviewer declared a conflict of interest")),
    local_review.FamilyInformed: Headline(_says("Family informed of the review")),
    local_review.FamilyViewsReceived: Headline(_says("Family's views received")),
    local_review.FamilyDeclined: Headline(_says("Family declined to take part")),
    local_review.PractitionersInvolved: Headline(_says("Practitioners involved"), significant=False),
    local_review.ProgressChecked: Headline(
        lambda e: f"Progress checked: {'on track' if e.on_track else 'not on track'}",
        significant=False,
    ),
    local_review.DraftRequestedInWriting: Headline(lambda e: f"Draft requested in writing, due on {e.due_on}", significant=False),
    local_review.LocalReviewDrafted: Headline(_says("Local review drafted"), significant=False),
    local_review.ReportCompleted: Headline(_says("Report completed")),
    local_review.AnonymisationApproved: Headline(lambda e: f"Anonymisation approved: {_codes(e.checks)}", significant=False),
    local_review.PublicationScheduled: Headline(
        lambda e: f"Publication scheduled for {e.planned_on}" + (": improvements only" if e.improvements_only else ""),
    ),
    local_review.PublicationRescheduled: Headline(lambda e: f"Publication rescheduled to {e.planned_on}"),
    local_review.CopyProvided: Headline(lambda e: f"Copy provided to {_code(e.recipient)}: {_code(e.copy_kind)}"),
    local_review.CommentReceived: Headline(lambda e: f"Comment received from {_code(e.sender)}", significant=False),
    local_review.RegardToCommentRecorded: Headline(_says("Regard to a comment recorded"), significant=False),
    local_review.PublicationDeclined: Headline(_says("Publication declined")),
    local_review.LocalReviewPublished: Headline(_says("Local review published")),
    local_review.ImprovementsOnlyPublished: Headline(_says("Information about improvements published")),
    local_review.NonPublicationJustified: Headline(_says("Non-publication justified to Panel and Secretary of State")),
    local_review.DepositedWithRepository: Headline(_says("Report deposited with the national repository"), significant=False),
    local_review.LocalReviewUnpublished: Headline(_says("Report removed from public view by court order")),
    local_review.RecommendationMade: Headline(_says("Recommendation made")),
}

HEADLINES: Final[Mapping[type[Event], Headline]] = {**_INCIDENT, **_SHARING, **_RAPID_REVIEW, **_LOCAL_REVIEW}
"""Every event of a case that is a milestone; entries, corrections, disputes and queries have lines or marks of their own."""
