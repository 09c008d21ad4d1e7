"""The way of signed events to the hub: batches over one stream, a bounded window, and the same bytes again until they are decided."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import grpc

from safeguarding.hub.client.drafts import Signed
from safeguarding.hub.client.outcomes import CallFailed, ClientClosed, Outcome, Receipt, Refusal, Unresolved, receipt_from, refusal_from
from safeguarding.hub.v1 import append_pb2 as wire
from safeguarding.hub.v1.envelope_pb2 import SignedEvent

REQUEST_MAX_EVENTS: Final = 500
REQUEST_MAX_BYTES: Final = 3 * 1024 * 1024 - 64 * 1024
"""The contract's 3 MiB less the framing of 500 events."""
WINDOW_MAX_REQUESTS: Final = 4
STREAM_MAX_SECONDS: Final = 300.0
STREAM_ROTATE_SECONDS: Final = 240.0
"""After this no request is added to a stream, so that its own deadline never meets one in flight."""
STREAM_IDLE_SECONDS: Final = 20.0
"""The hub ends streams that are silent for 60 s; ending them earlier ourselves leaves no doubt about what was in flight."""
RESPONSE_MAX_SECONDS: Final = 30.0
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
_RETRY_CODES: Final = frozenset({grpc.StatusCode.UNAVAILABLE.value[0], grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]})

FindReceipt = Callable[[str, bytes], Awaitable[Receipt | None]]
Settle = Callable[[Sequence[bytes], bool], Awaitable[None]]
"""Forget events whose outcome is known; True: at once and durably, False: when convenient."""


@dataclass(slots=True, eq=False)
class Parcel:
    """Events that are sent together (one, or an atomic request's), and who waits for their outcomes."""

    events: tuple[Signed, ...]
    atomic: bool
    done: asyncio.Future[list[Outcome]]
    doubtful: bool = False
    """An earlier sending got no answer."""
    attempts: int = 0
    last_trouble: str = "no answer yet"
    size: int = field(init=False)

    def __post_init__(self) -> None:
        """Measure what the events take in a request."""
        self.size = sum(len(event.message) + 8 for event in self.events)


def backoff_seconds(attempt: int, least: float = 0.0) -> float:
    """Return how long to wait before another attempt: exponential with full jitter, at least ``least``."""
    # Not a secret: jitter only keeps clients from returning in step.
    return least + random.uniform(0, min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2 ** min(attempt, 16)))  # noqa: S311


