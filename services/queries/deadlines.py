"""``DeadlineService``: what is owed, by when, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from domain.access.events import Resource
from domain.kernel.events import london_day
from domain.rules import Band, Explanation, Rulebook
from projections.chronology.access import Standing
from projections.chronology.projection import CHRONOLOGY
from projections.chronology.visible import Visible, visible_cases
from projections.deadlines.ordering import PageKey
from projections.deadlines.projection import DEADLINES
from projections.deadlines.queries import Deadline, DeadlineReader
from projections.deadlines.wanted import DeadlineFilter
from projections.kernel.database import Reading
from safeguarding.hub.v1 import deadlines_pb2 as pb
from safeguarding.hub.v1.deadlines_pb2_grpc import DeadlineServiceServicer
from safeguarding.hub.v1.query_pb2 import Freshness
from services.queries.asking import Asker, Context, Desk, freshness, instant, stamp
from services.queries.case_access import CaseAsked, enter
from services.queries.paging import limit_of, read_token, write_token
from services.queries.watching import Ticker
from services.runtime.errors import Invalid, NotFound, Violation
from services.runtime.fieldrules import check_fields
from services.runtime.limits import WATCH_MAX_ROWS

WATCH_QUIET_SECONDS: Final = 1.0
"""A list over many cases costs more to look at than one case, and nobody reads it faster."""
_TOKEN_FORM: Final = (str, int, int, str, str, str, str)


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of deadlines that the asker may see."""

    deadlines: tuple[Deadline, ...]
    next_after: PageKey | None
    freshness: tuple[Freshness, ...]


