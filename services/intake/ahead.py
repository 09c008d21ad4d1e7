"""Examining events ahead, on the machine's other cores: signature and contract are half of an event's cost, and Python uses one core.

A verdict is a help, never a decision: whatever was not found sound is examined again where every event is (``candidate``), and
refused there by the rule that it breaks.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import structlog

from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from services.intake.examiner import U32, job_of, request_of
from services.runtime.interpreter import child_environment, program, usable_cores
from services.runtime.limits import EVENT_MAX_BYTES
from services.trust.registry import KeyEntry, RegistryState
from services.trust.signing import PublicKey

AHEAD_MIN_EVENTS: Final = 8
"""Fewer are done sooner here than there and back."""
EXAMINERS_MAX: Final = 2
"""So many find out more than one event loop can admit."""
ANSWER_MAX_SECONDS: Final = 5.0
RESTART_SECONDS: Final = 1.0
_LOG: Final = structlog.get_logger("hub")

Proven = PublicKey | None
"""The key under which an event was found sound; None if it was not looked at, or is not sound."""


@dataclass(slots=True, eq=False)
class _Asked:
    """The events of one request with their keys, and who waits for a byte an event, or for nothing if nobody looks at them."""

    jobs: list[tuple[KeyEntry, SignedEvent]]
    answer: asyncio.Future[bytes]

    def give(self, verdicts: bytes) -> None:
        """Answer, unless whoever asked has gone."""
        if not self.answer.done():
            self.answer.set_result(verdicts)


class Examiners:
    """Examine the events of requests, several requests at a time. All of it runs on one event loop, between ``start`` and ``close``."""

    def __init__(self, processes: int | None = None) -> None:
        """Use as many processes as there are cores beside this one's (at most ``EXAMINERS_MAX``), or ``processes``."""
        beside = min(EXAMINERS_MAX, usable_cores() - 1)
        self._examiners = [_Examiner() for _ in range(beside if processes is None else processes)]
        self._running: list[asyncio.Task[None]] = []
        self._may_run = False
        self._gathered: list[_Asked] = []

    def start(self) -> None:
        """Allow processes to be begun. They are when first needed; until they are up, nothing is examined ahead."""
        self._may_run = True

    async def close(self) -> None:
        """End the processes; idempotent."""
        self._may_run = False
        running, self._running = self._running, []
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)

    async def examine(self, events: Sequence[SignedEvent], registry: RegistryState) -> list[Proven]:
        """Return for each event the key under which it is sound, as far as that was found out."""
        if not self._may_run:
            return [None] * len(events)
        keys = [_key(signed, registry) for signed in events]
        verdicts = iter(await self._verdicts([(key, signed) for key, signed in zip(keys, events, strict=True) if key is not None]))
        return [key.public_key if key is not None and next(verdicts, 0) else None for key in keys]

    async def _verdicts(self, jobs: list[tuple[KeyEntry, SignedEvent]]) -> bytes:
        """Return a byte an event, or none at all; what others ask for in the same moment goes with it."""
        loop = asyncio.get_running_loop()
        if not self._gathered:
            loop.call_soon(self._send)
        asked = _Asked(jobs, loop.create_future())
        self._gathered.append(asked)
        return await asked.answer

    def _send(self) -> None:
        """Give what was gathered to the process that has least to do."""
        gathered, self._gathered = self._gathered, []
        enough = self._may_run and sum(len(asked.jobs) for asked in gathered) >= AHEAD_MIN_EVENTS
        if enough and not self._running:
            self._running = [asyncio.create_task(examiner.run()) for examiner in self._examiners]
        up = [examiner for examiner in self._examiners if examiner.is_up]
        if enough and up:
            min(up, key=lambda examiner: examiner.load).ask(gathered)
        else:
            for asked in gathered:
                asked.give(b"")


class _Examiner:
    """One process, begun anew when it ends."""

    def __init__(self) -> None:
        """Prepare; ``run`` begins it."""
        self._line: asyncio.StreamWriter | None = None
        self._waiting: deque[list[_Asked]] = deque()

    @property
    def is_up(self) -> bool:
        """Tell whether it can be asked."""
        return self._line is not None

    @property
    def load(self) -> int:
        """How much it was asked and has not answered."""
        return len(self._waiting)

    def ask(self, gathered: list[_Asked]) -> None:
        """Send jobs in one go; whoever asked hears nothing of them if the process ends, or takes too long."""
        if self._line is None:
            raise RuntimeError("an examiner that is not up was asked")
        self._waiting.append(gathered)
        self._line.write(request_of([job_of(key.algorithm, key.encoded, signed) for asked in gathered for key, signed in asked.jobs]))
        asyncio.get_running_loop().call_later(ANSWER_MAX_SECONDS, self._give_up, gathered)

    async def run(self) -> None:
        """Keep a process running until cancelled."""
        while True:
            try:
                await self._serve()
                _LOG.warning("intake.examiner_ended")
            except OSError as error:
                _LOG.warning("intake.examiner_not_started", error=type(error).__name__)
            await asyncio.sleep(RESTART_SECONDS)

    async def _serve(self) -> None:
        """Run a process and hand on its answers until it ends."""
        ours, theirs = socket.socketpair()
        with theirs:
            # Not asyncio's: it forks where this spawns, and forking a program with gRPC's threads in it is no good.
            process = subprocess.Popen(  # noqa: ASYNC220,S603  # our own program
                program("services.intake.examiner"), env=child_environment(), stdin=theirs.fileno(), stdout=theirs.fileno()
            )
        try:
            answers, self._line = await asyncio.open_connection(sock=ours)
            await self._hand_on(answers)
        finally:
            if self._line is not None:
                self._line.close()
                self._line = None
            for gathered in self._waiting:
                for asked in gathered:
                    asked.give(b"")
            self._waiting.clear()
            process.kill()
            await asyncio.to_thread(process.wait)

    async def _hand_on(self, answers: asyncio.StreamReader) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (count,) = U32.unpack(await answers.readexactly(U32.size))
                verdicts = await answers.readexactly(count)
                at = 0
                for asked in self._waiting.popleft():
                    asked.give(verdicts[at : at + len(asked.jobs)])
                    at += len(asked.jobs)

    def _give_up(self, gathered: list[_Asked]) -> None:
        """Part with a process that has not answered in time; another one is begun."""
        if gathered in self._waiting and self._line is not None:
            self._line.close()


def _key(signed: SignedEvent, registry: RegistryState) -> KeyEntry | None:
    """Return the key to examine an event with; None if there is none, or the event is too large for it to matter."""
    return None if signed.ByteSize() > EVENT_MAX_BYTES else registry.key(signed.signature.key_id)
