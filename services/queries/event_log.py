"""``EventLogService``: the log itself, as far as the caller may read it."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Final

from domain.access.events import DenialReason, Resource
from domain.calendar import bundled
from domain.kernel.events import london_day
from domain.kernel.ids import CaseId, Shard, category_of, identity_of
from projections.chronology.access import Standing
from projections.chronology.projection import CHRONOLOGY
from projections.chronology.queries import access_facts, case_lines
from projections.chronology.redaction import Viewer, redact
from projections.chronology.story import Order
from projections.kernel.database import Reading
from safeguarding.hub.v1 import event_log_pb2 as pb
from safeguarding.hub.v1.event_log_pb2_grpc import EventLogServiceServicer
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.opening import DataKeys
from services.eventstore.port import EventStore, ShardStore, Stored
from services.queries.asking import Asker, Context, Desk, checked, limit_of
from services.queries.case_access import may_read
from services.runtime.errors import NotFound, Unavailable
from services.runtime.limits import QUERY_DEADLINE_SECONDS
from services.trust.keystore import Destroyed
from services.trust.sealing import open_sealed

_OPEN_CATEGORIES: Final = frozenset({"agency", "partnership"})
"""Streams about no case: any enrolled agency may read them."""
_BATCH_EVENTS: Final = 200
_LISTEN_SECONDS: Final = 15.0


class EventLog(EventLogServiceServicer):
    """Answers pages of streams, and subscriptions to shards."""

    def __init__(self, *, desk: Desk, store: EventStore, keys: DataKeys) -> None:
        """``keys`` open bodies for those who may read them."""
        self._desk = desk
        self._store = store
        self._keys = keys

    async def ReadStream(self, request: pb.ReadStreamRequest, context: Context) -> pb.ReadStreamResponse:  # noqa: N802  # the RPC's name
        """Return a page of a stream."""
        checked(request)
        asker = self._desk.asker(context)
        shard = self._shard(request.shard)
        await self._wait(shard, request.min_position)
        limit = limit_of(request.page_size)
        if category_of(request.stream) in _OPEN_CATEGORIES:
            found = await asyncio.to_thread(shard.read_stream, request.stream, request.after_version, limit + 1)
            entries = [self._entry(shard, one, shown=True) for one in found[:limit]]
        else:
            case_id = identity_of(request.stream)
            sight = await self._sight(asker, request.shard, case_id)
            if sight.standing is None:
                raise await self._desk.denied(asker, request.shard, case_id, Resource.EVENTS, sight.denial, exists=sight.exists)
            found = await asyncio.to_thread(shard.read_stream, request.stream, request.after_version, limit + 1)
            entries = [self._entry(shard, one, shown=sight.shows(one)) for one in found[:limit]]
            await self._desk.viewed(asker, request.shard, case_id, Resource.EVENTS, len(entries))
        return pb.ReadStreamResponse(entries=entries, more=len(found) > limit)

    async def Subscribe(self, request: pb.SubscribeRequest, context: Context) -> AsyncIterator[pb.SubscribeResponse]:  # noqa: N802  # likewise
        """Yield the shard's readable events from a position on, then what comes; access is judged anew for every batch.

        Access events are passed over: each batch makes some, and a subscription to them would never end.
        """
        checked(request)
        asker = self._desk.asker(context)
        shard = self._shard(request.shard)
        position = request.after_position
        while True:
            batch = await asyncio.to_thread(shard.read, position, _BATCH_EVENTS)
            if not batch:
                await asyncio.to_thread(shard.wait_for, position + 1, _LISTEN_SECONDS)
                continue
            await self._desk.wait_for(CHRONOLOGY.name, request.shard, batch[-1].position)
            entries = await self._readable(asker, shard, [one for one in batch if category_of(one.stream) != "access"])
            position = batch[-1].position
            if entries:
                yield pb.SubscribeResponse(entries=entries, position=position)

    async def _readable(self, asker: Asker, shard: ShardStore, batch: Sequence[Stored]) -> list[pb.LogEntry]:
        """Return the entries of a batch that the asker may read, and record each case that is among them."""
        entries: list[pb.LogEntry] = []
        sights: dict[str, Sight] = {}
        rows: Counter[str] = Counter()
        for stored in batch:
            case_id = identity_of(stored.stream)
            if category_of(stored.stream) in _OPEN_CATEGORIES:
                entries.append(self._entry(shard, stored, shown=True))
                continue
            if case_id not in sights:
                sights[case_id] = await self._sight(asker, shard.name, case_id)
            if sights[case_id].standing is not None:
                entries.append(self._entry(shard, stored, shown=sights[case_id].shows(stored)))
                rows[case_id] += 1
        for case_id, count in rows.items():
            await self._desk.viewed(asker, shard.name, case_id, Resource.EVENTS, count)
        return entries

    async def _sight(self, asker: Asker, shard: str, case_id: str) -> Sight:
        """Judge what of a case the asker may read whole."""
        today = london_day(self._desk.clock())

        def look(reading: Reading) -> Sight:
            facts = access_facts(reading.connection, reading.tables, shard, case_id)
            standing = may_read(facts, asker, today)
            if isinstance(standing, DenialReason):
                return Sight(asker.agency_id, facts.exists, None, standing)
            lines = case_lines(
                reading.connection,
                reading.tables,
                Shard(shard),
                CaseId(case_id),
                order=Order.AS_KNOWN,
                known_at=None,
                calendar=bundled(),
            )
            viewer = Viewer(agency_id=asker.agency_id, kind=asker.kind, standing=standing)
            whole = set(redact(lines, viewer))
            narrowed = {line.position for line in lines if line not in whole}
            shown = frozenset(line.position for line in lines) - narrowed
            return Sight(asker.agency_id, facts.exists, standing, DenialReason.NOT_LINKED, shown)

        return await self._desk.look(CHRONOLOGY.name, look)

    def _entry(self, shard: ShardStore, stored: Stored, *, shown: bool) -> pb.LogEntry:
        logged = LoggedEvent.FromString(stored.state)
        entry = pb.LogEntry(
            position=stored.position,
            stream=stored.stream,
            version=stored.version,
            event_id=stored.event_id,
            event_type=stored.type,
            leaf=shard.leaf(stored),
            header=logged.header,
            signature=logged.signature,
            findings=logged.findings,
            mended=logged.mended,
            registry_position=logged.registry_position,
        )
        entry.recorded_at.FromMilliseconds(stored.recorded_at_ms)
        key = self._keys.get(logged.data_key_id)
        if isinstance(key, Destroyed):
            entry.body_withheld = "destroyed"
        elif shown:
            entry.salt, entry.body = open_sealed(key, hashlib.sha256(logged.header).digest(), logged.nonce, logged.sealed)
        else:
            entry.body_withheld = "not for this reader"
        return entry

    def _shard(self, name: str) -> ShardStore:
        if name not in self._store.shards():
            raise NotFound("no such shard")
        return self._store.shard(name)

    async def _wait(self, shard: ShardStore, position: int) -> None:
        if position and not await asyncio.to_thread(shard.wait_for, position, QUERY_DEADLINE_SECONDS / 2):
            raise Unavailable(f"the log of {shard.name} has not come to position {position} yet")


@dataclass(frozen=True, slots=True)
class Sight:
    """What an agency may see of a case's events. ``whole``: positions of which everything may be shown."""

    agency_id: str
    exists: bool
    standing: Standing | None
    denial: DenialReason
    whole: frozenset[int] = frozenset()

    def shows(self, stored: Stored) -> bool:
        """Tell whether the body of an event of the case may be given out."""
        if category_of(stored.stream) == "access":
            return self.standing is Standing.PARTNER
        return stored.position in self.whole
