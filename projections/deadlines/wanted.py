"""What a caller may see and wants to see of the deadlines, said twice alike: for rows in the database and for instances in hand."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, and_, case, false, or_, select, tuple_

from domain.partnership.state import in_force
from domain.rules import Band, ClockInstance, Status
from projections.deadlines.tables import MEMBERS
from projections.kernel.view import Tables

_PARTNERS: Final = "partners"
_BUSINESS_UNIT: Final = "business_unit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Members:
    """In which shards an agency is one of the partners (the business unit acts for them), and in which it is the business unit."""

    partner_in: Mapping[str, AbstractSet[str]]
    business_unit_in: Mapping[str, AbstractSet[str]]

    def shards_for(self, party: str, agencies: frozenset[str]) -> frozenset[str]:
        """Return the shards in which one of the agencies belongs to a party that is named by its part, not by an id."""
        by_agency = self.partner_in if party == _PARTNERS else self.business_unit_in
        return frozenset[str]().union(*(by_agency.get(agency, frozenset()) for agency in agencies))


@dataclass(slots=True)
class _List:
    """A list of members as an event said it."""

    position: int
    effective_on: date
    agencies: list[str] = field(default_factory=list)
    business_unit: str = ""


def members_of(connection: Connection, tables: Tables, day: date) -> Members:
    """Return who the partners and business units are on a day, as known today."""
    lists: dict[str, dict[int, _List]] = defaultdict(dict)
    table = tables[MEMBERS]
    for row in connection.execute(select(table).order_by(table.c.shard, table.c.place, table.c.position)):
        said = lists[row.shard].get(row.place)
        if said is None or said.position != row.position:  # the first, or a correction of it
            said = lists[row.shard][row.place] = _List(row.position, row.effective_on)
        said.agencies.append(row.agency_id)
        if row.is_business_unit:
            said.business_unit = row.agency_id
    partner_in: dict[str, set[str]] = defaultdict(set)
    business_unit_in: dict[str, set[str]] = defaultdict(set)
    for shard, there in lists.items():
        if (members := in_force(there.values(), day)) is not None:
            for agency in members.agencies:
                partner_in[agency].add(shard)
            business_unit_in[members.business_unit].add(shard)
    return Members(partner_in=partner_in, business_unit_in=business_unit_in)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineFilter:
    """Empty sets ask for everything, save ``shards`` and ``cases``, where None does. An agency stands also for the party it belongs to.

    Visible are the cases of ``shards`` less ``hidden_cases``, and ``linked_cases`` wherever they lie; both by shard and id.
    """

    agency: str | None = None
    """Who asks: its own deadlines come first in every band."""
    shards: frozenset[str] | None = None
    hidden_cases: frozenset[tuple[str, str]] = frozenset()
    linked_cases: frozenset[tuple[str, str]] = frozenset()
    cases: frozenset[str] | None = None
    owed_by: frozenset[str] = frozenset()
    owed_to: frozenset[str] = frozenset()
    clocks: frozenset[str] = frozenset()
    bands: frozenset[Band] = frozenset()

    def case_clauses(self, table: Table) -> list[ColumnElement[bool]]:
        """Return the conditions on a case."""
        visible = [] if self.shards is None else [table.c.shard.in_(sorted(self.shards))]
        if self.hidden_cases:
            visible.append(tuple_(table.c.shard, table.c.case_id).not_in(sorted(self.hidden_cases)))
        clauses: list[ColumnElement[bool]] = []
        if visible:
            linked = tuple_(table.c.shard, table.c.case_id).in_(sorted(self.linked_cases))
            clauses.append(or_(and_(*visible), linked))
        if self.cases is not None:
            clauses.append(table.c.case_id.in_(sorted(self.cases)))
        return clauses

    def clauses(self, instances: Table, members: Members) -> list[ColumnElement[bool]]:
        """Return the conditions on a stored instance, but for its band."""
        clauses = self.case_clauses(instances)
        if self.clocks:
            clauses.append(instances.c.clock.in_(sorted(self.clocks)))
        if self.owed_by:
            clauses.append(_is_party(instances.c.owed_by, instances.c.shard, self.owed_by, members))
        if self.owed_to:
            clauses.append(_is_party(instances.c.owed_to, instances.c.shard, self.owed_to, members))
        return clauses

    def is_foreign(self, instances: Table, members: Members) -> ColumnElement[int]:
        """Return 0 for a stored instance that the agency asking owes, else 1."""
        own = false() if self.agency is None else _is_party(instances.c.owed_by, instances.c.shard, frozenset({self.agency}), members)
        return case((own, 0), else_=1)

    def takes(self, instance: ClockInstance, status: Status, members: Members) -> bool:
        """Tell whether an instance in hand, of a case that fulfils ``case_clauses``, is asked for."""
        return (
            (not self.clocks or instance.clock in self.clocks)
            and (not self.bands or status.band in self.bands)
            and (not self.owed_by or _belongs(instance.owed_by, instance.shard, self.owed_by, members))
            and (not self.owed_to or _belongs(instance.owed_to, instance.shard, self.owed_to, members))
        )

    def is_own(self, instance: ClockInstance, members: Members) -> bool:
        """Tell whether the agency asking owes it."""
        return self.agency is not None and _belongs(instance.owed_by, instance.shard, frozenset({self.agency}), members)


def _is_party(column: ColumnElement[Any], shard: ColumnElement[Any], agencies: frozenset[str], members: Members) -> ColumnElement[bool]:
    """Return the condition that a party is one of the agencies, or one that one of them belongs to in the shard."""
    by_part = [and_(column == party, shard.in_(sorted(members.shards_for(party, agencies)))) for party in (_PARTNERS, _BUSINESS_UNIT)]
    return or_(column.in_(sorted(agencies)), *by_part)


def _belongs(party: str, shard: str, agencies: frozenset[str], members: Members) -> bool:
    """Say the same of an instance in hand."""
    return party in agencies or (party in {_PARTNERS, _BUSINESS_UNIT} and shard in members.shards_for(party, agencies))
