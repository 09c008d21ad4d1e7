"""One clock running, or having run, in one case."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from domain.kernel.ids import ClockId
from domain.kernel.moulds import quick


@dataclass(frozen=True, slots=True, kw_only=True)
class PartnershipTerms:
    """What a partnership has set for itself, as far as clocks depend on it."""

    written_confirmation_hours: int


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class EventReference:
    """Which event of the log did it: where it is, what it is, who signed it."""

    event_id: str
    """Hexadecimal."""
    event_type: str
    position: int
    agency_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """A recorded reason for lateness: a code, the new expected day and who was told; its words stay in the event."""

    event: EventReference
    reason: str
    expected_on: date
    told: tuple[str, ...]


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class ClockInstance:
    """What one clock demands in one case, as far as known; independent of the moment at which it is looked at."""

    shard: str
    case_id: str
    instance_id: str
    """``K1:la-E08000016``, ``K11:ofsted``: unique in its case, and the same however often it is computed."""
    clock: ClockId
    rule: str
    """Identity of the row of the catalogue."""
    owed_by: str
    """An agency id, or ``partners``: the three jointly, their business unit acting for them."""
    owed_to: str
    """An agency id, or ``panel``, ``secretary_of_state``, ``ofsted``, ``partners``, ``business_unit``, ``public``."""
    started_by: EventReference
    start_amended_by: EventReference | None = None
    """The amendment that corrected when it started."""
    started_at: datetime | None = None
    """None where only a day is known."""
    day_zero: date | None = None
    """The trigger's London day; None if it cannot be known."""
    length: int | None = None
    due_on: date | None = None
    """The last London day on which it is in time; None for a clock without a number, or if it cannot be known."""
    due_at: datetime | None = None
    """For clocks counted in hours: the last instant in time."""
    stopped_by: EventReference | None = None
    stopped_at: datetime | None = None
    cancelled_by: EventReference | None = None
    cancelled_at: datetime | None = None
    cancelled_because: str = ""
    lateness_authorised: str = ""
    """The id of the relaxation under which lateness is authorised."""
    reasons: tuple[Reason, ...] = ()
    reasons_missing: tuple[str, ...] = ()
    """To whom reasons for lateness would still have to be given."""
    remarks: tuple[str, ...] = ()
    imported: bool = False
    """Its start or stop is imported history."""
    start_recorded_late: bool = False
    """The live start was asserted more than one working day before it was recorded."""
    stop_recorded_late: bool = False
    not_known: str = ""
    """What cannot be known, and why; empty if everything is."""
