"""The facts of the oversight view as values, and how they are read back."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, Select, select

from domain.incident.codes import (
    Characteristic,
    CourtOrder,
    DeathCategory,
    Ethnicity,
    Gender,
    HarmCategory,
    LivingArrangement,
    NotificationType,
    OtherDeathKind,
    ServiceInvolvement,
)
from domain.kernel.ids import AgencyId, CaseId, ChildId, Shard
from projections.kernel.view import Tables
from projections.oversight.tables import CHILDREN, COUNCILS, FACTS, FINDINGS, NOTICES

Place = tuple[str, int]
"""A shard and a position in it."""

CaseKey = tuple[Shard, CaseId]
"""What tells cases apart. A case id alone does not: another shard may have used the same one, by mistake or by intent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildFact:
    """One child as one event describes it."""

    child_id: ChildId
    index_child: bool
    gender: Gender
    age_years: int | None
    born_on: date | None
    ethnicity: Ethnicity
    services: frozenset[ServiceInvolvement]
    court_orders: frozenset[CourtOrder]
    living_arrangement: LivingArrangement
    death_category: DeathCategory | None
    other_death_kind: OtherDeathKind | None
    harm_category: HarmCategory | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeFact:
    """What one event says of the notification as a whole; what it does not say is None."""

    notification_type: NotificationType | None
    occurred_on: date | None
    occurred_exactly: bool | None
    notified_at: datetime | None
    incident_authority: AgencyId | None
    residence_authority: AgencyId | None
    deprivation_fifth: int | None
    care_leaver_only: bool | None
    characteristics: frozenset[Characteristic] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One event about a case. ``opened`` is False where its body is gone."""

    shard: Shard
    position: int
    case_id: CaseId
    event_type: str
    event_id: bytes
    corrects: bytes | None
    agency_id: AgencyId
    imported: bool
    opened: bool
    scored_at: datetime
    done_at: datetime | None
    """As asserted, where the sender says it."""
    counts_on: date
    """The London day that ``scored_at`` bears."""
    code: str | None
    """The decision made, or who received a copy."""
    code_on: date | None
    """The day of the decision to initiate a local review."""
    notice: NoticeFact | None
    children: tuple[ChildFact, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A rule was found broken in a case, or mended; it counts from the end of a London day on."""

    rule: str
    is_mended: bool
    counts_on: date


def facts_by_case(connection: Connection, tables: Tables) -> dict[CaseKey, tuple[Fact, ...]]:
    """Return the facts of every case, each case's in log order.

    All of them, also those past a count day: a correction may point at a fact that does not count yet.
    """
    named: dict[Place, list[ChildFact]] = defaultdict(list)
    for row in connection.execute(_ordered(tables, CHILDREN)).mappings():
        named[row["shard"], row["position"]].append(_child(row))
    notices = {(row["shard"], row["position"]): _notice(row) for row in connection.execute(_ordered(tables, NOTICES)).mappings()}
    cases: dict[CaseKey, list[Fact]] = defaultdict(list)
    for row in connection.execute(_ordered(tables, FACTS)).mappings():
        place = (row["shard"], row["position"])
        cases[row["shard"], row["case_id"]].append(Fact(**row, notice=notices.get(place), children=tuple(named.get(place, ()))))
    return {case: tuple(facts) for case, facts in cases.items()}


def verdicts_by_case(connection: Connection, tables: Tables) -> dict[CaseKey, tuple[Verdict, ...]]:
    """Return what was found broken and mended in every case, each case's in log order."""
    cases: dict[CaseKey, list[Verdict]] = defaultdict(list)
    for row in connection.execute(_ordered(tables, FINDINGS)).mappings():
        verdict = Verdict(rule=row["rule"], is_mended=row["is_mended"], counts_on=row["counts_on"])
        cases[row["shard"], row["case_id"]].append(verdict)
    return {case: tuple(verdicts) for case, verdicts in cases.items()}


def enrolled_councils(connection: Connection, tables: Tables) -> dict[AgencyId, str]:
    """Return every council that was ever enrolled, with its newest name, by id."""
    table = tables[COUNCILS]
    rows = connection.execute(select(table.c.agency_id, table.c.name).order_by(table.c.shard, table.c.position))
    return dict(sorted({AgencyId(row.agency_id): str(row.name) for row in rows}.items()))


def _ordered(tables: Tables, name: str) -> Select[Any]:
    """Select a table's rows in log order."""
    table = tables[name]
    return select(table).order_by(*table.primary_key.columns)


def _notice(row: RowMapping) -> NoticeFact:
    """Return what one event says of the notification from its row."""
    characteristics = row["characteristics"]
    return NoticeFact(
        notification_type=None if row["notification_type"] is None else NotificationType(row["notification_type"]),
        occurred_on=row["occurred_on"],
        occurred_exactly=row["occurred_exactly"],
        notified_at=row["notified_at"],
        incident_authority=row["incident_authority"],
        residence_authority=row["residence_authority"],
        deprivation_fifth=row["deprivation_fifth"],
        care_leaver_only=row["care_leaver_only"],
        characteristics=None if characteristics is None else frozenset(Characteristic(code) for code in characteristics),
    )


def _child(row: RowMapping) -> ChildFact:
    """Return a child from its row."""
    return ChildFact(
        child_id=row["child_id"],
        index_child=row["index_child"],
        gender=Gender(row["gender"]),
        age_years=row["age_years"],
        born_on=row["born_on"],
        ethnicity=Ethnicity(row["ethnicity"]),
        services=frozenset(ServiceInvolvement(code) for code in row["services"]),
        court_orders=frozenset(CourtOrder(code) for code in row["court_orders"]),
        living_arrangement=LivingArrangement(row["living_arrangement"]),
        death_category=None if row["death_category"] is None else DeathCategory(row["death_category"]),
        other_death_kind=None if row["other_death_kind"] is None else OtherDeathKind(row["other_death_kind"]),
        harm_category=None if row["harm_category"] is None else HarmCategory(row["harm_category"]),
    )
