"""What one agency may ask of the hub at a time, over real sockets: it is told when to come back, and no other agency notices."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import RetryInfo

from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import Identity
from safeguarding.hub.v1.append_pb2 import AppendEventsRequest, AppendEventsResponse
from safeguarding.hub.v1.append_pb2_grpc import LocalAuthorityServiceStub
from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from services.agencies import gate
from services.eventstore.codec import to_message
from services.runtime.limits import AGENCY_MAX_STREAMS, REQUEST_MAX_EVENTS
from tests.support.builders import COUNCIL, SECOND_COUNCIL, SHARD, a_referral
from tests.support.hub import RunningHub, running_hub
from tests.support.reading import detail

PER_SECOND = 15
"""Enough for the request in which the operator enrols everyone; a full request takes it for half a minute."""
WAIT_SECONDS = 20.0
NOTHING = AppendEventsRequest()
"""A request without events is answered, and takes nothing of the quota."""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    with running_hub(tmp_path_factory.mktemp("hub"), agency_events_per_second=PER_SECOND) as running:
        yield running


def a_signed_event(hub: RunningHub, agency_id: str) -> SignedEvent:
    """A council's referral of a case of its own."""
    sender = Sender(agency_id=agency_id, source="limits", shard=SHARD, log_origin=hub.settings.log_origin, actor_role="tester")
    key = Identity.from_folder(hub.settings.agency_folder(agency_id)).signing_key
    draft = Draft(event=to_message(a_referral("01890000-0000-7000-8000-0000000000aa")), case_id=str(uuid.uuid4()))
    return SignedEvent.FromString(sign(draft, sender, key, 1).message)


def a_stream(channel: grpc.aio.Channel) -> Any:
    return LocalAuthorityServiceStub(channel).AppendEvents(timeout=WAIT_SECONDS)


async def answer(stream: Any, request: AppendEventsRequest = NOTHING) -> AppendEventsResponse:
    """Send a request and return its answer; raise ``grpc.aio.AioRpcError`` if the hub has ended the stream."""
    await stream.write(request)
    found: AppendEventsResponse = await stream.read()
    return found


async def finish(stream: Any) -> str:
    """Say that nothing more comes; return the name of the status that the hub ends the stream with."""
    await stream.done_writing()
    assert await stream.read() is grpc.aio.EOF
    status: grpc.StatusCode = await stream.code()
    return status.name


async def test_the_ninth_stream_of_an_agency_is_unavailable_until_one_ends_and_no_other_agency_notices(hub: RunningHub) -> None:
    async with AsyncExitStack() as open_channels:
        first, second = [await open_channels.enter_async_context(hub.channel(COUNCIL)) for _ in range(2)]
        streams = [a_stream(channel) for channel in [first, second] * (AGENCY_MAX_STREAMS // 2)]
        for stream in streams:
            assert (await answer(stream)).error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await answer(a_stream(second))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert caught.value.details() == "the agency has 8 streams open, the most it may"
        assert detail(caught.value, RetryInfo).retry_delay.seconds == 5
        async with hub.channel(SECOND_COUNCIL) as other:
            neighbours = a_stream(other)
            accepted = await answer(neighbours, AppendEventsRequest(events=[a_signed_event(hub, SECOND_COUNCIL)]))
            assert accepted.outcomes[0].HasField("receipt")
            assert await finish(neighbours) == "OK"
        assert await finish(streams.pop()) == "OK"
        streams.append(a_stream(first))
        assert [(await answer(stream)).error.code for stream in streams] == [grpc.StatusCode.INVALID_ARGUMENT.value[0]] * AGENCY_MAX_STREAMS
        assert [await finish(stream) for stream in streams] == ["OK"] * AGENCY_MAX_STREAMS


async def test_a_quota_used_up_is_unavailable_with_the_time_to_wait_on_a_stream_that_goes_on(hub: RunningHub) -> None:
    good = AppendEventsRequest(events=[a_signed_event(hub, COUNCIL)])
    async with hub.channel(COUNCIL) as channel, hub.channel(SECOND_COUNCIL) as other:
        stream, neighbours = a_stream(channel), a_stream(other)
        # What is refused was sent, too: events that are none take the quota for (500 - 2 * 15 + 1) / 15 seconds.
        assert len((await answer(stream, AppendEventsRequest(events=[SignedEvent()] * REQUEST_MAX_EVENTS))).outcomes) == REQUEST_MAX_EVENTS
        before = hub.parts.store.shard(SHARD).head().position
        for _ in range(2):
            refused = await answer(stream, good)
            assert (refused.error.code, refused.error.message) == (
                grpc.StatusCode.UNAVAILABLE.value[0],
                "the agency's quota of events a second is used up",
            )
            assert not refused.outcomes
            retry = RetryInfo()
            assert any(one.Unpack(retry) for one in refused.error.details)
            assert 0 < retry.retry_delay.ToTimedelta().total_seconds() <= (REQUEST_MAX_EVENTS - 2 * PER_SECOND + 1) / PER_SECOND
        assert hub.parts.store.shard(SHARD).head().position == before
        accepted = await answer(neighbours, AppendEventsRequest(events=[a_signed_event(hub, SECOND_COUNCIL)]))
        assert accepted.outcomes[0].receipt.position == before + 1
        assert [await finish(stream), await finish(neighbours)] == ["OK", "OK"]


async def test_a_stream_on_which_nothing_comes_is_ended_and_makes_room_for_another(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "STREAM_IDLE_MAX_SECONDS", 0.5)
    monkeypatch.setattr(gate, "AGENCY_MAX_STREAMS", 1)
    async with hub.channel(SECOND_COUNCIL) as channel:
        for _ in range(2):
            stream = a_stream(channel)
            assert (await answer(stream)).error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
            with pytest.raises(grpc.aio.AioRpcError, match="open a new stream") as caught:
                await stream.read()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
