"""The SQLite engine of the view database. Another database gets a module beside this one, and nothing else changes.

WAL lets readers keep their snapshot while rows are written. ``synchronous=NORMAL`` is enough for views: after a power
loss the last transactions may be gone, but rows and tracking go together, the log is the truth, and the projector
applies again what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

BUSY_TIMEOUT_MS: Final = 30_000
"""How long a statement waits for another process that writes; a batch of the projector takes far less."""
READERS_MAX: Final = 16
CACHE_KIB: Final = 64 * 1024
CHECKPOINT_PAGES: Final = 4_000


class Access(Enum):
    """What connections of an engine are for."""

    READ = "BEGIN"
    WRITE = "BEGIN IMMEDIATE"
    WRITE_PASSING = "BEGIN EXCLUSIVE"
    """As ``WRITE``, in a database that is thrown away after any crash: nothing waits for the disk."""


def sqlite_engine(url: str, access: Access) -> Engine:
    """Return an engine whose connections all read, or the one connection that writes."""
    size = READERS_MAX if access is Access.READ else 1
    engine = create_engine(url, poolclass=QueuePool, pool_size=size, max_overflow=0, pool_timeout=BUSY_TIMEOUT_MS / 1000)

    @event.listens_for(engine, "connect")
    def prepare(dbapi_connection: Any, _record: object) -> None:
        dbapi_connection.isolation_level = None  # the driver's own transaction handling breaks savepoints
        for pragma in _pragmas(access):
            dbapi_connection.execute(f"PRAGMA {pragma}").fetchall()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(access.value)

    return engine


@contextmanager
def beside(engine: Engine, file: Path, name: str) -> Iterator[Connection]:
    """Give the connection that writes, in a transaction, with another database's tables beside its own under the schema ``name``."""
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection  # attaching is refused within a transaction, which the engine would begin
        driver.execute(f"ATTACH DATABASE ? AS {name}", (str(file),))
        try:
            with connection.begin():
                yield connection
        finally:
            driver.execute(f"DETACH DATABASE {name}")


def _pragmas(access: Access) -> tuple[str, ...]:
    """Return the settings of one connection; the busy timeout first, since the others may already have to wait."""
    common = (f"busy_timeout={BUSY_TIMEOUT_MS}", "foreign_keys=ON", "temp_store=MEMORY")
    if access is Access.READ:
        return (*common, "query_only=ON")
    if access is Access.WRITE_PASSING:
        return (*common, "journal_mode=MEMORY", "synchronous=OFF", "secure_delete=OFF", f"cache_size=-{CACHE_KIB}")
    return (
        *common,
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "secure_delete=ON",  # what a view no longer holds is overwritten: it may be of a person
        f"cache_size=-{CACHE_KIB}",
        f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    )
