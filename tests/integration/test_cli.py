"""The ``hub`` command against a hub served in a process of its own."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from domain.kernel.agencies import OPERATOR_ID
from safeguarding.hub.client.drafts import Draft
from safeguarding.hub.client.outcomes import Receipt
from services.cli.calling import sdk_client
from services.cli.doctor import WHAT_FOR
from services.eventstore.codec import to_message
from services.runtime.settings import NAMES, Settings, load_settings
from tests.support.builders import (
    BUSINESS_UNIT,
    CASE,
    CHILD,
    COUNCIL,
    ICB,
    MONDAY,
    OTHER_CASE,
    PANEL,
    POLICE,
    SHARD,
    a_notification,
    a_share,
    an_entry,
    done,
)
from tests.support.command import HUB, START_MAX_SECONDS, Ran, copied_home, environment, ran, serving, start, stop, wait_until

FORMULA = "=HYPERLINK(synthetic)"
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


@dataclass(frozen=True, slots=True)
class Served:
    """A hub that serves, with a partnership, one case and its metrics."""

    settings: Settings
    metrics: str
    process: subprocess.Popen[str]

    @property
    def home(self) -> Path:
        return self.settings.home

    def ran(self, *arguments: str) -> Ran:
        return ran(*arguments, "--home", self.home)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("cli") / "hub"
    metrics = f"127.0.0.1:{free_port()}"
    with serving(home, HUB_METRICS_LISTEN=metrics) as process:
        served = Served(load_settings(home=home), metrics, process)
        settle(served)
        yield served


def settle(hub: Served) -> None:
    """Enrol a partnership's agencies and the Panel by the command, and have the council tell a case."""
    for agency in (COUNCIL, ICB, POLICE, BUSINESS_UNIT):
        assert hub.ran("agencies", "enrol", agency, "--name", f"{agency} (synthetic)", "--shard", SHARD, "--with-key").code == 0
    assert hub.ran("agencies", "enrol", PANEL, "--name", "The Panel (synthetic)", "--with-key").code == 0
    partners = [word for partner in (COUNCIL, ICB, POLICE) for word in ("--partner", partner)]
    named = ("--name", "Northmoor (synthetic)", "--business-unit", BUSINESS_UNIT, "--starts-on", "2019-09-29")
    assert hub.ran("partnerships", "establish", SHARD, *named, *partners).code == 0
    events = [
        a_notification(details=done(MONDAY)),
        a_share(an_entry(fact=FORMULA), an_entry("01890000-0000-7000-8000-000000000099"), details=done(MONDAY)),
    ]
    asyncio.run(say(hub, [Draft(event=to_message(event), case_id=CASE, imported=True) for event in events]))
    wait_until(lambda: all(check["grade"] == "OK" for check in hub.ran("doctor", "--json").document["checks"]))


async def say(hub: Served, drafts: list[Draft]) -> None:
    async with sdk_client(hub.settings, COUNCIL, shard=SHARD, source="tests", actor_role="tests") as client:
        outcomes = await client.append_many(drafts)
        assert all(isinstance(outcome, Receipt) for outcome in outcomes), outcomes


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


# ── usage and endings ──


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
    (home / "hub.toml").write_text(f'listen = "127.0.0.1:{free_port()}"\n')

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
        "sys.meta_path.insert(0, Ending())",  # while typer is loaded
    ],
)
def test_an_interrupted_command_says_so_and_ends_with_130(hub: Served, program: str) -> None:
    code = f"""
import os, signal, sys, time

def end(*_):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep({START_MAX_SECONDS})

class Ending:
    def find_spec(self, name, *_):
        if name == "typer":
            end()

import services.cli.main
{program}
services.cli.main.run()
"""
    command = [sys.executable, "-c", code, "verify", "--home", str(hub.home)]
    ended = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=START_MAX_SECONDS, check=False)  # noqa: S603

    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "hub: interrupted\n")


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


# ── serving ──


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
    command = [sys.executable, "-c", program, "serve", "--found", "--home", str(tmp_path / "hub")]
    ended = subprocess.run(command, env=environment(), timeout=START_MAX_SECONDS, check=False)  # noqa: S603
    assert ended.returncode == 5


