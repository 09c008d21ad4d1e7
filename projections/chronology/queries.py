"""Reading the chronology's rows: by shard and case, or by child, so that an answer costs what the case is and not what the store is."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from domain.calendar.days import Calendar
from domain.kernel.events import Marking
from domain.sharing.events import Caveat
from projections.chronology.access import AccessFacts, Membership, Restriction
from projections.chronology.projection import Kind, Role
from projections.chronology.story import Fact, Line, Order, compose
from projections.kernel.view import Tables


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


def cases_of_child(connection: Connection, tables: Tables, shard: str, child_id: str) -> tuple[str, ...]:
    """Return the ids of the cases of a shard that name the child, in the order in which they first did."""
    table = tables["case_child"]
    statement = select(table.c.case_id).where(table.c.shard == shard, table.c.child_id == child_id)
    named = connection.execute(statement.order_by(table.c.position, table.c.ordinal)).scalars()
    return tuple(dict.fromkeys(named))


def of_child(lines: Sequence[Line], child_id: str) -> tuple[Line, ...]:
    """Return the lines about the child, and those about no child in particular."""
    return tuple(line for line in lines if not line.children or child_id in line.children)


def significant(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Return the lines that are shown first."""
    return tuple(line for line in lines if line.significant)


def page(lines: Sequence[Line], after: int, limit: int) -> tuple[tuple[Line, ...], int | None]:
    """Return ``limit`` lines behind the first ``after``, and the ``after`` of the next page; None at the end."""
    end = after + limit
    return tuple(lines[after:end]), end if end < len(lines) else None


def access_facts(connection: Connection, tables: Tables, shard: str, case_id: str) -> AccessFacts:
    """Return what the access rule needs to know of a case; a case that nothing was said of does not exist."""
    fact, link = tables["fact"], tables["case_agency"]
    authors = select(fact.c.agency_id).distinct().where(fact.c.shard == shard, fact.c.case_id == case_id)
    requested = select(link.c.agency_id).distinct().where(link.c.shard == shard, link.c.case_id == case_id)
    wrote = frozenset(connection.execute(authors).scalars())
    return AccessFacts(
        shard=shard,
        case_id=case_id,
        exists=bool(wrote),
        authors=wrote,
        requested=frozenset(connection.execute(requested).scalars()),
        restrictions=_restrictions(connection, tables, shard, case_id),
        memberships=_memberships(connection, tables, shard),
    )


def _facts(connection: Connection, tables: Tables, shard: str, case_id: str) -> tuple[Fact, ...]:
    """Return a case's facts by position."""
    table = tables["fact"]
    statement = select(table).where(table.c.shard == shard, table.c.case_id == case_id)
    return tuple(_fact(row) for row in connection.execute(statement.order_by(table.c.position, table.c.ordinal)))


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
    table = tables["case_restriction"]
    statement = select(table).where(table.c.shard == shard, table.c.case_id == case_id).order_by(table.c.position, table.c.ordinal)
    return tuple(
        Restriction(
            event_id=row.event_id,
            corrects=row.corrects,
            entry_id=row.entry_id,
            marking=Marking(row.marking),
            caveats=tuple(Caveat(code) for code in row.caveats),
            named_agencies=frozenset(row.named_agencies),
        )
        for row in connection.execute(statement)
    )


def _memberships(connection: Connection, tables: Tables, shard: str) -> tuple[Membership, ...]:
    """Return a partnership's lists of members by position."""
    table = tables["partnership_member"]
    statement = select(table).where(table.c.shard == shard).order_by(table.c.position, table.c.ordinal)
    by_position: dict[int, list[Row[Any]]] = {}
    for row in connection.execute(statement):
        by_position.setdefault(row.position, []).append(row)
    return tuple(
        Membership(
            effective_on=rows[0].effective_on,
            business_unit=_with_role(rows, Role.BUSINESS_UNIT),
            partners=_with_role(rows, Role.PARTNER),
            relevant_agencies=_with_role(rows, Role.RELEVANT_AGENCY),
        )
        for rows in by_position.values()
    )


def _with_role(rows: Sequence[Row[Any]], role: Role) -> frozenset[str]:
    """Return the agencies that are listed in a role."""
    return frozenset(row.agency_id for row in rows if row.role == role.value)
