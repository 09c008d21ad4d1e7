"""Reading back through the hub's query services what the agencies told it: nothing here looks into the hub's files."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message

from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import Purpose
from safeguarding.hub.v1 import chronology_pb2, deadlines_pb2, oversight_pb2, query_pb2
from safeguarding.hub.v1.chronology_pb2_grpc import ChronologyServiceStub
from safeguarding.hub.v1.deadlines_pb2_grpc import DeadlineServiceStub
from safeguarding.hub.v1.oversight_pb2_grpc import OversightServiceStub
from services.cli.calling import Calling, stamp
from services.cli.demo.saying import Cast
from services.runtime.settings import Settings

PATIENCE_SECONDS: Final = 60.0
"""How long views may take to come as far as the receipts, on a busy machine."""
PAGE_ROWS: Final = 1_000
T = TypeVar("T", bound=Message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """One agency's open channel for queries. ``newest``: answers are at least as new as these positions, by shard."""

    calling: Calling
    channel: grpc.Channel
    newest: Mapping[str, int]

    def chronology(self, cast: Cast) -> chronology_pb2.GetChronologyResponse:
        """Return the significant lines of a case."""
        request = chronology_pb2.GetChronologyRequest(
            shard=cast.shard, case_id=cast.case_id, page_size=PAGE_ROWS, min_position=self.newest.get(cast.shard, 0)
        )
        return self._ask(ChronologyServiceStub(self.channel).GetChronology, request)

    def deadlines(
        self, *, case_id: str = "", as_of: datetime | None = None, bands: Sequence[deadlines_pb2.DeadlineBand.ValueType] = ()
    ) -> list[deadlines_pb2.Deadline]:
        """Return all deadlines that the agency may see, of one case or of all."""
        request = deadlines_pb2.ListDeadlinesRequest(
            filter=deadlines_pb2.DeadlineFilter(case_id=case_id, bands=bands), min_positions=self._newest(), page_size=PAGE_ROWS
        )
        if as_of is not None:
            request.as_of.CopyFrom(stamp(as_of))
        found: list[deadlines_pb2.Deadline] = []
        while True:
            page = self._ask(DeadlineServiceStub(self.channel).ListDeadlines, request)
            found += page.deadlines
            if not page.next_page_token:
                return found
            request.page_token = page.next_page_token

    def explained(self, cast: Cast, clock: str, as_of: datetime | None = None) -> deadlines_pb2.ExplainDeadlineResponse:
        """Return one deadline with its explanation."""
        request = deadlines_pb2.ExplainDeadlineRequest(shard=cast.shard, case_id=cast.case_id, clock=clock)
        if as_of is not None:
            request.as_of.CopyFrom(stamp(as_of))
        return self._ask(DeadlineServiceStub(self.channel).ExplainDeadline, request)

    def table(self, number: str, period: tuple[date, date], count_day: date) -> oversight_pb2.PanelTable:
        """Return one of the Panel's tables."""
        request = oversight_pb2.GetTableRequest(
            table=number,
            period_from=period[0].isoformat(),
            period_until=period[1].isoformat(),
            count_day=count_day.isoformat(),
            min_positions=self._newest(),
        )
        return self._ask(OversightServiceStub(self.channel).GetTable, request).table

    def _newest(self) -> list[query_pb2.MinPosition]:
        return [query_pb2.MinPosition(shard=shard, position=position) for shard, position in sorted(self.newest.items())]

    def _ask(self, method: Callable[..., T], request: Any) -> T:
        """Ask until the views have come as far as they must."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.calling.call(method, request)
            except grpc.RpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() > deadline:
                    raise


@contextmanager
def reading_as(settings: Settings, agency_id: str, newest: Mapping[str, int]) -> Iterator[Reader]:
    """Give a reader for an agency."""
    purpose = Purpose.OVERSIGHT if agency_id == PANEL_ID else Purpose.RAPID_REVIEW
    calling = Calling(settings=settings, agency_id=agency_id, user="demo-user", role="demo", purpose=purpose)
    with calling.channel() as channel:
        yield Reader(calling=calling, channel=channel, newest=newest)
