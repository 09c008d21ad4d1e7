"""``hub deadlines`` against a hub served in a process of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from safeguarding.hub.client.drafts import Draft
from safeguarding.hub.client.outcomes import Receipt
from services.cli.calling import sdk_client
from services.eventstore.codec import to_message
from services.runtime.settings import load_settings
from tests.support.builders import (
    BUSINESS_UNIT,
    CASE,
    COUNCIL,
    ICB,
    MONDAY,
    PANEL,
    POLICE,
    SHARD,
    a_notification,
    an_id,
    an_information_request,
    done,
)
from tests.support.command import ran, serving, wait_until
from tests.support.settled import Served, settled_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with settled_hub(tmp_path_factory.mktemp("cli") / "hub") as served:
        yield served


async def ask(home: Path, *recipients: str) -> None:
    """Have the council notify a case and ask each recipient for information about it."""
    asked = [an_information_request(an_id(number), recipient, details=done(MONDAY)) for number, recipient in enumerate(recipients, 1)]
    notified = a_notification(details=done(MONDAY))
    drafts = [Draft(event=to_message(event), case_id=CASE, imported=True) for event in (notified, *asked)]
    async with sdk_client(load_settings(home=home), COUNCIL, shard=SHARD, source="tests", actor_role="tests") as client:
        outcomes = await client.append_many(drafts)
    assert all(isinstance(outcome, Receipt) for outcome in outcomes), outcomes


def requests(home: Path) -> list[dict[str, Any]]:
    """What is owed in answer to the requests, as listed."""
    found: list[dict[str, Any]] = ran("deadlines", "--case", CASE, "--clock", "K17", "--json", "--home", home).document["deadlines"]
    return found


def test_a_clock_that_runs_more_than_once_is_explained_for_the_instance_that_is_named(tmp_path: Path) -> None:
    home = tmp_path / "hub"
    with serving(home):
        for agency in (COUNCIL, ICB, POLICE):
            enrolled = ran("agencies", "enrol", agency, "--name", "Synthetic", "--shard", SHARD, "--with-key", "--home", home)
            assert enrolled.code == 0
        assert ran("agencies", "enrol", PANEL, "--name", "The Panel (synthetic)", "--with-key", "--home", home).code == 0
        partners = [word for partner in (COUNCIL, ICB, POLICE) for word in ("--partner", partner)]
        terms = ("--name", "Northmoor (synthetic)", "--business-unit", BUSINESS_UNIT, "--starts-on", "2019-09-29")
        assert ran("partnerships", "establish", SHARD, *terms, *partners, "--home", home).code == 0
        asyncio.run(ask(home, ICB, POLICE))

        wait_until(lambda: len(requests(home)) == len((ICB, POLICE)))

        listed, several = requests(home), ran("deadlines", "--explain", CASE, "K17", "--home", home)
        named = ran("deadlines", "--explain", CASE, "K17", "--instance", listed[0]["instance"], "--json", "--home", home)

    assert (several.code, several.out) == (2, "")
    first, *choices = several.err.splitlines()
    assert first == "hub: K17 runs 2 times in this case: which is meant?"
    assert choices == [
        f"     --instance {one['instance']}: owed by {one['owed_by'][0]} to {COUNCIL}, due {one['due_on']}" for one in listed
    ]
    assert {one["owed_by"][0] for one in listed} == {ICB, POLICE}
    assert named.document["deadline"]["instance"] == listed[0]["instance"]


def test_deadlines_are_listed_by_urgency_and_filtered(hub: Served) -> None:
    of_case = hub.ran("deadlines", "--case", CASE, "--json").document
    overdue = hub.ran("deadlines", "--overdue", "--json").document["deadlines"]
    before = hub.ran("deadlines", "--case", CASE, "--as-of", "2024-01-01", "--json").document

    assert (of_case["as"], of_case["more"]) == (PANEL, False)
    assert [one["clock"] for one in of_case["deadlines"] if one["status"] == "met on time"] == ["K1"]
    assert {one["band"] for one in overdue} == {"overdue"}
    assert {one["clock"] for one in overdue} == {one["clock"] for one in of_case["deadlines"] if one["band"] == "overdue"}
    assert before["deadlines"] == []
    limited = hub.ran("deadlines", "--case", CASE, "--limit", "1", "--json").document
    assert (limited["more"], limited["deadlines"]) == (True, of_case["deadlines"][:1])
    assert hub.ran("deadlines", "--overdue", "--csv").out.count("\n") == 1 + len(overdue)


def test_filters_of_deadlines_take_a_clock_in_small_letters_and_the_partners(hub: Served) -> None:
    named = hub.ran("deadlines", "--clock", "k5b", "--json").document["deadlines"]
    owed = hub.ran("deadlines", "--case", CASE, "--owed-by", "partners", "--json").document["deadlines"]

    assert [one["clock"] for one in named] == ["K5B"]
    assert {owner for one in owed for owner in one["owed_by"]} == {"partners"}


def test_a_deadline_explains_itself(hub: Served) -> None:
    words = hub.ran("deadlines", "--explain", CASE, "K5B")
    told = hub.ran("deadlines", "--explain", CASE, "k5b", "--as", COUNCIL, "--json").document

    assert "15 working days" in words.out
    assert words.out.count("2024-03-09: Saturday") == 1
    assert [day for day in told["skipped_days"] if any(day in line for line in told["lines"])] == []
    assert (told["deadline"]["clock"], told["deadline"]["day_zero"]) == ("K5B", "2024-03-04")
    assert told["deadline"] in hub.ran("deadlines", "--case", CASE, "--as", COUNCIL, "--json").document["deadlines"]
    assert hub.ran("deadlines", "--explain", CASE, "K17").code == 3
