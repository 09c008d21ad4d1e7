"""How what the contract says is put in words for tables."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from safeguarding.hub.v1.common_pb2 import (
    PRECISION_INSTANT,
    PRECISION_MONTH,
    PRECISION_PERIOD,
    PRECISION_YEAR,
    When,
)
from services.cli.options import LONDON


def at(timestamp: Timestamp) -> str:
    """Return an instant in London time, to the minute; nothing for one that is not given."""
    if not timestamp.seconds:
        return ""
    return f"{_instant(timestamp).astimezone(LONDON):%Y-%m-%d %H:%M}"


def when(moment: When) -> str:
    """Return a moment as exactly as it is known."""
    match moment.precision:
        case 0:
            return ""
        case value if value == PRECISION_INSTANT:
            return at(moment.at)
        case value if value == PRECISION_MONTH:
            return f"{moment.on.year:04}-{moment.on.month:02}"
        case value if value == PRECISION_YEAR:
            return f"{moment.on.year:04}"
        case value if value == PRECISION_PERIOD:
            return f"{_day(moment.on)} to {_day(moment.until_on)}"
        case _:
            return _day(moment.on)


def member(name: str, prefix: str) -> str:
    """Return an enum value's name as people write it: ``MARKING_OFFICIAL_SENSITIVE`` is ``official sensitive``."""
    return in_words(name.removeprefix(prefix)).lower()


def in_words(code: str) -> str:
    """Return a code as people write it: ``secretary_of_state`` is ``secretary of state``."""
    return code.replace("_", " ")


def counted(number: int, one: str) -> str:
    """Return a number of things in words: ``1 event``, ``2 events``."""
    return f"{number} {one}" if number == 1 else f"{number} {one}s"


def _instant(timestamp: Timestamp) -> datetime:
    return timestamp.ToDatetime(tzinfo=UTC)


def _day(day: Any) -> str:
    return f"{day.year:04}-{day.month:02}-{day.day:02}"
