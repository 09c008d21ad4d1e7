"""Synthetic events, states and names that tests share. Nobody here exists."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Final

from domain.incident.codes import (
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
    PlaceKind,
    ProceedingKind,
    Recipient,
    Sex,
)
from domain.incident.events import (
    Awareness,
    CareLeaverDeathNotified,
    CaseReferred,
    Child,
    Criteria,
    CriteriaAssessed,
    DelayExplained,
    IncidentBecameKnown,
    IncidentNotified,
    LookedAfterChildDeathNotified,
    NotificationWithdrawn,
    ParallelProceedingOpened,
)
from domain.incident.state import Facts, Notification, Notified
from domain.kernel.agencies import HUB_ID, OPERATOR_ID, PANEL_ID
from domain.kernel.events import Correction, Details, Event, Marking, Precision, Recorded, When
from domain.kernel.ids import AgencyId, CaseId, ChildId, ClockId, EventId, RequestId, Shard, Stream
from domain.partnership.events import PartnershipEstablished
from domain.partnership.state import Established
from domain.sharing.events import (
    Caveat,
    Entry,
    FamilyTold,
    InformationRequested,
    InformationShared,
    LegalGate,
    Significance,
)

SHARD: Final = Shard("northmoor")
CASE: Final = CaseId("01890000-0000-7000-8000-00000000c001")
OTHER_CASE: Final = CaseId("01890000-0000-7000-8000-00000000c002")

COUNCIL: Final = AgencyId("la-E09999901")
SECOND_COUNCIL: Final = AgencyId("la-E09999902")
"""A second council of the same partnership."""
ICB: Final = AgencyId("icb-QZ9")
POLICE: Final = AgencyId("police-northmoor")
BUSINESS_UNIT: Final = AgencyId("partnership-northmoor")
SCHOOL: Final = AgencyId("agency-northmoor-school")
HOSPITAL: Final = AgencyId("agency-northmoor-hospital")
OTHER_COUNCIL: Final = AgencyId("la-E09999909")
"""A council of another partnership."""
STRANGER: Final = AgencyId("agency-elsewhere")
"""A relevant agency that is not listed here."""
LSCB: Final = AgencyId("lscb-northmoor")
PANEL: Final = PANEL_ID
OPERATOR: Final = OPERATOR_ID
HUB: Final = HUB_ID

LIVE_FROM: Final = date(2024, 1, 1)
MONDAY: Final = datetime(2024, 3, 4, 10, 0, tzinfo=UTC)
"""When things are recorded unless a test says otherwise."""
INCIDENT_DAY: Final = date(2024, 2, 28)
AWARE_AT: Final = datetime(2024, 2, 29, 9, 30, tzinfo=UTC)

CHILD: Final = ChildId("01890000-0000-7000-8000-0000000000a1")
SIBLING: Final = ChildId("01890000-0000-7000-8000-0000000000a2")
STRANGE_CHILD: Final = ChildId("01890000-0000-7000-8000-0000000000a9")


def an_id(number: int) -> RequestId:
    """Return the id of the numbered thing: the same each time, another for each number."""
    return RequestId(f"01890000-0000-7000-8000-{number:012d}")


REQUEST: Final = an_id(1)
ENTRY: Final = an_id(2)
PROCEEDING: Final = an_id(3)
FLAG: Final = an_id(4)


def an_event_id(number: int) -> EventId:
    """Return the numbered event id: 16 bytes."""
    return EventId(number.to_bytes(16, "big"))


def on(day: date) -> When:
    """Say that something is known to the day."""
    return When(precision=Precision.DAY, on=day)


def corrects(event_id: EventId | bytes, *, done_at: datetime | None = None) -> Details:
    """Say that an event corrects another."""
    return Details(done_at=done_at, corrects=Correction(event_id=bytes(event_id), reason="It was entered wrongly."))


def done(at: datetime, *, became_known_at: datetime | None = None) -> Details:
    """Say when the step was done."""
    return Details(done_at=at, became_known_at=became_known_at)


def recorded(
    event: Event,
    *,
    by: str = BUSINESS_UNIT,
    at: datetime = MONDAY,
    version: int = 1,
    position: int | None = None,
    stream: str = f"incident-{CASE}",
    shard: str = SHARD,
    imported: bool = False,
    event_id: EventId | None = None,
    marking: Marking = Marking.OFFICIAL_SENSITIVE,
) -> Recorded:
    """Put an event on the log. The id follows from what is said, by whom, when and at which version, unless it is given."""
    said = f"{event!r} {by} {at.isoformat()} {version} {stream}"
    return Recorded(
        shard=Shard(shard),
        stream=Stream(stream),
        position=version if position is None else position,
        version=version,
        event_id=EventId(hashlib.sha256(said.encode()).digest()[:16]) if event_id is None else event_id,
        event_type=event.EVENT_TYPE,
        agency_id=AgencyId(by),
        imported=imported,
        marking=marking,
        signed_at=at,
        recorded_at=at,
        event=event,
    )


def body_gone(one: Recorded) -> Recorded:
    """Return the same event once its data key was destroyed."""
    return replace(one, event=None)


def a_partnership(**changes: Any) -> Established:
    """Build the state of Northmoor's partnership: two councils, an ICB, a police force, a school and a hospital."""
    return replace(
        Established(
            name="Northmoor Safeguarding Children Partnership",
            business_unit=BUSINESS_UNIT,
            partners=(COUNCIL, SECOND_COUNCIL, ICB, POLICE),
            relevant_agencies=(SCHOOL, HOSPITAL),
            arrangements_start_on=date(2019, 9, 29),
            written_confirmation_hours=48,
        ),
        **changes,
    )


