"""What tests of faults share: one cluster of three brokers for a whole run, a topic and nodes for each test, and a table at the end.

``HUBTEST_SEED`` is the first seed of a run, random unless given; ``HUBTEST_SEEDS`` is how many are run, each row with every one;
``HUBTEST_MEASURED`` names the file that the table goes to, as JSON: without it there is none.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import SystemRandom
from statistics import median
from typing import Final

import pytest

from deploy.kafka.cluster import KafkaFailed
from tests.support.fault_scene import FaultCluster, Scene, a_scene
from tests.support.kafka_run import need_kafka
from tests.support.keeping import say_what_was_skipped

FIRST_SEED: Final = int(os.environ.get("HUBTEST_SEED", "") or SystemRandom().randrange(1_000_000))
SEEDS: Final = int(os.environ.get("HUBTEST_SEEDS", "") or 1)
MEASURED: Final = os.environ.get("HUBTEST_MEASURED", "")
NO_STRACE: Final = "no strace: "
_ROW: Final = "row"
_SECONDS: Final = "seconds without service"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        metafunc.parametrize("seed", [FIRST_SEED + number for number in range(SEEDS)], ids=[f"seed{number}" for number in range(SEEDS)])


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultCluster]:
    """Three brokers behind proxies, for the whole run."""
    need_kafka()
    with ExitStack() as stack:
        yield _started(stack, tmp_path_factory)


def _started(stack: ExitStack, folders: pytest.TempPathFactory) -> FaultCluster:
    """Start the brokers; once more if another process took a port between its choice and its use."""
    try:
        return stack.enter_context(FaultCluster(folders.mktemp("brokers")))
    except KafkaFailed:
        return stack.enter_context(FaultCluster(folders.mktemp("brokers")))


@pytest.fixture
def scene(brokers: FaultCluster, tmp_path: Path, seed: int) -> Iterator[Scene]:
    """Two nodes on three brokers that are well; nothing is started."""
    print(f"HUBTEST_SEED={seed}")  # noqa: T201  a failing run shows how to repeat it
    brokers.heal()
    with a_scene(tmp_path / "scene", seed, brokers) as scene:
        yield scene
        brokers.proxies.heal()


@pytest.fixture
def embedded(tmp_path: Path, seed: int) -> Iterator[Scene]:
    """One node whose store is its own log; nothing is started."""
    print(f"HUBTEST_SEED={seed}")  # noqa: T201  a failing run shows how to repeat it
    with a_scene(tmp_path / "scene", seed, None) as scene:
        yield scene


@pytest.fixture
def strace() -> str:
    """Where strace is; a test that needs it is skipped without, and the run says so at its end."""
    found = shutil.which("strace")
    if found is None:
        pytest.skip(f"{NO_STRACE}Errors of fsync are injected with it: install strace.")
    return found


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str, float], None]:
    """Note the seconds without service of a row, for the table."""

    def note(row: str, seconds: float) -> None:
        record_property(_ROW, row)
        record_property(_SECONDS, round(seconds, 3))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    say_what_was_skipped(terminalreporter, NO_STRACE, "strace")
    rows: dict[str, list[float]] = {}
    for report in terminalreporter.stats.get("passed", []):
        noted = dict(report.user_properties)
        if report.when == "call" and _ROW in noted:
            rows.setdefault(str(noted[_ROW]), []).append(float(noted[_SECONDS]))
    if not rows or not MEASURED:
        return
    width = max(map(len, rows))
    terminalreporter.write_sep("=", "seconds without service")
    terminalreporter.write_line(f"{'row':{width}}  seeds    min  median    max")
    for row, seconds in rows.items():
        figures = f"{min(seconds):6.1f}  {median(seconds):6.1f} {max(seconds):6.1f}"
        terminalreporter.write_line(f"{row:{width}}  {len(seconds):5} {figures}")
    Path(MEASURED).parent.mkdir(exist_ok=True)
    Path(MEASURED).write_text(json.dumps({"first_seed": FIRST_SEED, "seconds_without_service": rows}, indent=1) + "\n", encoding="utf-8")
