"""What is said about a serious incident (streams ``incident-<case id>``), from referral to closing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from domain.incident.codes import (
    AbuseKind,
    Characteristic,
    CloseReason,
    CourtOrder,
    CriteriaOutcome,
    DeathCategory,
    DelayReason,
    Disability,
    Ethnicity,
    Gender,
    HarmCategory,
    LegalStatus,
    Limb,
    LivingArrangement,
    NotificationType,
    OtherDeathKind,
    PlaceKind,
    ProceedingKind,
    Recipient,
    ServiceInvolvement,
    Sex,
    SuspectRelationship,
)
from domain.kernel.events import Event, Label, Narrative, Text, When, event_type
from domain.kernel.ids import AgencyId, CaseId, ChildId, ClockId, RequestId


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """One child of an incident. Age in completed years if the date of birth is not given. The index child's codes decide table rows."""

    child_id: ChildId
    index_child: bool = False
    sex: Sex
    gender: Gender
    age_years: int | None = None
    born_on: date | None = None
    ethnicity: Ethnicity
    disability: Disability
    legal_status: LegalStatus
    services: tuple[ServiceInvolvement, ...] = ()
    court_orders: tuple[CourtOrder, ...] = ()
    living_arrangement: LivingArrangement
    death_category: DeathCategory | None = None
    other_death_kind: OtherDeathKind | None = None
    harm_category: HarmCategory | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Awareness:
    """When the council came to know or suspect, and how (starts clocks K1 and K2)."""

    aware_at: datetime
    source: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """A council's judgement of the notification criteria (s16C Children Act 2004)."""

    outcome: CriteriaOutcome
    limb: Limb | None = None
    rationale: Narrative
    decided_by_role: Label


