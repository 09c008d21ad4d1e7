"""The demo told to end at the worst moment: while a thread or process of it starts."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.kernel.ids import AgencyId
from services.cli.demo.england import make_identities
from services.cli.demo.processes import Process
from services.cli.demo.serving import OneHub
from services.runtime.interruption import interruptible, undisturbed
from services.runtime.settings import Settings, load_settings

ORDERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def told_to_end_as_the_demo_is() -> Iterator[None]:
    with interruptible():
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


@pytest.mark.parametrize("number", ORDERS)
def test_told_to_end_is_put_off_until_what_was_begun_is_known(number: signal.Signals) -> None:
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


def test_told_to_end_while_a_thread_starts_none_writes_afterwards(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[threading.Thread] = []
    may_write = threading.Event()

    def write(_settings: Settings, _agency: AgencyId) -> None:
        may_write.wait(10)

    start = threading.Thread.start

    def told_behind(thread: threading.Thread) -> None:
        begun.append(thread)
        start(thread)
        os.kill(os.getpid(), signal.SIGINT)
        may_write.set()

    monkeypatch.setattr("services.cli.demo.england.make_identity", write)
    monkeypatch.setattr(threading.Thread, "start", told_behind)
    with pytest.raises(KeyboardInterrupt):
        make_identities(settings, [AgencyId(f"la-X{number:04d}") for number in range(40)], lambda _done, _total: None)
    assert {thread.is_alive() for thread in begun} == {False}


def test_told_to_end_while_the_hub_starts_it_is_stopped(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Process] = []
    begin = Process.__init__

    def told_behind(process: Process, *args: object, **options: object) -> None:
        begin(process, *args, **options)  # type: ignore[arg-type]
        started.append(process)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Process, "__init__", told_behind)
    stage = OneHub(settings, None, "")
    try:
        with pytest.raises(KeyboardInterrupt), stage.served():
            pytest.fail("it served although it was told to end")
        assert [process.is_alive() for process in started] == [False]
    finally:
        for process in started:
            process.kill()
