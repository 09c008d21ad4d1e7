"""``hub data-keys``: where the keys lie that bodies are sealed with; ``hub keys`` is about those that agencies sign with."""

from __future__ import annotations

from contextlib import closing

import typer

from services.bootstrap import key_place, log_name
from services.cli.calling import read_log
from services.cli.commands import examples
from services.cli.failures import wrong_usage
from services.cli.options import Home, Json, settings_of
from services.cli.output import emit, say
from services.cli.stores import kek_of
from services.eventstore.lock import WriterLock
from services.runtime.settings import Settings
from services.trust.postgresql_keys import PostgresqlKeyStore
from services.trust.sqlite_keys import SqliteKeyStore

app = typer.Typer(no_args_is_help=True)


@app.callback()
def data_keys() -> None:
    """Move data keys into the database that nodes share; HUB_KEYS_DATABASE_URL names it."""


@app.command(epilog=examples("hub data-keys move"))
def move(home: Home = None, json: Json = False) -> None:
    """Move this home's data keys, as they are wrapped, from its file into the database, and remove the file.

    The hub must not be running. All keys are moved or none; a move that was cut short is begun again.
    """
    settings = settings_of(home)
    if settings.keys_database_url is None:
        raise wrong_usage("HUB_KEYS_DATABASE_URL is not set", "name the database that the data keys are to lie in")
    if not settings.key_store_file.exists():
        raise wrong_usage(f"there is no {settings.key_store_file}", "the keys were moved already; or is --home wrong?")
    moved = _move(settings)
    if json:
        emit({"moved": moved})
    else:
        say(f"moved {moved} data keys; from now on back up that database, for they can never be made again")


def _move(settings: Settings) -> int:
    """Move the keys while nobody uses them; return how many there were."""
    kek, file = kek_of(settings), settings.key_store_file
    lock = WriterLock(settings.event_store_file.absolute())
    try:
        with read_log(settings) as store:
            log = log_name(store)
        with closing(SqliteKeyStore(file, kek)) as source, closing(PostgresqlKeyStore(key_place(settings), kek)) as target:
            source.belong_to(log)
            rows = source.rows()
            target.take_over(rows, log)
        file.unlink()  # a copy would keep what is destroyed from now on; closed, it has no write-ahead log beside it
    finally:
        lock.release()
    return len(rows)
