"""Reading the registry: agencies, keys and partnerships, each list by id and page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from domain.agency.events import KeyAlgorithm, RevocationReason
from domain.kernel.agencies import AgencyKind
from projections.kernel.view import Tables
from projections.registry.projection import KeyState


@dataclass(frozen=True, slots=True, kw_only=True)
class Agency:
    """An agency as it stands. ``position``: the event of the national shard that enrolled it."""

    agency_id: str
    kind: AgencyKind
    name: str
    live_from: date
    shards: tuple[str, ...]
    suspended: bool
    enrolled_at: datetime
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AgencyKey:
    """A signing key as it stands; ``ended_at`` and ``reason`` once it signs no more."""

    key_id: str
    agency_id: str
    algorithm: KeyAlgorithm
    public_key: bytes
    state: KeyState
    reason: RevocationReason | None
    registered_at: datetime
    ended_at: datetime | None
    position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Partnership:
    """A partnership as its newest lists say. ``members``: its business unit, its statutory partners, then the relevant agencies."""

    shard: str
    name: str
    starts_on: date
    members: tuple[str, ...]
    members_since: date


def agencies(connection: Connection, tables: Tables, *, kind: AgencyKind | None = None, after: str = "", limit: int) -> tuple[Agency, ...]:
    """Return up to ``limit`` agencies, of one kind or of all, whose id comes after ``after``, by id."""
    table = tables["agency"]
    statement = select(table).where(table.c.agency_id > after).order_by(table.c.agency_id).limit(limit)
    if kind is not None:
        statement = statement.where(table.c.kind == kind.value)
    return tuple(_agency(row) for row in connection.execute(statement))


def agency(connection: Connection, tables: Tables, agency_id: str) -> Agency | None:
    """Return an agency, None if it was never enrolled."""
    table = tables["agency"]
    row = connection.execute(select(table).where(table.c.agency_id == agency_id)).one_or_none()
    return None if row is None else _agency(row)


def keys(connection: Connection, tables: Tables, *, agency_id: str | None, after: str = "", limit: int) -> tuple[AgencyKey, ...]:
    """Return up to ``limit`` keys, of one agency or of all, whose id comes after ``after``, by id."""
    table = tables["agency_key"]
    statement = select(table).where(table.c.key_id > after).order_by(table.c.key_id).limit(limit)
    if agency_id is not None:
        statement = statement.where(table.c.agency_id == agency_id)
    return tuple(_key(row) for row in connection.execute(statement))


def partnerships(connection: Connection, tables: Tables, *, after: str = "", limit: int) -> tuple[Partnership, ...]:
    """Return up to ``limit`` partnerships whose shard comes after ``after``, by shard."""
    table = tables["partnership"]
    statement = select(table).where(table.c.shard > after).order_by(table.c.shard).limit(limit)
    return tuple(_partnership(row) for row in connection.execute(statement))


def _agency(row: Row[Any]) -> Agency:
    """Return one row as an agency."""
    values = row._asdict()
    del values["said_in"]
    return Agency(**values | {"kind": AgencyKind(row.kind), "shards": tuple(row.shards)})


def _key(row: Row[Any]) -> AgencyKey:
    """Return one row as a key."""
    reason = None if row.reason is None else RevocationReason(row.reason)
    return AgencyKey(**row._asdict() | {"algorithm": KeyAlgorithm(row.algorithm), "state": KeyState(row.state), "reason": reason})


def _partnership(row: Row[Any]) -> Partnership:
    """Return one row as a partnership."""
    values = row._asdict()
    del values["changed_in"]
    return Partnership(**values | {"members": tuple(row.members)})
