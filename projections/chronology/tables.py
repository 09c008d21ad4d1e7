"""The chronology's rows: facts as they came, one event's never changed by another's. Stories are composed from them when read."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Date, Index, Integer, LargeBinary, MetaData, Table, Text

from projections.kernel.columns import Instant, Json, event_place
from projections.kernel.view import Tables


def define(metadata: MetaData, prefix: str) -> Tables:
    """Define the tables. Every read is by shard and case (or child), so that it costs what the case is, not what the store is."""
    return {
        "fact": _fact(metadata, prefix),
        "case_agency": _case_agency(metadata, prefix),
        "case_restriction": _case_restriction(metadata, prefix),
        "case_child": _case_child(metadata, prefix),
        "partnership_member": _partnership_member(metadata, prefix),
    }


def _place() -> tuple[Column[str], Column[int], Column[int]]:
    """Return the key of a row: its event's place, and a number among the rows of that event."""
    return (
        *event_place(),
        Column("ordinal", Integer, primary_key=True, autoincrement=False),
    )


def _fact(metadata: MetaData, prefix: str) -> Table:
    """One row a line or mark: an entry, a milestone, or what changes how another row is shown."""
    return Table(
        f"{prefix}fact",
        metadata,
        *_place(),
        Column("case_id", Text, nullable=False),
        Column("stream", Text, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("event_id", LargeBinary, nullable=False),
        Column("event_type", Text, nullable=False),
        Column("agency_id", Text, nullable=False),
        Column("marking", Text, nullable=False),
        Column("imported", Boolean, nullable=False),
        Column("recorded_at", Instant, nullable=False),
        Column("asserted_at", Instant, nullable=False),
        Column("known_at", Instant, nullable=False),
        Column("corrects", LargeBinary),
        Column("findings", Json, nullable=False),
        Column("mended", Json, nullable=False),
        Column("kind", Text, nullable=False),
        Column("entry_id", Text),
        Column("content", Json, nullable=False),
        Index(f"{prefix}fact_case", "shard", "case_id", "position", "ordinal"),
        Index(f"{prefix}fact_agency", "agency_id", "shard", "case_id"),
    )


def _case_agency(metadata: MetaData, prefix: str) -> Table:
    """Agencies that a request named; authors are found among the facts."""
    return Table(
        f"{prefix}case_agency",
        metadata,
        *_place(),
        Column("case_id", Text, nullable=False),
        Column("agency_id", Text, nullable=False),
        Column("link", Text, nullable=False),
        Index(f"{prefix}case_agency_case", "shard", "case_id"),
        Index(f"{prefix}case_agency_agency", "agency_id"),
    )


def _case_restriction(metadata: MetaData, prefix: str) -> Table:
    """Restrictions of whole cases (no entry) and of entries, with the agencies that may read on."""
    return Table(
        f"{prefix}case_restriction",
        metadata,
        *_place(),
        Column("case_id", Text, nullable=False),
        Column("event_id", LargeBinary, nullable=False),
        Column("corrects", LargeBinary),
        Column("entry_id", Text),
        Column("marking", Text, nullable=False),
        Column("caveats", Json, nullable=False),
        Column("named_agencies", Json, nullable=False),
        Index(f"{prefix}case_restriction_case", "shard", "case_id"),
    )


def _case_child(metadata: MetaData, prefix: str) -> Table:
    """Which children were said to belong to which case, as often as it was said."""
    return Table(
        f"{prefix}case_child",
        metadata,
        *_place(),
        Column("case_id", Text, nullable=False),
        Column("child_id", Text, nullable=False),
        Index(f"{prefix}case_child_child", "shard", "child_id", "case_id"),
    )


def _partnership_member(metadata: MetaData, prefix: str) -> Table:
    """Members of a partnership, a whole list for each event that changed them."""
    return Table(
        f"{prefix}partnership_member",
        metadata,
        *_place(),
        Column("agency_id", Text, nullable=False),
        Column("role", Text, nullable=False),
        Column("effective_on", Date, nullable=False),
        Column("event_id", LargeBinary, nullable=False),
        Column("corrects", LargeBinary),
    )
