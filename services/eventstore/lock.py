"""One process writes a state's file; any process may read it meanwhile."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from services.runtime.errors import Unavailable


class InUse(Unavailable):
    """Another process writes the file."""


class WriterLock:
    """Held by the one process that writes a file; the system lets it go when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock; raise ``InUse`` naming the process that holds it."""
        lock_path = path.with_name(path.name + ".lock")
        descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise InUse(f"{path}: process {holder} has this event store open for writing") from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let the lock go; idempotent."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
