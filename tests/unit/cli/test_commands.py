from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.commands import COMMANDS, load
from tests.support.command import environment, ran

ROOT = Path(__file__).parents[3]


def loaded_by(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after ``code``, whose own output is left aside."""
    code = f"{code}\nimport sys\nsys.stderr.write(' '.join(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT, env=environment())  # noqa: S603
    return set(run.stderr.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_list_has_help_with_examples(name: str) -> None:
    help_ = ran(name, "--help")
    assert (help_.code, help_.err) == (0, "")
    assert f"Usage: hub {name} " in help_.out
    assert COMMANDS[name].examples
    assert [line for line in COMMANDS[name].examples if f"\n    {line}\n" not in help_.out] == []


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if not command.is_group])
def test_every_command_but_the_one_that_writes_json_lines_prints_json_when_asked(name: str) -> None:
    assert ("--json" in ran(name, "--help").out) == (name != "generate")


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.is_group])
def test_every_command_of_a_group_has_help_with_examples(name: str) -> None:
    for inner in load(name).commands:
        help_ = ran(name, inner, "--help")
        assert (help_.code, f"Usage: hub {name} {inner} " in help_.out) == (0, True)
        assert f"\n    hub {name} {inner}" in help_.out
        assert "--json" in help_.out


def test_the_list_says_of_every_command_what_it_does_without_loading_it() -> None:
    code = "from services.cli.main import main; main(['--help'])"
    lines = ran("--help").out.partition("Commands:\n")[2].partition("\n\n")[0].splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [[name, command.words] for name, command in COMMANDS.items()]
    assert loaded_by(code) & {"sqlalchemy", "grpc", "structlog", "rich", "services.bootstrap", "services.cli.serve"} == set()


def test_a_mistyped_command_is_answered_with_the_nearest_one() -> None:
    assert "Did you mean 'verify'?" in ran("verifi").err


def test_serving_loads_what_it_needs_and_no_other_command() -> None:
    loaded = loaded_by("import services.cli.main, services.cli.serve")
    assert "services.bootstrap" in loaded
    others = {command.module for command in COMMANDS.values()} - {"services.cli.serve"}
    assert loaded & (others | {"services.cli.calling", "protovalidate", "pydantic", "rich.progress", "faker"}) == set()
