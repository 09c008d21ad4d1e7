"""``ChronologyService``: the story of a case, as far as the reader may see it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Final

from domain.access.events import DenialReason, Resource
from domain.areas import RULES
from domain.calendar import bundled
from domain.kernel.events import When, london_day
from domain.kernel.ids import CaseId, RuleId, Shard
from projections.chronology.access import AccessFacts, Standing
from projections.chronology.projection import CHRONOLOGY, Kind
from projections.chronology.queries import access_facts, case_lines, page, significant
from projections.chronology.redaction import Viewer, redact
from projections.chronology.story import Line, Order
from projections.kernel.database import Reading
from safeguarding.hub.v1 import chronology_pb2 as pb
from safeguarding.hub.v1.append_pb2 import FindingNote
from safeguarding.hub.v1.chronology_pb2_grpc import ChronologyServiceServicer
from safeguarding.hub.v1.common_pb2 import Marking as WireMarking
from safeguarding.hub.v1.common_pb2 import Precision as WirePrecision
from safeguarding.hub.v1.common_pb2 import When as WireWhen
from safeguarding.hub.v1.query_pb2 import Freshness
from services.queries.asking import Asker, Context, Desk, checked, freshness, instant, limit_of, stamp
from services.queries.case_access import may_read
from services.queries.proof import Proofs
from services.queries.watching import Ticker
from services.runtime.errors import Invalid, Violation

GAP_DAYS: Final = 92
"""About three months without any line is worth a look."""


@dataclass(frozen=True, slots=True)
class Story:
    """One case as an asker may see it."""

    facts: AccessFacts
    standing: Standing | DenialReason
    lines: tuple[Line, ...] = ()
    freshness: Freshness = field(default_factory=Freshness)


class Chronology(ChronologyServiceServicer):
    """Answers pages of a chronology and watches."""

    def __init__(self, *, desk: Desk, proofs: Proofs, ticker: Ticker) -> None:
        """``proofs`` tells the state of signatures, ``ticker`` when to look again."""
        self._desk = desk
        self._proofs = proofs
        self._ticker = ticker

    async def GetChronology(self, request: pb.GetChronologyRequest, context: Context) -> pb.GetChronologyResponse:  # noqa: N802  # the RPC's name
        """Return a page; the reading is on the log before it is returned."""
        checked(request)
        asker = self._desk.asker(context)
        order = Order.AS_KNOWN if request.order == pb.CHRONOLOGY_ORDER_AS_KNOWN else Order.AS_HAPPENED
        known_at = instant(request.known_at) if request.HasField("known_at") else None
        story = await self._story(asker, request.shard, request.case_id, order, known_at, request.min_position)
        lines = story.lines if request.all_entries else significant(story.lines)
        shown, after = page(lines, _after(request.page_token), limit_of(request.page_size))
        await self._desk.viewed(asker, request.shard, request.case_id, Resource.CHRONOLOGY, len(shown))
        return pb.GetChronologyResponse(
            lines=[self._line(line) for line in shown],
            next_page_token="" if after is None else str(after),
            freshness=story.freshness,
            gaps=_gaps(story.lines),
            open_findings=_open_findings(story.lines),
        )

    async def WatchChronology(  # noqa: N802  # the RPC's name
        self, request: pb.WatchChronologyRequest, context: Context
    ) -> AsyncIterator[pb.WatchChronologyResponse]:
        """Yield what is there and then what comes, until the caller ends it; access is judged anew each time."""
        checked(request)
        asker = self._desk.asker(context)
        position = request.after_position
        async for _ in self._ticker.ticks(CHRONOLOGY.name, request.shard):
            story = await self._story(asker, request.shard, request.case_id, Order.AS_KNOWN, None, 0)
            lines = [line for line in story.lines if line.position > position and (request.all_entries or line.significant)]
            if lines:
                await self._desk.viewed(asker, request.shard, request.case_id, Resource.CHRONOLOGY, len(lines))
            if lines or story.freshness.position > position:
                position = story.freshness.position
                yield pb.WatchChronologyResponse(lines=[self._line(line) for line in lines], position=position)

    async def _story(self, asker: Asker, shard: str, case_id: str, order: Order, known_at: datetime | None, min_position: int) -> Story:
        today = london_day(self._desk.clock())

        def look(reading: Reading) -> Story:
            facts = access_facts(reading.connection, reading.tables, shard, case_id)
            standing = may_read(facts, asker, today)
            if isinstance(standing, DenialReason):
                return Story(facts, standing)
            lines = case_lines(
                reading.connection, reading.tables, Shard(shard), CaseId(case_id), order=order, known_at=known_at, calendar=bundled()
            )
            viewer = Viewer(agency_id=asker.agency_id, kind=asker.kind, standing=standing)
            return Story(facts, standing, redact(lines, viewer), freshness(reading, shard))

        story = await self._desk.look(CHRONOLOGY.name, look, shard=shard, min_position=min_position)
        if isinstance(story.standing, DenialReason):
            raise await self._desk.denied(asker, shard, case_id, Resource.CHRONOLOGY, story.standing, exists=story.facts.exists)
        return story

    def _line(self, line: Line) -> pb.ChronologyLine:
        shown = pb.ChronologyLine(
            position=line.position,
            event_id=line.event_id,
            event_type=line.event_type,
            stream=line.stream,
            version=line.version,
            agency_id=line.agency_id,
            occurred=_when(line.when),
            recorded_at=stamp(line.recorded_at),
            known_at=stamp(line.known_at),
            headline=line.headline,
            marks=_marks(line),
            redactions=[] if line.withheld is None else [line.withheld],
            marking=WireMarking.Value(f"MARKING_{line.handling.marking.name}"),
            children=line.children,
            disputes=[f"{note.agency_id}: {note.text}" for note in line.notes],
            findings=[
                f"{one.rule}: open" if one.mended_at_position is None else f"{one.rule}: mended at {one.mended_at_position}"
                for one in line.findings
            ],
        )
        account = line.account
        if account is not None:
            shown.entry_id, shown.fact = account.entry_id, account.fact
            shown.headline = shown.headline or "Information shared"
            shown.why_significant, shown.impact_on_child = account.why_significant or "", account.impact_on_child or ""
            shown.childs_voice, shown.outcome = account.childs_voice or "", account.outcome or ""
        if line.replaced_by_position is not None:
            shown.corrected_by = self._proofs.event_id_at(line.shard, line.replaced_by_position)
        proof = self._proofs.of(line.shard, line.position)
        shown.key_id, shown.signature_state, shown.leaf = proof.key_id, proof.signature_state, proof.leaf
        return shown


def _after(token: str) -> int:
    if (token and not token.isascii()) or not (token or "0").isdigit():
        raise Invalid(Violation("page_token", "the next_page_token of the page before"))
    return int(token or "0")


def _when(when: When) -> WireWhen:
    wire = WireWhen(precision=WirePrecision.Value(f"PRECISION_{when.precision.name}"), at=None if when.at is None else stamp(when.at))
    for name, day in (("on", when.on), ("until_on", when.until_on)):
        if day is not None:
            field = getattr(wire, name)
            field.year, field.month, field.day = day.year, day.month, day.day
    return wire


def _marks(line: Line) -> list[str]:
    account = line.account
    marks = [
        ("significant", line.significant),
        ("opinion", account is not None and account.opinion),
        ("third party", account is not None and account.third_party),
        ("recorded late", line.late),
        ("imported", line.imported),
        ("corrected", line.replaced_by_position is not None),
        ("correction", line.replaces_position is not None),
        ("disputed", any(note.kind is Kind.DISPUTE and not note.superseded for note in line.notes)),
        ("redacted", line.withheld is not None),
        ("body destroyed", line.kind is Kind.DESTROYED),
    ]
    return [*([] if account is None else [account.tone.value]), *(name for name, holds in marks if holds)]


def _gaps(lines: Sequence[Line]) -> list[pb.ChronologyGap]:
    days = sorted({line.when.day for line in lines})
    return [
        pb.ChronologyGap(from_on=earlier.isoformat(), until_on=later.isoformat())
        for earlier, later in pairwise(days)
        if (later - earlier).days > GAP_DAYS
    ]


def _open_findings(lines: Sequence[Line]) -> list[FindingNote]:
    rules = {one.rule for line in lines for one in line.findings if one.mended_at_position is None}
    known = [RULES[RuleId(rule)] for rule in sorted(rules) if RuleId(rule) in RULES]
    return [FindingNote(rule=rule.id, words=rule.words, mend=rule.mend) for rule in known]
