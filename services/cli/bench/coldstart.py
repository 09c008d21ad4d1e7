"""Cold start: the program started over a large store whose file is out of the page cache, until it answers."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from services.cli.bench.home import Home, serving
from services.cli.bench.plan import ColdStart
from services.runtime.interpreter import child_environment


def measure_cold_start(home: Home, events: int, times: int) -> ColdStart:
    """Start the hub several times; it is stopped in good order in between."""
    seconds = []
    for _ in range(times):
        _drop_from_cache(home)
        with serving(home) as served:
            seconds.append(round(served.seconds, 2))
    began = time.perf_counter()
    imports = [sys.executable, "-c", "import services.cli.main, services.cli.serve"]
    subprocess.run(imports, env=child_environment(), check=True)  # noqa: S603  # our own program
    return ColdStart(
        events_in_store=events,
        store_megabytes=round(home.settings.event_store_file.stat().st_size / 1_000_000, 1),
        seconds=statistics.median(seconds),
        all_seconds=tuple(seconds),
        imports_seconds=round(time.perf_counter() - began, 2),
    )


def _drop_from_cache(home: Home) -> None:
    """Ask the system to forget the pages of the stores' files; where it cannot be asked they stay."""
    if not hasattr(os, "posix_fadvise"):
        return
    for path in home.settings.store_folder.glob("*.sqlite*"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)