def a_partnership_established(**changes: Any) -> PartnershipEstablished:
    """Build the event that establishes ``a_partnership()``."""
    return replace(
        PartnershipEstablished(
            name="Northmoor Safeguarding Children Partnership",
            arrangements_start_on=date(2019, 9, 29),
            business_unit=BUSINESS_UNIT,
            partners=(COUNCIL, SECOND_COUNCIL, ICB, POLICE),
            relevant_agencies=(SCHOOL, HOSPITAL),
        ),
        **changes,
    )


def a_child(child_id: str = CHILD, **changes: Any) -> Child:
    """Build a child of two who died; the index child."""
    return replace(
        Child(
            child_id=ChildId(child_id),
            index_child=True,
            sex=Sex.FEMALE,
            gender=Gender.FEMALE,
            age_years=2,
            ethnicity=Ethnicity.WHITE_BRITISH,
            disability=Disability.NO,
            legal_status=LegalStatus.NONE,
            living_arrangement=LivingArrangement.HOME,
            death_category=DeathCategory.FATAL_PHYSICAL_ABUSE,
        ),
        **changes,
    )


def a_sibling(**changes: Any) -> Child:
    """Build another child of the incident, who did not die."""
    return a_child(SIBLING, **{"index_child": False, "age_years": 5, "death_category": None, **changes})


def a_harmed_child(child_id: str = CHILD, **changes: Any) -> Child:
    """Build an index child who was seriously harmed."""
    return a_child(child_id, **{"death_category": None, "harm_category": HarmCategory.NEGLECT, **changes})


def a_care_leaver(**changes: Any) -> Child:
    """Build a care leaver of 20 who died."""
    return a_child(**{"age_years": 20, "legal_status": LegalStatus.CARE_LEAVER, "death_category": DeathCategory.NOT_CLEAR, **changes})


def an_awareness(aware_at: datetime = AWARE_AT) -> Awareness:
    """Build how the council came to know."""
    return Awareness(aware_at=aware_at, source="A call from the hospital.")


def criteria(outcome: CriteriaOutcome = CriteriaOutcome.MET, **changes: Any) -> Criteria:
    """Build a judgement; met ones are met in the council's own area."""
    limb = Limb.IN_AREA if outcome is CriteriaOutcome.MET else None
    return replace(
        Criteria(outcome=outcome, limb=limb, rationale="Abuse is suspected.", decided_by_role="Director of children's services"), **changes
    )


def a_notification(**changes: Any) -> IncidentNotified:
    """Build the notification of a child's death in the council's own area, with awareness and criteria."""
    return replace(
        IncidentNotified(
            notification_type=NotificationType.DEATH,
            incident_on=on(INCIDENT_DAY),
            place=PlaceKind.OWN_HOME,
            incident_authority=COUNCIL,
            residence_authority=COUNCIL,
            circumstances="Synthetic circumstances.",
            children=(a_child(),),
            awareness=an_awareness(),
            criteria=criteria(),
        ),
        **changes,
    )


def a_harm_notification(**changes: Any) -> IncidentNotified:
    """Build the notification of serious harm."""
    return a_notification(**{"notification_type": NotificationType.SERIOUS_HARM, "children": (a_harmed_child(),), **changes})


