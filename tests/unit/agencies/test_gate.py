"""What one agency may ask of the hub at a time, under a clock that stands still until it is moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import ExitStack

import pytest

from services.agencies import gate
from services.agencies.gate import Gate
from services.runtime.errors import Unavailable
from services.runtime.limits import AGENCY_MAX_STREAMS
from tests.support.builders import COUNCIL, POLICE

PER_SECOND = 4
BURST = 8
TICK_SECONDS = 0.25
"""In it the quota regains one event."""


class StandingClock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds

    def tick(self, times: int = 1) -> None:
        self.seconds += times * TICK_SECONDS


def a_gate(clock: StandingClock | None = None, *, events_per_second: int = PER_SECOND) -> Gate:
    return Gate(events_per_second=events_per_second, monotonic_seconds=clock or StandingClock())


def wait_told(limits: Gate, events: int) -> float:
    """Return how long the council is told to wait before it sends so many events."""
    with pytest.raises(Unavailable, match=r"^the agency's quota of events a second is used up$") as caught:
        limits.admit(COUNCIL, events)
    return caught.value.retry_after_seconds


def test_two_seconds_worth_of_events_may_come_at_once_and_then_none() -> None:
    limits = a_gate()
    for _ in range(BURST):
        limits.admit(COUNCIL, 1)
    assert wait_told(limits, 1) == TICK_SECONDS


def test_who_waits_as_told_is_admitted_and_who_comes_before_is_told_what_is_left_to_wait() -> None:
    clock = StandingClock()
    limits = a_gate(clock)
    limits.admit(COUNCIL, BURST)
    assert wait_told(limits, 3) == 3 * TICK_SECONDS
    clock.tick(2)
    assert wait_told(limits, 3) == TICK_SECONDS
    clock.tick()
    limits.admit(COUNCIL, 3)
    assert wait_told(limits, 1) == TICK_SECONDS


def test_events_that_were_not_admitted_take_nothing_of_the_quota() -> None:
    limits = a_gate()
    limits.admit(COUNCIL, BURST - 1)
    assert [wait_told(limits, 2) for _ in range(3)] == [TICK_SECONDS] * 3
    limits.admit(COUNCIL, 1)


def test_what_is_not_used_is_not_saved_beyond_the_burst() -> None:
    clock = StandingClock()
    limits = a_gate(clock)
    limits.admit(COUNCIL, 1)
    clock.tick(1_000)
    limits.admit(COUNCIL, BURST)
    assert wait_told(limits, 1) == TICK_SECONDS


def test_a_request_over_the_burst_is_admitted_when_nothing_is_used_and_paid_for_afterwards() -> None:
    clock = StandingClock()
    limits = a_gate(clock)
    limits.admit(COUNCIL, 5 * BURST)
    assert wait_told(limits, 1) == (4 * BURST + 1) * TICK_SECONDS
    assert wait_told(limits, 5 * BURST) == 5 * BURST * TICK_SECONDS
    clock.tick(5 * BURST)
    limits.admit(COUNCIL, 5 * BURST)


def test_each_agency_has_a_quota_of_its_own() -> None:
    limits = a_gate()
    limits.admit(COUNCIL, BURST)
    assert wait_told(limits, 1)
    limits.admit(POLICE, BURST)


def test_a_quota_of_nought_is_none() -> None:
    limits = a_gate(events_per_second=0)
    for _ in range(100):
        limits.admit(COUNCIL, 500)


def test_an_agency_holds_eight_streams_and_is_refused_the_ninth_until_one_ends() -> None:
    limits = a_gate()
    with ExitStack() as seven, ExitStack() as eighth:
        for _ in range(AGENCY_MAX_STREAMS - 1):
            seven.enter_context(limits.stream(COUNCIL))
        eighth.enter_context(limits.stream(COUNCIL))
        for _ in range(2):
            with pytest.raises(Unavailable, match="8 streams open") as caught, limits.stream(COUNCIL):
                pass
            assert caught.value.retry_after_seconds == 5.0
        with limits.stream(POLICE):
            pass
        eighth.close()
        with limits.stream(COUNCIL):
            pass


def test_a_stream_that_fails_is_no_longer_open() -> None:
    limits = a_gate()
    for _ in range(AGENCY_MAX_STREAMS + 1):
        with pytest.raises(KeyError), limits.stream(COUNCIL):
            raise KeyError


class Reading:
    """A stream on which nothing comes, and what became of waiting for it."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.was_cancelled = False

    async def read(self) -> str:
        self.began.set()
        try:
            return await asyncio.Future()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


def saying(word: str) -> Callable[[], Coroutine[None, None, str]]:
    """Return a read that gives a word."""

    async def read() -> str:
        return word

    return read


async def test_what_a_stream_reads_is_handed_on() -> None:
    limits = a_gate()
    assert [await limits.next(saying(word)) for word in ("first", "second")] == ["first", "second"]


async def test_a_stream_on_which_nothing_comes_is_ended_and_no_longer_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "STREAM_IDLE_MAX_SECONDS", 0.01)
    limits, reading = a_gate(), Reading()
    with pytest.raises(Unavailable, match=r"^no message for 0 seconds; open a new stream$"):
        await limits.next(reading.read)
    assert reading.was_cancelled
    assert await limits.next(saying("on another stream")) == "on another stream"


async def test_draining_ends_the_streams_that_wait_and_reads_no_other() -> None:
    limits, readings = a_gate(), [Reading(), Reading()]
    waiting = [asyncio.ensure_future(limits.next(reading.read)) for reading in readings]
    for reading in readings:
        await reading.began.wait()
    limits.drain()
    assert await asyncio.gather(*waiting) == [None, None]
    assert [reading.was_cancelled for reading in readings] == [True, True]
    later = Reading()
    assert await limits.next(later.read) is None
    assert not later.began.is_set()


async def test_a_call_that_its_client_gives_up_is_not_taken_for_draining() -> None:
    limits, reading = a_gate(), Reading()
    waiting = asyncio.ensure_future(limits.next(reading.read))
    await reading.began.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert reading.was_cancelled
