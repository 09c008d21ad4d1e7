"""``hub demo`` as a person runs it, once: its document, its exit code, and the hub that it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from projections.oversight.published import bundled_report
from services.cli.demo.story import choose
from services.cli.failures import Exit
from services.cli.synthetic.generator import england_2020
from tests.support.command import HUB, environment, processes_of, ran, serving, wait_until

DEMO_MAX_SECONDS = 280
"""The demo is made to take 90 seconds at most; the machine that runs the tests may be doing other things."""
pytestmark = pytest.mark.timeout(DEMO_MAX_SECONDS + 60)


@dataclass(frozen=True, slots=True)
class Shown:
    """One demo that was run."""

    home: Path
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(self.out)
        return document


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Shown:
    home = tmp_path_factory.mktemp("demo") / "kept"
    command = [*HUB, "demo", "--json", "--keep", str(home)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=DEMO_MAX_SECONDS, check=False)  # noqa: S603
    return Shown(home, done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="module")
def served(shown: Shown) -> Iterator[Path]:
    with serving(shown.home):
        yield shown.home


def told_case() -> tuple[str, str, str]:
    """Return the told case with its council and business unit."""
    incident = choose(england_2020(bundled_report()).incidents)
    return incident.case_id, incident.area.council, incident.area.business_unit


def test_everything_is_as_it_should_be_and_nothing_but_one_document_is_printed(shown: Shown) -> None:
    assert (shown.code, shown.err) == (0, "")
    assert list(shown.document) == ["events", "receipts", "refusals", "tables", "verify", "seconds"]


def test_every_event_has_a_receipt_but_those_that_were_to_be_refused(shown: Shown) -> None:
    document = shown.document
    assert [refusal["rule"] for refusal in document["refusals"]] == [
        "incident.notifier",
        "rapid_review.sign_off_is_the_partners_own",
        "time.imported_after_live",
    ]
    assert document["events"] == document["receipts"] + len(document["refusals"])
    assert document["receipts"] > 5_000


def test_the_tables_are_the_panels_but_for_the_faults_of_the_print(shown: Shown) -> None:
    tables = shown.document["tables"]
    assert {number: table["match"] for number, table in tables.items()} == dict.fromkeys(("chart", "1", "2", "3", "4", "6"), True)
    different = [
        (number, one["row"], one["column"], one["ours"], one["printed"], one["verdict"], one["flag"])
        for number, table in tables.items()
        for one in table["differences"]
    ]
    assert different == [
        ("2", "overt_filicide", "percent", "4.9", "4.8", "printed_fault", "F08"),
        ("2", "suicide", "percent", "20.4", "20.3", "printed_fault", "F08"),
        ("4", "domestic_abuse", "serious_harm_percent", "42.7", "42.6", "printed_fault", "F09"),
        ("4", "elective_home_education", "total_percent", "3.1", "3.3", "printed_fault", "F10"),
        ("6", "16-25", "percent", "43", 44, "printed_fault", "F11"),
    ]


def test_the_whole_log_and_every_view_are_verified(shown: Shown) -> None:
    verify = shown.document["verify"]
    assert verify["passed"] is True
    assert verify["problems"] == []
    assert [(view["view"], view["matches"], view["parked"]) for view in verify["views"]] == [
        (name, True, 0) for name in ("chronology", "deadlines", "oversight", "registry")
    ]
    # The national shard, and a partnership for each of the 151 councils.
    assert verify["shards"] == 152


def test_a_kept_hub_verifies_again(shown: Shown) -> None:
    verified = ran("verify", "--json", "--home", shown.home)
    assert (verified.code, verified.document["passed"]) == (0, True)


def test_a_kept_hub_is_served_again_and_counts_the_same(served: Path) -> None:
    table = ran("panel", "table", "6", "--period", "2020", "--count-day", "2021-03-31", "--json", "--home", served).document
    cells = {row["key"]: row["cells"] for row in table["rows"]}
    assert cells == {
        "1-15": ["94", "0", "94", "21"],
        "16-25": ["193", "0", "193", "43"],
        "26-59": ["104", "0", "104", "23"],
        "60+": ["30", "24", "54", "12"],
    }


def test_the_live_case_lies_outside_the_tables_of_2020(served: Path) -> None:
    chart = ran("panel", "table", "chart", "--period", "2020", "--json", "--home", served).document
    assert chart["total"]["cells"][0] == "482"
    everything = ran("panel", "table", "chart", "--period", "2000-01-01/2100-12-31", "--json", "--home", served).document
    assert everything["total"]["cells"][0] == "483"


def test_the_told_case_can_be_read_by_its_partners_and_not_by_others(served: Path) -> None:
    case_id, council, unit = told_case()
    lines = ran("chronology", case_id, "--as", unit, "--json", "--home", served).document["lines"]
    assert any(line["childs_voice"] for line in lines)
    assert any("disputed" in line["marks"] for line in lines)
    assert ran("chronology", case_id, "--as", council, "--json", "--home", served).code == 0
    stranger = next(f"la-X{number:04d}" for number in range(1, 152) if f"la-X{number:04d}" != council)
    assert ran("chronology", case_id, "--as", stranger, "--json", "--home", served).code == 3


def test_the_told_reviews_deadline_explains_itself(served: Path) -> None:
    case_id, _, unit = told_case()
    explained = ran("deadlines", "--explain", case_id, "K10", "--as", unit, "--json", "--home", served).document
    assert explained["deadline"]["status"].startswith("met ")
    assert explained["deadline"]["status"].endswith("working days late")
    assert any("criminal investigation" in line for line in explained["lines"])


def test_a_home_that_holds_a_hub_is_not_demonstrated_over(shown: Shown) -> None:
    again = ran("demo", "--keep", shown.home)
    assert again.code == 2
    assert "holds a hub already" in again.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_it_ends_the_hub_that_it_has_started_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    command, variables = [*HUB, "demo"], {**environment(), "TMPDIR": str(tmp_path)}
    process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603
    try:
        wait_until(lambda: bool(processes_of(tmp_path)), DEMO_MAX_SECONDS)
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=DEMO_MAX_SECONDS)
    finally:
        process.kill()
    assert (process.returncode, err) == (Exit.INTERRUPTED, "hub: interrupted\n")
    assert (processes_of(tmp_path), list(tmp_path.iterdir())) == ([], [])
