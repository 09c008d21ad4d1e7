"""Corrections point at what they correct; nothing is edited or deleted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from domain.kernel.decider import Context
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import AgencyId, EventId
from domain.kernel.moulds import quick
from domain.kernel.rules import Refused, Rule

T = TypeVar("T")


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One event of a stream as a later correction may point at it."""

    event_type: str
    agency_id: AgencyId
    root: EventId
    """The first event of its chain of corrections; its own id if it corrects nothing."""
    about: str = ""
    """The thing it speaks of (a child, a proceeding, a request): a correction speaks of the same. Empty if none, or if its body is gone."""


SaidSoFar = Mapping[EventId, Said]
NOTHING_SAID: Final[SaidSoFar] = {}


def is_correction(event: Event) -> bool:
    """Tell whether the event says that it corrects an earlier one."""
    return event.details is not None and event.details.corrects is not None


def root_of(said: SaidSoFar, recorded: Recorded) -> EventId:
    """Return the first event of the chain of corrections this event belongs to; its own id if it corrects nothing known."""
    target = recorded.corrects
    earlier = None if target is None else said.get(EventId(target))
    return recorded.event_id if earlier is None else earlier.root


def root_in(said: SaidSoFar, event: Event, context: Context) -> EventId:
    """Return the root that an event not yet recorded will have."""
    correction = None if event.details is None else event.details.corrects
    earlier = None if correction is None else said.get(EventId(correction.event_id))
    return context.event_id if earlier is None else earlier.root


def placed(said: SaidSoFar, things: Mapping[EventId, T], root: EventId, thing: T) -> Mapping[EventId, T]:
    """Return what events said, by their roots, with ``thing`` in its place: where its root was said, or else as the newest.

    The order is that of ``said``, for a root whose body is gone has a place and nothing in it until it is corrected.
    """
    all_things = {**things, root: thing}
    return {identity: all_things[identity] for identity in dict.fromkeys([*said, root]) if identity in all_things}


def noted(said: SaidSoFar, recorded: Recorded, about: str) -> SaidSoFar:
    """Return what was said so far with this event among it."""
    note = Said(event_type=recorded.event_type, agency_id=recorded.agency_id, root=root_of(said, recorded), about=about)
    return {**said, recorded.event_id: note}


def check_correction(said: SaidSoFar, event: Event, about: str, context: Context, rule: Rule) -> None:
    """Raise ``Refused`` by ``rule`` unless the event corrects nothing, or an event of its own type, stream, agency and subject matter."""
    if event.details is None or event.details.corrects is None:
        return
    earlier = said.get(EventId(event.details.corrects.event_id))
    if earlier is None:
        raise Refused(rule, "the event to be corrected is not in this stream")
    if earlier.event_type != event.EVENT_TYPE:
        raise Refused(rule, f"the event to be corrected: expected {event.EVENT_TYPE}, found {earlier.event_type}")
    if earlier.agency_id != context.agency_id:
        raise Refused(rule, f"the event to be corrected was said by {earlier.agency_id}, not by {context.agency_id}")
    if earlier.about != about:
        raise Refused(rule, "a correction speaks of the same thing as the event it corrects")
