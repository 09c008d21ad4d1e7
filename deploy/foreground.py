"""How a program serves in the foreground: for a person until Ctrl-C, for another program until that closes its standard input, or dies."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from typing import Final

LOOK_SECONDS: Final = 0.5
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_READ_MAX_BYTES: Final = 4_096


def end_on_signals() -> None:
    """Let SIGINT, SIGTERM and SIGHUP leave by way of what must be done before; a second signal does not cut that short."""
    for each in _ENDING:
        signal.signal(each, _end)


def _end(_number: int, _frame: object) -> None:
    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    sys.exit(0)


class Orders:
    """What another program says on our standard input, a line each; with ``heard`` False nothing is read."""

    def __init__(self, *, heard: bool) -> None:
        """Begin to listen, or not."""
        self._is_heard = heard
        self._begun = b""

    def within(self, seconds: float = LOOK_SECONDS) -> list[str] | None:
        """Wait so long for orders and return those that came; None when nobody can give any more: that is the order to end."""
        if not self._is_heard:
            time.sleep(seconds)
            return []
        readable, _, _ = select.select([sys.stdin.fileno()], [], [], seconds)
        if not readable:
            return []
        read = os.read(sys.stdin.fileno(), _READ_MAX_BYTES)
        if not read:
            return None
        *lines, self._begun = (self._begun + read).split(b"\n")
        return [line.decode(errors="replace").strip() for line in lines]


def say(line: str) -> None:
    """Tell a person something."""
    print(line, file=sys.stderr, flush=True)


def announce(line: str) -> None:
    """Tell whoever started us, person or program, what it waits for."""
    print(line, flush=True)
