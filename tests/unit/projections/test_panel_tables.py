"""The Panel's tables equal a second, naive count of the same events, over random cases, periods and count days, on either database."""

from __future__ import annotations

from datetime import date, timedelta
from random import Random

import pytest

from projections.oversight.definitions import TABLES, count_table
from projections.oversight.panel_table import Basis, PanelTable, Period
from projections.oversight.queries import read_population
from tests.support.naive_tables import Rows, naive_tables
from tests.support.oversight_rows import filled, population_of
from tests.support.random_cases import random_log

_EDGE_DAYS = (
    date(2019, 12, 31),
    date(2020, 1, 1),
    date(2020, 3, 31),
    date(2020, 4, 1),
    date(2020, 9, 30),
    date(2020, 10, 1),
    date(2020, 12, 25),
    date(2020, 12, 31),
    date(2021, 1, 1),
    date(2021, 3, 31),
)


def _any_day(rng: Random) -> date:
    return rng.choice(_EDGE_DAYS) if rng.random() < 0.5 else date(2019, 10, 1) + timedelta(days=rng.randrange(700))


def _as_text(table: PanelTable) -> Rows:
    return [(row.label, tuple("" if cell is None else str(cell) for cell in row.cells)) for row in table.all_rows()]


def _waiting(table: PanelTable) -> Rows:
    if not table.figures:
        return []
    return [("range", (str(table.figure("fewest_days_waiting")), str(table.figure("most_days_waiting"))))]


@pytest.mark.parametrize("seed", range(8))
def test_every_table_equals_a_naive_count_of_the_events(seed: int, view_url: str) -> None:
    rng = Random(seed)
    log = random_log(seed, cases=60)
    with filled(log, url=view_url) as (connection, tables):
        for turn in range(4):
            first, last = sorted((_any_day(rng), _any_day(rng)))
            if turn == 0:
                first, last = date(2020, 1, 1), date(2020, 12, 31)
            count_day = date(2026, 1, 5) if turn == 1 else max(_any_day(rng), first)
            basis = rng.choice((Basis.OCCURRED, Basis.NOTIFIED))
            expected = naive_tables(log, basis.value, first, last, count_day)
            everyone = read_population(connection, tables, count_day)
            for number, definition in TABLES.items():
                chosen = basis if basis in definition.bases else None
                table = count_table(everyone, number, Period(first=first, last=last), chosen)
                assert _as_text(table) == expected[number], f"table {number}, {basis}, {first} to {last}, as at {count_day}"
                if number in {"6", "7", "8"}:
                    assert _waiting(table) == expected[f"{number} waiting"]


def test_random_cases_reach_every_row_of_every_table() -> None:
    everyone = population_of(random_log(4, cases=450), date(2026, 1, 5))
    period = Period(first=date(2019, 1, 1), last=date(2027, 12, 31))
    for number in set(TABLES) - {"areas", "local_reviews_initiated"}:
        table = count_table(everyone, number, period)
        places = range(len(table.columns))
        if number in {"6", "7", "8"}:
            places = range(2, len(table.columns))
        empty = [row.label for row in table.rows if all(not row.cells[place] for place in places)]
        assert empty == [], f"table {number}"