def test_metrics_show_lag_deadlines_and_sizes(hub: Served) -> None:
    def text() -> str:
        with urllib.request.urlopen(f"http://{hub.metrics}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    wait_until(lambda: 'hub_deadlines{band="overdue"}' in text() and "hub_store_bytes" in text())
    assert 'hub_projection_lag_positions{view="chronology"}' in text()
    assert 'hub_store_bytes{store="events"}' in text()
    assert "other" not in [line for line in text().splitlines() if line.startswith("hub_deadlines")]


# ── who takes part ──


def test_agencies_are_listed_and_told_as_json(hub: Served) -> None:
    listed = {one["agency_id"]: one for one in hub.ran("agencies", "list", "--json").document["agencies"]}

    assert listed[COUNCIL]["name"] == f"{COUNCIL} (synthetic)"
    assert (listed[COUNCIL]["kind"], listed[COUNCIL]["shards"], listed[COUNCIL]["suspended"]) == ("local_authority", [SHARD], False)
    assert f"{COUNCIL} (synthetic)" in hub.ran("agencies", "list").out


def test_an_agency_is_suspended_only_when_that_is_meant(hub: Served) -> None:
    agency = "agency-northmoor-library"
    enrolled = hub.ran("agencies", "enrol", agency, "--name", "Library (synthetic)", "--shard", SHARD, "--json")
    assert [one["outcome"] for one in enrolled.document["outcomes"]] == ["receipt"]

    unmeant = hub.ran("agencies", "suspend", agency, "--reason", "synthetic")
    assert (unmeant.code, "--yes" in unmeant.err) == (2, True)
    assert hub.ran("agencies", "suspend", agency, "--reason", "synthetic", "--yes").code == 0
    listed = {one["agency_id"]: one for one in hub.ran("agencies", "list", "--json").document["agencies"]}
    assert (listed[agency]["suspended"], listed[COUNCIL]["suspended"]) == (True, False)


def test_an_agency_is_enrolled_again_with_other_terms_as_a_correction(hub: Served) -> None:
    agency = "agency-northmoor-museum"
    assert hub.ran("agencies", "enrol", agency).code == 2
    assert hub.ran("agencies", "enrol", agency, "--name", "Museum (synthetic)", "--shard", SHARD, "--live-from", "2024-01-01").code == 0

    again = hub.ran("agencies", "enrol", agency, "--shard", SHARD, "--shard", "elsewhere", "--json")
    assert (again.code, again.document["changed"]) == (0, {"shards": [SHARD, f"{SHARD}, elsewhere"]})
    told = hub.ran("agencies", "enrol", agency, "--name", "The museum (synthetic)")
    assert (told.code, "name: Museum (synthetic) → The museum (synthetic)" in told.out) == (0, True)
    listed = {one["agency_id"]: one for one in hub.ran("agencies", "list", "--json").document["agencies"]}[agency]
    assert (listed["name"], listed["live_from"]) == ("The museum (synthetic)", "2024-01-01")
    assert listed["shards"] == [SHARD, "elsewhere"]
    before = hub.ran("log", f"agency-{agency}", "--json").document["events"]
    same = hub.ran("agencies", "enrol", agency, "--name", "The museum (synthetic)")
    assert (same.code, "nothing was sent" in same.out) == (0, True)
    assert hub.ran("log", f"agency-{agency}", "--json").document["events"] == before


def test_a_suspended_agency_is_enrolled_anew(hub: Served) -> None:
    agency = "agency-northmoor-theatre"
    assert hub.ran("agencies", "enrol", agency, "--name", "Theatre (synthetic)", "--shard", SHARD).code == 0
    assert hub.ran("agencies", "suspend", agency, "--reason", "synthetic", "--yes").code == 0
    assert hub.ran("agencies", "enrol", agency).code == 0

    listed = {one["agency_id"]: one for one in hub.ran("agencies", "list", "--json").document["agencies"]}[agency]
    assert (listed["suspended"], listed["name"], listed["shards"]) == (False, "Theatre (synthetic)", [SHARD])


def test_a_refused_enrolment_registers_no_key_and_leaves_no_certificate(hub: Served) -> None:
    agency = "agency-northmoor-refused"
    refused = hub.ran("agencies", "enrol", agency, "--name", "Refused (synthetic)", "--with-key", "--json")

    assert (refused.code, "agency.shards" in refused.err) == (3, True)
    assert [one["outcome"] for one in refused.document["outcomes"]] == ["refusal", "refusal"]
    assert "is removed again" in refused.err
    assert not hub.settings.agency_folder(agency).exists()
    assert hub.ran("log", f"agency-{agency}").code == 2

    assert hub.ran("agencies", "enrol", COUNCIL, "--shard", "national").code == 3
    assert hub.settings.agency_folder(COUNCIL).joinpath("client.pem").exists()


def test_an_enrolment_that_is_repeated_with_its_key_sends_nothing_and_says_so(hub: Served) -> None:
    before = hub.ran("log", f"agency-{COUNCIL}", "--json").document["events"]
    again = hub.ran("agencies", "enrol", COUNCIL, "--shard", SHARD, "--with-key")
    registered = hub.ran("keys", "register", COUNCIL)

    assert (again.code, again.err) == (0, "")
    assert again.out == f"{COUNCIL} is enrolled on these terms and with this key already: nothing was sent\n"
    assert (registered.code, registered.out) == (0, f"{COUNCIL}:1 is registered already: nothing was sent\n")
    assert hub.ran("keys", "register", COUNCIL, "--json").document == {"agency": COUNCIL, "outcomes": []}
    assert hub.ran("log", f"agency-{COUNCIL}", "--json").document["events"] == before


def test_an_enrolment_with_other_terms_and_the_key_that_stands_changes_the_terms(hub: Served) -> None:
    agency = "agency-northmoor-garden"
    enrolled = ("agencies", "enrol", agency, "--shard", SHARD, "--with-key")
    assert hub.ran(*enrolled, "--name", "Garden (synthetic)").code == 0
    again = hub.ran(*enrolled, "--name", "The garden (synthetic)", "--json")

    assert (again.code, [one["outcome"] for one in again.document["outcomes"]]) == (0, ["receipt"])
    assert [one["key_id"] for one in hub.ran("keys", "list", "--of", agency, "--json").document["keys"]] == [f"{agency}:1"]


def test_a_key_that_cannot_be_registered_again_is_refused_with_what_can_be_done(hub: Served) -> None:
    agency = "agency-northmoor-cinema"
    enrolled = ("agencies", "enrol", agency, "--name", "Cinema (synthetic)", "--shard", SHARD, "--with-key")
    assert hub.ran(*enrolled).code == 0
    assert hub.ran("keys", "retire", f"{agency}:1", "--yes").code == 0
    retired = hub.ran(*enrolled)
    shutil.rmtree(hub.settings.agency_folder(agency))
    elsewhere = hub.ran(*enrolled)
    is_made = hub.settings.agency_folder(agency).exists()
    assert hub.ran("pki", "issue", agency).code == 0
    other = hub.ran("keys", "register", agency)

    assert (retired.code, f"{agency}:1 stands for this key already, which is retired" in retired.err) == (3, True)
    assert (elsewhere.code, is_made) == (3, False)
    assert f"hub pki issue {agency}, then hub keys register {agency} --rotate" in elsewhere.err
    assert (other.code, f"{agency}:1 stands for another key already" in other.err) == (3, True)
    assert f"hub keys register {agency} --rotate" in other.err
    assert hub.ran("keys", "register", agency, "--rotate").code == 0


def test_a_partnership_that_does_not_exist_is_said_at_an_enrolment(hub: Served) -> None:
    named = ("--name", "Station (synthetic)", "--shard", SHARD, "--shard", "nowhere")
    enrolled = hub.ran("agencies", "enrol", "agency-northmoor-station", *named, "--json")

    assert (enrolled.code, [one["outcome"] for one in enrolled.document["outcomes"]]) == (0, ["receipt"])
    assert enrolled.err == "hub: no partnership of the name nowhere exists yet; hub partnerships establish nowhere makes it\n"


def test_a_key_is_rotated_retired_and_revoked(hub: Served) -> None:
    agency = "agency-northmoor-rotating"
    assert hub.ran("agencies", "enrol", agency, "--name", "Rotating (synthetic)", "--shard", SHARD, "--with-key").code == 0
    rotated = hub.ran("keys", "register", agency, "--rotate")
    assert (rotated.code, rotated.out.splitlines()[-1].endswith(f": hub keys retire {agency}:1")) == (0, True)
    assert hub.ran("keys", "retire", f"{agency}:1", "--yes").code == 0
    assert hub.ran("keys", "revoke", f"{agency}:2", "--reason", "lost", "--yes").code == 0

    keys = hub.ran("keys", "list", "--of", agency, "--json").document["keys"]
    assert [(one["key_id"], one["state"]) for one in keys] == [(f"{agency}:1", "retired"), (f"{agency}:2", "revoked")]
    assert hub.settings.agency_folder(agency).joinpath("key_id").read_text() == f"{agency}:2\n"


def test_a_refusal_names_its_rule_and_ends_with_3(hub: Served) -> None:
    agency = "agency-northmoor-harbour"
    assert hub.ran("agencies", "enrol", agency, "--name", "Harbour (synthetic)", "--shard", SHARD, "--with-key").code == 0
    assert hub.ran("keys", "retire", f"{agency}:1", "--yes").code == 0
    again = hub.ran("keys", "retire", f"{agency}:1", "--yes", "--json")

    assert again.code == 3
    assert again.document["outcomes"][0]["outcome"] == "refusal"
    assert again.err.startswith(f"hub: refused: {again.document['outcomes'][0]['rule']}: ")


def test_an_authority_is_never_overwritten(tmp_path: Path) -> None:
    assert ran("pki", "init", "--home", tmp_path, "--name", "hub.example.org").code == 0
    before = (tmp_path / "pki" / "ca.pem").read_bytes()
    assert ran("pki", "init", "--home", tmp_path).code == 2
    assert ran("pki", "server", "--home", tmp_path).code == 0
    assert ran("pki", "issue", COUNCIL, "--home", tmp_path, "--json").document["files"][0] == "ca.pem"
    key = (tmp_path / "agencies" / COUNCIL / "sign.key").read_bytes()
    assert ran("pki", "issue", COUNCIL, "--home", tmp_path).code == 2
    assert ran("pki", "issue", COUNCIL, "--home", tmp_path, "--renew").code == 0

    assert (tmp_path / "pki" / "ca.pem").read_bytes() == before
    assert (tmp_path / "agencies" / COUNCIL / "sign.key").read_bytes() == key


# ── reading ──


def test_a_chronology_is_found_without_naming_its_partnership(hub: Served) -> None:
    story = hub.ran("chronology", CASE, "--json").document

    assert (story["shard"], story["case_id"], story["as"]) == (SHARD, CASE, BUSINESS_UNIT)
    assert [line["event_type"] for line in story["lines"]].count("incident.notified.v1") == 1
    assert FORMULA in [line["fact"] for line in story["lines"]]
    assert FORMULA in hub.ran("chronology", CASE).out


def test_a_childs_chronology_is_that_of_all_its_cases(hub: Served) -> None:
    whole = hub.ran("chronology", CASE, "--json").document
    told = hub.ran("chronology", "--child", CHILD, "--shard", SHARD, "--json").document
    assert (told["child_id"], told["as"]) == (CHILD, whole["as"])
    assert CASE in [one["case_id"] for one in told["cases"]]
    printed = hub.ran("chronology", "--child", CHILD, "--shard", SHARD).out
    assert f"case 1: {told['cases'][0]['case_id']}" in printed
    exported = hub.ran("chronology", "--child", CHILD, "--shard", SHARD, "--csv").out.splitlines()
    assert len(exported) > sum(len(one["lines"]) for one in told["cases"])


@pytest.mark.parametrize("arguments", [(), (CASE, "--child", CHILD), ("--child", CHILD), ("--child", CHILD, "--shard", SHARD, "--watch")])
def test_whose_chronology_must_be_clear(hub: Served, arguments: tuple[str, ...]) -> None:
    assert hub.ran("chronology", *arguments).code == 2


def test_a_chronology_as_known_earlier_is_shorter(hub: Served) -> None:
    assert hub.ran("chronology", CASE, "--known-at", "2024-01-01", "--json").document["lines"] == []


def test_no_cell_of_an_exported_chronology_is_a_formula(hub: Served) -> None:
    exported = hub.ran("chronology", CASE, "--all", "--csv")

    rows = list(csv.DictReader(io.StringIO(exported.out)))
    assert f"'{FORMULA}" in [row["fact"] for row in rows]
    assert not [cell for row in rows for cell in row.values() if cell[:1] in "=+-@\t\r" and cell]


def test_a_case_of_others_and_no_case_end_with_3(hub: Served) -> None:
    hub.ran("agencies", "enrol", "la-E09999909", "--name", "Elsewhere (synthetic)", "--shard", "elsewhere", "--with-key")

    assert hub.ran("chronology", OTHER_CASE).code == 3
    assert hub.ran("chronology", CASE, "--as", "la-E09999909").code == 3
    assert hub.ran("chronology", "nonsense").code == 2
    absent = hub.ran("chronology", CASE, "--as", "la-E00000000")
    assert (absent.code, "hub agencies enrol la-E00000000 --with-key makes one" in absent.err) == (2, True)


def test_a_watched_chronology_shows_what_is_there_and_ends_when_interrupted(hub: Served) -> None:
    command = [*HUB, "chronology", CASE, "--home", str(hub.home), "--watch", "--json"]
    watch = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603
    assert watch.stdout is not None
    first = json.loads(watch.stdout.readline())
    watch.send_signal(signal.SIGINT)
    _, err = watch.communicate(timeout=20)

    assert [line["event_type"] for line in first["lines"]].count("incident.notified.v1") == 1
    assert (watch.returncode, err) == (0, "")


def test_deadlines_are_listed_by_urgency_and_filtered(hub: Served) -> None:
    of_case = hub.ran("deadlines", "--case", CASE, "--json").document
    overdue = hub.ran("deadlines", "--overdue", "--json").document["deadlines"]
    before = hub.ran("deadlines", "--case", CASE, "--as-of", "2024-01-01", "--json").document

    assert (of_case["as"], of_case["more"]) == (PANEL, False)
    assert [one["clock"] for one in of_case["deadlines"] if one["status"] == "met on time"] == ["K1"]
    assert {one["band"] for one in overdue} == {"overdue"}
    assert {one["clock"] for one in overdue} == {one["clock"] for one in of_case["deadlines"] if one["band"] == "overdue"}
    assert before["deadlines"] == []
    limited = hub.ran("deadlines", "--case", CASE, "--limit", "1", "--json").document
    assert (limited["more"], limited["deadlines"]) == (True, of_case["deadlines"][:1])
    assert hub.ran("deadlines", "--overdue", "--csv").out.count("\n") == 1 + len(overdue)


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


def test_filters_of_deadlines_take_a_clock_in_small_letters_and_the_partners(hub: Served) -> None:
    named = hub.ran("deadlines", "--clock", "k5b", "--json").document["deadlines"]
    owed = hub.ran("deadlines", "--case", CASE, "--owed-by", "partners", "--json").document["deadlines"]

    assert [one["clock"] for one in named] == ["K5B"]
    assert {owner for one in owed for owner in one["owed_by"]} == {"partners"}


def test_a_deadline_explains_itself(hub: Served) -> None:
    words = hub.ran("deadlines", "--explain", CASE, "K5B")
    told = hub.ran("deadlines", "--explain", CASE, "k5b", "--as", COUNCIL, "--json").document

    assert "15 working days" in words.out
    assert words.out.count("2024-03-09: Saturday") == 1
    assert [day for day in told["skipped_days"] if any(day in line for line in told["lines"])] == []
    assert (told["deadline"]["clock"], told["deadline"]["day_zero"]) == ("K5B", "2024-03-04")
    assert told["deadline"] in hub.ran("deadlines", "--case", CASE, "--as", COUNCIL, "--json").document["deadlines"]
    assert hub.ran("deadlines", "--explain", CASE, "K17").code == 3


def test_a_panel_table_is_counted_and_labelled(hub: Served) -> None:
    arguments = ("panel", "table", "6", "--period", "2024", "--count-day", "2024-12-31")
    table = hub.ran(*arguments, "--json").document
    rows = list(csv.reader(io.StringIO(hub.ran(*arguments, "--csv").out)))

    assert (table["table"], table["period"], table["count_day"]) == ("6", "2024-01-01/2024-12-31", "2024-12-31")
    assert rows[0] == ["key", "group", "label", *[column["key"] for column in table["columns"]]]
    assert len(rows) == 1 + len(table["rows"]) + ("total" in table)
    assert f"counted: {table['unit']}" in hub.ran(*arguments).out
    wrong = hub.ran("panel", "table", "99", "--period", "2024")
    assert (wrong.code, "expected one of chart" in wrong.err) == (2, True)
    basis = hub.ran("panel", "table", "6", "--period", "2024", "--basis", "occurred")
    assert (basis.code, "basis: expected one of due for table 6, found occurred" in basis.err) == (2, True)
    future = hub.ran("panel", "table", "6", "--period", "2024", "--count-day", "2099-01-01")
    assert (future.code, "count_day: expected a day that has come" in future.err) == (2, True)


def test_how_timely_duties_were_kept_is_counted_and_labelled(hub: Served) -> None:
    arguments = ("panel", "timeliness", "--period", "2024", "--count-day", "2024-03-28")
    told = hub.ran(*arguments, "--clock", "k5b", "--json").document
    rows = list(csv.DictReader(io.StringIO(hub.ran(*arguments, "--by", "partnership", "--csv").out)))
    shown = hub.ran(*arguments, "--clock", "K5B", "--by", "partnership").out

    (duty,) = told["duties"]
    assert (duty["clock"], duty["due"], duty["overdue"], duty["longest_working_days_late"]) == ("K5B", 1, 1, 3)
    assert (told["period"], told["count_day"]) == ("2024-01-01/2024-12-31", "2024-03-28")
    assert {row["shard"] for row in rows} == {SHARD}
    assert [(row["due"], row["on_time_percent"], row["median_working_days_late"]) for row in rows if row["clock"] == "K5B"] == [
        ("1", "0.0", "3")
    ]
    assert [row["longest_working_days_late"] for row in rows if row["clock"] == "K1"] == [""], "nothing of it is late"
    assert (SHARD in shown, "1 overdue" in shown, "working days late: median 3, longest 3" in shown) == (True, True, True)
    assert f"counted: {told['unit']}; percents of: {told['base']}" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--clock", "K99"), "no clock that sets a day: expected one of K1, "),
        (("--clock", "K7"), "no clock that sets a day: expected one of K1, "),
        (("--by", "weather"), "'weather' is not"),
        (("--csv", "--json"), "one of --csv, --json"),
        (("--count-day", "2099-01-01"), "count_day: expected a day that has come"),
    ],
)
def test_what_timeliness_cannot_be_counted_of_is_refused(hub: Served, arguments: tuple[str, ...], words: str) -> None:
    answer = hub.ran("panel", "timeliness", "--period", "2024", *arguments)

    assert (answer.code, answer.out, words in answer.err) == (2, "", True)


