"""The catalogue of clocks, read from dated data; a name it does not know is refused, so that a slip of the pen is no silent rule."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cache, cached_property
from importlib import resources
from itertools import combinations
from typing import Any, Final

from domain.kernel.agencies import AgencyKind
from domain.kernel.ids import ClockId
from domain.rules.facts import Attribute, Wanted, wanted

ENGINE_VERSION: Final = "4"
"""Changes whenever the same data and the same history would give other deadlines."""


class Unit(StrEnum):
    """What a length is counted in."""

    WORKING_DAYS = "working_days"
    CALENDAR_MONTHS = "calendar_months"
    HOURS = "hours"
    AT_ONCE = "at_once"
    OWN_DAY = "own_day"
    NONE = "none"


class Direction(StrEnum):
    """Whether the due day lies after or before day 0."""

    FORWARD = "forward"
    BACKWARD = "backward"


class Choose(StrEnum):
    """Which of several starts decides."""

    EARLIEST = "earliest"
    LATEST = "latest"


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """An event that does something to a clock, and under which conditions. Words say it to a reader.

    It has no slots, so that what follows from its fields is worked out once, and not for every case.
    """

    on: str
    by: tuple[AgencyKind, ...] = ()
    """Kinds of sender; empty: any."""
    at: str = "scored"
    where: Mapping[str, tuple[Attribute, ...]] = field(default_factory=dict)
    start_where: Mapping[str, tuple[Attribute, ...]] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    match: Mapping[str, str] = field(default_factory=dict)
    differs: Mapping[str, str] = field(default_factory=dict)
    behind: bool = False
    """Only what was said after the start counts: of a clock that is set anew, what answered the former start does not stop it."""
    words: str = ""

    @cached_property
    def reads_body(self) -> bool:
        """Tell whether its conditions need more than the header of the event."""
        paths = {*self.where, *self.needs, *self.match, *self.differs}
        return bool(paths - {"agency"})


@dataclass(frozen=True, kw_only=True)
class ClockRule:
    """One clock for one period of law: a row of ``clocks.toml``. It has no slots for the reason that ``Trigger`` has none."""

    id: ClockId
    part: str = ""
    name: str
    per: tuple[str, ...]
    choose: Choose = Choose.EARLIEST
    length: int | None = None
    unit: Unit
    own_day: str = ""
    set_by_partnership: bool = False
    direction: Direction = Direction.FORWARD
    owed_by: str
    owed_to: tuple[str, ...]
    copied_to: tuple[str, ...] = ()
    force: str
    source: str
    effective_from: date
    effective_to: date | None = None
    reasons_to: tuple[str, ...] = ()
    starts: tuple[Trigger, ...]
    stops: tuple[Trigger, ...]
    cancels: tuple[Trigger, ...] = ()
    nevers: tuple[Trigger, ...] = ()
    remarks: tuple[Trigger, ...] = ()

    @cached_property
    def identity(self) -> str:
        """Name the row: id, part and first day, unique in the catalogue."""
        return f"{self.id}/{self.part}/{self.effective_from.isoformat()}"

    @cached_property
    def name_of_instances(self) -> str:
        """Begin the ids of its instances: id and part."""
        return f"{self.id}/{self.part}" if self.part else self.id

    @cached_property
    def started_by(self) -> frozenset[str]:
        """The event types that may start it."""
        return frozenset(trigger.on for trigger in self.starts)

    @cached_property
    def started_per(self) -> tuple[str, ...]:
        """What of a start there is one instance for: all that it is per but the recipient."""
        return tuple(name for name in self.per if name != "recipient")

    def in_force_on(self, day: date) -> bool:
        """Tell whether a trigger on ``day`` falls under this row."""
        return self.effective_from <= day and (self.effective_to is None or day <= self.effective_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """For due days in a period, being late is authorised; the length stays."""

    id: ClockId
    of: ClockId
    due_from: date
    due_to: date
    words: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockRules:
    """The whole catalogue. ``version`` is a digest of the data and the engine's version."""

    clocks: tuple[ClockRule, ...]
    relaxations: tuple[Relaxation, ...]
    kept: Mapping[str, Wanted]
    version: str

    def named(self, identity: str) -> ClockRule:
        """Return the row with this identity; raise ``KeyError`` if there is none."""
        for clock in self.clocks:
            if clock.identity == identity:
                return clock
        raise KeyError(identity)


