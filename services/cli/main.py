"""The ``hub`` command: its parts, and how it ends."""

from __future__ import annotations

import os
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
from services.cli.failures import MEANINGS, Exit, Failure
from services.cli.options import examples
from services.cli.output import tell
from services.runtime.errors import HubError, IntegrityError, Unavailable
from services.runtime.settings import SettingsError

_HELP = "A hub for sharing information about serious child-safeguarding incidents: signed facts in, chronologies, deadlines and tables out."
_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value}  {words}" for code, words in MEANINGS.items())

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


CASE = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
"""A case id for examples."""

app.command("serve", short_help="Serve a hub.", epilog=examples("hub serve --found", "HUB_LISTEN=127.0.0.1:0 hub serve --home /tmp/hub"))(
    serve.serve
)
app.add_typer(pki.app, name="pki")
app.add_typer(agencies.app, name="agencies")
app.add_typer(partnerships.app, name="partnerships")
app.add_typer(keys.app, name="keys")
app.command(
    "chronology",
    short_help="Show the chronology of a case.",
    epilog=examples(
        f"hub chronology {CASE}",
        f"hub chronology {CASE} --as panel --known-at 2020-06-30 --order known",
        f"hub chronology {CASE} --all --csv > case.csv",
    ),
)(chronology.chronology)
app.command(
    "deadlines",
    short_help="List deadlines, or explain one.",
    epilog=examples(
        "hub deadlines --overdue",
        "hub deadlines --as la-E08000016 --as-of 2020-12-31 --clock K5B",
        f"hub deadlines --explain {CASE} K5B",
    ),
)(deadlines.deadlines)
app.add_typer(panel.app, name="panel")
app.command(
    "log",
    short_help="Show what lies on the log.",
    epilog=examples(
        "hub log", "hub log national --limit 10", f"hub log incident-{CASE} --json", "hub log national --type agency.enrolled.v1"
    ),
)(log.log)
app.command("rebuild", short_help="Fill views anew from the log.", epilog=examples("hub rebuild", "hub rebuild deadlines oversight"))(
    rebuild.rebuild
)
app.command("verify", short_help="Check the whole log and every view.", epilog=examples("hub verify", "hub verify --json"))(verify.verify)
app.command(
    "generate",
    short_help="Make a synthetic population.",
    epilog=examples("hub generate", "hub generate --incidents 1000 --seed 7 --out england.jsonl"),
)(generate.generate)
app.command(
    "doctor", short_help="Say what is set, there and reachable.", epilog=examples("hub doctor", "hub doctor --home /srv/hub --json")
)(doctor.doctor)


def run() -> None:
    """Run the command of ``sys.argv`` and end with its exit code: the console script."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code; every failure is said on standard error, with what to do."""
    try:
        result = typer.main.get_command(app).main(arguments, prog_name="hub", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # the last place that can turn it into words
        return _ended_by(error)
    return int(result) if isinstance(result, int) else Exit.OK


def _ended_by(error: BaseException) -> int:
    """Say what went wrong and return the exit code for it."""
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, BrokenPipeError):  # whoever read the output has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OK
    for kind, failure in _FAILURES:
        if isinstance(error, kind):
            return _say(failure(error))
    traceback.print_exception(error)
    return _say(Failure(Exit.UNEXPECTED, f"the hub did not expect this: {type(error).__name__}", "please report it with the lines above"))


_FAILURES: Final[tuple[tuple[type[BaseException], Callable[[Any], Failure]], ...]] = (
    (Failure, lambda error: error),
    (typer.TyperException, lambda error: Failure(Exit.USAGE, error.format_message(), "--help behind a command says how it is used")),
    (typer.Abort, lambda _: Failure(Exit.UNEXPECTED, "ended: nothing was changed")),
    (KeyboardInterrupt, lambda _: Failure(Exit.UNEXPECTED, "interrupted")),
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
