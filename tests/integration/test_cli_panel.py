"""``hub panel`` against a hub served in a process of its own."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import pytest

from tests.support.builders import CASE, SHARD
from tests.support.settled import Served, settled_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with settled_hub(tmp_path_factory.mktemp("cli") / "hub") as served:
        yield served


def test_a_panel_table_is_counted_and_labelled(hub: Served) -> None:
    arguments = ("panel", "table", "6", "--period", "2024", "--count-day", "2024-12-31")
    table = hub.ran(*arguments, "--json").document
    rows = list(csv.reader(io.StringIO(hub.ran(*arguments, "--csv").out)))

    assert (table["table"], table["period"], table["count_day"]) == ("6", "2024-01-01/2024-12-31", "2024-12-31")
    assert rows[0] == ["key", "group", "label", *[column["key"] for column in table["columns"]]]
    assert len(rows) == 1 + len(table["rows"]) + ("total" in table)
    assert f"counted: {table['unit']}" in hub.ran(*arguments).out
    wrong = hub.ran("panel", "table", "99", "--period", "2024")
    assert (wrong.code, "expected one of chart" in wrong.err) == (2, True)
    basis = hub.ran("panel", "table", "6", "--period", "2024", "--basis", "occurred")
    assert (basis.code, "basis: expected one of due for table 6, found occurred" in basis.err) == (2, True)
    future = hub.ran("panel", "table", "6", "--period", "2024", "--count-day", "2099-01-01")
    assert (future.code, "count_day: expected a day that has come" in future.err) == (2, True)


def test_how_timely_duties_were_kept_is_counted_and_labelled(hub: Served) -> None:
    arguments = ("panel", "timeliness", "--period", "2024", "--count-day", "2024-03-28")
    told = hub.ran(*arguments, "--clock", "k5b", "--json").document
    rows = list(csv.DictReader(io.StringIO(hub.ran(*arguments, "--by", "partnership", "--csv").out)))
    shown = hub.ran(*arguments, "--clock", "K5B", "--by", "partnership").out

    (duty,) = told["duties"]
    assert (duty["clock"], duty["due"], duty["overdue"], duty["longest_working_days_late"]) == ("K5B", 1, 1, 3)
    assert (told["period"], told["count_day"]) == ("2024-01-01/2024-12-31", "2024-03-28")
    assert {row["shard"] for row in rows} == {SHARD}
    assert [(row["due"], row["on_time_percent"], row["median_working_days_late"]) for row in rows if row["clock"] == "K5B"] == [
        ("1", "0.0", "3")
    ]
    assert [row["longest_working_days_late"] for row in rows if row["clock"] == "K1"] == [""], "nothing of it is late"
    assert (SHARD in shown, "1 overdue" in shown, "working days late: median 3, longest 3" in shown) == (True, True, True)
    assert f"counted: {told['unit']}; percents of: {told['base']}" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--clock", "K99"), "no clock that sets a day: expected one of K1, "),
        (("--clock", "K7"), "no clock that sets a day: expected one of K1, "),
        (("--by", "weather"), "'weather' is not"),
        (("--csv", "--json"), "one of --csv, --json"),
        (("--count-day", "2099-01-01"), "count_day: expected a day that has come"),
    ],
)
def test_what_timeliness_cannot_be_counted_of_is_refused(hub: Served, arguments: tuple[str, ...], words: str) -> None:
    answer = hub.ran("panel", "timeliness", "--period", "2024", *arguments)

    assert (answer.code, answer.out, words in answer.err) == (2, "", True)


def test_the_panel_lists_cases(hub: Served) -> None:
    cases = hub.ran("panel", "cases", "--json").document

    assert [(one["case_id"], one["notified_on"], one["stage"]) for one in cases["cases"]] == [(CASE, "2024-03-04", "notified")]
    assert hub.ran("panel", "cases", "--stage", "published", "--json").document == {"cases": [], "more": False}
    shown = hub.ran("panel", "cases", "--count-day", "2024-03-07").out
    assert CASE in shown
    assert "3 working days since notification" in shown
