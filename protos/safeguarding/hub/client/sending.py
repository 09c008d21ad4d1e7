"""The way of signed events to the hub: batches over one stream, a bounded window, and the same bytes again until they are decided."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import grpc

from safeguarding.hub.client.answers import BrokenAnswer, outcomes_of
from safeguarding.hub.client.drafts import Signed
from safeguarding.hub.client.nodes import Nodes
from safeguarding.hub.client.outcomes import CallFailed, ClientClosed, Outcome, Receipt, Refusal, Unresolved
from safeguarding.hub.client.waiting import Waiting
from safeguarding.hub.v1 import append_pb2 as wire
from safeguarding.hub.v1.envelope_pb2 import SignedEvent

REQUEST_MAX_EVENTS: Final = 500
REQUEST_MAX_BYTES: Final = 3 * 1024 * 1024
EVENT_FRAMING_MAX_BYTES: Final = 8
WINDOW_MAX_REQUESTS: Final = 4
STREAM_MAX_SECONDS: Final = 300.0
STREAM_ROTATE_SECONDS: Final = 240.0
"""After this no request is added to a stream, so that its own deadline never meets one in flight."""
STREAM_IDLE_SECONDS: Final = 20.0
"""The hub ends streams that are silent for 60 s; ending them earlier ourselves leaves no doubt about what was in flight."""
ANSWER_MAX_SECONDS: Final = 30.0
BACKOFF_FIRST_SECONDS: Final = 0.1
BACKOFF_MAX_SECONDS: Final = 5.0

_FINAL_CODES: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
        grpc.StatusCode.DATA_LOSS,
    }
)
"""With these the hub rejects the call itself: trying again would not help."""

FindReceipt = Callable[[str, bytes], Awaitable[Receipt | None]]
Settle = Callable[[Sequence[bytes]], Awaitable[None]]
"""Durably forget events whose outcome is known."""
SettleSoon = Callable[[Iterable[bytes]], None]
"""Forget them with the next write to the disk."""


@dataclass(slots=True, eq=False)
class Parcel:
    """Events that are sent together (one, or an atomic request's), and who waits for their outcomes, in which place."""

    events: tuple[Signed, ...]
    atomic: bool
    waiting: Waiting
    place: int
    doubtful: bool = False
    """An earlier sending may have been decided without our hearing of it."""
    attempts: int = 0
    trouble: str = "no answer yet"
    is_refused: bool = False
    """Refused while somebody waited: that is about to be told, whatever the deadline."""
    size: int = field(init=False)

    def __post_init__(self) -> None:
        """Measure what the events take in a request."""
        self.size = sum(len(event.message) + EVENT_FRAMING_MAX_BYTES for event in self.events)

    @property
    def is_over(self) -> bool:
        """Tell whether nobody waits any more."""
        return self.waiting.is_over(self.place)

    def end(self, result: list[Outcome] | Exception) -> None:
        """Tell who waits, unless its patience was over."""
        self.waiting.end(self.place, result)

    def fail(self, error: Exception) -> None:
        """Tell who waits that there will be no outcome, unless it is about to be told of one."""
        if not self.is_refused:
            self.end(error)

    def expire(self) -> None:
        """End the waiting: the deadline is over. What is in flight may still be decided; the outbox keeps it."""
        if not self.is_refused:
            self.end([Unresolved(event.event_id, event.shard, self.trouble) for event in self.events])


def backoff_seconds(attempt: int, least: float = 0.0) -> float:
    """Return how long to wait before another attempt: exponential with full jitter, at least ``least``."""
    ceiling = min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** min(attempt, 16))
    # Jitter is no secret: it only keeps clients from returning in step.
    return least + random.uniform(0.0, ceiling)  # noqa: S311


