"""A client that knows several nodes of a hub goes on with the next when one fails, and nothing is lost or doubled by that."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import grpc
import pytest

from safeguarding.hub.client import BlockingHubClient, Draft, HubClient, Identity, Receipt, Refusal, Sender, sending
from safeguarding.hub.client.nodes import addresses_of
from safeguarding.hub.v1 import append_pb2 as wire
from safeguarding.hub.v1.incident_pb2 import NotificationWithdrawn
from tests.support.builders import CASE
from tests.support.loopback_hub import Files, LoopbackHub, drop_after, refuse_request, unavailable


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "BACKOFF_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(sending, "BACKOFF_MAX_SECONDS", 0.1)


@pytest.fixture
def other(hub: LoopbackHub, files: Files) -> Iterator[LoopbackHub]:
    """Another node with the same log."""
    with LoopbackHub(files, log=hub.log, versions=hub.versions, headers=hub.headers) as running:
        yield running


@pytest.fixture
def opened(hub: LoopbackHub, other: LoopbackHub, sender: Sender, identity: Identity) -> HubClient:
    return HubClient(f"{hub.target}, {other.target}", sender=sender, identity=identity)


def drafts(count: int) -> list[Draft]:
    return [Draft(event=NotificationWithdrawn(rationale=f"Reason {number}."), case_id=CASE) for number in range(count)]


async def test_the_first_node_is_spoken_to_while_it_answers(opened: HubClient, hub: LoopbackHub, other: LoopbackHub) -> None:
    async with opened:
        await opened.append_many(drafts(3))
        assert opened.address == hub.target
    assert other.requests == []


async def test_when_a_node_dies_under_load_its_clients_go_on_with_the_next(opened: HubClient, hub: LoopbackHub, other: LoopbackHub) -> None:
    async with opened:
        sent = asyncio.create_task(opened.append_many(iter(drafts(1_500))))
        while not hub.log:  # noqa: ASYNC110  # the hub is no part of this loop
            await asyncio.sleep(0.005)
        await asyncio.to_thread(hub.stop)
        outcomes = await sent
        assert opened.address == other.target
    assert sorted(outcome.position for outcome in outcomes if isinstance(outcome, Receipt)) == list(range(1, 1_501))
    assert other.requests != []


async def test_what_a_node_cannot_have_decided_comes_to_the_next_in_its_order(
    opened: HubClient, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "REQUEST_MAX_EVENTS", 2)
    hub.faults += [unavailable() for _ in range(20)]
    async with opened:
        outcomes = await opened.append_many(drafts(12))
    positions = [outcome.position for outcome in outcomes if isinstance(outcome, Receipt)]
    assert positions == sorted(positions)
    assert len(positions) == 12


async def test_a_node_that_is_not_there_at_the_beginning_is_passed_over(opened: HubClient, hub: LoopbackHub, other: LoopbackHub) -> None:
    hub.stop()
    async with opened:
        (outcome,) = await opened.append_many(drafts(1))
    assert isinstance(outcome, Receipt)
    assert len(other.requests) == 1


async def test_an_event_that_one_node_decided_without_our_hearing_it_has_its_receipt_from_the_next(
    opened: HubClient, hub: LoopbackHub, other: LoopbackHub
) -> None:
    hub.faults.append(drop_after(1))
    async with opened:
        (outcome,) = await opened.append_many(drafts(1))
    assert isinstance(outcome, Receipt)
    assert (len(hub.requests), len(other.requests), len(hub.log)) == (1, 1, 1)


async def test_a_node_that_cannot_have_an_event_decided_is_left(opened: HubClient, hub: LoopbackHub, other: LoopbackHub) -> None:
    hub.faults.append(unavailable())
    async with opened:
        (outcome,) = await opened.append_many(drafts(1))
        assert opened.address == other.target
    assert isinstance(outcome, Receipt)
    assert (len(hub.requests), len(other.requests)) == (1, 1)


async def test_a_request_that_a_node_turns_away_because_there_were_too_many_is_no_reason_to_leave_it(
    opened: HubClient, hub: LoopbackHub, other: LoopbackHub
) -> None:
    hub.faults.append(refuse_request(grpc.StatusCode.RESOURCE_EXHAUSTED.value[0], "the agency's quota of events a second is used up"))
    async with opened:
        await opened.append_many(drafts(1))
    assert (len(hub.requests), len(other.requests)) == (2, 0)


async def test_a_refusal_is_an_answer_and_is_asked_of_no_other_node(opened: HubClient, hub: LoopbackHub, other: LoopbackHub) -> None:
    async with opened:
        (outcome,) = await opened.append_many([Draft(event=NotificationWithdrawn(rationale="No."), case_id=CASE, actor_role="refuse me")])
    assert isinstance(outcome, Refusal)
    assert outcome.code == wire.REFUSAL_CODE_REFUSED
    assert (len(hub.requests), len(other.requests)) == (1, 0)


async def test_when_the_next_node_fails_too_the_first_is_spoken_to_again(opened: HubClient, hub: LoopbackHub, other: LoopbackHub) -> None:
    hub.stop()
    async with opened:
        await opened.append_many(drafts(1))
        await asyncio.to_thread(hub.start)
        await asyncio.to_thread(other.stop)
        (outcome,) = await opened.append_many(drafts(1))
        assert opened.address == hub.target
    assert isinstance(outcome, Receipt)


async def test_a_receipt_is_looked_for_on_the_next_node(opened: HubClient, hub: LoopbackHub) -> None:
    async with opened:
        (outcome,) = await opened.append_many(drafts(1))
        assert isinstance(outcome, Receipt)
        await asyncio.to_thread(hub.stop)
        assert await opened.get_receipt("northmoor", outcome.event_id, deadline_seconds=20) == outcome


def test_the_blocking_clients_channel_leads_to_the_node_that_answers(
    hub: LoopbackHub, other: LoopbackHub, sender: Sender, identity: Identity
) -> None:
    with BlockingHubClient(f"{hub.target},{other.target}", sender=sender, identity=identity) as blocking:
        before = blocking.channel
        assert blocking.channel is before
        hub.stop()
        blocking.append_many(drafts(1))
        assert blocking.channel is not before
        grpc.channel_ready_future(blocking.channel).result(timeout=20)


def test_a_target_without_an_address_is_refused(sender: Sender, identity: Identity) -> None:
    assert addresses_of("a:1, b:2 ,") == ("a:1", "b:2")
    with pytest.raises(ValueError, match="expected host:port of a hub"):
        HubClient(" , ", sender=sender, identity=identity)
