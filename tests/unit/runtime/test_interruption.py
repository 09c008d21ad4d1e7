"""Being told to end: heard as Ctrl-C is, put off while something begins, and ignored where it was to be ignored."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from services.runtime.interruption import interruptible, undisturbed

ORDERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def told_to_end_as_a_command_is() -> Iterator[None]:
    with interruptible():
        yield


@pytest.mark.parametrize("number", ORDERS)
def test_an_order_is_put_off_until_what_was_begun_is_known(number: signal.Signals) -> None:
    known = []

    def begin() -> None:
        os.kill(os.getpid(), number)
        known.append("begun")

    with pytest.raises(KeyboardInterrupt), undisturbed():
        begin()
    assert known == ["begun"]
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), number)


def test_what_fails_meanwhile_is_said_and_the_next_order_is_heard() -> None:
    with pytest.raises(OSError, match="no such program"), undisturbed():
        raise OSError("no such program")
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)


def test_another_thread_leaves_the_main_thread_as_easily_told() -> None:
    heard = []

    def begin() -> None:
        with undisturbed():
            heard.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=begin)
    thread.start()
    thread.join(10)
    assert heard == [signal.default_int_handler]


def test_what_a_command_was_started_to_ignore_it_ignores() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interruptible(), undisturbed():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_handlers_are_afterwards_as_they_were_before() -> None:
    def theirs(*_: object) -> None:
        pass

    before = signal.signal(signal.SIGTERM, theirs)
    try:
        with interruptible():
            assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
        assert signal.getsignal(signal.SIGTERM) is theirs
    finally:
        signal.signal(signal.SIGTERM, before)