class Sending:
    """Sends parcels in order until each is decided, its deadline is over, or the hub rejects the call itself."""

    def __init__(self, append: Callable[..., Any], find_receipt: FindReceipt, settle: Settle) -> None:
        """Take the stub's ``AppendEvents``, the way to look a receipt up, and the way to forget what is decided."""
        self._append = append
        self._find_receipt = find_receipt
        self._settle = settle
        self._ready: deque[Parcel] = deque()
        self._in_flight: deque[list[Parcel]] = deque()
        self._changed = asyncio.Event()
        self._failures = 0
        self._task: asyncio.Task[None] | None = None
        self._later: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End at once. Whoever still waits is told; what was signed stays in the outbox."""
        tasks = [task for task in (self._task, *self._later) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._fail_all(ClientClosed("closed while events were being sent; they are kept in the outbox"))

    def submit(self, parcel: Parcel) -> None:
        """Send a parcel behind those submitted before."""
        self._ready.append(parcel)
        self._changed.set()

    def expire(self, parcel: Parcel) -> None:
        """Stop waiting for a parcel: its deadline is over. If it is in flight, its outcome is still recorded when it comes."""
        if not parcel.done.done():
            parcel.done.set_result([Unresolved(event.event_id, event.shard, parcel.last_trouble) for event in parcel.events])

    async def _run(self) -> None:
        """Converse with the hub as long as there is something to say, whatever happens to the connection."""
        while True:
            await self._something_ready()
            try:
                await self._converse()
            except grpc.aio.AioRpcError as error:
                await self._after(error)
            except (TimeoutError, asyncio.InvalidStateError, _BrokenAnswer) as error:
                await self._retry(str(error) or "the hub did not answer")

    async def _something_ready(self) -> None:
        """Wait until a parcel is to be sent."""
        while not self._ready:
            self._changed.clear()
            await self._changed.wait()

    async def _after(self, error: grpc.aio.AioRpcError) -> None:
        """Give up on what the hub rejects as a call; try again after anything else."""
        if error.code() in _FINAL_CODES:
            self._return_unanswered("")
            self._fail_all(CallFailed(error.code(), error.details() or ""))
            self._failures = 0
        else:
            await self._retry(f"{error.code().name}: {error.details()}")

    async def _retry(self, trouble: str) -> None:
        """Put what got no answer back in its order, and wait a little longer each time."""
        self._return_unanswered(trouble)
        await asyncio.sleep(backoff_seconds(self._failures))
        self._failures += 1

    def _return_unanswered(self, trouble: str) -> None:
        """Move the parcels in flight to the front: whether the hub decided them is not known."""
        while self._in_flight:
            for parcel in reversed(self._in_flight.pop()):
                parcel.doubtful = True
                self._ready.appendleft(parcel)
        for parcel in self._ready:
            parcel.last_trouble = trouble or parcel.last_trouble

    def _fail_all(self, error: Exception) -> None:
        """Tell everyone who waits."""
        for parcel in (*(parcel for request in self._in_flight for parcel in request), *self._ready):
            if not parcel.done.done():
                parcel.done.set_exception(error)
        self._in_flight.clear()
        self._ready.clear()

    async def _converse(self) -> None:
        """Hold one stream: write requests while the window allows, read their answers, end it when idle or old."""
        call = self._append(timeout=STREAM_MAX_SECONDS)
        reading = asyncio.create_task(self._read(call))
        try:
            await self._write(call, reading)
            await reading
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            call.cancel()

    async def _write(self, call: Any, reading: asyncio.Task[None]) -> None:
        """Write requests until the stream is idle or old, or reading it has ended."""
        loop = asyncio.get_running_loop()
        rotate_at = loop.time() + STREAM_ROTATE_SECONDS
        while not reading.done() and loop.time() < rotate_at:
            self._changed.clear()
            if self._ready and len(self._in_flight) < WINDOW_MAX_REQUESTS:
                parcels = self._next_request()
                if parcels:
                    # Before the write: from here on the hub may have it.
                    self._in_flight.append(parcels)
                    self._changed.set()
                    await call.write(_request(parcels))
                continue
            idle = not self._in_flight
            waiting = asyncio.create_task(self._changed.wait())
            await asyncio.wait({waiting, reading}, timeout=STREAM_IDLE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            changed = waiting.done()
            waiting.cancel()
            if idle and not changed:
                break
        if not reading.done():
            await call.done_writing()

    def _next_request(self) -> list[Parcel]:
        """Take as many parcels as one request holds; an atomic one goes alone."""
        parcels: list[Parcel] = []
        events = size = 0
        while self._ready:
            parcel = self._ready[0]
            if parcel.done.done():
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
        """Read one answer for each request, in order, until the stream ends."""
        while True:
            answer = await asyncio.wait_for(call.read(), RESPONSE_MAX_SECONDS if self._in_flight else STREAM_MAX_SECONDS)
            if answer is grpc.aio.EOF:
                if await call.code() is not grpc.StatusCode.OK:
                    raise _error_of(call, await call.code(), await call.details())
                if self._in_flight:
                    raise _BrokenAnswer("the hub ended the stream before it answered")
                return
            if not self._in_flight:
                raise _BrokenAnswer("the hub answered more requests than it got")
            await self._answered(self._in_flight[0], answer)
            self._in_flight.popleft()
            self._failures = 0
            self._changed.set()

    async def _answered(self, parcels: list[Parcel], answer: wire.AppendEventsResponse) -> None:
        """Give every event of a request its outcome."""
        outcomes = _outcomes(parcels, answer)
        received: list[bytes] = []
        for parcel in parcels:
            own = [next(outcomes) for _ in parcel.events]
            if any(isinstance(outcome, Refusal) and outcome.helps_to_retry for outcome in own):
                self._send_later(parcel, own)
            elif all(isinstance(outcome, Receipt) for outcome in own):
                received += [event.event_id for event in parcel.events]
                _finish(parcel, own)
            else:
                await self._refused(parcel, own)
        if received:
            await self._settle(received, False)

    def _send_later(self, parcel: Parcel, outcomes: list[Outcome]) -> None:
        """Send a parcel again that the hub could not decide now, no sooner than it asks for."""
        least = max((outcome.retry_after_ms or 0) / 1_000 for outcome in outcomes if isinstance(outcome, Refusal))
        # A node that could not wait for a decision may still be given one: only the next answer tells.
        parcel.doubtful = True
        parcel.last_trouble = next(outcome.reason for outcome in outcomes if isinstance(outcome, Refusal) and outcome.helps_to_retry)
        task = asyncio.create_task(self._resubmit(parcel, backoff_seconds(parcel.attempts, least)))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _resubmit(self, parcel: Parcel, seconds: float) -> None:
        """Put a parcel before whatever was submitted since."""
        try:
            await asyncio.sleep(seconds)
        finally:
            self._ready.appendleft(parcel)
            self._changed.set()

    async def _refused(self, parcel: Parcel, outcomes: list[Outcome]) -> None:
        """Report a refusal once it is durable here: an event that was reported refused is never sent again."""
        if parcel.doubtful:
            outcomes = [await self._resolve(outcome, event) for outcome, event in zip(outcomes, parcel.events, strict=True)]
        await self._settle([event.event_id for event in parcel.events], True)
        _finish(parcel, outcomes)

    async def _resolve(self, outcome: Outcome, event: Signed) -> Outcome:
        """Look whether an earlier sending was accepted after all; if that is not to be seen, say that it is open."""
        if not isinstance(outcome, Refusal):
            return outcome
        try:
            receipt = await self._find_receipt(event.shard, event.event_id)
        except grpc.aio.AioRpcError:
            receipt = None
        return receipt or _doubtful(outcome)


class _BrokenAnswer(Exception):
    """The hub's answers do not fit its requests."""


