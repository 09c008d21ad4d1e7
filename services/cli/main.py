"""The ``hub`` command: its parts, and how it ends."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from typing import Any, Final

import typer

from safeguarding.hub.client.outcomes import HubClientError
from services.cli import (
    agencies,
    chronology,
    deadlines,
    doctor,
    generate,
    keys,
    log,
    panel,
    partnerships,
    pki,
    rebuild,
    serve,
    verify,
)
from services.cli.bench import command as bench
from services.cli.demo import command as demo
from services.cli.failures import MEANINGS, Exit, Failure
from services.cli.options import examples
from services.cli.output import tell
from services.runtime.errors import HubError, IntegrityError, Unavailable
from services.runtime.settings import SettingsError

_HELP = "A hub for sharing information about serious child-safeguarding incidents: signed facts in, chronologies, deadlines and tables out."
_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value:<3}  {words}" for code, words in MEANINGS.items())

app = typer.Typer(
    name="hub",
    help=_HELP,
    epilog=_EPILOG,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def hub() -> None:
    """Take a command: the shell's exit codes are at the foot of this help."""


_CASE: Final = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
_COMMANDS: Final[tuple[tuple[Callable[..., None], str, tuple[str, ...]], ...]] = (
    (demo.demo, "See the hub do what it is for.", ("hub demo", "hub demo --keep ./hub-demo", "hub demo --json")),
    (serve.serve, "Serve a hub.", ("hub serve --found", "HUB_LISTEN=127.0.0.1:0 hub serve --home /tmp/hub")),
    (
        chronology.chronology,
        "Show the chronology of a case.",
        (
            f"hub chronology {_CASE}",
            f"hub chronology {_CASE} --as panel --known-at 2020-06-30 --order known",
            f"hub chronology {_CASE} --all --csv > case.csv",
        ),
    ),
    (
        deadlines.deadlines,
        "List deadlines, or explain one.",
        (
            "hub deadlines --overdue",
            "hub deadlines --as la-E08000016 --as-of 2020-12-31 --clock K5B",
            f"hub deadlines --explain {_CASE} K5B",
        ),
    ),
    (log.log, "Show what lies on the log.", ("hub log", "hub log national --limit 10", f"hub log incident-{_CASE} --json")),
    (rebuild.rebuild, "Fill views anew from the log.", ("hub rebuild", "hub rebuild deadlines oversight")),
    (verify.verify, "Check the whole log and every view.", ("hub verify", "hub verify --json")),
    (doctor.doctor, "Say what is set, there and reachable.", ("hub doctor", "hub doctor --home /srv/hub --json")),
    (generate.generate, "Make a synthetic population.", ("hub generate", "hub generate --incidents 1000 --seed 7 --out england.jsonl")),
    (bench.bench, "Measure the hub on this machine.", ("hub bench --quick", "hub bench --json > bench.json")),
)
"""Each command, what the list of commands says of it, and examples for its own help."""
_GROUPS: Final = {"pki": pki.app, "agencies": agencies.app, "partnerships": partnerships.app, "keys": keys.app, "panel": panel.app}

for _function, _words, _examples in _COMMANDS:
    app.command(short_help=_words, epilog=examples(*_examples))(_function)
for _name, _group in _GROUPS.items():
    app.add_typer(_group, name=_name)


def run() -> None:
    """Run the command of ``sys.argv`` and end with its exit code: the console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code; every failure is said on standard error, with what to do."""
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="hub", standalone_mode=False)
    except SystemExit as end:  # typer's answer to a reader of the output that has had enough
        return Exit.OK if isinstance(end.__context__, BrokenPipeError) else Exit.UNEXPECTED
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the last place that can turn it into words
        return _ended_by(error)
    return int(result) if isinstance(result, int) else Exit.OK


def _ended_by(error: BaseException) -> int:
    """Say what went wrong and return the exit code for it."""
    if isinstance(error, typer.Exit):
        return error.exit_code
    for kind, failure in _FAILURES:
        if isinstance(error, kind):
            return _say(failure(error))
    traceback.print_exception(error)
    return _say(Failure(Exit.UNEXPECTED, f"the hub did not expect this: {type(error).__name__}", "please report it with the lines above"))


_FAILURES: Final[tuple[tuple[type[BaseException], Callable[[Any], Failure]], ...]] = (
    (Failure, lambda error: error),
    (typer.TyperException, lambda error: Failure(Exit.USAGE, error.format_message(), "--help behind a command says how it is used")),
    (typer.Abort, lambda _: Failure(Exit.UNEXPECTED, "ended: nothing was changed")),
    (KeyboardInterrupt, lambda _: Failure(Exit.INTERRUPTED, "interrupted")),
    (SettingsError, lambda error: Failure(Exit.USAGE, f"the settings are wrong: {error}", "hub doctor explains every setting")),
    (Unavailable, lambda error: Failure(Exit.UNAVAILABLE, str(error), "hub doctor says what is wrong")),
    (IntegrityError, lambda error: Failure(Exit.UNSOUND, str(error), "keep the files as they are; hub verify says more")),
    (HubError, lambda error: Failure(Exit.REFUSED, f"refused: {error}")),
    (HubClientError, lambda error: Failure(Exit.REFUSED, f"refused: {error}")),
    (OSError, lambda error: Failure(Exit.UNAVAILABLE, str(error), "hub doctor says what is missing; is --home right?")),
)
"""What a command may end with, and how it is said; the first kind that fits."""


def _say(failure: Failure) -> int:
    """Say a failure and return its code."""
    tell(f"hub: {failure.message}")
    if failure.hint:
        tell(f"     {failure.hint}")
    return failure.code


if __name__ == "__main__":
    run()
