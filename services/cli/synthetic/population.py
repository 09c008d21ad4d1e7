"""Deals a profile's counts out to incidents, children, areas and days."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, TypeVar

from domain.calendar.bundled import bundled
from domain.calendar.counting import add_working_days
from domain.incident.codes import (
    Characteristic,
    CourtOrder,
    DeathCategory,
    Disability,
    Ethnicity,
    Gender,
    HarmCategory,
    LegalStatus,
    LivingArrangement,
    NotificationType,
    ServiceInvolvement,
    Sex,
)
from domain.incident.events import Child
from domain.kernel.ids import CaseId, ChildId
from domain.rapid_review.events import Decision
from services.cli.synthetic.england import Area
from services.cli.synthetic.profile import BANDS, Kind, Profile

T = TypeVar("T")

REVIEW_WORKING_DAYS: Final = 15
COUNT_DAY_MONTHS_AFTER_YEAR: Final = (3, 31)
"""The reports count as at the end of March of the following year; every receipt dealt out lies before."""

_INFANTS: Final = frozenset({DeathCategory.SUDI, DeathCategory.COVERT_FILICIDE})
_TEENAGERS: Final = frozenset(
    {
        DeathCategory.SUICIDE,
        DeathCategory.EXTRA_FAMILIAL_HOMICIDE,
        DeathCategory.EXTRA_FAMILIAL_FATAL_ASSAULT,
        HarmCategory.SEXUAL_EXPLOITATION,
        HarmCategory.CRIMINAL_EXPLOITATION,
        HarmCategory.YOUNG_PERSON_PERPETRATOR,
        HarmCategory.RISK_TAKING_OR_VIOLENT,
    }
)


@dataclass(slots=True, kw_only=True)
class Incident:
    """One synthetic incident and the days of its review; ``received_at`` is None where the Panel has no review yet."""

    case_id: CaseId
    area: Area
    kind: Kind
    traits: tuple[Characteristic, ...]
    children: tuple[Child, ...]
    deprivation_fifth: int
    happened_on: date
    aware_at: datetime
    notified_at: datetime
    received_at: datetime | None
    decision: Decision
    agreed: bool

    @property
    def notification_type(self) -> NotificationType:
        """What is notified."""
        return self.kind[0]


def populate(profile: Profile, areas: Sequence[Area], rng: random.Random) -> list[Incident]:
    """Return the profile's incidents in order of notification; the same seed gives the same incidents."""
    kinds = _shuffled(_spread(profile.kinds), rng)
    traits = _traits(profile, kinds, rng)
    sizes = _family_sizes(profile, rng)
    groups = iter(_shuffled(_spread(profile.ethnic_groups), rng))
    genders = iter(_shuffled(_spread(profile.genders), rng))
    fifths = _shuffled(_fifths(profile), rng)
    places = _places(areas, profile.incidents, rng)
    days = _days(profile, rng)
    decisions = _decisions(profile, days, rng)
    incidents = []
    for number, kind in enumerate(kinds):
        notified_on, received_on = days[number]
        notified_at = _office_hours(notified_on, rng)
        happened_on = max(date(profile.year, 1, 1), min(date(profile.year, 12, 31), notified_on - timedelta(days=rng.randint(1, 12))))
        children = tuple(_child(kind, index == 0, next(groups), next(genders), rng) for index in range(sizes[number]))
        incidents.append(
            Incident(
                case_id=CaseId(_uuid(rng)),
                area=places[number],
                kind=kind,
                traits=traits[number],
                children=children,
                deprivation_fifth=fifths[number],
                happened_on=happened_on,
                aware_at=_between(happened_on, notified_at, rng),
                notified_at=notified_at,
                received_at=None if received_on is None else max(_office_hours(received_on, rng), notified_at + timedelta(hours=8)),
                decision=decisions[number],
                agreed=rng.random() * 100 < profile.agreed_percent,
            )
        )
    return sorted(incidents, key=lambda incident: (incident.notified_at, incident.case_id))


def _days(profile: Profile, rng: random.Random) -> list[tuple[date, date | None]]:
    """Deal out notification and receipt days so that each band of working days gets its count."""
    last_due_in_year = _last_notification_due_by(date(profile.year, 12, 31))
    first = date(profile.year, 1, 2)
    month, day = COUNT_DAY_MONTHS_AFTER_YEAR
    count_day = date(profile.year + 1, month, day)
    days: list[tuple[date, date | None]] = []
    for band, number in profile.received_in_band.items():
        shortest, longest = BANDS[band]
        for _ in range(number):
            notified_on = _working_day(first, last_due_in_year, rng)
            days.append((notified_on, add_working_days(notified_on, rng.randint(shortest, longest), bundled())))
    days += [(_working_day(first, last_due_in_year, rng), None) for _ in range(profile.not_received)]
    for _ in range(profile.due_next_year):
        notified_on = _working_day(last_due_in_year + timedelta(days=1), date(profile.year + 1, 1, 29), rng)
        received_on = add_working_days(notified_on, rng.randint(8, 30), bundled())
        days.append((notified_on, received_on if received_on <= count_day else None))
    return days


