"""The order of a list of deadlines, said twice alike: for rows in the database and for instances in hand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, Table, and_, case, or_

from domain.calendar import Calendar, london_day
from domain.rules import Band, ClockInstance, Status, first_day_not_soon

RANKS: Final = tuple(Band)
"""Bands by urgency; a band's rank is its place."""

NO_DUE_DAY: Final = "9999-12-31"
"""Stands in the order for a clock without a due day: behind all others of its band."""


class PageKey(NamedTuple):
    """A deadline's place in the order; unique, and the same from page to page."""

    rank: int
    foreign: int
    """0 for what the agency asking owes, 1 for what others owe."""
    due: str
    shard: str
    case_id: str
    instance_id: str

    @classmethod
    def of(cls, instance: ClockInstance, status: Status, *, is_own: bool) -> PageKey:
        """Return the place of an instance in hand."""
        due = NO_DUE_DAY if instance.due_on is None else instance.due_on.isoformat()
        return cls(RANKS.index(status.band), 0 if is_own else 1, due, instance.shard, instance.case_id, instance.instance_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment as bands see it: the instant, its London day, and the first day that is not soon."""

    instant: datetime
    today: str
    not_soon: str

    @classmethod
    def at(cls, instant: datetime, calendar: Calendar) -> Moment:
        """Return the moment of an instant."""
        today = london_day(instant)
        return cls(instant=instant, today=today.isoformat(), not_soon=first_day_not_soon(today, calendar).isoformat())


def band_rank(instances: Table, moment: Moment) -> ColumnElement[int]:
    """Return the rank of a stored instance's band at a moment, in the order of questions in which ``domain.rules.status`` asks them."""
    columns = instances.c
    stopped = and_(columns.stopped_at.is_not(None), columns.stopped_at <= moment.instant)
    cancelled = and_(columns.cancelled_at.is_not(None), columns.cancelled_at <= moment.instant)
    past = or_(
        and_(columns.due_at.is_not(None), columns.due_at < moment.instant),
        and_(columns.due_at.is_(None), columns.due_on < moment.today),
    )
    return case(
        (stopped, RANKS.index(Band.MET)),
        (cancelled, RANKS.index(Band.CANCELLED)),
        (columns.is_known.is_(False), RANKS.index(Band.NOT_KNOWN)),
        (columns.due_on.is_(None), RANKS.index(Band.LATER)),
        (past, RANKS.index(Band.OVERDUE)),
        (columns.due_on <= moment.today, RANKS.index(Band.DUE_TODAY)),
        (columns.due_on < moment.not_soon, RANKS.index(Band.DUE_SOON)),
        else_=RANKS.index(Band.LATER),
    )
