"""What the demo's cluster rests on: Kafka and PostgreSQL as the programs of the repository's ``deploy`` folder run them.

They are programs beside the hub and no part of it: it starts them, and knows of them what they say.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import services
from services.cli.demo.processes import Process
from services.cli.failures import Exit, Failure
from services.runtime.interpreter import child_environment, program

ROOT: Final = Path(services.__file__).resolve().parents[1]
START_MAX_SECONDS: Final = 240.0
ORDER_MAX_SECONDS: Final = 150.0
"""Both more than a broker is given on its own side: what is wrong with it is said there."""
STOP_MAX_SECONDS: Final = 30.0
_SAID_MAX_CHARACTERS: Final = 1_000
_CHECKS: Final = {"deploy.kafka.jars": ((), 660.0), "deploy.postgresql": (("--check",), 30.0)}
"""What each needs beforehand, and how long seeing to it may take: Kafka's jars are fetched the first time."""


def demand(modules: Sequence[str]) -> None:
    """Fail with what is to be installed if the machine lacks something that these programs need; nothing is started."""
    if not (ROOT / "deploy").is_dir():
        raise Failure(
            Exit.UNAVAILABLE, "--cluster needs a checkout of the hub, with its folder deploy", "hub demo shows the same on one node"
        )
    lacking = []
    for module in modules:
        options, most_seconds = _CHECKS[module]
        try:
            done = subprocess.run(  # noqa: S603  our own program
                [*program(module), *options],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=most_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            lacking.append(f"{module} was not ready within {most_seconds:.0f} s")
        else:
            lacking += [done.stderr.strip()] if done.returncode else []
    if lacking:
        raise Failure(Exit.UNAVAILABLE, "; ".join(lacking), "hub demo shows the same on one node, without them")


class Deployed:
    """One such program at work; what it says on standard error goes to a log file. It ends when we do, however that happens."""

    def __init__(self, module: str, options: Sequence[str], announced: str, log: Path) -> None:
        """Start it. ``announced``: what the line begins with that says where it serves."""
        self._module = module
        self._announced = announced
        self._log = log
        self._process = Process([*program(module), "--until-stdin-closes", *options], log, _environment(), takes_orders=True)

    def address(self) -> str:
        """Wait until it serves and return where."""
        line = self._process.line(START_MAX_SECONDS)
        if not line.startswith(self._announced):
            raise Failure(Exit.UNAVAILABLE, f"{self._module} did not start: {self._last_words()}")
        return line.removeprefix(self._announced)

    def obey(self, order: str) -> str:
        """Give an order and return what it says when that is done; fail if it ends instead."""
        self._process.tell(order)
        said = self._process.line(ORDER_MAX_SECONDS)
        if not said:
            raise Failure(Exit.UNEXPECTED, f"{self._module} did not {order}: {self._last_words()}")
        return said

    def stop(self) -> None:
        """Have it end."""
        self._process.stop(STOP_MAX_SECONDS)

    def _last_words(self) -> str:
        """Return the last lines that it logged."""
        return self._log.read_text(encoding="utf-8", errors="replace").strip()[-_SAID_MAX_CHARACTERS:] or "it said nothing"


def _environment() -> dict[str, str]:
    """Return an environment in which the folder ``deploy`` can be imported from."""
    environment = child_environment()
    return environment | {"PYTHONPATH": os.pathsep.join([str(ROOT), environment["PYTHONPATH"]])}
