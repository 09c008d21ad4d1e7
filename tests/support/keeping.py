"""What the processes of one test run share, a pytest plugin: services started when a test first asks for them, ended with the run.

A keeper process has the service. Its standard input is a pipe that only the run's first process (with xdist, the controller) holds open
for writing: however that process ends, the keeper reads the end of its input, and ends. A worker may come and go: what it
started is not its own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest

REPOSITORY: Final = Path(__file__).resolve().parents[2]
END_MAX_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_KEPT_FD: Final = 100
"""What a keeper holds its lock by: a number that is free while it starts."""
_GIVEN: Final = "hubtest_run"
_COVERED: Final = "covered"


@dataclass(frozen=True, slots=True)
class Run:
    """Where the processes of one test run meet."""

    folder: Path

    @property
    def lifeline(self) -> Path:
        """The pipe that is open for writing as long as the run lasts."""
        return self.folder / "lifeline"


@dataclass(frozen=True, slots=True)
class Service:
    """A service that a run starts at most once: the module that keeps it, and the words before the address it says it serves at."""

    name: str
    module: str
    arguments: Sequence[str]
    announced: str
    start_max_seconds: float

    def address(self, config: pytest.Config, need: Callable[[], None]) -> str:
        """Return where it serves, starting it if no test has yet; ``need`` skips or fails the test where it cannot be had."""
        run = config.stash[_RUN]
        with _locked(run.folder / f"{self.name}-started"):
            if not self._said(run).exists():
                need()
                self._start_keeper(run)
            return self._announced(run)

    def _said(self, run: Run) -> Path:
        """What the keeper said: there from its start on."""
        return run.folder / f"{self.name}-said"

    def _kept(self, run: Run) -> Path:
        """Locked for as long as the keeper lives."""
        return run.folder / f"{self.name}{_KEPT}"

    def _start_keeper(self, run: Run) -> None:
        """Start it apart from this worker: a terminal's Ctrl-C is for pytest, which then lets go of the lifeline."""
        lifeline = os.open(run.lifeline, os.O_RDONLY | os.O_NONBLOCK)  # Else it would wait for ever for the writer of a run that has ended.
        with self._kept(run).open("ab") as kept, self._said(run).open("wb") as said:
            fcntl.flock(kept, fcntl.LOCK_EX)  # The keeper inherits the open file, and so the lock.
            os.posix_spawn(  # Not subprocess, which minds that a process outlives the one that started it.
                sys.executable,
                [sys.executable, "-m", self.module, *self.arguments],
                {**os.environ, "PYTHONPATH": str(REPOSITORY)},
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, lifeline, 0),
                    (os.POSIX_SPAWN_DUP2, said.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, said.fileno(), 2),
                    (os.POSIX_SPAWN_DUP2, kept.fileno(), _KEPT_FD),
                ],
                setsid=True,
            )
        os.close(lifeline)

    def _announced(self, run: Run) -> str:
        """Return where it serves, as soon as it does; fail with the keeper's words if it ends instead, or takes too long."""
        deadline = time.monotonic() + self.start_max_seconds
        while True:
            is_kept = _is_locked(self._kept(run))
            said = self._said(run).read_text(encoding="utf-8", errors="replace")
            for line in said.splitlines(keepends=True):
                if line.startswith(self.announced) and line.endswith("\n"):
                    return line.removeprefix(self.announced).strip()
            if not is_kept or time.monotonic() > deadline:
                pytest.fail(f"the run's {self.name} {'takes too long to start' if is_kept else 'ended'}\n{said}", pytrace=False)
            time.sleep(_POLL_SECONDS)


_KEPT: Final = "-kept"
_RUN: Final = pytest.StashKey[Run]()
_LIFELINE: Final = pytest.StashKey[int]()


# ── from the first process of the run to its end ──


def pytest_configure(config: pytest.Config) -> None:
    given: dict[str, str] | None = getattr(config, "workerinput", None)
    if given is not None:
        config.stash[_RUN] = Run(Path(given[_GIVEN]))
        return
    run = config.stash[_RUN] = Run(Path(tempfile.mkdtemp(prefix="hubtest-run-")))
    os.mkfifo(run.lifeline)
    config.stash[_LIFELINE] = os.open(run.lifeline, os.O_RDWR)  # To read too, since opening to write alone waits for a reader.


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput[_GIVEN] = str(node.config.stash[_RUN].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    lifeline = config.stash.get(_LIFELINE, None)
    if lifeline is None:
        return
    os.close(lifeline)
    run = config.stash[_RUN]
    deadline = time.monotonic() + END_MAX_SECONDS
    while any(_is_locked(kept) for kept in run.folder.glob(f"*{_KEPT}")) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    shutil.rmtree(run.folder, ignore_errors=True)


@pytest.fixture
def covered(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Have the run say at its end what a simulation came by."""
    return partial(record_property, _COVERED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("passed", []):
        noted = dict(report.user_properties)
        if _COVERED in noted:
            terminalreporter.write_line(f"SIMULATED: {noted[_COVERED]}")


def say_what_was_skipped(terminalreporter: pytest.TerminalReporter, mark: str, needed: str) -> None:
    """End the run with one loud line if tests were skipped for a reason that begins with ``mark``."""
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if isinstance(report.longrepr, tuple)]
    reasons = [reason.partition(mark)[2] for reason in reasons if mark in reason]
    if reasons:
        terminalreporter.write_line(f"NOT TESTED: {len(reasons)} tests that need {needed} were skipped. {reasons[0]}", red=True, bold=True)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _is_locked(file: Path) -> bool:
    with file.open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