def a_notified_incident(notified: IncidentNotified | None = None, *, facts: Facts | None = None, imported: bool = False) -> Notified:
    """Build the state of a notified incident as other areas read it; ``a_notification()`` unless told otherwise."""
    said = a_notification() if notified is None else notified
    return Notified(
        facts=Facts() if facts is None else facts,
        by=COUNCIL,
        imported=imported,
        first=Notification(
            notification_type=said.notification_type,
            incident_on=said.incident_on,
            place=said.place,
            incident_authority=said.incident_authority,
            residence_authority=said.residence_authority,
            children={child.child_id: child for child in said.children},
            done_on=MONDAY.date(),
            knew_by=MONDAY.date(),
            care_leaver_only=said.care_leaver_only,
            limb=None if said.criteria is None else said.criteria.limb,
        ),
    )


def a_referral(*children: str) -> CaseReferred:
    """Build a referral to the business unit."""
    return CaseReferred(reason="Synthetic reason.", children=tuple(ChildId(child) for child in children))


def became_known(aware_at: datetime = AWARE_AT) -> IncidentBecameKnown:
    """Build an awareness of its own."""
    return IncidentBecameKnown(awareness=an_awareness(aware_at))


def assessed(outcome: CriteriaOutcome = CriteriaOutcome.MET, **changes: Any) -> CriteriaAssessed:
    """Build a judgement of its own."""
    return CriteriaAssessed(criteria=criteria(outcome, **changes))


def a_withdrawal() -> NotificationWithdrawn:
    """Build the withdrawal of a notification."""
    return NotificationWithdrawn(rationale="The criteria turned out not to be met.")


def a_proceeding(proceeding_id: str = PROCEEDING, *, restricts_publication: bool = True) -> ParallelProceedingOpened:
    """Build a criminal proceeding that restrains publication."""
    return ParallelProceedingOpened(
        proceeding_id=RequestId(proceeding_id), kind=ProceedingKind.CRIMINAL, restricts_publication=restricts_publication
    )


def a_delay(clock: str = "K10", told: tuple[Recipient, ...] = (Recipient.PANEL, Recipient.SECRETARY_OF_STATE)) -> DelayExplained:
    """Build an explained delay of publication, told to Panel and Secretary of State."""
    return DelayExplained(
        clock=ClockId(clock),
        reason=DelayReason.CRIMINAL_INVESTIGATION,
        explanation="Synthetic explanation.",
        expected_on=date(2024, 12, 2),
        told=told,
    )


def a_looked_after_death(**changes: Any) -> LookedAfterChildDeathNotified:
    """Build the notice of a looked-after child's death to Secretary of State and Ofsted."""
    return replace(
        LookedAfterChildDeathNotified(
            child_id=CHILD, died_on=on(INCIDENT_DAY), aware_at=AWARE_AT, told=(Recipient.SECRETARY_OF_STATE, Recipient.OFSTED)
        ),
        **changes,
    )


def a_care_leaver_death(**changes: Any) -> CareLeaverDeathNotified:
    """Build the notice of a care leaver's death to Secretary of State and Ofsted."""
    return replace(
        CareLeaverDeathNotified(
            child_id=CHILD,
            age_years=20,
            died_on=on(INCIDENT_DAY),
            aware_at=AWARE_AT,
            told=(Recipient.SECRETARY_OF_STATE, Recipient.OFSTED),
        ),
        **changes,
    )


def an_information_request(request_id: str = REQUEST, recipient: str = SCHOOL, **changes: Any) -> InformationRequested:
    """Build a request of the partners for information, due in a fortnight."""
    return replace(
        InformationRequested(
            request_id=RequestId(request_id),
            recipient=AgencyId(recipient),
            gate=LegalGate.S16H_PARTNERS,
            scope="Synthetic scope.",
            due_on=date(2024, 3, 18),
        ),
        **changes,
    )


def an_entry(entry_id: str = ENTRY, **changes: Any) -> Entry:
    """Build one line of a chronology."""
    return replace(
        Entry(
            entry_id=RequestId(entry_id),
            occurred=on(date(2024, 1, 15)),
            record_reference="R-1",
            fact="Synthetic fact.",
            significance=Significance.SIGNIFICANT,
            children=(CHILD,),
        ),
        **changes,
    )


def a_share(*entries: Entry, request_id: str | None = None, **changes: Any) -> InformationShared:
    """Build what an agency shares; one entry unless told otherwise."""
    return replace(
        InformationShared(
            request_id=None if request_id is None else RequestId(request_id),
            entries=entries or (an_entry(),),
            family_told=FamilyTold(told=True),
        ),
        **changes,
    )


def a_restricted_entry(entry_id: str = ENTRY, caveats: Sequence[Caveat] = (Caveat.POLICE_INTELLIGENCE,)) -> Entry:
    """Build an entry whose author restricted it from the start."""
    return an_entry(entry_id, marking=Marking.RESTRICTED, caveats=tuple(caveats))
