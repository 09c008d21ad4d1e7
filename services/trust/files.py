"""Key and certificate files: secrets readable by their owner alone, nothing overwritten unless that was said."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from projections.kernel.write_ahead import code_of, to_write_ahead

SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
_BUSY_TIMEOUT_MS: Final = 5_000
_OF_DISK: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY}
)


def write_secret(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a secret, readable by its owner alone; raise ``FileExistsError`` rather than overwrite, unless told to ``replace``."""
    _write(path, content, SECRET_MODE, replace=replace)


def write_public(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write what everyone may read; raise ``FileExistsError`` rather than overwrite, unless told to ``replace``."""
    _write(path, content, PUBLIC_MODE, replace=replace)


def secret_database(path: Path) -> sqlite3.Connection:
    """Open or create a SQLite file of its owner's alone, for any thread: durable at each commit, and what is deleted is overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=SECRET_MODE)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")
        to_write_ahead(connection, _BUSY_TIMEOUT_MS / 1_000)
        for pragma in ("synchronous=FULL", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()
        raise
    return connection


def is_damage(error: BaseException | None) -> bool:
    """Tell whether SQLite found that a file is not what it wrote."""
    return code_of(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def is_of_disk(error: BaseException | None) -> bool:
    """Tell whether SQLite cannot write or read a file now: no room, no right, or somebody else has it."""
    return code_of(error) in _OF_DISK


def _write(path: Path, content: bytes, mode: int, *, replace: bool) -> None:
    """Write beside, make durable, then move into place: a reader sees the old file or the new one, never half of one."""
    if not replace and path.exists():
        raise FileExistsError(f"{path} exists; it is not overwritten")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        os.fchmod(descriptor, mode)
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    if replace:
        beside.replace(path)
        return
    try:
        os.link(beside, path)  # fails if someone else wrote it meanwhile, where a rename would overwrite
    finally:
        beside.unlink()
