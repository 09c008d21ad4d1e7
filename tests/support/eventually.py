"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(check: Callable[[], bool], within_seconds: float = 10.0) -> bool:
    """Return whether a check comes true in time."""
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        if check():
            return True
        time.sleep(0.01)
    return False
