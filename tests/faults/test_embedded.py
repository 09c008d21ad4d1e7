"""The embedded store's own faults: a disk that takes no more or fails, a clock that is moved, and death."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from itertools import chain

import pytest

from safeguarding.hub.client.outcomes import Unresolved
from tests.support.fault_node import AFTER_FOLD
from tests.support.fault_scene import Scene
from tests.support.killing import wait_for

pytestmark = pytest.mark.timeout(900)
Measured = Callable[[str, float], None]
DAY_MS = 86_400_000
FULL_SECONDS = 1.0


@pytest.mark.faults
def test_what_a_full_disk_does_not_take_is_not_acknowledged_and_then_all_goes_on(embedded: Scene, measured: Measured) -> None:
    embedded.start()
    embedded.fault()
    embedded.a.weaken(is_full=True)
    embedded.wait_for_doubt()
    time.sleep(FULL_SECONDS)  # What still fits into the file's pages is taken, and is there at last.
    embedded.a.weaken(is_full=False)
    embedded.wait_for_appends()
    embedded.check()
    measured("embedded: disk full for a second", embedded.without_service())


def test_what_cannot_be_made_durable_is_not_acknowledged_and_then_all_goes_on(embedded: Scene, measured: Measured, strace: str) -> None:
    first = embedded.random.randrange(30, 80)
    last = first + embedded.random.randrange(5)
    injected = f"inject=fsync,fdatasync:error=EIO:when={first}..{last}"
    traced = embedded.folder / "traced"
    # -D: the node stays our own child; the tracer is its grandchild.
    command = [
        strace,
        "-D",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-o",
        str(traced),
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        injected,
    ]
    embedded.a.start(*command)
    embedded.a.wait_until_serving()
    embedded.fault()
    embedded.start_clients()
    wait_for(lambda: "(INJECTED)" in traced.read_text(), "an fsync fails")
    embedded.wait_for_appends()
    embedded.check()
    told = chain.from_iterable(embedded.library.history.answers.values())
    assert any("disk I/O error" in one.outcome.reason for one in told if isinstance(one.outcome, Unresolved)), "nobody was told"
    measured("embedded: fsync fails", embedded.without_service())


@pytest.mark.faults
def test_a_clock_that_is_moved_by_a_day_changes_no_order_and_no_recorded_time_goes_back(embedded: Scene) -> None:
    embedded.start()
    for _ in range(5):
        embedded.a.weaken(clock_shift_ms=embedded.random.choice((-DAY_MS, 0, DAY_MS)))
        embedded.wait_for_appends()
    embedded.check()


@pytest.mark.faults
def test_a_store_killed_when_a_batch_is_durable_has_it_when_it_is_started_again(embedded: Scene, measured: Measured) -> None:
    embedded.start()
    embedded.fault()
    embedded.a.weaken(dies_at=AFTER_FOLD)
    assert embedded.a.ended() == -signal.SIGKILL
    embedded.a.start()
    embedded.a.wait_until_serving()
    embedded.wait_for_appends()
    embedded.check()
    measured("embedded: killed after the fold, and started again", embedded.without_service())
