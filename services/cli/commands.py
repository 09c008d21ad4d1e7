"""Every command: where it is, what the list of commands says of it, examples for its own help. Its code is loaded when it is called."""

from __future__ import annotations

import gc
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperGroup

_CASE: Final = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


@dataclass(frozen=True, slots=True)
class Command:
    """A function of the command's name in ``module``; a group is the module's ``app``."""

    module: str
    words: str
    examples: tuple[str, ...]
    is_group: bool = False


COMMANDS: Final[dict[str, Command]] = {
    "demo": Command(
        "services.cli.demo.command",
        "See the hub do what it is for.",
        ("hub demo", "hub demo --keep ./hub-demo", "hub demo --incidents 1000 --seed 7", "hub demo --cluster", "hub demo --json"),
    ),
    "serve": Command("services.cli.serve", "Serve a hub.", ("hub serve --found", "HUB_LISTEN=127.0.0.1:0 hub serve --home /tmp/hub")),
    "chronology": Command(
        "services.cli.chronology",
        "Show the chronology of a case.",
        (
            f"hub chronology {_CASE}",
            f"hub chronology {_CASE} --as panel --known-at 2020-06-30 --order known",
            f"hub chronology {_CASE} --all --csv > case.csv",
        ),
    ),
    "deadlines": Command(
        "services.cli.deadlines",
        "List deadlines, or explain one.",
        (
            "hub deadlines --overdue",
            "hub deadlines --as la-E08000016 --as-of 2020-12-31 --clock K5B",
            f"hub deadlines --explain {_CASE} K5B",
        ),
    ),
    "log": Command(
        "services.cli.log",
        "Show what lies on the log.",
        ("hub log", "hub log national --limit 10", f"hub log incident-{_CASE} --json"),
    ),
    "sources": Command(
        "services.cli.sources",
        "Show which numbers of an agency's systems the log lacks.",
        ("hub sources", "hub sources barnsley --of la-E08000016", "hub sources --gaps --json"),
    ),
    "rebuild": Command("services.cli.rebuild", "Fill views anew from the log.", ("hub rebuild", "hub rebuild deadlines oversight")),
    "verify": Command("services.cli.verify", "Check the whole log and every view.", ("hub verify", "hub verify --json")),
    "backup": Command(
        "services.cli.backup",
        "Copy the hub's home, while it serves or not.",
        ("hub backup /mnt/backups/2026-11-22", "hub backup /mnt/vault/hub --with-kek", "hub backup ./copy --home /srv/hub --json"),
    ),
    "restore": Command(
        "services.cli.restore",
        "Check a backup and put it into an empty home.",
        ("hub restore /mnt/backups/2026-11-22 --home /srv/hub", "hub restore ./copy --home /tmp/drill --json"),
    ),
    "doctor": Command("services.cli.doctor", "Say what is set, there and reachable.", ("hub doctor", "hub doctor --home /srv/hub --json")),
    "generate": Command(
        "services.cli.generate",
        "Make a synthetic population.",
        ("hub generate", "hub generate --incidents 1000 --seed 7 --out england.jsonl"),
    ),
    "bench": Command(
        "services.cli.bench.command", "Measure the hub on this machine.", ("hub bench --quick", "hub bench --json > bench.json")
    ),
    "pki": Command(
        "services.cli.pki",
        "Make a development certificate authority, certificates, keys.",
        ("hub pki init", "hub pki issue la-E08000016"),
        is_group=True,
    ),
    "agencies": Command(
        "services.cli.agencies",
        "Enrol, list and suspend agencies: who may write and read.",
        ('hub agencies enrol la-E08000016 --name "Barnsley" --shard barnsley --with-key', "hub agencies list"),
        is_group=True,
    ),
    "partnerships": Command(
        "services.cli.partnerships",
        "Establish, list and change safeguarding partnerships.",
        ("hub partnerships change barnsley --reason new_relevant_agency --add agency-barnsley-hospice", "hub partnerships list"),
        is_group=True,
    ),
    "keys": Command(
        "services.cli.keys",
        "Register, retire, revoke and list signing keys.",
        ("hub keys list --of la-E08000016", "hub keys register la-E08000016 --rotate"),
        is_group=True,
    ),
    "data-keys": Command(
        "services.cli.sealing_keys", "Move data keys into the database that nodes share.", ("hub data-keys move",), is_group=True
    ),
    "nodes": Command(
        "services.cli.nodes",
        "Prepare a home for one more node of a hub.",
        ("hub nodes prepare node-2 --into /secure/node-2 --name hub-2.example.org",),
        is_group=True,
    ),
    "kafka": Command(
        "services.cli.kafka",
        "Make and check the topic that is the log of a cluster.",
        ("hub kafka init --partitions 200 --replication 3",),
        is_group=True,
    ),
    "panel": Command(
        "services.cli.panel",
        "The Panel's tables and cases, and how timely duties are kept.",
        ("hub panel table 6 --period 2020 --count-day 2021-03-31", "hub panel cases"),
        is_group=True,
    ),
}
"""Every command, in the order of the list."""


class Commands(TyperGroup):
    """The commands by name and words only, until one of them is called: nobody waits for the code of the others."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Load the command that is called; ``ctx`` is click's, which typer keeps to itself."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command if name is None else load(name), rest


def list_commands(app: typer.Typer) -> None:
    """Give ``app``, whose class is ``Commands``, the name and the words of every command."""
    for name, command in COMMANDS.items():
        app.command(name, short_help=command.words)(_not_loaded)


def _not_loaded() -> None:
    """Stand in the list for a command."""


def load(name: str) -> Any:
    """Return a command, or a group of them, as click runs it."""
    command = COMMANDS[name]
    module = _imported(command.module)
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    foot = examples(*command.examples)
    if command.is_group:
        alone.add_typer(module.app, name=name, help=command.words, epilog=foot)
    else:
        alone.command(name, short_help=command.words, epilog=foot)(getattr(module, name))
    return typer.main.get_group(alone).commands[name]


def _imported(name: str) -> Any:
    """Import a module. Nothing that is loaded is ever garbage: looking for some meanwhile takes a tenth of the time."""
    if name in sys.modules:
        return sys.modules[name]
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


def examples(*lines: str) -> str:
    """Return the examples at the foot of a command's help."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
