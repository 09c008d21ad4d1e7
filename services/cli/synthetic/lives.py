"""Tells each incident as the events that the agencies owing them would have signed, entered now as imported history."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from domain.incident.codes import AbuseKind, CriteriaOutcome, LegalStatus, Limb, NotificationType, PlaceKind, Recipient
from domain.incident.events import Awareness, Criteria, IncidentNotified, LookedAfterChildDeathNotified, PartnersInformed
from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import Correction, Details, Event, Precision, Purpose, When
from domain.kernel.ids import AgencyId, CaseId, Shard
from domain.local_review.events import LocalReviewInitiated
from domain.rapid_review.events import (
    Decision,
    DecisionMade,
    EthnicityAndCultureConsidered,
    PanelAgreed,
    PanelDisagreed,
    PartnerSignedOff,
    RapidReviewCompleted,
    RapidReviewOpened,
    SentToPanel,
)
from services.cli.synthetic.population import Incident

STAGES: Final = 6
"""Steps of a later stage rest on those of earlier ones by other agencies, so a case's stages are sent one after the other."""

_PURPOSES: Final = {"incident": Purpose.NOTIFICATION, "rapid_review": Purpose.RAPID_REVIEW, "local_review": Purpose.LOCAL_REVIEW}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One event that ``agency`` signs; ``stage`` counts from 0."""

    stage: int
    agency: AgencyId
    role: str
    shard: Shard
    case_id: CaseId
    event: Event
    corrects_because: str = ""
    """Why it replaces what its agency said in its earlier step of the same type and case; empty if it corrects nothing."""

    @property
    def purpose(self) -> Purpose:
        """What the event is used for."""
        return _PURPOSES[self.event.EVENT_TYPE.partition(".")[0]]

    def correcting(self, event_id: bytes) -> Event:
        """Return the event of a correction, pointing at what it corrects."""
        details = self.event.details or Details()
        correction = Correction(event_id=event_id, reason=self.corrects_because)
        return replace(self.event, details=replace(details, corrects=correction))


def steps(incident: Incident) -> Iterator[Step]:
    """Return an incident's events in the order in which they were done."""
    area = incident.area

    def step(stage: int, agency: AgencyId, role: str, event: Event) -> Step:
        return Step(stage=stage, agency=agency, role=role, shard=area.shard, case_id=incident.case_id, event=event)

    for event in (notification(incident), *_told(incident)):
        yield step(0, area.council, "head-of-safeguarding", event)
    opened_at = incident.notified_at + timedelta(hours=2)
    yield step(1, area.business_unit, "business-manager", RapidReviewOpened(details=_done(opened_at), agencies_asked=area.partners))
    if incident.received_at is None:
        return
    sent_at = incident.received_at
    span = sent_at - opened_at
    for number, partner in enumerate(area.partners):
        signed = PartnerSignedOff(details=_done(sent_at - span * (0.2 - number * 0.05)), by_role="statutory-partner")
        yield step(2, partner, "statutory-partner", signed)
    for event in _review(incident, opened_at, span):
        yield step(3, area.business_unit, "business-manager", event)
    if incident.decision is Decision.LOCAL_REVIEW:
        decided = sent_at + timedelta(minutes=5)
        initiated = LocalReviewInitiated(details=_done(decided), decided_on=decided.date())
        yield step(3, area.business_unit, "business-manager", initiated)
    if incident.decision is not Decision.UNDECIDED:
        yield step(4, PANEL_ID, "secretariat", _response(incident, sent_at + timedelta(days=1, hours=3)))


def _told(incident: Incident) -> Iterator[Event]:
    """Whom else the council told: its partners, mostly in time, and of a looked-after child's death the Secretary of State and Ofsted."""
    rng = random.Random(incident.case_id)  # noqa: S311  # synthetic and to be had again, no secret
    days = rng.choices((0, 1, 6, 10, None), weights=(75, 10, 6, 4, 5))[0]
    if days is not None:
        told_at = incident.notified_at + timedelta(days=days, hours=1)
        yield PartnersInformed(details=_done(told_at), partners=(incident.area.board, incident.area.police))
    for child in incident.children:
        if child.death_category is None or child.legal_status is not LegalStatus.CARE_ORDER or rng.random() < 1 / 8:
            continue
        yield LookedAfterChildDeathNotified(
            details=_done(incident.notified_at + timedelta(hours=1)),
            child_id=child.child_id,
            died_on=When(precision=Precision.DAY, on=incident.happened_on),
            aware_at=incident.aware_at,
            told=(Recipient.SECRETARY_OF_STATE, Recipient.OFSTED),
        )


def notification(incident: Incident) -> IncidentNotified:
    """Return the council's notification, carrying its awareness and its judgement of the criteria."""
    return IncidentNotified(
        details=_done(incident.notified_at),
        notification_type=incident.notification_type,
        incident_on=When(precision=Precision.DAY, on=incident.happened_on),
        place=PlaceKind.OWN_HOME,
        incident_authority=incident.area.council,
        residence_authority=incident.area.council,
        circumstances="Synthetic incident, made by a program. It is about nobody.",
        children=incident.children,
        characteristics=incident.traits,
        deprivation_fifth=incident.deprivation_fifth,
        suspected_abuse=(AbuseKind.NOT_KNOWN,),
        awareness=Awareness(aware_at=incident.aware_at, source="Synthetic referral"),
        criteria=Criteria(
            outcome=CriteriaOutcome.MET if incident.notification_type is not NotificationType.OTHER else CriteriaOutcome.UNSURE,
            limb=Limb.IN_AREA,
            rationale="Synthetic rationale.",
            decided_by_role="head-of-safeguarding",
        ),
    )


def _review(incident: Incident, opened_at: datetime, span: timedelta) -> Iterator[Event]:
    sent_at = opened_at + span
    yield EthnicityAndCultureConsidered(details=_done(opened_at + span * 0.5), considerations="Synthetic consideration.")
    yield RapidReviewCompleted(details=_done(sent_at - span * 0.05), summary="Synthetic summary.")
    if incident.decision is not Decision.UNDECIDED:
        suggested = incident.decision is Decision.LOCAL_REVIEW and incident.agreed
        decision = DecisionMade(
            details=_done(sent_at - span * 0.02),
            decision=incident.decision,
            rationale="Synthetic rationale.",
            national_review_suggested=suggested,
        )
        yield decision
    yield SentToPanel(details=_done(sent_at))


def _response(incident: Incident, at: datetime) -> Event:
    if incident.agreed:
        return PanelAgreed(details=_done(at))
    return PanelDisagreed(details=_done(at), rationale="Synthetic rationale.")


def _done(at: datetime) -> Details:
    return Details(done_at=at)
