"""A whole cluster in one thread and from one seed: whatever happens in whatever order, the model's promises hold.

``HUBTEST_SEED`` repeats a run, ``HUBTEST_SIMULATION_STEPS`` says how long it is; both are printed. For millions of steps:
``python -m tests.support.simulation --seeds 100 --steps 100000``.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import SystemRandom
from typing import Final

import pytest

from tests.support.simulation import REACHED, WORLD_STEPS, simulate

STEPS: Final = int(os.environ.get("HUBTEST_SIMULATION_STEPS", "100000"))
SEED: Final = os.environ.get("HUBTEST_SEED") or str(SystemRandom().randrange(1_000_000))
ALL_REACHED_STEPS: Final = 50_000
"""Shorter runs need not come by everything."""


@pytest.mark.timeout(120 + STEPS // 100)
def test_whatever_happens_to_log_nodes_and_clients_every_promise_holds(covered: Callable[[str], None]) -> None:
    print(f"\nHUBTEST_SEED={SEED} HUBTEST_SIMULATION_STEPS={STEPS}")  # noqa: T201  # a failing run shows how to repeat it
    seen = simulate(SEED, STEPS)
    print("\n".join(f"{seen[what]:>8}  {what}" for what in sorted(seen)))  # noqa: T201  # what a failing run had come by
    missed = [what for what in REACHED if not seen[what]]
    assert STEPS < ALL_REACHED_STEPS or missed == []
    rarest = min(REACHED, key=lambda what: seen[what])
    covered(
        f"{STEPS} steps of seed {SEED} came by {len(REACHED) - len(missed)} of the {len(REACHED)} things they should,"
        f" most rarely by {rarest!r}: {seen[rarest]} times"
    )


def test_the_same_seed_does_the_same() -> None:
    assert simulate("1", WORLD_STEPS // 2) == simulate("1", WORLD_STEPS // 2)
