"""Facts and clock instances as rows, and back."""

from __future__ import annotations

from collections.abc import Mapping
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
_EVENTS: Final = ("started_by", "start_amended_by", "stopped_by", "cancelled_by")
_LISTS: Final = ("reasons_missing", "remarks")
_PLAIN: Final = tuple(name for name in ClockInstance.__dataclass_fields__ if name not in {*_INSTANTS, *_DAYS, *_EVENTS, "reasons"})


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
        "document": _document(instance),
    }


def _document(instance: ClockInstance) -> Values:
    """Return all of an instance as JSON can say it, what is empty left out."""
    values = {name: value for name in _PLAIN if (value := getattr(instance, name))}
    values |= {name: value.isoformat() for name in (*_INSTANTS, *_DAYS) if (value := getattr(instance, name)) is not None}
    values |= {name: _event(value) for name in _EVENTS if (value := getattr(instance, name)) is not None}
    if instance.reasons:
        values["reasons"] = [_reason(reason) for reason in instance.reasons]
    return values


def _event(event: EventReference) -> Values:
    """Return a reference to an event as JSON can say it."""
    return {"event_id": event.event_id, "event_type": event.event_type, "position": event.position, "agency_id": event.agency_id}


def _reason(reason: Reason) -> Values:
    """Return a reason as JSON can say it."""
    return {"event": _event(reason.event), "reason": reason.reason, "expected_on": reason.expected_on.isoformat(), "told": reason.told}


def instance_of(document: Mapping[str, Any]) -> ClockInstance:
    """Return the instance in a document."""
    values = dict(document)
    values |= {name: datetime.fromisoformat(values[name]) for name in _INSTANTS if name in values}
    values |= {name: date.fromisoformat(values[name]) for name in _DAYS if name in values}
    values |= {name: EventReference(**values[name]) for name in _EVENTS if name in values}
    values |= {name: tuple(values[name]) for name in _LISTS if name in values}
    values["clock"] = ClockId(values["clock"])
    values["reasons"] = tuple(_reason_of(reason) for reason in values.get("reasons", ()))
    return ClockInstance(**values)


def _reason_of(document: Mapping[str, Any]) -> Reason:
    """Return the reason in a part of a document."""
    return Reason(
        event=EventReference(**document["event"]),
        reason=document["reason"],
        expected_on=date.fromisoformat(document["expected_on"]),
        told=tuple(document["told"]),
    )