def test_the_panel_lists_cases(hub: Served) -> None:
    cases = hub.ran("panel", "cases", "--json").document

    assert [(one["case_id"], one["notified_on"], one["stage"]) for one in cases["cases"]] == [(CASE, "2024-03-04", "notified")]
    assert hub.ran("panel", "cases", "--stage", "published", "--json").document == {"cases": [], "more": False}
    shown = hub.ran("panel", "cases", "--count-day", "2024-03-07").out
    assert CASE in shown
    assert "3 working days since notification" in shown


# ── the log ──


def test_the_log_shows_places_and_keeps_bodies_sealed(hub: Served) -> None:
    shards = hub.ran("log", "--json").document["shards"]
    stream = hub.ran("log", f"incident-{CASE}", "--json").document["events"]
    opened = hub.ran("log", f"incident-{CASE}", "--body", "--json")

    assert [one["shard"] for one in shards] == ["national", SHARD]
    assert [(one["version"], one["event_type"], one["agency_id"]) for one in stream] == [(1, "incident.notified.v1", COUNCIL)]
    assert "body" not in stream[0]
    assert opened.document["events"][0]["body"]["circumstances"] == "Synthetic circumstances."
    assert "recorded nowhere" in opened.err
    assert hub.ran("log", "national", "--limit", "1", "--json").document["events"][0]["event_type"] == "agency.enrolled.v1"
    assert hub.ran("log", "nonsense").code == 2


