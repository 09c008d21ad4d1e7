"""The demo told to end at the worst moment: while a thread or process of it starts."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.kernel.ids import AgencyId
from services.cli.demo import command
from services.cli.demo.england import make_identities
from services.cli.demo.processes import Process
from services.cli.demo.serving import OneHub
from services.runtime.interruption import interruptible
from services.runtime.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def told_to_end_as_the_demo_is() -> Iterator[None]:
    with interruptible():
        yield


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home")


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


def test_told_to_end_while_the_patience_with_a_program_begins_it_does_not_wait_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[threading.Thread] = []
    start = threading.Thread.start

    def told_behind(thread: threading.Thread) -> None:
        begun.append(thread)
        start(thread)
        os.kill(os.getpid(), signal.SIGINT)

    process = Process([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", dict(os.environ))
    try:
        monkeypatch.setattr(threading.Thread, "start", told_behind)
        with pytest.raises(KeyboardInterrupt):
            process.line(60)
        (patience,) = begun
        patience.join(10)
        assert not patience.is_alive()
        assert process.is_alive()
    finally:
        process.kill()


def test_told_to_end_while_the_folder_is_removed_it_is_removed_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cleanup = tempfile.TemporaryDirectory.cleanup

    def told_before(folder: tempfile.TemporaryDirectory[str]) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        cleanup(folder)

    monkeypatch.setattr(tempfile.TemporaryDirectory, "cleanup", told_before)
    with pytest.raises(KeyboardInterrupt), command._home(None) as home:
        home.mkdir()
    assert list(tmp_path.iterdir()) == []
