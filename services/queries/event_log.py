"""``EventLogService``: the log itself, as far as the caller may read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from itertools import islice
from typing import Final

from domain.access.events import DenialReason, Resource
from domain.areas import AREAS
from domain.kernel.events import london_day
from domain.kernel.ids import category_of, identity_of
from projections.chronology.access import Standing
from projections.chronology.projection import CHRONOLOGY
from projections.chronology.queries import case_position
from projections.chronology.visible import NO_CASE
from projections.kernel.database import Reading
from safeguarding.hub.v1 import event_log_pb2 as pb
from safeguarding.hub.v1.event_log_pb2_grpc import EventLogServiceServicer
from services.eventstore.opening import DataKeys
from services.eventstore.port import EventStore, ShardStore, Stored
from services.queries.asking import Asker, Context, Desk, freshness, no_such_case
from services.queries.case_access import CaseAsked, enter, judge, parked_streams
from services.queries.paging import cut, limit_of
from services.queries.sight import Entries, Sight, sight_of
from services.queries.watching import Ticker, hand_over
from services.runtime.fieldrules import check_fields
from services.runtime.limits import ANSWER_MAX_BYTES

_CASE_CATEGORIES: Final = frozenset(area.category for area in AREAS) - NO_CASE
_BATCH_EVENTS: Final = 200
_SIGHTS_MAX_KEPT: Final = 500
_TELL_POSITIONS: Final = 1_000
"""After so many positions without anything to read, a subscriber hears how far it has come."""


class EventLog(EventLogServiceServicer):
    """Answers pages of streams, and subscriptions to shards."""

    def __init__(self, *, desk: Desk, store: EventStore, keys: DataKeys, ticker: Ticker) -> None:
        """``keys`` open bodies for those who may read them, ``ticker`` says when there is more."""
        self._desk = desk
        self._store = store
        self._keys = keys
        self._ticker = ticker

    async def ReadStream(self, request: pb.ReadStreamRequest, context: Context) -> pb.ReadStreamResponse:  # noqa: N802  # the RPC's name
        """Return a page of a stream."""
        check_fields(request)
        asker = self._desk.asker(context)
        case = CaseAsked(request.shard, identity_of(request.stream), Resource.EVENTS)
        await self._desk.wait_for([(request.shard, request.min_position)], CHRONOLOGY.name)
        if category_of(request.stream) in NO_CASE and request.shard in self._store.shards():
            return await self._desk.look(CHRONOLOGY.name, lambda reading: self._page(request, reading, None, case))

        def look(reading: Reading, standing: Standing) -> pb.ReadStreamResponse | None:
            if not _may_know_of(category_of(request.stream), standing):
                return None
            return self._page(request, reading, sight_of(reading, case.shard, case.case_id, asker.agency_id, standing), case)

        answer = await enter(self._desk, asker, case, look)
        if answer is None:
            await self._desk.denied(asker, case.resource, DenialReason.NOT_LINKED, (case.shard, case.case_id))
            raise no_such_case()
        await self._desk.viewed(asker, case.resource, [(case.shard, case.case_id, len(answer.entries))])
        return answer

    async def Subscribe(  # type: ignore[override]  # noqa: N802  # it writes: an answer that is left lying is noticed
        self, request: pb.SubscribeRequest, context: Context
    ) -> None:
        """Write the shard's readable events from a position on, then what comes; access is judged anew for every batch.

        Access events are passed over: each batch makes some, and a subscription to them would never end.
        """
        check_fields(request)
        asker = self._desk.asker(context)
        self._desk.demand_followed([request.shard])
        if request.shard not in self._store.shards():
            await self._desk.denied(asker, Resource.EVENTS, DenialReason.NOT_LINKED)
            raise no_such_case()
        shard = self._store.shard(request.shard)
        following = _Following(shard, Entries(shard, self._keys), asker, request.after_position)
        with self._ticker.watching(asker.agency_id, CHRONOLOGY.name, shard=shard.name, unchanged=True) as bell:
            while True:
                self._desk.admit(asker.agency_id)
                batch = await self._desk.look(CHRONOLOGY.name, following.next_batch(london_day(self._desk.clock())))
                bell.saw(batch.reached)
                await self._desk.viewed(asker, Resource.EVENTS, [(shard.name, case_id, rows) for case_id, rows in batch.rows.items()])
                if batch.answer.entries or following.is_to_be_told():
                    following.told = batch.answer.position
                    await hand_over(context, bell, batch.answer, batch.answer.position)
                if following.position >= batch.reached:
                    await bell.next_look()

    def _page(self, request: pb.ReadStreamRequest, reading: Reading, sight: Sight | None, case: CaseAsked) -> pb.ReadStreamResponse:
        """Return a page of what may be seen, no further than the view that judges it has come."""
        shard = self._store.shard(request.shard)
        reached = reading.position(request.shard)
        writing = Entries(shard, self._keys)
        seen = (writing.entry(one, sight) for one in _stream(shard, request.stream, request.after_version) if one.position <= reached)
        entries, more = cut((entry for entry in seen if entry is not None), limit_of(request.page_size))
        return pb.ReadStreamResponse(entries=entries, more=more, freshness=case.freshness(reading))


def _may_know_of(category: str, standing: Standing) -> bool:
    """Tell whether whoever reads a case in some capacity may know of its streams of a category; who read what is the partnership's."""
    return category in _CASE_CATEGORIES and (category != "access" or standing is Standing.PARTNER)