def test_a_body_is_shown_to_people_in_lines_without_what_it_leaves_unsaid(hub: Served) -> None:
    stream = f"incident-{CASE}"
    shown = hub.ran("log", stream, "--body").out
    event = hub.ran("log", stream, "--body", "--json").document["events"][0]

    assert f"\n{event['position']}: {{\n" in shown
    assert '\n  "circumstances": "Synthetic circumstances.",\n' in shown
    assert "null" not in shown
    told = json.loads(shown.partition(f"\n{event['position']}: ")[2].rpartition("\n}\n")[0] + "}")
    assert (told["children"][0]["sex"], told["details"]) == ("female", {"done_at": event["body"]["details"]["done_at"]})
    assert None in event["body"]["details"].values()


def test_who_read_a_case_is_on_the_log(hub: Served) -> None:
    hub.ran("chronology", CASE, "--as", ICB, "--user", "u-17", "--role", "named-doctor")

    viewed = hub.ran("log", f"access-{CASE}", "--body", "--json", "--limit", "1000").document["events"]
    assert ("u-17", "named-doctor", ICB) in [
        (one["body"]["viewer_user"], one["body"]["viewer_role"], one["body"]["viewer_agency"]) for one in viewed
    ]


def test_views_are_rebuilt_and_verified_beside_the_hub(hub: Served) -> None:
    rebuilt = hub.ran("rebuild", "deadlines", "--json").document
    assert [one["view"] for one in rebuilt["views"]] == ["deadlines"]
    assert hub.ran("rebuild", "nonsense").code == 2
    assert hub.ran("deadlines", "--case", CASE, "--json").code == 0

    verified = hub.ran("verify", "--json")
    assert (verified.code, verified.document["passed"], verified.document["problems"]) == (0, True, [])
    assert [(one["view"], one["matches"]) for one in verified.document["views"]] == [
        (view, True) for view in ("chronology", "deadlines", "oversight", "registry")
    ]