class Sending:
    """Sends parcels in order until each is decided, its deadline is over, or the hub rejects the call itself."""

    def __init__(self, nodes: Nodes, find_receipt: FindReceipt, settle: Settle, settle_soon: SettleSoon) -> None:
        """Take whom to send to, the way to look a receipt up, and the two ways to forget what is decided."""
        self._nodes = nodes
        self._is_left = False
        self._find_receipt = find_receipt
        self._settle = settle
        self._settle_soon = settle_soon
        self._ready: deque[Parcel] = deque()
        self._in_flight: deque[list[Parcel]] = deque()
        self._changed = asyncio.Event()
        self._progress_at = 0.0
        self._failures = 0
        self._later: set[asyncio.Task[None]] = set()
        self._forgetting: set[asyncio.Future[None]] = set()
        """What is being written to the outbox of refusals that are told behind it."""
        self._undecided: list[Parcel] = []
        """What the node that is being left could not have decided, in order: the next node gets it before anything else."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End at once. Whoever still waits is told; what was signed stays in the outbox."""
        tasks = (self._task, *self._later)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._forgetting:
            await asyncio.wait(self._forgetting)
        self._fail_all(ClientClosed("closed while events were being sent; they are kept in the outbox"))

    def submit(self, parcels: Iterable[Parcel]) -> None:
        """Send parcels behind those submitted before."""
        self._ready.extend(parcels)
        self._changed.set()

    async def _run(self) -> None:
        """Converse with the hub as long as there is something to say, whatever happens to the connection."""
        while True:
            while not self._ready:
                self._changed.clear()
                await self._changed.wait()
            address = self._nodes.address
            try:
                await self._converse()
                if self._is_left:
                    self._nodes.leave(address)
                    await asyncio.sleep(self._put_back())
            except grpc.aio.AioRpcError as error:
                if error.code() in _FINAL_CODES:
                    self._fail_all(CallFailed(error.code(), error.details() or ""))
                else:
                    why = (f"{error.code().name}: {error.details()}", self._nodes.lapse)
                    await self._retry(address, "; ".join(filter(None, why)))
            except (TimeoutError, BrokenAnswer) as error:
                await self._retry(address, str(error) or "the hub did not answer in time")
            except Exception as error:  # noqa: BLE001  # a full disk, say: whoever waits must hear it, and the next may fare better
                self._fail_all(error)

    async def _retry(self, address: str, trouble: str) -> None:
        """Put what got no answer back in its order, for the next node, and wait a little longer each time."""
        self._nodes.leave(address)
        while self._in_flight:
            for parcel in reversed(self._in_flight.pop()):
                parcel.doubtful = True
                self._ready.appendleft(parcel)
        self._put_back()
        for parcel in self._ready:
            parcel.trouble = trouble
        await asyncio.sleep(backoff_seconds(self._failures))
        self._failures += 1

    def _put_back(self) -> float:
        """Put what was not decided before all else, in its order; return for how long to wait before it is sent again."""
        undecided, self._undecided = self._undecided, []
        self._ready.extendleft(reversed(undecided))
        return backoff_seconds(max((parcel.attempts for parcel in undecided), default=0))

    def _fail_all(self, error: Exception) -> None:
        """Tell everyone who waits."""
        for parcel in (*self._undecided, *(parcel for request in self._in_flight for parcel in request), *self._ready):
            parcel.fail(error)
        self._undecided.clear()
        self._in_flight.clear()
        self._ready.clear()

    async def _converse(self) -> None:
        """Hold one stream: write requests while the window allows, read their answers, end it when idle or old, or its node is left."""
        self._is_left = False
        call = self._nodes.stub.AppendEvents(timeout=STREAM_MAX_SECONDS)
        reading = asyncio.create_task(self._read(call))
        try:
            with suppress(asyncio.InvalidStateError, grpc.aio.AioRpcError):
                await self._write(call, reading)
            # A stream that has ended takes no more requests: what it answered before, and why it ended, its reader knows.
            async with asyncio.timeout(ANSWER_MAX_SECONDS):
                await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            call.cancel()

    async def _write(self, call: Any, reading: asyncio.Task[None]) -> None:
        """Write requests until the stream is idle or old, its node is left, or reading it has ended."""
        loop = asyncio.get_running_loop()
        rotate_at = loop.time() + STREAM_ROTATE_SECONDS
        while not reading.done() and not self._is_left and loop.time() < rotate_at:
            self._changed.clear()
            if self._ready and len(self._in_flight) < WINDOW_MAX_REQUESTS:
                parcels = self._next_request()
                if parcels:
                    self._progress_at = self._progress_at if self._in_flight else loop.time()
                    # Before the write: from there on the hub may have it.
                    self._in_flight.append(parcels)
                    async with asyncio.timeout(ANSWER_MAX_SECONDS):
                        await call.write(_request(parcels))
                continue
            patience = self._progress_at + ANSWER_MAX_SECONDS - loop.time() if self._in_flight else STREAM_IDLE_SECONDS
            if patience <= 0 or not await self._change_within(patience):
                if self._in_flight:
                    raise TimeoutError(f"no answer for {ANSWER_MAX_SECONDS:.0f} seconds")
                break
        if not reading.done():
            await call.done_writing()

    async def _change_within(self, seconds: float) -> bool:
        """Wait for a change; False when there was none."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _next_request(self) -> list[Parcel]:
        """Take as many parcels as one request holds; an atomic one goes alone."""
        parcels: list[Parcel] = []
        events = size = 0
        while self._ready:
            parcel = self._ready[0]
            if parcel.is_over or parcel.is_refused:
                self._ready.popleft()
                continue
            events, size = events + len(parcel.events), size + parcel.size
            if parcels and (parcel.atomic or events > REQUEST_MAX_EVENTS or size > REQUEST_MAX_BYTES):
                break
            parcels.append(self._ready.popleft())
            parcel.attempts += 1
            if parcel.atomic:
                break
        return parcels

    async def _read(self, call: Any) -> None:
        """Read one answer for each request, in order, until the stream ends.

        By iteration: ``call.read`` gives no answer any more once the status behind them has come, or a write has met the end.
        """
        try:
            async for answer in call:
                if not self._in_flight:
                    raise BrokenAnswer("the hub answered more requests than it got")
                await self._answered(self._in_flight[0], answer)
                self._in_flight.popleft()
                self._progress_at = asyncio.get_running_loop().time()
                self._failures = 0
                self._changed.set()
            if self._in_flight:
                raise BrokenAnswer("the hub ended the stream before it answered")
        finally:
            self._changed.set()

    async def _answered(self, parcels: list[Parcel], answer: wire.AppendEventsResponse) -> None:
        """Give every event of a request its outcome."""
        outcomes = outcomes_of([event for parcel in parcels for event in parcel.events], answer)
        first = 0
        for parcel in parcels:
            own = outcomes[first : first + len(parcel.events)]
            first += len(own)
            refusals = [outcome for outcome in own if isinstance(outcome, Refusal)]
            if not refusals:
                self._settle_soon([event.event_id for event in parcel.events])
                parcel.end([*own])
            elif any(refusal.helps_to_retry for refusal in refusals):
                self._send_later(parcel, refusals)
            else:
                await self._refused(parcel, own)

    def _send_later(self, parcel: Parcel, refusals: list[Refusal]) -> None:
        """Send a parcel again that the hub could not decide now, no sooner than it asks for."""
        least = max((refusal.retry_after_ms or 0) for refusal in refusals) / 1_000
        # A node that gave up waiting for a decision may still be given one: only the next answer tells.
        parcel.doubtful = parcel.doubtful or not refusals[0].whole_request
        parcel.trouble = next(refusal.reason for refusal in refusals if refusal.helps_to_retry)
        if self._nodes.are_several and not refusals[0].whole_request:
            # It took the request but could not have it decided: another node may reach the log.
            self._undecided.append(parcel)
            self._is_left = True
            return
        task = asyncio.create_task(asyncio.sleep(backoff_seconds(parcel.attempts, least)))
        self._later.add(task)
        task.add_done_callback(partial(self._resubmit, parcel))

    def _resubmit(self, parcel: Parcel, waited: asyncio.Task[None]) -> None:
        """Put a parcel before whatever was submitted since, also when its pause was cut short: who waits is told in closing."""
        self._later.discard(waited)
        self._ready.appendleft(parcel)
        self._changed.set()

    async def _refused(self, parcel: Parcel, own: list[Receipt | Refusal]) -> None:
        """Report a refusal once the outbox has durably forgotten the event: what was reported refused is never sent again.

        Where nobody waits any more the outbox keeps it: ``resume`` asks again, and is told.
        """
        outcomes: list[Outcome] = [*own]
        if parcel.doubtful and not parcel.is_over:
            outcomes = [await self._resolve(outcome, event) for outcome, event in zip(own, parcel.events, strict=True)]
        if parcel.is_over:
            return
        parcel.is_refused = True
        forgetting = asyncio.ensure_future(self._settle([event.event_id for event in parcel.events]))
        self._forgetting.add(forgetting)
        # Cut short, by closing or by a hub that is left, the write goes on in its thread: what comes of it is told all the same.
        forgetting.add_done_callback(partial(self._tell_refused, parcel, outcomes))
        await asyncio.shield(forgetting)

    def _tell_refused(self, parcel: Parcel, outcomes: list[Outcome], forgotten: asyncio.Future[None]) -> None:
        """Tell who waits of a refusal that was written down, or what kept it from being written."""
        self._forgetting.discard(forgotten)
        if not forgotten.cancelled():  # with the whole event loop: nobody is left to be told
            error = forgotten.exception()
            parcel.end(error if isinstance(error, Exception) else outcomes)

    async def _resolve(self, outcome: Receipt | Refusal, event: Signed) -> Outcome:
        """Look whether an earlier sending was accepted after all; if that is not to be seen, say that it is open."""
        if isinstance(outcome, Receipt):
            return outcome
        try:
            receipt = await self._find_receipt(event.shard, event.event_id)
        except grpc.aio.AioRpcError:
            receipt = None
        return receipt or replace(outcome, earlier_attempt_unresolved=True)


def _request(parcels: list[Parcel]) -> wire.AppendEventsRequest:
    """Return a request of signed events, byte for byte as they were signed."""
    events = [SignedEvent.FromString(event.message) for parcel in parcels for event in parcel.events]
    return wire.AppendEventsRequest(events=events, atomic=parcels[0].atomic)
