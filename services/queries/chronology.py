"""``ChronologyService``: the story of a case, as far as the reader may see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby, islice
from typing import Final, TypeVar

from domain.access.events import Resource
from domain.calendar import bundled
from domain.incident.decider import DECIDER as INCIDENT
from domain.kernel.decider import Decider
from domain.kernel.events import london_day
from domain.kernel.ids import category_of
from domain.local_review.decider import DECIDER as LOCAL_REVIEW
from domain.local_review.events import PublicationScheduled
from domain.local_review.findings import open_prerequisites
from domain.local_review.state import ENDS_PLAN, facts_of, planned_on
from projections.chronology.access import Standing
from projections.chronology.projection import CHRONOLOGY
from projections.chronology.queries import behind, case_lines, case_position, cases_of_child, names_child, significant
from projections.chronology.redaction import Viewer, redact
from projections.chronology.shape import gaps
from projections.chronology.story import Line, Order, Place
from projections.kernel.database import Reading
from safeguarding.hub.v1 import chronology_pb2 as pb
from safeguarding.hub.v1.chronology_pb2_grpc import ChronologyServiceServicer
from services.eventstore.opening import Opener
from services.eventstore.port import EventStore
from services.queries.asking import Asker, Context, Desk, freshness, instant
from services.queries.case_access import CaseAsked, enter, judge, parked_streams, streams_of
from services.queries.lines import Writer, gap, open_findings, prerequisite
from services.queries.paging import cut, limit_of, not_given_out, read_token, write_token
from services.queries.proof import Proofs
from services.queries.watching import Ticker, hand_over
from services.runtime.fieldrules import check_fields
from services.runtime.limits import ANSWER_MAX_BYTES, PAGE_MAX_ROWS

S = TypeVar("S")

_TOKEN_FORM: Final = (str, int, int, int, int)
_JUDGED_BY: Final = frozenset({LOCAL_REVIEW.category, INCIDENT.category})
"""The categories of the streams that say whether a review may be published."""
_SCHEDULED: Final = PublicationScheduled.EVENT_TYPE
_SAYS_OF_PLANS: Final = frozenset({_SCHEDULED, *(kind.EVENT_TYPE for kind in ENDS_PLAN)})


class Chronology(ChronologyServiceServicer):
    """Answers pages of a chronology and watches."""

    def __init__(self, *, desk: Desk, store: EventStore, opener: Opener, proofs: Proofs, ticker: Ticker) -> None:
        """Read ``store`` as ``opener`` opens it; ``proofs`` tells the state of signatures, ``ticker`` when to look again."""
        self._desk = desk
        self._plans = _Plans(store, opener)
        self._proofs = proofs
        self._ticker = ticker

    async def GetChronology(self, request: pb.GetChronologyRequest, context: Context) -> pb.GetChronologyResponse:  # noqa: N802  # the RPC's name
        """Return a page; the reading is on the log before it is returned."""
        check_fields(request)
        asker = self._desk.asker(context)
        case = CaseAsked(request.shard, request.case_id, Resource.CHRONOLOGY)
        order = Order.AS_KNOWN if request.order == pb.CHRONOLOGY_ORDER_AS_KNOWN else Order.AS_HAPPENED
        known_at = instant(request.known_at, "known_at") if request.HasField("known_at") else None
        after = _read_place(request.page_token, order)
        await self._desk.wait_for([(request.shard, request.min_position)], CHRONOLOGY.name)

        def look(reading: Reading, standing: Standing) -> pb.GetChronologyResponse:
            story = _story(reading, case, asker, standing, order, known_at)
            lines = story if request.all_entries else significant(story)
            writer = Writer(story, self._proofs)
            rest = behind(lines, order, after)
            shown, more = cut(writer.lines(rest), limit_of(request.page_size))
            return pb.GetChronologyResponse(
                lines=shown,
                next_page_token=write_token(order.value, *rest[len(shown) - 1].place_in(order)) if more else "",
                freshness=case.freshness(reading),
                gaps=[gap(one) for one in gaps(story)],
                open_findings=open_findings(story),
                open_prerequisites=self._plans.before(reading, case, standing, story, known_at),
            )

        answer = await enter(self._desk, asker, case, look)
        await self._desk.viewed(asker, case.resource, [(case.shard, case.case_id, len(answer.lines))])
        return answer

    async def ListCasesOfChild(  # noqa: N802  # the RPC's name
        self, request: pb.ListCasesOfChildRequest, context: Context
    ) -> pb.ListCasesOfChildResponse:
        """Return the cases that are seen to name the child; that they were looked up is on the log before they are returned."""
        check_fields(request)
        asker = self._desk.asker(context)
        self._desk.demand_followed([request.shard])
        await self._desk.wait_for([(request.shard, request.min_position)], CHRONOLOGY.name)
        today = london_day(self._desk.clock())

        def look(reading: Reading) -> pb.ListCasesOfChildResponse:
            named = cases_of_child(reading.connection, reading.tables, request.shard, request.child_id)
            cases = (CaseAsked(request.shard, case_id, Resource.CHRONOLOGY) for case_id in named)
            seen = (case.case_id for case in cases if _names_child(reading, case, asker, today, request.child_id))
            shown = list(islice(seen, PAGE_MAX_ROWS))
            streams = [stream for case_id in shown for stream in streams_of(case_id)]
            return pb.ListCasesOfChildResponse(case_ids=shown, freshness=freshness(reading, request.shard, streams))

        answer = await self._desk.look(CHRONOLOGY.name, look)
        if answer.case_ids:
            await self._desk.viewed(asker, Resource.CHRONOLOGY, [(request.shard, case_id, 1) for case_id in answer.case_ids])
        else:
            await self._desk.listed(asker, Resource.CHRONOLOGY, 0)
        return answer

    async def WatchChronology(  # type: ignore[override]  # noqa: N802  # it writes: an answer that is left lying is noticed
        self, request: pb.WatchChronologyRequest, context: Context
    ) -> None:
        """Write what is there and then what comes, until the caller ends it; access is judged anew each time."""
        check_fields(request)
        asker = self._desk.asker(context)
        case = CaseAsked(request.shard, request.case_id, Resource.CHRONOLOGY)
        watched = _Watched(case, asker, self._proofs, all_entries=request.all_entries, position=request.after_position)
        with self._ticker.watching(asker.agency_id, CHRONOLOGY.name, shard=request.shard) as bell:
            while True:
                answers = await enter(self._desk, asker, case, watched.look)
                bell.saw(watched.position)
                for answer in answers:
                    if answer.lines:
                        await self._desk.viewed(asker, case.resource, [(case.shard, case.case_id, len(answer.lines))])
                    await hand_over(context, bell, answer, answer.position)
                await bell.next_look()


class _Plans:
    """Tells what stands before a planned publication: folded from the case's own streams, by the state that a publication is judged on."""

    def __init__(self, store: EventStore, opener: Opener) -> None:
        """Read from ``store``; ``opener`` opens what is sealed there."""
        self._store = store
        self._opener = opener

    def before(
        self, reading: Reading, case: CaseAsked, standing: Standing, story: Sequence[Line], known_at: datetime | None
    ) -> list[pb.OpenPrerequisite]:
        """Return what stood before a planned publication at a moment, as far as the view has come; nothing is folded where none is planned.

        An agency that is only linked sees findings of its own events alone, and these are of the partners' review. Of a stream that the
        view could not read to its end nobody can tell what it says by now.
        """
        if standing is Standing.LINKED or not _is_planned(story):
            return []
        if any(category_of(one) in _JUDGED_BY for one in parked_streams(reading, case.shard, case.case_id)):
            return []
        review = self._fold(LOCAL_REVIEW, reading, case, known_at)
        found = open_prerequisites(review, self._fold(INCIDENT, reading, case, known_at))
        return [prerequisite(one, planned_on(facts_of(review))) for one in found]

    def _fold(self, area: Decider[S], reading: Reading, case: CaseAsked, known_at: datetime | None) -> S:
        """Return the state of a case's stream by what was known at a moment; by everything for None."""
        reached = reading.position(case.shard)
        stored = self._store.shard(case.shard).read_stream(f"{area.category}-{case.case_id}")
        history = (self._opener.open(case.shard, one) for one in stored if one.position <= reached)
        return area.fold(recorded for recorded in history if known_at is None or recorded.known_at <= known_at)


