"""The ``hub`` command: its help, wrong usage, and how it ends, against a hub served in a process of its own."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.support.builders import CASE, COUNCIL, OTHER_CASE, SHARD
from tests.support.command import HUB, START_MAX_SECONDS, copied_home, environment, ran, start, stop
from tests.support.killing import free_port
from tests.support.settled import Served, settled_hub

COMMANDS = (
    "demo",
    "serve",
    "pki",
    "agencies",
    "partnerships",
    "keys",
    "chronology",
    "deadlines",
    "panel",
    "log",
    "rebuild",
    "verify",
    "backup",
    "restore",
    "generate",
    "bench",
    "doctor",
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with settled_hub(tmp_path_factory.mktemp("cli") / "hub") as served:
        yield served


def test_help_names_every_command_and_every_exit_code() -> None:
    help_ = ran("--help")

    assert help_.code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in help_.out] == []
    assert [line.split()[0] for line in help_.out.partition("Exit codes:")[2].splitlines() if line] == ["0", "1", "2", "3", "4", "5", "130"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("verify", "--nonsense"),
        ("panel", "table", "1", "--period", "last year"),
        ("agencies", "enrol", "nobody", "--name", "x"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_how(arguments: tuple[str, ...]) -> None:
    assert ran(*arguments).code == 2
    assert ran(*arguments).err.startswith("hub: ")


def test_an_unknown_setting_is_refused_with_the_nearest_known_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_LISTN", "x")
    answer = ran("verify", "--home", tmp_path)

    assert (answer.code, answer.out) == (2, "")
    assert "HUB_LISTN in the environment is no setting of the hub; the nearest is HUB_LISTEN" in answer.err


def test_without_a_hub_there_is_nothing_to_serve(tmp_path: Path) -> None:
    answer = ran("serve", "--home", tmp_path)

    assert answer.code == 4
    assert f"hub serve --found --home {tmp_path}" in answer.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("log",),
        ("verify",),
        ("rebuild",),
        ("chronology", CASE),
        ("deadlines",),
        ("panel", "cases"),
        ("agencies", "list"),
        ("agencies", "enrol", COUNCIL, "--name", "x"),
        ("keys", "register", COUNCIL),
    ],
)
def test_a_home_without_a_hub_is_said_to_be_one_by_every_command(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    answer = ran(*arguments, "--home", tmp_path)

    assert (answer.code, answer.out) == (4, "")
    assert f"hub: {tmp_path} holds no hub" in answer.err
    assert f"hub serve --found --home {tmp_path}" in answer.err


def test_a_file_that_cannot_be_written_is_named_with_advice_that_fits(tmp_path: Path) -> None:
    out = tmp_path / "nosuch" / "x.jsonl"
    answer = ran("generate", "--incidents", "1", "--out", out)
    (tmp_path / "file").write_text("")
    kept = ran("demo", "--keep", tmp_path / "file" / "hub")

    assert (answer.code, f"{out} cannot be written" in answer.err, "--home" in answer.err) == (4, True, False)
    assert (kept.code, str(tmp_path / "file") in kept.err, "--home" in kept.err) == (4, True, False)


def test_options_are_refused_in_the_hubs_own_words(tmp_path: Path) -> None:
    stage = ran("panel", "cases", "--stage", "nosuch", "--home", tmp_path)
    number = ran("panel", "cases", "--limit", "many", "--home", tmp_path)

    assert (stage.code, "'--stage': 'nosuch' is not one of" in stage.err) == (2, True)
    assert (number.code, "'--limit': expected a whole number" in number.err) == (2, True)


@pytest.mark.parametrize("arguments", [(), ("panel",)])
def test_a_group_without_a_command_is_answered_with_its_help(arguments: tuple[str, ...]) -> None:
    answer = ran(*arguments)

    assert (answer.code, answer.err.startswith("Usage: hub"), "--help behind" in answer.err) == (2, True, False)


def test_where_no_hub_answers_commands_end_with_4(hub: Served, tmp_path: Path) -> None:
    home = copied_home(hub.home, tmp_path)
    (home / "hub.toml").write_text(f'listen = "127.0.0.1:{free_port(Random())}"\n')

    for arguments in (("agencies", "list"), ("chronology", CASE, "--as", COUNCIL), ("keys", "register", COUNCIL)):
        answer = ran(*arguments, "--home", home)
        assert answer.code == 4
        assert "start it with: hub serve" in answer.err


def test_the_hub_of_another_home_is_told_from_none(hub: Served, tmp_path: Path) -> None:
    home = tmp_path / "other"
    stop(start(home, "--found"))
    taken = (hub.home / "address").read_text().strip()
    (home / "hub.toml").write_text(f'listen = "{taken}"\n')
    answer = ran("agencies", "list", "--home", home)

    assert (answer.code, f"what answers at {taken} is no hub of this home" in answer.err) == (4, True)
    assert "start it with" not in answer.err


@pytest.mark.parametrize(
    "program",
    [
        "import services.cli.verify; services.cli.verify.verdict_of = end",  # at work
        "import services.cli.commands; services.cli.commands._imported = end",  # while its code is loaded
        "Ending('typer')",  # while typer is loaded
        "import services.cli.verify; services.cli.verify.verdict_of = None; Ending('services.cli.ending')",  # while a failure is said
    ],
)
@pytest.mark.parametrize("order", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_command_says_so_and_ends_with_130(hub: Served, program: str, order: str) -> None:
    code = f"""
