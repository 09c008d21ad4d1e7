"""Backups for tests: taken and put back without a command, and spoiled or forged in every way."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from services.backup.copying import Report, sha256_of
from services.backup.manifest import FILE_NAME, SUM_NAME, Manifest
from services.backup.restoring import Keys, restore
from services.backup.taking import Wanted, take
from services.bootstrap import now
from services.eventstore.port import EventStore
from services.eventstore.read_only import open_read_only
from services.runtime.settings import Settings

_KILLED_AT: Final = """
import os, pkgutil, signal, sys
from services.cli.main import main
where, _, name = sys.argv[1].rpartition(".")
owner, nth, calls = pkgutil.resolve_name(where), int(sys.argv[2]), []
real = getattr(owner, name)
def deadly(*arguments, **options):
    calls.append(arguments)
    if len(calls) == nth:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)
setattr(owner, name, deadly)
sys.exit(main(sys.argv[3:]))
"""
"""A ``hub`` command that kills itself instead of calling a function for the nth time."""


@contextmanager
def quiet(_words: str) -> Iterator[Report]:
    """Show nobody how far it has come."""
    yield lambda _done, _total: None


def taken(settings: Settings, target: Path, wanted: Wanted | None = None) -> Manifest:
    """Take a backup."""
    return take(settings, target, wanted or Wanted(), made_at=now(), progress=quiet)


def put_back(backup: Path, home: Path, keys: Keys | None = None) -> Manifest:
    """Restore a backup."""
    return restore(backup, home, keys=keys or Keys(), progress=quiet)


def killed_at(function: str, nth: int, *arguments: str | Path) -> list[str]:
    """Return the command line of a ``hub`` command that kills itself instead of calling ``function`` (dotted) for the nth time."""
    return [sys.executable, "-c", _KILLED_AT, function, str(nth), *map(str, arguments)]


def heads(home: Path) -> dict[str, tuple[int, str]]:
    """Return how far each shard of a home's log has come, and its digest in hexadecimal."""
    with open_read_only(home / "store" / "events.sqlite") as store:
        return heads_of(store)


def heads_of(store: EventStore) -> dict[str, tuple[int, str]]:
    """Return the same of an event store."""
    found = {name: store.shard(name).head() for name in store.shards()}
    return {name: (head.position, head.digest.hex()) for name, head in found.items()}


def heads_said_by(backup: Path) -> dict[str, tuple[int, str]]:
    """Return the same as a backup's manifest has it."""
    return {one["shard"]: (one["position"], one["digest"]) for one in said_by(backup)["shards"]}


def summed(backup: Path, document: Mapping[str, Any]) -> None:
    """Write a manifest with the sum that fits it, as only somebody who means to deceive would."""
    content = json.dumps(document).encode()
    (backup / FILE_NAME).write_bytes(content)
    (backup / SUM_NAME).write_text(f"{hashlib.sha256(content).hexdigest()}  {FILE_NAME}\n")


def said_by(backup: Path) -> dict[str, Any]:
    """Return the manifest as it is written."""
    document: dict[str, Any] = json.loads((backup / FILE_NAME).read_bytes())
    return document


def forged(backup: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change the manifest, with the sums of the files as they are now."""
    document = said_by(backup)
    for mark in document["files"]:
        file = backup / mark["path"]
        mark |= {"size_bytes": file.stat().st_size, "sha256": sha256_of(file)}
    change(document)
    summed(backup, document)


def rewritten(backup: Path, store: str, *statements: str) -> None:
    """Change a store of a backup, and the manifest to fit."""
    with closing(sqlite3.connect(backup / "store" / store, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        for statement in statements:
            assert connection.execute(statement).rowcount, statement
    forged(backup, lambda _document: None)
