"""A process of the demo's own: what it says is waited for in bounded time, and it is ended whatever happens."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Timer
from typing import Final

KILL_MAX_SECONDS: Final = 10.0


class Process:
    """A program that was started; ``log`` takes what it says on standard error."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str], *, takes_orders: bool = False) -> None:
        """Start it. What takes orders has its standard input from us, and a session of its own: Ctrl-C is then for us to pass on."""
        with log.open("ab") as lines:
            # The command is this program's own; nothing of it comes from outside but the folder.
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.PIPE if takes_orders else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=lines,
                env=environment,
                start_new_session=takes_orders,
            )

    def is_alive(self) -> bool:
        """Tell whether it has not ended."""
        return self._process.poll() is None

    def line(self, within_seconds: float) -> str:
        """Return its next line; "" if it ends instead, or says none in time: then it is killed."""
        if self._process.stdout is None:
            return ""
        patience = Timer(within_seconds, self._process.kill)
        try:
            patience.start()
            return self._process.stdout.readline().decode(errors="replace").strip()
        finally:
            patience.cancel()

    def tell(self, line: str) -> None:
        """Give it an order; one that has ended hears nothing."""
        if self._process.stdin is not None and self.is_alive():
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    def kill(self) -> None:
        """End it with kill -9."""
        self._process.kill()
        self._process.wait(KILL_MAX_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def stop(self, within_seconds: float) -> None:
        """Have it end in order; kill it if it does not, or if nobody can wait for that."""
        try:
            self._process.terminate()
            self._process.wait(within_seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()