# ── doctor and generate ──


def test_doctor_finds_a_serving_hub_well(hub: Served) -> None:
    found = hub.ran("doctor", "--json")

    assert (found.code, found.document["passed"]) == (0, True)
    assert {one["grade"] for one in found.document["checks"]} == {"OK"}
    assert next(one for one in found.document["settings"] if one["name"] == "home")["source"] == "argument"
    assert "a hub answers at" in hub.ran("doctor").out


def test_doctor_says_what_is_wrong_and_what_to_do(hub: Served, tmp_path: Path) -> None:
    home = copied_home(hub.home, tmp_path)
    (home / "hub.toml").write_text('listen = "127.0.0.1:0"\n')
    (home / "trust").chmod(0o755)
    (home / "trust" / "kek").chmod(0o644)
    (home / "agencies" / OPERATOR_ID / "client.pem").unlink()
    found = ran("doctor", "--home", home, "--json")

    assert found.code == 5
    failed = [(one["what"], one["advice"]) for one in found.document["checks"] if one["grade"] == "FAIL"]
    assert failed == [("permissions", f"chmod 600 {home / 'trust' / 'kek'}")]
    (home / "hub.toml").write_text('lisen = "127.0.0.1:0"\n')
    unknown = ran("doctor", "--home", home)
    assert unknown.code == 5
    assert "the nearest is listen" in unknown.out
    assert ran("verify", "--home", home).code == 2