class Deadlines(DeadlineServiceServicer):
    """Answers lists and explanations of deadlines, and watches."""

    def __init__(self, *, desk: Desk, rulebook: Rulebook, ticker: Ticker) -> None:
        """``rulebook``: the rules and calendar that the view was made with."""
        self._desk = desk
        self._rulebook = rulebook
        self._ticker = ticker
        self._names = {rule.identity: rule.name for rule in rulebook.rules.clocks}

    async def ListDeadlines(self, request: pb.ListDeadlinesRequest, context: Context) -> pb.ListDeadlinesResponse:  # noqa: N802  # the RPC's name
        """Return a page, the most urgent first; later pages keep the moment of the first."""
        check_fields(request)
        asker = self._desk.asker(context)
        as_of, after = self._moment(request)
        least = [(one.shard, one.position) for one in request.min_positions]
        await self._desk.wait_for(least, DEADLINES.name, CHRONOLOGY.name)
        asked = {shard for shard, _ in least}
        listed = await self._list(asker, request.filter, as_of, after, limit_of(request.page_size), asked)
        await self._record(asker, request.filter, listed)
        behind = listed.next_after
        return pb.ListDeadlinesResponse(
            deadlines=[_deadline(one, self._names) for one in listed.deadlines],
            next_page_token="" if behind is None else write_token(as_of.isoformat(), *behind),
            as_of=stamp(as_of),
            freshness=listed.freshness,
        )

    async def ExplainDeadline(self, request: pb.ExplainDeadlineRequest, context: Context) -> pb.ExplainDeadlineResponse:  # noqa: N802  # the RPC's name
        """Explain one deadline of a case."""
        check_fields(request)
        asker = self._desk.asker(context)
        as_of = instant(request.as_of, "as_of") if request.HasField("as_of") else self._desk.clock()
        await self._desk.wait_for([(request.shard, request.min_position)], DEADLINES.name, CHRONOLOGY.name)
        case = CaseAsked(request.shard, request.case_id, Resource.DEADLINES)

        def look(reading: Reading, _standing: Standing) -> list[tuple[Deadline, Explanation]]:
            return self._explained(self._desk.beside(reading, DEADLINES.name), request, as_of)

        explained = await enter(self._desk, asker, case, look)
        await self._desk.viewed(asker, case.resource, [(case.shard, case.case_id, len(explained))])
        found, explanation = _the_one(explained)
        return pb.ExplainDeadlineResponse(
            deadline=_deadline(found, self._names),
            lines=list(explanation.lines),
            source=explanation.rule.source,
            force=explanation.rule.force,
            skipped_days=[f"{skipped.day.isoformat()}: {skipped.reason}" for skipped in explanation.skipped],
            rules_version=self._rulebook.rules.version,
            calendar_version=self._rulebook.calendar.version,
        )

    async def WatchDeadlines(  # type: ignore[override]  # noqa: N802  # it writes: as the other watches do
        self, request: pb.WatchDeadlinesRequest, context: Context
    ) -> None:
        """Write the list, and again whenever it has changed: by an event of any case it holds, by the hour, or by who may see what."""
        check_fields(request)
        asker = self._desk.asker(context)
        before: pb.WatchDeadlinesResponse | None = None
        with self._ticker.watching(asker.agency_id, DEADLINES.name, CHRONOLOGY.name) as bell:
            while True:
                listed = await self._list(asker, request.filter, self._desk.clock(), None, WATCH_MAX_ROWS, ())
                now = pb.WatchDeadlinesResponse(
                    deadlines=[_deadline(one, self._names) for one in listed.deadlines], more=listed.next_after is not None
                )
                if now != before:
                    before = now
                    await self._record(asker, request.filter, listed)
                    await context.write(now)
                await bell.next_look(WATCH_QUIET_SECONDS)

    def _moment(self, request: pb.ListDeadlinesRequest) -> tuple[datetime, PageKey | None]:
        """Return the moment that a list is as of, and where its page begins."""
        if not request.page_token:
            return (instant(request.as_of, "as_of") if request.HasField("as_of") else self._desk.clock()), None
        as_of, rank, foreign, due, shard, case_id, instance_id = read_token(request.page_token, *_TOKEN_FORM)
        after = PageKey(int(rank), int(foreign), str(due), str(shard), str(case_id), str(instance_id))
        try:
            moment = datetime.fromisoformat(str(as_of))
            return instant(stamp(moment), "page_token"), after
        except (ValueError, OverflowError):
            raise Invalid(Violation("page_token", "the next_page_token of the page before")) from None

    def _explained(self, reading: Reading, request: pb.ExplainDeadlineRequest, as_of: datetime) -> list[tuple[Deadline, Explanation]]:
        """Return the instances that may be meant, each with its explanation."""
        reader = DeadlineReader(reading.connection, reading.tables, self._rulebook, as_of)
        wanted = DeadlineFilter(shards=frozenset({request.shard}), cases=frozenset({request.case_id}), clocks=frozenset({request.clock}))
        explained = []
        for deadline in reader.list_deadlines(wanted).deadlines:
            instance_id = deadline.instance.instance_id
            explanation = reader.explain_deadline(request.shard, request.case_id, instance_id)
            if explanation is not None and request.instance in ("", instance_id):
                explained.append((deadline, explanation))
        return explained

    async def _list(
        self, asker: Asker, wanted: pb.DeadlineFilter, as_of: datetime, after: PageKey | None, rows: int, asked: Iterable[str]
    ) -> Listed:
        """Return a page of what the asker may see and wants to see, judged and read in one look; raise ``NotPermitted`` if suspended."""
        self._desk.admit(asker.agency_id)
        self._desk.demand_followed(wanted.shards)
        today = london_day(self._desk.clock())

        def look(reading: Reading) -> Listed:
            cases = self._desk.beside(reading, CHRONOLOGY.name)
            visible = visible_cases(cases.connection, cases.tables, asker.agency_id, today)
            reader = DeadlineReader(reading.connection, reading.tables, self._rulebook, as_of)
            page = reader.list_deadlines(_filter(wanted, asker, visible), after=after, limit=rows)
            shards = {one.instance.shard for one in page.deadlines} | set(asked)
            return Listed(page.deadlines, page.next_after, _freshness(reading, shards, visible))

        return await self._desk.look(DEADLINES.name, look)

    async def _record(self, asker: Asker, wanted: pb.DeadlineFilter, listed: Listed) -> None:
        """Record a list; one that was asked of a single case is a read of that case."""
        cases = {(one.instance.shard, one.instance.case_id) for one in listed.deadlines} if wanted.case_id else set()
        if cases:
            await self._desk.viewed(asker, Resource.DEADLINES, [(*case, len(listed.deadlines)) for case in sorted(cases)])
        else:
            await self._desk.listed(asker, Resource.DEADLINES, len(listed.deadlines))


