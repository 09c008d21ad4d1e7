"""Where the demo is shown: a hub of its own, served by ``hub serve`` in a process of its own, with real sockets and mutual TLS."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Final, Protocol

from services.bootstrap import found_home
from services.cli.demo import report
from services.cli.demo.callers import Tally
from services.cli.demo.england import Report
from services.cli.demo.processes import Process
from services.cli.failures import Exit, Failure, wrong_usage
from services.cli.verify import verdict_of
from services.projector.verification import Verdict
from services.runtime.interpreter import child_environment, program
from services.runtime.interruption import undisturbed
from services.runtime.settings import Settings

START_MAX_SECONDS: Final = 120.0
STOP_MAX_SECONDS: Final = 45.0


class Stage(Protocol):
    """Where a showing takes place. ``settings``: the home with the agencies' certificates and keys, whose hub is read from."""

    settings: Settings

    def served(self) -> AbstractContextManager[None]:
        """Serve from here on; calls are answered once ``target`` returns."""

    def target(self) -> str:
        """Wait until calls are answered and return where: for several nodes all their addresses, separated by commas."""

    def introduced(self, agencies: Sequence[str]) -> Iterator[str]:
        """Yield what it is."""

    def tried(self, tally: Tally) -> AbstractAsyncContextManager[Report]:
        """Give what is to be told how far the sending of England has come; whatever is done to the stage meanwhile is over at the end."""

    def verified(self, tally: Tally) -> tuple[Verdict, Iterator[str]]:
        """Hold the log and the views against what they must be, demand it of the tally, and return what there is to show of it."""

    def what_next(self, case_id: str, council: str) -> Iterator[str]:
        """Yield what to go on with."""

    def document(self) -> dict[str, Any]:
        """Return what is to stand in the JSON document beside what every stage has."""


class Served:
    """A hub's process: started, killed and started again. Its log lines go to ``serve.log`` in the home."""

    def __init__(self, settings: Settings, listen: str = "127.0.0.1:0", *, apart: bool = False) -> None:
        """Name the home and where to listen; nothing is started. ``apart``: in a session of its own, which no Ctrl-C reaches."""
        self.settings = settings
        self._log = settings.home / "serve.log"
        self._command = [*program("services.cli.main"), "serve", "--home", str(settings.home), "--listen", listen, "--json"]
        self._apart = apart
        self._process: Process | None = None
        self._address = ""
        self._changing = Lock()
        self._is_over = False

    def start(self) -> None:
        """Start it; it does not serve yet. What was stopped is not started again, whoever is about to."""
        with self._changing:
            if not self._is_over:
                self._address = ""
                environment = child_environment() | {"HUB_METRICS_LISTEN": ""}
                with undisturbed():
                    self._process = Process(self._command, self._log, environment, takes_orders=self._apart)

    def is_alive(self) -> bool:
        """Tell whether it is started and has not ended."""
        return self._process is not None and self._process.is_alive()

    def address(self) -> str:
        """Wait until calls are answered and return where; fail if the hub ends instead, or is not ready in time."""
        if not self._address and self._process is not None:
            line = self._process.line(START_MAX_SECONDS)
            if not line:
                raise Failure(Exit.UNAVAILABLE, "the demo's hub did not start", f"{self._log} says why")
            self._address = str(json.loads(line)["serving"])
        return self._address

    def kill(self) -> None:
        """End it with kill -9."""
        if self._process is not None:
            self._process.kill()

    def stop(self) -> None:
        """Have it drain and end, for good; kill it if it does not."""
        with self._changing:
            self._is_over = True
        if self._process is not None:
            self._process.stop(STOP_MAX_SECONDS)


class OneHub:
    """One hub with everything in files of its home."""

    def __init__(self, settings: Settings, keep: Path | None, options: str) -> None:
        """Found a hub in the home. ``keep``: the folder that is left behind; ``options``: what else the demo was given."""
        self.settings = settings
        self._keep = keep
        self._options = options
        self._hub = Served(settings)
        founded(settings)

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serve on a free port."""
        try:
            self._hub.start()
            yield
        finally:
            self._hub.stop()

    def target(self) -> str:
        """Wait until calls are answered and return where."""
        return self._hub.address()

    def introduced(self, agencies: Sequence[str]) -> Iterator[str]:
        """Yield what it is."""
        return report.founded(self.target(), agencies)

    @asynccontextmanager
    async def tried(self, tally: Tally) -> AsyncIterator[Report]:  # noqa: ARG002  nothing is done to it
        """Leave it in peace."""
        yield lambda _done, _total: None

    def verified(self, tally: Tally) -> tuple[Verdict, Iterator[str]]:
        """Verify it."""
        verdict = verdict_of(self.settings)
        tally.demand(verdict.passed, "verification did not pass")
        return verdict, report.verified(verdict)

    def what_next(self, case_id: str, council: str) -> Iterator[str]:
        """Yield commands to go on with."""
        return report.what_next(case_id, council, self._keep, self._options)

    def document(self) -> dict[str, Any]:
        """Return nothing more."""
        return {}


def founded(settings: Settings) -> None:
    """Found a hub in a home that holds none."""
    try:
        found_home(settings)
    except FileExistsError as error:
        raise wrong_usage(str(error), "give --keep a folder that does not exist yet") from None
    except OSError as error:
        hint = "give --keep a folder in one that may be written to"
        raise Failure(Exit.UNAVAILABLE, f"{settings.home} cannot be written: {error.strerror}", hint) from None