def read_rules(text: str) -> ClockRules:
    """Read a catalogue from TOML; raise ``ValueError`` for unknown names, overlapping periods or lengths without a unit."""
    content = tomllib.loads(text)
    _only(content, {"facts", "clock", "relaxation"}, "the catalogue")
    clocks = tuple(_clock(row) for row in content["clock"])
    _refuse_overlaps(clocks)
    return ClockRules(
        clocks=clocks,
        relaxations=tuple(_relaxation(row) for row in content.get("relaxation", [])),
        kept={event_type: wanted(paths) for event_type, paths in content["facts"].items()},
        version=hashlib.sha256(f"{ENGINE_VERSION}\n{text}".encode()).hexdigest(),
    )


@cache
def bundled_rules() -> ClockRules:
    """Return the catalogue that comes with the hub; read once, the same object ever after."""
    return read_rules(resources.files("domain.rules").joinpath("clocks.toml").read_text(encoding="utf-8"))


_TRIGGERS: Final = {"start": "starts", "stop": "stops", "cancel": "cancels", "never": "nevers", "remark": "remarks"}
_CLOCK_NAMES: Final = (set(ClockRule.__dataclass_fields__) - set(_TRIGGERS.values())) | set(_TRIGGERS)
_NUMBERED: Final = frozenset({Unit.WORKING_DAYS, Unit.CALENDAR_MONTHS, Unit.HOURS})


def _clock(row: Mapping[str, Any]) -> ClockRule:
    """Read one row."""
    _only(row, _CLOCK_NAMES, f"clock {row.get('id')}")
    unit = Unit(row["unit"])
    if (unit in _NUMBERED) != ("length" in row) or (unit is Unit.OWN_DAY) != ("own_day" in row):
        raise ValueError(f"clock {row['id']}: its length does not fit its unit")
    plain: dict[str, Any] = {name: _frozen(value) for name, value in row.items() if name not in _TRIGGERS}
    plain |= {"id": ClockId(row["id"]), "unit": unit}
    plain |= {"choose": Choose(row.get("choose", Choose.EARLIEST)), "direction": Direction(row.get("direction", Direction.FORWARD))}
    plain |= {plural: tuple(_trigger(each) for each in row.get(name, [])) for name, plural in _TRIGGERS.items()}
    return ClockRule(**plain)


def _trigger(row: Mapping[str, Any]) -> Trigger:
    """Read one start, stop, cancel, never or remark."""
    _only(row, set(Trigger.__dataclass_fields__), f"what happens on {row.get('on')}")
    conditions = {name: {path: tuple(values) for path, values in row.get(name, {}).items()} for name in ("where", "start_where")}
    plain: dict[str, Any] = {name: _frozen(value) for name, value in row.items() if name not in conditions}
    plain |= conditions | {"by": tuple(AgencyKind(kind) for kind in row.get("by", []))}
    return Trigger(**plain)


def _relaxation(row: Mapping[str, Any]) -> Relaxation:
    """Read one relaxation."""
    _only(row, set(Relaxation.__dataclass_fields__), f"relaxation {row.get('id')}")
    return Relaxation(**row)


def _frozen(value: Any) -> Any:
    """Turn a list of TOML into a tuple."""
    return tuple(value) if isinstance(value, list) else value


def _only(row: Mapping[str, Any], names: set[str], where: str) -> None:
    """Refuse names that nothing reads."""
    unknown = sorted(set(row) - names)
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(unknown)}")


def _refuse_overlaps(clocks: Sequence[ClockRule]) -> None:
    """Refuse two rows of one clock in force on one day."""
    for one, other in combinations(clocks, 2):
        both = one.in_force_on(other.effective_from) or other.in_force_on(one.effective_from)
        if both and (one.id, one.part) == (other.id, other.part):
            raise ValueError(f"clock {one.name_of_instances}: two rows are in force on one day")
