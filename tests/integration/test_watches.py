"""Watches and subscriptions: what comes, when they end, and what they cost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from domain.kernel.agencies import OPERATOR_ID, PANEL_ID
from domain.kernel.events import Marking, london_day
from domain.kernel.ids import NATIONAL, RequestId
from domain.partnership.events import MembershipChange, MembershipChanged
from domain.sharing.events import InformationCorrected, InformationDisputed, InformationRestricted
from safeguarding.hub.v1 import deadlines_pb2
from safeguarding.hub.v1.append_pb2 import AppendEventsRequest, Outcome, Refusal
from safeguarding.hub.v1.append_pb2_grpc import AdminServiceStub
from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from services.bootstrap import DRAIN_MAX_SECONDS, now
from services.intake.intake import Intake
from services.queries import watching
from services.runtime import limits
from services.runtime.errors import Exhausted
from tests.support.builders import (
    BUSINESS_UNIT,
    COUNCIL,
    HOSPITAL,
    ICB,
    POLICE,
    SCHOOL,
    SECOND_COUNCIL,
    SHARD,
    a_notification,
    a_proceeding,
    a_share,
    an_entry,
    an_information_request,
)
from tests.support.hub import RunningHub, running_hub
from tests.support.reading import ASKS, a_told_case, a_uuid, access_events, caught_up, code_of, detail, first, queries

QUIET_SECONDS: Final = 0.7
TAKES_LITTLE: Final = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536))
"""A client with these takes in no more than 64 KiB of what it does not read."""


async def nothing_comes(watch: Any) -> bool:
    """Tell whether a watch stays silent for a while; it is of no use afterwards."""
    try:
        await asyncio.wait_for(watch.read(), QUIET_SECONDS)
    except TimeoutError:
        return True
    return False


async def read_to_the_end(watch: Any) -> tuple[list[Any], grpc.aio.AioRpcError]:
    """Read on until a watch ends; return what it gave, and how it ended."""
    answers: list[Any] = []
    try:
        while True:
            answers.append(await first(watch))
    except grpc.aio.AioRpcError as error:
        return answers, error


async def ended(watch: Any) -> grpc.aio.AioRpcError:
    """Read on until a watch ends, and return how."""
    _, error = await read_to_the_end(watch)
    return error


async def eventually(holds: Callable[[], Awaitable[bool]]) -> bool:
    """Tell whether something comes to hold within five seconds."""
    for _ in range(100):
        if await holds():
            return True
        await asyncio.sleep(0.05)
    return False


async def a_flood(hub: RunningHub, events: int) -> None:
    """Have so many events recorded in a case of which only the partnership knows."""
    case_id = a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    await hub.said(COUNCIL, *(a_proceeding(a_uuid()) for _ in range(events)), case_id=case_id)


# ── a chronology ──


async def test_a_watch_gives_what_is_there_and_then_each_new_line(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    async with queries(hub, COUNCIL) as asks:
        await asks.story(case_id, min_position=position)
        watch = asks.watch(case_id)
        assert [line.position for line in (await first(watch)).lines] == [position - 2, position - 1, position]
        (receipt,) = await hub.said(POLICE, a_share(an_entry(a_uuid(), fact="New.")), case_id=case_id)
        answer = await first(watch)
        assert [(line.position, line.fact) for line in answer.lines] == [(receipt.position, "New.")]
        assert answer.position >= receipt.position
        await hub.said(COUNCIL, a_notification(), case_id=a_uuid())
        assert await nothing_comes(watch), "another case is no news"


async def test_a_watch_also_gives_lines_that_later_events_changed(hub: RunningHub) -> None:
    case_id, entry_id = a_uuid(), a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    (told,) = await hub.said(POLICE, a_share(an_entry(entry_id)), case_id=case_id)
    async with queries(hub, COUNCIL) as asks:
        await asks.story(case_id, min_position=told.position)
        watch = asks.watch(case_id)
        await first(watch)
        (disputed,) = await hub.said(ICB, InformationDisputed(entry_id=RequestId(entry_id), grounds="Not so."), case_id=case_id)
        (line,) = (await first(watch)).lines
        assert (line.position, list(line.disputes)) == (told.position, [f"{ICB}: Not so."])
        replacement = InformationCorrected(entry_id=RequestId(entry_id), replacement=an_entry(entry_id, fact="Better."), reason="A slip.")
        (corrected,) = await hub.said(POLICE, replacement, case_id=case_id)
        former, latter = (await first(watch)).lines
        assert (former.position, former.corrected_by) == (told.position, corrected.event_id)
        assert (latter.position, latter.fact, latter.corrects) == (corrected.position, "Better.", told.event_id)
        resumed = asks.watch(case_id, after_position=disputed.position)
        assert [line.position for line in (await first(resumed)).lines] == [told.position, corrected.position]


async def test_a_watch_resumes_behind_what_it_was_sent(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    async with queries(hub, COUNCIL) as asks:
        await asks.story(case_id, min_position=position)
        answer = await first(asks.watch(case_id))
        again = asks.watch(case_id, after_position=answer.position)
        assert list((await first(again)).lines) == [], "the first answer says where it stands"
        (receipt,) = await hub.said(POLICE, a_share(an_entry(a_uuid())), case_id=case_id)
        assert [line.position for line in (await first(again)).lines] == [receipt.position]


async def test_a_watch_ends_as_soon_as_the_case_is_not_the_watchers_any_more(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    async with queries(hub, ICB) as asks, queries(hub, COUNCIL) as council:
        await asks.story(case_id, min_position=position)
        watch, others = asks.watch(case_id), council.watch(case_id)
        await first(watch)
        await first(others)
        restriction = InformationRestricted(marking=Marking.RESTRICTED, named_agencies=(COUNCIL, POLICE), reason="Synthetic.")
        began = asyncio.get_running_loop().time()
        (receipt,) = await hub.said(COUNCIL, restriction, case_id=case_id)
        error = await ended(watch)
        assert asyncio.get_running_loop().time() - began < 3
        assert (error.code(), error.details()) == (grpc.StatusCode.NOT_FOUND, "not found")
        assert [line.position for line in (await first(others)).lines] == [receipt.position], "the named agencies watch on"
    newest = [event.event_type for event in access_events(hub, f"access-{case_id}")[-2:]]
    assert sorted(newest) == ["access.denied.v1", "access.viewed.v1"], "one of each watch: which is recorded first is nobody's promise"


async def test_a_watch_ends_when_its_agency_leaves_the_partnership(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)

    def members(*councils: str) -> MembershipChanged:
        return MembershipChanged(
            change=MembershipChange.OTHER,
            effective_on=london_day(now()),
            business_unit=BUSINESS_UNIT,
            partners=(*councils, ICB, POLICE),  # type: ignore[arg-type]
            relevant_agencies=(SCHOOL, HOSPITAL),
        )

    async with queries(hub, SECOND_COUNCIL) as asks:
        await asks.story(case_id, min_position=position)
        watch = asks.watch(case_id)
        await first(watch)
        await hub.said(OPERATOR_ID, members(COUNCIL))
        try:
            assert (await ended(watch)).code() is grpc.StatusCode.NOT_FOUND
        finally:
            await hub.said(OPERATOR_ID, members(COUNCIL, SECOND_COUNCIL))


# ── deadlines ──


async def test_a_watch_of_deadlines_hears_of_every_shard_and_of_what_becomes_readable(hub: RunningHub) -> None:
    await a_told_case(hub)
    wanted = deadlines_pb2.WatchDeadlinesRequest(filter=deadlines_pb2.DeadlineFilter(clocks=["K17"]))
    async with queries(hub, PANEL_ID) as panel, queries(hub, HOSPITAL) as hospital:
        watches = [one.deadlines.WatchDeadlines(wanted, metadata=ASKS, timeout=60) for one in (panel, hospital)]
        before = [await first(watch) for watch in watches]
        case_id = a_uuid()
        await hub.said(COUNCIL, a_notification(), case_id=case_id)
        await hub.said(BUSINESS_UNIT, an_information_request(a_uuid(), recipient=HOSPITAL, due_on=london_day(now())), case_id=case_id)
        after = [await first(watch) for watch in watches]
    for former, latter in zip(before, after, strict=True):
        assert [one.case_id for one in latter.deadlines if one not in former.deadlines] == [case_id]
        assert not latter.more
    assert [one.owed_by for one in after[1].deadlines] == [[HOSPITAL]]


async def test_reading_is_no_news_to_a_watch_of_deadlines(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    async with queries(hub, COUNCIL) as asks:
        await asks.owed(min_positions=[{"shard": SHARD, "position": position}])
        watch = asks.deadlines.WatchDeadlines(deadlines_pb2.WatchDeadlinesRequest(), metadata=ASKS, timeout=60)
        await first(watch)
        for _ in range(3):
            await asks.story(case_id)
        assert await nothing_comes(watch)


# ── the log ──


async def test_a_subscription_is_resumed_without_loss_or_repetition(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    began = position - 3
    said = [await hub.said(POLICE, a_share(an_entry(a_uuid())), case_id=case_id) for _ in range(3)]
    found: list[int] = []
    resume = began
    async with queries(hub, COUNCIL) as asks:
        for _ in range(3):
            subscription = asks.subscribe(resume)
            answer = await first(subscription)
            subscription.cancel()
            found += [entry.position for entry in answer.entries]
            resume = answer.position
            said.append(await hub.said(POLICE, a_share(an_entry(a_uuid())), case_id=case_id))
        subscription = asks.subscribe(resume)
        while len(found) < 9:
            found += [entry.position for entry in (await first(subscription)).entries]
        assert await nothing_comes(subscription)
    assert found == [position - 2, position - 1, position, *(receipts[0].position for receipts in said)]


async def test_a_subscription_does_not_feed_on_its_own_access_events(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    async with queries(hub, COUNCIL) as one, queries(hub, ICB) as other:
        subscriptions = [asks.subscribe(position - 3) for asks in (one, other)]
        for subscription in subscriptions:
            assert len((await first(subscription)).entries) == 3
        await asyncio.sleep(QUIET_SECONDS)
        before = hub.parts.store.shard(SHARD).head().position
        await asyncio.sleep(QUIET_SECONDS)
        assert hub.parts.store.shard(SHARD).head().position == before
        for subscription in subscriptions:
            assert await nothing_comes(subscription)
    assert len(access_events(hub, f"access-{case_id}")) == 2


async def test_a_subscriber_with_nothing_to_read_hears_now_and_then_how_far_it_has_come(hub: RunningHub) -> None:
    before = hub.parts.store.shard(SHARD).head().position
    await a_flood(hub, 1_100)
    async with queries(hub, SCHOOL) as asks:
        subscription = asks.subscribe(before)
        answer = await first(subscription)
        assert list(answer.entries) == []
        assert answer.position >= before + 1_000
        assert await nothing_comes(subscription), "not with every look"


async def test_a_subscription_to_the_national_shard_gives_the_registry_and_nobodys_reads(hub: RunningHub) -> None:
    await a_told_case(hub)
    async with queries(hub, ICB) as asks:
        await asks.owed()
        answer = await first(asks.subscribe(shard=NATIONAL))
    assert {entry.stream.partition("-")[0] for entry in answer.entries} == {"agency"}


# ── how they end, and what they hold ──


async def test_a_watcher_that_does_not_keep_up_is_ended_with_where_to_resume(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[Exhausted] = []

    def noted(*words: str, **options: str) -> Exhausted:
        ends.append(Exhausted(*words, **options))
        return ends[-1]

    async def are_ended() -> bool:
        return len(ends) == 2

    monkeypatch.setattr(watching, "Exhausted", noted)
    case_id, start = await a_bulky_case(hub)
    async with queries(hub, COUNCIL, TAKES_LITTLE) as asks:
        subscription, watch = asks.subscribe(start), asks.watch(case_id, after_position=start)
        seen = [entry.position for entry in (await first(subscription)).entries]
        await first(watch)
        await a_flood(hub, limits.WATCH_BUFFER_MAX_EVENTS + 500)
        await caught_up(hub, hub.parts.store.shard(SHARD).head().position)
        assert await eventually(are_ended)  # read on sooner, they might keep up
        rest, error = await read_to_the_end(subscription)
        assert_exhausted(error, rest)
        assert_exhausted(*reversed(await read_to_the_end(watch)))
        seen += [entry.position for answer in rest for entry in answer.entries]
        assert seen == list(range(start + 1, seen[-1] + 1))
        assert (await first(asks.subscribe(seen[-1]))).entries[0].position == seen[-1] + 1


def assert_exhausted(error: grpc.aio.AioRpcError, answers: list[Any]) -> None:
    """Hold a watch that was ended to have said where to resume: behind the last answer, which arrived before the end."""
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    info = detail(error, ErrorInfo)
    assert int(info.metadata["resume_token"]) == answers[-1].position


async def a_bulky_case(hub: RunningHub) -> tuple[str, int]:
    """Have a case told that takes more bytes than lie between a server and a client that does not read; return where it begins."""
    case_id, narrative = a_uuid(), "x" * 30_000
    (receipt,) = await hub.said(COUNCIL, a_notification(), case_id=case_id)
    for _ in range(6):
        entries = [an_entry(a_uuid(), fact=narrative, outcome=narrative, childs_voice=narrative) for _ in range(20)]
        shares = [a_share(*entries[number : number + 2]) for number in range(0, 20, 2)]
        *_, last = await hub.said(POLICE, *shares, case_id=case_id)
    async with queries(hub, COUNCIL) as asks:
        await asks.story(case_id, page_size=1, min_position=last.position)
    return case_id, receipt.position - 1


async def test_an_agency_has_so_many_watches_and_no_more(hub: RunningHub) -> None:
    case_id, _ = await a_told_case(hub)
    async with queries(hub, ICB) as asks, queries(hub, COUNCIL) as others:
        watches = [asks.watch(case_id) for _ in range(limits.AGENCY_MAX_WATCHES)]
        for watch in watches:
            await first(watch)
        error = await ended(asks.subscribe())
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        await first(others.watch(case_id))
        watches[0].cancel()

        async def has_room() -> bool:
            return await code_of(first(asks.subscribe())) == "OK"

        assert await eventually(has_room)


async def test_a_watcher_that_goes_away_is_let_go_at_once(hub: RunningHub) -> None:
    case_id, _ = await a_told_case(hub)
    async with queries(hub, POLICE) as asks:
        watches = [
            asks.watch(case_id),
            asks.subscribe(),
            asks.deadlines.WatchDeadlines(deadlines_pb2.WatchDeadlinesRequest(), metadata=ASKS),
        ]
        for watch in watches:
            await first(watch)
        await asyncio.sleep(0.3)
        before = cancelled(hub)
        for watch in watches:
            watch.cancel()

        async def are_gone() -> bool:
            return cancelled(hub) == before + 3

        assert await eventually(are_gone)


async def test_a_hub_that_stops_tells_who_watches_its_health_and_waits_for_no_watch(tmp_path: Path) -> None:
    running = running_hub(tmp_path / "hub", populate=False)
    hub = await asyncio.to_thread(running.__enter__)
    async with hub.channel(OPERATOR_ID) as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest())
        before = await first(watch)
        began = asyncio.get_running_loop().time()
        stopping = asyncio.ensure_future(asyncio.to_thread(running.__exit__, None, None, None))
        rest, error = await read_to_the_end(watch)
        await stopping
        took_seconds = asyncio.get_running_loop().time() - began
    assert [answer.status for answer in (before, *rest)] == [HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING]
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert took_seconds < DRAIN_MAX_SECONDS / 3


async def test_a_hub_that_stops_waits_for_no_stream_of_reflection_but_answers_what_was_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_appending = threading.Event()

    async def append(*_arguments: object, **_options: object) -> list[Outcome]:
        is_appending.set()
        await asyncio.sleep(1.0)
        return [Outcome(refusal=Refusal(rule="a.rule"))]

    running = running_hub(tmp_path / "hub", populate=False)
    hub = await asyncio.to_thread(running.__enter__)
    monkeypatch.setattr(Intake, "append", append)
    async with hub.channel(OPERATOR_ID) as channel:
        asking = ServerReflectionStub(channel).ServerReflectionInfo()
        await asking.write(ServerReflectionRequest(list_services=""))
        answer = await asking.read()
        appending = AdminServiceStub(channel).AppendEvents()
        await appending.write(AppendEventsRequest(events=[SignedEvent(header=b"header", body=b"body")]))
        assert await asyncio.to_thread(is_appending.wait, 5.0)
        began = asyncio.get_running_loop().time()
        await asyncio.to_thread(running.__exit__, None, None, None)
        took_seconds = asyncio.get_running_loop().time() - began
        outcomes = [outcome.refusal.rule async for appended in appending for outcome in appended.outcomes]
        codes = await asking.code(), await appending.code()
    assert len(answer.list_services_response.service) > 1
    assert outcomes == ["a.rule"]
    assert codes == (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK)
    assert took_seconds < DRAIN_MAX_SECONDS / 3


def cancelled(hub: RunningHub) -> float:
    """Return how many watches the hub has seen end because the watcher went away."""
    return sum(
        sample.value
        for metric in hub.parts.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "grpc_server_handled_total" and sample.labels["grpc_code"] == "CANCELLED"
    )
