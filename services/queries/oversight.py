"""``OversightService``: the Panel's cases and tables."""

from __future__ import annotations

from datetime import date
from typing import Final

from domain.access.events import Resource
from domain.calendar import OutsideCalendar
from domain.kernel.agencies import AgencyKind
from domain.kernel.events import london_day
from projections.kernel.database import Reading
from projections.oversight.case_list import CaseFilter, CaseLine, CasePage, Stage
from projections.oversight.definitions import UnknownTable
from projections.oversight.panel_table import BASIS_WORDS, Basis, PanelTable, Period, Row
from projections.oversight.projection import OVERSIGHT
from projections.oversight.queries import list_cases, panel_table
from safeguarding.hub.v1 import oversight_pb2 as pb
from safeguarding.hub.v1.oversight_pb2_grpc import OversightServiceServicer
from services.queries.asking import Asker, Context, Desk, checked, day, freshness, limit_of
from services.runtime.errors import Invalid, NotPermitted, Violation

_EARLIEST: Final = date(1900, 1, 1)
_LATEST: Final = date(2100, 12, 31)


class Oversight(OversightServiceServicer):
    """Answers the Panel."""

    def __init__(self, *, desk: Desk) -> None:
        """Answer from the oversight view."""
        self._desk = desk

    async def ListCases(self, request: pb.ListCasesRequest, context: Context) -> pb.ListCasesResponse:  # noqa: N802  # the RPC's name
        """Return a page of notified cases."""
        checked(request)
        asker = self._panel(context)
        for least in request.min_positions:
            await self._desk.wait_for(OVERSIGHT.name, least.shard, least.position)
        count_day = day(request.count_day, "count_day", self._today())
        wanted = CaseFilter(stages=_stages(request), period=self._period(request.notified_from, request.notified_until))

        def look(reading: Reading) -> tuple[CasePage, list[pb.CaseSummary]]:
            page = list_cases(
                reading.connection,
                reading.tables,
                count_day,
                wanted=wanted,
                after=request.page_token or None,
                limit=limit_of(request.page_size),
            )
            return page, [_summary(line) for line in page.lines]

        try:
            page, cases = await self._desk.look(OVERSIGHT.name, look)
        except (OutsideCalendar, ValueError) as error:
            raise Invalid(Violation("request", str(error))) from None
        await self._desk.listed(asker, Resource.OVERSIGHT, len(cases))
        fresh = await self._desk.look(
            OVERSIGHT.name, lambda reading: [freshness(reading, shard) for shard in sorted({case.shard for case in cases})]
        )
        return pb.ListCasesResponse(cases=cases, next_page_token=page.next_after or "", freshness=fresh)

    async def GetTable(self, request: pb.GetTableRequest, context: Context) -> pb.GetTableResponse:  # noqa: N802  # the RPC's name
        """Count one table."""
        checked(request)
        asker = self._panel(context)
        for least in request.min_positions:
            await self._desk.wait_for(OVERSIGHT.name, least.shard, least.position)
        period = self._period(request.period_from, request.period_until)
        if period is None:
            raise Invalid(Violation("period_from", "the first and the last day of the period"))
        count_day = day(request.count_day, "count_day", self._today())
        if request.basis and request.basis not in [basis.value for basis in Basis]:
            raise Invalid(Violation("basis", "one of " + ", ".join(Basis)))
        basis = Basis(request.basis) if request.basis else None

        def look(reading: Reading) -> PanelTable:
            return panel_table(reading.connection, reading.tables, request.table, period, count_day, basis=basis)

        try:
            table = await self._desk.look(OVERSIGHT.name, look)
        except (UnknownTable, OutsideCalendar) as error:
            raise Invalid(Violation("table", str(error))) from None
        await self._desk.listed(asker, Resource.OVERSIGHT, len(table.rows))
        fresh = await self._desk.look(OVERSIGHT.name, lambda reading: [freshness(reading, least.shard) for least in request.min_positions])
        return pb.GetTableResponse(table=_table(table), freshness=fresh)

    def _panel(self, context: Context) -> Asker:
        asker = self._desk.asker(context)
        if asker.kind is not AgencyKind.PANEL:
            raise NotPermitted("oversight.panel_only", "national oversight is the Panel's")
        return asker

    def _today(self) -> date:
        return london_day(self._desk.clock())

    def _period(self, first: str, last: str) -> Period | None:
        if not first and not last:
            return None
        try:
            return Period(first=day(first, "period_from", _EARLIEST), last=day(last, "period_until", _LATEST))
        except ValueError as error:
            raise Invalid(Violation("period_until", str(error))) from None


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
