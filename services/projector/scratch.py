"""Folders in which views are filled for a while: bodies lie there in the clear, so none outlives for long the process that filled it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory


@contextmanager
def scratch(parent: Path, name: str = "rebuild") -> Iterator[Path]:
    """Give a folder of its owner's alone in ``parent``, removed afterwards; remove those of this name that killed processes left there."""
    clear_left(parent, name)
    with TemporaryDirectory(prefix=f"{name}-{os.getpid()}-", dir=parent) as folder:
        yield Path(folder)


def clear_left(parent: Path, name: str = "rebuild") -> None:
    """Remove such folders of processes that were killed, as far as this one may."""
    for left in parent.glob(f"{name}-*-*"):
        made_by = re.fullmatch(rf"{name}-([0-9]{{1,9}})-.+", left.name)
        if made_by is not None and not _lives(int(made_by[1])):
            shutil.rmtree(left, ignore_errors=True)


def _lives(pid: int) -> bool:
    """Tell whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
