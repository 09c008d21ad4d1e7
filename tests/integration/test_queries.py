"""What queries answer: fresh enough, page by page, as of a moment, with handling honoured and proof at hand."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import grpc
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo

from domain.kernel.agencies import PANEL_ID
from domain.kernel.events import Details, Marking, london_day
from domain.kernel.ids import NATIONAL, RequestId
from domain.rapid_review.events import Decision, DecisionMade, RapidReviewOpened
from domain.sharing.events import Caveat, InformationCorrected, InformationDisputed, InformationQueried, Significance, Tone
from safeguarding.hub.v1 import chronology_pb2, deadlines_pb2, oversight_pb2, registry_pb2
from safeguarding.hub.v1.envelope_pb2 import EventHeader
from services.bootstrap import now
from services.eventstore.codec import decode_event
from services.eventstore.port import Accepted, Append, Expectation, ProposedEvent
from services.runtime.limits import ANSWER_MAX_BYTES
from services.trust.keystore import case_key_id
from tests.support.builders import (
    BUSINESS_UNIT,
    COUNCIL,
    HOSPITAL,
    ICB,
    LIVE_FROM,
    POLICE,
    SCHOOL,
    SHARD,
    a_notification,
    a_share,
    an_awareness,
    an_entry,
    an_information_request,
    corrects,
    on,
)
from tests.support.hub import ENROLLED, RunningHub, running_hub
from tests.support.postgresql import ENGINES, a_database
from tests.support.reading import ASKS, Queries, a_told_case, a_uuid, access_events, caught_up, detail, queries, refusal


@pytest.fixture(scope="module", params=ENGINES)
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One hub for all tests of a module, for each kind of database that views may lie in: each test uses a case of its own."""
    with ExitStack() as stack:
        database_url = ""
        if request.param == "postgresql":
            database_url = stack.enter_context(a_database(request.getfixturevalue("postgresql_server")))
        yield stack.enter_context(running_hub(tmp_path_factory.mktemp("hub"), database_url=database_url))


def marks_of(line: chronology_pb2.ChronologyLine) -> list[str]:
    """Return a line's marks but for those of tone and significance."""
    return [mark for mark in line.marks if mark not in {"neutral", "significant"}]


async def a_long_case(hub: RunningHub, entries: int) -> tuple[str, int]:
    """Have a case told with so many entries, one a day; return its id and last position."""
    case_id = a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    told = [an_entry(a_uuid(), fact=f"{number:03}", occurred=on(date(2023, 1, 1) + timedelta(days=number))) for number in range(entries)]
    (receipt,) = await hub.said(POLICE, a_share(*told), case_id=case_id)
    await caught_up(hub, receipt.position)
    return case_id, receipt.position


# ── reading one's own write ──


async def test_whoever_holds_a_receipt_reads_its_own_write_in_every_query(hub: RunningHub) -> None:
    async with queries(hub, COUNCIL) as asks, queries(hub, PANEL_ID) as panel:
        for _ in range(3):
            case_id = a_uuid()
            (receipt,) = await hub.said(COUNCIL, a_notification(), case_id=case_id)
            position = receipt.position
            least: Any = [{"shard": SHARD, "position": position}]
            story, stream, explained, owed = await asyncio.gather(
                asks.story(case_id, min_position=position),
                asks.stream(f"incident-{case_id}", min_position=position),
                asks.explained(case_id, min_position=position),
                asks.owed(case_id=case_id, min_positions=least),
            )
            assert [line.position for line in story.lines] == [entry.position for entry in stream.entries] == [position]
            assert explained.deadline.case_id == case_id
            assert "K5B" in {one.clock for one in owed.deadlines}
            assert (story.freshness.position, story.freshness.shard) >= (position, SHARD)
            assert [(one.shard, one.position >= position) for one in owed.freshness] == [(SHARD, True)]
            asked = oversight_pb2.ListCasesRequest(min_positions=least, page_size=1000)
            cases = await panel.oversight.ListCases(asked, metadata=ASKS, timeout=10)
            assert case_id in {case.case_id for case in cases.cases}


