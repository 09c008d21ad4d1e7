"""What a notification must say of its children so that the Panel's tables can count them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from domain.incident.codes import DeathCategory, LegalStatus, NotificationType
from domain.incident.events import Child
from domain.incident.guards import refuse_if
from domain.incident.rules import AGE, CARE_LEAVER_ONLY, CATEGORY, DUPLICATE_CHILD, INDEX_CHILD, OTHER_DEATH_KIND, UNKNOWN_CHILD
from domain.incident.state import Notification
from domain.kernel.events import When
from domain.kernel.ids import ChildId
from domain.kernel.times import last_day

ADULT_YEARS = 18
"""A child is a person under the age of 18 (Children Act 2004 s65(1))."""
CARE_LEAVER_YEARS = range(16, 25)
"""From leaving care at 16 up to and including 24 (Working Together 2023 ch. 5)."""


def check_children(notification: Notification) -> None:
    """Raise ``Refused`` unless there is one index child with its category, and every child's age and codes can be true together."""
    children = tuple(notification.children.values())
    indexes = [child for child in children if child.index_child]
    refuse_if(len(indexes) != 1, INDEX_CHILD, f"index children: expected 1, found {len(indexes)} of {len(children)}")
    _check_category(notification.notification_type, indexes[0], children)
    for child in children:
        further = child.other_death_kind is not None and child.death_category is not DeathCategory.OTHER_MALTREATMENT_RELATED
        refuse_if(further, OTHER_DEATH_KIND)
        check_age(child, notification.incident_on)
    if notification.care_leaver_only:
        _check_care_leavers(notification, children)


def check_named_once(children: Iterable[Child]) -> None:
    """Raise ``Refused`` if a child is named twice."""
    named = [child.child_id for child in children]
    refuse_if(len(set(named)) < len(named), DUPLICATE_CHILD)


def check_known(children: Iterable[Child], known: Mapping[ChildId, Child]) -> None:
    """Raise ``Refused`` unless the notification knows every child."""
    refuse_if(any(child.child_id not in known for child in children), UNKNOWN_CHILD)


def check_age(child: Child, incident_on: When) -> None:
    """Raise ``Refused`` unless age or date of birth is given, both agree, and it is a child's or a care leaver's age."""
    refuse_if(child.age_years is None and child.born_on is None, AGE, "neither age nor date of birth is given")
    youngest, oldest = _ages(child, incident_on)
    refuse_if(oldest < 0, AGE, "born after the incident")
    agrees = child.age_years is None or max(youngest, 0) <= child.age_years <= oldest
    refuse_if(not agrees, AGE, "age and date of birth do not agree on the day of the incident")
    care_leaver = child.legal_status is LegalStatus.CARE_LEAVER
    limit = CARE_LEAVER_YEARS.stop if care_leaver else ADULT_YEARS
    refuse_if((youngest if child.age_years is None else child.age_years) >= limit, AGE, f"age: expected less than {limit} years")


def _ages(child: Child, incident_on: When) -> tuple[int, int]:
    """Return the ages the child may have had, by its date of birth, on the first and last day the incident may have been."""
    if child.born_on is None:
        years = -1 if child.age_years is None else child.age_years
        return years, years
    return _years(child.born_on, incident_on.day), _years(child.born_on, last_day(incident_on))


def _years(born_on: date, on: date) -> int:
    return on.year - born_on.year - ((on.month, on.day) < (born_on.month, born_on.day))


def _check_category(notification_type: NotificationType, index: Child, children: tuple[Child, ...]) -> None:
    if notification_type is NotificationType.DEATH:
        refuse_if(index.death_category is None, CATEGORY, "the index child of a death has no category of death")
        return
    refuse_if(index.harm_category is None, CATEGORY, "the index child has no category of harm")
    refuse_if(any(child.death_category is not None for child in children), CATEGORY, "a child has a category of death")


def _check_care_leavers(notification: Notification, children: tuple[Child, ...]) -> None:
    refuse_if(notification.notification_type is not NotificationType.DEATH, CARE_LEAVER_ONLY)
    for child in children:
        refuse_if(child.legal_status is not LegalStatus.CARE_LEAVER, CARE_LEAVER_ONLY)
        _, oldest = _ages(child, notification.incident_on)
        refuse_if((oldest if child.age_years is None else child.age_years) not in CARE_LEAVER_YEARS, CARE_LEAVER_ONLY)
