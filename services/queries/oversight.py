"""``OversightService``: the Panel's cases and tables, and how timely duties are kept."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Final

from domain.access.events import DenialReason, Resource
from domain.calendar import OutsideCalendar
from domain.kernel.agencies import AgencyKind
from domain.kernel.events import london_day
from projections.deadlines.projection import DEADLINES
from projections.kernel.database import Reading
from projections.oversight.case_list import CaseFilter, CaseLine, Stage
from projections.oversight.definitions import UnknownTable
from projections.oversight.panel_table import BASIS_WORDS, Basis, PanelTable, Period, Row
from projections.oversight.projection import OVERSIGHT
from projections.oversight.queries import list_cases, panel_table
from safeguarding.hub.v1 import oversight_pb2 as pb
from safeguarding.hub.v1.oversight_pb2_grpc import OversightServiceServicer
from safeguarding.hub.v1.query_pb2 import Freshness, MinPosition
from services.queries.asking import Asker, Context, Desk, day, freshness
from services.queries.paging import limit_of, read_token, write_token
from services.queries.timeliness import TimelinessAsked, timeliness
from services.runtime.errors import Invalid, NotPermitted, Violation
from services.runtime.fieldrules import check_fields

_EARLIEST: Final = date(1900, 1, 1)
_LATEST: Final = date(2100, 12, 31)


class Oversight(OversightServiceServicer):
    """Answers the Panel."""

    def __init__(self, *, desk: Desk) -> None:
        """Answer from the oversight and the deadlines view."""
        self._desk = desk

    async def ListCases(self, request: pb.ListCasesRequest, context: Context) -> pb.ListCasesResponse:  # noqa: N802  # the RPC's name
        """Return a page of notified cases."""
        check_fields(request)
        asker = await self._panel(context)
        count_day = day(request.count_day, "count_day", self._today())
        wanted = CaseFilter(stages=_stages(request), period=_period(request, "notified_from", "notified_until"))
        after = str(read_token(request.page_token, str)[0]) if request.page_token else None
        await self._wait_for(request.min_positions)

        def look(reading: Reading) -> pb.ListCasesResponse:
            limit = limit_of(request.page_size)
            page = list_cases(reading.connection, reading.tables, count_day, wanted=wanted, after=after, limit=limit)
            cases = [_summary(line) for line in page.lines]
            shards = {case.shard for case in cases} | {one.shard for one in request.min_positions}
            token = "" if page.next_after is None else write_token(page.next_after)
            return pb.ListCasesResponse(cases=cases, next_page_token=token, freshness=_freshness(reading, shards))

        try:
            answer = await self._desk.look(OVERSIGHT.name, look)
        except OutsideCalendar as error:
            raise Invalid(Violation("count_day", str(error))) from None
        await self._desk.listed(asker, Resource.OVERSIGHT, len(answer.cases))
        return answer

    async def GetTable(self, request: pb.GetTableRequest, context: Context) -> pb.GetTableResponse:  # noqa: N802  # the RPC's name
        """Count one table."""
        check_fields(request)
        asker = await self._panel(context)
        period, count_day = self._counted(request)
        if request.basis and request.basis not in [basis.value for basis in Basis]:
            raise Invalid(Violation("basis", "expected one of " + ", ".join(Basis)))
        basis = Basis(request.basis) if request.basis else None
        await self._wait_for(request.min_positions)

        def look(reading: Reading) -> pb.GetTableResponse:
            table = panel_table(reading.connection, reading.tables, request.table, period, count_day, basis=basis)
            return pb.GetTableResponse(table=_table(table), freshness=_freshness(reading, {one.shard for one in request.min_positions}))

        try:
            answer = await self._desk.look(OVERSIGHT.name, look)
        except UnknownTable as error:
            raise Invalid(Violation(error.asked, str(error))) from None
        except OutsideCalendar as error:
            raise Invalid(Violation("count_day", str(error))) from None
        await self._desk.listed(asker, Resource.OVERSIGHT, len(answer.table.rows))
        return answer

    async def GetTimeliness(self, request: pb.GetTimelinessRequest, context: Context) -> pb.GetTimelinessResponse:  # noqa: N802  # the RPC's name
        """Count the deadlines of a period by how they stood at the end of the count day."""
        check_fields(request)
        asker = await self._panel(context)
        period, count_day = self._counted(request)
        asked = TimelinessAsked.of(request, period, count_day, self._desk.clock())
        await self._wait_for(request.min_positions, DEADLINES.name)

        def look(reading: Reading) -> pb.GetTimelinessResponse:
            answer = timeliness(reading, asked)
            answer.freshness.extend(_freshness(reading, {one.shard for one in request.min_positions}))
            return answer

        answer = await self._desk.look(DEADLINES.name, look)
        await self._desk.listed(asker, Resource.OVERSIGHT, len(answer.duties))
        return answer

    async def _panel(self, context: Context) -> Asker:
        """Return who asks; raise ``NotPermitted``, with the refusal on the log, for anybody but the Panel."""
        asker = self._desk.asker(context)
        if asker.kind is not AgencyKind.PANEL:
            await self._desk.denied(asker, Resource.OVERSIGHT, DenialReason.KIND)
            raise NotPermitted("oversight.panel_only", "national oversight is the Panel's")
        return asker

    def _counted(self, request: pb.GetTableRequest | pb.GetTimelinessRequest) -> tuple[Period, date]:
        """Return the period and the count day of figures; raise ``Invalid`` where either is not given, or the count day has not come."""
        period = _period(request, "period_from", "period_until")
        if period is None:
            raise Invalid(Violation("period_from", "the first and the last day of the period"))
        count_day = day(request.count_day, "count_day", self._today())
        if count_day > self._today():
            raise Invalid(Violation("count_day", "expected a day that has come: nothing of a later one is known yet"))
        return period, count_day

    async def _wait_for(self, least: Iterable[MinPosition], view: str = OVERSIGHT.name) -> None:
        self._desk.demand_followed(())
        await self._desk.wait_for([(one.shard, one.position) for one in least], view)

    def _today(self) -> date:
        return london_day(self._desk.clock())


def _period(request: pb.ListCasesRequest | pb.GetTableRequest | pb.GetTimelinessRequest, first: str, last: str) -> Period | None:
    """Return the days between two fields of a request; None if neither is given."""
    first_on, last_on = getattr(request, first), getattr(request, last)
    if not first_on and not last_on:
        return None
    try:
        return Period(first=day(first_on, first, _EARLIEST), last=day(last_on, last, _LATEST))
    except ValueError as error:
        raise Invalid(Violation(last, str(error))) from None


def _freshness(reading: Reading, shards: set[str]) -> list[Freshness]:
    """Say how current an answer is: of the shards in it, and of every shard from which something is missing."""
    return [freshness(reading, shard) for shard in sorted(shards | {one.shard for one in reading.parked()})]


def _stages(request: pb.ListCasesRequest) -> frozenset[Stage]:
    unknown = [stage for stage in request.stages if stage not in [one.value for one in Stage]]
    if unknown:
        raise Invalid(Violation("stages", "among " + ", ".join(Stage)))
    return frozenset(Stage(stage) for stage in request.stages)


def _text(value: date | None) -> str:
    return "" if value is None else value.isoformat()


def _summary(line: CaseLine) -> pb.CaseSummary:
    return pb.CaseSummary(
        shard=line.shard,
        case_id=line.case_id,
        authority=line.council,
        notification_type=line.notification_type.value,
        notified_on=line.notified_on.isoformat(),
        stage=line.stage.value,
        children=line.children,
        review_due_on=_text(line.due_on),
        review_received_on=_text(line.received_on),
        working_days=line.working_days,
        band=line.band or "",
        decision=line.decision.value,
        response="" if line.response is None else line.response.value,
    )


def _table(table: PanelTable) -> pb.PanelTable:
    return pb.PanelTable(
        table=table.number,
        title=table.title,
        unit=table.unit,
        base=table.base,
        basis=BASIS_WORDS[table.basis],
        period=str(table.period),
        count_day=table.count_day.isoformat(),
        columns=[pb.PanelColumn(key=one.key, label=one.label, kind=one.kind.value) for one in table.columns],
        rows=[_row(row) for row in table.rows],
        total=None if table.total is None else _row(table.total),
        figures=[pb.PanelFigure(key=one.key, label=one.label, value=one.value) for one in table.figures],
        notes=table.notes,
        rules_version=table.rules_version,
        calendar_version=table.calendar_version,
    )


def _row(row: Row) -> pb.PanelRow:
    cells = ["" if cell is None else str(cell) for cell in row.cells]
    return pb.PanelRow(key=row.key, label=row.label, group=row.group or "", level=row.level, cells=cells)
