"""``hub deadlines --explain`` of a clock that runs more than once in a case, against a hub served in a process of its own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

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
