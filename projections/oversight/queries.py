"""What may be asked of the oversight view: the Panel's tables for any period and count day, and its list of cases."""

from __future__ import annotations

from datetime import date

from sqlalchemy import Connection

from domain.calendar import Calendar, bundled
from domain.rules.catalogue import ClockRules, bundled_rules
from projections.kernel.view import Tables
from projections.oversight.case_list import CaseFilter, CasePage, line_of, page_of
from projections.oversight.cases import case_as_at
from projections.oversight.definitions import count_table, definition
from projections.oversight.facts import enrolled_councils, facts_by_case, verdicts_by_case
from projections.oversight.panel_table import Basis, PanelTable, Period
from projections.oversight.population import Population, population
from projections.oversight.review_clock import ReviewClock


def panel_clock(rules: ClockRules | None = None, calendar: Calendar | None = None) -> ReviewClock:
    """Return the clock that timeliness is counted by; of the bundled rules and calendar where none are given."""
    return ReviewClock.of(rules or bundled_rules(), calendar or bundled())


def read_population(connection: Connection, tables: Tables, count_day: date, *, clock: ReviewClock | None = None) -> Population:
    """Compose every case at the end of ``count_day``, for any number of tables; raise ``OutsideCalendar`` for a day it does not cover."""
    facts, councils = facts_by_case(connection, tables), enrolled_councils(connection, tables)
    return population(facts, councils, verdicts_by_case(connection, tables), count_day, clock or panel_clock())


def panel_table(
    connection: Connection,
    tables: Tables,
    number: str,
    period: Period,
    count_day: date,
    *,
    basis: Basis | None = None,
    clock: ReviewClock | None = None,
) -> PanelTable:
    """Count one table (``1`` to ``8``, ``chart`` or a name of ``TABLES``); on the report's basis where none is given.

    Raises ``UnknownTable`` for a number or basis there is none of, ``OutsideCalendar`` for a count day that the calendar does not cover.
    """
    definition(number, basis)
    return count_table(read_population(connection, tables, count_day, clock=clock), number, period, basis)


def list_cases(
    connection: Connection,
    tables: Tables,
    count_day: date,
    *,
    wanted: CaseFilter | None = None,
    after: str | None = None,
    limit: int = 200,
    clock: ReviewClock | None = None,
) -> CasePage:
    """List notified cases, withdrawn ones too, as at the end of ``count_day``, by notification day; at most ``limit`` from ``after`` on."""
    counting = clock or panel_clock()
    composed = (case_as_at(facts, count_day) for facts in facts_by_case(connection, tables).values())
    lines = [line_of(case, count_day, counting) for case in composed if case is not None]
    return page_of(lines, wanted or CaseFilter(), after, limit)
