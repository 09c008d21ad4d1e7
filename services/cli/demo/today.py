"""A case of today: live events count when the hub records them, whatever they assert. Nobody in it exists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from random import Random
from typing import Final

from domain.incident.codes import (
    AbuseKind,
    CriteriaOutcome,
    Disability,
    Ethnicity,
    Gender,
    HarmCategory,
    LegalStatus,
    Limb,
    LivingArrangement,
    NotificationType,
    PlaceKind,
    ServiceInvolvement,
    Sex,
    SuspectRelationship,
)
from domain.incident.events import Awareness, Child, Criteria, IncidentNotified, PartnersInformed
from domain.kernel.events import Precision, When, london_day
from domain.kernel.ids import ChildId
from domain.rapid_review.events import RapidReviewOpened
from domain.sharing.events import InformationRequested, LegalGate
from services.cli.demo.accounts import minted
from services.cli.demo.saying import Cast, Saying, at, done, working_day

HISTORY_ENDS_BEFORE: Final = timedelta(days=60)
"""How long before today every agency went live: since then nothing may be imported as history."""
_KNOWN_WORKING_DAYS_AGO: Final = 8
_SAID_TO_BE_DONE_WORKING_DAYS_AGO: Final = 5


def live_case(cast: Cast, now: datetime) -> tuple[Saying, ...]:
    """Return what is said of a new case at this moment, a vain attempt to backdate it first."""
    return tuple(_sayings(cast, now))


def _sayings(cast: Cast, now: datetime) -> Iterator[Saying]:
    today, area = london_day(now), cast.area
    ids = Random(f"ids of {cast.case_id}")  # noqa: S311  # synthetic, no secret
    notified = _notification(cast, today, ids)
    backdated = Saying(
        agency=area.council,
        event=notified,
        words="the council tries to enter today's notification as history of last week",
        refused_by="time.imported_after_live",
    )
    yield backdated
    yield replace(
        backdated, words="so it notifies now, saying that it was done a week ago: it counts from now", imported=False, refused_by=""
    )
    told = PartnersInformed(details=None, partners=(area.board, area.police))
    yield Saying(agency=area.council, event=told, imported=False)
    opened = RapidReviewOpened(details=None, agencies_asked=cast.asked)
    yield Saying(agency=area.business_unit, event=opened, imported=False, words="the partnership opens its rapid review")
    request = InformationRequested(
        request_id=minted(ids),
        recipient=cast.school,
        gate=LegalGate.S16H_PARTNERS,
        scope="Attendance, and what the child said.",
        due_on=working_day(today, 5),
    )
    yield Saying(agency=area.business_unit, event=request, imported=False)


def _notification(cast: Cast, today: date, ids: Random) -> IncidentNotified:
    known_on = working_day(today, -_KNOWN_WORKING_DAYS_AGO)
    child = Child(
        child_id=ChildId(minted(ids)),
        index_child=True,
        sex=Sex.FEMALE,
        gender=Gender.FEMALE,
        age_years=4,
        ethnicity=Ethnicity.NOT_RECORDED,
        disability=Disability.NOT_KNOWN,
        legal_status=LegalStatus.NONE,
        services=(ServiceInvolvement.CHILD_IN_NEED,),
        living_arrangement=LivingArrangement.HOME,
        harm_category=HarmCategory.NEGLECT,
    )
    return IncidentNotified(
        details=done(at(working_day(today, -_SAID_TO_BE_DONE_WORKING_DAYS_AGO), 16)),
        notification_type=NotificationType.SERIOUS_HARM,
        incident_on=When(precision=Precision.DAY, on=known_on),
        place=PlaceKind.OWN_HOME,
        incident_authority=cast.area.council,
        residence_authority=cast.area.council,
        circumstances="A child of four was found alone and seriously unwell at home (synthetic).",
        children=(child,),
        suspected_abuse=(AbuseKind.NEGLECT,),
        suspect_relationship=SuspectRelationship.NOT_KNOWN,
        awareness=Awareness(aware_at=at(known_on, 15), source="Telephone call by the ambulance service"),
        criteria=Criteria(
            outcome=CriteriaOutcome.MET,
            limb=Limb.IN_AREA,
            rationale="Serious harm in this area, and neglect is suspected.",
            decided_by_role="head-of-safeguarding",
        ),
    )
