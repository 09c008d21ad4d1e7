"""Folders that are filled under a passing name: whoever looks under the final one finds nothing or all of it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from services.runtime.errors import Unavailable
from services.runtime.folders import FOLDER_MODE, is_same, take

_PARTIAL: Final = ".{}.partial"
_HELD: Final = re.compile(r"agencies|pki|store|trust|hub\.toml|manifest\.(json|sha256)|\.(hub\.toml|manifest\..+)\.[0-9]+\.new")
"""The names in a home or a backup, finished or being written: a folder that holds another was not filled here, whatever it is called."""


@contextmanager
def appearing(target: Path) -> Iterator[Path]:
    """Give an empty folder to fill, which has the name ``target`` once it is filled, durable, and until then a passing one beside it.

    What killed processes left of such folders beside ``target`` is removed. Raises as ``staged`` does, and ``OSError`` if there is
    something of that name at the end.
    """
    for left in target.parent.glob(_PARTIAL.format("*")):
        _remove_if_left(left)
    with staged(target.with_name(_PARTIAL.format(target.name))) as folder:
        yield folder
        settle_tree(folder)
        folder.rename(target)  # which fails if somebody put anything there meanwhile
        settle(target.parent)


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give an empty folder of this process's own, and remove what is left of it at the end.

    What a process that was killed left under this name is cleared away; raises ``Unavailable`` while one that lives is at work there.
    """
    folder.mkdir(mode=FOLDER_MODE, exist_ok=True)
    try:
        descriptor = _open(folder)
    except OSError as error:
        raise Unavailable(f"{folder} is not a folder to write to, or only leads to one: {error.strerror}") from None
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            raise Unavailable(f"{folder} is somebody else's folder: name one where only the hub's user may write")
        os.fchmod(descriptor, FOLDER_MODE)
        _take(descriptor, folder)
        _empty(folder)
        try:
            yield folder
        finally:
            if is_same(descriptor, folder):  # else it has its final name, or is somebody else's
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _remove_if_left(folder: Path) -> None:
    """Remove a folder that was filled here by a process that ended before it was done; one that is empty may be about to be filled."""
    try:
        descriptor = _open(folder)
    except OSError:  # no folder, or no more, or not ours to look at
        return
    try:
        with os.scandir(descriptor) as entries:
            names = [entry.name for entry in entries]
        if names and all(map(_HELD.fullmatch, names)) and os.fstat(descriptor).st_uid == os.geteuid():
            with suppress(Unavailable):
                _take(descriptor, folder)
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


def _open(folder: Path) -> int:
    """Open a folder, and nothing that only leads to one."""
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def _take(descriptor: int, folder: Path) -> None:
    """Lock the folder; raise ``Unavailable`` if that cannot be done."""
    with suppress(OSError):
        if take(descriptor, folder):
            return
    raise Unavailable(f"{folder}: another process is at work there")


def _empty(folder: Path) -> None:
    """Remove what lies in a folder."""
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def settle(*folders: Path) -> None:
    """Make the names in folders durable."""
    for folder in folders:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def settle_tree(folder: Path) -> None:
    """Make every file and every name below a folder durable."""
    for parent, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(parent, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        settle(Path(parent))
