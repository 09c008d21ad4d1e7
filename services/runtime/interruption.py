"""How a command is told to end: at once, but never between beginning a thing and knowing of it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Final

_ORDERS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let whoever tells a command to end have it end what it has started, as Ctrl-C does; what it was started to ignore it ignores."""
    heeded = [number for number in _ORDERS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, signal.default_int_handler) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off being told to end: a process or thread that is interrupted while it starts may live, and nobody knows of it to end it.

    Raise ``KeyboardInterrupt`` on leaving if that came meanwhile. Only the main thread is ever interrupted.
    """
    if current_thread() is not main_thread():
        yield
        return
    told: list[int] = []
    heeded = [number for number in _ORDERS if signal.getsignal(number) is signal.default_int_handler]
    before = {number: signal.signal(number, lambda heard, _frame: told.append(heard)) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if told:
        raise KeyboardInterrupt
