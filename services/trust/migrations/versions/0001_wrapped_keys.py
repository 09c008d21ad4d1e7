"""Wrapped data keys, whose log they are, and how often one was destroyed."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None


def upgrade() -> None:
    """Make the tables; the keys of a SQLite store from before there were versions stay where they are."""
    if not sa.inspect(op.get_bind()).has_table("data_key"):
        op.create_table(
            "data_key",
            sa.Column("id", sa.Text, primary_key=True),
            sa.Column("nonce", sa.LargeBinary),
            sa.Column("wrapped", sa.LargeBinary),
            sa.CheckConstraint("(nonce IS NULL) = (wrapped IS NULL)"),
            sqlite_strict=True,
            sqlite_with_rowid=False,
        )
    key_store = op.create_table(
        "key_store",
        sa.Column("log", sa.Text, comment="the leaf hash of the log's first event, hexadecimal; none until there is one"),
        sa.Column("destructions", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(key_store, [{"log": None, "destructions": 0}])
