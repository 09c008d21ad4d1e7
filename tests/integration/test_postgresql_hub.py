"""A hub whose views lie in PostgreSQL, end to end: over real sockets, with commands beside it, and started again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from projections.views import VIEWS
from tests.support.builders import COUNCIL, SHARD
from tests.support.command import ran
from tests.support.hub import RunningHub, running_hub
from tests.support.reading import a_told_case, queries

CASES = 3


async def told_and_read(hub: RunningHub) -> dict[str, int]:
    """Have cases told, and see each in its council's queries; return how many lines each has."""
    lines = {}
    async with queries(hub, COUNCIL) as asks:
        for _ in range(CASES):
            case_id, position = await a_told_case(hub)
            story = await asks.story(case_id, min_position=position)
            owed = await asks.owed(case_id=case_id)
            assert {one.clock for one in owed.deadlines} >= {"K5B"}
            lines[case_id] = len(story.lines)
    return lines


async def read(hub: RunningHub, cases: dict[str, int]) -> dict[str, int]:
    """Return how many lines cases have now."""
    async with queries(hub, COUNCIL) as asks:
        return {case_id: len((await asks.story(case_id)).lines) for case_id in cases}


def test_a_hub_keeps_its_views_in_postgresql(tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_DATABASE_URL", postgresql_url)
    password = str(make_url(postgresql_url).password)
    with running_hub(tmp_path) as hub:
        cases = asyncio.run(told_and_read(hub))
        head = hub.parts.store.shard(SHARD).head().position
        assert (hub.settings.view_store_file.exists(), hub.parts.projector.works) == (False, True)
        rebuilt = ran("rebuild", "--home", tmp_path, "--json")
        assert rebuilt.code == 0, rebuilt.err
        assert {view["view"]: view["positions"][SHARD] >= head for view in rebuilt.document["views"]} == {view.name: True for view in VIEWS}
        assert asyncio.run(read(hub, cases)) == cases
        assert hub.parts.views.size_bytes() > 0
    with running_hub(tmp_path) as again:
        assert asyncio.run(read(again, cases)) == cases
    verified = ran("verify", "--home", tmp_path, "--json")
    assert verified.code == 0, verified.err + verified.out
    assert all(view["matches"] for view in verified.document["views"]), "PostgreSQL's rows are not those of the rebuild in SQLite"
    doctor = ran("doctor", "--home", tmp_path, "--json")
    assert {check["grade"] for check in doctor.document["checks"] if check["what"] == "view"} == {"OK"}
    assert [one["value"] for one in doctor.document["settings"] if one["name"] == "database_url"] == ["set, not shown"]
    assert not any(password in text for one in (rebuilt, verified, doctor) for text in (one.out, one.err))


def test_a_database_that_does_not_let_the_hub_in_is_said_without_its_address(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_hub(tmp_path, populate=False):
        pass
    wrong = {
        make_url(postgresql_url).set(password="an-open-secret").render_as_string(hide_password=False): 4,  # noqa: S106 (it opens nothing)
        "postgresql+psycopg://hub:an-open-secret@127.0.0.1:1/hub": 4,
        "postgresql+psycopg://hub:an-open@secret:x/y@127.0.0.1:an-open/hub": 2,
    }
    for url, code in wrong.items():
        monkeypatch.setenv("HUB_DATABASE_URL", url)
        said = ran("verify", "--home", tmp_path)
        assert (said.code, "HUB_DATABASE_URL" in said.err) == (code, True), said.err
        assert not any(word in said.err + said.out for word in ("an-open", "secret"))
