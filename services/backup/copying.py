"""Files copied while they are in use: databases as they stood at one moment, everything else as it lies."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from time import monotonic
from typing import Final

from services.runtime.errors import IntegrityError, Unavailable
from services.runtime.folders import FOLDER_MODE
from services.trust.files import SECRET_MODE

PAGES_A_STEP: Final = 256
"""1 MiB between two looks at the clock and at who would interrupt."""
PATIENCE_SECONDS: Final = 30.0
"""A copy that comes no further for so long is given up."""
PIECE_BYTES: Final = 1 << 20

Report = Callable[[int, int], None]
"""Called with how much is done, and of how much."""
Progress = Callable[[str], AbstractContextManager[Report]]
"""Shows how far work described in words has come."""


def copy_database(source: Path, target: Path, report: Report) -> None:
    """Copy a SQLite file that others may be writing, as it stands now; ``report`` hears pages.

    One read transaction spans the copy. Without it each commit beside it would have SQLite begin anew, for ever under load; with it
    writers go on, and what they write lies in the write-ahead log until the copy is done. Raises ``Unavailable`` if the source cannot be
    read, the target not be written (a full disk), or nothing moves for ``PATIENCE_SECONDS``; ``IntegrityError`` for a damaged source.
    """
    _begin(target)
    try:
        with closing(_opened(source)) as reading, closing(sqlite3.connect(target, isolation_level=None)) as writing:
            reading.execute("BEGIN")
            reading.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            # What a crash leaves of the copy is thrown away; it is made durable once, at its end.
            writing.execute("PRAGMA journal_mode=OFF")
            writing.execute("PRAGMA synchronous=OFF")
            reading.backup(writing, pages=PAGES_A_STEP, progress=_Watch(source, report))
    except sqlite3.Error as error:
        if type(error) is sqlite3.DatabaseError:
            raise IntegrityError(f"{source}: damaged: {error}") from error
        raise Unavailable(f"{source} cannot be copied to {target.parent}: {error}") from error


class _Watch:
    """Passes on how far a copy has come, and gives it up if it comes no further."""

    def __init__(self, source: Path, report: Report) -> None:
        self._source = source
        self._report = report
        self._left: int | None = None
        self._moved_at = monotonic()

    def __call__(self, _status: int, left: int, total: int) -> None:
        now = monotonic()
        if left != self._left:
            self._left, self._moved_at = left, now
        elif now - self._moved_at > PATIENCE_SECONDS:
            raise Unavailable(f"{self._source} cannot be copied: it has been locked for {PATIENCE_SECONDS:.0f} s")
        self._report(total - left, total)


def _opened(source: Path) -> sqlite3.Connection:
    if not source.is_file():
        raise Unavailable(f"{source} is missing")
    return sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=PATIENCE_SECONDS, isolation_level=None)


def copy_file(source: Path, target: Path) -> tuple[int, str]:
    """Copy a file that changes by replacement only; return the bytes copied and their SHA-256 in hexadecimal."""
    _begin(target)
    hashed, size_bytes = hashlib.sha256(), 0
    with source.open("rb") as reading, target.open("wb") as writing:
        while piece := reading.read(PIECE_BYTES):
            hashed.update(piece)
            writing.write(piece)
            size_bytes += len(piece)
    return size_bytes, hashed.hexdigest()


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _begin(target: Path) -> None:
    """Make an empty file for its owner alone, and the folders that lead to it."""
    for folder in reversed(target.parents):
        if not folder.exists():
            folder.mkdir(mode=FOLDER_MODE)
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, SECRET_MODE))
