"""SQLite files that several processes may be the first to open."""

from __future__ import annotations

import sqlite3
from time import monotonic, sleep
from typing import Final

_PAUSE_SECONDS: Final = 0.01
_PRIMARY_CODE: Final = 0xFF


def to_write_ahead(connection: sqlite3.Connection, wait_seconds: float) -> None:
    """Have the file keep a write-ahead log; raise ``sqlite3.OperationalError`` if others have it for longer than ``wait_seconds``.

    Of several who are the first to open it, SQLite turns all but one away without waiting, whatever the connection's busy timeout is.
    """
    deadline = monotonic() + wait_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if code_of(error) != sqlite3.SQLITE_BUSY or monotonic() > deadline:
                raise
            sleep(_PAUSE_SECONDS)
        else:
            return


def code_of(error: BaseException | None) -> int:
    """Return SQLite's primary result code, 0 for what is no error of SQLite's."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & _PRIMARY_CODE
