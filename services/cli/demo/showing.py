"""The course of the demo: everything told to a served hub, read back through its services, and shown."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Final

import uvloop

from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import london_day
from domain.kernel.ids import CaseId
from projections.oversight.published import bundled_report
from safeguarding.hub.client.drafts import Draft
from safeguarding.hub.v1.deadlines_pb2 import DEADLINE_BAND_OVERDUE
from services.cli.demo import report
from services.cli.demo.callers import Callers, Tally
from services.cli.demo.england import enrol, enrolments, establishments, make_identities, members, send, serves_many
from services.cli.demo.reading import reading_as
from services.cli.demo.saying import Cast, Saying, at
from services.cli.demo.serving import Stage
from services.cli.demo.story import choose, chosen_beside, told_case
from services.cli.demo.telling import Told, tell
from services.cli.demo.today import HISTORY_ENDS_BEFORE, live_case
from services.cli.output import plain
from services.cli.printed import compared, counted
from services.cli.progress import progress
from services.cli.synthetic.generator import Population, england_2020, population
from services.projector.verification import Verdict

YEAR: Final = (date(2020, 1, 1), date(2020, 12, 31))
COUNT_DAY: Final = date(2021, 3, 31)
"""The Panel counted as at March 2021."""
OVERDUE_ON: Final = date(2020, 9, 30)
PRINTED: Final = ("chart", "1", "2", "3", "4", "6")
"""What the Panel's report of 2020 prints whole."""
OURS: Final = ("5", "7", "8")
"""What has a form but no figures in our copy of it."""
LONGEST_OVERDUE: Final = 3


@dataclass(slots=True)
class Showing:
    """One showing: where it takes place, who plays, and what came of it.

    ``is_drawn``: nobody has published figures of the population, and the told case is told beside it.
    """

    stage: Stage
    population: Population
    is_drawn: bool
    cast: Cast
    sayings: Sequence[Saying]
    today: Cast
    show: Callable[[Iterable[str]], None]
    tally: Tally = field(default_factory=Tally)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Each table as a document: held against the Panel's or, of a drawn population, as it is counted."""
    verdict: Verdict | None = None

    def run(self) -> None:
        """Serve the hub, tell it everything, read it back, and hold it against what it should be."""
        shards = members(self.population.areas, self.cast)
        self.show(report.introduction())
        with self.stage.served():
            with progress("certificates and keys") as done:
                keys = make_identities(self.stage.settings, list(shards), done)
            self.show(self.stage.introduced(list(shards)))
            live_from = london_day(_now()) - HISTORY_ENDS_BEFORE
            operator = [*enrolments(shards, keys, live_from), *establishments(self.population.areas, self.cast)]
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                told, live = runner.run(self._send(operator))
            self._show_case(told)
            self._show_today(live)
            self._show_overdue()
            self._show_tables()
            self.verdict, shown = self.stage.verified(self.tally)
        self.show(shown)
        self.show(self.stage.what_next(self.cast.case_id, self.cast.area.council))

    async def _send(self, operator: Sequence[Draft]) -> tuple[Told, Told]:
        """Have everybody say what they owe."""
        callers = Callers(self.stage.settings, self.stage.target(), stays=serves_many)
        began = time.monotonic()
        try:
            await enrol(callers, operator, self.tally)
            told = await tell(self.cast, self.sayings, callers, self.tally)
            with progress("England" if self.is_drawn else "England 2020") as done:
                async with self.stage.tried(self.tally) as progressed:

                    def report_both(sent: int, total: int) -> None:
                        done(sent, total)
                        progressed(sent, total)

                    await send(self.population, self.cast.case_id, callers, self.tally, report_both)
            live = await tell(self.today, live_case(self.today, _now()), callers, self.tally)
        finally:
            await callers.close()
        self.show(report.sent(len(self.population.incidents), self.tally, time.monotonic() - began))
        return told, live

    def _show_case(self, told: Told) -> None:
        """Show the told case: how it was told, its chronology for a partner, for the Panel and for the school, and its deadlines."""
        incidents = len(self.population.incidents)
        self.show(report.told(told, f"of 2022, beside the {incidents}" if self.is_drawn else f"one of the {incidents}"))
        shown = {}
        for agency in (self.cast.area.business_unit, self.cast.area.police, PANEL_ID, self.cast.school):
            with reading_as(self.stage.settings, agency, self.tally.newest) as reader:
                shown[agency] = reader.chronology(self.cast)
        unit = self.cast.area.business_unit
        self.show(report.chronology(self.cast.case_id, unit, shown[unit]))
        self.show(report.who_sees_what({agency: found.lines for agency, found in shown.items()}))
        self.tally.demand(not shown[unit].open_findings, "the told case has findings that are not mended")
        with reading_as(self.stage.settings, unit, self.tally.newest) as reader:
            self.show(report.case_deadlines(self.cast.case_id, reader.deadlines(case_id=self.cast.case_id)))
            self.show(report.explained(reader.explained(self.cast, "K5B")))

    def _show_today(self, live: Told) -> None:
        """Show the live case with its running deadlines."""
        self.show(report.told_today(live))
        with reading_as(self.stage.settings, self.cast.area.business_unit, self.tally.newest) as reader:
            self.show(report.deadlines(reader.deadlines(case_id=self.today.case_id)))

    def _show_overdue(self) -> None:
        """Show who was overdue in all England at the end of a day of 2020."""
        with reading_as(self.stage.settings, PANEL_ID, self.tally.newest) as reader:
            late = reader.deadlines(as_of=at(OVERDUE_ON, 23, 59), bands=[DEADLINE_BAND_OVERDUE])
        self.show(report.overdue(OVERDUE_ON, late, LONGEST_OVERDUE))

    def _show_tables(self) -> None:
        """Show the Panel's tables: those that are printed beside the print, the others as ours; of a drawn population all as ours."""
        self.show(report.drawn_tables_begin(len(self.population.incidents)) if self.is_drawn else report.tables_begin())
        with reading_as(self.stage.settings, PANEL_ID, self.tally.newest) as reader:
            for number in sorted({*PRINTED, *OURS}, key=lambda number: (number != "chart", number)):
                found = reader.table(number, YEAR, COUNT_DAY)
                comparison = compared(found) if number in PRINTED and not self.is_drawn else None
                self.show(report.table(counted(found), comparison))
                if comparison is not None:
                    self.tables[number] = comparison.as_document()
                    self.tally.demand(comparison.match, f"table {number} is not the Panel's")
                elif self.is_drawn:
                    self.tables[number] = plain(found)


def prepared(stage: Stage, incidents: int | None, seed: int, show: Callable[[Iterable[str]], None]) -> Showing:
    """Draw the population, that of the Panel's report unless it is to have so many ``incidents``, and choose the case told in full."""
    published = bundled_report()
    if incidents is None:
        people = england_2020(published, seed)
        incident = choose(people.incidents)
    else:
        people = population(published, incidents, seed)
        incident = chosen_beside(people.areas, published, seed)
    cast = Cast(area=incident.area, case_id=incident.case_id)
    return Showing(
        stage=stage,
        population=people,
        is_drawn=incidents is not None,
        cast=cast,
        sayings=told_case(cast, incident),
        today=Cast(area=incident.area, case_id=CaseId(str(uuid.uuid4()))),
        show=show,
    )


def _now() -> datetime:
    return datetime.now(UTC)