def _is_planned(story: Sequence[Line]) -> bool:
    """Tell whether publication is planned: of all that was first said of plans the newest is that it is scheduled."""
    said = [line for line in story if line.event_type in _SAYS_OF_PLANS and line.replaces_position is None]
    return bool(said) and max(said, key=lambda line: line.version).event_type == _SCHEDULED


def _story(
    reading: Reading, case: CaseAsked, asker: Asker, standing: Standing, order: Order, known_at: datetime | None
) -> tuple[Line, ...]:
    """Return a case's lines as the asker may see them."""
    lines = case_lines(reading.connection, reading.tables, case.shard, case.case_id, order=order, known_at=known_at, calendar=bundled())
    viewer = Viewer(agency_id=asker.agency_id, kind=asker.kind, standing=standing)
    return redact(lines, viewer, parked_streams(reading, case.shard, case.case_id))


def _names_child(reading: Reading, case: CaseAsked, asker: Asker, today: date, child_id: str) -> bool:
    """Tell whether the asker may read a case, and sees there that it is about a child."""
    _, standing = judge(reading, case.shard, case.case_id, asker.agency_id, today)
    return isinstance(standing, Standing) and names_child(_story(reading, case, asker, standing, Order.AS_KNOWN, None), child_id)


def _read_place(token: str, order: Order) -> Place | None:
    """Return the place that a page token names; raise ``Invalid`` for one that was not given out for this order."""
    if not token:
        return None
    named, *place = read_token(token, *_TOKEN_FORM)
    if named != order.value:
        raise not_given_out()
    return Place(*map(int, place))