def test_doctor_says_of_a_folder_without_a_hub_that_there_is_none(tmp_path: Path) -> None:
    found = ran("doctor", "--home", tmp_path, "--json")

    checks = found.document["checks"]
    assert found.code == 5
    assert [(one["what"], one["grade"]) for one in checks] == [("home", "FAIL"), ("clock", "OK")]
    assert f"hub serve --found --home {tmp_path}" in checks[0]["advice"]


def test_doctor_counts_a_wrong_setting_once_and_looks_at_the_rest(hub: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_NOSUCH", "1")
    checks = hub.ran("doctor", "--json").document["checks"]

    assert [one["what"] for one in checks if one["grade"] == "FAIL"] == ["settings"]
    assert {"home", "keys", "serving", "log", "view"} <= {one["what"] for one in checks}


def test_doctor_names_a_missing_file_without_a_programs_words(hub: Served, tmp_path: Path) -> None:
    home = copied_home(hub.home, tmp_path)
    (home / "trust" / "kek").unlink()
    found = ran("doctor", "--home", home, "--json")

    words = [one["found"] for one in found.document["checks"] if one["grade"] == "FAIL"]
    assert f"missing: {home / 'trust' / 'kek'}" in words
    assert [one for one in words if "Errno" in one or "Error" in one] == []


@pytest.mark.parametrize("kek", [None, "zz"])
def test_without_the_key_encryption_key_everybody_says_where_it_is_looked_for(
    hub: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kek: str | None
) -> None:
    home = copied_home(hub.home, tmp_path)
    (home / "trust" / "kek").unlink()
    monkeypatch.setenv("HUB_LISTEN", "127.0.0.1:0")
    if kek is not None:
        monkeypatch.setenv("HUB_KEK", kek)
    advice = "HUB_KEK or the file trust/kek holds it; without it no body can be read"

    for arguments in (("verify",), ("serve",), ("rebuild",), ("log", "national", "--body")):
        assert advice in ran(*arguments, "--home", home).err
    checks = ran("doctor", "--home", home, "--json").document["checks"]
    assert {one["advice"] for one in checks if one["grade"] == "FAIL"} == {advice}


def test_doctor_explains_every_setting(hub: Served) -> None:
    settings = hub.ran("doctor", "--json").document["settings"]

    assert list(WHAT_FOR) == list(NAMES) == [one["name"] for one in settings]
    assert [one["problem"] for one in settings if one["problem"]] == []
    said = " ".join(hub.ran("doctor").out.split())
    assert [one for one in settings if f"{one['variable']} " not in said or one["what_for"] not in said] == []


def test_doctor_shows_every_setting_also_where_some_are_wrong_and_marks_those(
    hub: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copied_home(hub.home, tmp_path)
    (home / "hub.toml").write_text('node_id = "node-7"\nlog_level = "info"\n')
    monkeypatch.setenv("HUB_LOG_LEVEL", "verbose")
    monkeypatch.setenv("HUB_DATABASE_URL", "mysql://user:synthetic-password@nowhere")
    found, shown = ran("doctor", "--home", home, "--json"), ran("doctor", "--home", home)

    settings = {one["name"]: one for one in found.document["settings"]}
    assert list(settings) == list(NAMES)
    assert [(name, one["value"], one["source"]) for name, one in settings.items() if one["problem"]] == [
        ("database_url", "set, not shown", "environment"),
        ("log_level", "verbose", "environment"),
    ]
    assert "expected one of debug" in settings["log_level"]["problem"]
    assert (settings["node_id"]["value"], settings["node_id"]["source"], settings["home"]["source"]) == ("node-7", "hub.toml", "argument")
    marked = [line.split()[1] for line in shown.out.partition("Checks")[0].splitlines() if line.strip().startswith("FAIL")]
    assert marked == ["HUB_DATABASE_URL", "HUB_LOG_LEVEL"]
    assert "synthetic-password" not in found.out + found.err + shown.out + shown.err


def test_generating_twice_from_one_seed_gives_the_same_events(tmp_path: Path) -> None:
    first = ran("generate", "--incidents", "3", "--seed", "7")
    ran("generate", "--incidents", "3", "--seed", "7", "--out", tmp_path / "events.jsonl")
    lines = [json.loads(line) for line in first.out.splitlines()]

    assert (tmp_path / "events.jsonl").read_text() == first.out
    assert len({line["case_id"] for line in lines}) == 3
    assert [line["stage"] for line in lines] == sorted(line["stage"] for line in lines)
    assert ran("generate", "--incidents", "3", "--seed", "8").out != first.out
