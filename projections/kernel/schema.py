"""The view database's own tables: whose log it is of, which generations there are, how far each has come, and what each has parked."""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Integer, MetaData, Table, Text

KERNEL: Final = MetaData()

LOG: Final = Table("log", KERNEL, Column("first_leaf", Text, primary_key=True))
"""One row, once the log has an event: the leaf hash of its first, hexadecimal."""

GENERATIONS: Final = Table(
    "view",
    KERNEL,
    Column("view", Text, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("version", Text, nullable=False),
    Column("shape", Text, nullable=False),
    Column("state", Text, nullable=False),
)
"""One row a generation; ``shape`` is a hash of its tables' columns."""

TRACKING: Final = Table(
    "tracking",
    KERNEL,
    Column("view", Text, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("shard", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
)
"""The last position applied, written in the transaction that wrote its rows."""

PARKED: Final = Table(
    "parked",
    KERNEL,
    Column("view", Text, primary_key=True),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("shard", Text, primary_key=True),
    Column("stream", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("reason_type", Text, nullable=False),
    Column("skipped", BigInteger, nullable=False),
)
"""Streams that a generation could not take an event of: where it stopped, why, and how many later events it passed over."""
