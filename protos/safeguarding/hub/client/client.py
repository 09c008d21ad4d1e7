"""The asynchronous client: typed events in, receipts out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from safeguarding.hub.client.drafts import Draft, NotSendable, Sender, Signed, check
from safeguarding.hub.client.identity import Identity
from safeguarding.hub.client.outbox import Kept, Outbox
from safeguarding.hub.client.outcomes import (
    AppendRefused,
    AppendUnresolved,
    CallFailed,
    ClientClosed,
    Outcome,
    Receipt,
    Refusal,
    Unresolved,
    receipt_from,
)
from safeguarding.hub.client.routes import append_stub
from safeguarding.hub.client.sending import REQUEST_MAX_BYTES, REQUEST_MAX_EVENTS, Parcel, Sending, backoff_seconds
from safeguarding.hub.v1.append_pb2 import GetReceiptRequest
from safeguarding.hub.v1.common_pb2 import LawfulBasis, Marking, Purpose

DEADLINE_SECONDS: Final = 60.0
UNARY_MAX_SECONDS: Final = 10.0
WAITING_MAX_PARCELS: Final = 2_000
"""Over this, ``append`` and ``append_many`` wait before they take more."""
SIGN_MAX_PARCELS: Final = 100
SETTLE_AFTER_SECONDS: Final = 0.5
CHANNEL_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 4 * 1024 * 1024),
    ("grpc.max_reconnect_backoff_ms", 5_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
)


@dataclass(slots=True, eq=False)
class _Order:
    """Drafts that are to be signed, and the parcel they become."""

    drafts: tuple[Draft, ...]
    atomic: bool
    done: asyncio.Future[list[Outcome]]
    deadline: asyncio.TimerHandle
    parcel: Parcel | None = None


class HubClient:
    """Appends one agency's events to the hub and reads receipts.

    Every event is signed and kept in the outbox before it is sent, and sent again, byte for byte, until the hub has decided it:
    after a lost connection, a hub that is not available, or a restart of this process (``resume``). Sending twice is harmless.
    Use it as ``async with HubClient(...) as hub``. ``target`` is ``host:port``.
    """

    def __init__(self, target: str, *, sender: Sender, identity: Identity) -> None:
        """Prepare; nothing is sent and no file is opened yet."""
        self._target = target
        self._sender = sender
        self._identity = identity
        self._stub_class = append_stub(sender.agency_id)
        self._room = asyncio.Semaphore(WAITING_MAX_PARCELS)
        self._orders: deque[_Order] = deque()
        self._ordered = asyncio.Event()
        self._settled: list[bytes] = []
        self._live: set[bytes] = set()
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="hub-outbox")
        self._closed = True

    async def __aenter__(self) -> HubClient:
        """Open the outbox and the channel."""
        loop = asyncio.get_running_loop()
        self._outbox = await loop.run_in_executor(self._disk, Outbox, self._identity.outbox)
        self._channel = grpc.aio.secure_channel(self._target, self._identity.credentials.for_channel(), options=CHANNEL_OPTIONS)
        self._stub: Any = self._stub_class(self._channel)
        self._sending = Sending(self._stub.AppendEvents, self._receipt, self._settle)
        self._sending.start()
        self._keeping = asyncio.create_task(self._keep())
        self._closed = False
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None = None, error: BaseException | None = None, trace: TracebackType | None = None
    ) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Stop sending, write the outbox and close everything; idempotent. What is not decided stays in the outbox."""
        if self._closed:
            return
        self._closed = True
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)
        await self._sending.close()
        while self._orders:
            order = self._orders.popleft()
            order.done.set_exception(ClientClosed("closed before the event was signed"))
        if self._settled:
            await self._settle((), True)
        await asyncio.get_running_loop().run_in_executor(self._disk, self._outbox.close)
        self._disk.shutdown()
        await self._channel.close()

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel, for the contract's query stubs (give their calls ``query_metadata`` and a timeout)."""
        return self._channel

    @property
    def sender(self) -> Sender:
        """Who speaks."""
        return self._sender

    async def append(
        self,
        event: Message,
        *,
        case_id: str | None = None,
        shard: str | None = None,
        expected_version: int | None = None,
        imported: bool = False,
        purpose: Purpose.ValueType | None = None,
        lawful_basis: LawfulBasis.ValueType | None = None,
        marking: Marking.ValueType | None = None,
        actor_role: str | None = None,
        causation_id: bytes = b"",
        correlation_id: bytes = b"",
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> Receipt:
        """Append one event and return its receipt.

        Raise ``AppendRefused`` (with the rule), ``AppendUnresolved`` (no answer in time; the event is kept and ``resume`` sends it
        again), ``CallFailed`` (the hub rejects the call itself) or ``NotSendable``.
        """
        draft = Draft(
            event=event,
            case_id=case_id,
            shard=shard,
            expected_version=expected_version,
            imported=imported,
            purpose=purpose,
            lawful_basis=lawful_basis,
            marking=marking,
            actor_role=actor_role,
            causation_id=causation_id,
            correlation_id=correlation_id,
        )
        (outcome,) = await self.append_many([draft], deadline_seconds=deadline_seconds)
        if isinstance(outcome, Refusal):
            raise AppendRefused(outcome)
        if isinstance(outcome, Unresolved):
            raise AppendUnresolved(outcome)
        return outcome

    async def append_many(
        self, drafts: Iterable[Draft], *, atomic: bool = False, deadline_seconds: float = DEADLINE_SECONDS
    ) -> list[Outcome]:
        """Append events in order and return one outcome for each: ``Receipt``, ``Refusal`` or ``Unresolved``.

        ``drafts`` is consumed as the hub keeps up. With ``atomic`` all are accepted or none (at most 500, in one shard, 900 KiB).
        Raise ``CallFailed`` if the hub rejects the call itself.
        """
        orders: list[asyncio.Future[list[Outcome]]] = []
        if atomic:
            group = tuple(drafts)
            self._check_atomic(group)
            orders += [await self._order(group, deadline_seconds, atomic=True)] if group else []
        else:
            for draft in drafts:
                check(draft, self._sender)
                orders.append(await self._order((draft,), deadline_seconds, atomic=False))
        return await _gathered(orders)

    async def sign(self, drafts: Sequence[Draft]) -> list[Signed]:
        """Sign events and keep them in the outbox without sending them; ``send`` or ``resume`` does that."""
        for draft in drafts:
            check(draft, self._sender)
        kept = await self._in_disk_thread([((draft,), False) for draft in drafts])
        return [event for one in kept for event in one.events]

    async def send(self, events: Sequence[Signed], *, deadline_seconds: float = DEADLINE_SECONDS) -> list[Outcome]:
        """Send signed events, byte for byte, and return an outcome for each. An event sent before gets its first receipt again."""
        waiting = [await self._send((event,), deadline_seconds, atomic=False) for event in events]
        return await _gathered(waiting)

    async def resume(self, *, deadline_seconds: float = DEADLINE_SECONDS) -> list[Outcome]:
        """Send whatever the outbox holds undecided (from before a crash or a deadline), in order, and return the outcomes."""
        kept = await asyncio.get_running_loop().run_in_executor(self._disk, self._outbox.pending)
        waiting = []
        for one in kept:
            if not self._live.intersection(event.event_id for event in one.events):
                waiting.append(await self._send(one.events, deadline_seconds, atomic=one.atomic, doubtful=True))
        return await _gathered(waiting)

    async def pending(self) -> list[Signed]:
        """Return the events of the outbox that are not known to be decided, in order."""
        if self._settled:
            await self._settle((), True)
        kept = await asyncio.get_running_loop().run_in_executor(self._disk, self._outbox.pending)
        return [event for one in kept for event in one.events]

    async def discard(self, events: Iterable[Signed]) -> None:
        """Forget undecided events: they are not sent again. What the hub has meanwhile accepted stays accepted."""
        await self._settle([event.event_id for event in events], True)

    async def get_receipt(self, shard: str, event_id: bytes, *, deadline_seconds: float = DEADLINE_SECONDS) -> Receipt | None:
        """Return the receipt of an event that this agency appended, None if there is none; raise ``CallFailed``."""
        loop = asyncio.get_running_loop()
        ends_at, attempt = loop.time() + deadline_seconds, 0
        while True:
            try:
                return await self._receipt(shard, event_id)
            except grpc.aio.AioRpcError as error:
                pause = backoff_seconds(attempt)
                again = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
                if not again or loop.time() + pause >= ends_at:
                    raise CallFailed(error.code(), error.details() or "") from error
            await asyncio.sleep(pause)
            attempt += 1

    async def _receipt(self, shard: str, event_id: bytes) -> Receipt | None:
        """Ask once for a receipt."""
        try:
            answer = await self._stub.GetReceipt(GetReceiptRequest(shard=shard, event_id=event_id), timeout=UNARY_MAX_SECONDS)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        return receipt_from(answer.receipt)

    def _check_atomic(self, drafts: tuple[Draft, ...]) -> None:
        """Raise ``NotSendable`` for a group that no request holds."""
        for draft in drafts:
            check(draft, self._sender)
        if len(drafts) > REQUEST_MAX_EVENTS or sum(draft.event.ByteSize() + 1_024 for draft in drafts) > REQUEST_MAX_BYTES:
            raise NotSendable(f"an atomic request holds at most {REQUEST_MAX_EVENTS} events and {REQUEST_MAX_BYTES} bytes")

    async def _order(self, drafts: tuple[Draft, ...], deadline_seconds: float, *, atomic: bool) -> asyncio.Future[list[Outcome]]:
        """Take drafts in as soon as there is room, to be signed, kept and sent."""
        await self._take_room()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[list[Outcome]] = loop.create_future()
        order = _Order(drafts, atomic, done, loop.call_later(deadline_seconds, self._order_expired, done))
        done.add_done_callback(lambda _done: self._release(order))
        self._orders.append(order)
        self._ordered.set()
        return done

    async def _take_room(self) -> None:
        """Wait until another parcel may be taken in."""
        if self._closed:
            raise ClientClosed("use the client within async with")
        await self._room.acquire()

    def _release(self, order: _Order) -> None:
        """Make room for another."""
        order.deadline.cancel()
        self._room.release()
        if order.parcel is not None:
            self._live.difference_update(event.event_id for event in order.parcel.events)

    def _order_expired(self, done: asyncio.Future[list[Outcome]]) -> None:
        """Report drafts that came to no decision in time."""
        order = next((order for order in self._orders if order.done is done), None)
        if order is not None:
            self._orders.remove(order)
            done.set_exception(ClientClosed("the deadline was over before the event was signed"))

    async def _keep(self) -> None:
        """Sign and keep what was ordered, many at a time, and hand it on to be sent."""
        while True:
            if not self._orders:
                await self._wait_for_orders()
            taken = [self._orders.popleft() for _ in range(min(len(self._orders), SIGN_MAX_PARCELS))]
            if not taken:
                continue
            try:
                kept = await self._in_disk_thread([(order.drafts, order.atomic) for order in taken])
            except Exception as error:  # noqa: BLE001  # a full disk or a broken file is told to whoever waits
                for order in taken:
                    order.done.set_exception(error)
                continue
            for order, one in zip(taken, kept, strict=True):
                self._submit(order, one.events)

    async def _wait_for_orders(self) -> None:
        """Wait for orders; meanwhile forget what is settled, once nothing came for a while."""
        self._ordered.clear()
        try:
            await asyncio.wait_for(self._ordered.wait(), SETTLE_AFTER_SECONDS if self._settled else None)
        except TimeoutError:
            await self._settle((), True)
