"""``hub serve``: a hub that is there already, ports that are taken, how it ends, and its metrics."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import bootstrap
from services.runtime.errors import Unavailable
from tests.support.command import HUB, START_MAX_SECONDS, copied_home, environment, ran, start, stop, wait_until
from tests.support.settled import Served, settled_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with settled_hub(tmp_path_factory.mktemp("cli") / "hub") as served:
        yield served


def test_a_second_hub_on_the_same_home_is_refused(hub: Served) -> None:
    answer = hub.ran("serve", "--listen", "127.0.0.1:0")

    assert answer.code == 4
    assert f"process {hub.process.pid} has this event store open" in answer.err


def test_a_second_hub_on_the_same_port_is_refused(hub: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_METRICS_LISTEN", "")
    taken = (hub.home / "address").read_text().strip()
    other = ("--home", str(tmp_path / "other"), "--listen", taken)
    answer = ran("serve", "--found", *other)

    assert answer.code == 4
    assert f"{taken} cannot be listened on" in answer.err
    command = [*HUB, "serve", *other]
    again = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=START_MAX_SECONDS, check=False)  # noqa: S603
    said = [line for line in again.stderr.splitlines() if "[info" not in line]
    assert said == [
        f"hub: {taken} cannot be listened on: Address already in use",
        "     choose another address with --listen or HUB_LISTEN",
    ]
    assert not (tmp_path / "other" / "address").exists()


def test_a_taken_port_of_metrics_is_named(hub: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_METRICS_LISTEN", hub.metrics)
    answer = ran("serve", "--found", "--home", tmp_path / "other", "--listen", "127.0.0.1:0")

    assert answer.code == 4
    assert f"{hub.metrics} cannot be listened on" in answer.err


def test_a_hub_told_twice_to_stop_ends_once_with_0_and_serves_again(tmp_path: Path) -> None:
    home = tmp_path / "hub"
    process = start(home, "--found", "--json")
    assert (home / "address").exists()
    process.send_signal(signal.SIGTERM)
    assert stop(process, signal.SIGTERM) == 0
    assert not (home / "address").exists()

    again = start(home)
    assert ran("agencies", "list", "--home", home, "--json").document["agencies"][0]["agency_id"] == "hub"
    assert stop(again, signal.SIGINT) == 0


def test_a_hub_whose_terminal_is_closed_drains_unless_it_was_started_to_outlive_it(tmp_path: Path) -> None:
    home = tmp_path / "hub"
    assert stop(start(home, "--found"), signal.SIGHUP) == 0
    assert not (home / "address").exists()

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        lasting = start(home)
    finally:
        signal.signal(signal.SIGHUP, before)
    lasting.send_signal(signal.SIGHUP)
    assert ran("agencies", "list", "--home", home).code == 0
    assert stop(lasting, signal.SIGTERM) == 0


def test_a_port_of_metrics_that_the_system_chose_is_told(tmp_path: Path) -> None:
    command = [*HUB, "serve", "--found", "--home", str(tmp_path / "hub"), "--listen", "127.0.0.1:0", "--json"]
    settings = environment(HUB_METRICS_LISTEN="127.0.0.1:0")
    with subprocess.Popen(command, env=settings, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603
        try:
            assert process.stdout is not None
            metrics = json.loads(process.stdout.readline())["metrics"]
            with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=5) as answer:
                assert "hub_appends_total" in answer.read().decode()
        finally:  # else it would be waited for without end
            process.terminate()


@pytest.mark.parametrize(
    ("file", "code", "words"),
    [
        ("pki/server.pem", 4, "holds no PEM certificate"),
        ("pki/ca.pem", 4, "holds no PEM certificate"),
        ("pki/server.key", 4, "holds no PEM private key"),
        ("trust/operator.pub", 5, "holds no PEM public key: copy it from any other place"),
        ("agencies/hub/sign.key", 5, "holds no signing key: restore it"),
    ],
)
def test_a_file_without_what_it_should_hold_is_named(
    hub: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, code: int, words: str
) -> None:
    monkeypatch.setenv("HUB_METRICS_LISTEN", "")
    home = copied_home(hub.home, tmp_path)
    (home / file).write_text("nothing of the kind")
    answer = ran("serve", "--home", home, "--listen", "127.0.0.1:0")

    assert answer.code == code
    said = [line for line in answer.err.splitlines() if line.startswith("hub: ")]
    assert [line.startswith(f"hub: {home / file} {words}") for line in said] == [True]


@pytest.mark.parametrize("way", ["threading.Thread(target=hold_up).start()", "serve._announce = in_the_loops_executor"])
def test_a_hub_that_a_thread_keeps_from_its_end_says_what_that_does(tmp_path: Path, way: str) -> None:
    program = f"""