@dataclass(slots=True)
class _Watched:
    """One watch: what of the case was sent, and how it stood when it was last looked at."""

    case: CaseAsked
    asker: Asker
    proofs: Proofs
    all_entries: bool
    position: int
    _stood: tuple[int, Standing, frozenset[str]] | None = None
    _sent: frozenset[tuple[int, int]] = field(default_factory=frozenset)

    def look(self, reading: Reading, standing: Standing) -> list[pb.WatchChronologyResponse]:
        """Return what is new since the last look, in answers of bounded size; the first look always gives one."""
        reached = reading.position(self.case.shard)
        last = case_position(reading.connection, reading.tables, self.case.shard, self.case.case_id)
        stands = (last, standing, parked_streams(reading, self.case.shard, self.case.case_id))
        if stands == self._stood:
            self.position = max(self.position, reached)
            return []
        story = _story(reading, self.case, self.asker, standing, Order.AS_KNOWN, None)
        lines = story if self.all_entries else significant(story)
        places = frozenset((line.position, line.ordinal) for line in lines)
        # What was hidden when it was recorded and is not any more is new to this watcher.
        is_first, shown_late = self._stood is None, places - self._sent
        news = [
            line
            for line in lines
            if line.touched_position > self.position or (not is_first and (line.position, line.ordinal) in shown_late)
        ]
        writer = Writer(story, self.proofs)
        answers = _answers(sorted(news, key=lambda line: (line.touched_position, line.position, line.ordinal)), writer, self.position)
        self._stood, self._sent, self.position = stands, places, max(self.position, reached)
        if is_first and not answers:
            answers = [pb.WatchChronologyResponse()]
        if answers:
            answers[-1].position = self.position
        return answers


def _answers(news: Sequence[Line], writer: Writer, position: int) -> list[pb.WatchChronologyResponse]:
    """Cut news into answers that fit a message; what one event touched stays together, so that a watch may be resumed behind each."""
    answers: list[pb.WatchChronologyResponse] = []
    size_bytes = 0
    for touched, group in groupby(news, key=lambda line: line.touched_position):
        lines = list(writer.lines(list(group)))
        more = sum(line.ByteSize() for line in lines)
        if not answers or size_bytes + more > ANSWER_MAX_BYTES:
            answers.append(pb.WatchChronologyResponse())
            size_bytes = 0
        answers[-1].lines.extend(lines)
        answers[-1].position = position = max(position, touched)
        size_bytes += more
    return answers
