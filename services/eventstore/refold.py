"""A node that folds its log anew, and why: said in a file beside the state, since it must outlive the state that it replaces.

It is done once. If the new state is wrong as well, the node stops for good: what is wrong then is no file.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from services.runtime.errors import IntegrityError

_SUFFIXES: Final = ("", "-wal", "-shm")
_log = structlog.get_logger(__name__)


class Differs(IntegrityError):
    """What this node holds is not what it folded, or not what the others have folded. ``refolds``: opening the store again may help."""

    def __init__(self, reason: str, *, refolds: bool) -> None:
        """Keep whether the next opening folds the log anew."""
        self.refolds = refolds
        super().__init__(f"{reason}; {'the log is folded anew' if refolds else 'it was folded anew before, so this node stops'}")


@dataclass(frozen=True, slots=True)
class Cause:
    """Why: at ``position`` of ``shard``, in words. ``is_damage``: the state contradicts itself, whatever other nodes say."""

    shard: str
    position: int
    words: str
    is_damage: bool
    is_done: bool = False


class Refold:
    """The note beside a state's file."""

    def __init__(self, path: Path) -> None:
        """``path``: the state's file."""
        self._path = path
        self._note = path.with_name(f"{path.name}.refold")
        self._cause = self._read()

    @property
    def cause(self) -> Cause | None:
        """Why the state was folded anew, or will be; None if nothing is wrong, or what was wrong is known to be right again."""
        return self._cause

    def begin(self) -> None:
        """Put a state that is to be folded anew aside, before it is opened: for whoever looks into it, one such at a time."""
        cause = self._cause
        if cause is None or cause.is_done:
            return
        if self._path.exists():  # else a process died while it did what follows
            for suffix in _SUFFIXES:
                self._path.with_name(f"{self._path.name}.differs{suffix}").unlink(missing_ok=True)
        for suffix in _SUFFIXES:
            with contextlib.suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).replace(self._path.with_name(f"{self._path.name}.differs{suffix}"))
        self._write(replace(cause, is_done=True))
        _log.warning("eventstore.refolding", shard=cause.shard, position=cause.position, reason=cause.words)

    def ask(self, cause: Cause) -> Differs:
        """Have the state folded anew when it is opened next; return what ends this one, for good if it is a second time."""
        if self._cause is not None and self._cause.is_done:
            return Differs(cause.words, refolds=False)
        try:
            self._write(cause)
        except OSError as error:
            return Differs(f"{cause.words}; that cannot be noted ({error.strerror})", refolds=False)
        return Differs(cause.words, refolds=True)

    def settle(self, shard: str, position: int, *, is_damage: bool) -> None:
        """Take note that a shard is right up to a position: by another node's digest, or (``is_damage``) by its own rows."""
        cause = self._cause
        if cause is None or cause.shard != shard or cause.position > position or (is_damage and not cause.is_damage):
            return
        with contextlib.suppress(OSError):  # a disk that takes nothing: the note then says once more what is over
            self._note.unlink(missing_ok=True)
        self._cause = None
        _log.info("eventstore.refold_settled", shard=shard, position=position)

    def _read(self) -> Cause | None:
        """Return what the note says; one that cannot be read says that something was wrong, and that it was tried to mend."""
        try:
            return Cause(**json.loads(self._note.read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            return Cause("", 0, "a note that cannot be read", is_damage=True, is_done=True)

    def _write(self, cause: Cause) -> None:
        """Write the note: whole or not at all."""
        beside = self._note.with_name(f".{self._note.name}")
        beside.write_text(json.dumps(asdict(cause)))
        beside.replace(self._note)
        self._cause = cause
