"""Hubs and clients as processes that tests kill: started, watched and ended one by one, by their own ids and in bounded time."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final, Self

import grpc

from safeguarding.hub.client.identity import Identity
from safeguarding.hub.client.routes import append_stub
from safeguarding.hub.v1.append_pb2 import GetReceiptRequest
from services.runtime.settings import Settings
from tests.support.load import Plan

REPOSITORY: Final = Path(__file__).resolve().parents[2]
_MORTAL: Final = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"
"""Becomes the program it is given, which the system kills (PR_SET_PDEATHSIG) when the tests are killed before they can end it."""
START_MAX_SECONDS: Final = 60.0
END_MAX_SECONDS: Final = 60.0
_PORTS: Final = range(20_000, 32_000)
"""Below those that the system gives out: a client that knocks while no hub listens must not come to hold the port itself."""


def free_port(random: Random) -> int:
    """Return a port that nobody listens on."""
    while True:
        port = random.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def environment(folder: Path) -> dict[str, str]:
    """Return what the processes see: this source tree, and no setting of this machine's."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("HUB_")}
    if known.pop("PYTHONDONTWRITEBYTECODE", ""):  # Every start would compile everything anew, which takes longer than all the rest.
        known["PYTHONPYCACHEPREFIX"] = str(folder)
    return {**known, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'protos'}", "HUB_METRICS_LISTEN": ""}


@dataclass(slots=True)
class Process:
    """One process with its standard error in a file."""

    popen: subprocess.Popen[bytes]
    said: Path

    @property
    def pid(self) -> int:
        """Its id."""
        return self.popen.pid

    def is_alive(self) -> bool:
        """Tell whether it has not ended."""
        return self.popen.poll() is None

    def kill(self) -> None:
        """End it with kill -9, unless it has ended."""
        if self.is_alive():
            self.popen.kill()
        self.popen.wait(END_MAX_SECONDS)

    def tell_to_end(self) -> None:
        """Send it SIGTERM."""
        self.popen.send_signal(signal.SIGTERM)

    def ended(self, within_seconds: float = END_MAX_SECONDS) -> int:
        """Wait for its end and return its exit code."""
        return self.popen.wait(within_seconds)

    def words(self) -> str:
        """Return what it said on standard error."""
        return self.said.read_text(errors="replace")


class Processes:
    """Starts processes and, at the end of a ``with`` block, ends those that still live."""

    def __init__(self, folder: Path, compiled: Path) -> None:
        """Keep what they say in ``folder``, and their code in ``compiled`` if they may keep it nowhere else."""
        self._folder = folder
        self._environment = environment(compiled)
        self._all: list[Process] = []

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End what lives."""
        for process in self._all:
            process.kill()
            if process.popen.stdout is not None:
                process.popen.stdout.close()

    def start(self, command: Sequence[str]) -> Process:
        """Start a process."""
        mortal = [sys.executable, "-I", "-S", "-c", _MORTAL, *command] if sys.platform == "linux" else command
        said = self._folder / f"{len(self._all):03}.stderr"
        with said.open("wb") as stderr:
            popen = subprocess.Popen(  # noqa: S603  this interpreter and programs of this repository
                mortal, cwd=REPOSITORY, env=self._environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr
            )
        process = Process(popen, said)
        self._all.append(process)
        return process

    def serve(self, home: Path, port: int) -> Process:
        """Start ``hub serve`` on a home and port; it does not serve yet."""
        options = ["--home", str(home), "--listen", f"127.0.0.1:{port}", "--json"]
        return self.start([sys.executable, "-m", "services.cli.main", "serve", *options])


def wait_until_serving(process: Process) -> dict[str, Any]:
    """Return what a starting hub announces; fail with its words if it ends instead, or takes too long."""
    stdout = process.popen.stdout
    assert stdout is not None
    ready, _, _ = select.select([stdout], [], [], START_MAX_SECONDS)
    line = stdout.readline() if ready else b""
    assert line, f"the hub did not serve: exit code {process.popen.poll()}\n{process.words()}"
    announced: dict[str, Any] = json.loads(line)
    return announced


def wait_for(happened: Callable[[], bool], what: str, within_seconds: float = START_MAX_SECONDS) -> None:
    """Wait until something has happened; fail if it does not."""
    deadline = time.monotonic() + within_seconds
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {within_seconds} s: {what}"
        time.sleep(0.01)


# ── a client that is killed and started again ──


@dataclass(slots=True)
class Client:
    """One agency's client: at most one process of it lives, each run with a diary of its own."""

    processes: Processes
    plan: Plan
    process: Process | None = field(default=None)

    def start(self) -> None:
        """Start the next run."""
        run = self.plan.run + 1
        self.plan = replace(self.plan, run=run, diary=str(Path(self.plan.diary).with_name(f"{self.plan.agency_id}.{run:03}.jsonl")))
        self.process = self.processes.start(self.plan.command())

    def kill(self) -> None:
        """End the run with kill -9."""
        if self.process is not None:
            self.process.kill()

    def check_lives(self) -> None:
        """Fail with its words if the run has ended of itself."""
        assert self.process is not None
        assert self.process.is_alive(), f"{self.plan.client} ended with {self.process.popen.returncode}\n{self.process.words()}"

    def is_speaking(self) -> bool:
        """Tell whether the run has begun its diary: from then on it comes to its end when told to."""
        self.check_lives()
        return Path(self.plan.diary).exists()

    def end(self) -> int:
        """Tell the run to come to its end and return its exit code; a run that is still starting is waited for."""
        assert self.process is not None
        wait_for(self.is_speaking, f"{self.plan.client} begins")
        self.process.tell_to_end()
        return self.process.ended()


# ── looking at a hub ──


@contextmanager
def called(settings: Settings, target: str, agency_id: str) -> Iterator[grpc.Channel]:
    """Give a channel with an agency's certificate."""
    credentials = Identity.from_folder(settings.agency_folder(agency_id)).credentials.for_channel()
    with grpc.secure_channel(target, credentials) as channel:
        yield channel


def asked_again(settings: Settings, target: str, held: dict[bytes, tuple[str, str, bytes]]) -> list[str]:
    """Ask for receipts again and return those that are not byte for byte what was given; ``held``: agency, shard and bytes by event id."""
    different = []
    for agency_id in sorted({agency_id for agency_id, _, _ in held.values()}):
        own = {event_id: (shard, given) for event_id, (owner, shard, given) in held.items() if owner == agency_id}
        with called(settings, target, agency_id) as channel:
            ask = append_stub(agency_id)(channel).GetReceipt
            for event_id, (shard, given) in own.items():
                request = GetReceiptRequest(shard=shard, event_id=event_id)
                try:
                    answer = ask(request, timeout=START_MAX_SECONDS, wait_for_ready=True)
                except grpc.RpcError as error:
                    different.append(f"{event_id.hex()}: {agency_id} is given no receipt now: {error}")
                else:
                    if answer.receipt.SerializeToString(deterministic=True) != given:
                        different.append(f"{event_id.hex()}: {agency_id} is given another receipt now")
    return different
