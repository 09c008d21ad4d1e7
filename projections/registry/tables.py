"""The registry's rows: agencies, their keys and their partnerships, as they stand."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, Index, LargeBinary, MetaData, Table, Text

from projections.kernel.columns import Instant, Json
from projections.kernel.view import Tables


def define(metadata: MetaData, prefix: str) -> Tables:
    """Define the tables."""
    return {
        "agency": _agency(metadata, prefix),
        "agency_key": _agency_key(metadata, prefix),
        "partnership": _partnership(metadata, prefix),
    }


def _agency(metadata: MetaData, prefix: str) -> Table:
    """One row an agency; ``said_in`` are the ids of the enrolment in force and of its corrections, in hexadecimal."""
    return Table(
        f"{prefix}agency",
        metadata,
        Column("agency_id", Text, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("name", Text, nullable=False),
        Column("live_from", Date, nullable=False),
        Column("shards", Json, nullable=False),
        Column("suspended", Boolean, nullable=False),
        Column("enrolled_at", Instant, nullable=False),
        Column("position", BigInteger, nullable=False),
        Column("said_in", Json, nullable=False),
    )


def _agency_key(metadata: MetaData, prefix: str) -> Table:
    """One row a key, also when it signs no more."""
    return Table(
        f"{prefix}agency_key",
        metadata,
        Column("key_id", Text, primary_key=True),
        Column("agency_id", Text, nullable=False),
        Column("algorithm", Text, nullable=False),
        Column("public_key", LargeBinary, nullable=False),
        Column("state", Text, nullable=False),
        Column("reason", Text),
        Column("registered_at", Instant, nullable=False),
        Column("ended_at", Instant),
        Column("position", BigInteger, nullable=False),
        Index(f"{prefix}agency_key_agency", "agency_id"),
    )


def _partnership(metadata: MetaData, prefix: str) -> Table:
    """One row a partnership; ``changed_in`` are the ids of the newest change of its members and of that change's corrections."""
    return Table(
        f"{prefix}partnership",
        metadata,
        Column("shard", Text, primary_key=True),
        Column("name", Text, nullable=False),
        Column("starts_on", Date, nullable=False),
        Column("members", Json, nullable=False),
        Column("members_since", Date, nullable=False),
        Column("changed_in", Json, nullable=False),
    )
