"""The ``hub`` command: its list of commands, and how it ends."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any, Final

from services.cli.failures import MEANINGS, Exit
from services.runtime import interpreter
from services.runtime.interruption import interruptible

_HELP: Final = (
    "A hub for sharing information about serious child-safeguarding incidents: signed facts in, chronologies, deadlines and tables out."
)
_EPILOG: Final = "\b\nExit codes:\n" + "\n".join(f"  {code.value:<3}  {words}" for code, words in MEANINGS.items())


def run() -> None:
    """Run the command of ``sys.argv`` and end with its exit code: the console script."""
    _open_what_is_closed()
    arguments = sys.argv[1:]
    code = main(arguments)
    if arguments[:1] == ["serve"]:  # whoever reads what another command printed may take any time to do so
        interpreter.end_in_time(code or Exit.UNEXPECTED)
    sys.exit(code)


def main(arguments: list[str]) -> int:
    """Run one command and return its exit code; every failure is said on standard error, with what to do."""
    if arguments[:1] != ["serve"]:
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what a call ended with is said in words, once
        logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)  # and so is an interruption, also of closing a connection
    try:
        with interruptible():
            result = _ran(arguments)
    except KeyboardInterrupt:
        sys.stderr.write("hub: interrupted\n")
        return Exit.INTERRUPTED
    return int(result) if isinstance(result, int) else Exit.OK


def _ran(arguments: list[str]) -> Any:
    """Run one command and return what it ended with: an exit code, or nothing if all went well. Raise ``KeyboardInterrupt`` if told to."""
    try:
        result = _command().main(arguments, prog_name="hub", standalone_mode=False)
    except SystemExit as end:  # typer's answer to a reader of the output that has had enough
        return Exit.OK if isinstance(end.__context__, BrokenPipeError) else Exit.UNEXPECTED
    except Exception as error:  # noqa: BLE001  # the last place that can turn it into words
        from services.cli.ending import ended_by  # noqa: PLC0415  # it knows everybody's errors, and so loads nearly everything

        return ended_by(error)
    if result == Exit.INTERRUPTED:  # so typer says it
        raise KeyboardInterrupt
    return result


def _command() -> Any:
    """Return the command as typer runs it. To load that takes most of the time before anything happens, and Ctrl-C may come meanwhile."""
    import typer  # noqa: PLC0415

    from services.cli.commands import Commands, list_commands  # noqa: PLC0415

    app = typer.Typer(
        name="hub",
        cls=Commands,
        help=_HELP,
        epilog=_EPILOG,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_hub)
    list_commands(app)
    return typer.main.get_command(app)


def _open_what_is_closed() -> None:
    """Have the null device stand for a standard stream that the caller closed: the next file opened would take its number otherwise."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115  # for as long as the process lives


def _hub() -> None:
    """Take a command: the shell's exit codes are at the foot of this help."""


if __name__ == "__main__":
    run()
