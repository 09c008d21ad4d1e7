"""``hub serve``: one hub node, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated, Any, Final

import structlog
import typer
import uvloop

from services.bootstrap import CONTRACT, Hub, found_home, hub_metrics, is_being_founded, open_parts
from services.cli.failures import Exit, Failure, wrong_usage
from services.cli.options import Home, Json, settings_of
from services.cli.output import emit_line, say
from services.cli.progress import progress
from services.cli.stores import CUT_SHORT, FOUND_ANEW, GO_ON, is_whole, kek_of
from services.eventstore.lock import InUse
from services.eventstore.refold import Differs
from services.eventstore.store import NodeStore
from services.runtime import interpreter
from services.runtime.entrance import Entrance
from services.runtime.errors import Unavailable
from services.runtime.fieldrules import validator
from services.runtime.logs import configure_logging
from services.runtime.settings import Settings
from services.trust.files import Busy

LOOK_SECONDS: Final = 1.0
FOLDING_SECONDS: Final = 10.0
"""How often a line says how far the log is folded."""
_LOG = structlog.get_logger("hub")


def serve(
    home: Home = None,
    found: Annotated[bool, typer.Option("--found", help="Found a new hub if the home holds none: authority, keys and stores.")] = False,
    listen: Annotated[str | None, typer.Option("--listen", metavar="HOST:PORT", help="Where to serve; else HUB_LISTEN.")] = None,
    json: Json = False,
) -> None:
    """Serve a hub until SIGTERM, SIGINT or SIGHUP; then answer what was accepted, and end.

    It says "serving on ADDRESS" when it answers calls. Stopping takes at most half a minute; further signals change nothing.
    """
    settings = settings_of(home) if listen is None else settings_of(home, listen=listen)
    configure_logging(settings.log_format, settings.log_level)
    _settle(settings, found=found)
    runner, code = asyncio.Runner(loop_factory=uvloop.new_event_loop), Exit.UNEXPECTED
    try:
        while _lives_again(runner, settings, json=json):
            _LOG.warning("hub.opening_again", node_id=settings.node_id)
    except Failure as failure:
        code = failure.code
        raise
    except InUse as error:
        raise Failure(Exit.UNAVAILABLE, str(error), "another hub may be serving this home; there can be one") from None
    except Unavailable as error:
        raise Failure(Exit.UNAVAILABLE, str(error), "hub doctor says what is reachable") from None
    finally:
        with interpreter.in_time(code):  # it waits for the threads of the loop
            runner.close()


def _lives_again(runner: asyncio.Runner, settings: Settings, *, json: bool) -> bool:
    """Have a node live; tell whether it is to begin anew, to fold the log anew."""
    try:
        return runner.run(_Node(settings, json=json).live())
    except Differs as differs:  # noticed while it opened
        if not differs.refolds:
            raise
        return True


def _settle(settings: Settings, *, found: bool) -> None:
    """Make sure that there is a hub to serve, and the key to serve it with."""
    is_begun = is_being_founded(settings)
    if settings.is_founded and not is_begun:
        kek_of(settings)
        return
    if not found:
        if is_begun:
            raise Failure(Exit.UNAVAILABLE, f"{settings.home}: the founding of its hub has not come to its end", GO_ON)
        hint = f"to found one there: hub serve --found --home {settings.home}; or is --home wrong?"
        raise Failure(Exit.UNAVAILABLE, f"{settings.home} holds no hub", hint)
    if settings.kek is not None:
        kek_of(settings)
    try:
        found_home(settings)
    except FileExistsError as error:
        left = "move it away, and what else a founding that was cut short has left; if the folder holds no hub, the whole folder"
        raise wrong_usage(str(error), "hub serve serves it" if settings.is_founded else left) from None
    except Busy:
        raise
    except Unavailable as error:
        raise Failure(Exit.UNAVAILABLE, str(error), _after_failed_founding(settings)) from None
    _LOG.info("hub.founded", log_origin=settings.log_origin, node_id=settings.node_id)


def _after_failed_founding(settings: Settings) -> str:
    """Say what to do about a founding for which something was not available."""
    if is_being_founded(settings):
        return f"the founding was cut short: {GO_ON}"
    if settings.operator_public_key_file.exists():
        return f"the founding was cut short: {FOUND_ANEW}"
    return "nothing was founded; try again when it is reachable"


class _ToldToStop(Exception):  # no error
    """A signal came while the node was coming to the end of its log."""


class _Node:
    """One life of a node, from the opening of its stores to their closing."""

    def __init__(self, settings: Settings, *, json: bool) -> None:
        """Open nothing yet."""
        self._settings = settings
        self._json = json
        self._stopping = asyncio.Event()
        self._metrics = hub_metrics()
        self._folded, self._end, self._told_at = 0, 0, 0.0

    async def live(self) -> bool:
        """Serve until a signal comes or the node cannot go on; tell whether to begin anew, to fold the log anew."""
        settings, loop = self._settings, asyncio.get_running_loop()
        is_to_outlive_its_terminal = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # started by nohup
        for number in (signal.SIGTERM, signal.SIGINT, *([] if is_to_outlive_its_terminal else [signal.SIGHUP])):
            loop.add_signal_handler(number, self._stop, number)
        interpreter.settle()
        entrance = Entrance(settings, self._metrics, CONTRACT, self._why)
        with ExitStack() as closing:
            try:
                if settings.kafka_bootstrap:
                    _demand_ports(settings)
                    await entrance.listen()
                with progress("folding the log") as bar:
                    opened = open_parts(settings, self._metrics, lambda folded, end: self._come(folded, end, bar))
                    parts = await asyncio.to_thread(closing.enter_context, opened)
                if not is_whole(parts.store):
                    raise Failure(Exit.UNAVAILABLE, f"{settings.home}: {CUT_SHORT}", FOUND_ANEW)
                await self._serve(Hub(parts, entrance))
            except _ToldToStop:
                parts = None
            finally:
                await entrance.close(0)
        _LOG.info("hub.stopped", node_id=settings.node_id)
        failure = parts.store.failure if parts is not None and parts.store.shares_log else None
        if failure is None or self._stopping.is_set():
            return False
        if isinstance(failure, Differs) and failure.refolds:
            return True
        raise Failure(Exit.UNSOUND, f"this node cannot follow the log: {failure}", "docs/runbooks/kafka.md says what to do")

    async def _serve(self, hub: Hub) -> None:
        """Serve what is open."""
        settings = self._settings
        try:
            if not settings.kafka_bootstrap:
                _demand_ports(settings)
            await hub.start()
            _note_address(settings, hub.address)
            _announce(settings, hub, json=self._json)
            await asyncio.to_thread(validator)  # loaded while nobody waits for it, not by the first event
            await _until_told_or_unable(hub.store, self._stopping)
        finally:
            settings.address_file.unlink(missing_ok=True)
            await hub.stop()

    def _stop(self, number: signal.Signals) -> None:
        """Take note of a signal."""
        if not self._stopping.is_set():
            _LOG.info("hub.draining", signal=number.name)
        self._stopping.set()  # the same signal often comes twice, to the process and to its group: the second is none of its own

    def _come(self, folded: int, end: int, bar: Callable[[int, int], None]) -> None:
        """Say how far the log is folded, and end that if a signal came; in the thread that opens the stores."""
        if self._stopping.is_set():
            raise _ToldToStop
        self._folded, self._end = folded, end
        self._metrics.coming_to_end(folded, end)
        bar(folded, end)
        if time.monotonic() > self._told_at + FOLDING_SECONDS:
            _LOG.info("hub.folding", folded=folded, end=end)
            self._told_at = time.monotonic()

    def _why(self) -> str:
        """Return what callers are told meanwhile."""
        return f"this node has folded {self._folded} of the {self._end} records of its log; ask another, or later"


def _demand_ports(settings: Settings) -> None:
    """Fail unless the hub can listen where it is to. Looked at before gRPC is asked, which says what is wrong in its own words only."""
    _demand_port(settings.listen, "choose another address with --listen or HUB_LISTEN")
    if settings.metrics_listen:
        _demand_port(settings.metrics_listen, "choose another address with HUB_METRICS_LISTEN; if it is empty there are no metrics")


def _demand_port(address: str, hint: str) -> None:
    """Fail unless an address can be listened on; of several that a host's name stands for one is enough, as it is to gRPC."""
    host, _, port = address.rpartition(":")
    try:
        places = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
        reasons = [_why_not(family, place) for family, _, _, _, place in places]
    except socket.gaierror as error:
        reasons = [str(error.strerror)]
    if all(reasons):
        raise Failure(Exit.UNAVAILABLE, f"{address} cannot be listened on: {reasons[0]}", hint)


def _why_not(family: int, place: Any) -> str:
    """Return what keeps a socket from being bound to a place; nothing if it can be."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: what a former one left open is no hindrance
            one.bind(place)
    except OSError as error:
        return str(error.strerror)
    return ""


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


def _announce(settings: Settings, hub: Hub, *, json: bool) -> None:
    """Say where the hub serves, and where its metrics are: either port may have been chosen by the system."""
    _LOG.info("hub.serving", address=hub.address, log_origin=settings.log_origin, node_id=settings.node_id)
    if json:
        emit_line({"serving": hub.address, "home": settings.home.absolute(), "pid": os.getpid(), "metrics": hub.metrics_address})
    else:
        say(f"serving on {hub.address}")
        sys.stdout.flush()
