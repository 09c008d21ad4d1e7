"""``DeadlineService``: what is owed, by when, and why."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.access.events import DenialReason, Resource
from domain.kernel.agencies import AgencyKind
from domain.kernel.events import london_day
from domain.kernel.ids import NATIONAL
from domain.rules import Band, Explanation, Rulebook
from projections.chronology.projection import CHRONOLOGY
from projections.chronology.queries import access_facts
from projections.deadlines.ordering import PageKey
from projections.deadlines.projection import DEADLINES
from projections.deadlines.queries import PAGE_LIMIT, Deadline, DeadlineReader
from projections.deadlines.wanted import DeadlineFilter
from projections.kernel.database import Reading
from safeguarding.hub.v1 import deadlines_pb2 as pb
from safeguarding.hub.v1.deadlines_pb2_grpc import DeadlineServiceServicer
from services.queries.asking import Asker, Context, Desk, checked, freshness, instant, limit_of, stamp
from services.queries.case_access import Readable, may_read
from services.queries.watching import Ticker
from services.runtime.errors import Invalid, NotFound, Violation

WATCH_MAX_DEADLINES: Final = 500


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of deadlines that the asker may see."""

    deadlines: list[Deadline]
    next_after: PageKey | None


class Deadlines(DeadlineServiceServicer):
    """Answers lists and explanations of deadlines, and watches."""

    def __init__(self, *, desk: Desk, rulebook: Rulebook, ticker: Ticker) -> None:
        """``rulebook``: the rules and calendar that the view was made with."""
        self._desk = desk
        self._rulebook = rulebook
        self._ticker = ticker
        self._names = {rule.identity: rule.name for rule in rulebook.rules.clocks}

    async def ListDeadlines(self, request: pb.ListDeadlinesRequest, context: Context) -> pb.ListDeadlinesResponse:  # noqa: N802  # the RPC's name
        """Return a page, the most urgent first."""
        checked(request)
        asker = self._desk.asker(context)
        for wanted in request.min_positions:
            await self._desk.wait_for(DEADLINES.name, wanted.shard, wanted.position)
        as_of = instant(request.as_of) if request.HasField("as_of") else self._desk.clock()
        after = _page_key(request.page_token)
        wanted_rows = limit_of(request.page_size)
        listed = await self._list(asker, request.filter, as_of, after, wanted_rows)
        shards = sorted({one.instance.shard for one in listed.deadlines} | {one.shard for one in request.min_positions})
        fresh = await self._desk.look(DEADLINES.name, lambda reading: [freshness(reading, shard) for shard in shards])
        await self._desk.listed(asker, Resource.DEADLINES, len(listed.deadlines))
        return pb.ListDeadlinesResponse(
            deadlines=[_deadline(one, self._names) for one in listed.deadlines],
            next_page_token="" if listed.next_after is None else "\x1f".join(map(str, listed.next_after)),
            as_of=stamp(as_of),
            freshness=fresh,
        )

    async def ExplainDeadline(self, request: pb.ExplainDeadlineRequest, context: Context) -> pb.ExplainDeadlineResponse:  # noqa: N802  # the RPC's name
        """Explain one deadline of a case."""
        checked(request)
        asker = self._desk.asker(context)
        as_of = instant(request.as_of) if request.HasField("as_of") else self._desk.clock()
        if request.min_position:
            await self._desk.wait_for(DEADLINES.name, request.shard, request.min_position)
        await self._enter(asker, request.shard, request.case_id)
        found, explanation = await self._explain(request, as_of)
        await self._desk.viewed(asker, request.shard, request.case_id, Resource.DEADLINES, 1)
        return pb.ExplainDeadlineResponse(
            deadline=_deadline(found, self._names),
            lines=list(explanation.lines),
            source=explanation.rule.source,
            force=explanation.rule.force,
            skipped_days=[f"{skipped.day.isoformat()}: {skipped.reason}" for skipped in explanation.skipped],
            rules_version=self._rulebook.rules.version,
            calendar_version=self._rulebook.calendar.version,
        )

    async def WatchDeadlines(  # noqa: N802  # the RPC's name
        self, request: pb.WatchDeadlinesRequest, context: Context
    ) -> AsyncIterator[pb.WatchDeadlinesResponse]:
        """Yield the list, and again whenever it has changed."""
        checked(request)
        asker = self._desk.asker(context)
        before: list[pb.Deadline] | None = None
        shard = request.filter.shards[0] if request.filter.shards else NATIONAL
        async for _ in self._ticker.ticks(DEADLINES.name, shard):
            listed = await self._list(asker, request.filter, self._desk.clock(), None, WATCH_MAX_DEADLINES)
            deadlines = [_deadline(one, self._names) for one in listed.deadlines]
            if deadlines != before:
                before = deadlines
                await self._desk.listed(asker, Resource.DEADLINES, len(deadlines))
                yield pb.WatchDeadlinesResponse(deadlines=deadlines)

    async def _enter(self, asker: Asker, shard: str, case_id: str) -> None:
        """Raise ``NotFound`` (and record why) unless the asker may read the case."""
        today = london_day(self._desk.clock())
        facts = await self._desk.look(CHRONOLOGY.name, lambda reading: access_facts(reading.connection, reading.tables, shard, case_id))
        standing = may_read(facts, asker, today)
        if isinstance(standing, DenialReason):
            raise await self._desk.denied(asker, shard, case_id, Resource.DEADLINES, standing, exists=facts.exists)

    async def _explain(self, request: pb.ExplainDeadlineRequest, as_of: datetime) -> tuple[Deadline, Explanation]:
        """Return the one instance that is meant, with its explanation."""

        def look(reading: Reading) -> list[tuple[Deadline, Explanation | None]]:
            reader = DeadlineReader(reading.connection, reading.tables, self._rulebook, as_of)
            wanted = DeadlineFilter(
                shards=frozenset({request.shard}), cases=frozenset({request.case_id}), clocks=frozenset({request.clock})
            )
            found = reader.list_deadlines(wanted).deadlines
            return [(one, reader.explain_deadline(request.shard, request.case_id, one.instance.instance_id)) for one in found]

        explained = [(one, words) for one, words in await self._desk.look(DEADLINES.name, look) if words is not None]
        if request.instance:
            explained = [pair for pair in explained if pair[0].instance.instance_id == request.instance]
        if not explained:
            raise NotFound("no such deadline in this case at this moment")
        if len(explained) > 1:
            several = ", ".join(pair[0].instance.instance_id for pair in explained)
            raise Invalid(Violation("instance", f"one of {several}"))
        return explained[0]

    async def _list(self, asker: Asker, wanted: pb.DeadlineFilter, as_of: datetime, after: PageKey | None, rows: int) -> Listed:
        """Collect readable deadlines, page by page of the view, until there are ``rows`` of them."""
        filtered = _filter(wanted, asker, self._desk.shards_of(asker))

        def look(reading: Reading) -> Listed:
            reader = DeadlineReader(reading.connection, reading.tables, self._rulebook, as_of)
            with self._desk.views.reading(CHRONOLOGY.name) as cases:
                readable = Readable(cases, asker, london_day(self._desk.clock()))
                chosen: list[Deadline] = []
                for deadline in _all(reader, filtered, after):
                    if len(chosen) == rows:
                        return Listed(chosen, chosen[-1].key)
                    if asker.kind is AgencyKind.PANEL or readable.standing(deadline.instance.shard, deadline.instance.case_id):
                        chosen.append(deadline)
            return Listed(chosen, None)

        return await self._desk.look(DEADLINES.name, look)


