"""What a council, a business unit or the Panel said later of an incident: amended, reclassified, added to, corrected, withdrawn."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from domain.incident.codes import Characteristic, DeathCategory, Ethnicity, NotificationType
from domain.incident.events import (
    Characteristics,
    Child,
    ChildAdded,
    IncidentReclassified,
    NotificationAmended,
    NotificationWithdrawn,
)
from domain.kernel.events import Details, Event, Precision, When
from domain.kernel.ids import ChildId
from domain.rapid_review.events import Decision, DecisionMade, SentToPanel
from services.cli.synthetic.lives import STAGES, Step
from services.cli.synthetic.population import Incident

WITHDRAWN: Final = 0.04
AMENDED: Final = 0.12
RECLASSIFIED: Final = 0.05
CHILD_ADDED: Final = 0.06
CORRECTED: Final = 0.08
"""Shares of incidents that this happens to, well above life's so that small populations have them too."""


def changes(incident: Incident) -> Iterator[Step]:
    """Return what was said later of an incident, all of it in the last stage; of a withdrawn one nothing but that."""
    rng = random.Random(f"changes of {incident.case_id}")  # noqa: S311  # synthetic and to be had again, no secret
    at = max(incident.notified_at, incident.received_at or incident.notified_at) + timedelta(days=rng.randint(2, 30))
    if rng.random() < WITHDRAWN:
        yield _by_council(incident, NotificationWithdrawn(details=Details(done_at=at), rationale="Synthetic rationale."))
        return
    if rng.random() < AMENDED:
        yield _by_council(incident, _amendment(incident, at, rng))
    if rng.random() < CHILD_ADDED:
        child = replace(incident.children[0], child_id=_child_id(rng), index_child=False, death_category=None, other_death_kind=None)
        yield _by_council(incident, ChildAdded(details=Details(done_at=at), child=child, reason="Synthetic reason."))
    if incident.notification_type is NotificationType.SERIOUS_HARM and rng.random() < RECLASSIFIED:
        yield _by_council(incident, _died_later(incident, at + timedelta(days=1)))
    if rng.random() < CORRECTED:
        yield from _corrections(incident, rng)


def _by_council(incident: Incident, event: Event) -> Step:
    return Step(
        stage=STAGES - 1,
        agency=incident.area.council,
        role="head-of-safeguarding",
        shard=incident.area.shard,
        case_id=incident.case_id,
        event=event,
    )


def _amendment(incident: Incident, at: datetime, rng: random.Random) -> NotificationAmended:
    amendment = NotificationAmended(details=Details(done_at=at), reason="Synthetic reason.")
    match rng.randrange(5):
        case 0:
            return replace(amendment, children=(_known_better(incident.children[-1], rng),))
        case 1:
            values = tuple(rng.sample(tuple(Characteristic), rng.randint(0, 5)))
            return replace(amendment, characteristics=Characteristics(values=values))
        case 2:
            day = incident.happened_on - timedelta(days=rng.randint(1, 3))
            when = When(precision=Precision.DAY, on=day)
            return replace(amendment, incident_on=when, occurrence_reason="Synthetic reason: the day was established later.")
        case 3:
            notified_at = max(incident.aware_at, incident.notified_at - timedelta(days=rng.randint(1, 2)))
            return replace(amendment, notified_at=notified_at)
        case _:
            return replace(amendment, deprivation_fifth=rng.randint(1, 5))


def _known_better(child: Child, rng: random.Random) -> Child:
    return replace(child, ethnicity=rng.choice((Ethnicity.WHITE_BRITISH, Ethnicity.MIXED_OTHER, Ethnicity.REFUSED)))


def _died_later(incident: Incident, at: datetime) -> IncidentReclassified:
    """Tell that a child who was seriously harmed has died."""
    index = next(child for child in incident.children if child.index_child)
    died = replace(index, death_category=DeathCategory.NOT_CLEAR)
    return IncidentReclassified(
        details=Details(done_at=at), notification_type=NotificationType.DEATH, children=(died,), reason="Synthetic reason."
    )


def _corrections(incident: Incident, rng: random.Random) -> Iterator[Step]:
    """Correct the moment at which the review was sent, or what was said of a decision for no local review."""
    if incident.received_at is None:
        return
    event: Event
    if incident.decision is Decision.NO_LOCAL_REVIEW and rng.random() < 1 / 2:
        at = incident.received_at - timedelta(minutes=1)
        event = DecisionMade(
            details=Details(done_at=at),
            decision=incident.decision,
            rationale="Synthetic rationale, set right.",
            national_review_suggested=True,
        )
    else:
        event = SentToPanel(details=Details(done_at=max(incident.notified_at, incident.received_at - timedelta(days=rng.randint(1, 3)))))
    yield Step(
        stage=STAGES - 1,
        agency=incident.area.business_unit,
        role="business-manager",
        shard=incident.area.shard,
        case_id=incident.case_id,
        event=event,
        corrects_because="Synthetic reason: a wrong entry.",
    )


def _child_id(rng: random.Random) -> ChildId:
    return ChildId(str(uuid.UUID(int=rng.getrandbits(128), version=4)))
