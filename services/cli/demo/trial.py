"""What is done to a cluster while it works: a broker that leads, and then a node, are killed and come back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final

BROKER_SHARE: Final = 0.25
NODE_SHARE: Final = 0.55
"""The share of England that has been sent when each is killed: the one is hardly back when the other goes."""
DOWN_SECONDS: Final = 2.0
"""How long a thing lies dead before it is started again: as long as a supervisor would take."""
FELT_SECONDS: Final = 10.0
"""Who begins to wait so long after the blow, or later, does not wait because of it."""
_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Blow:
    """Something that was killed, and when, in seconds since the sending began."""

    what: str
    role: str
    killed_after_seconds: float
    back_after_seconds: float
    without_service_seconds: float
    """The longest that any agency waited for answers from then on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """Something to be killed when a share of the work is done. ``choose`` says what it is then, and what it does in the cluster."""

    at_share: float
    choose: Callable[[], tuple[str, str]]
    kill: Callable[[], None]
    restart: Callable[[], None]
    """Return when it works again, in bounded time."""


@dataclass(slots=True)
class _Killed:
    """When a victim was killed and when it worked again, on the monotonic clock."""

    what: str
    role: str
    at: float
    back_at: float = 0.0


class Trial:
    """Kills each victim in its turn, from threads of its own: the sending goes on."""

    def __init__(self, victims: Iterable[Victim], news: Callable[[str], None]) -> None:
        """Prepare; ``news`` is told what happens, as it happens."""
        self._news = news
        self._began = time.monotonic()
        self._due = [(victim, Event()) for victim in victims]
        self._killed: list[_Killed] = []
        self._errors: list[Exception] = []
        self._threads = [Thread(target=self._strike, args=each, name="trial", daemon=True) for each in self._due]

    async def run(self) -> None:
        """Kill each when it is due; return when all are back, or raise what kept one from it."""
        self._began = time.monotonic()
        for thread in self._threads:
            thread.start()
        while any(thread.is_alive() for thread in self._threads):
            if self._errors:
                raise self._errors[0]
            await asyncio.sleep(_LOOK_SECONDS)
        if self._errors:
            raise self._errors[0]

    def progressed(self, done: int, total: int) -> None:
        """Take note of how far the work has come."""
        for victim, due in self._due:
            if done >= victim.at_share * total:
                due.set()

    def blows(self, waits: Iterable[tuple[float, float]]) -> tuple[Blow, ...]:
        """Return what was done, in order; ``waits``: when agencies began to wait for answers and when they had them."""
        held = list(waits)
        return tuple(
            Blow(
                what=killed.what,
                role=killed.role,
                killed_after_seconds=round(killed.at - self._began, 1),
                back_after_seconds=round(killed.back_at - self._began, 1),
                without_service_seconds=round(longest_wait(held, killed.at), 1),
            )
            for killed in sorted(self._killed, key=lambda killed: killed.at)
        )

    def _strike(self, victim: Victim, due: Event) -> None:
        """Kill a victim when it is due, and have it come back."""
        due.wait()
        try:
            what, role = victim.choose()
            killed = _Killed(what, role, time.monotonic())
            victim.kill()
            self._killed.append(killed)
            self._news(f"{killed.at - self._began:5.1f} s  {what} is killed: {role}")
            time.sleep(DOWN_SECONDS)
            victim.restart()
            killed.back_at = time.monotonic()
            self._news(f"{killed.back_at - self._began:5.1f} s  {what} is back")
        except Exception as error:  # noqa: BLE001  # told to whoever waits for this thread
            self._errors.append(error)


def longest_wait(waits: Iterable[tuple[float, float]], blow_at: float) -> float:
    """Return the longest that anybody waited from a blow on, of all who waited then or began to soon afterwards."""
    felt = [ended - max(began, blow_at) for began, ended in waits if ended > blow_at and began < blow_at + FELT_SECONDS]
    return max(felt, default=0.0)