async def test_a_position_that_is_not_reached_is_said_to_be_unavailable_in_bounded_time(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    far = position + 1_000_000
    least: Any = [{"shard": SHARD, "position": far}]
    async with queries(hub, COUNCIL) as asks, queries(hub, PANEL_ID) as panel:
        table = oversight_pb2.GetTableRequest(table="1", period_from="2024-01-01", period_until="2024-12-31", min_positions=least)
        calls: list[Awaitable[Any]] = [
            asks.story(case_id, min_position=far),
            asks.stream(f"incident-{case_id}", min_position=far),
            asks.stream(f"partnership-{SHARD}", min_position=far),
            asks.explained(case_id, min_position=far),
            asks.owed(min_positions=least),
            panel.oversight.ListCases(oversight_pb2.ListCasesRequest(min_positions=least), metadata=ASKS, timeout=20),
            panel.oversight.GetTable(table, metadata=ASKS, timeout=20),
            timeliness(panel, min_positions=least),
            asks.registry.ListAgencies(registry_pb2.ListAgenciesRequest(min_position=far), timeout=20),
            asks.registry.ListKeys(registry_pb2.ListKeysRequest(min_position=far), timeout=20),
        ]
        began = asyncio.get_running_loop().time()
        waiting = [asyncio.ensure_future(call) for call in calls]
        quick = await asks.story(case_id)
        assert quick.lines, "who waits does not keep others waiting"
        failed = await asyncio.gather(*waiting, return_exceptions=True)
        assert asyncio.get_running_loop().time() - began < 8
    for error in failed:
        assert isinstance(error, grpc.aio.AioRpcError)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert detail(error, RetryInfo).retry_delay.seconds == 1


async def test_many_who_wait_do_not_keep_a_reader_waiting(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    async with queries(hub, COUNCIL) as asks:
        waiting = [asyncio.ensure_future(asks.story(case_id, min_position=position + 10**6)) for _ in range(50)]
        watches = [asks.watch(case_id) for _ in range(50)]
        for watch in watches:
            await watch.read()
        began = asyncio.get_running_loop().time()
        await asks.story(case_id)
        assert asyncio.get_running_loop().time() - began < 1.5
        for one in (*waiting, *watches):
            one.cancel()


# ── pages ──


async def all_pages(call: Callable[[str], Awaitable[Any]]) -> list[Any]:
    """Return every page that a list gives."""
    pages = [await call("")]
    while pages[-1].next_page_token:
        assert len(pages) < 200
        pages.append(await call(pages[-1].next_page_token))
    return pages


@pytest.mark.parametrize("order", [chronology_pb2.CHRONOLOGY_ORDER_AS_HAPPENED, chronology_pb2.CHRONOLOGY_ORDER_AS_KNOWN])
async def test_all_pages_of_a_chronology_are_the_whole_of_it(hub: RunningHub, order: int) -> None:
    case_id, _ = await a_long_case(hub, 23)
    async with queries(hub, COUNCIL) as asks:
        whole = (await asks.story(case_id, order=order, page_size=1000)).lines
        pages = await all_pages(lambda token: asks.story(case_id, order=order, page_size=5, page_token=token))
    assert len(whole) == 24
    assert [len(page.lines) for page in pages] == [5, 5, 5, 5, 4]
    assert [line.SerializeToString() for page in pages for line in page.lines] == [line.SerializeToString() for line in whole]


async def test_what_is_recorded_between_two_pages_neither_hides_nor_repeats_a_line(hub: RunningHub) -> None:
    case_id, _ = await a_long_case(hub, 6)
    async with queries(hub, COUNCIL) as asks:
        page = await asks.story(case_id, page_size=3)
        earlier = an_entry(a_uuid(), fact="earlier", occurred=on(date(2022, 1, 1)))
        (receipt,) = await hub.said(ICB, a_share(earlier), case_id=case_id)
        rest = await asks.story(case_id, page_size=100, page_token=page.next_page_token, min_position=receipt.position)
    assert [line.fact for line in (*page.lines, *rest.lines)] == ["000", "001", "002", "003", "004", "005", ""]


async def test_all_pages_of_deadlines_cases_agencies_keys_and_streams_are_the_whole_lists(hub: RunningHub) -> None:
    case_id, position = await a_long_case(hub, 2)
    for number in range(4):
        await hub.said(POLICE, a_share(an_entry(a_uuid(), fact=str(number))), case_id=case_id)
        (receipt,) = await hub.said(COUNCIL, a_notification(), case_id=a_uuid())
        position = receipt.position
    await caught_up(hub, position)
    least: Any = [{"shard": SHARD, "position": position}]
    async with queries(hub, PANEL_ID) as panel, queries(hub, COUNCIL) as council:
        as_of = {"as_of": now(), "min_positions": least}
        owed = await panel.owed(page_size=1000, **as_of)
        owed_pages = await all_pages(lambda token: panel.owed(page_size=4, page_token=token, **as_of))
        cases = await panel.oversight.ListCases(oversight_pb2.ListCasesRequest(page_size=1000), metadata=ASKS, timeout=10)
        case_pages = await all_pages(
            lambda token: panel.oversight.ListCases(
                oversight_pb2.ListCasesRequest(page_size=2, page_token=token), metadata=ASKS, timeout=10
            )
        )
        agencies = await panel.registry.ListAgencies(registry_pb2.ListAgenciesRequest(page_size=1000), timeout=10)
        agency_pages = await all_pages(
            lambda token: panel.registry.ListAgencies(registry_pb2.ListAgenciesRequest(page_size=3, page_token=token), timeout=10)
        )
        keys = await panel.registry.ListKeys(registry_pb2.ListKeysRequest(page_size=1000), timeout=10)
        key_pages = await all_pages(
            lambda token: panel.registry.ListKeys(registry_pb2.ListKeysRequest(page_size=3, page_token=token), timeout=10)
        )
        stream = await council.stream(f"sharing-{case_id}", page_size=1000, min_position=position)
        parts = [await council.stream(f"sharing-{case_id}", page_size=2)]
        while parts[-1].more:
            parts.append(await council.stream(f"sharing-{case_id}", page_size=2, after_version=parts[-1].entries[-1].version))
    assert len(owed.deadlines) > 8
    assert len(cases.cases) >= 5
    assert len(agencies.agencies) == len(keys.keys) == len(ENROLLED) + 1
    assert [one for page in owed_pages for one in page.deadlines] == list(owed.deadlines)
    assert [one for page in case_pages for one in page.cases] == list(cases.cases)
    assert [one for page in agency_pages for one in page.agencies] == list(agencies.agencies)
    assert [one for page in key_pages for one in page.keys] == list(keys.keys)
    assert [len(part.entries) for part in parts] == [2, 2, 1]
    assert [one for part in parts for one in part.entries] == list(stream.entries)


async def test_later_pages_of_deadlines_keep_the_moment_of_the_first(hub: RunningHub) -> None:
    await a_told_case(hub)
    async with queries(hub, PANEL_ID) as asks:
        page = await asks.owed(page_size=1)
        after = await asks.owed(page_size=1, page_token=page.next_page_token, as_of=datetime(2031, 1, 1, tzinfo=UTC))
    assert after.as_of == page.as_of


async def test_no_answer_is_larger_than_a_client_takes(hub: RunningHub) -> None:
    case_id = a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    for _ in range(30):
        entries = [an_entry(a_uuid(), fact="é" * 14_000, outcome="x" * 30_000, childs_voice="y" * 30_000) for _ in range(2)]
        (receipt,) = await hub.said(POLICE, a_share(*entries), case_id=case_id)
    async with queries(hub, COUNCIL) as asks:
        pages = await all_pages(lambda token: asks.story(case_id, page_size=1000, page_token=token, min_position=receipt.position))
        assert len(pages[0].lines) > 20
        assert sum(len(page.lines) for page in pages) == 61
        parts = [await asks.stream(f"sharing-{case_id}", page_size=1000)]
        while parts[-1].more:
            parts.append(await asks.stream(f"sharing-{case_id}", page_size=1000, after_version=parts[-1].entries[-1].version))
        assert [one.version for part in parts for one in part.entries] == list(range(1, 31))
        watched: list[Any] = []
        watch = asks.watch(case_id)
        while sum(len(answer.lines) for answer in watched) < 61:
            watched.append(await watch.read())
        subscribed: list[Any] = []
        subscription = asks.subscribe(receipt.position - 31)
        while sum(len(answer.entries) for answer in subscribed) < 31:
            subscribed.append(await subscription.read())
    for answers in (pages, parts, watched, subscribed):
        assert len(answers) > 1
        assert all(answer.ByteSize() < ANSWER_MAX_BYTES + 300_000 for answer in answers)
    positions = [answer.position for answer in watched]
    assert positions == sorted(set(positions)), "each may be resumed from"


BAD_TOKENS: Final = ("x", "9" * 40, "IjEi", "[]", "bnVsbA", "é", "WyJhc19oYXBwZW5lZCIsMSwyLDMsNF0", "WyJhcyIsMSwyLDMsNCw1XQ", "A" * 199)


@pytest.mark.parametrize("token", BAD_TOKENS)
async def test_a_page_token_that_was_not_given_out_is_refused_by_name(hub: RunningHub, token: str) -> None:
    case_id, _ = await a_told_case(hub)
    by_known = chronology_pb2.CHRONOLOGY_ORDER_AS_KNOWN
    async with queries(hub, PANEL_ID) as asks:
        cases = oversight_pb2.ListCasesRequest(page_token=token)
        for call in (
            asks.story(case_id, page_token=token, order=by_known),
            asks.owed(page_token=token),
            asks.oversight.ListCases(cases, metadata=ASKS, timeout=10),
        ):
            assert fields_of(await failed(call)) == ["page_token"]


async def failed(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    """Return the error of a call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value


def fields_of(error: grpc.aio.AioRpcError) -> list[str]:
    """Return the fields that an INVALID_ARGUMENT names."""
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT, error.details()
    return [one.field for one in detail(error, BadRequest).field_violations]


ABSURD: Final = Timestamp(seconds=-62_135_596_800)
TOO_LATE: Final = Timestamp(seconds=253_402_300_799)
NO_TIME: Final = Timestamp(seconds=2**62)


@pytest.mark.parametrize("moment", [ABSURD, TOO_LATE, NO_TIME, Timestamp(nanos=-1)])
async def test_absurd_moments_are_refused_by_name(hub: RunningHub, moment: Timestamp) -> None:
    case_id, _ = await a_told_case(hub)
    async with queries(hub, COUNCIL) as asks:
        assert fields_of(await failed(asks.story(case_id, known_at=moment))) == ["known_at"]
        assert fields_of(await failed(asks.owed(as_of=moment))) == ["as_of"]
        assert fields_of(await failed(asks.explained(case_id, as_of=moment))) == ["as_of"]


async def test_malformed_requests_name_their_fields(hub: RunningHub) -> None:
    case_id, _ = await a_told_case(hub)
    huge = 2**64 - 1
    async with queries(hub, PANEL_ID) as asks:
        expected: Sequence[tuple[Awaitable[Any], str]] = (
            (asks.story("not-a-case"), "case_id"),
            (asks.story(case_id, shard="Not A Shard"), "shard"),
            (asks.story(case_id, page_size=1001), "page_size"),
            (asks.story(case_id, order=7), "order"),
            (asks.story(case_id, min_position=huge), "min_position"),
            (asks.stream("no stream"), "stream"),
            (asks.stream(f"incident-{case_id}", after_version=huge), "after_version"),
            (asks.explained(case_id, clock="whenever"), "clock"),
            (asks.owed(page_size=1001), "page_size"),
            (asks.owed(bands=[9]), "filter.bands[0]"),
            (asks.subscribe(huge).read(), "after_position"),
            (asks.watch(case_id, after_position=huge).read(), "after_position"),
            (panel_table(asks, table="99"), "table"),
            (panel_table(asks, basis="weather"), "basis"),
            (panel_table(asks, count_day="2024-13-01"), "count_day"),
            (panel_table(asks, count_day="9999-12-31"), "count_day"),
            (panel_table(asks, count_day="2099-12-31"), "count_day"),
            (panel_table(asks, period_from="2024-12-31", period_until="2024-01-01"), "period_until"),
            (timeliness(asks, period_from="2024-12-31", period_until="2024-01-01"), "period_until"),
            (timeliness(asks, count_day="2099-12-31"), "count_day"),
            (timeliness(asks, clocks=["K5B", "K99"]), "clocks"),
            (timeliness(asks, clocks=["K7"]), "clocks"),
            (timeliness(asks, by="weather"), "by"),
            (cases(asks, stages=["lost"]), "stages"),
            (cases(asks, notified_from="yesterday"), "notified_from"),
        )
        for call, field in expected:
            assert fields_of(await failed(call)) == [field], field


def panel_table(asks: Queries, **asked: Any) -> Awaitable[Any]:
    """Ask for a table of 2024."""
    request = oversight_pb2.GetTableRequest(**{"table": "1", "period_from": "2024-01-01", "period_until": "2024-12-31", **asked})
    return asks.oversight.GetTable(request, metadata=ASKS, timeout=10)


def timeliness(asks: Queries, **asked: Any) -> Awaitable[Any]:
    """Ask how timely what fell due in 2024 was."""
    request = oversight_pb2.GetTimelinessRequest(**{"period_from": "2024-01-01", "period_until": "2024-12-31", **asked})
    return asks.oversight.GetTimeliness(request, metadata=ASKS, timeout=20)


def cases(asks: Queries, **asked: Any) -> Awaitable[Any]:
    """Ask for the list of cases."""
    return asks.oversight.ListCases(oversight_pb2.ListCasesRequest(**asked), metadata=ASKS, timeout=10)


# ── what a chronology says ──


async def test_a_chronology_is_told_as_known_at_a_past_moment(hub: RunningHub) -> None:
    case_id, entry_id = a_uuid(), a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    await hub.said(POLICE, a_share(an_entry(entry_id, fact="First.")), case_id=case_id)
    moment = now()
    await asyncio.sleep(0.01)
    corrected = InformationCorrected(entry_id=RequestId(entry_id), replacement=an_entry(entry_id, fact="Second."), reason="A slip.")
    (receipt,) = await hub.said(POLICE, corrected, case_id=case_id)
    async with queries(hub, COUNCIL) as asks:
        then = await asks.story(case_id, known_at=moment, min_position=receipt.position)
        today = await asks.story(case_id)
    assert [(line.fact, marks_of(line)) for line in then.lines if line.fact] == [("First.", [])]
    assert [(line.fact, marks_of(line)) for line in today.lines if line.fact] == [
        ("First.", ["corrected"]),
        ("Second.", ["correction"]),
    ]


async def test_a_correction_and_what_it_corrects_name_each_other(hub: RunningHub) -> None:
    case_id, entry_id = a_uuid(), a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    (told,) = await hub.said(POLICE, a_share(an_entry(entry_id, fact="First.")), case_id=case_id)
    corrected = InformationCorrected(entry_id=RequestId(entry_id), replacement=an_entry(entry_id, fact="Second."), reason="A slip.")
    (correction,) = await hub.said(POLICE, corrected, case_id=case_id)
    (first_told,) = await hub.said(BUSINESS_UNIT, RapidReviewOpened(), case_id=case_id)
    (again,) = await hub.said(BUSINESS_UNIT, RapidReviewOpened(details=corrects(first_told.event_id)), case_id=case_id)
    async with queries(hub, COUNCIL) as asks:
        lines = {line.event_id: line for line in (await asks.story(case_id, min_position=again.position)).lines}
    for former, latter in ((told, correction), (first_told, again)):
        assert (lines[former.event_id].corrected_by, lines[latter.event_id].corrects) == (latter.event_id, former.event_id)
        assert (lines[former.event_id].corrects, lines[latter.event_id].corrected_by) == (b"", b"")
    assert lines[correction.event_id].correction_reason == "A slip."


async def test_disputes_and_questions_stand_with_their_line_and_are_told_apart(hub: RunningHub) -> None:
    case_id, entry_id = a_uuid(), a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    await hub.said(POLICE, a_share(an_entry(entry_id)), case_id=case_id)
    await hub.said(ICB, InformationDisputed(entry_id=RequestId(entry_id), grounds="Not so."), case_id=case_id)
    (receipt,) = await hub.said(COUNCIL, InformationQueried(entry_id=RequestId(entry_id), question="When?"), case_id=case_id)
    async with queries(hub, ICB) as asks:
        (line,) = [line for line in (await asks.story(case_id, min_position=receipt.position)).lines if line.entry_id]
        entries = (await asks.stream(f"sharing-{case_id}")).entries
    assert (list(line.disputes), list(line.questions)) == ([f"{ICB}: Not so."], [f"{COUNCIL}: When?"])
    assert marks_of(line) == ["disputed"]
    assert [one.body_withheld for one in entries] == [""] * 3


async def test_gaps_and_repeats_are_those_of_the_story_that_the_reader_sees(hub: RunningHub) -> None:
    case_id = a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    days = (date(2023, 1, 10), date(2023, 5, 3), date(2023, 6, 20))
    for day in days:
        await hub.said(POLICE, a_share(an_entry(a_uuid(), occurred=on(day), tone=Tone.NEGATIVE)), case_id=case_id)
    hidden = an_entry(a_uuid(), occurred=on(date(2023, 3, 3)), marking=Marking.OFFICIAL_SENSITIVE, caveats=(Caveat.POLICE_INTELLIGENCE,))
    (receipt,) = await hub.said(POLICE, a_share(hidden), case_id=case_id)
    async with queries(hub, COUNCIL) as council, queries(hub, POLICE) as police:
        seen = await council.story(case_id, min_position=receipt.position)
        all_of_it = await police.story(case_id)
    assert [(gap.from_on, gap.until_on) for gap in seen.gaps] == [("2023-02-01", "2023-04-30")]
    assert [(gap.from_on, gap.until_on) for gap in all_of_it.gaps] == [("2023-02-01", "2023-02-28"), ("2023-04-01", "2023-04-30")]
    assert [line.occurred.on.month for line in seen.lines if "repeat" in line.marks] == [1, 5, 6]


async def test_significant_lines_are_shown_first_and_all_on_request(hub: RunningHub) -> None:
    case_id = a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    entries = [an_entry(a_uuid(), fact="routine", significance=Significance.ROUTINE), an_entry(a_uuid(), fact="significant")]
    (receipt,) = await hub.said(POLICE, a_share(*entries), case_id=case_id)
    async with queries(hub, COUNCIL) as asks:
        first = await asks.story(case_id, all_entries=False, min_position=receipt.position)
        every = await asks.story(case_id)
    assert [line.fact for line in first.lines if line.fact] == ["significant"]
    assert {line.fact for line in every.lines if line.fact} == {"significant", "routine"}


async def test_findings_are_said_until_they_are_mended_and_not_to_those_who_are_only_linked(hub: RunningHub) -> None:
    case_id, request_id = a_uuid(), a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    await hub.said(BUSINESS_UNIT, an_information_request(request_id, due_on=london_day(now())), case_id=case_id)
    await hub.said(BUSINESS_UNIT, RapidReviewOpened(), case_id=case_id)
    decided = DecisionMade(decision=Decision.NO_LOCAL_REVIEW, rationale="Synthetic.")
    (receipt,) = await hub.said(BUSINESS_UNIT, decided, case_id=case_id)
    rules = [note.rule for note in receipt.findings]
    assert rules
    async with queries(hub, BUSINESS_UNIT) as unit, queries(hub, SCHOOL) as school, queries(hub, PANEL_ID) as panel:
        for asks, expected in ((unit, rules), (panel, rules), (school, [])):
            story = await asks.story(case_id, min_position=receipt.position)
            assert sorted(note.rule for note in story.open_findings) == sorted(expected)
            shown = [finding for line in story.lines for finding in line.findings]
            assert sorted(shown) == sorted(f"{rule}: open" for rule in expected)
            entries = (await asks.stream(f"rapid_review-{case_id}")).entries
            assert sorted(entries[-1].findings) == sorted(expected)


CAVEATS: Final = (None, *Caveat)
WHOLE: Final = ("author", "partner", "police", "linked")
SEEN_WHOLE: Final[dict[Caveat | None, tuple[str, ...]]] = {
    None: WHOLE,
    Caveat.THIRD_PARTY: ("author", "partner", "police"),
    Caveat.SUB_JUDICE: ("author", "partner", "police"),
    Caveat.LEGALLY_PRIVILEGED: ("author",),
    Caveat.POLICE_INTELLIGENCE: ("author", "police"),
    Caveat.ADOPTION: ("author",),
    Caveat.SAFE_ADDRESS: (),
    Caveat.NOT_FOR_FAMILY: WHOLE,
    Caveat.ANONYMISED: WHOLE,
}
"""Who reads an entry with a caveat word for word; an agency among ``NOT_AT_ALL`` must not even see that it is there."""
NOT_AT_ALL: Final[dict[Caveat | None, tuple[str, ...]]] = {
    Caveat.POLICE_INTELLIGENCE: ("partner", "linked"),
    Caveat.ADOPTION: ("partner", "police", "linked"),
}
VIEWERS: Final = {"author": ICB, "partner": COUNCIL, "police": POLICE, "linked": SCHOOL}


@pytest.mark.parametrize("caveat", CAVEATS)
async def test_a_caveat_narrows_what_each_viewer_sees_in_the_chronology_and_in_the_log(hub: RunningHub, caveat: Caveat | None) -> None:
    case_id, secret = a_uuid(), f"secret {uuid.uuid4()}"
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    await hub.said(BUSINESS_UNIT, an_information_request(a_uuid(), due_on=london_day(now())), case_id=case_id)
    entry = an_entry(a_uuid(), fact=secret, outcome=secret, caveats=() if caveat is None else (caveat,))
    (receipt,) = await hub.said(ICB, a_share(entry), case_id=case_id)
    for viewer, agency_id in VIEWERS.items():
        async with queries(hub, agency_id) as asks:
            story = await asks.story(case_id, min_position=receipt.position)
            watched = await asks.watch(case_id).read()
            entries = [one for one in (await asks.stream(f"sharing-{case_id}")).entries if one.position == receipt.position]
            subscribed = await asks.subscribe(receipt.position - 1).read() if viewer not in NOT_AT_ALL.get(caveat, ()) else None
        lines = [line for line in story.lines if line.position == receipt.position]
        is_whole = viewer in SEEN_WHOLE[caveat]
        assert len(lines) == len(entries) == (0 if viewer in NOT_AT_ALL.get(caveat, ()) else 1), viewer
        assert [line.fact == line.outcome == secret for line in lines] == [is_whole] * len(lines), viewer
        assert [(bool(one.body), one.body_withheld) for one in entries] == [(is_whole, "" if is_whole else "not for this reader")] * len(
            lines
        )
        assert (secret.encode() in story.SerializeToString() + watched.SerializeToString()) is is_whole, viewer
        assert subscribed is None or list(subscribed.entries) == entries
        assert [bool(line.redactions) for line in lines] == [not is_whole] * len(lines)


async def test_bodies_that_are_given_out_prove_themselves_without_the_hub(hub: RunningHub) -> None:
    case_id, _ = await a_told_case(hub)
    async with queries(hub, BUSINESS_UNIT) as asks:
        keys = {one.key_id: one for one in (await asks.registry.ListKeys(registry_pb2.ListKeysRequest(), timeout=10)).keys}
        entries = [one for name in ("incident", "sharing") for one in (await asks.stream(f"{name}-{case_id}")).entries]
    assert len(entries) == 3
    for entry in entries:
        header = EventHeader.FromString(entry.header)
        kind = b"application/vnd.safeguarding-hub.event-header.v1+protobuf"
        signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(entry.header), entry.header)
        key = Ed25519PublicKey.from_public_bytes(keys[header.key_id].public_key)
        key.verify(entry.signature.value, signed)
        with pytest.raises(InvalidSignature):
            key.verify(entry.signature.value, signed[:-1])
        assert len(entry.salt) == 32
        assert hmac.new(entry.salt, entry.body, hashlib.sha256).digest() == header.body_commitment
        assert (header.event_id, header.stream, header.event_type) == (entry.event_id, entry.stream, entry.event_type)
        assert keys[header.key_id].agency_id == header.agency_id
        decode_event(entry.event_type, entry.body)


async def test_a_line_carries_its_receipts_leaf_its_key_and_how_the_signature_stands(hub: RunningHub) -> None:
    case_id = a_uuid()
    (receipt,) = await hub.said(COUNCIL, a_notification(), case_id=case_id)
    async with queries(hub, COUNCIL) as asks:
        (line,) = (await asks.story(case_id, min_position=receipt.position)).lines
    assert (line.leaf, line.key_id, line.signature_state) == (receipt.leaf, f"{COUNCIL}:1", "valid")
    assert (line.event_id, line.position, line.stream, line.version) == (receipt.event_id, receipt.position, receipt.stream, 1)


async def test_an_erased_case_is_read_as_what_remains_and_reading_it_stays_on_record(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    async with queries(hub, COUNCIL) as asks:
        await asks.story(case_id, min_position=position)
        hub.parts.keys.destroy(case_key_id(SHARD, case_id))
        entries = (await asks.stream(f"incident-{case_id}")).entries
        await asks.story(case_id)
    assert [(one.body, one.salt, one.body_withheld) for one in entries] == [(b"", b"", "destroyed")]
    assert len(access_events(hub, f"access-{case_id}")) == 1, "nothing more can be sealed for it"
    lists = hub.parts.store.shard(NATIONAL).read(0, 10_000)
    assert [one.type for one in lists[-2:]] == ["access.viewed.v1"] * 2


async def test_a_parked_stream_is_said_to_those_who_may_know_of_its_case_and_to_nobody_else(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    other_id, _ = await a_told_case(hub)
    stream = f"sharing-{case_id}"
    poisoned = park(hub, stream)
    least: Any = [{"shard": SHARD, "position": poisoned}]
    async with queries(hub, COUNCIL) as asks:
        story = await asks.story(case_id, min_position=poisoned)
        assert list(story.freshness.parked_streams) == [stream]
        assert [line.position for line in story.lines] == [position - 2], "what was shared may have been restricted in what is missing"
        assert list((await asks.story(other_id)).freshness.parked_streams) == []
        assert list((await asks.stream(f"incident-{case_id}")).freshness.parked_streams) == [stream]
        assert list((await asks.stream(stream)).entries) == [], "what cannot be judged is not given out"
        assert [list(one.parked_streams) for one in (await asks.owed(min_positions=least)).freshness] == [[stream]]
        assert list((await asks.subscribe(poisoned - 4).read()).parked_streams) == [stream]
    async with queries(hub, SCHOOL) as asks:
        assert {line.position for line in (await asks.story(case_id)).lines} == {position - 2, position}, "its own stays"
        assert [one.version for one in (await asks.stream(stream)).entries] == [2]
    async with queries(hub, HOSPITAL) as asks:
        assert [list(one.parked_streams) for one in (await asks.owed(min_positions=least)).freshness] == [[]]
    async with queries(hub, PANEL_ID) as asks:
        assert [list(one.parked_streams) for one in (await asks.owed()).freshness] == [[stream]]
        assert [list(one.parked_streams) for one in (await timeliness(asks)).freshness] == [[stream]]


def park(hub: RunningHub, stream: str) -> int:
    """Put an event on the log that no view can read; return its position."""
    shard = hub.parts.store.shard(SHARD)
    like = shard.read_stream(stream)[-1]
    poison = ProposedEvent(
        stream=stream,
        version=like.version + 1,
        event_id=uuid.uuid4().bytes,
        header_hash=uuid.uuid4().bytes * 2,
        key_id="",
        type="information.shared.v1",
        state=b"\xff\xff",
    )
    append = Append(
        append_id=uuid.uuid4().bytes, shard=SHARD, node_id="test", expectations=(Expectation(stream, like.version),), events=(poison,)
    )
    result = shard.append(append).result(10)
    assert isinstance(result, Accepted), result
    return result.placed[0].position


# ── deadlines ──


async def test_a_list_of_deadlines_has_the_callers_own_first_in_each_band(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    least: Any = [{"shard": SHARD, "position": position}]
    for agency_id, own in ((SCHOOL, {"K17"}), (BUSINESS_UNIT, {"K5A", "K5B"})):
        async with queries(hub, agency_id) as asks:
            listed = await asks.owed(case_id=case_id, min_positions=least)
        bands = [one.band for one in listed.deadlines]
        assert bands == sorted(bands)
        for band in set(bands):
            mine = [one.clock in own for one in listed.deadlines if one.band == band]
            assert mine == sorted(mine, reverse=True), (agency_id, band)
        assert own <= {one.clock for one in listed.deadlines}


async def test_deadlines_are_filtered_by_case_clock_band_debtor_and_shard(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    least: Any = [{"shard": SHARD, "position": position}]
    later, met = deadlines_pb2.DEADLINE_BAND_LATER, deadlines_pb2.DEADLINE_BAND_MET
    async with queries(hub, BUSINESS_UNIT) as asks:
        every = (await asks.owed(case_id=case_id, min_positions=least)).deadlines
        for asked, expected in (
            ({"clocks": ["K5B"]}, lambda one: one.clock == "K5B"),
            ({"bands": [met]}, lambda one: one.band == met),
            ({"bands": [later, met]}, lambda one: one.band in (later, met)),
            ({"owed_by": SCHOOL}, lambda one: one.clock == "K17"),
            ({"shards": [SHARD]}, lambda _: True),
            ({"shards": ["elsewhere"]}, lambda _: False),
        ):
            found = (await asks.owed(case_id=case_id, **asked)).deadlines
            assert list(found) == [one for one in every if expected(one)], asked
        future = (await asks.owed(case_id=case_id, clocks=["K5B"], as_of=now() + timedelta(days=60))).deadlines
    assert len(every) > 3
    assert [one.band for one in future] == [deadlines_pb2.DEADLINE_BAND_OVERDUE]


async def test_a_deadline_explains_itself_and_one_that_does_not_run_is_not_found(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    async with queries(hub, COUNCIL) as asks:
        found = await asks.explained(case_id, "K5B", min_position=position)
        assert found.deadline.name in found.lines[0]
        assert (found.source, found.force, found.rules_version, found.calendar_version) > ("", "", "", "")
        assert found.skipped_days
        assert (await refusal(asks.explained(case_id, "K10"))).code == "NOT_FOUND"
        for _ in range(2):
            request = an_information_request(a_uuid(), due_on=london_day(now()))
            (receipt,) = await hub.said(BUSINESS_UNIT, request, case_id=case_id)
        several = await failed(asks.explained(case_id, "K17", min_position=receipt.position))
        assert fields_of(several) == ["instance"]
        one = await asks.explained(case_id, "K17", instance=f"K17:{request.request_id}")
    assert one.deadline.instance == f"K17:{request.request_id}"


async def test_history_is_entered_and_read_as_imported(hub: RunningHub) -> None:
    case_id = a_uuid()
    done_at = datetime(2023, 3, 1, 9, 0, tzinfo=UTC)
    assert done_at.date() < LIVE_FROM
    notified = a_notification(
        details=Details(done_at=done_at),
        incident_on=on(date(2023, 2, 27)),
        awareness=an_awareness(datetime(2023, 2, 28, 9, 0, tzinfo=UTC)),
    )
    (receipt,) = await hub.said(COUNCIL, notified, case_id=case_id, imported=True)
    async with queries(hub, COUNCIL) as asks:
        (line,) = (await asks.story(case_id, min_position=receipt.position)).lines
        listed = await asks.owed(case_id=case_id, clocks=["K1"], min_positions=[{"shard": SHARD, "position": receipt.position}])
    assert "imported" in line.marks
    assert [(one.imported, one.status) for one in listed.deadlines] == [(True, "met on time")]


async def test_what_the_caller_is_told_of_an_error_is_one_status_with_a_stable_reason(hub: RunningHub) -> None:
    async with queries(hub, COUNCIL) as asks:
        error = await failed(asks.story(a_uuid()))
    info = detail(error, ErrorInfo)
    assert (error.details(), info.reason, info.domain, dict(info.metadata)) == ("not found", "NOT_FOUND", "safeguarding.hub", {})


async def test_the_log_says_no_more_than_the_contract_of_a_stream_that_is_not_there(hub: RunningHub) -> None:
    case_id, _ = await a_told_case(hub)
    async with queries(hub, COUNCIL) as asks:
        empty = await asks.stream(f"local_review-{case_id}")
        assert (list(empty.entries), empty.more) == ([], False)
        for stream in (f"weather-{a_uuid()}", "incident-not-a-case", f"access-{a_uuid()}"):
            assert (await refusal(asks.stream(stream))).code == "NOT_FOUND"
