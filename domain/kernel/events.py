"""The form of every domain event, and of an event once it is on the log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Final, TypeVar
from zoneinfo import ZoneInfo

from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.ids import AgencyId, EventId, RuleId, Shard, Stream

LONDON: Final = ZoneInfo("Europe/London")


@dataclass(frozen=True, slots=True)
class Limit:
    """The most characters a text field may hold, or the most items a list may; enforced on the wire."""

    max: int


Narrative = Annotated[str, Limit(32_768)]
"""Free text about people and events: sealed, never indexed, logged or echoed. At most 32 KiB as UTF-8."""

Text = Annotated[str, Limit(1_000)]
"""A sentence or two."""

Label = Annotated[str, Limit(200)]
"""A short name of a thing (a meeting, a document, a role), never of a person."""


class Precision(StrEnum):
    """How exactly a moment is known."""

    INSTANT = "instant"
    DAY = "day"
    MONTH = "month"
    YEAR = "year"
    PERIOD = "period"


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """A moment as exactly as it is known: ``at`` for INSTANT, ``on`` (first day) for DAY, MONTH, YEAR, to ``until_on`` for PERIOD."""

    precision: Precision
    at: datetime | None = None
    on: date | None = None
    until_on: date | None = None

    @property
    def day(self) -> date:
        """The first London day of the moment."""
        if self.at is not None:
            return self.at.astimezone(LONDON).date()
        if self.on is None:
            raise ValueError("a moment needs an instant or a day")
        return self.on


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """Which earlier event, of the same type in the same stream, this one replaces, and why."""

    event_id: bytes
    reason: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What any event may carry: when it happened, when it was learnt of, when the step was done, and what it corrects."""

    occurred: When | None = None
    became_known_at: datetime | None = None
    done_at: datetime | None = None
    recorded_by_role: Label | None = None
    note: Narrative | None = None
    corrects: Correction | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact, in the past tense. Subclasses are declared with ``@event_type``."""

    EVENT_TYPE: ClassVar[str] = ""

    details: Details | None = None


E = TypeVar("E", bound=Event)
EVENT_TYPES: Final[dict[str, type[Event]]] = {}
"""Every event type on the log, by its chosen name."""


def event_type(name: str) -> Callable[[type[E]], type[E]]:
    """Give an event class its name on the log. The class may move or be renamed; the name may not."""

    def register(cls: type[E]) -> type[E]:
        if name in EVENT_TYPES and EVENT_TYPES[name].__qualname__ != cls.__qualname__:
            raise ValueError(f"two events are called {name}")
        cls.EVENT_TYPE = name
        EVENT_TYPES[name] = cls
        return cls

    return register


class Purpose(StrEnum):
    """What the information is used for."""

    NOTIFICATION = "notification"
    RAPID_REVIEW = "rapid_review"
    LOCAL_REVIEW = "local_review"
    NATIONAL_REVIEW = "national_review"
    SAFEGUARDING = "safeguarding"
    OVERSIGHT = "oversight"
    ADMINISTRATION = "administration"


class LawfulBasis(StrEnum):
    """UK GDPR article 6(1) with the Children Act 2004 duty behind it; consent is not the usual one."""

    LEGAL_OBLIGATION = "legal_obligation"
    PUBLIC_TASK = "public_task"
    VITAL_INTERESTS = "vital_interests"
    LEGITIMATE_INTERESTS = "legitimate_interests"
    CONSENT = "consent"


class Marking(StrEnum):
    """Handling, in rising order; caveats on an entry narrow it further."""

    OFFICIAL = "official"
    OFFICIAL_SENSITIVE = "official_sensitive"
    RESTRICTED = "restricted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One accepted event as the log holds it. ``event`` is None when its body can no longer be opened (its data key was destroyed)."""

    shard: Shard
    stream: Stream
    position: int
    version: int
    event_id: EventId
    event_type: str
    agency_id: AgencyId
    actor_role: str = ""
    purpose: Purpose = Purpose.SAFEGUARDING
    lawful_basis: LawfulBasis = LawfulBasis.PUBLIC_TASK
    marking: Marking = Marking.OFFICIAL_SENSITIVE
    imported: bool = False
    signed_at: datetime
    recorded_at: datetime
    findings: tuple[RuleId, ...] = ()
    mended: tuple[RuleId, ...] = ()
    event: Event | None = field(default=None)

    @property
    def agency_kind(self) -> AgencyKind:
        """The kind of the agency that signed it."""
        return kind_of(self.agency_id)

    @property
    def scored_at(self) -> datetime:
        """The instant that counts for a statutory step: when recorded if live, when done (as asserted) if imported history."""
        return self.asserted_at if self.imported else self.recorded_at

    @property
    def asserted_at(self) -> datetime:
        """When the agency says the step was done; when recorded if it does not say."""
        details = None if self.event is None else self.event.details
        if details is None or details.done_at is None:
            return self.recorded_at
        return details.done_at

    @property
    def known_at(self) -> datetime:
        """From when on it belongs to what was known: when recorded, or for imported history when it had become known."""
        if not self.imported:
            return self.recorded_at
        details = None if self.event is None else self.event.details
        if details is not None and details.became_known_at is not None:
            return details.became_known_at
        return self.asserted_at

    @property
    def corrects(self) -> bytes | None:
        """The id of the event that this one corrects."""
        details = None if self.event is None else self.event.details
        return None if details is None or details.corrects is None else details.corrects.event_id


def london_day(instant: datetime) -> date:
    """Return the Europe/London date of an aware instant."""
    return instant.astimezone(LONDON).date()
