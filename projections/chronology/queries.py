"""Reading the chronology's rows: by shard and case, or by child, so that an answer costs what the case is and not what the store is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, bindparam, func, select

from domain.calendar.days import Calendar
from domain.kernel.events import Marking
from domain.sharing.events import Caveat
from projections.chronology.access import AccessFacts, Membership, Restriction
from projections.chronology.projection import Kind, Role
from projections.chronology.story import Fact, Line, Order, Place, compose
from projections.kernel.view import Tables

_TABLES_MAX_KEPT: Final = 64
"""Of the live generation, of those before it, and of other hubs in this process."""

# Statements that every read needs are made once for each table: making them takes longer than running them.


def _of_case(table: Table) -> tuple[ColumnElement[bool], ...]:
    """Return the condition that a row is of the case that is asked for."""
    return table.c.shard == bindparam("of_shard"), table.c.case_id == bindparam("of_case")


@lru_cache(maxsize=_TABLES_MAX_KEPT)
def _rows_of_case(table: Table) -> Select[Any]:
    return select(table).where(*_of_case(table)).order_by(table.c.position, table.c.ordinal)


@lru_cache(maxsize=_TABLES_MAX_KEPT)
def _agencies_of_case(table: Table) -> Select[Any]:
    return select(table.c.agency_id).distinct().where(*_of_case(table))


@lru_cache(maxsize=_TABLES_MAX_KEPT)
def _last_of_case(table: Table) -> Select[Any]:
    return select(func.max(table.c.position)).where(*_of_case(table))


@lru_cache(maxsize=_TABLES_MAX_KEPT)
def _rows_of_shard(table: Table) -> Select[Any]:
    return select(table).where(table.c.shard == bindparam("of_shard")).order_by(table.c.position, table.c.ordinal)


def _case(shard: str, case_id: str) -> dict[str, str]:
    """Return the parameters that name a case."""
    return {"of_shard": shard, "of_case": case_id}


def case_lines(
    connection: Connection,
    tables: Tables,
    shard: str,
    case_id: str,
    *,
    order: Order,
    known_at: datetime | None,
    calendar: Calendar,
) -> tuple[Line, ...]:
    """Return all lines of a case, unredacted: pass them through ``redact`` before anyone sees them. Empty for an unknown case."""
    facts = _facts(connection, tables, shard, case_id)
    restrictions = _restrictions(connection, tables, shard, case_id)
    return compose(facts, restrictions, order=order, known_at=known_at, calendar=calendar)


def case_position(connection: Connection, tables: Tables, shard: str, case_id: str) -> int:
    """Return the position of the last fact of a case, 0 for an unknown one: while it stays, the case's lines stay."""
    return connection.execute(_last_of_case(tables["fact"]), _case(shard, case_id)).scalar() or 0


def cases_of_child(connection: Connection, tables: Tables, shard: str, child_id: str) -> tuple[str, ...]:
    """Return the ids of the cases of a shard that name the child, in the order in which they first did."""
    table = tables["case_child"]
    statement = select(table.c.case_id).where(table.c.shard == shard, table.c.child_id == child_id)
    named = connection.execute(statement.order_by(table.c.position, table.c.ordinal)).scalars()
    return tuple(dict.fromkeys(named))


def names_child(lines: Sequence[Line], child_id: str) -> bool:
    """Tell whether one of a case's lines is about a child: of lines as a reader may see them, whether he may know that the case is."""
    return any(child_id in line.children for line in lines)


def significant(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Return the lines that are shown first."""
    return tuple(line for line in lines if line.significant)


def behind(lines: Sequence[Line], order: Order, place: Place | None) -> tuple[Line, ...]:
    """Return the lines behind a place in their order; all for None. A page that begins behind the last one's last line misses none.

    What is recorded, restricted or opened between two pages makes no other line come twice or not at all.
    """
    return tuple(line for line in lines if place is None or line.place_in(order) > place)


def access_facts(connection: Connection, tables: Tables, shard: str, case_id: str) -> AccessFacts:
    """Return what the access rule needs to know of a case; a case that nothing was said of does not exist."""
    wrote = frozenset(connection.execute(_agencies_of_case(tables["fact"]), _case(shard, case_id)).scalars())
    return AccessFacts(
        shard=shard,
        case_id=case_id,
        exists=bool(wrote),
        authors=wrote,
        requested=frozenset(connection.execute(_agencies_of_case(tables["case_agency"]), _case(shard, case_id)).scalars()),
        restrictions=_restrictions(connection, tables, shard, case_id),
        memberships=memberships_of(connection, tables, shard),
    )


def _facts(connection: Connection, tables: Tables, shard: str, case_id: str) -> tuple[Fact, ...]:
    """Return a case's facts by position."""
    return tuple(_fact(row) for row in connection.execute(_rows_of_case(tables["fact"]), _case(shard, case_id)))


def _fact(row: Row[Any]) -> Fact:
    """Return one row as a fact."""
    values = row._asdict()
    return Fact(
        **values
        | {
            "marking": Marking(row.marking),
            "findings": tuple(row.findings),
            "mended": tuple(row.mended),
            "kind": Kind(row.kind),
        },
    )


def _restrictions(connection: Connection, tables: Tables, shard: str, case_id: str) -> tuple[Restriction, ...]:
    """Return a case's restrictions by position."""
    return tuple(restriction_of(row) for row in connection.execute(_rows_of_case(tables["case_restriction"]), _case(shard, case_id)))


def restriction_of(row: Row[Any]) -> Restriction:
    """Return one row as a restriction."""
    return Restriction(
        event_id=row.event_id,
        corrects=row.corrects,
        entry_id=row.entry_id,
        marking=Marking(row.marking),
        caveats=tuple(Caveat(code) for code in row.caveats),
        named_agencies=frozenset(row.named_agencies),
    )


def memberships_of(connection: Connection, tables: Tables, shard: str) -> tuple[Membership, ...]:
    """Return a partnership's lists of members by position; a correction stands where what it corrects stood."""
    by_event: dict[bytes, list[Row[Any]]] = {}
    for row in connection.execute(_rows_of_shard(tables["partnership_member"]), {"of_shard": shard}):
        by_event.setdefault(row.event_id, []).append(row)
    root: dict[bytes, bytes] = {}
    in_force: dict[bytes, Membership] = {}
    for event_id, rows in by_event.items():
        corrects = rows[0].corrects
        root[event_id] = event_id if corrects is None else root.get(corrects, corrects)
        in_force[root[event_id]] = Membership(
            effective_on=rows[0].effective_on,
            business_unit=_with_role(rows, Role.BUSINESS_UNIT),
            partners=_with_role(rows, Role.PARTNER),
            relevant_agencies=_with_role(rows, Role.RELEVANT_AGENCY),
        )
    return tuple(in_force.values())


def _with_role(rows: Sequence[Row[Any]], role: Role) -> frozenset[str]:
    """Return the agencies that are listed in a role."""
    return frozenset(row.agency_id for row in rows if row.role == role.value)
