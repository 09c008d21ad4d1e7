"""Intake on a node that is behind: what other nodes wrote to the log is known before anybody is refused."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from domain.agency.events import AgencyEnrolled
from domain.kernel.agencies import OPERATOR_ID, kind_of
from domain.kernel.ids import NATIONAL, AgencyId
from safeguarding.hub.client.client import HubClient
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import Identity
from safeguarding.hub.client.outcomes import Receipt, Unresolved
from safeguarding.hub.v1.append_pb2 import Outcome, RefusalCode
from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from services import bootstrap
from services.bootstrap import make_identity, now
from services.eventstore.cluster import ClusterEventStore
from services.eventstore.codec import to_message
from services.eventstore.fold import Outcome as Fate
from services.eventstore.fold import Positions
from services.eventstore.opening import Opener
from services.eventstore.outcome import from_bytes
from services.eventstore.store import NodeStore
from services.eventstore.tables import open_reader
from services.intake import log_ends
from services.intake.intake import Intake
from services.intake.registry import RegistryFollower
from services.runtime.errors import NotFound, Unavailable
from services.runtime.settings import Settings
from services.trust.possession import registration
from services.trust.registry import RegistryState
from services.trust.signing import load_public_key
from tests.support.builders import (
    COUNCIL,
    ICB,
    LIVE_FROM,
    POLICE,
    SHARD,
    a_notification,
    a_partnership_established,
    a_proceeding,
    a_share,
    an_entry,
)
from tests.support.eventually import eventually
from tests.support.hub import RunningHub, running_hub
from tests.support.shared_log import NodesLog, SharedLog

HELD_SECONDS = 0.3
WITHIN_SECONDS = 20.0
MEMBERS = (COUNCIL, ICB, POLICE)
TELLERS_EACH, EVENTS_EACH = 6, 10


@dataclass
class Second:
    """A hub on a shared log, and beside it a second node's store and intake; ``log``: the second node's way to the log."""

    hub: RunningHub
    log: NodesLog
    intake: Intake
    store: ClusterEventStore

    def signed(self, agency_id: str, case_id: str) -> SignedEvent:
        """Sign a proceeding of a case."""
        sender = Sender(agency_id=agency_id, source="second", shard=SHARD, log_origin=self.hub.settings.log_origin, actor_role="tester")
        key = Identity.from_folder(self.hub.settings.agency_folder(agency_id)).signing_key
        draft = Draft(event=to_message(a_proceeding(str(uuid.uuid4()))), case_id=case_id)
        return SignedEvent.FromString(sign(draft, sender, key, 1).message)

    def records(self) -> int:
        """Return how many records the shard's partition has."""
        (partition,) = [partition for partition, shard in self.store._state.places().items() if shard == SHARD]
        return len(self.log.shared.records(partition))

    async def answers_only_when_told(self, agency_id: str, event: SignedEvent) -> Outcome:
        """Send an event through the second node; it is answered after what the other node wrote has come to it, and not before."""
        asked = asyncio.ensure_future(self.intake.append(AgencyId(agency_id), [event]))
        done, _ = await asyncio.wait([asked], timeout=HELD_SECONDS)
        assert not done, "it was answered from what this node happened to know"
        self.log.is_held = False
        (outcome,) = await asked
        return outcome


def outcomes(state: Path) -> list[type[Fate]]:
    """Return what became of every append that a node has folded."""
    with closing(open_reader(state)) as connection:
        return [type(from_bytes(result)) for (result,) in connection.execute("SELECT result FROM append")]


@pytest.fixture
def second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Second]:
    shared = SharedLog()

    def store_of(settings: Settings, *_: object) -> NodeStore:
        return ClusterEventStore(settings.event_store_file, NodesLog(shared), root=NATIONAL)

    monkeypatch.setattr(bootstrap, "event_store", store_of)
    with running_hub(tmp_path / "first") as hub:
        log = NodesLog(shared)
        store = ClusterEventStore(tmp_path / "second" / "events.sqlite", log, root=NATIONAL)
        for name in hub.parts.store.shards():
            store.create_shard(name)
        opener = Opener(hub.parts.keys)
        intake = Intake(
            store=store,
            registry=RegistryFollower(store, opener, RegistryState(*load_public_key(hub.settings.operator_public_key_file))),
            keys=hub.parts.keys,
            opener=opener,
            examiners=hub.parts.examiners,
            metrics=hub.parts.metrics,
            clock=now,
            log_origin=hub.settings.log_origin,
            node_id="second",
        )
        try:
            yield Second(hub, log, intake, store)
        finally:
            log.is_held = False
            store.close()


async def test_a_case_that_another_node_began_is_known_before_an_event_of_it_is_refused(second: Second) -> None:
    case_id = str(uuid.uuid4())
    second.log.is_held = True
    await second.hub.said(COUNCIL, a_notification(), case_id=case_id)
    outcome = await second.answers_only_when_told(COUNCIL, second.signed(COUNCIL, case_id))
    assert outcome.receipt.version == 2, outcome


