"""Tells each incident as the events that the agencies owing them would have signed, entered now as imported history."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Final

from domain.incident.codes import AbuseKind, CriteriaOutcome, Limb, NotificationType, PlaceKind
from domain.incident.events import Awareness, Criteria, IncidentNotified
from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import Details, Event, Precision, When
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

STAGES: Final = 5
"""Steps of a later stage rest on those of earlier ones by other agencies, so stages are sent one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One event that ``agency`` signs; ``stage`` counts from 0."""

    stage: int
    agency: AgencyId
    role: str
    shard: Shard
    case_id: CaseId
    event: Event


def steps(incident: Incident) -> Iterator[Step]:
    """Return an incident's events in the order in which they were done."""
    area = incident.area

    def step(stage: int, agency: AgencyId, role: str, event: Event) -> Step:
        return Step(stage=stage, agency=agency, role=role, shard=area.shard, case_id=incident.case_id, event=event)

    yield step(0, area.council, "head-of-safeguarding", notification(incident))
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


def live_from(year: int) -> datetime:
    """Return the instant from which a population of ``year`` is no longer history: a year after the count day's month."""
    return datetime.combine(datetime(year + 2, 1, 1, tzinfo=UTC).date(), time(0), tzinfo=UTC)
