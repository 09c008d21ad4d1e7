"""Folders of their owner's alone, in which one process at a time works."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

FOLDER_MODE: Final = 0o700


def take(descriptor: int, folder: Path) -> bool:
    """Lock an open folder and tell whether it is this process's now; the system lets it go when this process ends, however it ends.

    It is not if another process holds it, or has ended and removed it between our opening and our locking. Raise ``OSError`` where folders
    cannot be locked.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return is_same(descriptor, folder)


def is_same(descriptor: int, folder: Path) -> bool:
    """Tell whether what was opened is what has the name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat())
    except FileNotFoundError:
        return False