import os, signal, sys, time

def end(*_):
    os.kill(os.getpid(), signal.{order})
    time.sleep({START_MAX_SECONDS})

class Ending:
    def __init__(self, module):
        self.module = module
        sys.meta_path.insert(0, self)

    def find_spec(self, name, *_):
        if name == self.module:
            end()

import services.cli.main
{program}
services.cli.main.run()
"""
    command = [sys.executable, "-c", code, "verify", "--home", str(hub.home)]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=START_MAX_SECONDS, check=False)  # noqa: S603

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "hub: interrupted\n")


@pytest.mark.parametrize("answer", [b"n\n", b"\x04", None], ids=["no", "Ctrl-D", "Ctrl-C"])
def test_a_question_answered_with_no_changes_nothing_and_ends_with_130(hub: Served, answer: bytes | None) -> None:
    command = [*HUB, "keys", "retire", "hub:1", "--home", str(hub.home)]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, env=environment(), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)  # noqa: S603
    try:
        os.close(theirs)
        asked = b""
        while b"[y/N]" not in asked:
            asked += os.read(ours, 4096)
        if answer is None:
            process.send_signal(signal.SIGINT)
        else:
            os.write(ours, answer)
        assert process.wait(START_MAX_SECONDS) == 130
    finally:
        process.kill()
        os.close(ours)
    assert hub.ran("keys", "list", "--of", "hub", "--json").document["keys"][0]["state"] == "active"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_standard_stream_that_is_closed_is_not_needed(hub: Served, closed: str) -> None:
    command = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-m", "services.cli.main", "log", "--home", str(hub.home)]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=START_MAX_SECONDS, check=False)  # noqa: S603

    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Shards: 2\n") == (">&-" not in closed.replace("2>&-", ""))


def test_an_interrupted_demo_says_what_it_leaves_in_the_folder_that_is_kept(tmp_path: Path) -> None:
    code = """
import services.cli.main, services.cli.demo.command as command

def end(*_):
    raise KeyboardInterrupt

command.prepared = end
services.cli.main.run()
"""
    command = [sys.executable, "-c", code, "demo", "--keep", str(tmp_path / "kept")]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=START_MAX_SECONDS, check=False)  # noqa: S603

    left = f"hub: what the demo came to lies in {tmp_path / 'kept'}: remove it before --keep names it again\n"
    assert (ended.returncode, ended.stderr) == (130, f"{left}hub: interrupted\n")
    assert (tmp_path / "kept" / "store").is_dir()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("deadlines", "--clock", "NOSUCH"), 2, "there are: K1, "),
        (("deadlines", "--explain", CASE, "K99"), 2, "there are: K1, "),
        (("deadlines", "--explain", CASE, "K5B", "--overdue"), 2, "--explain explains one deadline"),
        (("deadlines", "--owed-by", "nobody"), 2, "an agency id is"),
        (("deadlines", "--case", "nosuch"), 2, "a case id is a lower-case UUID"),
        (("deadlines", "--case", OTHER_CASE), 3, "there is no case"),
        (("chronology", OTHER_CASE), 3, "there is no case"),
        (("log", OTHER_CASE), 3, "there is no case"),
        (("log", f"incident-{OTHER_CASE}"), 3, "there is no case"),
        (("log", CASE), 2, f"that case has the streams incident-{CASE}, sharing-{CASE}"),
        (("log", "nosuch"), 2, "hub log without it lists the shards"),
        (("panel", "table", "99"), 2, "expected one of chart, 1, 2, "),
        (("deadlines", "--shard", "nosuch"), 2, f"there are: {SHARD}"),
        (("deadlines", "--watch", "--limit", "1"), 2, "do not go together"),
        (("log", "national", "--type", "nosuch"), 2, "agency.enrolled.v1"),
    ],
)
def test_what_names_nothing_known_is_refused_with_what_is_known(hub: Served, arguments: tuple[str, ...], code: int, words: str) -> None:
    answer = hub.ran(*arguments)

    assert (answer.code, answer.out, words in answer.err) == (code, "", True)
