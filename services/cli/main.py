"""The ``hub`` command: its parts, and how it ends."""

from __future__ import annotations

import os
import sys
import traceback

import typer

from safeguarding.hub.client.outcomes import HubClientError
from services.cli import serve
from services.cli.failures import MEANINGS, Exit, Failure
from services.cli.options import examples
from services.cli.output import tell
from services.runtime.errors import HubError, IntegrityError, Unavailable
from services.runtime.settings import SettingsError

_EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value}  {words}" for code, words in MEANINGS.items())

app = typer.Typer(
    name="hub",
    help="A hub for sharing information about serious child-safeguarding incidents: signed facts in, chronologies, deadlines and tables out.",
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


app.command("serve", epilog=examples("hub serve --found", "HUB_LISTEN=127.0.0.1:0 hub serve --home /tmp/hub"))(serve.serve)


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
    match error:
        case Failure():
            return _say(error.code, error.message, error.hint)
        case typer.Exit():
            return error.exit_code
        case typer.TyperException():
            return _say(Exit.USAGE, error.format_message(), "--help behind a command says how it is used")
        case typer.Abort() | KeyboardInterrupt():
            return _say(Exit.UNEXPECTED, "interrupted", "")
        case SettingsError():
            return _say(Exit.USAGE, f"the settings are wrong: {error}", "hub doctor explains every setting")
        case Unavailable():
            return _say(Exit.UNAVAILABLE, str(error), "hub doctor says what is wrong")
        case IntegrityError():
            return _say(Exit.UNSOUND, str(error), "keep the files as they are; hub verify says more")
        case HubError() | HubClientError():
            return _say(Exit.REFUSED, f"refused: {error}", "")
        case PermissionError():
            return _say(Exit.UNAVAILABLE, str(error), "run it as the user that owns the hub's home")
        case BrokenPipeError():
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.OK
        case _:
            traceback.print_exception(error)
            return _say(Exit.UNEXPECTED, f"the hub did not expect this: {type(error).__name__}", "please report it with the lines above")


def _say(code: Exit, message: str, hint: str) -> int:
    """Say a failure and return its code."""
    tell(f"hub: {message}")
    if hint:
        tell(f"     {hint}")
    return code


if __name__ == "__main__":
    run()
