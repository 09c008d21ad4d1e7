"""The blocking client: the asynchronous one on a thread of its own, for programs without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import grpc
from google.protobuf.message import Message

from safeguarding.hub.client.client import DEADLINE_SECONDS, HubClient, in_parts, receipt_or_raise
from safeguarding.hub.client.drafts import Draft, Sender, Signed
from safeguarding.hub.client.identity import Identity
from safeguarding.hub.client.nodes import CHANNEL_OPTIONS
from safeguarding.hub.client.outbox import OutboxUnusable
from safeguarding.hub.client.outcomes import ClientClosed, Outcome, Receipt

TELLING_MAX_SECONDS: Final = 1.0
"""So long those who are under way in a client that is closed have to hear what became of them."""

T = TypeVar("T")


class BlockingHubClient:
    """``HubClient`` for ordinary code: the same methods, each returning when the outcome is there. Any thread may call them.

    Use it as ``with BlockingHubClient(...) as hub``.
    """

    def __init__(self, target: str, *, sender: Sender, identity: Identity) -> None:
        """Prepare; nothing is sent and no file is opened yet."""
        self._identity = identity
        self._client = HubClient(target, sender=sender, identity=identity)
        self._channels: dict[str, grpc.Channel] = {}
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        """Open the outbox and the channel; raise ``OutboxUnusable`` if another process, or this client, has the outbox."""
        if self._loop is not None:
            raise OutboxUnusable("this client is open already")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hub-client", daemon=True)
        self._thread.start()
        try:
            self._wait(self._client.__aenter__())
        except BaseException:
            self._end_loop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close."""
        try:
            self._wait(self._client.close())
        finally:
            self._end_loop()
            for channel in self._channels.values():
                channel.close()
            self._channels.clear()

    def _end_loop(self) -> None:
        """Take nothing more, have everybody told, and stop the thread."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is None:
            return
        asyncio.run_coroutine_threadsafe(_all_told(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the client's loop and wait for it; raise ``ClientClosed`` outside ``with``."""
        with self._lock:
            if self._loop is None:
                work.close()
                raise ClientClosed("use the client within its with block")
            done = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return done.result()
        except CancelledError:
            raise ClientClosed("closed before there was an answer; what was signed is kept in the outbox") from None

    @property
    def channel(self) -> grpc.Channel:
        """A channel to the node spoken to now, for the contract's query stubs (give their calls ``query_metadata`` and a timeout)."""
        address = self._client.address
        if address not in self._channels:
            self._channels[address] = grpc.secure_channel(address, self._identity.credentials.for_channel(), options=CHANNEL_OPTIONS)
        return self._channels[address]

    @property
    def sender(self) -> Sender:
        """Who speaks."""
        return self._client.sender

    def append(self, event: Message, *, deadline_seconds: float = DEADLINE_SECONDS, **draft: Any) -> Receipt:
        """Append one event and return its receipt; ``draft`` takes the other fields of ``Draft``, ``case_id`` first of all.

        Raise as ``HubClient.append`` does.
        """
        (outcome,) = self.append_many([Draft(event=event, **draft)], deadline_seconds=deadline_seconds)
        return receipt_or_raise(outcome)

    def append_many(self, drafts: Iterable[Draft], *, atomic: bool = False, deadline_seconds: float = DEADLINE_SECONDS) -> list[Outcome]:
        """Append events in order and return one outcome for each. ``drafts`` is consumed in the caller's thread."""
        if atomic or isinstance(drafts, list | tuple):
            return self._wait(self._client.append_many(tuple(drafts), atomic=atomic, deadline_seconds=deadline_seconds))
        begun: list[asyncio.Future[list[Outcome]]] = []
        try:
            begun.extend(self._wait(self._client.begin(some, deadline_seconds)) for some in in_parts(drafts, self._client.sender))
        except Exception:
            with suppress(Exception):
                self._wait(self._client.end(begun))
            raise
        return self._wait(self._client.end(begun))

    def sign(self, drafts: Sequence[Draft]) -> list[Signed]:
        """Sign events and keep them in the outbox without sending them."""
        return self._wait(self._client.sign([*drafts]))

    def send(self, events: Iterable[Signed], *, deadline_seconds: float = DEADLINE_SECONDS) -> list[Outcome]:
        """Send signed events, byte for byte, and return an outcome for each."""
        return self._wait(self._client.send([*events], deadline_seconds=deadline_seconds))

    def resume(self, *, deadline_seconds: float = DEADLINE_SECONDS) -> list[Outcome]:
        """Send whatever the outbox holds undecided, in order, and return the outcomes."""
        return self._wait(self._client.resume(deadline_seconds=deadline_seconds))

    def pending(self) -> list[Signed]:
        """Return the events in the outbox that are not known to be decided, in order."""
        return self._wait(self._client.pending())

    def discard(self, events: Iterable[Signed]) -> None:
        """Forget undecided events: they are not sent again."""
        self._wait(self._client.discard([*events]))

    def get_receipt(self, shard: str, event_id: bytes, *, deadline_seconds: float = DEADLINE_SECONDS) -> Receipt | None:
        """Return the receipt of an event that this agency appended, None if there is none."""
        return self._wait(self._client.get_receipt(shard, event_id, deadline_seconds=deadline_seconds))


async def _all_told() -> None:
    """Wait for whoever is still under way on this loop."""
    under_way = asyncio.all_tasks() - {asyncio.current_task()}
    if under_way:
        _, late = await asyncio.wait(under_way, timeout=TELLING_MAX_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
