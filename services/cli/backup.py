"""``hub backup``: a copy of the home to serve from again, taken beside the hub."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from services.backup.manifest import Manifest
from services.backup.taking import Wanted, take
from services.bootstrap import now
from services.cli.calling import demand_home, read_log
from services.cli.failures import Exit, Failure, wrong_usage
from services.cli.options import Home, Json, settings_of
from services.cli.output import emit, plain, say
from services.cli.progress import progress
from services.cli.stores import kek_of, opened_keys
from services.runtime.settings import Settings
from services.trust.keystore import KeyStore


def backup(
    target: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder to make; there must be nothing of that name.")],
    home: Home = None,
    with_kek: Annotated[bool, typer.Option("--with-kek", help="Put the key-encryption key in, too: the backup then opens itself.")] = False,
    with_views: Annotated[bool, typer.Option("--with-views", help="Put the views in, too: unsealed, and sooner there than built.")] = False,
    json: Json = False,
) -> None:
    """Copy the log, the wrapped keys, the settings and the certificates into a folder, while the hub serves or not.

    The copy is of one moment, checked, and appears under its name when it is complete. Without the key-encryption key, which is kept
    elsewhere, nobody reads a body in it; but it holds signing keys: keep it as a secret. hub restore puts it back.
    """
    settings = settings_of(home)
    demand_home(settings)
    if not target.parent.is_dir():
        raise Failure(Exit.UNAVAILABLE, f"missing: {target.parent}", "make the folder, or mount what it lies on: the backup goes into it")
    if Path(os.path.realpath(target)).is_relative_to(os.path.realpath(settings.home)):
        raise wrong_usage(f"{target} lies in the home that it is to be a copy of", "name a folder elsewhere, best on another disk")
    _check_wishes(settings, with_kek=with_kek, with_views=with_views)
    try:
        with _shared_keys(settings) as shared:
            wanted = Wanted(kek=kek_of(settings) if with_kek else None, views=with_views, shared_keys=shared)
            manifest = take(settings, target, wanted, made_at=now(), progress=progress)
    except FileExistsError as error:
        raise wrong_usage(str(error), "name a folder that is not there yet") from None
    if json:
        emit({"backup": target.absolute(), **plain(manifest)})
        return
    say(f"backed up {manifest.events} events in {len(manifest.shards)} shards and {manifest.data_keys} data keys to {target}")
    if manifest.keys == "postgresql":
        say("the data keys lie in PostgreSQL: back them up there now, with pg_dump; those of later cases do no harm, a missing one does")
    say(_about_the_kek(settings, manifest, with_kek=with_kek))


@contextmanager
def _shared_keys(settings: Settings) -> Iterator[KeyStore | None]:
    """Give the data keys if they lie in a database that nodes share."""
    if settings.keys_database_url is None:
        yield None
        return
    with read_log(settings) as store, opened_keys(settings, store) as keys:
        yield keys


def _check_wishes(settings: Settings, *, with_kek: bool, with_views: bool) -> None:
    """Fail if what is asked for cannot be had, or would hold more than was asked for."""
    if with_views and settings.database_url is not None:
        raise wrong_usage("the views lie in PostgreSQL", "back them up there, with pg_dump, or let the hub build them from the log")
    in_file = tomllib.loads(settings.settings_file.read_text()) if settings.settings_file.is_file() else {}
    if "kek" in in_file and not with_kek:
        hint = "move it to the file trust/kek, or say --with-kek"
        raise wrong_usage(f"{settings.settings_file} holds the key-encryption key, which would lie beside what it opens", hint)


def _about_the_kek(settings: Settings, manifest: Manifest, *, with_kek: bool) -> str:
    """Say who can read the bodies in the backup."""
    if with_kek:
        return "the key-encryption key is in it: whoever has this backup reads everything"
    where = "HUB_KEK" if settings.kek is not None else str(settings.kek_file)
    return f"the key-encryption key ({where}) is not in it: keep it elsewhere; without it {manifest.data_keys} data keys open nothing"