def _stream(shard: ShardStore, stream: str, after_version: int) -> Iterator[Stored]:
    """Yield a stream's events behind a version, read as they are wanted."""
    while found := shard.read_stream(stream, after_version, _BATCH_EVENTS):
        yield from found
        after_version = found[-1].version


@dataclass(frozen=True, slots=True)
class _Batch:
    """What follows in a shard: the answer, the readable cases in it with their rows, and how far the view that judges has come."""

    answer: pb.SubscribeResponse
    rows: Mapping[str, int]
    reached: int


@dataclass(slots=True)
class _Following:
    """One subscription: how far it has come, and how the cases stood that it has judged."""

    shard: ShardStore
    writing: Entries
    asker: Asker
    position: int
    told: int = field(init=False)
    _sights: dict[str, tuple[tuple[int, Standing, frozenset[str]], Sight]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin where the subscriber says it is."""
        self.told = self.position

    def is_to_be_told(self) -> bool:
        """Tell whether the subscriber should hear how far it has come though there is nothing for it."""
        return self.position - self.told >= _TELL_POSITIONS

    def next_batch(self, today: date) -> Callable[[Reading], _Batch]:
        """Return the look that finds what follows, as many events as one answer takes."""
        return partial(self._next_batch, today)

    def _next_batch(self, today: date, reading: Reading) -> _Batch:
        reached = reading.position(self.shard.name)
        rows: Counter[str] = Counter()
        answer = pb.SubscribeResponse()
        judged: dict[str, Sight | None] = {}
        size_bytes = 0
        for stored in self.shard.read(self.position, _BATCH_EVENTS):
            if stored.position > reached:
                break
            entry = self._entry(reading, today, judged, stored)
            if entry is not None:
                size_bytes += entry.ByteSize()
                if answer.entries and size_bytes > ANSWER_MAX_BYTES:
                    break
                answer.entries.append(entry)
                if category_of(stored.stream) not in NO_CASE:
                    rows[identity_of(stored.stream)] += 1
            self.position = stored.position
        answer.position = self.position
        answer.parked_streams.extend(self._parked(reading, today, judged))
        return _Batch(answer, rows, reached)

    def _entry(self, reading: Reading, today: date, judged: dict[str, Sight | None], stored: Stored) -> pb.LogEntry | None:
        """Return an event as an entry, None if it is passed over."""
        if category_of(stored.stream) in NO_CASE:
            return self.writing.entry(stored, None)
        sight = None if category_of(stored.stream) == "access" else self._sight(reading, today, judged, identity_of(stored.stream))
        return None if sight is None else self.writing.entry(stored, sight)

    def _sight(self, reading: Reading, today: date, judged: dict[str, Sight | None], case_id: str) -> Sight | None:
        """Judge a case, once a batch; what may be seen of it is found anew only if something was said of it since."""
        if case_id in judged:
            return judged[case_id]
        _, standing = judge(reading, self.shard.name, case_id, self.asker.agency_id, today)
        judged[case_id] = None
        if isinstance(standing, Standing):
            reached = case_position(reading.connection, reading.tables, self.shard.name, case_id)
            stands = (reached, standing, parked_streams(reading, self.shard.name, case_id))
            known = self._sights.pop(case_id, None)
            if known is None or known[0] != stands:
                known = (stands, sight_of(reading, self.shard.name, case_id, self.asker.agency_id, standing))
            self._sights[case_id] = known
            for oldest in list(islice(self._sights, max(0, len(self._sights) - _SIGHTS_MAX_KEPT))):
                del self._sights[oldest]
            judged[case_id] = known[1]
        return judged[case_id]

    def _parked(self, reading: Reading, today: date, judged: dict[str, Sight | None]) -> list[str]:
        """Return the parked streams that the subscriber may know of."""
        parked = freshness(reading, self.shard.name).parked_streams
        return [one for one in parked if category_of(one) in NO_CASE or self._sight(reading, today, judged, identity_of(one)) is not None]
