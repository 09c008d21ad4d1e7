"""The asynchronous client: typed events in, receipts out."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Final, Self

import grpc
from google.protobuf.message import Message

from safeguarding.hub.client.drafts import Draft, NotSendable, Sender, Signed, check
from safeguarding.hub.client.identity import Identity
from safeguarding.hub.client.keeping import SIGN_MAX_EVENTS, Keeping, Order
from safeguarding.hub.client.nodes import Nodes, addresses_of
from safeguarding.hub.client.outbox import Kept
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
from safeguarding.hub.client.waiting import Waiting
from safeguarding.hub.v1.append_pb2 import GetReceiptRequest
from safeguarding.hub.v1.common_pb2 import LawfulBasis, Marking, Purpose

DEADLINE_SECONDS: Final = 60.0
UNARY_MAX_SECONDS: Final = 10.0
UNDECIDED_MAX_PARCELS: Final = 2_000
"""Over this, appending waits before it takes more."""
_HEADER_MAX_BYTES: Final = 1_024
NOT_NOW: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.CANCELLED,
    }
)
"""Trying again helps. ``CANCELLED``, which we do not ask for, is what gRPC tells a call that meets the end of a hub that stops."""


class HubClient:
    """Appends one agency's events to the hub and reads receipts.

    Every event is signed and kept in the outbox before it is sent, and sent again, byte for byte, until the hub has decided it:
    after a lost connection, a hub that is not available, or a restart of this process (``resume``). Sending twice is harmless.
    Use it as ``async with HubClient(...) as hub``. ``target`` is ``host:port``, or that of several nodes of the hub, separated by commas:
    it begins with the first and goes on with the next whenever one fails.
    """

    def __init__(self, target: str, *, sender: Sender, identity: Identity) -> None:
        """Prepare; nothing is sent and no file is opened yet."""
        self._addresses = addresses_of(target)
        self._sender = sender
        self._identity = identity
        self._stub_class = append_stub(sender.agency_id)
        self._live: dict[bytes, Parcel] = {}
        self._open = False

    async def __aenter__(self) -> Self:
        """Open the outbox and the channel; raise ``OutboxUnusable`` if another process has the outbox."""
        self._room = asyncio.Semaphore(UNDECIDED_MAX_PARCELS)
        self._entry = asyncio.Lock()
        self._keeping = Keeping(self._sender, self._identity, self._hand_on)
        await self._keeping.open()
        self._nodes = Nodes(self._addresses, self._identity.credentials, self._stub_class)
        self._sending = Sending(self._nodes, self._find_receipt, self._keeping.settle, self._keeping.settle_soon)
        self._open = True
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Stop sending and close everything; idempotent. What is not decided stays in the outbox."""
        if self._open:
            self._open = False
            await self._sending.close()
            await self._keeping.close()
            await self._nodes.close()

    @property
    def address(self) -> str:
        """The node that is spoken to now."""
        self._check_open()
        return self._nodes.address

    @property
    def channel(self) -> grpc.aio.Channel:
        """The channel to the node spoken to now, for the contract's query stubs (give their calls ``query_metadata`` and a timeout)."""
        self._check_open()
        return self._nodes.channel

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
        """Append one event and return its receipt; the arguments are those of ``Draft``.

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
        return receipt_or_raise(outcome)

    async def append_many(
        self, drafts: Iterable[Draft], *, atomic: bool = False, deadline_seconds: float = DEADLINE_SECONDS
    ) -> list[Outcome]:
        """Append events in order and return one outcome for each: ``Receipt``, ``Refusal`` or ``Unresolved``.

        ``drafts`` is consumed as fast as the hub keeps up; the deadline runs for each event from its signing. With ``atomic`` all
        are accepted or none (at most 500, in one shard, 900 KiB). Raise ``CallFailed`` if the hub rejects the call itself, and
        ``NotSendable`` for a draft that could never be sent, once those before it are decided.
        """
        waiting: list[asyncio.Future[list[Outcome]]] = []
        try:
            if atomic:
                group = tuple(drafts)
                self._check_atomic(group)
                waiting += [await self._order(group, deadline_seconds, atomic=True)] if group else []
            else:
                for some in in_parts(drafts, self._sender):
                    waiting.append(await self.begin(some, deadline_seconds))
        finally:
            results = await asyncio.gather(*waiting, return_exceptions=True)
        return _flat(results)

    async def begin(self, drafts: tuple[Draft, ...], deadline_seconds: float) -> asyncio.Future[list[Outcome]]:
        """Have drafts that ``in_parts`` gave signed, kept and sent as soon as there is room; return what will hold their outcomes."""
        return await self._order(drafts, deadline_seconds, atomic=False)

    async def end(self, begun: Iterable[asyncio.Future[list[Outcome]]]) -> list[Outcome]:
        """Return all outcomes of what was begun, in order; raise the first error instead if there is one."""
        return _flat(await asyncio.gather(*begun, return_exceptions=True))

    async def sign(self, drafts: Sequence[Draft]) -> list[Signed]:
        """Sign events and keep them in the outbox without sending them; ``send`` or ``resume`` does that."""
        self._check_open()
        for draft in drafts:
            check(draft, self._sender)
        return await self._keeping.sign(drafts)

    async def send(self, events: Iterable[Signed], *, deadline_seconds: float = DEADLINE_SECONDS) -> list[Outcome]:
        """Send signed events, byte for byte, and return an outcome for each. One that was accepted before gets its first receipt."""
        waiting = [await self._send((event,), deadline_seconds) for event in events]
        return _flat(await asyncio.gather(*waiting, return_exceptions=True))

    async def resume(self, *, deadline_seconds: float = DEADLINE_SECONDS) -> list[Outcome]:
        """Send whatever the outbox holds undecided (from before a crash or a deadline), in order, and return the outcomes."""
        self._check_open()
        kept = [one for one in await self._keeping.pending() if not any(self._is_under_way(event.event_id) for event in one.events)]
        waiting = [await self._send(one.events, deadline_seconds, atomic=one.atomic, doubtful=True) for one in kept]
        return _flat(await asyncio.gather(*waiting, return_exceptions=True))

    async def pending(self) -> list[Signed]:
        """Return the events in the outbox that are not known to be decided, in order."""
        self._check_open()
        return [event for kept in await self._keeping.pending() for event in kept.events]

    async def discard(self, events: Iterable[Signed]) -> None:
        """Forget undecided events: they are not sent again. What the hub has meanwhile accepted stays accepted."""
        self._check_open()
        await self._keeping.settle([event.event_id for event in events])

    async def get_receipt(self, shard: str, event_id: bytes, *, deadline_seconds: float = DEADLINE_SECONDS) -> Receipt | None:
        """Return the receipt of an event that this agency appended, None if there is none; raise ``CallFailed``."""
        self._check_open()
        loop = asyncio.get_running_loop()
        ends_at, attempt = loop.time() + deadline_seconds, 0
        while True:
            address = self._nodes.address
            try:
                return await self._find_receipt(shard, event_id, min(UNARY_MAX_SECONDS, ends_at - loop.time()))
            except grpc.aio.AioRpcError as error:
                pause = backoff_seconds(attempt)
                if error.code() not in NOT_NOW or loop.time() + pause >= ends_at:
                    raise CallFailed(error.code(), error.details() or "") from error
                self._nodes.leave(address)
            await asyncio.sleep(pause)
            attempt += 1

    async def _find_receipt(self, shard: str, event_id: bytes, timeout_seconds: float = UNARY_MAX_SECONDS) -> Receipt | None:
        """Ask once for a receipt."""
        try:
            answer = await self._nodes.stub.GetReceipt(GetReceiptRequest(shard=shard, event_id=event_id), timeout=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        return receipt_from(answer.receipt)

    def _check_open(self) -> None:
        """Raise ``ClientClosed`` outside ``async with``."""
        if not self._open:
            raise ClientClosed("use the client within its with block")

    def _check_atomic(self, drafts: tuple[Draft, ...]) -> None:
        """Raise ``NotSendable`` for a group that no request holds."""
        for draft in drafts:
            check(draft, self._sender)
        if len(drafts) > REQUEST_MAX_EVENTS or sum(draft.event.ByteSize() + _HEADER_MAX_BYTES for draft in drafts) > REQUEST_MAX_BYTES:
            raise NotSendable(f"an atomic request holds at most {REQUEST_MAX_EVENTS} events and {REQUEST_MAX_BYTES} bytes")

    async def _take_room(self, parcels: int) -> Waiting:
        """Wait until so many parcels more may be taken in; each makes room again as it ends. Raise ``ClientClosed`` if that comes first."""
        self._check_open()
        async with self._entry:  # one at a time: two that have half of what they need would wait for each other
            for taken in range(parcels):
                try:
                    await self._room.acquire()
                except BaseException:
                    self._make_room(taken)
                    raise
        if not self._open:
            self._make_room(parcels)  # for whoever waits behind it, to be told the same
            raise ClientClosed("closed before there was room for the event; it is not signed")
        return Waiting(parcels, self._make_room)

    def _make_room(self, parcels: int) -> None:
        for _ in range(parcels):
            self._room.release()

    async def _order(self, drafts: tuple[Draft, ...], deadline_seconds: float, *, atomic: bool) -> asyncio.Future[list[Outcome]]:
        """Have drafts signed, kept and sent as soon as there is room."""
        waiting = await self._take_room(1 if atomic else len(drafts))
        self._keeping.order(Order(drafts, atomic, waiting, deadline_seconds))
        return waiting.done

    async def _send(
        self, events: tuple[Signed, ...], deadline_seconds: float, *, atomic: bool = False, doubtful: bool = False
    ) -> asyncio.Future[list[Outcome]]:
        """Have signed events sent as soon as there is room."""
        waiting = await self._take_room(1)
        self._submit([Parcel(events, atomic, waiting, 0, doubtful)], waiting, deadline_seconds)
        return waiting.done

    def _hand_on(self, order: Order, kept: Sequence[Kept]) -> None:
        """Send what is signed and kept."""
        parcels = [Parcel(one.events, one.atomic, order.waiting, place) for place, one in enumerate(kept)]
        self._submit(parcels, order.waiting, order.deadline_seconds)

    def _submit(self, parcels: Sequence[Parcel], waiting: Waiting, deadline_seconds: float) -> None:
        """Send parcels; stop waiting for them at their deadline."""
        live = {event.event_id: parcel for parcel in parcels for event in parcel.events}

        def expire() -> None:
            for parcel in parcels:
                parcel.expire()

        expiry = asyncio.get_running_loop().call_later(deadline_seconds, expire)

        def over(_done: asyncio.Future[list[Outcome]]) -> None:
            expiry.cancel()
            for event_id in live:
                self._live.pop(event_id, None)

        self._live.update(live)
        waiting.done.add_done_callback(over)
        self._sending.submit(parcels)

    def _is_under_way(self, event_id: bytes) -> bool:
        """Tell whether someone waits for an event's outcome."""
        parcel = self._live.get(event_id)
        return parcel is not None and not parcel.is_over


def in_parts(drafts: Iterable[Draft], sender: Sender) -> Iterator[tuple[Draft, ...]]:
    """Yield drafts, as many together as are signed at a time; those before one that is not sendable come before its error."""
    some: list[Draft] = []
    try:
        for draft in drafts:
            check(draft, sender)
            some.append(draft)
            if len(some) == SIGN_MAX_EVENTS:
                yield tuple(some)
                some.clear()
    except Exception:
        if some:
            yield tuple(some)
        raise
    if some:
        yield tuple(some)


def receipt_or_raise(outcome: Outcome) -> Receipt:
    """Return a receipt; raise ``AppendRefused`` or ``AppendUnresolved`` for anything else."""
    if isinstance(outcome, Refusal):
        raise AppendRefused(outcome)
    if isinstance(outcome, Unresolved):
        raise AppendUnresolved(outcome)
    return outcome


def _flat(results: Iterable[list[Outcome] | BaseException]) -> list[Outcome]:
    """Return all outcomes in order; raise the first error instead if there is one."""
    outcomes: list[Outcome] = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        outcomes += result
    return outcomes
