"""``hub partnerships`` against a hub served in a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.cli import partnerships
from tests.support.builders import BUSINESS_UNIT, COUNCIL, ICB, POLICE, SHARD
from tests.support.command import Ran, ran, serving

HOSPICE = "agency-northmoor-hospice"
OTHER_ICB = "icb-QF7"
STARTS_ON = "2024-04-01"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A hub with one partnership."""
    home = tmp_path / "hub"
    with serving(home):
        partners = [word for partner in (COUNCIL, ICB, POLICE) for word in ("--partner", partner)]
        named = ("--name", "Northmoor (synthetic)", "--business-unit", BUSINESS_UNIT, "--starts-on", STARTS_ON)
        assert ran("partnerships", "establish", SHARD, *named, *partners, "--home", home).code == 0
        yield home


def change(home: Path, reason: str, *arguments: str) -> Ran:
    return ran("partnerships", "change", SHARD, "--reason", reason, *arguments, "--home", home)


def newest(home: Path) -> dict[str, object]:
    """What the newest event of the partnership's stream says, but for its details."""
    body = ran("log", f"partnership-{SHARD}", "--body", "--json", "--home", home).document["events"][-1]["body"]
    return {name: value for name, value in body.items() if name != "details"}


def test_who_joins_and_leaves_is_said_and_everybody_else_stays(home: Path) -> None:
    joined = change(home, "new_relevant_agency", "--add", HOSPICE, "--effective-on", "2025-01-01")
    assert (joined.code, f"relevant agencies: none → {HOSPICE}" in joined.out) == (0, True)
    merged = change(
        home, "merger", "--remove", ICB, "--add", OTHER_ICB, "--business-unit", "partnership-moors", "--explanation", "One board."
    )
    assert (merged.code, f"business unit: {BUSINESS_UNIT} → partnership-moors" in merged.out) == (0, True)
    left = change(home, "other", "--remove", HOSPICE, "--effective-on", "2099-01-01", "--json")

    assert left.document["changed"] == {"relevant agencies": [HOSPICE, ""]}
    assert [one["outcome"] for one in left.document["outcomes"]] == ["receipt"]
    assert newest(home) == {
        "change": "other",
        "effective_on": "2099-01-01",
        "business_unit": "partnership-moors",
        "partners": [COUNCIL, POLICE, OTHER_ICB],
        "relevant_agencies": [],
        "explanation": None,
    }


def test_without_a_day_a_change_has_effect_from_today_in_london(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partnerships, "now", lambda: datetime(2025, 7, 15, 23, 15, tzinfo=UTC))
    assert change(home, "new_relevant_agency", "--add", HOSPICE).code == 0
    assert newest(home)["effective_on"] == "2025-07-16"


def test_partnerships_are_listed_with_their_members_and_since_when(home: Path) -> None:
    assert change(home, "new_relevant_agency", "--add", HOSPICE, "--effective-on", "2025-01-01").code == 0
    shown = ran("partnerships", "list", "--home", home).out

    assert ran("partnerships", "list", "--json", "--home", home).document == {
        "partnerships": [
            {
                "shard": SHARD,
                "name": "Northmoor (synthetic)",
                "starts_on": STARTS_ON,
                "members": [
                    {"agency_id": BUSINESS_UNIT, "kind": "partnership"},
                    {"agency_id": COUNCIL, "kind": "local_authority"},
                    {"agency_id": ICB, "kind": "icb"},
                    {"agency_id": POLICE, "kind": "police"},
                    {"agency_id": HOSPICE, "kind": "relevant_agency"},
                ],
                "members_since": "2025-01-01",
            }
        ]
    }
    assert "Partnerships: 1" in shown
    assert f"relevant agency: {HOSPICE}" in shown


def test_a_change_that_changes_nothing_is_not_sent(home: Path) -> None:
    before = newest(home)
    same = change(home, "other", "--add", ICB, "--business-unit", BUSINESS_UNIT)

    assert (same.code, same.out) == (0, f"these are the members of {SHARD} already: nothing was sent\n")
    assert change(home, "other", "--json").document == {"shard": SHARD, "changed": {}, "outcomes": []}
    assert newest(home) == before


def test_a_change_that_cannot_be_is_refused_with_what_can(home: Path) -> None:
    stranger = change(home, "other", "--remove", OTHER_ICB)
    alone = change(home, "other", "--remove", ICB)
    early = change(home, "ccg_to_icb", "--remove", ICB, "--add", OTHER_ICB, "--effective-on", "2024-03-31")
    elsewhere = ran("partnerships", "change", "elsewhere", "--reason", "other", "--add", ICB, "--home", home)

    assert (stranger.code, f"its members are: {COUNCIL}, {ICB}, {POLICE}" in stranger.err) == (2, True)
    assert (alone.code, "partnership.every_kind" in alone.err) == (3, True)
    assert (early.code, f"expected {STARTS_ON} or later, found 2024-03-31" in early.err) == (3, True)
    assert (elsewhere.code, f"there are: {SHARD}" in elsewhere.err) == (2, True)
