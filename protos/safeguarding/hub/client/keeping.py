"""Signing and keeping: whatever is to be sent lies in the outbox first, many events a disk write."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from safeguarding.hub.client.drafts import Draft, Sender, Signed
from safeguarding.hub.client.identity import Identity
from safeguarding.hub.client.outbox import Kept, Outbox, OutboxUnusable
from safeguarding.hub.client.outcomes import ClientClosed
from safeguarding.hub.client.waiting import Waiting

SIGN_MAX_EVENTS: Final = 100
"""About so many are signed and kept at a time: the orders with which that is reached."""
SETTLE_AFTER_SECONDS: Final = 0.5
"""Receipts are struck off with the next write, or after this silence: one struck off too late is only asked for again."""

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Order:
    """Drafts, and who waits for their outcomes. An atomic order's are sent together, each of another's by itself."""

    drafts: tuple[Draft, ...]
    atomic: bool
    waiting: Waiting
    deadline_seconds: float
    """From the signing on."""

    def parcels(self) -> list[tuple[tuple[Draft, ...], bool]]:
        """Return what is sent together, each with whether it is atomic."""
        return [(self.drafts, True)] if self.atomic else [((draft,), False) for draft in self.drafts]


class Keeping:
    """Signs orders under the next source sequences, keeps them, and hands them on. Its disk writes run in one thread of their own."""

    def __init__(self, sender: Sender, identity: Identity, hand_on: Callable[[Order, Sequence[Kept]], None]) -> None:
        """``hand_on`` gets every order once its events are durable."""
        self._sender = sender
        self._identity = identity
        self._hand_on = hand_on
        self._orders: deque[Order] = deque()
        self._ordered = asyncio.Event()
        self._settled: list[bytes] = []
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hub-outbox")

    async def open(self) -> None:
        """Open the outbox and begin; raise ``OutboxUnusable``."""
        self._outbox: Outbox = await self._on_disk(Outbox, self._identity.outbox)
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Stop, write what is settled if the disk takes it, and close the outbox."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for order in self._orders:
            order.waiting.fail(ClientClosed("closed before the event was signed"))
        self._orders.clear()
        await self._settle_if_possible()
        await self._on_disk(self._outbox.close)
        self._thread.shutdown()

    def order(self, order: Order) -> None:
        """Have an order signed and kept, behind those before it."""
        self._orders.append(order)
        self._ordered.set()

    async def sign(self, drafts: Sequence[Draft]) -> list[Signed]:
        """Sign and keep events without handing them on."""
        kept = await self._sign_and_keep([((draft,), False) for draft in drafts])
        return [event for one in kept for event in one.events]

    async def pending(self) -> list[Kept]:
        """Return what is kept and not settled, in order."""
        await self.settle(())
        return await self._on_disk(self._outbox.pending)

    async def settle(self, event_ids: Sequence[bytes]) -> None:
        """Durably forget these events, and those settled before."""
        settled, self._settled = self._settled, []
        if not settled and not event_ids:
            return
        try:
            await self._on_disk(self._outbox.settle, [*settled, *event_ids])
        except BaseException:
            self._settled = [*settled, *self._settled]
            raise

    def settle_soon(self, event_ids: Iterable[bytes]) -> None:
        """Forget events with the next write to the disk."""
        self._settled.extend(event_ids)
        if not self._orders:
            self._ordered.set()

    async def _run(self) -> None:
        """Sign and keep what is ordered, many orders at a time."""
        while True:
            await self._wait_for_orders()
            taken = self._take()
            wanted = [order.parcels() for order in taken]
            try:
                kept = await self._sign_and_keep([parcel for parcels in wanted for parcel in parcels])
            except asyncio.CancelledError:
                # The write may go on in its thread.
                for order in taken:
                    order.waiting.fail(
                        ClientClosed("closed while the event was being signed; pending tells whether it is kept in the outbox")
                    )
                raise
            except Exception as error:  # noqa: BLE001  # a full disk, say: whoever waits must hear it
                for order in taken:
                    order.waiting.fail(error)
                continue
            first = 0
            for order, parcels in zip(taken, wanted, strict=True):
                self._hand_on(order, kept[first : first + len(parcels)])
                first += len(parcels)

    def _take(self) -> list[Order]:
        """Take orders to be signed now, leaving out those for which nobody waits any more."""
        taken: list[Order] = []
        events = 0
        while self._orders and events < SIGN_MAX_EVENTS:
            order = self._orders.popleft()
            if not order.waiting.done.done():
                taken.append(order)
                events += len(order.drafts)
        return taken

    async def _wait_for_orders(self) -> None:
        """Wait for orders; meanwhile write what is settled once nothing came for a while."""
        while not self._orders:
            self._ordered.clear()
            try:
                async with asyncio.timeout(SETTLE_AFTER_SECONDS if self._settled else None):
                    await self._ordered.wait()
            except TimeoutError:
                await self._settle_if_possible()

    async def _settle_if_possible(self) -> None:
        """Forget what was settled; on a full disk, say, it is tried again with the next write."""
        with suppress(OutboxUnusable):
            await self.settle(())

    async def _sign_and_keep(self, drafts: Sequence[tuple[tuple[Draft, ...], bool]]) -> list[Kept]:
        """Sign and keep in one transaction, which also forgets what is settled."""
        settled, self._settled = self._settled, []
        try:
            return await self._on_disk(self._outbox.keep, drafts, self._sender, self._identity.signing_key, settled)
        except BaseException:
            self._settled = [*settled, *self._settled]
            raise

    async def _on_disk(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run ``work`` in the outbox's thread; raise ``OutboxUnusable`` for what the file or its disk does not let it do."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        except sqlite3.Error as error:
            raise OutboxUnusable(f"{self._identity.outbox}: {error}") from error