def _the_one(explained: list[tuple[Deadline, Explanation]]) -> tuple[Deadline, Explanation]:
    """Return the one instance that is meant; raise ``NotFound`` for none, ``Invalid`` naming them for several."""
    if not explained:
        raise NotFound("no such deadline in this case at this moment")
    if len(explained) > 1:
        several = ", ".join(pair[0].instance.instance_id for pair in explained)
        raise Invalid(Violation("instance", f"one of {several}"))
    return explained[0]


_BANDS: Final = {
    pb.DEADLINE_BAND_OVERDUE: (Band.OVERDUE,),
    pb.DEADLINE_BAND_DUE_TODAY: (Band.DUE_TODAY,),
    pb.DEADLINE_BAND_DUE_SOON: (Band.DUE_SOON,),
    pb.DEADLINE_BAND_LATER: (Band.LATER, Band.NOT_KNOWN),
    pb.DEADLINE_BAND_MET: (Band.MET, Band.CANCELLED),
}
"""The contract's bands and the view's."""
_WIRE_BANDS: Final = {band: wire for wire, bands in _BANDS.items() for band in bands}


def _filter(wanted: pb.DeadlineFilter, asker: Asker, visible: Visible) -> DeadlineFilter:
    """Return the view's filter: what was asked for, within what the asker may see."""
    asked = frozenset(wanted.shards) or None
    within = asked if visible.shards is None else visible.shards if asked is None else asked & visible.shards
    return DeadlineFilter(
        agency=asker.agency_id,
        shards=within,
        hidden_cases=visible.hidden,
        linked_cases=frozenset(case for case in visible.linked if asked is None or case[0] in asked),
        cases=frozenset({wanted.case_id}) if wanted.case_id else None,
        owed_by=frozenset({wanted.owed_by}) if wanted.owed_by else frozenset(),
        clocks=frozenset(wanted.clocks),
        bands=frozenset(band for wire in wanted.bands for band in _BANDS.get(wire, ())),
    )


def _freshness(reading: Reading, shards: set[str], visible: Visible) -> tuple[Freshness, ...]:
    """Say how current a list is: of the shards in it, and of every shard with a parked stream that the asker may know of."""
    parked = [one for one in reading.parked() if visible.knows_of(one.shard, one.stream)]
    return tuple(
        freshness(reading, shard, [one.stream for one in parked if one.shard == shard])
        for shard in sorted(shards | {one.shard for one in parked})
    )


def _deadline(deadline: Deadline, names: Mapping[str, str]) -> pb.Deadline:
    instance, status = deadline.instance, deadline.status
    is_met = status.band is Band.MET
    shown = pb.Deadline(
        shard=instance.shard,
        case_id=instance.case_id,
        clock=instance.clock,
        instance=instance.instance_id,
        name=names.get(instance.rule, instance.clock),  # while a view of older rules is still live
        owed_by=[instance.owed_by],
        owed_to=[instance.owed_to],
        day_zero="" if instance.day_zero is None else instance.day_zero.isoformat(),
        due_on="" if instance.due_on is None else instance.due_on.isoformat(),
        band=_WIRE_BANDS[status.band],
        status=status.words,
        recorded_late=is_met and instance.stop_recorded_late,
        imported=instance.imported,
        findings=[f"{finding.rule.id}: {finding.rule.words}" for finding in status.findings],
    )
    if is_met and instance.stopped_at is not None:
        shown.met_at.FromDatetime(instance.stopped_at)
    return shown
