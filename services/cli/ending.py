"""How a command that failed ends: what is said on standard error, and the exit code."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable
from typing import Any, Final

import grpc
import typer
from sqlalchemy.exc import DBAPIError

from safeguarding.hub.client.identity import IdentityUnusable
from safeguarding.hub.client.outbox import OutboxUnusable
from safeguarding.hub.client.outcomes import CallFailed, HubClientError
from services.cli.failures import CONTRADICTION_HINT, Exit, Failure, without_file
from services.cli.output import tell
from services.runtime.errors import HubError, IntegrityError, Unavailable
from services.runtime.settings import SettingsError
from services.trust.files import Busy, is_damage, is_of_disk

_HELP_HINT: Final = "--help behind a command says how it is used"
_HELP: Final = "Usage: "
_DISK_HINT: Final = "hub doctor says how much room there is, and what may not be written"
_DAMAGE_HINT: Final = "keep the files as they are; if it is store/views.sqlite, move it away: views are made anew from the log"
_IDENTITY_HINT: Final = "put the file back as it was; hub pki issue AGENCY --renew makes a new certificate with its key"
_LIBRARY_WORDS: Final = (
    (re.compile(r"\bValue error, "), ""),
    (re.compile(r"Input should be a valid integer\b.*"), "expected a whole number"),
    (re.compile(r"Input should be a valid number\b.*"), "expected a number"),
    (re.compile(r"Input should be greater than or equal to "), "expected at least "),
    (re.compile(r"Input should be less than or equal to "), "expected at most "),
    (re.compile(r"Input should be "), "expected "),
)
"""How the library that reads the options puts things, and how the hub does."""


def ended_by(error: BaseException) -> int:
    """Say what went wrong and return the exit code for it."""
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.TyperException) and error.format_message().startswith(_HELP):
        tell(error.format_message())  # a group of commands without a command is answered with its help
        return Exit.USAGE
    cause = error.orig if isinstance(error, DBAPIError) else error
    if is_of_disk(cause):
        return _say(Failure(Exit.UNAVAILABLE, f"a database cannot be written or read: {cause}", _DISK_HINT))
    if is_damage(cause):
        return _say(Failure(Exit.UNSOUND, f"a database is damaged: {cause}", _DAMAGE_HINT))
    for kind, failure in _FAILURES:
        if isinstance(error, kind):
            return _say(failure(error))
    traceback.print_exception(error)
    return _say(Failure(Exit.UNEXPECTED, f"the hub did not expect this: {type(error).__name__}", "please report it with the lines above"))


def _of_call(error: CallFailed) -> Failure:
    """Return what it means that the hub took no event of a call."""
    if error.code is grpc.StatusCode.DATA_LOSS:
        return Failure(Exit.UNSOUND, str(error), CONTRADICTION_HINT)
    return Failure(Exit.REFUSED, f"refused: {error}")


_FAILURES: Final[tuple[tuple[type[BaseException], Callable[[Any], Failure]], ...]] = (
    (Failure, lambda error: error),
    (typer.TyperException, lambda error: Failure(Exit.USAGE, _plainly(error.format_message()), _HELP_HINT)),
    (typer.Abort, lambda _: Failure(Exit.INTERRUPTED, "ended: nothing was changed")),
    (SettingsError, lambda error: Failure(Exit.USAGE, f"the settings are wrong: {error}", "hub doctor explains every setting")),
    (Busy, lambda error: Failure(Exit.UNAVAILABLE, str(error), "try again when it has ended")),
    (Unavailable, lambda error: Failure(Exit.UNAVAILABLE, str(error), "hub doctor says what is wrong")),
    (IntegrityError, lambda error: Failure(Exit.UNSOUND, str(error), "keep the files as they are; hub verify says more")),
    (HubError, lambda error: Failure(Exit.REFUSED, f"refused: {error}")),
    (IdentityUnusable, lambda error: Failure(Exit.UNAVAILABLE, str(error), _IDENTITY_HINT)),
    (OutboxUnusable, lambda error: Failure(Exit.UNAVAILABLE, str(error), f"if another command is at work here, try again; {_DISK_HINT}")),
    (CallFailed, _of_call),
    (HubClientError, lambda error: Failure(Exit.REFUSED, f"refused: {error}")),
    (UnicodeEncodeError, lambda _: Failure(Exit.USAGE, "what was given is no text in Unicode", _HELP_HINT)),
    (OSError, without_file),
)
"""What a command may end with, and how it is said; the first kind that fits."""


def _plainly(message: str) -> str:
    """Return what the library says of an option in the hub's own words."""
    for theirs, ours in _LIBRARY_WORDS:
        message = theirs.sub(ours, message)
    return message


def _say(failure: Failure) -> int:
    """Say a failure and return its code."""
    tell(f"hub: {failure.message}")
    if failure.hint:
        tell(f"     {failure.hint}")
    return failure.code
