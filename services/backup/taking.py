"""``hub backup``: a home's log, keys and files, copied beside whoever serves them, and checked before they have a name."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from services.backup import checking
from services.backup.copying import Progress, copy_database, copy_file, sha256_of
from services.backup.manifest import EVENTS, FORMAT, KEK, KEYS, VIEWS, FileMark, Manifest, write_manifest
from services.backup.staging import appearing
from services.eventstore.opening import DataKeys
from services.eventstore.tables import FOLLOWS_A_LOG
from services.runtime.errors import Unavailable
from services.runtime.settings import Settings
from services.trust.files import write_secret

SPARE_BYTES: Final = 64 * 1024**2
"""Left free beside a backup: on the hub's own disk it must not be what turns events away."""
_BESIDE: Final = ("pki", "trust", "agencies")
_OUTBOX: Final = "sequence.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What goes into a backup beside log and certificates. ``kek``: the key-encryption key, None to leave it out.

    ``shared_keys``: the data keys, if they lie in a database that nodes share; they are left to its own backup.
    """

    kek: bytes | None = field(default=None, repr=False)
    views: bool = False
    shared_keys: DataKeys | None = None

    @property
    def stores(self) -> list[str]:
        """The databases to copy, in this order: each may hold more than the one before.

        A view must not be ahead of the log, nor the log refer to a key that was made after the keys were copied.
        """
        return [*([VIEWS] if self.views else []), EVENTS, *([KEYS] if self.shared_keys is None else [])]


def take(settings: Settings, target: Path, wanted: Wanted, *, made_at: datetime, progress: Progress) -> Manifest:
    """Back the home up into the folder ``target``, which appears there whole or not at all.

    Raises ``FileExistsError`` rather than overwrite, ``Unavailable`` if there is not enough room or a file cannot be read or written, and
    ``IntegrityError`` if what was copied contradicts itself: the home is damaged then.
    """
    if target.exists() or target.is_symlink():
        raise FileExistsError(f"{target} exists; it is not overwritten")
    with appearing(target) as folder:
        _demand_room(settings, target, wanted.stores)
        for name in wanted.stores:
            with progress(f"copying {name}") as report:
                copy_database(settings.home / name, folder / name, report)
        for path in _files(settings):
            copy_file(settings.home / path, folder / path)
        if wanted.kek is not None:
            write_secret(folder / KEK, wanted.kek.hex().encode() + b"\n")
        manifest = _checked(settings, folder, wanted, made_at, progress)
        write_manifest(folder, manifest)
    return manifest


def _files(settings: Settings) -> Iterator[Path]:
    """Yield the small files of a home by their paths in it: settings, certificates and signing keys, never the key-encryption key.

    Nor the outboxes of clients, which may hold signed events that are not sealed yet. Raises ``Unavailable`` for a link to no file.
    """
    for file in (settings.settings_file, *sorted(_beside(settings.home))):
        path = file.relative_to(settings.home)
        if str(path).startswith(KEK) or file.name.startswith((_OUTBOX, ".")):
            continue
        if file.is_symlink() and not file.is_file():
            raise Unavailable(f"{file} is a link, but to no file: what it leads to would not be in the backup")
        if file.is_file():
            yield path


def _beside(home: Path) -> Iterator[Path]:
    """Yield whatever lies in the folders beside the stores, and what is no folder though it has the name of one."""
    for name in _BESIDE:
        folder = home / name
        yield from folder.rglob("*") if folder.is_dir() else [folder]


def _demand_room(settings: Settings, target: Path, stores: list[str]) -> None:
    """Raise ``Unavailable`` before a disk is filled in vain."""
    files = [settings.home / name for name in stores]
    needed = SPARE_BYTES + sum(_size_bytes(file) for file in files)
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise Unavailable(f"{target.parent} has {free // 1024**2} MiB free, a backup needs {needed // 1024**2} MiB")


def _size_bytes(database: Path) -> int:
    """Return what a copy of a database may take: the file, and what its write-ahead log may add."""
    beside = database.with_name(f"{database.name}-wal")
    return sum(file.stat().st_size for file in (database, beside) if file.is_file())


def _checked(settings: Settings, folder: Path, wanted: Wanted, made_at: datetime, progress: Progress) -> Manifest:
    """Return the manifest of the copies in a folder; raise ``IntegrityError`` if they contradict themselves or each other."""
    with progress("checking the copy") as report:
        counted = checking.recount(folder / EVENTS, report)
    shared = wanted.shared_keys
    states = checking.states_in(folder / KEYS, counted.key_ids) if shared is None else checking.states_by(shared, counted.key_ids)
    return Manifest(
        format=FORMAT,
        made_at=made_at,
        log_origin=counted.origin,
        node_id=settings.node_id,
        log="kafka" if counted.kind == FOLLOWS_A_LOG else "embedded",
        keys="sqlite" if shared is None else "postgresql",
        views="sqlite" if wanted.views else "postgresql" if settings.database_url else "none",
        shards=tuple(counted.shards),
        data_keys=len(states),
        destroyed=tuple(sorted(key_id for key_id, is_destroyed in states.items() if is_destroyed)),
        files=tuple(_marks(folder)),
    )


def _marks(folder: Path) -> Iterator[FileMark]:
    """Yield what is to be known of each file."""
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            yield FileMark(path=file.relative_to(folder).as_posix(), size_bytes=file.stat().st_size, sha256=sha256_of(file))
