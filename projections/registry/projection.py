"""From agency, key and partnership events to the registry as it stands. A registry is small: one statement an event will do."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from types import ModuleType
from typing import Final

from sqlalchemy import Connection, delete, insert, update

import domain.access.events
import domain.incident.events
import domain.local_review.events
import domain.rapid_review.events
import domain.sharing.events
from domain.agency.events import AgencyEnrolled, AgencySuspended, KeyRegistered, KeyRetired, KeyRevoked
from domain.kernel.events import EVENT_TYPES, Event, Recorded
from domain.partnership.events import MembershipChanged, PartnershipEstablished
from projections.kernel.view import Tables, View
from projections.registry.tables import define


class KeyState(StrEnum):
    """What a key may do."""

    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


class MemberRole(StrEnum):
    """What an agency is in a partnership."""

    BUSINESS_UNIT = "business_unit"
    PARTNER = "partner"
    RELEVANT_AGENCY = "relevant_agency"


def apply(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
    """Write what a batch of one shard changes. An event whose body is gone changes nothing: what stood, stands."""
    for recorded in batch:
        match recorded.event:
            case AgencyEnrolled() as enrolled:
                _enrol(connection, tables, recorded, enrolled)
            case AgencySuspended() as suspended:
                table = tables["agency"]
                connection.execute(update(table).where(table.c.agency_id == suspended.agency_id).values(suspended=True))
            case KeyRegistered() as registered:
                _register(connection, tables, recorded, registered)
            case KeyRetired() as retired:
                _end_key(connection, tables, recorded, retired)
            case KeyRevoked() as revoked:
                _end_key(connection, tables, recorded, revoked)
            case PartnershipEstablished() as established:
                _establish(connection, tables, recorded, established)
            case MembershipChanged() as changed:
                table = tables["partnership"]
                values = {"members_since": changed.effective_on, "position": recorded.position}
                connection.execute(update(table).where(table.c.shard == recorded.shard).values(values))
                _list_members(connection, tables, recorded, changed)
            case _:
                pass


def _enrol(connection: Connection, tables: Tables, recorded: Recorded, event: AgencyEnrolled) -> None:
    """Write an agency; enrolling it again replaces what was said and ends a suspension."""
    table = tables["agency"]
    connection.execute(delete(table).where(table.c.agency_id == event.agency_id))
    row = {
        "agency_id": event.agency_id,
        "kind": event.kind.value,
        "name": event.name,
        "live_from": event.live_from,
        "shards": list(event.shards),
        "suspended": False,
        "enrolled_at": recorded.recorded_at,
        "position": recorded.position,
    }
    connection.execute(insert(table), row)


def _register(connection: Connection, tables: Tables, recorded: Recorded, event: KeyRegistered) -> None:
    """Write a key; registering it again replaces what was said, as a correction does."""
    table = tables["agency_key"]
    connection.execute(delete(table).where(table.c.key_id == event.key_id))
    row = {
        "key_id": event.key_id,
        "agency_id": event.agency_id,
        "algorithm": event.algorithm.value,
        "public_key": event.public_key,
        "state": KeyState.ACTIVE.value,
        "reason": None,
        "registered_at": recorded.recorded_at,
        "ended_at": None,
        "position": recorded.position,
    }
    connection.execute(insert(table), row)


def _end_key(connection: Connection, tables: Tables, recorded: Recorded, event: KeyRetired | KeyRevoked) -> None:
    """Note that a key signs nothing new; a revoked one never becomes merely retired."""
    table = tables["agency_key"]
    state, reason = (KeyState.RETIRED, None) if isinstance(event, KeyRetired) else (KeyState.REVOKED, event.reason.value)
    chosen = update(table).where(table.c.key_id == event.key_id, table.c.state != KeyState.REVOKED.value)
    connection.execute(chosen.values(state=state.value, reason=reason, ended_at=recorded.recorded_at))


def _establish(connection: Connection, tables: Tables, recorded: Recorded, event: PartnershipEstablished) -> None:
    """Write a partnership and its first members; saying it again, as a correction does, replaces both."""
    table = tables["partnership"]
    connection.execute(delete(table).where(table.c.shard == recorded.shard))
    row = {
        "shard": recorded.shard,
        "name": event.name,
        "arrangements_start_on": event.arrangements_start_on,
        "written_confirmation_hours": event.written_confirmation_hours,
        "members_since": event.arrangements_start_on,
        "position": recorded.position,
    }
    connection.execute(insert(table), row)
    _list_members(connection, tables, recorded, event)


def _list_members(connection: Connection, tables: Tables, recorded: Recorded, event: PartnershipEstablished | MembershipChanged) -> None:
    """Replace the list of a partnership's members."""
    table = tables["member"]
    members = [
        (event.business_unit, MemberRole.BUSINESS_UNIT),
        *((agency, MemberRole.PARTNER) for agency in event.partners),
        *((agency, MemberRole.RELEVANT_AGENCY) for agency in event.relevant_agencies),
    ]
    connection.execute(delete(table).where(table.c.shard == recorded.shard))
    rows = [
        {"shard": recorded.shard, "ordinal": ordinal, "agency_id": agency, "role": role.value}
        for ordinal, (agency, role) in enumerate(members)
    ]
    connection.execute(insert(table), rows)


_HANDLED: Final[tuple[type[Event], ...]] = (
    AgencyEnrolled,
    AgencySuspended,
    KeyRegistered,
    KeyRetired,
    KeyRevoked,
    PartnershipEstablished,
    MembershipChanged,
)
_AREAS_PASSED_OVER: Final[tuple[ModuleType, ...]] = (
    domain.incident.events,
    domain.sharing.events,
    domain.rapid_review.events,
    domain.local_review.events,
    domain.access.events,
)
"""Nothing that is said of a case, now or later, belongs to the registry."""
_MODULES_PASSED_OVER: Final = frozenset(area.__name__ for area in _AREAS_PASSED_OVER)

REGISTRY: Final = View(
    name="registry",
    version="1",
    define=define,
    handles=frozenset(event.EVENT_TYPE for event in _HANDLED),
    ignores=frozenset(name for name, event in EVENT_TYPES.items() if event.__module__ in _MODULES_PASSED_OVER),
    apply=apply,
)
