"""A cluster in one thread, driven by one seed: real followers on real states, a log that delays, loses, doubles and reorders, and a model.

    python -m tests.support.simulation --seeds 100 --steps 10000 [--seed 7]

runs many seeds and prints the first that fails; the same seed does the same again.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import structlog

from tests.support.simulated_cluster import World
from tests.support.simulated_node import DISK_FAILURES, POINTS

WORLD_STEPS: Final = 2_000
"""A world ends after so many steps, healed and checked as a whole; the next begins."""
MEMORY: Final = Path("/dev/shm")  # noqa: S108  a folder of its own is made in it
REACHED: Final = (
    *(f"accepted: {what}" for what in ("one stream", "several streams", "tracking alone", "prediction came true", "new format")),
    *(f"duplicate: {what}" for what in ("append id", "void append id", "all events")),
    *(f"void: {what}" for what in ("conflict", "prediction", "tracking conflict", "partial duplicate", "mismatch", "revoked", "new rules")),
    *(f"void: {what}" for what in ("garbage", "oversized", "format not allowed", "body", "flaw", "wrong shard", "before GENESIS")),
    *(f"void: {what}" for what in ("GENESIS", "RULES", "KEY_REVOKED", "SHARD", "DIGEST")),
    *("GENESIS", "RULES", "KEY_REVOKED", "SHARD", "DIGEST", "old binary stopped", "old binary upgraded"),
    *(f"digests compared: {what}" for what in ("equal", "different")),
    *("replay across nodes", "re-batched"),
    *(f"crash: {point}" for point in (*POINTS, "idle")),
    *(f"restart: {how}" for how in ("from its file", "without its file", "from an old copy", "while cut off")),
    *(f"flight: {how}" for how in ("taken", "not in order", "acknowledgement lost", "lost", "late", "doubled", "of a dead node")),
    "flight: folded before it was fetched",
    *("cut: sends", "cut: reads", "time: deadline passed", "clock: a day on", "clock: a day back"),
    *(f"disk: {how}" for how in DISK_FAILURES),
    *("closed: drained",),
    *("unknown outcome, record written: resolved", "unknown outcome, record not written: resolved"),
    *("log end: folded", "log end: refused"),
)
"""What a simulation of some length must have come by."""


@contextmanager
def quietly() -> Iterator[None]:
    """Let the nodes say nothing about the faults that they are made to meet."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


def simulate(seed: str, steps: int) -> Counter[str]:
    """Run worlds until so many steps are done; return what was reached, or raise what went wrong."""
    seen: Counter[str] = Counter()
    left = steps
    world = 0
    with quietly():
        while left > 0:
            with TemporaryDirectory(prefix="simulation-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
                one = World(f"{seed}/{world}", Path(folder), seen)
                try:
                    for _ in range(min(left, WORLD_STEPS)):
                        one.step()
                    one.finish()
                except BaseException as error:
                    error.add_note(f"seed {seed}, world {world}, step {one.steps}")
                    raise
            left -= WORLD_STEPS
            world += 1
    return seen


def main() -> int:
    """Run seeds until one fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=100_000, help="of each seed")
    parser.add_argument("--seed", type=int, default=1, help="the first")
    arguments = parser.parse_args()
    total: Counter[str] = Counter()
    began = time.perf_counter()
    for done, seed in enumerate(range(arguments.seed, arguments.seed + arguments.seeds), start=1):
        try:
            total += simulate(str(seed), arguments.steps)
        except Exception:  # noqa: BLE001  whatever it is, the seed that shows it is what counts
            traceback.print_exc()
            sys.stdout.write(f"FAILED: --seed {seed} --seeds 1 --steps {arguments.steps}\n")
            return 1
        rate = done * arguments.steps / (time.perf_counter() - began)
        sys.stdout.write(f"seed {seed}: {done * arguments.steps} steps, {rate:.0f} a second\n")
        sys.stdout.flush()
    for what in sorted({*REACHED, *total}):
        sys.stdout.write(f"{total[what]:>9}  {what}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
