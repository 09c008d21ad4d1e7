"""The oversight view's tables: facts as they were said, one row each, never changed; codes and ids, no narrative."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Boolean, Column, Date, Integer, LargeBinary, MetaData, Table, Text

from projections.kernel.columns import Instant, Json, event_place
from projections.kernel.view import Tables

FACTS: Final = "facts"
NOTICES: Final = "notices"
CHILDREN: Final = "children"
COUNCILS: Final = "councils"
FINDINGS: Final = "findings"


def define(metadata: MetaData, prefix: str) -> Tables:
    """Define the view's tables, their names beginning with ``prefix``."""
    return {
        FACTS: _facts(metadata, prefix),
        NOTICES: _notices(metadata, prefix),
        CHILDREN: _children(metadata, prefix),
        COUNCILS: _councils(metadata, prefix),
        FINDINGS: _findings(metadata, prefix),
    }


def _facts(metadata: MetaData, prefix: str) -> Table:
    """One row an event about a case; ``code`` is its decision or recipient, ``code_on`` the day it names, where its type has one."""
    return Table(
        f"{prefix}{FACTS}",
        metadata,
        *event_place(),
        Column("case_id", Text, nullable=False),
        Column("event_type", Text, nullable=False),
        Column("event_id", LargeBinary, nullable=False),
        Column("corrects", LargeBinary),
        Column("agency_id", Text, nullable=False),
        Column("imported", Boolean, nullable=False),
        Column("opened", Boolean, nullable=False),
        Column("scored_at", Instant, nullable=False),
        Column("done_at", Instant),
        Column("counts_on", Date, nullable=False),
        Column("code", Text),
        Column("code_on", Date),
    )


def _notices(metadata: MetaData, prefix: str) -> Table:
    """One row an event that notifies, amends or reclassifies; what it does not say is empty."""
    return Table(
        f"{prefix}{NOTICES}",
        metadata,
        *event_place(),
        Column("notification_type", Text),
        Column("occurred_on", Date),
        Column("occurred_exactly", Boolean),
        Column("notified_at", Instant),
        Column("incident_authority", Text),
        Column("residence_authority", Text),
        Column("deprivation_fifth", Integer),
        Column("care_leaver_only", Boolean),
        Column("characteristics", Json),
    )


def _children(metadata: MetaData, prefix: str) -> Table:
    """One row a child that an event names, in the event's order."""
    return Table(
        f"{prefix}{CHILDREN}",
        metadata,
        *event_place(),
        Column("place", Integer, primary_key=True, autoincrement=False),
        Column("child_id", Text, nullable=False),
        Column("index_child", Boolean, nullable=False),
        Column("gender", Text, nullable=False),
        Column("age_years", Integer),
        Column("born_on", Date),
        Column("ethnicity", Text, nullable=False),
        Column("services", Json, nullable=False),
        Column("court_orders", Json, nullable=False),
        Column("living_arrangement", Text, nullable=False),
        Column("death_category", Text),
        Column("other_death_kind", Text),
        Column("harm_category", Text),
    )


def _councils(metadata: MetaData, prefix: str) -> Table:
    """One row an enrolment of a council."""
    return Table(
        f"{prefix}{COUNCILS}",
        metadata,
        *event_place(),
        Column("agency_id", Text, nullable=False),
        Column("name", Text, nullable=False),
    )


def _findings(metadata: MetaData, prefix: str) -> Table:
    """One row a rule that an event broke, or mended."""
    return Table(
        f"{prefix}{FINDINGS}",
        metadata,
        *event_place(),
        Column("rule", Text, primary_key=True),
        Column("is_mended", Boolean, primary_key=True),
        Column("case_id", Text, nullable=False),
        Column("counts_on", Date, nullable=False),
    )