def _all(reader: DeadlineReader, wanted: DeadlineFilter, after: PageKey | None) -> Iterator[Deadline]:
    while True:
        page = reader.list_deadlines(wanted, after=after, limit=PAGE_LIMIT)
        yield from page.deadlines
        if page.next_after is None:
            return
        after = page.next_after


_BANDS: Final = {
    pb.DEADLINE_BAND_OVERDUE: ("overdue",),
    pb.DEADLINE_BAND_DUE_TODAY: ("due_today",),
    pb.DEADLINE_BAND_DUE_SOON: ("due_soon",),
    pb.DEADLINE_BAND_LATER: ("later", "not_known"),
    pb.DEADLINE_BAND_MET: ("met", "cancelled"),
}
"""The contract's bands and the view's."""


def _filter(wanted: pb.DeadlineFilter, asker: Asker, shards: frozenset[str] | None) -> DeadlineFilter:
    """Return the view's filter: what was asked for, within the shards that the asker works in (None: all)."""
    asked = frozenset(wanted.shards) or None
    within = asked if shards is None else shards if asked is None else asked & shards
    return DeadlineFilter(
        agency=asker.agency_id,
        shards=within,
        cases=frozenset({wanted.case_id}) if wanted.case_id else None,
        owed_by=frozenset({wanted.owed_by}) if wanted.owed_by else frozenset(),
        clocks=frozenset(wanted.clocks),
        bands=frozenset(Band(name) for band in wanted.bands for name in _BANDS.get(band, ())),
    )


def _page_key(token: str) -> PageKey | None:
    """Read a page token; raise ``Invalid`` for one that was not given out."""
    if not token:
        return None
    parts = token.split("\x1f")
    try:
        rank, foreign, due, shard, case_id, instance_id = parts
        return PageKey(int(rank), int(foreign), due, shard, case_id, instance_id)
    except ValueError:
        raise Invalid(Violation("page_token", "the next_page_token of the page before")) from None


def _deadline(deadline: Deadline, names: Mapping[str, str]) -> pb.Deadline:
    instance, status = deadline.instance, deadline.status
    is_met = status.band is Band.MET
    shown = pb.Deadline(
        shard=instance.shard,
        case_id=instance.case_id,
        clock=instance.clock,
        instance=instance.instance_id,
        name=names[instance.rule],
        owed_by=[instance.owed_by],
        owed_to=[instance.owed_to],
        day_zero="" if instance.day_zero is None else instance.day_zero.isoformat(),
        due_on="" if instance.due_on is None else instance.due_on.isoformat(),
        band=next(band for band, names in _BANDS.items() if status.band.value in names),
        status=status.words,
        recorded_late=is_met and instance.stop_recorded_late,
        imported=instance.imported,
        findings=[f"{finding.rule.id}: {finding.rule.words}" for finding in status.findings],
    )
    if is_met and instance.stopped_at is not None:
        shown.met_at.FromDatetime(instance.stopped_at)
    return shown
