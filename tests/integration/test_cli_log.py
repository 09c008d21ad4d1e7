"""``hub log``, and ``hub rebuild`` and ``hub verify`` of what lies on it, beside a hub that serves."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.builders import CASE, COUNCIL, ICB, SHARD
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


def test_the_numbers_that_a_system_never_used_are_shown(hub: Served) -> None:
    found = hub.ran("sources", SHARD, "--of", COUNCIL, "--json").document["sources"]
    log = hub.ran("log", SHARD, "--limit", "1000", "--json").document["events"]
    shown = hub.ran("sources", SHARD)

    used = {one["source_sequence"] for one in log if one["agency_id"] == COUNCIL}
    assert [(one["agency_id"], one["events"], one["last_number"]) for one in found] == [(COUNCIL, len(used), max(used))]
    assert found[0]["missing"] == max(used) - len(used)
    assert (shown.code, COUNCIL in shown.out) == (0, True)
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
