"""How a command is told to end: at once, but never between beginning a thing and knowing of it."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import Any, Final

_ORDERS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise ``KeyboardInterrupt`` as Ctrl-C does, so that what was begun is ended and put away.

    What the process was started to ignore, by ``nohup`` for one, it ignores. Only the main thread is ever interrupted: in another one this
    changes nothing.
    """
    with _heard_by(signal.default_int_handler, lambda handler: handler is not signal.SIG_IGN):
        yield


@contextmanager
def undisturbed() -> Iterator[None]:
    """Put off being told to end: a process or thread that is interrupted while it starts may live, and nobody knows of it to end it.

    Raise ``KeyboardInterrupt`` on leaving if that came meanwhile.
    """
    told: list[int] = []
    with _heard_by(lambda number, _frame: told.append(number), lambda handler: handler is signal.default_int_handler):
        yield
    if told:
        raise KeyboardInterrupt


@contextmanager
def _heard_by(handler: Callable[[int, FrameType | None], Any], changes: Callable[[Any], bool]) -> Iterator[None]:
    """Have a handler hear the orders whose present handler it ``changes``."""
    heeded = [number for number in _ORDERS if current_thread() is main_thread() and changes(signal.getsignal(number))]
    before = {number: signal.signal(number, handler) for number in heeded}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)
