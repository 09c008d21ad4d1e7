"""What is known of the partnership of a shard, and the questions other areas ask of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol, TypeVar

from domain.kernel.agencies import AgencyKind, is_agency_id, kind_of
from domain.kernel.copies import replace
from domain.kernel.corrections import NOTHING_SAID, SaidSoFar
from domain.kernel.events import london_day
from domain.kernel.ids import AgencyId, EventId, Shard, Stream, stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """No partnership was established in this shard, or what established it can no longer be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """Who the members are from a day on."""

    effective_on: date
    business_unit: AgencyId
    partners: tuple[AgencyId, ...]
    relevant_agencies: tuple[AgencyId, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Established:
    """A partnership as its newest lists say, whether or not they have effect yet (``partnership_in`` asks for a day)."""

    name: str
    business_unit: AgencyId
    partners: tuple[AgencyId, ...]
    relevant_agencies: tuple[AgencyId, ...]
    arrangements_start_on: date
    written_confirmation_hours: int
    lists: Mapping[EventId, Members] = field(default_factory=dict)
    """All lists there were, by the event that said them, in order; a correction replaces in place."""
    said: SaidSoFar = field(default_factory=lambda: NOTHING_SAID)


Partnership = Unknown | Established


def partnership_stream(shard: Shard) -> Stream:
    """Name the stream in which the partnership of a shard is established."""
    return stream("partnership", shard)


class FromADay(Protocol):
    """What has effect from a day on."""

    @property
    def effective_on(self) -> date:
        """The first day."""


L = TypeVar("L", bound=FromADay)


def in_force(lists: Iterable[L], day: date) -> L | None:
    """Return the newest list of members that has effect on a day, or the first there was; ``lists`` in the order of the log."""
    said = list(lists)
    return next((one for one in reversed(said) if one.effective_on <= day), next(iter(said), None))


def partnership_in(others: Mapping[Stream, Any], shard: Shard, now: datetime) -> Partnership:
    """Return the shard's partnership among the states that were read, with its members of today; Unknown if it was not.

    Members are those of the list ``in_force``, by which it is also judged who may read.
    """
    found = others.get(partnership_stream(shard))
    if not isinstance(found, Established):
        return Unknown()
    members = in_force(found.lists.values(), london_day(now))
    return found if members is None else with_members(found, members)


def with_members(state: Established, members: Members) -> Established:
    """Return the partnership with these members."""
    return replace(
        state,
        business_unit=members.business_unit,
        partners=members.partners,
        relevant_agencies=members.relevant_agencies,
    )


def is_statutory_partner(partnership: Partnership, agency_id: AgencyId) -> bool:
    """Tell whether the agency is one of the safeguarding partners listed for the shard (s16E(3) Children Act 2004)."""
    return isinstance(partnership, Established) and agency_id in partnership.partners


def is_business_unit(partnership: Partnership, agency_id: AgencyId) -> bool:
    """Tell whether the agency is the shard's business unit, which acts for the partners jointly."""
    return isinstance(partnership, Established) and agency_id == partnership.business_unit


def is_member(partnership: Partnership, agency_id: AgencyId) -> bool:
    """Tell whether the agency is a statutory partner, the business unit or a listed relevant agency of the shard."""
    return leads(partnership, agency_id) or (isinstance(partnership, Established) and agency_id in partnership.relevant_agencies)


def leads(partnership: Partnership, agency_id: AgencyId) -> bool:
    """Tell whether the agency is a statutory partner or the business unit: those who decide, not only inform."""
    return is_statutory_partner(partnership, agency_id) or is_business_unit(partnership, agency_id)


def is_council(agency_id: str) -> bool:
    """Tell whether the id is well formed and names a local authority."""
    return is_agency_id(agency_id) and kind_of(agency_id) is AgencyKind.LOCAL_AUTHORITY
