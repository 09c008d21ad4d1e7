"""Threads that begin at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def all_at_once(count: int, work: Callable[[], T]) -> list[T]:
    """Have so many threads do the same, all beginning together, and return what each comes to; raise what the first that failed raised."""
    together = threading.Barrier(count)

    def begun() -> T:
        together.wait()
        return work()

    with ThreadPoolExecutor(count) as pool:
        return [one.result() for one in [pool.submit(begun) for _ in range(count)]]
