from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import grpc
import pytest

from safeguarding.hub.client import (
    AppendRefused,
    AppendUnresolved,
    BlockingHubClient,
    CallFailed,
    ClientClosed,
    Code,
    Credentials,
    Draft,
    Finding,
    HubClient,
    Identity,
    NotSendable,
    OutboxUnusable,
    Receipt,
    Refusal,
    Sender,
    Unresolved,
    keeping,
    sending,
)
from safeguarding.hub.client import client as client_module
from safeguarding.hub.client.outbox import Kept, Outbox
from safeguarding.hub.v1 import append_pb2 as wire
from safeguarding.hub.v1.incident_pb2 import NotificationWithdrawn
from tests.support.builders import CASE
from tests.support.loopback_hub import Files, LoopbackHub, drop_after, refuse_request, unavailable

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "BACKOFF_FIRST_SECONDS", 0.01)
    monkeypatch.setattr(sending, "BACKOFF_MAX_SECONDS", 0.1)


def event(number: int = 0) -> NotificationWithdrawn:
    return NotificationWithdrawn(rationale=f"Reason {number}.")


def draft(number: int = 0, *, refused: bool = False) -> Draft:
    return Draft(event=event(number), case_id=CASE, actor_role="refuse me" if refused else None)


def client(hub: LoopbackHub, sender: Sender, identity: Identity) -> HubClient:
    return HubClient(hub.target, sender=sender, identity=identity)


def each_arrived_as_the_same_bytes(hub: LoopbackHub) -> bool:
    return all(len(messages) == 1 for messages in hub.seen.values())


