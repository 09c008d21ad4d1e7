"""Telling a command to end, right after one of the things that it does to files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any

import pytest

from safeguarding.hub.client.identity import Identity
from services.runtime.settings import Settings
from services.runtime.transport import server_credentials
from services.trust.pki import load_authority
from tests.support.command import Ran, ran

_DONE_TO_FILES = ("link", "mkdir", "open", "rename", "replace", "unlink")


@contextmanager
def interrupted_after(number: int) -> Iterator[None]:
    """Raise ``KeyboardInterrupt`` right after the so-manieth thing that the main thread does to files: makes, moves or removes one."""
    numbers = count(1)

    def heard(operation: Callable[..., Any]) -> Callable[..., Any]:
        def operate(*arguments: Any, **named: Any) -> Any:
            result = operation(*arguments, **named)
            makes = operation.__name__ != "open" or arguments[1] & os.O_CREAT
            if makes and current_thread() is main_thread() and next(numbers) == number:
                raise KeyboardInterrupt
            return result

        return operate

    with pytest.MonkeyPatch.context() as patch:
        for name in _DONE_TO_FILES:
            patch.setattr(os, name, heard(getattr(os, name)))
        yield


def interrupted_everywhere(command: Callable[[int], tuple[str | Path, ...]]) -> Iterator[tuple[int, Ran]]:
    """Run a command for each thing that it does to files, told to end right after that one; yield which it was and how the command ended.

    ``command``: its words for each time. Ends when the command has come to its end, of which it does not tell.
    """
    for number in count(1):
        words = command(number)
        with interrupted_after(number):
            cut_short = ran(*words)
        if cut_short.code == 0:
            assert number > 1, "the command does nothing to files"
            return
        assert cut_short.code == 130, cut_short.err
        yield number, cut_short


def demand_sound(settings: Settings, *agencies: str) -> None:
    """Demand that the authority is whole, and that the keys of the server and of these agencies fit; nothing is left over."""
    load_authority(settings.pki_folder)
    if settings.server_certificate_file.exists():
        server_credentials(
            key_file=settings.server_key_file,
            certificate_file=settings.server_certificate_file,
            authority_file=settings.authority_certificate_file,
        )
    for agency in agencies:
        Identity.from_folder(settings.agency_folder(agency))
    assert [*settings.home.rglob(".*.new")] == []
