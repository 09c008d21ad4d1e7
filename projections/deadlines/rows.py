"""Facts and clock instances as rows, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from typing import Any, Final

from sqlalchemy import Row

from domain.kernel.ids import ClockId
from domain.rules import ClockInstance, EventReference, Fact, Reason

Values = dict[str, Any]

_FACT_COLUMNS: Final = (
    "shard",
    "case_id",
    "position",
    "event_id",
    "event_type",
    "agency_id",
    "imported",
    "recorded_at",
    "scored_at",
    "asserted_at",
    "known_at",
    "corrects",
    "gone",
)
_INSTANTS: Final = ("started_at", "due_at", "stopped_at", "cancelled_at")
_DAYS: Final = ("day_zero", "due_on")
_EVENTS: Final = ("started_by", "stopped_by", "cancelled_by")
_LISTS: Final = ("reasons_missing", "remarks")


def fact_row(fact: Fact) -> Values:
    """Return the row of a fact."""
    return {name: getattr(fact, name) for name in _FACT_COLUMNS} | {"counts_from": fact.counts_from, "attributes": dict(fact.attributes)}


def fact_of(row: Row[Any]) -> Fact:
    """Return the fact in a row of the facts table."""
    values = row._mapping  # noqa: SLF001 (SQLAlchemy's public name for a row's columns)
    return Fact(**{name: values[name] for name in _FACT_COLUMNS}, attributes=values["attributes"])


def instance_row(instance: ClockInstance) -> Values:
    """Return the row of an instance."""
    return {
        "shard": instance.shard,
        "case_id": instance.case_id,
        "instance_id": instance.instance_id,
        "clock": instance.clock,
        "owed_by": instance.owed_by,
        "owed_to": instance.owed_to,
        "due_on": None if instance.due_on is None else instance.due_on.isoformat(),
        "due_at": instance.due_at,
        "stopped_at": instance.stopped_at,
        "cancelled_at": instance.cancelled_at,
        "is_known": not instance.not_known,
        "document": {name: _plain(value) for name, value in asdict(instance).items()},
    }


def instance_of(document: Mapping[str, Any]) -> ClockInstance:
    """Return the instance in a document."""
    values = dict(document)
    values |= {name: datetime.fromisoformat(values[name]) for name in _INSTANTS if values[name] is not None}
    values |= {name: date.fromisoformat(values[name]) for name in _DAYS if values[name] is not None}
    values |= {name: EventReference(**values[name]) for name in _EVENTS if values[name] is not None}
    values |= {name: tuple(values[name]) for name in _LISTS}
    values["clock"] = ClockId(values["clock"])
    values["reasons"] = tuple(_reason(reason) for reason in values["reasons"])
    return ClockInstance(**values)


def _reason(document: Mapping[str, Any]) -> Reason:
    """Return the reason in a part of a document."""
    return Reason(
        event=EventReference(**document["event"]),
        reason=document["reason"],
        expected_on=date.fromisoformat(document["expected_on"]),
        told=tuple(document["told"]),
    )


def _plain(value: Any) -> Any:
    """Turn instants and days into text, all through."""
    match value:
        case date():
            return value.isoformat()
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value
