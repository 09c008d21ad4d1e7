"""The deadlines view's tables: facts as they were said, and what the clocks make of them as known today. No narrative."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Date, Index, MetaData, Table, Text

from projections.kernel.columns import Instant, Json, event_place
from projections.kernel.view import WHILE_BUILDING, Tables

FACTS: Final = "facts"
CASES: Final = "cases"
INSTANCES: Final = "instances"
MEMBERS: Final = "members"
TERMS: Final = "terms"


def define(metadata: MetaData, prefix: str) -> Tables:
    """Define the view's tables, their names beginning with ``prefix``."""
    return {
        FACTS: _facts(metadata, prefix),
        CASES: _cases(metadata, prefix),
        INSTANCES: _instances(metadata, prefix),
        MEMBERS: _members(metadata, prefix),
        TERMS: Table(
            f"{prefix}{TERMS}",
            metadata,
            Column("shard", Text, primary_key=True),
            Column("written_confirmation_hours", BigInteger, nullable=False),
        ),
    }


def _facts(metadata: MetaData, prefix: str) -> Table:
    """One row an event that a clock looks at, only ever added; ``counts_from``: from when on it is part of the case as known."""
    return Table(
        f"{prefix}{FACTS}",
        metadata,
        *event_place(),
        Column("case_id", Text, nullable=False),
        Column("event_id", Text, nullable=False),
        Column("event_type", Text, nullable=False),
        Column("agency_id", Text, nullable=False),
        Column("imported", Boolean, nullable=False),
        Column("recorded_at", Instant, nullable=False),
        Column("scored_at", Instant, nullable=False),
        Column("asserted_at", Instant, nullable=False),
        Column("known_at", Instant, nullable=False),
        Column("counts_from", Instant, nullable=False),
        Column("corrects", Text),
        Column("gone", Boolean, nullable=False),
        Column("attributes", Json, nullable=False),
        Index(f"{prefix}{FACTS}_by_case", "shard", "case_id", info={WHILE_BUILDING: True}),
    )


def _cases(metadata: MetaData, prefix: str) -> Table:
    """One row a case; its instances hold for any moment from ``settled_from`` on, when the last of its facts counts."""
    return Table(
        f"{prefix}{CASES}",
        metadata,
        Column("shard", Text, primary_key=True),
        Column("case_id", Text, primary_key=True),
        Column("settled_from", Instant, nullable=False),
        Index(f"{prefix}{CASES}_by_settled", "settled_from"),
    )


def _instances(metadata: MetaData, prefix: str) -> Table:
    """One row a clock instance, replaced whenever its case gets a fact; ``document`` is all of it, the other columns select and order."""
    return Table(
        f"{prefix}{INSTANCES}",
        metadata,
        Column("shard", Text, primary_key=True),
        Column("case_id", Text, primary_key=True),
        Column("instance_id", Text, primary_key=True),
        Column("clock", Text, nullable=False),
        Column("owed_by", Text, nullable=False),
        Column("owed_to", Text, nullable=False),
        Column("due_on", Text),
        Column("due_at", Instant),
        Column("stopped_at", Instant),
        Column("cancelled_at", Instant),
        Column("is_known", Boolean, nullable=False),
        Column("document", Json, nullable=False),
        Index(f"{prefix}{INSTANCES}_by_due", "due_on"),
    )


def _members(metadata: MetaData, prefix: str) -> Table:
    """Partners and business unit of a partnership, a whole list for each event that said one, only ever added.

    ``place``: the position of the list that it stands in place of, its own if it corrects none.
    """
    return Table(
        f"{prefix}{MEMBERS}",
        metadata,
        *event_place(),
        Column("agency_id", Text, primary_key=True),
        Column("is_business_unit", Boolean, nullable=False),
        Column("effective_on", Date, nullable=False),
        Column("event_id", Text, nullable=False),
        Column("place", BigInteger, nullable=False),
    )
