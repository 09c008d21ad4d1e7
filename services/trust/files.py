"""Key and certificate files: secrets readable by their owner alone, nothing overwritten unless that was said."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from projections.kernel.write_ahead import code_of, to_write_ahead
from services.runtime.errors import Unavailable
from services.runtime.folders import FOLDER_MODE, take
from services.runtime.interruption import undisturbed

SECRET_MODE: Final = 0o600
PUBLIC_MODE: Final = 0o644
_BESIDE: Final = re.compile(r"\..+\.[0-9]+\.new")
"""What a file is called that ``_beside`` gives."""
_BUSY_TIMEOUT_MS: Final = 5_000
_OF_DISK: Final = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY}
)


class Busy(Unavailable):
    """Another process is at work in a folder of keys: try again when it has ended."""


@contextmanager
def alone(folder: Path, doing: str = "making keys") -> Iterator[None]:
    """Keep other processes from a folder of keys; it is made if there is none, and removed again if it stays empty.

    What one that was killed has half written is cleared away. Raises ``Busy`` while one is at work there; ``doing``: what all of them do.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    busy = Busy(f"{folder}: another process is {doing} there")
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:  # that process has just removed it
        raise busy from None
    try:
        try:
            is_ours = take(descriptor, folder)
        except OSError as error:
            raise Unavailable(f"{folder} cannot be locked, so that two could make keys there at once: {error.strerror}") from None
        if not is_ours:
            raise busy
        for left in folder.iterdir():
            if _BESIDE.fullmatch(left.name) and left.is_file():
                left.unlink()
        try:
            yield
        finally:
            with suppress(OSError):  # there is something in it
                folder.rmdir()
    finally:
        os.close(descriptor)


def write_secret(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write a secret, readable by its owner alone; raise ``FileExistsError`` rather than overwrite, unless told to ``replace``."""
    _write(path, content, SECRET_MODE, replace=replace)


def write_public(path: Path, content: bytes, *, replace: bool = False) -> None:
    """Write what everyone may read; raise ``FileExistsError`` rather than overwrite, unless told to ``replace``."""
    _write(path, content, PUBLIC_MODE, replace=replace)


def write_pair(secret: tuple[Path, bytes], public: tuple[Path, bytes], *, replace: bool = False) -> None:
    """Write a secret and what belongs to it, in one folder: neither before both can be written, and both at once as far as can be.

    Raises ``FileExistsError`` rather than overwrite, unless told to ``replace``. Killed between the two, it leaves the new secret in place.
    """
    secret[0].parent.mkdir(parents=True, exist_ok=True)
    with _beside(*secret, SECRET_MODE) as one, _beside(*public, PUBLIC_MODE) as other, undisturbed():
        _place(one, secret[0], replace=replace)
        _place(other, public[0], replace=replace)


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
    with _beside(path, content, mode) as beside:
        _place(beside, path, replace=replace)


@contextmanager
def _beside(path: Path, content: bytes, mode: int) -> Iterator[Path]:
    """Give a file beside ``path`` that durably holds the content, to be moved into its place; it does not stay."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with open(beside, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:  # Path's open has none
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def _place(beside: Path, path: Path, *, replace: bool) -> None:
    """Move a file into its place."""
    if replace:
        beside.replace(path)
    else:
        os.link(beside, path)  # fails if someone else wrote it meanwhile, where a rename would overwrite
