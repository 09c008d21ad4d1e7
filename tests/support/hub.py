"""A real hub for tests: founded in a temporary folder, serving on a loopback port in a thread of its own, called over mutual TLS."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import grpc
import grpc.aio

from domain.agency.events import AgencyEnrolled
from domain.kernel.agencies import OPERATOR_ID, PANEL_ID, kind_of
from domain.kernel.events import Event
from domain.kernel.ids import AgencyId, Shard
from safeguarding.hub.client.client import HubClient
from safeguarding.hub.client.drafts import Draft, Sender
from safeguarding.hub.client.identity import Credentials, Identity
from safeguarding.hub.client.outcomes import Outcome, Receipt
from services.bootstrap import Hub, Parts, found_home, make_identity, open_parts
from services.eventstore.codec import to_message
from services.runtime.settings import Settings, load_settings
from services.trust.possession import registration
from tests.support.builders import (
    BUSINESS_UNIT,
    COUNCIL,
    HOSPITAL,
    ICB,
    LIVE_FROM,
    OTHER_COUNCIL,
    POLICE,
    SCHOOL,
    SECOND_COUNCIL,
    SHARD,
    STRANGER,
    a_partnership_established,
)

T = TypeVar("T")

ENROLLED: dict[AgencyId, tuple[Shard, ...]] = {
    COUNCIL: (SHARD,),
    SECOND_COUNCIL: (SHARD,),
    ICB: (SHARD,),
    POLICE: (SHARD,),
    BUSINESS_UNIT: (SHARD,),
    SCHOOL: (SHARD,),
    HOSPITAL: (SHARD,),
    STRANGER: (SHARD,),
    OTHER_COUNCIL: (Shard("elsewhere"),),
    PANEL_ID: (),
}


@dataclass(slots=True)
class RunningHub:
    """A hub that answers at ``address`` until its context ends."""

    settings: Settings
    parts: Parts
    address: str
    loop: asyncio.AbstractEventLoop
    metrics: str = ""
    """Where its metrics are; empty for nowhere."""
    _source: int = field(default=0)

    def run(self, work: Coroutine[Any, Any, T], timeout_seconds: float = 60.0) -> T:
        """Run a coroutine on the hub's own event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout_seconds)

    def client(self, agency_id: str, *, shard: str = SHARD, source: str = "tests") -> HubClient:
        """Return an SDK client that speaks for an agency."""
        folder = self.settings.agency_folder(agency_id)
        sender = Sender(
            agency_id=agency_id, source=source, shard=shard, log_origin=self.settings.log_origin, actor_role="head-of-safeguarding"
        )
        return HubClient(self.address, sender=sender, identity=Identity.from_folder(folder))

    def channel(self, agency_id: str, options: Sequence[tuple[str, Any]] = ()) -> grpc.aio.Channel:
        """Return a bare channel with an agency's certificate."""
        folder = self.settings.agency_folder(agency_id)
        credentials = Credentials.from_files(folder / "ca.pem", folder / "client.pem", folder / "client.key")
        return grpc.aio.secure_channel(self.address, credentials.for_channel(), options=options)

    async def say(self, agency_id: str, *events: Event, case_id: str | None = None, **options: Any) -> list[Outcome]:
        """Have an agency append events and return their outcomes."""
        async with self.client(agency_id) as client:
            return await client.append_many([Draft(event=to_message(event), case_id=case_id, **options) for event in events])

    async def said(self, agency_id: str, *events: Event, case_id: str | None = None, **options: Any) -> list[Receipt]:
        """Have an agency append events that the hub is expected to accept."""
        outcomes = await self.say(agency_id, *events, case_id=case_id, **options)
        assert all(isinstance(outcome, Receipt) for outcome in outcomes), outcomes
        return [outcome for outcome in outcomes if isinstance(outcome, Receipt)]


@contextmanager
def running_hub(home: Path, *, populate: bool = True, **overrides: Any) -> Iterator[RunningHub]:
    """Found a hub (unless ``home`` holds one), serve it, and enrol the agencies of ``ENROLLED`` with one partnership."""
    settings = load_settings(home=home, **{"listen": "127.0.0.1:0", "metrics_listen": "", **overrides})
    is_new = not settings.is_founded
    if is_new:
        found_home(settings)
    with open_parts(settings) as parts, _serving(parts) as (served, loop):
        hub = RunningHub(settings, parts, served.address.replace("127.0.0.1", "localhost"), loop, served.metrics_address)
        if is_new and populate:
            asyncio.run(enrol(hub))
        yield hub


async def enrol(hub: RunningHub) -> None:
    """Enrol every agency of ``ENROLLED``, register its key and establish the partnership."""
    events: list[Event] = []
    for agency_id, shards in ENROLLED.items():
        key = make_identity(hub.settings, agency_id)
        events.append(
            AgencyEnrolled(
                agency_id=agency_id, kind=kind_of(agency_id), name=f"{agency_id} (synthetic)", live_from=LIVE_FROM, shards=shards
            )
        )
        events.append(registration(key, agency_id, f"{agency_id}:1"))
    await hub.said(OPERATOR_ID, *events)
    await hub.said(OPERATOR_ID, a_partnership_established())


@contextmanager
def _serving(parts: Parts) -> Iterator[tuple[Hub, asyncio.AbstractEventLoop]]:
    """Serve on a thread with an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="hub", daemon=True)
    thread.start()

    def on_loop(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async def wrapped() -> T:
            return await work()

        return asyncio.run_coroutine_threadsafe(wrapped(), loop).result(60)

    async def make() -> Hub:
        hub = Hub(parts)
        await hub.start()
        return hub

    try:
        hub = on_loop(make)
        try:
            yield hub, loop
        finally:
            on_loop(hub.stop)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
