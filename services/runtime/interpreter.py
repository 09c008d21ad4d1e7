"""How Python itself is set for a program that serves for months, or reads a whole log, and how it ends."""

from __future__ import annotations

import faulthandler
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SWITCH_SECONDS: Final = 0.0005
"""A thread that has waited for the disk or the network gets its turn after this, not after Python's 5 ms."""
YOUNG_MAX_OBJECTS: Final = 50_000
"""Python looks for cycles after 700 new objects: a batch of events makes far more, none of them a cycle."""

END_MAX_SECONDS: Final = 10.0
"""For a process that has done all it was there for: what keeps it longer is a thread that does not end."""


def settle() -> None:
    """Set thread switching and garbage collection. Call it once, when all is loaded: that is never looked through again."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.freeze()
    gc.set_threshold(YOUNG_MAX_OBJECTS, 20, 50)


def end_in_time(code: int) -> None:
    """Have the process end within ``END_MAX_SECONDS``, or else say on standard error what its threads do, and exit with ``code``.

    Call it when everything is closed. Python waits without a deadline for threads that somebody, also a library, has left running.
    """
    _ending(code)
    # Also where Python's own threads have ended already; this exit's code is always 1.
    faulthandler.dump_traceback_later(END_MAX_SECONDS * 1.5, exit=True)


@contextmanager
def in_time(code: int) -> Iterator[None]:
    """Have what runs in this context end within ``END_MAX_SECONDS``, or else the process, as ``end_in_time`` says."""
    ending = _ending(code)
    try:
        yield
    finally:
        ending.cancel()


def _ending(code: int) -> threading.Timer:
    """Have the process end in a while, unless that is cancelled."""

    def end() -> None:
        faulthandler.dump_traceback(all_threads=True)
        os._exit(code)

    ending = threading.Timer(END_MAX_SECONDS, end)
    ending.daemon = True
    ending.start()
    return ending


def program(module: str) -> list[str]:
    """Return the command that runs a module of the hub by the same Python; what lies in the working directory is not imported."""
    return [sys.executable, "-P", "-m", module]


def child_environment() -> dict[str, str]:
    """Return the environment of a process that imports what this one imports."""
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def usable_cores() -> int:
    """Return how many cores the system lets this process use; not every system can say, then how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