@event_type("case.referred.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReferred(Event):
    """An agency referred a case to the partnership's business unit (starts clock K9)."""

    reason: Narrative
    children: tuple[ChildId, ...]


@event_type("case.referral_confirmed_in_writing.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ReferralConfirmedInWriting(Event):
    """The referrer confirmed its referral in writing (stops clock K9)."""

    confirmation: Narrative


@event_type("incident.became_known.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentBecameKnown(Event):
    """The sender came to know or suspect that a child died or was seriously harmed and abuse or neglect is suspected."""

    awareness: Awareness


@event_type("incident.criteria_assessed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class CriteriaAssessed(Event):
    """A council judged whether the notification criteria are met; "not met" with a rationale stops clock K1."""

    criteria: Criteria


@event_type("incident.partner_dissented.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class PartnerDissented(Event):
    """A statutory partner disagreed with the council's judgement of the criteria."""

    outcome: CriteriaOutcome
    rationale: Narrative


@event_type("incident.notified.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentNotified(Event):
    """A council notified the Panel of a serious incident (s16C Children Act 2004); starts clock K5B, stops K1."""

    notification_type: NotificationType
    incident_on: When
    place: PlaceKind
    incident_authority: AgencyId
    residence_authority: AgencyId
    circumstances: Narrative
    children: tuple[Child, ...]
    characteristics: tuple[Characteristic, ...] = ()
    deprivation_fifth: int | None = None
    """1 is the most deprived fifth of England by index of multiple deprivation, 5 the least."""
    suspected_abuse: tuple[AbuseKind, ...] = ()
    suspect_relationship: SuspectRelationship | None = None
    awareness: Awareness | None = None
    """Required unless a council's awareness was recorded before."""
    criteria: Criteria | None = None
    """Required unless a council's judgement of the criteria was recorded before."""
    care_leaver_only: bool = False
    """Only the death of a care leaver up to 24 is notified: no rapid review follows and K5A, K5B do not start."""


@event_type("incident.child_added.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ChildAdded(Event):
    """Another child belongs to a notified incident."""

    child: Child
    reason: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Characteristics:
    """A whole list of case characteristics, replacing the former one (it may be empty)."""

    values: tuple[Characteristic, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SuspectedAbuse:
    """A whole list of the kinds of abuse suspected, replacing the former one (it may be empty)."""

    values: tuple[AbuseKind, ...] = ()


@event_type("incident.notification_amended.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationAmended(Event):
    """A council amended its notification: what is given replaces what was said; children replace those of the same id."""

    reason: Text
    children: tuple[Child, ...] = ()
    characteristics: Characteristics | None = None
    circumstances: Narrative | None = None
    place: PlaceKind | None = None
    residence_authority: AgencyId | None = None
    deprivation_fifth: int | None = None
    incident_on: When | None = None
    occurrence_reason: Text | None = None
    """Required with ``incident_on``: when it happened is never changed silently."""
    notified_at: datetime | None = None
    """Corrected instant of an imported notification: the new day 0 of clock K5B."""
    awareness: Awareness | None = None
    """Corrects the awareness that the notification gave: the new day 0 of clocks K1 and K2."""
    suspected_abuse: SuspectedAbuse | None = None
    suspect_relationship: SuspectRelationship | None = None
    incident_authority: AgencyId | None = None
    """The council in whose area it happened; if another owed the notification by it, that is a finding."""


@event_type("incident.reclassified.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentReclassified(Event):
    """The type of a notified incident changed, for instance serious harm to death (which may start clock K3)."""

    notification_type: NotificationType
    children: tuple[Child, ...]
    """The children whose category changes with it, complete."""
    reason: Text


@event_type("incident.notification_withdrawn.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationWithdrawn(Event):
    """The criteria turned out not to be met: the only way out of a rapid review."""

    rationale: Narrative


@event_type("incident.partners_informed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class PartnersInformed(Event):
    """A council told its safeguarding partners (stops clock K2)."""

    partners: tuple[AgencyId, ...]


@event_type("incident.other_area_informed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class OtherAreaInformed(Event):
    """A council told another council concerned, such as the one the child usually lives in."""

    authority: AgencyId


@event_type("incident.looked_after_death_notified.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class LookedAfterChildDeathNotified(Event):
    """A council told the Secretary of State and Ofsted of a looked-after child's death (stops clock K3)."""

    child_id: ChildId
    died_on: When
    aware_at: datetime
    told: tuple[Recipient, ...]


@event_type("incident.care_leaver_death_notified.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class CareLeaverDeathNotified(Event):
    """A council told the Secretary of State and Ofsted of the death of a care leaver up to and including 24."""

    child_id: ChildId
    age_years: int
    died_on: When
    aware_at: datetime
    told: tuple[Recipient, ...]


@event_type("incident.safety_action_taken.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyActionTaken(Event):
    """Something was done at once to make a child or others safe."""

    action: Narrative
    children: tuple[ChildId, ...] = ()


@event_type("incident.parallel_proceeding_opened.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelProceedingOpened(Event):
    """Something else runs beside the review; what is live restrains publication."""

    proceeding_id: RequestId
    kind: ProceedingKind
    restricts_publication: bool
    summary: Text | None = None


@event_type("incident.parallel_proceeding_updated.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelProceedingUpdated(Event):
    """Where a proceeding stands; clearance to publish may be recorded before it ends."""

    proceeding_id: RequestId
    restricts_publication: bool
    summary: Text


@event_type("incident.parallel_proceeding_closed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class ParallelProceedingClosed(Event):
    """A proceeding ended."""

    proceeding_id: RequestId
    outcome: Text


@event_type("incident.delay_explained.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class DelayExplained(Event):
    """Why a statutory step is or will be late, when it is expected, and who was told."""

    clock: ClockId
    reason: DelayReason
    explanation: Narrative
    expected_on: date
    told: tuple[Recipient, ...] = ()


@event_type("incident.closed.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentClosed(Event):
    """Nothing more is owed in this case."""

    reason: CloseReason
    explanation: Text | None = None


@event_type("incident.duplicate_linked.v1")
@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateLinked(Event):
    """It was decided that another case is about the same incident. Both stay; neither's events move."""

    other_case: CaseId
    rationale: Text
