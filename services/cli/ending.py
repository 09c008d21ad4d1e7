"""How a command that failed ends: what is said on standard error, and the exit code."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Final

import typer

from safeguarding.hub.client.outcomes import HubClientError
from services.cli.failures import Exit, Failure
from services.cli.output import tell
from services.runtime.errors import HubError, IntegrityError, Unavailable
from services.runtime.settings import SettingsError


def ended_by(error: BaseException) -> int:
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