async def test_an_agency_that_another_node_enrolled_is_known_before_its_event_is_refused(second: Second) -> None:
    case_id, agency_id = str(uuid.uuid4()), AgencyId("police-newtown")
    await second.hub.said(COUNCIL, a_notification(), case_id=case_id)
    key = make_identity(second.hub.settings, agency_id)
    event = second.signed(agency_id, case_id)
    second.log.is_held = True
    enrolled = AgencyEnrolled(
        agency_id=agency_id, kind=kind_of(agency_id), name="Newtown (synthetic)", live_from=LIVE_FROM, shards=(SHARD,)
    )
    await second.hub.said(OPERATOR_ID, enrolled, registration(key, agency_id, f"{agency_id}:1"))
    outcome = await second.answers_only_when_told(agency_id, event)
    assert outcome.refusal.rule == "incident.member", "it is known, and its signature sound; the case is not its own"


async def test_a_partnership_that_finds_no_partition_begins_at_the_next_attempt(second: Second) -> None:
    established = replace(a_partnership_established(), name="Southmoor (synthetic)")
    shared = second.log.shared
    shared.partition_count, shared.may_grow = 2, False
    async with second.hub.client(OPERATOR_ID, shard="southmoor") as client:
        (refused,) = await client.append_many([Draft(event=to_message(established))], deadline_seconds=2)
        assert isinstance(refused, Unresolved), refused
        assert "the log gets no partitions" in refused.reason
        shared.partition_count = 3
        (again,) = await client.resume()
        assert isinstance(again, Receipt), again


async def test_what_is_refused_on_the_whole_log_is_refused(second: Second) -> None:
    (outcome,) = await second.intake.append(COUNCIL, [second.signed(COUNCIL, str(uuid.uuid4()))])
    assert outcome.refusal.code == RefusalCode.REFUSAL_CODE_REFUSED


async def test_a_node_that_cannot_know_says_so(second: Second, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id = str(uuid.uuid4())
    event = second.signed(COUNCIL, case_id)
    monkeypatch.setattr(log_ends, "APPEND_DEADLINE_SECONDS", 0.2)
    second.log.is_held = True
    await second.hub.said(COUNCIL, a_notification(), case_id=case_id)
    (outcome,) = await second.intake.append(COUNCIL, [event])
    assert outcome.refusal.code == RefusalCode.REFUSAL_CODE_UNAVAILABLE
    with pytest.raises(Unavailable):
        await second.intake.receipt(COUNCIL, SHARD, b"x" * 16)


async def test_a_receipt_that_another_node_gave_is_given_again(second: Second) -> None:
    second.log.is_held = True
    (receipt,) = await second.hub.said(COUNCIL, a_notification(), case_id=str(uuid.uuid4()))
    asked = asyncio.ensure_future(second.intake.receipt(COUNCIL, SHARD, receipt.event_id))
    await asyncio.wait([asked], timeout=HELD_SECONDS)
    second.log.is_held = False
    assert (await asked).position == receipt.position
    with pytest.raises(NotFound):
        await second.intake.receipt(COUNCIL, SHARD, b"x" * 16)


async def test_callers_who_contend_for_a_stream_on_one_node_cause_no_void(second: Second) -> None:
    case_id = str(uuid.uuid4())
    await second.hub.said(COUNCIL, a_notification(), case_id=case_id)

    async def tell(client: HubClient) -> None:
        for _ in range(EVENTS_EACH):
            await client.append(to_message(a_share(an_entry(str(uuid.uuid4())))), case_id=case_id)

    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(second.hub.client(agency_id)) for agency_id in MEMBERS]
        await asyncio.gather(*(tell(client) for client in clients for _ in range(TELLERS_EACH)))
    assert set(outcomes(second.hub.settings.event_store_file)) == {Positions}
    assert second.hub.parts.store.shard(SHARD).stream_version(f"sharing-{case_id}") == len(MEMBERS) * TELLERS_EACH * EVENTS_EACH


async def test_what_is_void_after_its_caller_has_gone_is_not_proposed_anew_until_the_caller_comes_again(second: Second) -> None:
    case_id = str(uuid.uuid4())
    await second.hub.said(COUNCIL, a_notification(), case_id=case_id)
    second.store.come_to_end(SHARD, WITHIN_SECONDS)
    second.log.is_held = True
    await second.hub.said(COUNCIL, a_proceeding(str(uuid.uuid4())), case_id=case_id)
    event = second.signed(COUNCIL, case_id)
    before = second.records()
    asked = asyncio.ensure_future(second.intake.append(COUNCIL, [event]))
    assert await asyncio.to_thread(eventually, lambda: second.records() == before + 1), "it is proposed, at a version that is taken"
    asked.cancel()
    await asyncio.wait([asked])
    second.log.is_held = False
    second.store.come_to_end(SHARD, WITHIN_SECONDS)
    await asyncio.sleep(HELD_SECONDS)
    assert second.records() == before + 1, "it was proposed anew for nobody"
    (outcome,) = await second.intake.append(COUNCIL, [event])
    assert outcome.receipt.version == 3, outcome
