"""The ``hub`` command for tests: run in this process with its output caught, or serving in a process of its own."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from services.cli.main import main

ROOT = Path(__file__).parents[2]
HUB = (sys.executable, "-m", "services.cli.main")
START_MAX_SECONDS = 30.0
STORES = ("events.sqlite", "keys.sqlite", "views.sqlite")


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """What it printed as one JSON document."""
        assert self.out, self.err
        return json.loads(self.out)


def ran(*arguments: str | Path) -> Ran:
    """Run one command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        code = main([str(argument) for argument in arguments])
    return Ran(int(code), out.getvalue(), err.getvalue())


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a ``hub`` process: no settings but these."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "protos")])} | settings


def start(home: Path, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    """Start ``hub serve`` on a free port and return the process once it serves."""
    command = [*HUB, "serve", "--home", str(home), "--listen", "127.0.0.1:0", *arguments]
    settings = {"HUB_METRICS_LISTEN": ""} | settings
    with (home.parent / f"{home.name}.log").open("a") as log:
        process = subprocess.Popen(command, env=environment(**settings), stdout=subprocess.PIPE, stderr=log, text=True)  # noqa: S603
    assert process.stdout is not None
    first = process.stdout.readline()
    if "serving" not in first:
        process.kill()
        process.wait()
        process.stdout.close()
        raise AssertionError(f"hub serve said {first!r}; see {home}.log")
    return process


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> int:
    """Tell a hub to stop and return its exit code."""
    if process.poll() is None:
        process.send_signal(number)
    code = process.wait(START_MAX_SECONDS)
    assert process.stdout is not None
    process.stdout.close()
    return code


@contextmanager
def serving(home: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[str]]:
    """Serve a hub from ``home`` in a process of its own, founding it if there is none."""
    process = start(home, "--found", *arguments, **settings)
    try:
        yield process
    finally:
        stop(process)


def copied_home(home: Path, folder: Path) -> Path:
    """Copy a hub's home while it serves; nothing serves the copy."""
    copy = folder / "copy"
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("store", "address", "sequence.sqlite*"))
    (copy / "store").mkdir(mode=0o700)
    for name in STORES:
        source, target = sqlite3.connect(home / "store" / name), sqlite3.connect(copy / "store" / name)
        source.backup(target)
        source.close()
        target.close()
    return copy


def wait_until(what: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until ``what()`` is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.05)


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of every process that names the folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        found += [line] if str(folder) in line else []
    return found
