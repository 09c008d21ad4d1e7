"""The one Kafka of a test run, a pytest plugin: started when a test first asks for it, shared by all workers, ended with the run.

A keeper process has the broker. Its standard input is a pipe that only the run's first process (with xdist, the controller) holds open
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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from deploy.kafka.__main__ import ANNOUNCED
from deploy.kafka.cluster import Cluster
from deploy.kafka.jars import KafkaMissing, jars

REPOSITORY: Final = Path(__file__).resolve().parents[2]
NAMED: Final = "HUBTEST_KAFKA_BOOTSTRAP"
"""Names a Kafka that runs already; then none is started here, except by tests that kill brokers."""
REQUIRED: Final = "HUBTEST_REQUIRE_KAFKA"
"""Set to 1 where a run without Kafka proves too little: tests that need it fail then, and are not skipped."""
START_MAX_SECONDS: Final = 90.0
END_MAX_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.05
_MARK: Final = "no Kafka: "
_KEPT_FD: Final = 100
"""What the keeper holds its lock by: a number that is free while it starts."""


@dataclass(frozen=True, slots=True)
class Run:
    """Where the processes of one test run meet."""

    folder: Path

    @property
    def lifeline(self) -> Path:
        """The pipe that is open for writing as long as the run lasts."""
        return self.folder / "lifeline"

    @property
    def started(self) -> Path:
        """Locked by whoever is starting the keeper."""
        return self.folder / "started"

    @property
    def kept(self) -> Path:
        """Locked for as long as the keeper lives."""
        return self.folder / "kept"

    @property
    def said(self) -> Path:
        """What the keeper said: there from its start on."""
        return self.folder / "said"


_RUN: Final = pytest.StashKey[Run]()
_LIFELINE: Final = pytest.StashKey[int]()


# ── from the first process of the run to its end ──


def pytest_configure(config: pytest.Config) -> None:
    given: dict[str, str] | None = getattr(config, "workerinput", None)
    if given is not None:
        config.stash[_RUN] = Run(Path(given["kafka_run"]))
        return
    run = config.stash[_RUN] = Run(Path(tempfile.mkdtemp(prefix="hubtest-kafka-")))
    os.mkfifo(run.lifeline)
    config.stash[_LIFELINE] = os.open(run.lifeline, os.O_RDWR)  # To read too, since opening to write alone waits for a reader.


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["kafka_run"] = str(node.config.stash[_RUN].folder)


def pytest_unconfigure(config: pytest.Config) -> None:
    lifeline = config.stash.get(_LIFELINE, None)
    if lifeline is None:
        return
    os.close(lifeline)
    run = config.stash[_RUN]
    deadline = time.monotonic() + END_MAX_SECONDS
    while _is_locked(run.kept) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    shutil.rmtree(run.folder, ignore_errors=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons = [str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if isinstance(report.longrepr, tuple)]
    reasons = [reason.partition(_MARK)[2] for reason in reasons if _MARK in reason]
    if reasons:
        terminalreporter.write_line(f"NOT TESTED: {len(reasons)} tests that need Kafka were skipped. {reasons[0]}", red=True, bold=True)


# ── for tests ──


@pytest.fixture(scope="session")
def kafka_bootstrap(pytestconfig: pytest.Config) -> str:
    """The addresses of the run's Kafka, which all tests share: each makes topics of its own (``kafka.a_topic``)."""
    named = os.environ.get(NAMED)
    if named:
        return named
    run = pytestconfig.stash[_RUN]
    with _locked(run.started):
        if not run.said.exists():
            _need_kafka()
            _start_keeper(run)
        return _announced(run)


@pytest.fixture
def a_cluster(tmp_path: Path) -> Iterator[Callable[[int], Cluster]]:
    """Starts a cluster of a test's own, of 1 or 3 brokers, for it to kill, pause and start again."""
    _need_kafka()
    clusters: list[Cluster] = []

    def start(brokers: int = 1) -> Cluster:
        cluster = Cluster(tmp_path / f"kafka-{len(clusters)}", brokers)
        clusters.append(cluster)
        cluster.start()
        return cluster

    try:
        yield start
    finally:
        for cluster in clusters:
            cluster.kill()


def _need_kafka() -> None:
    """Skip the test where Kafka cannot be had; fail it where it must be."""
    try:
        jars()
    except KafkaMissing as missing:
        reason = str(missing)
    else:
        return
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, and {reason}", pytrace=False)
    pytest.skip(f"{_MARK}{reason}, or set {NAMED} to one that runs.")


def _start_keeper(run: Run) -> None:
    """Start it apart from this worker: a terminal's Ctrl-C is for pytest, which then lets go of the lifeline."""
    lifeline = os.open(run.lifeline, os.O_RDONLY | os.O_NONBLOCK)  # Else it would wait for ever for the writer of a run that has ended.
    with run.kept.open("ab") as kept, run.said.open("wb") as said:
        fcntl.flock(kept, fcntl.LOCK_EX)  # The keeper inherits the open file, and so the lock.
        os.posix_spawn(  # Not subprocess, which minds that a process outlives the one that started it.
            sys.executable,
            [sys.executable, "-m", "deploy.kafka", "--until-stdin-closes"],
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


def _announced(run: Run) -> str:
    """Return where the keeper's cluster serves, as soon as it does; fail with its words if it ends instead, or takes too long."""
    deadline = time.monotonic() + START_MAX_SECONDS
    while True:
        is_kept = _is_locked(run.kept)
        said = run.said.read_text(encoding="utf-8", errors="replace")
        for line in said.splitlines(keepends=True):
            if line.startswith(ANNOUNCED) and line.endswith("\n"):
                return line.removeprefix(ANNOUNCED).strip()
        if not is_kept or time.monotonic() > deadline:
            pytest.fail(f"the run's Kafka {'takes too long to start' if is_kept else 'ended'}\n{said}", pytrace=False)
        time.sleep(_POLL_SECONDS)


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
