"""The key store's tables, of either kind of database, and how they come to the newest form: what is in them can never be made again."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from services.runtime.errors import IntegrityError, Unavailable

NEWEST: Final = "0001"
"""The last of ``migrations/versions``; alembic is loaded only where the tables are of another form."""
VERSION: Final = "SELECT version_num FROM alembic_version"
MIGRATE_SECONDS: Final = 60.0
"""How long one node waits for another that migrates."""
_SCRIPTS: Final = "services.trust:migrations"
_TURN: Final = 0x4855424B
"""The first half of the name of the advisory lock under which one node migrates; the second tells schemas apart."""


def bring_up_to_date(url: URL, connect_args: dict[str, Any] | None = None) -> None:
    """Make or migrate the tables, in one transaction while no other process does.

    Raises ``IntegrityError`` if they are of a newer program, ``Unavailable`` if the database does not answer.
    """
    from alembic import command  # noqa: PLC0415  # a quarter of a second, which only a new or an older store has to spend
    from alembic.config import Config  # noqa: PLC0415  # likewise
    from alembic.util import CommandError  # noqa: PLC0415  # likewise

    engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=connect_args or {})
    _take_turns(engine)
    config = Config()
    config.set_main_option("script_location", _SCRIPTS)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError:
        raise IntegrityError("the key store is of a newer program: upgrade this node") from None
    except DBAPIError as error:
        raise Unavailable(f"the key store cannot be made or migrated ({code_of(error)})") from None


def code_of(error: DBAPIError) -> str:
    """Return the server's code for an error, or the driver's name for it: its text may quote a password."""
    return str(getattr(error.orig, "sqlstate", None) or type(error.orig).__name__)


def _take_turns(engine: Any) -> None:
    """Have transactions of an engine begin when no other process has one under way."""
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def leave_transactions_alone(connection: Any, _record: object) -> None:
            connection.isolation_level = None
            connection.execute(f"PRAGMA busy_timeout={int(MIGRATE_SECONDS * 1000)}")

        @event.listens_for(engine, "begin")
        def begin(connection: Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return

    @event.listens_for(engine, "begin")
    def wait(connection: Connection) -> None:
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{int(MIGRATE_SECONDS)}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN}, hashtext(current_schema()))")
