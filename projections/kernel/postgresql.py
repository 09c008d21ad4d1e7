"""The view database on PostgreSQL: shared by the nodes of a hub, one of which works while the others read and stand by.

Writers take turns by an advisory lock, as SQLite's writers do by their file's: what was read in a transaction that writes stays true in it.
Readers see one moment by REPEATABLE READ. That covers rows, not tables, so a reader also locks the tables that it is going to read. Commits
wait for the disk: a projector remembers how far it has come longer than a server that crashed and was up again at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import sql
from sqlalchemy import URL, Connection, Engine, Result, Table, create_engine, event
from sqlalchemy.dialects.postgresql.base import PGTypeCompiler
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import NullPool, QueuePool
from sqlalchemy.sql import Executable

from projections.kernel import sqlite
from projections.kernel.backend import Access
from projections.kernel.view import Tables

LEAST_VERSION: Final = 140_000
LOCK_TIMEOUT_MS: Final = 30_000
"""How long a writer waits for another that writes; a batch of the projector takes far less."""
IMPATIENT_MS: Final = 100
CONNECT_TIMEOUT_SECONDS: Final = 10
TENURE_TIMEOUT_MS: Final = 30_000
"""After this long a process that says nothing (stopped, or its machine gone) is taken to be no more, and another takes over."""
READERS_MAX: Final = 16
COPY_MIN_ROWS: Final = 8
"""From so many rows on COPY is faster than one INSERT."""
_TURN: Final = 0x48554254
_TENURE: Final = 0x48554257
"""The first halves of the advisory locks' names; the second tells schemas apart, since hubs may share a database by ``search_path``."""
_PATIENCE: Final[dict[str, object]] = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_WRITERS: Final = {
    # Whoever projects remembers how far it has come: a commit that a crash of the server took back would be passed over.
    "synchronous_commit": "on",
    "lock_timeout": f"{LOCK_TIMEOUT_MS}ms",
    # A process that was stopped, or its machine lost, in the middle of a transaction must not keep the others from writing.
    "idle_in_transaction_session_timeout": f"{LOCK_TIMEOUT_MS}ms",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
_FETCH_ROWS: Final = 1_000
_UNDEFINED_TABLE: Final = "42P01"
_SERVERS_OWN: Final = (psycopg.ProgrammingError, psycopg.InternalError, psycopg.NotSupportedError)
"""Said by a server, these are not an event's fault: a table or a right is missing, or it only reads."""


class _Types(PGTypeCompiler):
    """Columns that sort and count as SQLite's do, whatever the database's own collation is: else digests would differ."""

    def visit_TEXT(self, type_: Any, **kw: Any) -> str:  # noqa: N802 (SQLAlchemy's name)
        """Sort text by its bytes."""
        text: str = super().visit_TEXT(type_, **kw)
        return f'{text} COLLATE "C"' if kw.get("type_expression") is not None else text

    def visit_INTEGER(self, type_: Any, **kw: Any) -> str:  # noqa: N802 (likewise)
        """Hold 64 bits."""
        of_column = kw.get("type_expression") is not None
        text: str = "BIGINT" if of_column else super().visit_INTEGER(type_, **kw)
        return text


def engine(url: str, access: Access) -> Engine:
    """Return an engine whose connections all read, or the one connection that writes. Errors quote no row's values as parameters."""
    size = READERS_MAX if access is Access.READ else 1
    wait_seconds = LOCK_TIMEOUT_MS / 1000
    made = create_engine(
        url,
        poolclass=QueuePool,
        pool_size=size,
        max_overflow=0,
        pool_timeout=wait_seconds,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args=_connect_args(url),
    )
    made.dialect.type_compiler_instance = _Types(made.dialect)  # type: ignore[no-untyped-call,unused-ignore]

    @event.listens_for(made, "connect")
    def prepare(connection: psycopg.Connection[Any], _record: object) -> None:
        _demand_fit(connection)
        if access is Access.READ:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            return
        connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
        with connection.cursor() as cursor:
            for name, value in _WRITERS.items():
                cursor.execute("SELECT set_config(%s, %s, false)", (name, value))
        connection.commit()

    if access is not Access.READ:

        @event.listens_for(made, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN}, hashtext(current_schema()))")

    @event.listens_for(made, "handle_error", retval=True)
    def tell(context: ExceptionContext) -> BaseException | None:
        error = context.original_exception
        return OperationalError(context.statement, None, error, hide_parameters=True) if _is_servers_own(error) else None

    return made


def hold(connection: Connection, tables: Tables) -> bool:
    """Lock tables against being dropped until the transaction ends; False if they are gone."""
    names = ", ".join(connection.dialect.identifier_preparer.format_table(table) for table in tables.values())
    try:
        connection.exec_driver_sql(f"LOCK TABLE {names} IN ACCESS SHARE MODE")
    except OperationalError as error:
        if getattr(error.orig, "sqlstate", None) == _UNDEFINED_TABLE:
            return False
        raise
    return True


def be_impatient(connection: Connection) -> None:
    """Wait for readers no longer than a moment."""
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{IMPATIENT_MS}ms'")


def settle(connection: Connection, tables: Tables) -> None:
    """Count what was filled: without, the planner guesses until the server comes round to it."""
    names = ", ".join(connection.dialect.identifier_preparer.format_table(table) for table in tables.values())
    connection.exec_driver_sql(f"ANALYZE {names}")


