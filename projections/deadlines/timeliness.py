"""How timely each duty was kept: its deadlines counted by how they stand, and how late the late ones are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from statistics import median
from typing import Final

from domain.kernel.ids import ClockId
from domain.rules import ClockInstance, ClockRules, State, Status
from domain.rules.catalogue import Unit
from projections.deadlines.queries import Deadline


class Grouping(StrEnum):
    """What figures are given apart for."""

    PARTNERSHIP = "partnership"


class Standing(StrEnum):
    """How a deadline with a due day stands, as far as timeliness goes."""

    ON_TIME = "on_time"
    LATE = "late"
    LATE_AUTHORISED = "late_authorised"
    OVERDUE = "overdue"
    NOT_YET_DUE = "not_yet_due"
    CANCELLED = "cancelled"
    NOT_KNOWN = "not_known"


_STANDINGS: Final = {
    State.MET_ON_TIME: Standing.ON_TIME,
    State.MET_LATE: Standing.LATE,
    State.LATE_AUTHORISED: Standing.LATE_AUTHORISED,
    State.OVERDUE: Standing.OVERDUE,
    State.DUE_TODAY: Standing.NOT_YET_DUE,
    State.DUE_SOON: Standing.NOT_YET_DUE,
    State.RUNNING: Standing.NOT_YET_DUE,
    State.CANCELLED: Standing.CANCELLED,
    State.NOT_KNOWN: Standing.NOT_KNOWN,
}
"""All but done: that is said of clocks that set no day, which fall due in no period."""
_DECIDED: Final = (Standing.ON_TIME, Standing.LATE, Standing.LATE_AUTHORISED, Standing.OVERDUE)
"""Of these it can be said whether the duty was kept in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """What the rules ask for under one name, however often its length has changed."""

    clock: ClockId
    part: str
    """Tells duties of one clock apart; mostly empty."""
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeliness:
    """How timely one duty was kept, in one partnership or (``shard`` empty) in all together."""

    shard: str
    duty: Duty
    counts: Counter[Standing] = field(default_factory=Counter)
    working_days_late: list[int] = field(default_factory=list)
    """Of the late and the overdue; not of those whose time lies outside the calendar."""

    @property
    def due(self) -> int:
        """How many fell due."""
        return self.counts.total()

    @property
    def decided(self) -> int:
        """Of how many it can be said whether they were kept in time."""
        return sum(self.counts[standing] for standing in _DECIDED)

    @property
    def median_working_days_late(self) -> Decimal | None:
        """The median, of an even number the mean of the two in the middle; None where none is late."""
        return median(map(Decimal, self.working_days_late)) if self.working_days_late else None

    @property
    def longest_working_days_late(self) -> int | None:
        """The longest; None where none is late."""
        return max(self.working_days_late, default=None)

    def add(self, status: Status) -> None:
        """Count one deadline."""
        self.counts[_STANDINGS[status.state]] += 1
        if status.working_days is not None:
            self.working_days_late.append(status.working_days)


def dated_duties(rules: ClockRules) -> dict[str, Duty]:
    """Return the duties that set a day, by what the ids of their instances begin with, in the order of the catalogue."""
    dated = [rule for rule in rules.clocks if rule.unit is not Unit.NONE]
    return {rule.name_of_instances: Duty(clock=rule.id, part=rule.part, name=rule.name) for rule in dated}


def undated_clocks(rules: ClockRules) -> tuple[ClockId, ...]:
    """Return the clocks that set no day."""
    return tuple(rule.id for rule in rules.clocks if rule.unit is Unit.NONE)


def count_timeliness(deadlines: Iterable[Deadline], duties: Mapping[str, Duty], grouping: Grouping | None) -> tuple[Timeliness, ...]:
    """Count deadlines with due days by duty: all duties in their order, or by partnership those that there are deadlines of."""
    counted = {} if grouping else {("", duty): Timeliness(shard="", duty=duty) for duty in duties.values()}
    for deadline in deadlines:
        shard, duty = deadline.instance.shard if grouping else "", _duty(deadline.instance, duties)
        counted.setdefault((shard, duty), Timeliness(shard=shard, duty=duty)).add(deadline.status)
    places = {duty: place for place, duty in enumerate(duties.values())}
    return tuple(sorted(counted.values(), key=lambda one: (one.shard, places.get(one.duty, len(places)))))


def _duty(instance: ClockInstance, duties: Mapping[str, Duty]) -> Duty:
    """Return what duty an instance is of; one that the rules no longer have, while a view of older rules is still live, has no name."""
    beginning, _, _ = instance.instance_id.partition(":")
    _, _, part = beginning.partition("/")
    return duties.get(beginning) or Duty(clock=instance.clock, part=part, name=instance.clock)
