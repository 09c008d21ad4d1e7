"""``hub demo --incidents`` as a person runs it: another England in a hub, counted by the hub and once more, naively, from the generator."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from services.cli.demo.showing import COUNT_DAY
from services.cli.synthetic.generator import Population, population
from tests.support.command import HUB, environment, ran, serving
from tests.support.naive_tables import naive_tables
from tests.unit.cli.test_synthetic import LATER, REPORT, admitted

INCIDENTS, SEED = 40, 8
"""Small, and yet with every kind of later change."""
TABLES = ["chart", "1", "2", "3", "4", "5", "6", "7", "8"]
DEMO_MAX_SECONDS = 280
"""It takes half a minute; the machine that runs the tests may be doing other things."""
pytestmark = pytest.mark.timeout(DEMO_MAX_SECONDS + 60)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "kept"


@pytest.fixture(scope="module")
def document(home: Path) -> dict[str, Any]:
    command = [*HUB, "demo", "--incidents", str(INCIDENTS), "--seed", str(SEED), "--json", "--keep", str(home)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=DEMO_MAX_SECONDS, check=False)  # noqa: S603
    assert (done.returncode, done.stderr) == (0, "")
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


@pytest.fixture(scope="module")
def served(home: Path, document: dict[str, Any]) -> Iterator[Path]:
    assert document["receipts"]
    with serving(home):
        yield home


def drawn() -> Population:
    return population(REPORT, INCIDENTS, SEED)


def test_every_table_equals_a_naive_count_of_what_the_generator_tells(document: dict[str, Any]) -> None:
    expected = naive_tables(admitted(drawn()).log, "occurred", date(2020, 1, 1), date(2020, 12, 31), COUNT_DAY)
    assert list(document["tables"]) == TABLES
    for number, table in document["tables"].items():
        rows = [*table["rows"], *([table["total"]] if table.get("total") else [])]
        assert [(row["label"], tuple(row["cells"])) for row in rows] == expected[number], f"table {number}"


def test_what_the_agencies_changed_and_corrected_later_is_among_it(document: dict[str, Any]) -> None:
    steps = list(drawn().steps())
    assert {step.event.EVENT_TYPE for step in steps if step.corrects_because} == {
        "rapid_review.sent_to_panel.v1",
        "rapid_review.decision_made.v1",
    }
    assert {step.event.EVENT_TYPE for step in steps} >= LATER
    # Of the 40 three were withdrawn.
    assert document["tables"]["chart"]["total"]["cells"][0] == "37"


def test_nothing_is_held_against_figures_that_nobody_has_published(document: dict[str, Any]) -> None:
    assert [number for number, table in document["tables"].items() if "match" in table] == []


def test_all_else_is_as_in_any_demo(document: dict[str, Any]) -> None:
    assert list(document) == ["events", "receipts", "refusals", "tables", "verify", "seconds"]
    assert [refusal["rule"] for refusal in document["refusals"]] == [
        "incident.notifier",
        "rapid_review.sign_off_is_the_partners_own",
        "time.imported_after_live",
    ]
    assert document["events"] == document["receipts"] + len(document["refusals"])
    assert (document["verify"]["passed"], document["verify"]["shards"]) == (True, 152)


def test_a_table_is_what_the_kept_hub_prints_of_it(document: dict[str, Any], served: Path) -> None:
    printed = ran("panel", "table", "6", "--period", "2020", "--count-day", COUNT_DAY.isoformat(), "--json", "--home", served).document
    assert printed["rows"] == document["tables"]["6"]["rows"]
    assert printed["total"] == document["tables"]["6"]["total"]
    assert set(printed) == set(document["tables"]["6"])


def test_the_told_case_and_todays_are_in_the_hub_beside_the_drawn_ones(served: Path) -> None:
    everything = ran("panel", "cases", "--limit", "1000", "--json", "--home", served).document["cases"]
    ours = {incident.case_id for incident in drawn().incidents}
    assert len({one["case_id"] for one in everything} - ours) == 2
