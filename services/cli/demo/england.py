"""England on its way to the hub: agencies enrolled, partnerships established, each event signed by the agency that owes it."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import date
from typing import Final

from domain.agency.events import AgencyEnrolled
from domain.kernel.agencies import OPERATOR_ID, PANEL_ID, AgencyKind, kind_of
from domain.kernel.ids import NATIONAL, AgencyId, CaseId, Shard
from domain.partnership.events import PartnershipEstablished
from safeguarding.hub.client.drafts import Draft
from safeguarding.hub.client.outcomes import Receipt
from services.bootstrap import make_identity
from services.cli.demo.callers import Callers, Tally, draft
from services.cli.demo.saying import Cast
from services.cli.synthetic.england import Area
from services.cli.synthetic.generator import Population
from services.cli.synthetic.lives import STAGES, Step
from services.eventstore.codec import to_message
from services.runtime.interruption import undisturbed
from services.runtime.settings import Settings
from services.trust.possession import registration
from services.trust.signing import SigningKey

AREAS_AT_ONCE: Final = 8
IDENTITIES_AT_ONCE: Final = 8
APPEND_MAX_SECONDS: Final = 180.0
"""For a hub that has lost a broker or a node, on a busy machine."""
ARRANGEMENTS_BEGAN_ON: Final = date(2019, 9, 29)
"""The day by which every area's arrangements had to be in force (Working Together: transitional guidance 2018)."""

Report = Callable[[int, int], None]
"""Called with how many are done, of how many."""
Said = dict[tuple[CaseId, AgencyId, str], bytes]
"""The last event that an agency sent of a case and type: what its correction points at."""


def members(areas: Sequence[Area], cast: Cast) -> dict[AgencyId, tuple[Shard, ...]]:
    """Return every agency with the shards it works in; the Panel works in all and names none."""
    shards: dict[AgencyId, list[Shard]] = defaultdict(list)
    for area in areas:
        for agency in (*area.partners, area.business_unit):
            shards[agency].append(area.shard)
    for agency in cast.relevant:
        shards[agency].append(cast.shard)
    return {PANEL_ID: (), **{agency: tuple(dict.fromkeys(where)) for agency, where in shards.items()}}


def make_identities(settings: Settings, agencies: Sequence[AgencyId], report: Report) -> dict[AgencyId, SigningKey]:
    """Make every agency's certificate and signing key; most of the time is the disk's."""
    keys: dict[AgencyId, SigningKey] = {}
    threads = ThreadPoolExecutor(IDENTITIES_AT_ONCE)
    try:
        with undisturbed():
            made = threads.map(lambda one: make_identity(settings, one), agencies)
        for agency, key in zip(agencies, made, strict=True):
            keys[agency] = key
            report(len(keys), len(agencies))
    finally:
        threads.shutdown(cancel_futures=True)  # whoever is interrupted waits for those that write, and for no more
    return keys


def enrolments(shards: dict[AgencyId, tuple[Shard, ...]], keys: dict[AgencyId, SigningKey], live_from: date) -> Iterator[Draft]:
    """Yield the operator's enrolment of every agency and the registration of its key."""
    for agency, where in shards.items():
        enrolled = AgencyEnrolled(agency_id=agency, kind=kind_of(agency), name=f"{agency} (synthetic)", live_from=live_from, shards=where)
        yield Draft(event=to_message(enrolled))
        yield Draft(event=to_message(registration(keys[agency], agency, f"{agency}:1")))


def establishments(areas: Sequence[Area], cast: Cast) -> Iterator[Draft]:
    """Yield the operator's record of every partnership."""
    for area in areas:
        established = PartnershipEstablished(
            name=area.name,
            arrangements_start_on=ARRANGEMENTS_BEGAN_ON,
            business_unit=area.business_unit,
            partners=area.partners,
            relevant_agencies=cast.relevant if area.shard == cast.shard else (),
        )
        yield Draft(event=to_message(established), shard=area.shard)


async def enrol(callers: Callers, drafts: Sequence[Draft], tally: Tally) -> None:
    """Let the operator append all of this through the admin service."""
    async with callers.of(OPERATOR_ID, NATIONAL) as operator:
        outcomes = await operator.append_many(drafts, deadline_seconds=APPEND_MAX_SECONDS)
    tally.count(outcomes)
    for outcome in outcomes:
        tally.demand(isinstance(outcome, Receipt), f"enrolling: {outcome}")


def serves_many(agency: str) -> bool:
    """Tell whether an agency works in many areas, so that its client is worth keeping open."""
    return kind_of(agency) in {AgencyKind.ICB, AgencyKind.POLICE, AgencyKind.PANEL}


async def send(population: Population, but: str, callers: Callers, tally: Tally, report: Report) -> None:
    """Send the population, all but the told case: many areas at once, each stage of an area once the one before is decided."""
    by_area: dict[Shard, list[Step]] = defaultdict(list)
    for step in population.steps():
        if step.case_id != but:
            by_area[step.shard].append(step)
    total, sent, room = sum(map(len, by_area.values())), 0, asyncio.Semaphore(AREAS_AT_ONCE)

    async def one(shard: Shard, steps: Sequence[Step]) -> None:
        nonlocal sent
        async with room, AsyncExitStack() as clients:
            for agency in dict.fromkeys(step.agency for step in steps):
                await clients.enter_async_context(callers.of(agency, shard))
            said: Said = {}
            for stage in range(STAGES):
                now = [step for step in steps if step.stage == stage]
                await _send_stage(shard, now, said, callers, tally)
                sent += len(now)
                report(sent, total)

    async with asyncio.TaskGroup() as tasks:
        for shard, steps in by_area.items():
            tasks.create_task(one(shard, steps))


async def _send_stage(shard: Shard, steps: Sequence[Step], said: Said, callers: Callers, tally: Tally) -> None:
    """Have every agency of a stage append what it owes, all agencies at the same time."""
    by_agency: dict[AgencyId, list[Step]] = defaultdict(list)
    for step in steps:
        by_agency[step.agency].append(step)

    async def append(agency: AgencyId, owed: Sequence[Step]) -> None:
        drafts = [_draft(step, said) for step in owed]
        async with callers.of(agency, shard) as client:
            with tally.waiting():
                outcomes = await client.append_many(drafts, deadline_seconds=APPEND_MAX_SECONDS)
        tally.count(outcomes)
        for step, outcome in zip(owed, outcomes, strict=True):
            said[_said_of(step)] = outcome.event_id
            tally.demand(isinstance(outcome, Receipt), f"{agency} in {shard}: {outcome}")

    await asyncio.gather(*(append(agency, owed) for agency, owed in by_agency.items()))


def _draft(step: Step, said: Said) -> Draft:
    """Return a step as the SDK takes it, a correction with what it corrects: that was said at an earlier stage."""
    event = step.correcting(said[_said_of(step)]) if step.corrects_because else step.event
    return draft(event, shard=step.shard, case_id=step.case_id, role=step.role, purpose=step.purpose, imported=True)


def _said_of(step: Step) -> tuple[CaseId, AgencyId, str]:
    return (step.case_id, step.agency, step.event.EVENT_TYPE)
