"""``hub log``, and ``hub rebuild`` and ``hub verify`` of what lies on it, beside a hub that serves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from domain.kernel.agencies import HUB_ID
from domain.sharing.events import NilReturn
from safeguarding.hub.client.drafts import Draft
from services.cli.calling import sdk_client
from services.eventstore.codec import to_message
from tests.support.builders import CASE, COUNCIL, ICB, SHARD, a_share, an_entry, an_id
from tests.support.settled import Served, settled_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with settled_hub(tmp_path_factory.mktemp("cli") / "hub") as served:
        yield served


def test_the_log_shows_places_and_keeps_bodies_sealed(hub: Served) -> None:
    shards = hub.ran("log", "--json").document["shards"]
    stream = hub.ran("log", f"incident-{CASE}", "--json").document["events"]
    opened = hub.ran("log", f"incident-{CASE}", "--body", "--json")

    assert [one["shard"] for one in shards] == ["national", SHARD]
    assert [(one["version"], one["event_type"], one["agency_id"]) for one in stream] == [(1, "incident.notified.v1", COUNCIL)]
    assert "body" not in stream[0]
    assert opened.document["events"][0]["body"]["circumstances"] == "Synthetic circumstances."
    assert "recorded nowhere" in opened.err
    assert hub.ran("log", "national", "--limit", "1", "--json").document["events"][0]["event_type"] == "agency.enrolled.v1"
    assert hub.ran("log", "nonsense").code == 2


def test_a_name_that_is_no_text_is_none_of_the_log(hub: Served) -> None:
    asked = hub.ran("log", "a\udcff")
    assert (asked.code, "'a\\udcff' is neither a shard nor a stream" in asked.err) == (2, True)


def test_a_shard_that_is_no_text_is_wrong_usage(hub: Served) -> None:
    asked = hub.ran("chronology", CASE, "--shard", "a\udcff", "--as", ICB)
    assert (asked.code, asked.err.splitlines()[0]) == (2, "hub: what was given is no text in Unicode")


def test_the_numbers_that_a_system_never_used_are_shown(hub: Served) -> None:
    async def told() -> list[str]:
        async with sdk_client(hub.settings, ICB, shard=SHARD, source="gaps", actor_role="nurse") as client:
            events = (NilReturn(request_id=an_id(9), searched="All."), a_share(an_entry(an_id(10))))
            drafts = [Draft(event=to_message(one), case_id=CASE) for one in events]
            return [type(outcome).__name__ for outcome in await client.append_many(drafts)]

    assert asyncio.run(told()) == ["Refusal", "Receipt"]
    (found,) = hub.ran("sources", SHARD, "--of", ICB, "--gaps", "--json").document["sources"]
    shown = hub.ran("sources", SHARD, "--gaps")

    expected = {"shard": SHARD, "agency_id": ICB, "source": "gaps", "events": 1, "last_number": 2, "missing": 1, "repeated": 0}
    assert found == {**expected, "gaps": [{"first": 1, "last": 1}]}
    assert (shown.code, " gaps " in shown.out, shown.out.splitlines()[-1]) == (0, True, "1 system with missing numbers")
    hub.ran("chronology", CASE, "--as", ICB)
    assert [one["agency_id"] for one in hub.ran("sources", "--json").document["sources"] if one["agency_id"] == HUB_ID] == []
    assert hub.ran("sources", "--of", HUB_ID, "--json").document["sources"]
    assert hub.ran("sources", "nowhere").code == 2


def test_a_body_is_shown_to_people_in_lines_without_what_it_leaves_unsaid(hub: Served) -> None:
    stream = f"incident-{CASE}"
    shown = hub.ran("log", stream, "--body").out
    event = hub.ran("log", stream, "--body", "--json").document["events"][0]

    assert f"\n{event['position']}: {{\n" in shown
    assert '\n  "circumstances": "Synthetic circumstances.",\n' in shown
    assert "null" not in shown
    told = json.loads(shown.partition(f"\n{event['position']}: ")[2].rpartition("\n}\n")[0] + "}")
    assert (told["children"][0]["sex"], told["details"]) == ("female", {"done_at": event["body"]["details"]["done_at"]})
    assert None in event["body"]["details"].values()


def test_who_read_a_case_is_on_the_log(hub: Served) -> None:
    hub.ran("chronology", CASE, "--as", ICB, "--user", "u-17", "--role", "named-doctor")

    viewed = hub.ran("log", f"access-{CASE}", "--body", "--json", "--limit", "1000").document["events"]
    assert ("u-17", "named-doctor", ICB) in [
        (one["body"]["viewer_user"], one["body"]["viewer_role"], one["body"]["viewer_agency"]) for one in viewed
    ]


def test_views_are_rebuilt_and_verified_beside_the_hub(hub: Served) -> None:
    rebuilt = hub.ran("rebuild", "deadlines", "--json").document
    assert [one["view"] for one in rebuilt["views"]] == ["deadlines"]
    assert hub.ran("rebuild", "nonsense").code == 2
    assert hub.ran("deadlines", "--case", CASE, "--json").code == 0

    verified = hub.ran("verify", "--json")
    assert (verified.code, verified.document["passed"], verified.document["problems"]) == (0, True, [])
    assert [(one["view"], one["matches"]) for one in verified.document["views"]] == [
        (view, True) for view in ("chronology", "deadlines", "oversight", "registry")
    ]
