"""``hub restore``: a home as a backup has it, checked before anything is put in place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from services.backup.manifest import KEK, Manifest
from services.backup.restoring import Keys, Occupied
from services.backup.restoring import restore as restored
from services.bootstrap import key_store
from services.cli.failures import Exit, Failure, wrong_usage
from services.cli.options import Home, Json, settings_of
from services.cli.output import emit, plain, say
from services.cli.progress import progress
from services.cli.stores import kek_of
from services.runtime.errors import IntegrityError
from services.runtime.settings import Settings, SettingsError


def restore(
    backup: Annotated[Path, typer.Argument(metavar="FOLDER", help="The backup.")],
    home: Home = None,
    json: Json = False,
) -> None:
    """Put a backup into a home that has no stores: an empty one, or one that holds the key-encryption key or settings already.

    Every file is held against its SHA-256, every database against itself, each shard's events against its digest, the log against the keys;
    they are opened if the key-encryption key is at hand. If anything is wrong it is named, nothing is put in place, and the exit code is 5.
    """
    settings = settings_of(home)
    if not backup.is_dir():
        raise Failure(Exit.UNAVAILABLE, f"missing: {backup}", "name the folder that hub backup made, or mount what it lies on")
    has_kek = settings.kek is not None or settings.kek_file.exists()
    keys = Keys(
        kek=kek_of(settings) if has_kek else None,
        shared=(lambda log: closing(key_store(settings, log))) if has_kek and settings.keys_database_url is not None else None,
    )
    try:
        manifest = restored(backup, settings.home, keys=keys, progress=progress)
    except Occupied as error:
        raise wrong_usage(str(error), "restore into an empty home, or move that away") from None
    except IntegrityError as error:
        raise Failure(Exit.UNSOUND, str(error), "nothing was restored; keep the backup as it is, and try an older one") from None
    notes = list(_notes(home, manifest, has_kek=has_kek or KEK in manifest.paths))
    if json:
        emit({"home": settings.home.absolute(), "notes": notes, **plain(manifest)})
        return
    when = f"{manifest.made_at:%Y-%m-%d %H:%M:%S} UTC"
    say(f"restored {manifest.events} events in {len(manifest.shards)} shards and {manifest.data_keys} data keys, as of {when}")
    for note in notes:
        say(f"- {note}")


def _notes(home: Path | None, manifest: Manifest, *, has_kek: bool) -> Iterator[str]:
    """Yield what is to be done or known before the home is served."""
    try:
        settings = settings_of(home)
    except SettingsError as error:
        yield f"the settings are wrong here: {error}"
    else:
        yield from _notes_on(settings, manifest)
    if not has_kek:
        yield "the key-encryption key is not here: put it into trust/kek, or set HUB_KEK; no data key was opened, hub verify opens them"
    if manifest.keys == "sqlite":
        yield "data keys that were destroyed after that moment are whole again in this copy: destroy them again before anyone reads"
    if manifest.views == "none":
        yield "the views are not in a backup: hub rebuild makes them, and so does hub serve"
    yield "hub verify says whether every signature and body is what it was"


def _notes_on(settings: Settings, manifest: Manifest) -> Iterator[str]:
    """Yield where the settings are not those of the backup."""
    if settings.log_origin != manifest.log_origin:
        yield f"set HUB_LOG_ORIGIN={manifest.log_origin}, which is what the events bear"
    if manifest.log == "kafka":
        where = "HUB_KAFKA_BOOTSTRAP" if settings.kafka_bootstrap else "set HUB_KAFKA_BOOTSTRAP: it"
        yield f"{where} names the topic that this node goes on to fold; cases begun there since the backup need their data keys"
    elif manifest.views == "postgresql" or settings.database_url is not None:
        yield "events since the backup are gone: empty the database of the views, which may have come further than this log"
