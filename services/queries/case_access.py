"""The access rule at the door of one case: judged now, whatever moment is read; who is refused is told "not found", and it is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import TypeVar

from domain.access.events import DenialReason, Resource
from domain.areas import AREAS
from domain.kernel.events import london_day
from domain.kernel.ids import AgencyId
from projections.chronology.access import Standing, standing_of
from projections.chronology.projection import CHRONOLOGY
from projections.chronology.queries import access_facts
from projections.kernel.database import Reading
from safeguarding.hub.v1.query_pb2 import Freshness
from services.queries.asking import Asker, Desk, freshness, no_such_case

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class CaseAsked:
    """Which case is asked for, and for what of it."""

    shard: str
    case_id: str
    resource: Resource

    def freshness(self, reading: Reading) -> Freshness:
        """Say how current an answer about the case is. Only its own streams are named: others are not the reader's to know of."""
        return freshness(reading, self.shard, [*streams_of(self.case_id), f"partnership-{self.shard}"])


def streams_of(case_id: str) -> list[str]:
    """Return the names of the streams that a case may have."""
    return [f"{area.category}-{case_id}" for area in AREAS]


def parked_streams(reading: Reading, shard: str, case_id: str) -> frozenset[str]:
    """Return the streams of a case that a view could not read to their end."""
    return frozenset(one.stream for one in reading.parked(shard, streams_of(case_id)))


def judge(reading: Reading, shard: str, case_id: str, agency_id: AgencyId, today: date) -> tuple[bool, Standing | DenialReason]:
    """Return whether there is such a case, and in what capacity an agency may read it, or why not."""
    facts = access_facts(reading.connection, reading.tables, shard, case_id)
    return facts.exists, standing_of(facts, agency_id, today)


@dataclass(frozen=True, slots=True)
class _Denial:
    reason: DenialReason
    exists: bool


async def enter(desk: Desk, asker: Asker, case: CaseAsked, work: Callable[[Reading, Standing], T]) -> T:
    """Let the asker into a case: return what ``work`` finds in one look at the chronology view.

    Raises ``NotFound``, with the refusal on the log, for a case that is not there or not the asker's; ``NotPermitted`` if it is suspended.
    """
    desk.admit(asker.agency_id)
    desk.demand_followed([case.shard])
    today = london_day(desk.clock())

    def look(reading: Reading) -> T | _Denial:
        exists, standing = judge(reading, case.shard, case.case_id, asker.agency_id, today)
        if isinstance(standing, DenialReason):
            return _Denial(standing, exists)
        return work(reading, standing)

    found = await desk.look(CHRONOLOGY.name, look)
    if isinstance(found, _Denial):
        await desk.denied(asker, case.resource, found.reason, (case.shard, case.case_id) if found.exists else None)
        raise no_such_case()
    return found