def _doubtful(refusal: Refusal) -> Refusal:
    """Say of a refusal that an earlier attempt is unresolved."""
    return Refusal(
        event_id=refusal.event_id,
        code=refusal.code,
        rule=refusal.rule,
        reason=refusal.reason,
        violations=refusal.violations,
        expected_version=refusal.expected_version,
        current_version=refusal.current_version,
        retry_after_ms=refusal.retry_after_ms,
        earlier_attempt_unresolved=True,
    )


def _finish(parcel: Parcel, outcomes: list[Outcome]) -> None:
    """Tell who waits."""
    if not parcel.done.done():
        parcel.done.set_result(outcomes)


def _request(parcels: list[Parcel]) -> wire.AppendEventsRequest:
    """Return a request of signed events, byte for byte as they were signed."""
    events = [SignedEvent.FromString(event.message) for parcel in parcels for event in parcel.events]
    return wire.AppendEventsRequest(events=events, atomic=parcels[0].atomic)


def _outcomes(parcels: list[Parcel], answer: wire.AppendEventsResponse) -> Any:
    """Return an iterator over the outcomes of a request's events; raise ``_BrokenAnswer`` if they do not fit."""
    events = [event for parcel in parcels for event in parcel.events]
    if answer.HasField("error"):
        code = wire.REFUSAL_CODE_UNAVAILABLE if answer.error.code in _RETRY_CODES else wire.REFUSAL_CODE_INVALID
        return iter([Refusal(event.event_id, code, "wire.request", answer.error.message) for event in events])
    if len(answer.outcomes) != len(events):
        raise _BrokenAnswer(f"the hub answered {len(answer.outcomes)} outcomes for {len(events)} events")
    return iter([_outcome(event, outcome) for event, outcome in zip(events, answer.outcomes, strict=True)])


def _outcome(event: Signed, outcome: wire.Outcome) -> Outcome:
    """Return one outcome from the wire."""
    if outcome.WhichOneof("result") == "receipt":
        if outcome.receipt.event_id != event.event_id:
            raise _BrokenAnswer("the hub answered with the receipt of another event")
        return receipt_from(outcome.receipt)
    return refusal_from(outcome.refusal, event.event_id)


def _error_of(call: Any, code: grpc.StatusCode, details: str) -> grpc.aio.AioRpcError:
    """Return the status that a stream ended with as an error."""
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details, debug_error_string=str(call))
