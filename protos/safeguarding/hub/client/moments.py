"""Days and instants as the contract's messages."""

from __future__ import annotations

from datetime import date, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from safeguarding.hub.v1.common_pb2 import PRECISION_DAY, PRECISION_INSTANT, PRECISION_MONTH, PRECISION_PERIOD, PRECISION_YEAR, When


def timestamp(instant: datetime) -> Timestamp:
    """Return an instant; raise ``ValueError`` if it has no time zone."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs its time zone, for instance datetime.now(UTC)")
    stamp = Timestamp()
    stamp.FromDatetime(instant)
    return stamp


def day(value: date) -> Date:
    """Return a calendar day."""
    return Date(year=value.year, month=value.month, day=value.day)


def at_instant(instant: datetime) -> When:
    """Say that something happened at this instant."""
    return When(precision=PRECISION_INSTANT, at=timestamp(instant))


def on_day(value: date) -> When:
    """Say that something happened some time on this day."""
    return When(precision=PRECISION_DAY, on=day(value))


def in_month(year: int, month: int) -> When:
    """Say that something happened some time in this month."""
    return When(precision=PRECISION_MONTH, on=Date(year=year, month=month, day=1))


def in_year(year: int) -> When:
    """Say that something happened some time in this year."""
    return When(precision=PRECISION_YEAR, on=Date(year=year, month=1, day=1))


def in_period(first: date, last: date) -> When:
    """Say that something happened, or went on, from ``first`` to ``last``."""
    return When(precision=PRECISION_PERIOD, on=day(first), until_on=day(last))
