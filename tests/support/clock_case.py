"""A case told event by event, and how its clocks stand."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime

from domain.calendar import bundled
from domain.kernel.events import Details, Event, Recorded
from domain.local_review.events import (
    LocalReviewInitiated,
    PublicationScheduled,
)
from domain.rules import (
    ClockInstance,
    PartnershipTerms,
    bundled_rules,
    clock_instances,
    status,
)
from tests.support.builders import (
    BUSINESS_UNIT,
    COUNCIL,
    a_notification,
    an_information_request,
    recorded,
)

CALENDAR = bundled()
RULES = bundled_rules()
LONG_AFTER = datetime(2027, 12, 1, 12, 0, tzinfo=UTC)


def at(text: str) -> datetime:
    """Read a moment in UTC; noon where only a day is given."""
    moment = datetime.fromisoformat(text)
    return (moment if "T" in text else moment.replace(hour=12)).replace(tzinfo=UTC)


class Case:
    """A case told event by event; positions count up as it is told."""

    def __init__(self) -> None:
        self.history: list[Recorded] = []

    def live(self, when: str, event: Event, by: str = COUNCIL) -> Recorded:
        return self._add(event, by, at(when), imported=False)

    def imported(self, when: str, event: Event, by: str = COUNCIL) -> Recorded:
        before = event.details or Details()
        told = dataclasses.replace(event, details=dataclasses.replace(before, done_at=at(when)))
        return self._add(told, by, at("2024-06-03"), imported=True)

    def _add(self, event: Event, by: str, when: datetime, *, imported: bool) -> Recorded:
        position = len(self.history) + 1
        one = recorded(event, by=by, at=when, position=position, version=position, imported=imported)
        self.history.append(one)
        return one

    def clocks(self, *clocks: str, terms: PartnershipTerms | None = None) -> list[ClockInstance]:
        found = clock_instances(self.history, CALENDAR, RULES, partnership=terms)
        return [each for each in found if not clocks or each.clock in clocks]

    def clock(self, identity: str, terms: PartnershipTerms | None = None) -> ClockInstance:
        (found,) = [each for each in self.clocks(terms=terms) if each.instance_id == identity]
        return found

    def stands(self, identity: str, as_of: str | datetime = LONG_AFTER) -> str:
        when = at(as_of) if isinstance(as_of, str) else as_of
        return status(self.clock(identity), when, CALENDAR).words

    def as_known(self, as_of: str) -> list[str]:
        known = [each for each in self.history if max(each.known_at, each.scored_at) <= at(as_of)]
        return [each.instance_id for each in clock_instances(known, CALENDAR, RULES)]


def notified(when: str = "2024-03-04") -> Case:
    told = Case()
    told.live(when, a_notification())
    return told


def reviewed(decided_on: date = date(2024, 3, 29)) -> Case:
    case = Case()
    case.live("2024-03-30", LocalReviewInitiated(decided_on=decided_on), by=BUSINESS_UNIT)
    return case


def planned(day: date = date(2020, 12, 31), *, improvements_only: bool = False) -> Case:
    case = Case()
    case.imported("2020-11-30", PublicationScheduled(planned_on=day, improvements_only=improvements_only), by=BUSINESS_UNIT)
    return case


def asked(due_on: date = date(2024, 3, 18)) -> Case:
    case = Case()
    case.live("2024-03-04", an_information_request(due_on=due_on), by=BUSINESS_UNIT)
    return case