def row_writer(table: Table) -> Callable[[Connection, list[tuple[Any, ...]]], None]:
    """Return what writes rows of a table, each the values of all columns in its order."""
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    row = sql.SQL("({})").format(sql.SQL(", ").join([sql.Placeholder()] * len(table.columns)))
    insert = sql.SQL("INSERT INTO {} ({}) VALUES ").format(sql.Identifier(table.name), columns)
    of_count = [(insert + sql.SQL(", ").join([row] * count)).as_string() for count in range(COPY_MIN_ROWS)]

    def write(connection: Connection, rows: list[tuple[Any, ...]]) -> None:
        if len(rows) < COPY_MIN_ROWS:
            connection.exec_driver_sql(of_count[len(rows)], tuple(chain.from_iterable(rows)))
        else:
            _copy_rows(connection, table, rows)

    return write


def _copy_rows(connection: Connection, table: Table, rows: Iterable[Sequence[Any]]) -> None:
    """Write many rows, each the values of all columns in the table's order, by COPY; what fails is raised as SQLAlchemy has it."""
    driver: Any = connection.connection.driver_connection
    columns = sql.SQL(", ").join(sql.Identifier(column.name) for column in table.columns)
    try:
        with driver.cursor() as cursor, cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table.name), columns)) as copy:
            for row in rows:
                copy.write_row(row)
    except psycopg.Error as error:
        raise _as_sqlalchemy(error, f"COPY {table.name}") from error


@dataclass(frozen=True, slots=True)
class _Opened:
    """A SQLite file opened beside a transaction on the server."""

    connection: Connection
    file: Connection

    def look(self, statement: Executable) -> Result[Any]:
        """Run a query on the file's tables."""
        return self.file.execute(statement)

    def copy(self, name: str, into: Table) -> None:
        """Copy all rows of the file's table ``name``; what SQLite keeps for a day or a truth is text that PostgreSQL reads as such."""
        columns = ", ".join(map(self.file.dialect.identifier_preparer.quote, into.columns.keys()))
        driver: Any = self.file.connection.dbapi_connection
        cursor = driver.execute(f"SELECT {columns} FROM {name}")  # noqa: S608 (our names)
        _copy_rows(self.connection, into, iter(cursor.fetchone, None))


@contextmanager
def beside(engine: Engine, file: Path) -> Iterator[_Opened]:
    """Give the connection that writes, in a transaction, and the file opened beside it."""
    files = sqlite.engine(f"sqlite:///{file}", Access.READ)
    try:
        with files.begin() as reading, engine.begin() as connection:
            yield _Opened(connection, reading)
    finally:
        files.dispose()


def size_bytes(engine: Engine) -> int:
    """Return what the whole database takes on disk, with whatever else lies in it."""
    with engine.begin() as connection:
        return int(connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar_one())


class _Claim:
    """A session of its own that holds an advisory lock: it goes with the process, however that ends."""

    def __init__(self, url: URL) -> None:
        self._engine: Final = create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT", hide_parameters=True, connect_args=_connect_args(url)
        )
        self._session: Connection | None = None
        self._is_held = False

    def take(self) -> bool:
        """Hold the lock, or try to; a session that was lost is begun anew."""
        try:
            if self._session is None:
                self._session = self._engine.connect()
                self._session.exec_driver_sql(f"SET idle_session_timeout = {TENURE_TIMEOUT_MS}")
            if self._is_held:
                self._session.exec_driver_sql("SELECT 1")
            else:
                asked = f"SELECT pg_try_advisory_lock({_TENURE}, hashtext(current_schema()))"
                self._is_held = bool(self._session.exec_driver_sql(asked).scalar_one())
        except SQLAlchemyError:
            self.leave()
        return self._is_held

    def leave(self) -> None:
        """Give the lock back, and end the session, which the server notices only a moment later."""
        session, self._session, self._is_held = self._session, None, False
        if session is not None:
            with suppress(SQLAlchemyError):  # it may be gone already
                session.exec_driver_sql("SELECT pg_advisory_unlock_all()")
            with suppress(SQLAlchemyError):
                session.close()


def tenure(engine: Engine) -> _Claim:
    """Return a claim that nothing was done for yet."""
    return _Claim(engine.url)


def _connect_args(url: str | URL) -> dict[str, object]:
    """Return what every connection is begun with unless the URL says otherwise: a server that is gone is noticed within half a minute."""
    return {name: value for name, value in _PATIENCE.items() if name not in make_url(url).query}


def _demand_fit(connection: psycopg.Connection[Any]) -> None:
    """Raise ``ValueError`` for a server that ends no silent session, or a database that cannot hold every text."""
    if connection.info.server_version < LEAST_VERSION:
        raise ValueError(f"views need PostgreSQL {LEAST_VERSION // 10_000} or newer, not {connection.info.server_version // 10_000}")
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ValueError(f"views need a database of encoding UTF8, not {encoding}")


def _is_servers_own(error: BaseException) -> bool:
    """Tell whether a server said this, and of itself."""
    return isinstance(error, _SERVERS_OWN) and error.sqlstate is not None


def _as_sqlalchemy(error: psycopg.Error, statement: str) -> DBAPIError:
    """Return what SQLAlchemy would have raised for an error of the driver."""
    if _is_servers_own(error):
        return OperationalError(statement, None, error, hide_parameters=True)
    made = DBAPIError.instance(statement, None, error, psycopg.Error, hide_parameters=True)
    return made if isinstance(made, DBAPIError) else OperationalError(statement, None, error, hide_parameters=True)
