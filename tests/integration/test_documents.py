"""What README and protos/README.md tell a newcomer to type works as printed, against a real hub."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import HUB, ROOT, environment, serving

README = (ROOT / "README.md").read_text(encoding="utf-8")
CLIENT = (ROOT / "protos/README.md").read_text(encoding="utf-8")
COMMAND_MAX_SECONDS = 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which a hub of one's own serves, as README has it, but on a free port."""
    folder = tmp_path_factory.mktemp("own")
    with serving(folder / "hub-data"):
        yield folder


def typed(folder: Path, command: str) -> str:
    """Run a ``hub`` command of a page and return what it prints."""
    arguments = shlex.split(command)
    assert arguments[0] == "hub"
    ran = subprocess.run(  # noqa: S603  # our own program
        [*HUB, *arguments[1:]], cwd=folder, env=environment(), capture_output=True, text=True, timeout=COMMAND_MAX_SECONDS, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def commands_of_ones_own() -> list[str]:
    """Return the commands of README's section on a hub of one's own, in order."""
    section = README.split("## A hub of your own")[1].split("\n## ")[0]
    blocks = "\n".join(re.findall(r"```\n(.*?)```", section, re.DOTALL))
    return [line.partition("#")[0].strip() for line in blocks.replace("\\\n", " ").splitlines() if line.startswith("hub ")]


def test_a_hub_of_ones_own_takes_what_the_client_page_sends(folder: Path) -> None:
    founding, *commands = commands_of_ones_own()
    assert founding == "hub serve --found"
    assert len(commands) >= 3
    for command in commands:
        assert "recorded at" in typed(folder, command)
    (code,) = re.findall(r"```python\n(.*?)```", CLIENT, re.DOTALL)
    address = (folder / "hub-data/address").read_text().strip()
    agencies = folder / "hub-data/agencies"
    ran = subprocess.run(  # noqa: S603  # the page's own example
        [sys.executable, "-c", code.replace("localhost:7443", f"localhost:{address.rpartition(':')[2]}")],
        cwd=agencies,
        env=environment() | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=COMMAND_MAX_SECONDS,
        check=False,
    )
    assert ran.stdout.startswith("Receipt(event_id="), ran.stdout + ran.stderr
    (case,) = json.loads(typed(folder, "hub panel cases --json"))["cases"]
    for asks in ("", "--as icb-QZ9", "--as police-northmoor"):  # the first: as the business unit
        story = json.loads(typed(folder, f"hub chronology {case['case_id']} {asks} --json"))
        assert [line["event_type"] for line in story["lines"]] == ["incident.notified.v1"]
    clocks = {deadline["clock"] for deadline in json.loads(typed(folder, "hub deadlines --json"))["deadlines"]}
    assert {"K5A", "K5B"} <= clocks
