"""What a clock needs to know of an event: its instants, who signed it, and the few codes and days that the catalogue names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import lru_cache
from typing import TypeAlias

from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.events import Recorded
from domain.kernel.ids import identity_of
from domain.kernel.moulds import quick

Attribute: TypeAlias = bool | int | str | list["Attribute"] | dict[str, "Attribute"] | None
"""What JSON can say; instants and days as ISO 8601 text."""

Wanted: TypeAlias = dict[str, "Wanted"]
"""A tree of field names; a name without names below it is wanted whole."""


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One event of a case, reduced to what clocks need. ``gone``: its body can no longer be opened, so it has no attributes."""

    shard: str
    case_id: str
    position: int
    event_id: str
    """Hexadecimal."""
    event_type: str
    agency_id: str
    imported: bool
    recorded_at: datetime
    scored_at: datetime
    asserted_at: datetime
    known_at: datetime
    corrects: str | None = None
    gone: bool = False
    attributes: Mapping[str, Attribute]

    @property
    def counts_from(self) -> datetime:
        """From when on it is part of the case as known: it is known, and the step it tells of is done."""
        return max(self.known_at, self.scored_at)

    @property
    def kind(self) -> AgencyKind:
        """The kind of the agency that signed it."""
        return _kind_of(self.agency_id)

    @property
    def says_when(self) -> bool:
        """Tell whether the sender said when it was done."""
        return self.asserted_at != self.recorded_at

    def get(self, path: str) -> Attribute:
        """Return the attribute at a dotted path, ``agency`` for the sender; None where there is none."""
        if path == "agency":
            return self.agency_id
        if "." not in path:
            return self.attributes.get(path)
        first, *rest = path.split(".")
        value = self.attributes.get(first)
        for name in rest:
            value = value.get(name) if isinstance(value, dict) else None
        return value


@lru_cache(maxsize=1_024)
def _kind_of(agency_id: str) -> AgencyKind:
    """As ``kind_of``; the few agencies of a case sign all of it."""
    return kind_of(agency_id)


def wanted(paths: Iterable[str]) -> Wanted:
    """Turn dotted paths into the tree that ``reduce`` follows."""
    tree: Wanted = {}
    for path in paths:
        level = tree
        for name in path.split("."):
            level = level.setdefault(name, {})
    return tree


def reduce(recorded: Recorded, kept: Mapping[str, Wanted]) -> Fact | None:
    """Return the fact in an event, or None for an event that no clock looks at (its type is not kept, or it answers no request)."""
    tree = kept.get(recorded.event_type)
    if tree is None:
        return None
    event = recorded.event
    if event is not None and "request_id" in tree and getattr(event, "request_id", None) is None and recorded.corrects is None:
        return None
    attributes = {} if event is None else _branch(event, tree)
    return Fact(
        shard=recorded.shard,
        case_id=identity_of(recorded.stream),
        position=recorded.position,
        event_id=recorded.event_id.hex(),
        event_type=recorded.event_type,
        agency_id=recorded.agency_id,
        imported=recorded.imported,
        recorded_at=recorded.recorded_at.astimezone(UTC),
        scored_at=recorded.scored_at.astimezone(UTC),
        asserted_at=recorded.asserted_at.astimezone(UTC),
        known_at=recorded.known_at.astimezone(UTC),
        corrects=None if recorded.corrects is None else recorded.corrects.hex(),
        gone=event is None,
        attributes=attributes,
    )


def _branch(value: object, tree: Wanted) -> dict[str, Attribute]:
    """Reduce a dataclass to the wanted fields."""
    return {name: _attribute(getattr(value, name), below) for name, below in tree.items()}


def _attribute(value: object, tree: Wanted) -> Attribute:
    """Reduce one field: lists item by item, instants and days to text, codes to their values."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, StrEnum):
        return value.value
    if isinstance(value, str):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_attribute(item, tree) for item in value]
    if tree:
        return dict(_branch(value, tree))
    raise TypeError(f"a clock cannot keep a {type(value).__name__}")
