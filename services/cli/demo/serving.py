"""A hub of the demo's own, served by ``hub serve`` in a process of its own: real sockets, mutual TLS, nothing shared but the home."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Final

from services.cli.failures import Exit, Failure
from services.runtime.interpreter import child_environment, program
from services.runtime.settings import Settings

START_MAX_SECONDS: Final = 60.0
STOP_MAX_SECONDS: Final = 45.0


class Served:
    """A hub that is starting or serves."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        """Watch a process that was started."""
        self._process = process
        self._log = log
        self._address = ""

    def address(self) -> str:
        """Wait until calls are answered and return where; fail if the hub ends instead, or is not ready in time."""
        if self._address or self._process.stdout is None:
            return self._address
        patience = Timer(START_MAX_SECONDS, self._process.kill)
        patience.start()
        line = self._process.stdout.readline()
        patience.cancel()
        if not line:
            raise Failure(Exit.UNAVAILABLE, "the demo's hub did not start", f"{self._log} says why")
        self._address = str(json.loads(line)["serving"])
        return self._address

    def stop(self) -> None:
        """Have it drain and end; kill it if it does not."""
        self._process.terminate()
        try:
            self._process.wait(STOP_MAX_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


@contextmanager
def serving(settings: Settings) -> Iterator[Served]:
    """Start the hub of a founded home on a free port, and stop it in the end. Its log lines go to ``serve.log`` in the home."""
    log = settings.home / "serve.log"
    command = [*program("services.cli.main"), "serve", "--home", str(settings.home), "--listen", "127.0.0.1:0", "--json"]
    with log.open("ab") as lines:
        # The command is this program's own; nothing of it comes from outside but the folder.
        process = subprocess.Popen(  # noqa: S603
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=lines, env=child_environment() | {"HUB_METRICS_LISTEN": ""}
        )
    served = Served(process, log)
    try:
        yield served
    finally:
        served.stop()
