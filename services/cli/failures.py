"""What a command ends with: exit codes, and failures that say what to do."""

from __future__ import annotations

import errno
from enum import IntEnum
from typing import Final

CONTRADICTION_HINT: Final = "hub doctor and hub verify, where its home is, say more"
KEK_HINT: Final = "HUB_KEK or the file trust/kek holds it; without it no body can be read"


class Exit(IntEnum):
    """What the shell is told. The values are a promise: scripts rely on them."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    REFUSED = 3
    UNAVAILABLE = 4
    UNSOUND = 5
    INTERRUPTED = 130


MEANINGS = {
    Exit.OK: "done",
    Exit.UNEXPECTED: "something that the hub did not expect: please report it",
    Exit.USAGE: "wrong usage or settings",
    Exit.REFUSED: "refused by the hub; the rule and the reason are printed",
    Exit.UNAVAILABLE: "the hub, its home, its port or a file or folder is not available",
    Exit.UNSOUND: "verify, doctor, demo, backup or restore found something wrong, or the hub met it when asked",
    Exit.INTERRUPTED: "interrupted, or answered with no; serve, and whatever runs with --watch, is ended so, with 0",
}
"""Each exit code in words."""


class Failure(Exception):
    """A command cannot do what it was asked; ``hint`` says what to do about it."""

    def __init__(self, code: Exit, message: str, hint: str = "") -> None:
        """End with ``code`` after saying ``message``."""
        self.code = code
        self.message = message
        self.hint = hint
        super().__init__(message)


def words_of(error: OSError) -> str:
    """Say what is wrong with a file or folder, as a person would."""
    kinds = ((FileNotFoundError, "missing"), (PermissionError, "no access"))
    wrong = next((words for kind, words in kinds if isinstance(error, kind)), error.strerror or type(error).__name__)
    return f"{wrong}: {error.filename}" if error.filename else error.strerror or str(error)


def without_file(error: OSError) -> Failure:
    """Return the failure of a command that a file or folder was missing for, kept from, or without room."""
    if lacks_kek(error):
        return Failure(Exit.UNAVAILABLE, f"the key-encryption key is {words_of(error)}", KEK_HINT)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Failure(Exit.UNAVAILABLE, words_of(error), "make room where the output goes, or where the home lies if that is full")
    hint = "is that the one that was meant? hub doctor says what is missing of a home; is --home right?"
    return Failure(Exit.UNAVAILABLE, words_of(error), hint)


def lacks_kek(error: BaseException) -> bool:
    """Tell whether it is the key-encryption key that is missing: it may be kept elsewhere than in the home, and a backup is without it."""
    return isinstance(error, FileNotFoundError) and str(error.filename).endswith("trust/kek")


def wrong_usage(message: str, hint: str = "") -> Failure:
    """Return the failure of a command that was called wrongly."""
    return Failure(Exit.USAGE, message, hint)
