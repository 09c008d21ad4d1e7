"""The digest of a view's rows: equal digests mean equal rows, bit for bit, in whichever generation or database they lie."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any, Final, Protocol

from sqlalchemy import Connection, Table, select

from projections.kernel.view import Tables

_FETCH_ROWS: Final = 1_000


class _Hash(Protocol):
    """What is fed."""

    def update(self, data: bytes, /) -> None:
        """Take in bytes."""


def row_digest(connection: Connection, tables: Tables) -> bytes:
    """Return SHA-256 over all rows of all tables: tables by short name, rows in primary key order. The generation is no part of it."""
    digest = hashlib.sha256()
    for name in sorted(tables):
        table = tables[name]
        _feed(digest, name)
        for column in table.columns:
            _feed(digest, column.name)
        for row in _rows(connection, table):
            for value in row:
                _feed(digest, value)
    return digest.digest()


def shape_of(tables: Tables) -> str:
    """Return a hash of the tables' columns: rows of one shape can be read by code that was written for it."""
    digest = hashlib.sha256()
    for name in sorted(tables):
        _feed(digest, name)
        for column in tables[name].columns:
            _feed(digest, f"{column.name} {column.type!r} {column.primary_key} {column.nullable}")
    return digest.hexdigest()


def _rows(connection: Connection, table: Table) -> Iterator[tuple[Any, ...]]:
    """Read a table in key order, a thousand rows at a time."""
    keys = list(table.primary_key.columns)
    if not keys:
        raise ValueError(f"table {table.name} has no primary key")
    result = connection.execute(select(table).order_by(*keys), execution_options={"yield_per": _FETCH_ROWS})
    for row in result:
        yield tuple(row)


def _feed(digest: _Hash, value: Any) -> None:
    """Add one value: a letter for its type, its length, its bytes."""
    letter, text = _form(value)
    digest.update(letter + len(text).to_bytes(8, "big") + text)


def _form(value: Any) -> tuple[bytes, bytes]:  # noqa: PLR0911 (one line a type)
    """Return a value's type letter and bytes; raise ``TypeError`` for a type that views do not hold."""
    match value:
        case None:
            return b"n", b""
        case bool():
            return b"b", b"1" if value else b"0"
        case int():
            return b"i", str(value).encode()
        case str():
            return b"s", value.encode()
        case bytes():
            return b"x", value
        case datetime():
            return b"t", value.isoformat().encode()
        case date():
            return b"d", value.isoformat().encode()
        case float():
            return b"f", value.hex().encode()
        case list() | dict():
            return b"j", repr(value).encode()
        case _:
            raise TypeError(f"a view's row holds no {type(value).__name__}")
