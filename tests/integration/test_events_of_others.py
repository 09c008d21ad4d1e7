"""Events that another application put into the hub's store: whoever reads the log sees where they lie, and reads on."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate

from domain.kernel.agencies import OPERATOR_ID
from domain.kernel.ids import NATIONAL
from safeguarding.hub.v1.event_log_pb2 import LogEntry
from safeguarding.hub.v1.query_pb2 import MinPosition
from safeguarding.hub.v1.registry_pb2 import ListPartnershipsRequest
from services.bootstrap import found_home
from services.eventstore.port import Accepted, Append, ProposedEvent, Stored
from services.eventstore.recorders import NO_HEADER_HASH
from services.queries.sight import NOT_OF_THE_HUB, logged_event
from services.runtime.randomness import rising_id
from services.runtime.settings import load_settings
from tests.support.builders import COUNCIL, SHARD
from tests.support.command import ran
from tests.support.hub import RunningHub
from tests.support.reading import CALL_SECONDS, a_told_case, caught_up, first, queries


def the_aggregate_of_an_application(home: Path) -> Aggregate:
    """Found a hub, and have an application of eventsourcing save an aggregate of two events in its store."""
    settings = load_settings(home=home)
    found_home(settings)
    store = {
        "PERSISTENCE_MODULE": "services.eventstore.local",
        "EVENTSTORE_PATH": str(home / "store" / "events.sqlite"),
        "EVENTSTORE_SHARD": NATIONAL,
    }
    with Application[UUID](env=store) as application:
        aggregate = Aggregate()
        aggregate.trigger_event(Aggregate.Event)
        application.save(aggregate)
        application.close()
    return aggregate


def test_the_log_shows_an_event_of_an_application_as_what_it_is_and_goes_on(tmp_path: Path) -> None:
    aggregate = the_aggregate_of_an_application(tmp_path / "hub")
    told = ran("log", NATIONAL, "--home", tmp_path / "hub", "--body", "--json").document["events"]
    shown = ran("log", NATIONAL, "--home", tmp_path / "hub", "--body")

    places = [(one["stream"], one["version"], one["event_type"], one["agency_id"], "body" in one) for one in told if not one["is_of_hub"]]
    assert places == [
        (str(aggregate.id), 1, "eventsourcing.domain:Aggregate.Created", "", False),
        (str(aggregate.id), 2, "eventsourcing.domain:Aggregate.Event", "", False),
    ]
    assert [one["position"] for one in told] == list(range(1, len(told) + 1))
    assert {one["agency_id"] for one in told if one["is_of_hub"]} == {OPERATOR_ID}
    assert shown.code == 0
    assert [line.endswith(NOT_OF_THE_HUB) for line in shown.out.splitlines() if str(aggregate.id) in line] == [True, True]
    assert f"\n{len(told)}: {NOT_OF_THE_HUB}\n" in shown.out


async def lets_allotments(hub: RunningHub, shard: str, stream: str) -> int:
    """Have another application append two events to a new stream; return the first one's position."""
    events = [
        ProposedEvent(
            stream=stream,
            version=version,
            event_id=rising_id(),
            header_hash=NO_HEADER_HASH,
            key_id="",
            type="allotment.let",
            state=b'{"plot": 7}',
        )
        for version in (1, 2)
    ]
    append = Append(append_id=rising_id(), shard=shard, node_id="others", expectations=(), events=tuple(events))
    result = await asyncio.wrap_future(hub.parts.store.create_shard(shard).append(append))
    assert isinstance(result, Accepted)
    return result.placed[0].position


async def test_a_stream_and_a_subscription_name_an_event_of_others_and_go_on(hub: RunningHub) -> None:
    stream = "partnership-allotments"
    begin = await lets_allotments(hub, SHARD, stream)
    case_id, position = await a_told_case(hub)
    await caught_up(hub, position)

    async with queries(hub, COUNCIL) as asks:
        page = await asks.stream(stream)
        followed = await first(asks.subscribe(begin - 1))

    assert [told_of(entry) for entry in page.entries] == [
        (begin, stream, 1, "allotment.let", NOT_OF_THE_HUB, b""),
        (begin + 1, stream, 2, "allotment.let", NOT_OF_THE_HUB, b""),
    ]
    assert list(followed.entries)[:2] == list(page.entries)
    assert f"incident-{case_id}" in [entry.stream for entry in followed.entries]


async def test_a_partnership_that_others_write_over_is_missing_from_the_list_and_said_to_be(hub: RunningHub) -> None:
    begin = await lets_allotments(hub, "allotments", "partnership-allotments")
    both = [MinPosition(shard=SHARD, position=1), MinPosition(shard="allotments", position=begin + 1)]

    async with queries(hub, COUNCIL) as asks:
        listed = await asks.registry.ListPartnerships(ListPartnershipsRequest(min_positions=both), timeout=CALL_SECONDS)

    assert [one.shard for one in listed.partnerships] == [SHARD]
    assert ("allotments", ["partnership-allotments"]) in [(one.shard, list(one.parked_streams)) for one in listed.freshness]


def test_an_event_without_anything_in_it_is_none_of_the_hub() -> None:
    stored = Stored(
        position=1, stream="allotment-7", version=1, event_id=rising_id(), header_hash=NO_HEADER_HASH, type="x", recorded_at_ms=0, state=b""
    )
    assert logged_event(stored) is None


def told_of(entry: LogEntry) -> tuple[object, ...]:
    """Return what an entry says of its place, and what of its event."""
    return (entry.position, entry.stream, entry.version, entry.event_type, entry.body_withheld, entry.header)
