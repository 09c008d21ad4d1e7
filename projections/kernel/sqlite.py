"""The view database on SQLite: a file of one process, and of commands beside it.

WAL lets readers keep their snapshot while rows are written. ``synchronous=NORMAL`` is enough for views: after a power
loss the last transactions may be gone, but rows and tracking go together, the log is the truth, and the projector
applies again what is missing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import NoneType
from typing import Any, Final

from sqlalchemy import Connection, Engine, Result, Table, create_engine, event
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql import Executable

from projections.kernel.backend import Access
from projections.kernel.view import Tables
from projections.kernel.write_ahead import to_write_ahead

BUSY_TIMEOUT_MS: Final = 30_000
"""How long a statement waits for another process that writes; a batch of the projector takes far less."""
READERS_MAX: Final = 16
CACHE_KIB: Final = 64 * 1024
PAGE_BYTES: Final = 16 * 1024
"""Of a new database: rows are long and come in order, and what a rebuild indexes and overwrites costs by the page, not by the byte."""
CHECKPOINT_PAGES: Final = 1_000
_BEGIN: Final[Mapping[Access, str]] = {
    Access.READ: "BEGIN",
    Access.WRITE: "BEGIN IMMEDIATE",
    Access.WRITE_PASSING: "BEGIN EXCLUSIVE",
}
_SCHEMA: Final = "beside"
_ROWS_A_STATEMENT: Final = (64, 32, 16, 8, 4, 2, 1)
"""How many rows one statement writes: as many as there are, in few of them."""

# The driver asks how to adapt every value that is not exactly an int, a float or a str, and takes twice as long to hear of no way as of
# one. It asks for all databases of the process; what it writes is the same.
sqlite3.register_adapter(bool, int)
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(NoneType, lambda none: none)


def engine(url: str, access: Access) -> Engine:
    """Return an engine whose connections all read, or the one connection that writes."""
    size = READERS_MAX if access is Access.READ else 1
    made = create_engine(url, poolclass=QueuePool, pool_size=size, max_overflow=0, pool_timeout=BUSY_TIMEOUT_MS / 1000)

    @event.listens_for(made, "connect")
    def prepare(dbapi_connection: Any, _record: object) -> None:
        dbapi_connection.isolation_level = None  # the driver's own transaction handling breaks savepoints
        for pragma in _pragmas(access):
            dbapi_connection.execute(f"PRAGMA {pragma}").fetchall()
        if access is Access.WRITE:
            to_write_ahead(dbapi_connection, BUSY_TIMEOUT_MS / 1_000)

    @event.listens_for(made, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(_BEGIN[access])

    return made


def row_writer(table: Table) -> Callable[[Connection, list[tuple[Any, ...]]], None]:
    """Return what inserts rows of a table, many with a statement: each one gives away the interpreter's lock, which others wait for."""
    row = f"({', '.join('?' * len(table.columns))})"
    statements = {count: f"INSERT INTO {table.name} VALUES {', '.join([row] * count)}" for count in _ROWS_A_STATEMENT}  # noqa: S608 (our names)

    def write(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        at = 0
        for count, statement in statements.items():
            while len(rows) - at >= count:
                connection.exec_driver_sql(statement, tuple(chain.from_iterable(rows[at : at + count])))
                at += count

    return write


def hold(_connection: Connection, _tables: Tables) -> bool:
    """Nothing needs to be done: a reader's snapshot holds whatever is dropped beside it."""
    return True


def be_impatient(_connection: Connection) -> None:
    """Nothing needs to be done: no writer waits for readers."""


def settle(_connection: Connection, _tables: Tables) -> None:
    """Nothing needs to be done: every query of the views has one way that an index gives it."""


@dataclass(frozen=True, slots=True)
class _Attached:
    """Another file's tables beside the database's own, under a schema's name."""

    connection: Connection

    def look(self, statement: Executable) -> Result[Any]:
        """Run a query on the file's tables."""
        return self.connection.execute(statement, execution_options={"schema_translate_map": {None: _SCHEMA}})

    def copy(self, name: str, into: Table) -> None:
        """Copy all rows of the file's table ``name``."""
        columns = ", ".join(map(self.connection.dialect.identifier_preparer.quote, into.columns.keys()))
        self.connection.exec_driver_sql(f"INSERT INTO {into.name} ({columns}) SELECT {columns} FROM {_SCHEMA}.{name}")  # noqa: S608 (our names)


@contextmanager
def beside(engine: Engine, file: Path) -> Iterator[_Attached]:
    """Give the connection that writes, in a transaction, with the file's tables beside its own."""
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection  # attaching is refused within a transaction, which the engine would begin
        driver.execute(f"ATTACH DATABASE ? AS {_SCHEMA}", (str(file),))
        try:
            with connection.begin():
                yield _Attached(connection)
        finally:
            driver.execute(f"DETACH DATABASE {_SCHEMA}")


def size_bytes(engine: Engine) -> int:
    """Return what the file takes on disk, its write-ahead log included."""
    database = Path(engine.url.database or "")
    return sum(file.stat().st_size for file in (database, database.with_name(f"{database.name}-wal")) if file.is_file())


class _Undisputed:
    """The file is its one process's own."""

    def take(self) -> bool:
        """Nobody else asks."""
        return True

    def leave(self) -> None:
        """Nobody waits."""


def tenure(_engine: Engine) -> _Undisputed:
    """Return what needs no claim."""
    return _Undisputed()


def _pragmas(access: Access) -> tuple[str, ...]:
    """Return the settings of one connection; the busy timeout first, since the others may already have to wait."""
    common = (f"busy_timeout={BUSY_TIMEOUT_MS}", "foreign_keys=ON", "temp_store=MEMORY")
    if access is Access.READ:
        return (*common, "query_only=ON")
    writing = (*common, f"page_size={PAGE_BYTES}", f"cache_size=-{CACHE_KIB}")
    if access is Access.WRITE_PASSING:
        return (*writing, "journal_mode=MEMORY", "synchronous=OFF", "secure_delete=OFF")
    return (
        *writing,
        "synchronous=NORMAL",
        "secure_delete=ON",  # what a view no longer holds is overwritten: it may be of a person
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    )
