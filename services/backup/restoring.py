"""``hub restore``: a backup checked in every way that needs no secret, and put into a home: all of it, or nothing that serves."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from services.backup import checking
from services.backup.copying import Progress, copy_file
from services.backup.manifest import EVENTS, KEK, KEYS, VIEWS, FileMark, Manifest, read_manifest
from services.backup.staging import settle, settle_tree, staged
from services.eventstore.opening import DataKeys
from services.eventstore.tables import FOLLOWS_A_LOG
from services.runtime.errors import IntegrityError, Unavailable
from services.runtime.folders import FOLDER_MODE
from services.trust.keystore import load_kek
from services.trust.sqlite_keys import SqliteKeyStore

STAGE: Final = ".restoring"
_STORE: Final = "store"


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What is at hand to open data keys with. ``shared`` opens the store of a log, by its name, if that lies in a database of its own."""

    kek: bytes | None = field(default=None, repr=False)
    shared: Callable[[str], AbstractContextManager[DataKeys]] | None = None


class Occupied(Exception):
    """There is something in the home that a restore would have to overwrite."""


def restore(backup: Path, home: Path, *, keys: Keys, progress: Progress) -> Manifest:
    """Put a backup into a home that has no stores, after checking all of it; return what it says of itself.

    With a key-encryption key, the backup's own or that of ``keys``, every data key that the log refers to is opened. The stores come last
    and by one renaming: killed before, this leaves a home that nothing serves, and may be done again. Raises ``IntegrityError`` naming the
    first thing that is wrong, ``Occupied`` rather than overwrite anything, ``Unavailable`` if keys lie elsewhere and cannot be looked at.
    """
    manifest = read_manifest(backup)
    _demand_no_stores(home)
    is_new = not home.exists()
    home.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
    try:
        with staged(home / STAGE) as stage:
            with progress("reading the backup") as report:
                for number, mark in enumerate(manifest.files, 1):
                    _read(backup, stage, mark)
                    report(number, len(manifest.files))
            _check(stage, manifest, keys, progress)
            settle_tree(stage)
            _place(stage, home, manifest)
    except BaseException:
        if is_new and not any(home.iterdir()):
            home.rmdir()
        raise
    return manifest


def _demand_no_stores(home: Path) -> None:
    """Raise ``Occupied`` if anything lies where the stores go."""
    store = home / _STORE
    if store.exists() and (not store.is_dir() or any(store.iterdir())):
        raise Occupied(f"{store} is there already; it is not overwritten")


def _read(backup: Path, stage: Path, mark: FileMark) -> None:
    """Copy one file; raise ``IntegrityError`` unless it is what was written."""
    try:
        size_bytes, sha256 = copy_file(backup / mark.path, stage / mark.path)
    except FileNotFoundError:
        raise IntegrityError(f"{mark.path} is missing") from None
    if size_bytes != mark.size_bytes:
        raise IntegrityError(f"{mark.path} has {size_bytes} bytes, {mark.size_bytes} were written")
    if sha256 != mark.sha256:
        raise IntegrityError(f"{mark.path} is not what was written: its SHA-256 differs from the manifest's")


def _check(stage: Path, manifest: Manifest, keys: Keys, progress: Progress) -> None:
    """Hold the stores against themselves, each other and the manifest."""
    for name in sorted(manifest.paths & {EVENTS, KEYS, VIEWS}):
        with progress(f"checking {name}"):
            checking.check_database(stage / name)
    with progress("folding the log") as report:
        counted = checking.recount(stage / EVENTS, report)
    _demand_equal("log", manifest.log, "kafka" if counted.kind == FOLLOWS_A_LOG else "embedded")
    _demand_equal("log_origin", manifest.log_origin, counted.origin)
    _demand_equal("shards", [shard.shard for shard in manifest.shards], [shard.shard for shard in counted.shards])
    for said, found in zip(manifest.shards, counted.shards, strict=True):
        _demand_equal(f"shard {said.shard}", said, found)
    _check_keys(stage, manifest, counted, keys)
    if VIEWS in manifest.paths:
        checking.check_views(stage / VIEWS, counted.shards)


def _demand_equal(what: str, said: object, found: object) -> None:
    """Raise ``IntegrityError`` if the stores are not what the manifest says."""
    if said != found:
        raise IntegrityError(f"{what}: the manifest says {said}, the files hold {found}")


def _check_keys(stage: Path, manifest: Manifest, counted: checking.Recount, keys: Keys) -> None:
    """Demand every key that the log refers to, and that none came back; open each if the key-encryption key is at hand."""
    file = stage / KEYS
    if manifest.keys == "sqlite":
        states = checking.states_in(file, counted.key_ids)
        kek = load_kek(stage / KEK) if KEK in manifest.paths else keys.kek
        if kek is not None:
            with closing(SqliteKeyStore(file, kek)) as own:
                states = checking.states_by(own, counted.key_ids)
    elif keys.shared is None:
        raise Unavailable("the data keys were left to PostgreSQL: restore that database first, and set HUB_KEYS_DATABASE_URL and HUB_KEK")
    else:
        with keys.shared(counted.name) as shared:
            states = checking.states_by(shared, counted.key_ids)
    _demand_equal("data_keys", manifest.data_keys, len(states))
    for key_id in manifest.destroyed:
        if not states.get(key_id):
            raise IntegrityError(f"data key {key_id} was destroyed before the backup, and is whole: the key store is an older one")


def _place(stage: Path, home: Path, manifest: Manifest) -> None:
    """Move everything into the home, the stores last: until they are there it is no hub's."""
    others = sorted(path for path in manifest.paths if not path.startswith(f"{_STORE}/"))
    for path in others:
        there = home / path
        if there.exists() and there.read_bytes() != (stage / path).read_bytes():
            raise Occupied(f"{there} is there already, and is not what the backup holds")
    folders = {home}
    for path in others:
        there = home / path
        for parent in reversed(there.relative_to(home).parents):
            (home / parent).mkdir(mode=FOLDER_MODE, exist_ok=True)
            folders.add(home / parent)
        (stage / path).rename(there)
    settle(*folders)
    _demand_no_stores(home)
    (stage / _STORE).rename(home / _STORE)
    settle(home)
