"""From agency, key and partnership events to the registry as it stands. A registry is small: one statement an event will do."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from types import ModuleType
from typing import Final

from sqlalchemy import Connection, delete, insert, select, update

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


def apply(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
    """Write what a batch of one shard changes. An event whose body is gone changes nothing: what stood, stands.

    A correction changes what is said, as the hub's own registry has it (``domain.agency``): it neither suspends nor reinstates, and
    one of an older enrolment than the newest changes nothing. Partnerships stand as ``domain.partnership`` has them.
    """
    for recorded in batch:
        match recorded.event:
            case AgencyEnrolled() as enrolled:
                _enrol(connection, tables, recorded, enrolled)
            case AgencySuspended() as suspended if recorded.corrects is None:
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
                _change_members(connection, tables, recorded, changed)
            case _:
                pass


def _enrol(connection: Connection, tables: Tables, recorded: Recorded, event: AgencyEnrolled) -> None:
    """Write an agency; enrolling it again replaces what was said and ends a suspension."""
    table = tables["agency"]
    chosen = table.c.agency_id == event.agency_id
    before = None
    if recorded.corrects is not None:
        before = connection.execute(select(table).where(chosen)).one_or_none()
        if before is not None and recorded.corrects.hex() not in before.said_in:
            return
    connection.execute(delete(table).where(chosen))
    row = {
        "agency_id": event.agency_id,
        "kind": event.kind.value,
        "name": event.name,
        "live_from": event.live_from,
        "shards": list(event.shards),
        "suspended": before is not None and before.suspended,
        "enrolled_at": recorded.recorded_at if before is None else before.enrolled_at,
        "position": recorded.position,
        "said_in": [*([] if before is None else before.said_in), recorded.event_id.hex()],
    }
    connection.execute(insert(table), row)


def _register(connection: Connection, tables: Tables, recorded: Recorded, event: KeyRegistered) -> None:
    """Write a key. Each is registered once, for good."""
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
    connection.execute(insert(tables["agency_key"]), row)


def _end_key(connection: Connection, tables: Tables, recorded: Recorded, event: KeyRetired | KeyRevoked) -> None:
    """Note that a key signs nothing new; a revoked one never becomes merely retired, and a correction never moves its end."""
    table = tables["agency_key"]
    state, reason = (KeyState.RETIRED, None) if isinstance(event, KeyRetired) else (KeyState.REVOKED, event.reason.value)
    chosen = update(table).where(table.c.key_id == event.key_id)
    if recorded.corrects is None:
        ended = chosen.where(table.c.state != KeyState.REVOKED.value)
        connection.execute(ended.values(state=state.value, reason=reason, ended_at=recorded.recorded_at))
    else:
        connection.execute(chosen.where(table.c.state == state.value).values(reason=reason))


def _establish(connection: Connection, tables: Tables, recorded: Recorded, event: PartnershipEstablished) -> None:
    """Write a partnership; once its members have changed, a correction of how it began leaves them as they are."""
    table = tables["partnership"]
    chosen = table.c.shard == recorded.shard
    row = {
        "shard": recorded.shard,
        "name": event.name,
        "starts_on": event.arrangements_start_on,
        "members": _members(event),
        "members_since": event.arrangements_start_on,
        "changed_in": [],
    }
    before = connection.execute(select(table).where(chosen)).one_or_none()
    if before is not None and before.changed_in:
        row |= {"members": before.members, "members_since": before.members_since, "changed_in": before.changed_in}
    connection.execute(delete(table).where(chosen))
    connection.execute(insert(table), row)


def _change_members(connection: Connection, tables: Tables, recorded: Recorded, event: MembershipChanged) -> None:
    """Replace a partnership's members; a correction of any change but the newest leaves them as they are."""
    table = tables["partnership"]
    chosen = table.c.shard == recorded.shard
    before = connection.execute(select(table).where(chosen)).one_or_none()
    if before is None:  # how it began can no longer be read
        return
    changed_in: list[str] = []
    if recorded.corrects is not None:
        changed_in = before.changed_in
        if recorded.corrects.hex() not in changed_in:
            return
    members = {"members": _members(event), "members_since": event.effective_on, "changed_in": [*changed_in, recorded.event_id.hex()]}
    connection.execute(update(table).where(chosen).values(**members))


def _members(event: PartnershipEstablished | MembershipChanged) -> list[str]:
    return [event.business_unit, *event.partners, *event.relevant_agencies]


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
    version="3",
    define=define,
    handles=frozenset(event.EVENT_TYPE for event in _HANDLED),
    ignores=frozenset(name for name, event in EVENT_TYPES.items() if event.__module__ in _MODULES_PASSED_OVER),
    apply=apply,
)