import asyncio, threading, time
from services.cli import main, serve
from services.runtime import interpreter
interpreter.END_MAX_SECONDS = 0.5
announce = serve._announce
def hold_up():
    time.sleep({START_MAX_SECONDS * 2})
def in_the_loops_executor(*arguments, **named):
    asyncio.get_running_loop().run_in_executor(None, hold_up)
    announce(*arguments, **named)
{way}
main.run()
"""
    command = [sys.executable, "-c", program, "serve", "--found", "--home", str(tmp_path / "hub"), "--listen", "127.0.0.1:0"]
    quiet = environment(HUB_METRICS_LISTEN="")
    with subprocess.Popen(command, env=quiet, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdout is not None
        assert "serving" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=START_MAX_SECONDS)

    assert process.returncode == 1
    assert "hub.stopped" in said
    assert "in hold_up" in said


def test_a_node_that_is_unsound_ends_with_5_also_if_a_thread_keeps_it_from_its_end(tmp_path: Path) -> None:
    program = f"""
import asyncio, time
from services.cli import main, serve
from services.cli.failures import Exit, Failure
from services.runtime import interpreter
interpreter.END_MAX_SECONDS = 0.5
async def live(_node):
    asyncio.get_running_loop().run_in_executor(None, time.sleep, {START_MAX_SECONDS * 2})
    raise Failure(Exit.UNSOUND, "it differs")
serve._Node.live = live
main.run()
"""
    command = [sys.executable, "-c", program, "serve", "--found", "--home", str(tmp_path / "hub"), "--listen", "127.0.0.1:0"]
    ended = subprocess.run(command, env=environment() | {"HUB_METRICS_LISTEN": ""}, timeout=START_MAX_SECONDS, check=False)  # noqa: S603
    assert ended.returncode == 5


def test_metrics_show_lag_deadlines_and_sizes(hub: Served) -> None:
    def text() -> str:
        with urllib.request.urlopen(f"http://{hub.metrics}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    wait_until(lambda: 'hub_deadlines{band="overdue"}' in text() and "hub_store_bytes" in text())
    assert 'hub_projection_lag_positions{view="chronology"}' in text()
    assert 'hub_store_bytes{store="events"}' in text()
    assert "other" not in [line for line in text().splitlines() if line.startswith("hub_deadlines")]


def test_a_home_whose_founding_was_cut_short_without_a_mark_is_not_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def cut_short(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, "_enrol_hub", cut_short)
        assert ran("serve", "--found", "--home", tmp_path / "hub").code == 130
    (tmp_path / "hub" / ".founding").unlink()  # as former versions of the hub left it
    answer = ran("serve", "--found", "--home", tmp_path / "hub", "--listen", "127.0.0.1:0")

    assert (answer.code, answer.out) == (4, "")
    assert "its founding was cut short" in answer.err
    assert "remove the home and found it anew" in answer.err


def test_a_founding_that_a_full_disk_cut_short_does_not_say_that_nothing_was_founded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise Unavailable("database or disk is full")

    monkeypatch.setattr(bootstrap, "_enrol_hub", full)
    answer = ran("serve", "--found", "--home", tmp_path / "hub")

    assert answer.code == 4
    assert "nothing was founded" not in answer.err
    assert "the founding was cut short: hub serve --found goes on with it" in answer.err


def test_nothing_is_founded_with_a_key_encryption_key_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_KEK", "zz")
    answer = ran("serve", "--found", "--home", tmp_path / "hub")

    assert answer.code == 2
    assert "HUB_KEK: expected a key-encryption key of 64 hexadecimal digits" in answer.err
    assert not (tmp_path / "hub").exists()
