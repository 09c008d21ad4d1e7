"""Which cases an agency may read at all: the access rule of ``access.py`` over every case at once, for lists."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Final, TypeAlias

from sqlalchemy import Connection, select, union

from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.ids import category_of, identity_of
from domain.partnership.state import in_force
from projections.chronology.access import Restriction, leads, narrowest
from projections.chronology.queries import memberships_of, restriction_of
from projections.kernel.view import Tables

Case: TypeAlias = tuple[str, str]
"""Shard and case id: an id is only as unique as whoever made it, so that alone it opens nothing."""

NO_CASE: Final = frozenset({"agency", "partnership"})
"""Categories of streams about no case: whoever is enrolled may read them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visible:
    """All cases of ``shards`` (None: of every shard) less ``hidden``, and those of ``linked``."""

    shards: frozenset[str] | None
    hidden: frozenset[Case] = frozenset()
    linked: frozenset[Case] = frozenset()

    def holds(self, shard: str, case_id: str) -> bool:
        """Tell whether a case, if there is such a one, may be read."""
        case = (shard, case_id)
        return case in self.linked or ((self.shards is None or shard in self.shards) and case not in self.hidden)

    def knows_of(self, shard: str, stream: str) -> bool:
        """Tell whether the agency may know of a stream: of a case that it may read, or of nobody's case."""
        if category_of(stream) in NO_CASE:
            return self.shards is None or shard in self.shards or any(shard == case[0] for case in self.linked)
        return self.holds(shard, identity_of(stream))


def visible_cases(connection: Connection, tables: Tables, agency_id: str, today: date) -> Visible:
    """Return the cases that an agency may read today; costs what the agency wrote and was asked, not what the store holds."""
    kind = kind_of(agency_id)
    if kind is AgencyKind.PANEL:
        return Visible(shards=None)
    if kind in (AgencyKind.OPERATOR, AgencyKind.HUB):
        return Visible(shards=frozenset())
    led = _led_shards(connection, tables, agency_id, today)
    linked = _linked_cases(connection, tables, agency_id, led)
    closed = _closed_cases(connection, tables, agency_id, led | {shard for shard, _ in linked})
    return Visible(shards=led, hidden=frozenset(case for case in closed if case[0] in led), linked=linked - closed)


def _led_shards(connection: Connection, tables: Tables, agency_id: str, today: date) -> frozenset[str]:
    """Return the shards in which the agency is a statutory partner or the business unit today."""
    table = tables["partnership_member"]
    named = connection.execute(select(table.c.shard).distinct().where(table.c.agency_id == agency_id)).scalars().all()
    return frozenset(shard for shard in named if leads(agency_id, in_force(memberships_of(connection, tables, shard), today)))


def _linked_cases(connection: Connection, tables: Tables, agency_id: str, led: frozenset[str]) -> frozenset[Case]:
    """Return the cases outside ``led`` that the agency wrote in or was asked about."""
    named = [
        select(table.c.shard, table.c.case_id).distinct().where(table.c.agency_id == agency_id, table.c.shard.not_in(sorted(led)))
        for table in (tables["fact"], tables["case_agency"])
    ]
    return frozenset((row.shard, row.case_id) for row in connection.execute(union(*named)))


def _closed_cases(connection: Connection, tables: Tables, agency_id: str, shards: Iterable[str]) -> frozenset[Case]:
    """Return the cases of some shards that were restricted as a whole to others."""
    table = tables["case_restriction"]
    statement = select(table).where(table.c.entry_id.is_(None), table.c.shard.in_(sorted(shards)))
    restrictions: dict[Case, list[Restriction]] = defaultdict(list)
    for row in connection.execute(statement.order_by(table.c.shard, table.c.position, table.c.ordinal)):
        restrictions[row.shard, row.case_id].append(restriction_of(row))
    return frozenset(case for case, said in restrictions.items() if agency_id not in (narrowest(said) or frozenset()))
