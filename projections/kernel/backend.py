"""What a database must be able to do for the views: the form of ``sqlite.py`` and ``postgresql.py``."""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import Enum, auto
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Result, Table
from sqlalchemy.sql import Executable

from projections.kernel.view import Tables


class Access(Enum):
    """What connections of an engine are for."""

    READ = auto()
    """Each transaction sees one moment throughout, and writes nothing."""
    WRITE = auto()
    """One connection; its transactions begin when no other process of this database has one under way."""
    WRITE_PASSING = auto()
    """As ``WRITE``, in a database that is thrown away after any crash: nothing waits for the disk."""


class Beside(Protocol):
    """A closed SQLite file of filled views within reach of a transaction that writes."""

    @property
    def connection(self) -> Connection:
        """The connection that writes, in its transaction."""

    def look(self, statement: Executable) -> Result[Any]:
        """Run a query on the file's tables."""

    def copy(self, name: str, into: Table) -> None:
        """Copy all rows of the file's table ``name``."""


class Tenure(Protocol):
    """The right to keep the views of a database at the head of the log, which one process has at a time."""

    def take(self) -> bool:
        """Tell whether this process has it, taking it if nobody else does. Never raises. Ask every few seconds: it may have been lost."""

    def leave(self) -> None:
        """Let go of it, so that another process takes it at once; idempotent."""


class Backend(Protocol):
    """One kind of database. A module is one: its functions are these."""

    def engine(self, url: str, access: Access) -> Engine:
        """Return an engine whose connections all read, or the one connection that writes."""

    def hold(self, connection: Connection, tables: Tables) -> bool:
        """Keep tables from being dropped until the transaction ends; False if they are gone: the transaction is then of no use."""

    def be_impatient(self, connection: Connection) -> None:
        """Have the rest of the transaction give up soon where it would wait for readers."""

    def settle(self, connection: Connection, tables: Tables) -> None:
        """Let the database take stock of tables that were filled, so that it finds the best way to read them."""

    def beside(self, engine: Engine, file: Path) -> AbstractContextManager[Beside]:
        """Give a file of filled views, and a transaction to take it over in."""

    def size_bytes(self, engine: Engine) -> int:
        """Return what the database takes on disk."""

    def tenure(self, engine: Engine) -> Tenure:
        """Return this process's claim to the work, not made yet."""