async def test_an_event_becomes_a_receipt(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    async with client(hub, sender, identity) as opened:
        receipt = await opened.append(event(), case_id=CASE, expected_version=0)
        assert (receipt.shard, receipt.position, receipt.stream, receipt.version) == ("northmoor", 1, f"incident-{CASE}", 1)
        assert (receipt.leaf, receipt.findings, receipt.recorded_at.year) == (
            b"\x01" * 32,
            (Finding("incident.late", "late", "explain"),),
            2023,
        )
        assert await opened.get_receipt("northmoor", receipt.event_id) == receipt
        assert await opened.get_receipt("northmoor", b"x" * 16) is None
        assert await opened.pending() == []
    assert hub.headers[0].source_sequence == 1


async def test_many_events_keep_their_order_and_travel_in_batches(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    async with client(hub, sender, identity) as opened:
        outcomes = await opened.append_many(draft(number) for number in range(1_200))
    assert [outcome.version for outcome in outcomes if isinstance(outcome, Receipt)] == list(range(1, 1_201))
    assert [header.source_sequence for header in hub.headers] == list(range(1, 1_201))
    assert max(len(request) for request in hub.requests) <= 500
    assert len(hub.requests) < 60


async def test_a_request_holds_no_more_than_three_mebibytes(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    large = [Draft(event=NotificationWithdrawn(rationale="x" * 250_000), case_id=CASE) for _ in range(30)]
    async with client(hub, sender, identity) as opened:
        outcomes = await opened.append_many(large)
    assert all(isinstance(outcome, Receipt) for outcome in outcomes)
    assert max(len(request) for request in hub.requests) == 12


async def test_a_refusal_is_raised_with_its_rule_and_the_stream_lives(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    async with client(hub, sender, identity) as opened:
        with pytest.raises(AppendRefused, match=r"REFUSED incident\.notifier: no") as caught:
            await opened.append(event(), case_id=CASE, actor_role="refuse me")
        refusal = caught.value.refusal
        assert (refusal.code, refusal.rule, refusal.expected_version, refusal.current_version) == (
            Code.REFUSAL_CODE_REFUSED,
            "incident.notifier",
            1,
            2,
        )
        assert not refusal.earlier_attempt_unresolved
        assert (await opened.append(event(), case_id=CASE)).position == 1
        assert await opened.pending() == []


async def test_one_refused_event_of_many_stands_in_its_place(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    async with client(hub, sender, identity) as opened:
        outcomes = await opened.append_many([draft(0), draft(1, refused=True), draft(2)])
    assert [type(outcome) for outcome in outcomes] == [Receipt, Refusal, Receipt]


async def test_an_atomic_group_travels_alone_and_stands_or_falls_together(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    async with client(hub, sender, identity) as opened:
        together = await opened.append_many([draft(0), draft(1)], atomic=True)
        fallen = await opened.append_many([draft(2), draft(3, refused=True)], atomic=True)
        assert await opened.append_many([], atomic=True) == []
        with pytest.raises(NotSendable):
            await opened.append_many([draft(number) for number in range(501)], atomic=True)
    assert [type(outcome) for outcome in together] == [Receipt, Receipt]
    assert [outcome.code for outcome in fallen if isinstance(outcome, Refusal)] == [Code.REFUSAL_CODE_ATOMIC, Code.REFUSAL_CODE_REFUSED]
    assert [len(request) for request in hub.requests] == [2, 2]


async def test_an_atomic_group_is_never_mixed_with_other_events(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    hub.stop()
    async with client(hub, sender, identity) as opened:
        before = asyncio.create_task(opened.append_many([draft(0), draft(1)]))
        group = asyncio.create_task(opened.append_many([draft(2), draft(3, refused=True)], atomic=True))
        after = asyncio.create_task(opened.append_many([draft(4)]))
        await asyncio.sleep(0.1)
        hub.start()
        assert {type(outcome) for outcome in (*await before, *await after)} == {Receipt}
        assert {type(outcome) for outcome in await group} == {Refusal}
    assert len(hub.log) == 3


async def test_what_is_under_way_is_not_resumed(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    hub.faults.append(_silence)
    async with client(hub, sender, identity) as opened:
        waiting = asyncio.create_task(opened.append(event(), case_id=CASE))
        while not hub.requests:  # noqa: ASYNC110  # the hub lives on other threads
            await asyncio.sleep(0.01)
        assert await asyncio.wait_for(opened.resume(), 2) == []
    with pytest.raises(ClientClosed):
        await waiting


@pytest.mark.parametrize("decided", [0, 1, 3])
async def test_a_connection_lost_before_the_answer_loses_and_doubles_nothing(
    decided: int, hub: LoopbackHub, sender: Sender, identity: Identity
) -> None:
    hub.faults.append(drop_after(decided))
    async with client(hub, sender, identity) as opened:
        outcomes = await opened.append_many([draft(number) for number in range(3)])
        assert await opened.pending() == []
    assert [outcome.position for outcome in outcomes if isinstance(outcome, Receipt)] == [1, 2, 3]
    assert len(hub.log) == 3
    assert len(hub.requests) == 2
    assert each_arrived_as_the_same_bytes(hub)


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.CANCELLED, grpc.StatusCode.RESOURCE_EXHAUSTED]
)
async def test_trouble_with_a_call_is_tried_again(code: grpc.StatusCode, hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    hub.faults.extend([drop_after(0, code), drop_after(1, code)])
    async with client(hub, sender, identity) as opened:
        assert (await opened.append(event(), case_id=CASE)).position == 1
    assert len(hub.requests) == 3
    assert each_arrived_as_the_same_bytes(hub)


async def test_an_event_that_is_not_decided_now_is_sent_again_with_the_same_bytes(
    hub: LoopbackHub, sender: Sender, identity: Identity
) -> None:
    hub.faults.extend([unavailable(), unavailable(), refuse_request(14, "quota"), refuse_request(8, "quota")])
    async with client(hub, sender, identity) as opened:
        assert (await opened.append(event(), case_id=CASE)).position == 1
    assert len(hub.requests) == 5
    assert each_arrived_as_the_same_bytes(hub)


async def test_a_request_refused_as_a_whole_refuses_each_of_its_events(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    hub.faults.append(refuse_request(3, "too many events"))
    async with client(hub, sender, identity) as opened:
        (outcome,) = await opened.append_many([draft()])
        assert isinstance(outcome, Refusal)
        assert (outcome.code, outcome.rule, outcome.reason) == (Code.REFUSAL_CODE_INVALID, "wire.request", "too many events")
        assert (await opened.append(event(), case_id=CASE)).position == 1


async def test_a_refusal_after_an_unanswered_sending_looks_for_the_receipt(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    hub.faults.extend([drop_after(1), _refuse_all])
    async with client(hub, sender, identity) as opened:
        assert (await opened.append(event(), case_id=CASE)).position == 1


async def test_a_refusal_after_an_unanswered_sending_without_receipt_is_said_to_be_unresolved(
    hub: LoopbackHub, sender: Sender, identity: Identity
) -> None:
    hub.faults.append(drop_after(0))
    async with client(hub, sender, identity) as opened:
        with pytest.raises(AppendRefused, match="refused, earlier attempt unresolved") as caught:
            await opened.append(event(), case_id=CASE, actor_role="refuse me")
        assert caught.value.refusal.earlier_attempt_unresolved
        assert await opened.pending() == []


def _refuse_all(_hub: LoopbackHub, request: wire.AppendEventsRequest, _context: object) -> wire.AppendEventsResponse:
    refusal = wire.Refusal(code=wire.REFUSAL_CODE_REFUSED, rule="incident.contradiction")
    return wire.AppendEventsResponse(outcomes=[wire.Outcome(refusal=refusal) for _ in request.events])


@pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED])
async def test_a_call_that_the_hub_rejects_is_not_repeated_and_the_event_is_kept(
    code: grpc.StatusCode, hub: LoopbackHub, sender: Sender, identity: Identity
) -> None:
    hub.faults.append(drop_after(0, code))
    async with client(hub, sender, identity) as opened:
        with pytest.raises(CallFailed) as caught:
            await opened.append(event(), case_id=CASE)
        assert caught.value.code is code
        (kept,) = await opened.pending()
        assert len(hub.requests) == 1
        (outcome,) = await opened.resume()
        assert isinstance(outcome, Receipt)
        assert outcome.event_id == kept.event_id
    assert each_arrived_as_the_same_bytes(hub)


async def test_a_service_that_does_not_exist_is_a_rejected_call(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    async with client(hub, replace(sender, agency_id="panel"), identity) as opened:
        with pytest.raises(CallFailed, match="UNIMPLEMENTED"):
            await opened.append(event(), case_id=CASE)
        with pytest.raises(CallFailed, match="UNIMPLEMENTED"):
            await opened.get_receipt("northmoor", b"x" * 16)


async def test_without_a_hub_the_event_is_kept_and_sent_later(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    hub.stop()
    async with client(hub, sender, identity) as opened:
        with pytest.raises(AppendUnresolved, match="UNAVAILABLE") as caught:
            await opened.append(event(), case_id=CASE, deadline_seconds=0.5)
        unresolved = caught.value.unresolved
        assert [kept.event_id for kept in await opened.pending()] == [unresolved.event_id]
        hub.start()
        (outcome,) = await opened.resume()
        assert isinstance(outcome, Receipt)
        assert outcome.event_id == unresolved.event_id
        assert await opened.resume() == []


async def test_a_hub_that_dies_under_load_and_comes_back_has_everything_once(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    async with client(hub, sender, identity) as opened:
        sent = asyncio.create_task(opened.append_many(draft(number) for number in range(600)))
        for _ in range(3):
            await asyncio.sleep(0.1)
            await asyncio.to_thread(hub.stop)
            await asyncio.to_thread(hub.start)
        outcomes = await sent
    assert {type(outcome) for outcome in outcomes} == {Receipt}
    assert sorted(outcome.position for outcome in outcomes if isinstance(outcome, Receipt)) == list(range(1, 601))
    assert each_arrived_as_the_same_bytes(hub)


async def test_a_hub_that_never_answers_is_given_up_at_the_deadline(
    hub: LoopbackHub, sender: Sender, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "ANSWER_MAX_SECONDS", 0.2)
    hub.faults.extend([_silence] * 3)
    async with client(hub, sender, identity) as opened:
        assert (await opened.append(event(), case_id=CASE, deadline_seconds=20)).position == 1
    assert len(hub.requests) >= 2


def _silence(_hub: LoopbackHub, _request: object, context: grpc.ServicerContext) -> None:
    while context.is_active():
        time.sleep(0.02)


@pytest.mark.parametrize("late", [True, False])
async def test_a_refusal_that_comes_when_nobody_waits_any_more_is_told_to_whoever_resumes(
    late: bool, hub: LoopbackHub, sender: Sender, identity: Identity
) -> None:
    hub.faults.append(_slow_refusal)
    async with client(hub, sender, identity) as opened:
        (outcome,) = await opened.append_many([draft(refused=True)], deadline_seconds=0.2 if late else 20)
        assert isinstance(outcome, Unresolved if late else Refusal)
        await opened.append(event(), case_id=CASE)
        told = [*await opened.resume(), *await opened.resume()]
    assert [found.rule for found in told if isinstance(found, Refusal)] == ["incident.notifier"] * late


@pytest.mark.parametrize("why", ["closed", "closed when the hub was given up", "left by the hub"])
async def test_a_refusal_that_is_being_written_down_is_told_whatever_comes_between(
    why: str, hub: LoopbackHub, sender: Sender, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "ANSWER_MAX_SECONDS", 0.2)
    begun, settle = Event(), Outbox.settle

    def slow(outbox: Outbox, event_ids: Iterable[bytes]) -> None:
        begun.set()
        time.sleep(0.6)
        settle(outbox, event_ids)

    monkeypatch.setattr(Outbox, "settle", slow)
    async with client(hub, sender, identity) as opened:
        waiting = asyncio.create_task(opened.append_many([draft(refused=True)], deadline_seconds=0.4))
        await asyncio.to_thread(begun.wait)
        if why == "closed when the hub was given up":
            await asyncio.sleep(2 * sending.ANSWER_MAX_SECONDS)
        if why == "left by the hub":
            hub.stop()
            await asyncio.wait([waiting], timeout=5)
    (outcome,) = await asyncio.wait_for(waiting, 5)
    assert isinstance(outcome, Refusal)
    assert len(hub.requests) == 1
    async with client(hub, sender, identity) as again:
        assert await again.pending() == []


async def test_closing_at_the_moment_in_which_an_event_is_put_off_tells_who_waits(
    hub: LoopbackHub, sender: Sender, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, put_off = client(hub, sender, identity), sending.Sending._send_later
    closing: list[asyncio.Task[None]] = []

    def meanwhile(*arguments: Any) -> None:
        closing.append(asyncio.create_task(opened.close()))
        put_off(*arguments)

    monkeypatch.setattr(sending.Sending, "_send_later", meanwhile)
    hub.faults.append(unavailable())
    async with opened:
        with pytest.raises(ClientClosed):
            await asyncio.wait_for(opened.append(event(), case_id=CASE), 5)
        await asyncio.gather(*closing)


def _slow_refusal(hub: LoopbackHub, request: wire.AppendEventsRequest, _context: object) -> wire.AppendEventsResponse:
    time.sleep(0.5)
    return wire.AppendEventsResponse(outcomes=[wire.Outcome(refusal=hub.refusal(signed)) for signed in request.events])


async def test_what_a_hub_answered_before_it_ended_the_stream_is_heard_even_if_a_write_meets_the_end(
    hub: LoopbackHub, sender: Sender, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending, "REQUEST_MAX_EVENTS", 1)
    asked, ended = Event(), Event()
    hub.conversations.append(partial(_answer_three_and_end, asked=asked, ended=ended))
    async with client(hub, sender, identity) as opened:
        *first, last = await opened.sign([draft(number) for number in range(4)])
        waiting = asyncio.create_task(opened.send(first))
        assert await asyncio.to_thread(asked.wait, 10.0)
        late = asyncio.create_task(opened.send([last]))
        ended.set()
        time.sleep(0.2)  # noqa: ASYNC251  # a busy client: answers and end wait for it in the socket while it writes
        assert {type(outcome) for outcome in [*await waiting, *await late]} == {Receipt}
    times = Counter(event_id for request in hub.requests for event_id in request)
    assert [times[event.event_id] for event in first] == [1, 1, 1]


def _answer_three_and_end(
    hub: LoopbackHub, requests: Iterator[wire.AppendEventsRequest], context: grpc.ServicerContext, *, asked: Event, ended: Event
) -> Iterator[wire.AppendEventsResponse]:
    """Read three requests, then answer them and end the stream at once."""
    three = [next(requests) for _ in range(3)]
    asked.set()
    ended.wait(10.0)
    yield from [answer for request in three if (answer := hub.answer(request, context))]


async def test_a_replayed_event_gets_its_first_receipt(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    async with client(hub, sender, identity) as opened:
        (signed,) = await opened.sign([draft()])
        assert await opened.pending() == [signed]
        assert hub.requests == []
        first = await opened.send([signed])
        assert await opened.send([signed]) == first
        assert await opened.pending() == []
    assert len(hub.log) == 1


async def test_a_hub_that_says_nothing_of_a_receipt_is_given_up_at_the_deadline(sender: Sender, identity: Identity) -> None:
    with socket.create_server(("localhost", 0)) as silent:
        async with HubClient(f"localhost:{silent.getsockname()[1]}", sender=sender, identity=identity) as opened:
            began = time.monotonic()
            with pytest.raises(CallFailed):
                await opened.get_receipt("northmoor", bytes(16), deadline_seconds=0.5)
            assert time.monotonic() - began < 3


async def test_discarded_events_are_not_sent_again(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    async with client(hub, sender, identity) as opened:
        await opened.discard(await opened.sign([draft()]))
        assert await opened.resume() == []
        await opened.append(event(), case_id=CASE)
    assert [header.source_sequence for header in hub.headers] == [2]


async def test_events_before_one_that_cannot_be_sent_are_decided(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    async with client(hub, sender, identity) as opened:
        with pytest.raises(NotSendable):
            await opened.append_many([draft(), Draft(event=event())])
    assert len(hub.log) == 1


async def test_a_draft_that_no_header_can_hold_harms_nobody_else(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    async with client(hub, sender, identity) as opened:
        await opened.append(event(), case_id=CASE)
        told = await asyncio.gather(
            opened.append(event(1), case_id=CASE),
            opened.append(event(2), case_id=CASE, expected_version=-1),
            opened.append(event(3), case_id=CASE),
            return_exceptions=True,
        )
        assert [type(one) for one in told] == [Receipt, NotSendable, Receipt]
        with pytest.raises(NotSendable, match="header"):
            await opened.append_many([draft(4), replace(draft(5), actor_role="\ud800")])
        assert await opened.pending() == []
    assert len(hub.log) == 4


async def test_all_events_before_one_that_cannot_be_sent_are_decided_however_many(
    hub: LoopbackHub, sender: Sender, identity: Identity
) -> None:
    async with client(hub, sender, identity) as opened:
        with pytest.raises(NotSendable):
            await opened.append_many([*(draft(number) for number in range(250)), Draft(event=event()), draft(251)])
        assert await opened.pending() == []
    assert len(hub.log) == 250


async def test_callers_with_more_events_than_there_is_room_for_take_turns(
    hub: LoopbackHub, sender: Sender, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "UNDECIDED_MAX_PARCELS", 150)
    async with client(hub, sender, identity) as opened:
        told = await asyncio.wait_for(asyncio.gather(*(opened.append_many(draft(number) for number in range(400)) for _ in range(3))), 30)
    assert [{type(outcome) for outcome in outcomes} for outcomes in told] == [{Receipt}] * 3
    assert [header.source_sequence for header in hub.headers] == list(range(1, 1_201))


async def test_a_caller_that_goes_away_makes_room_and_its_events_are_not_sent(
    hub: LoopbackHub, sender: Sender, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "UNDECIDED_MAX_PARCELS", 100)
    hub.stop()
    async with client(hub, sender, identity) as opened:
        gone = asyncio.create_task(opened.append_many(draft(number) for number in range(100)))
        while len(await opened.pending()) < 100:  # noqa: ASYNC110  # the outbox tells nobody
            await asyncio.sleep(0.01)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        while opened._sending._in_flight or opened._sending._ready:  # noqa: ASYNC110  what gRPC was given it may still send
            await asyncio.sleep(0.01)
        hub.start()
        assert isinstance(await asyncio.wait_for(opened.append(event(), case_id=CASE), 20), Receipt)
        assert len(await opened.pending()) == 100
        assert {type(outcome) for outcome in await opened.resume()} == {Receipt}
    assert len(hub.log) == 101


async def test_one_event_of_many_that_is_not_decided_now_is_sent_again_alone(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    hub.faults.append(_not_the_second_now)
    async with client(hub, sender, identity) as opened:
        outcomes = await opened.append_many(draft(number) for number in range(3))
        assert await opened.pending() == []
    assert [outcome.position for outcome in outcomes if isinstance(outcome, Receipt)] == [1, 3, 2]
    assert [len(request) for request in hub.requests] == [3, 1]
    assert each_arrived_as_the_same_bytes(hub)


def _not_the_second_now(hub: LoopbackHub, request: wire.AppendEventsRequest, _context: object) -> wire.AppendEventsResponse:
    later = wire.Refusal(code=wire.REFUSAL_CODE_UNAVAILABLE, rule="hub.busy", reason="not now", retry_after_ms=1)
    first, _, third = request.events
    return wire.AppendEventsResponse(
        outcomes=[wire.Outcome(receipt=hub.decide(first)), wire.Outcome(refusal=later), wire.Outcome(receipt=hub.decide(third))]
    )


async def test_closing_tells_whoever_waits_and_keeps_the_event(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    hub.faults.append(_silence)
    async with client(hub, sender, identity) as opened:
        waiting = asyncio.create_task(opened.append(event(), case_id=CASE))
        while not hub.requests:  # noqa: ASYNC110  # the hub lives on other threads
            await asyncio.sleep(0.01)
    with pytest.raises(ClientClosed):
        await waiting
    with pytest.raises(ClientClosed):
        await opened.append(event(), case_id=CASE)
    await opened.close()
    async with client(hub, sender, identity) as again:
        (outcome,) = await again.resume()
        assert isinstance(outcome, Receipt)


async def test_closing_does_not_call_an_event_unsigned_that_is_kept(
    hub: LoopbackHub, sender: Sender, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, keep = Event(), Outbox.keep

    def slow(*arguments: Any) -> list[Kept]:
        begun.set()
        time.sleep(0.2)
        return keep(*arguments)

    monkeypatch.setattr(Outbox, "keep", slow)
    async with client(hub, sender, identity) as opened:
        waiting = asyncio.create_task(opened.append(event(), case_id=CASE))
        await asyncio.to_thread(begun.wait)
    with pytest.raises(ClientClosed, match="being signed; pending tells"):
        await waiting
    async with client(hub, sender, identity) as again:
        assert len(await again.pending()) == 1


async def test_a_disk_that_is_full_for_a_while_neither_stops_the_client_nor_keeps_its_file(
    hub: LoopbackHub, sender: Sender, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "SETTLE_AFTER_SECONDS", 0.01)

    def full(*_arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with client(hub, sender, identity) as opened:
        with monkeypatch.context() as patch:
            patch.setattr(Outbox, "settle", full)
            await opened.append(event(), case_id=CASE)
            await asyncio.sleep(0.1)
        assert isinstance(await asyncio.wait_for(opened.append(event(), case_id=CASE), 5), Receipt)
        assert await opened.pending() == []
        monkeypatch.setattr(Outbox, "settle", full)
        await opened.append(event(), case_id=CASE)
    async with client(hub, sender, identity) as again:
        assert len(await again.pending()) == 1


async def test_closing_tells_also_those_who_wait_for_room(
    hub: LoopbackHub, sender: Sender, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "UNDECIDED_MAX_PARCELS", 5)
    hub.stop()
    async with client(hub, sender, identity) as opened:
        waiting = [asyncio.create_task(opened.append(event(), case_id=CASE)) for _ in range(50)]
        while len(await opened.pending()) < 5:  # noqa: ASYNC110  # the outbox tells nobody
            await asyncio.sleep(0.01)
    told = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert {type(error) for error in told} == {ClientClosed}


async def test_an_outbox_in_use_cannot_be_opened_twice(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    async with client(hub, sender, identity):
        with pytest.raises(OutboxUnusable):
            await client(hub, sender, identity).__aenter__()


async def test_a_file_that_cannot_be_opened_or_written_is_an_unusable_outbox(
    hub: LoopbackHub, sender: Sender, identity: Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutboxUnusable, match="No such file or directory"):
        await client(hub, sender, replace(identity, outbox=tmp_path / "missing" / "outbox.sqlite")).__aenter__()

    def full(*_arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with client(hub, sender, identity) as opened:
        with monkeypatch.context() as patch:
            patch.setattr(Outbox, "keep", full)
            with pytest.raises(OutboxUnusable, match="full"):
                await opened.append(event(), case_id=CASE)
        assert isinstance(await opened.append(event(), case_id=CASE), Receipt)


async def test_a_certificate_of_another_authority_never_gets_through(
    hub: LoopbackHub, sender: Sender, identity: Identity, tmp_path: Path
) -> None:
    from tests.support.loopback_hub import make_files  # noqa: PLC0415  # one test's own authority

    other = tmp_path / "other"
    other.mkdir()
    stranger = make_files(other).identity(tmp_path / "stranger.sqlite")
    mixed = replace(stranger, credentials=replace(stranger.credentials, authority=identity.credentials.authority))
    async with client(hub, sender, mixed) as opened:
        (outcome,) = await opened.append_many([draft()], deadline_seconds=0.5)
    assert isinstance(outcome, Unresolved)
    assert hub.requests == []


def test_credentials_do_not_show_the_private_key(identity: Identity) -> None:
    assert isinstance(identity.credentials, Credentials)
    assert "PRIVATE KEY" not in repr(identity)


def test_the_blocking_client_serves_many_threads_over_one_stream(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    with BlockingHubClient(hub.target, sender=sender, identity=identity) as opened, ThreadPoolExecutor(32) as threads:
        receipts = list(threads.map(lambda number: opened.append(event(number), case_id=CASE), range(200)))
        assert sorted(receipt.position for receipt in receipts) == list(range(1, 201))
        assert opened.get_receipt("northmoor", receipts[0].event_id) == receipts[0]
        assert opened.pending() == []
        (signed,) = opened.sign([draft()])
        (outcome,) = opened.send([signed])
        assert isinstance(outcome, Receipt)
        assert opened.sender is sender
        assert opened.resume() == []
        opened.discard(opened.sign([draft()]))
        with pytest.raises(AppendRefused):
            opened.append(event(), case_id=CASE, actor_role="refuse me")
        grpc.channel_ready_future(opened.channel).result(timeout=5)
    assert len(hub.requests) < 200
    with opened:
        grpc.channel_ready_future(opened.channel).result(timeout=5)


def test_a_blocking_client_takes_drafts_from_its_callers_thread(hub: LoopbackHub, sender: Sender, identity: Identity) -> None:
    rows = sqlite3.connect(":memory:")
    rows.execute("CREATE TABLE reasons AS WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 250) SELECT i FROM n")
    with BlockingHubClient(hub.target, sender=sender, identity=identity) as opened:

        def after_each_other() -> Iterator[Draft]:
            """What is said next rests on what was answered before."""
            for number in range(2):
                yield replace(draft(number), causation_id=opened.append(event(), case_id=CASE).event_id)

        told = opened.append_many(draft(number) for (number,) in rows.execute("SELECT i FROM reasons"))
        with ThreadPoolExecutor(1) as threads:
            told += threads.submit(opened.append_many, after_each_other()).result(timeout=10)
        with pytest.raises(NotSendable):
            opened.append_many(one for one in [draft(), replace(draft(), case_id=None)])
        assert opened.pending() == []
    rows.close()
    assert {type(outcome) for outcome in told} == {Receipt}
    assert len(hub.log) == 250 + 4 + 1


def test_a_blocking_client_that_is_closed_tells_every_thread_and_takes_nothing_more(
    hub: LoopbackHub, sender: Sender, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "UNDECIDED_MAX_PARCELS", 5)
    hub.stop()
    opened = BlockingHubClient(hub.target, sender=sender, identity=identity)
    calls = (lambda: opened.append(event(), case_id=CASE), opened.pending, lambda: opened.channel)
    for call in calls:
        with pytest.raises(ClientClosed):
            call()
    with ThreadPoolExecutor(200) as threads:
        with opened:
            waiting = [threads.submit(calls[0]) for _ in range(200)]
            with pytest.raises(OutboxUnusable, match="open already"):
                opened.__enter__()
            while len(opened.pending()) < 5:
                time.sleep(0.01)
        assert {type(one.exception(timeout=5)) for one in waiting} == {ClientClosed}
    for call in calls:
        with pytest.raises(ClientClosed):
            call()


KILLED = """
import sys
from pathlib import Path
from safeguarding.hub.client import BlockingHubClient, Draft, Sender
from safeguarding.hub.v1.incident_pb2 import NotificationWithdrawn
from tests.support.loopback_hub import COUNCIL
from safeguarding.hub.client import Identity
folder, outbox, target, case = sys.argv[1:]
read = Identity.from_folder(Path(folder) / "agency", authority=Path(folder) / "ca.pem")
sender = Sender(agency_id=COUNCIL, source="case-system", shard="northmoor", log_origin="hub.example/test", actor_role="Head of service")
with BlockingHubClient(target, sender=sender, identity=Identity(read.credentials, read.signing_key, Path(outbox))) as hub:
    hub.append_many([Draft(event=NotificationWithdrawn(rationale=str(n)), case_id=case) for n in range(5)])
"""


def test_a_killed_client_resumes_with_the_same_ids_and_bytes(hub: LoopbackHub, files: Files, sender: Sender, identity: Identity) -> None:
    hub.faults.append(_decide_two_then_silence)
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos'}"}
    arguments = [sys.executable, "-c", KILLED, str(files.root), str(identity.outbox), hub.target, CASE]
    with subprocess.Popen(arguments, env=environment, cwd=ROOT) as process:  # noqa: S603  # our own program
        while not hub.requests and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    sent_before = [event_id for request in hub.requests for event_id in request]
    assert sent_before
    with BlockingHubClient(hub.target, sender=sender, identity=identity) as opened:
        kept = opened.pending()
        assert [event.event_id for event in kept][: len(sent_before)] == sent_before
        outcomes = opened.resume()
        assert {type(outcome) for outcome in outcomes} == {Receipt}
        assert opened.append(event(), case_id=CASE).position == len(kept) + 1
    assert [header.source_sequence for header in hub.headers] == list(range(1, len(kept) + 2))
    assert each_arrived_as_the_same_bytes(hub)


def _decide_two_then_silence(hub: LoopbackHub, request: wire.AppendEventsRequest, context: grpc.ServicerContext) -> None:
    for signed in request.events[:2]:
        hub.decide(signed)
    _silence(hub, request, context)
