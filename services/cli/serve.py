"""``hub serve``: one hub node, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import Annotated, Final

import structlog
import typer
import uvloop

from services.bootstrap import Hub, Parts, found_home, open_parts
from services.cli.failures import Exit, Failure, wrong_usage
from services.cli.options import Home, Json, settings_of
from services.cli.output import emit_line, say
from services.cli.stores import kek_of
from services.eventstore.lock import InUse
from services.eventstore.store import NodeStore
from services.runtime import interpreter
from services.runtime.errors import Unavailable
from services.runtime.fieldrules import validator
from services.runtime.logs import configure_logging
from services.runtime.settings import Settings

LOOK_SECONDS: Final = 1.0
_LOG = structlog.get_logger("hub")


def serve(
    home: Home = None,
    found: Annotated[bool, typer.Option("--found", help="Found a new hub if the home holds none: authority, keys and stores.")] = False,
    listen: Annotated[str | None, typer.Option("--listen", metavar="HOST:PORT", help="Where to serve; else HUB_LISTEN.")] = None,
    json: Json = False,
) -> None:
    """Serve a hub until SIGTERM or SIGINT; then answer what was accepted, and end.

    It says "serving on ADDRESS" when it answers calls. Stopping takes at most half a minute; further signals change nothing.
    """
    settings = settings_of(home) if listen is None else settings_of(home, listen=listen)
    configure_logging(settings.log_format, settings.log_level)
    _settle(settings, found=found)
    try:
        with open_parts(settings) as parts, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(parts, json=json))
    except InUse as error:
        raise Failure(Exit.UNAVAILABLE, str(error), "another hub may be serving this home; there can be one") from None
    except Unavailable as error:
        raise Failure(Exit.UNAVAILABLE, str(error), "hub doctor says what is reachable") from None


def _settle(settings: Settings, *, found: bool) -> None:
    """Make sure that there is a hub to serve, and the key to serve it with."""
    if settings.is_founded:
        kek_of(settings)
        return
    if not found:
        raise wrong_usage(f"{settings.home} holds no hub", f"to found one there: hub serve --found --home {settings.home}")
    try:
        found_home(settings)
    except FileExistsError as error:
        raise wrong_usage(str(error), "a founding that was cut short leaves such files: remove the folder if it holds no hub") from None
    except Unavailable as error:
        raise Failure(Exit.UNAVAILABLE, str(error), "nothing was founded; try again when it is reachable") from None
    _LOG.info("hub.founded", log_origin=settings.log_origin, node_id=settings.node_id)


async def _serve(parts: Parts, *, json: bool) -> None:
    """Serve until a signal comes."""
    settings, stopping = parts.settings, asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop(number: signal.Signals) -> None:
        if not stopping.is_set():
            _LOG.info("hub.draining", signal=number.name)
        stopping.set()  # the same signal often comes twice, to the process and to its group: the second is none of its own

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    interpreter.settle()
    hub = Hub(parts)
    try:
        await hub.start()
    except OSError as error:
        await hub.stop()
        raise Failure(
            Exit.UNAVAILABLE, str(error), "is another hub serving there? HUB_LISTEN and HUB_METRICS_LISTEN choose other ports"
        ) from None
    _note_address(settings, hub.address)
    try:
        _announce(settings, hub.address, json=json)
        await asyncio.to_thread(validator)  # loaded while nobody waits for it, not by the first event
        await _until_told_or_unable(parts.store, stopping)
    finally:
        settings.address_file.unlink(missing_ok=True)
        await hub.stop()
    _LOG.info("hub.stopped", node_id=settings.node_id)
    if parts.store.shares_log and parts.store.failure is not None:
        raise Failure(Exit.UNSOUND, f"this node cannot follow the log: {parts.store.failure}", "docs/runbooks/kafka.md says what to do")


async def _until_told_or_unable(store: NodeStore, stopping: asyncio.Event) -> None:
    """Wait for a signal. A node that can no longer follow a log that others write ends as well: they serve better than it."""
    while not stopping.is_set() and not (store.shares_log and store.failure is not None):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), LOOK_SECONDS)


def _note_address(settings: Settings, address: str) -> None:
    """Write where the hub serves, for the other commands: whole or not at all."""
    target = settings.address_file
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    beside.write_text(address + "\n")
    beside.replace(target)


def _announce(settings: Settings, address: str, *, json: bool) -> None:
    """Say where the hub serves."""
    _LOG.info("hub.serving", address=address, log_origin=settings.log_origin, node_id=settings.node_id)
    if json:
        emit_line({"serving": address, "home": settings.home.absolute(), "pid": os.getpid(), "metrics": settings.metrics_listen})
    else:
        say(f"serving on {address}")
        sys.stdout.flush()
