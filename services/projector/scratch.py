"""Folders in which views are filled for a while: bodies lie there in the clear, so none outlives for long the process that filled it."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def scratch(parent: Path, name: str = "rebuild") -> Iterator[Path]:
    """Give a folder of its owner's alone in ``parent``, removed afterwards; remove those of this name that killed processes left there."""
    clear_left(parent, name)
    with TemporaryDirectory(prefix=f"{name}-{os.getpid()}-", dir=parent) as folder, _locked(Path(folder)):
        yield Path(folder)


def clear_left(parent: Path, name: str = "rebuild") -> None:
    """Remove such folders of processes that were killed, as far as this one may."""
    for left in parent.glob(f"{name}-*-*"):
        made_by = re.fullmatch(rf"{name}-([0-9]{{1,9}})-.+", left.name)
        if made_by is not None and not _lives(int(made_by[1])):
            with suppress(OSError), _locked(left):  # of another container's process, which has a lock and no number here
                shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder; raise ``BlockingIOError`` if another process does. The system lets go of it when this one ends, however it ends."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def _lives(pid: int) -> bool:
    """Tell whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
