"""A node that follows some shards only: it answers for those, and names what it does not follow instead of answering less."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from domain.kernel.ids import NATIONAL, KeyId
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import Identity
from safeguarding.hub.v1 import oversight_pb2, registry_pb2
from safeguarding.hub.v1.append_pb2 import RefusalCode
from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from services import bootstrap
from services.eventstore.cluster import ClusterEventStore
from services.eventstore.codec import to_message
from services.eventstore.follower import Member
from services.eventstore.store import NodeStore
from services.runtime.errors import Unavailable
from services.runtime.settings import Settings
from tests.support.builders import COUNCIL, PANEL, SHARD, a_notification
from tests.support.hub import RunningHub, running_hub
from tests.support.reading import ASKS, CALL_SECONDS, Queries, a_uuid, case_calls, queries, refusal
from tests.support.shared_log import NodesLog, SharedLog

CASE_ID = a_uuid()


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A second node of a hub with one partnership, which it does not follow."""
    folder, shared = tmp_path_factory.mktemp("partial"), SharedLog()

    def store_of(settings: Settings, *_: object) -> NodeStore:
        member = Member(node_id=settings.node_id, follows=settings.shards)
        return ClusterEventStore(settings.event_store_file, NodesLog(shared), root=NATIONAL, member=member)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bootstrap, "event_store", store_of)
        with running_hub(folder / "first") as first:
            first.run(first.said(COUNCIL, a_notification(), case_id=CASE_ID))
            home = folder / "second"
            shutil.copytree(first.settings.home, home, ignore=shutil.ignore_patterns("store"))
            (home / "store").mkdir()
            (home / "store" / "keys.sqlite").symlink_to(first.settings.key_store_file)
            with running_hub(home, kafka_bootstrap="in.memory:1", shards="elsewhere", node_id="node-2") as second:
                yield second


async def told(partial: RunningHub, agency_id: str) -> dict[str, str]:
    """Return what each query of a case, or of all cases, is told."""
    async with queries(partial, agency_id) as asks:
        calls = case_calls(asks, CASE_ID) if agency_id == COUNCIL else of_all(asks)
        refused = {name: await refusal(call()) for name, call in calls.items()}
    assert {one.code for one in refused.values()} == {"UNAVAILABLE"}, refused
    return {name: one.message or "" for name, one in refused.items()}


def of_all(asks: Queries) -> dict[str, object]:
    period = {"period_from": "2026-01-01", "period_until": "2026-12-31"}
    table = oversight_pb2.GetTableRequest(table="A", **period)
    return {
        "ListCases": lambda: asks.oversight.ListCases(oversight_pb2.ListCasesRequest(), metadata=ASKS, timeout=CALL_SECONDS),
        "GetTable": lambda: asks.oversight.GetTable(table, metadata=ASKS, timeout=CALL_SECONDS),
        "GetTimeliness": lambda: asks.oversight.GetTimeliness(
            oversight_pb2.GetTimelinessRequest(**period), metadata=ASKS, timeout=CALL_SECONDS
        ),
        "ListDeadlines": asks.owed,
    }


async def test_every_question_about_a_case_of_another_shard_is_answered_with_its_name(partial: RunningHub) -> None:
    answers = await told(partial, COUNCIL)
    assert {name: text for name, text in answers.items() if text != f"this node does not follow shard '{SHARD}'"} == {}


async def test_a_question_about_all_cases_is_not_answered_from_some_of_them(partial: RunningHub) -> None:
    assert set((await told(partial, PANEL)).values()) == {"this node follows elsewhere alone; ask one that follows every shard"}


async def test_an_event_of_another_shard_is_refused_and_may_be_sent_to_another_node(partial: RunningHub) -> None:
    settings = partial.settings
    sender = Sender(agency_id=COUNCIL, source="partial", shard=SHARD, log_origin=settings.log_origin, actor_role="tester")
    key = Identity.from_folder(settings.agency_folder(COUNCIL)).signing_key
    signed = sign(Draft(event=to_message(a_notification()), case_id=a_uuid()), sender, key, 1).message
    (outcome,) = await partial.parts.intake.append(COUNCIL, [SignedEvent.FromString(signed)])
    assert outcome.refusal.code == RefusalCode.REFUSAL_CODE_UNAVAILABLE
    assert outcome.refusal.reason == f"this node does not follow shard '{SHARD}'"


async def test_agencies_and_keys_are_known_to_every_node(partial: RunningHub) -> None:
    async with queries(partial, COUNCIL) as asks:
        position = partial.parts.store.shard(NATIONAL).head().position
        request = registry_pb2.ListAgenciesRequest(min_position=position)
        listed = await asks.registry.ListAgencies(request, metadata=ASKS, timeout=CALL_SECONDS)
    assert COUNCIL in [agency.agency_id for agency in listed.agencies]


async def test_the_partnerships_are_not_told_from_some_of_them(partial: RunningHub) -> None:
    async with queries(partial, COUNCIL) as asks:
        told = await refusal(asks.registry.ListPartnerships(registry_pb2.ListPartnershipsRequest(), timeout=CALL_SECONDS))
    assert (told.code, told.message) == ("UNAVAILABLE", "this node follows elsewhere alone; ask one that follows every shard")


def test_what_is_carried_into_every_shard_goes_to_those_that_are_followed(partial: RunningHub) -> None:
    assert [done.result(10) for done in partial.parts.registry.spread([KeyId(f"{COUNCIL}:lost")])] == [None]
    assert partial.parts.store.shards() == (NATIONAL,)
    with pytest.raises(Unavailable, match=f"does not follow shard '{SHARD}'"):
        partial.parts.store.shard(SHARD)