def _decisions(profile: Profile, days: Sequence[tuple[date, date | None]], rng: random.Random) -> list[Decision]:
    """Reviews that the Panel has not received are undecided; so are as many of the latest ones as the counts leave over."""
    made = _shuffled([Decision.LOCAL_REVIEW] * profile.decided_local_review + [Decision.NO_LOCAL_REVIEW] * profile.decided_none, rng)
    received = [number for number, (_, received_on) in enumerate(days) if received_on is not None]
    decided = dict(zip(received, made, strict=False))
    return [decided.get(number, Decision.UNDECIDED) for number in range(len(days))]


def _last_notification_due_by(day: date) -> date:
    notified_on = day
    while add_working_days(notified_on, REVIEW_WORKING_DAYS, bundled()) > day:
        notified_on -= timedelta(days=1)
    return notified_on


def _working_day(first: date, last: date, rng: random.Random) -> date:
    while True:
        day = first + timedelta(days=rng.randint(0, (last - first).days))
        if bundled().is_working_day(day):
            return day


def _traits(profile: Profile, kinds: Sequence[Kind], rng: random.Random) -> list[tuple[Characteristic, ...]]:
    """Deal each characteristic out to as many incidents of each type as the profile says."""
    dealt: list[list[Characteristic]] = [[] for _ in kinds]
    for (kind, trait), number in sorted(profile.traits.items()):
        candidates = [index for index, found in enumerate(kinds) if found[0] is kind]
        for index in rng.sample(candidates, number):
            dealt[index].append(trait)
    for traits in dealt:
        if Characteristic.PARENTAL_MENTAL_ILL_HEALTH in traits:
            traits.append(rng.choice((Characteristic.MATERNAL_MENTAL_ILL_HEALTH,) * 4 + (Characteristic.PATERNAL_MENTAL_ILL_HEALTH,)))
        if rng.random() < 1 / 3:
            traits.append(Characteristic.NEGLECT)
    return [tuple(traits) for traits in dealt]


def _family_sizes(profile: Profile, rng: random.Random) -> list[int]:
    sizes = [1] * profile.incidents
    for _ in range(profile.children - profile.incidents):
        index = rng.randrange(profile.incidents)
        while sizes[index] >= 3:  # at most three children in one incident
            index = rng.randrange(profile.incidents)
        sizes[index] += 1
    return sizes


def _fifths(profile: Profile) -> list[int]:
    most = round(profile.incidents * profile.most_deprived_percent / 100)
    least = round(profile.incidents * profile.least_deprived_percent / 100)
    between = profile.incidents - most - least
    return [1] * most + [5] * least + [2 + index % 3 for index in range(between)]


def _places(areas: Sequence[Area], incidents: int, rng: random.Random) -> list[Area]:
    """Give some areas none, most a few and some many, as the reports find."""
    weights = [rng.choice((1.0, 1.0, 3.0, 3.0, 4.0, 9.0)) for _ in areas]
    weights[: len(areas) // 25] = [0.0] * (len(areas) // 25)
    if not any(weights):
        weights = [1.0] * len(areas)
    return rng.choices(areas, weights=weights, k=incidents)


def _child(kind: Kind, index_child: bool, group: Sequence[Ethnicity], gender: Gender, rng: random.Random) -> Child:
    _, death, other_death, harm = kind
    looked_after = rng.random() < 0.08
    living = rng.choice(tuple(LivingArrangement)[1:6]) if looked_after else LivingArrangement.HOME
    return Child(
        child_id=ChildId(_uuid(rng)),
        index_child=index_child,
        sex={Gender.MALE: Sex.MALE, Gender.FEMALE: Sex.FEMALE}.get(gender, Sex.NOT_KNOWN),
        gender=gender,
        age_years=_age(death or harm, rng) if index_child else rng.randint(0, 17),
        ethnicity=rng.choice(group),
        disability=Disability.YES if rng.random() < 0.08 else Disability.NO,
        legal_status=LegalStatus.CARE_ORDER if looked_after else LegalStatus.NONE,
        services=(ServiceInvolvement.LOOKED_AFTER,)
        if looked_after
        else tuple(rng.sample(tuple(ServiceInvolvement)[:6], rng.randint(0, 2))),
        court_orders=(CourtOrder.CARE_ORDER,) if looked_after else (),
        living_arrangement=living,
        death_category=death if index_child else None,
        other_death_kind=other_death if index_child else None,
        harm_category=harm if index_child else None,
    )


def _age(category: DeathCategory | HarmCategory | None, rng: random.Random) -> int:
    if category in _INFANTS:
        return 0
    if category in _TEENAGERS:
        return rng.randint(13, 17)
    return rng.choice((0, 0, 0, rng.randint(1, 5), rng.randint(1, 14), rng.randint(15, 17)))


def _office_hours(day: date, rng: random.Random) -> datetime:
    return datetime.combine(day, time(8, 0), tzinfo=UTC) + timedelta(minutes=rng.randint(0, 480))


def _between(happened_on: date, notified_at: datetime, rng: random.Random) -> datetime:
    earliest = max(datetime.combine(happened_on, time(7, 0), tzinfo=UTC), notified_at - timedelta(days=rng.choice((2, 4, 6, 6, 8))))
    return earliest + (notified_at - earliest) * rng.uniform(0.0, 0.6)


def _spread(counts: Mapping[T, int]) -> list[T]:
    return [key for key, number in counts.items() for _ in range(number)]


def _shuffled(items: Iterable[T], rng: random.Random) -> list[T]:
    dealt = list(items)
    rng.shuffle(dealt)
    return dealt


def _uuid(rng: random.Random) -> str:
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))
