"""The access rule, for every query and every kind of agency: who may read a case, what of it, and that "not yours" is "not there"."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, Final

import pytest

from domain.agency.events import AgencyEnrolled, AgencySuspended
from domain.kernel.agencies import OPERATOR_ID, PANEL_ID, AgencyKind
from domain.kernel.events import Marking, Purpose, london_day
from domain.kernel.ids import NATIONAL, AgencyId, ChildId, RequestId, Shard
from domain.partnership.events import MembershipChange, MembershipChanged
from domain.rapid_review.events import (
    Decision,
    DecisionMade,
    PanelAgreed,
    RapidReviewCompleted,
    RapidReviewDrafted,
    RapidReviewOpened,
    SentToPanel,
)
from domain.sharing.events import InformationRestricted, LegalGate
from safeguarding.hub.v1 import chronology_pb2, deadlines_pb2, event_log_pb2, oversight_pb2, registry_pb2
from safeguarding.hub.v1.query_pb2 import MinPosition
from services.bootstrap import make_identity, now
from services.queries.asking import Asker
from tests.support.builders import (
    BUSINESS_UNIT,
    CHILD,
    COUNCIL,
    HOSPITAL,
    ICB,
    LIVE_FROM,
    OTHER_COUNCIL,
    POLICE,
    SCHOOL,
    SECOND_COUNCIL,
    SHARD,
    STRANGER,
    a_child,
    a_notification,
    a_referral,
    a_share,
    an_entry,
    an_information_request,
    became_known,
)
from tests.support.hub import RunningHub
from tests.support.reading import ASKS, a_told_case, a_uuid, access_events, case_calls, caught_up, code_of, first, queries, refusal, said_of

PARTNERS: Final = (COUNCIL, SECOND_COUNCIL, ICB, POLICE, BUSINESS_UNIT)
OUTSIDERS: Final = (HOSPITAL, STRANGER, OTHER_COUNCIL, OPERATOR_ID)
"""A relevant agency that is listed and not linked, one that is not listed, the council of another partnership, the operator."""
QUIET_SECONDS: Final = 0.8
"""A subscriber that has heard nothing for so long is not being told."""
NOW: Final[dict[str, Any]] = {}
EVERY_CALL: Final = (
    "GetChronology",
    "WatchChronology",
    "ExplainDeadline",
    "ReadStream incident",
    "ReadStream sharing",
    "ReadStream access",
)


async def readable(hub: RunningHub, agency_id: str, case_id: str) -> set[str]:
    """Return the calls about a case that an agency is answered; every other must say NOT_FOUND."""
    answered = set()
    async with queries(hub, agency_id) as asks:
        for name, call in case_calls(asks, case_id).items():
            code = await code_of(call())
            assert code in {"OK", "NOT_FOUND"}, name
            if code == "OK":
                answered.add(name)
    return answered


async def listed(hub: RunningHub, agency_id: str, case_id: str) -> bool:
    """Tell whether a case's deadlines are in an agency's lists; both kinds of list must agree."""
    async with queries(hub, agency_id) as asks:
        found = {one.case_id for one in (await asks.owed(case_id=case_id)).deadlines}
        wanted = deadlines_pb2.WatchDeadlinesRequest(filter=deadlines_pb2.DeadlineFilter(case_id=case_id))
        watched = await first(asks.deadlines.WatchDeadlines(wanted, metadata=ASKS, timeout=20))
    assert found == {one.case_id for one in watched.deadlines} <= {case_id}
    return bool(found)


async def subscribed(
    hub: RunningHub, agency_id: str, after_position: int, until_position: int, *, patience_seconds: float = 10.0
) -> list[tuple[str, str]]:
    """Return the streams and bodies ("whole" or why not) that a subscriber is given between two positions."""
    found: list[tuple[str, str]] = []
    async with queries(hub, agency_id) as asks:
        watch = asks.subscribe(after_position)
        try:
            async with asyncio.timeout(patience_seconds):
                async for answer in watch:
                    found += [(one.stream, one.body_withheld or "whole") for one in answer.entries if one.position <= until_position]
                    if answer.position >= until_position:
                        break
        except TimeoutError:
            pass
        watch.cancel()
    return found


@pytest.mark.parametrize("agency_id", PARTNERS)
async def test_statutory_partners_and_the_business_unit_read_every_case_of_their_shard(hub: RunningHub, agency_id: str) -> None:
    case_id, position = await a_told_case(hub)
    assert await readable(hub, agency_id, case_id) == set(EVERY_CALL)
    assert await listed(hub, agency_id, case_id)
    assert await subscribed(hub, agency_id, position - 3, position) == [
        (f"incident-{case_id}", "whole"),
        (f"sharing-{case_id}", "whole"),
        (f"sharing-{case_id}", "whole"),
    ]


async def test_another_agency_reads_the_cases_it_is_linked_to_but_not_who_read_them(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    assert await readable(hub, SCHOOL, case_id) == set(EVERY_CALL) - {"ReadStream access"}
    assert await listed(hub, SCHOOL, case_id)
    assert len(await subscribed(hub, SCHOOL, position - 3, position)) == 3


async def test_a_suspended_agency_reads_no_case_until_it_is_enrolled_again_but_keeps_its_receipts(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    (told,) = await hub.said(SECOND_COUNCIL, became_known(now() - timedelta(minutes=1)), case_id=case_id)
    async with queries(hub, SECOND_COUNCIL) as asks, hub.client(SECOND_COUNCIL) as client:
        wanted = deadlines_pb2.WatchDeadlinesRequest()
        watches = [asks.watch(case_id), asks.subscribe(position), asks.deadlines.WatchDeadlines(wanted, metadata=ASKS, timeout=60)]
        for watch in watches:
            await first(watch)
        await hub.said(OPERATOR_ID, AgencySuspended(agency_id=SECOND_COUNCIL, reason="Synthetic."))
        try:
            every_call: dict[str, Callable[[], Awaitable[Any]]] = {
                **case_calls(asks, case_id),
                "ListDeadlines": asks.owed,
                "Subscribe": lambda: first(asks.subscribe()),
                "ReadStream agency": lambda: asks.stream(f"agency-{COUNCIL}", shard=NATIONAL),
            }
            assert {name: await code_of(call()) for name, call in every_call.items()} == dict.fromkeys(every_call, "PERMISSION_DENIED")
            await hub.said(POLICE, a_share(), case_id=case_id)
            assert {await code_of(read_on(watch)) for watch in watches} == {"PERMISSION_DENIED"}
            assert await client.get_receipt(SHARD, told.event_id) == told
            assert (await asks.registry.ListKeys(registry_pb2.ListKeysRequest(), timeout=10)).keys
        finally:
            shards = (Shard(SHARD),)
            again = AgencyEnrolled(
                agency_id=SECOND_COUNCIL, kind=AgencyKind.LOCAL_AUTHORITY, name="Synthetic", live_from=LIVE_FROM, shards=shards
            )
            await hub.said(OPERATOR_ID, again)
        assert {await code_of(call()) for call in case_calls(asks, case_id).values()} == {"OK"}


async def read_on(watch: Any) -> None:
    """Read a watch until it ends."""
    while True:
        await first(watch)


async def test_being_asked_is_a_link_whether_or_not_the_agency_answers(hub: RunningHub) -> None:
    case_id = a_uuid()
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    assert await readable(hub, HOSPITAL, case_id) == set()
    asked = an_information_request(a_uuid(), recipient=HOSPITAL, due_on=london_day(now()))
    (receipt,) = await hub.said(BUSINESS_UNIT, asked, case_id=case_id)
    await caught_up(hub, receipt.position)
    assert await readable(hub, HOSPITAL, case_id) == set(EVERY_CALL) - {"ReadStream access"}
    assert await listed(hub, HOSPITAL, case_id)


@pytest.mark.parametrize("agency_id", OUTSIDERS)
async def test_nobody_else_reads_it_or_hears_of_it(hub: RunningHub, agency_id: str) -> None:
    case_id, position = await a_told_case(hub)
    assert await readable(hub, agency_id, case_id) == set()
    assert not await listed(hub, agency_id, case_id)
    assert await subscribed(hub, agency_id, position - 3, position, patience_seconds=QUIET_SECONDS) == []


async def test_the_panel_reads_every_case_in_national_fields_save_what_was_sent_to_it(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    assert await readable(hub, PANEL_ID, case_id) == set(EVERY_CALL) - {"ReadStream access"}
    assert await listed(hub, PANEL_ID, case_id)
    assert await subscribed(hub, PANEL_ID, position - 3, position) == [(f"incident-{case_id}", "whole")]
    async with queries(hub, PANEL_ID) as asks:
        assert [line.headline for line in (await asks.story(case_id)).lines] == ["Incident notified to the Panel: death, 1 child"]
        assert list((await asks.stream(f"sharing-{case_id}")).entries) == []
    request_id = a_uuid()
    await hub.said(
        PANEL_ID, an_information_request(request_id, recipient=SCHOOL, gate=LegalGate.S16D_PANEL, due_on=london_day(now())), case_id=case_id
    )
    (answer,) = await hub.said(SCHOOL, a_share(an_entry(a_uuid(), fact="To the Panel."), request_id=request_id), case_id=case_id)
    async with queries(hub, PANEL_ID) as asks:
        assert [line.fact for line in (await asks.story(case_id, min_position=answer.position)).lines if line.fact] == ["To the Panel."]
        entries = (await asks.stream(f"sharing-{case_id}", min_position=answer.position)).entries
    assert [(one.event_type, one.body_withheld) for one in entries] == [("information.requested.v1", ""), ("information.shared.v1", "")]


async def test_the_panel_reads_word_for_word_what_was_said_to_it_and_knows_of_the_rest_that_it_happened(hub: RunningHub) -> None:
    case_id = a_uuid()
    await hub.said(COUNCIL, a_referral(CHILD), a_notification(), case_id=case_id)
    decided = DecisionMade(decision=Decision.NO_LOCAL_REVIEW, rationale="Synthetic.")
    review = (RapidReviewOpened(), RapidReviewDrafted(summary="Synthetic."), RapidReviewCompleted(summary="Synthetic."), decided)
    (*_, receipt) = await hub.said(BUSINESS_UNIT, *review, case_id=case_id)

    async def withheld(category: str, position: int) -> dict[str, str]:
        async with queries(hub, PANEL_ID) as asks:
            entries = (await asks.stream(f"{category}-{case_id}", min_position=position)).entries
        assert all((one.salt, one.body) == (b"", b"") for one in entries if one.body_withheld)
        return {one.event_type: one.body_withheld for one in entries}

    not_said = "not for this reader"
    assert await withheld("incident", receipt.position) == {"case.referred.v1": not_said, "incident.notified.v1": ""}
    assert set((await withheld("rapid_review", receipt.position)).values()) == {not_said}
    (sent,) = await hub.said(BUSINESS_UNIT, SentToPanel(), case_id=case_id)
    (answered,) = await hub.said(PANEL_ID, PanelAgreed(comment="Synthetic."), case_id=case_id)
    assert answered.position > sent.position
    assert await withheld("rapid_review", answered.position) == {
        "rapid_review.opened.v1": not_said,
        "rapid_review.drafted.v1": not_said,
        "rapid_review.completed.v1": "",
        "rapid_review.decision_made.v1": "",
        "rapid_review.sent_to_panel.v1": "",
        "rapid_review.panel_agreed.v1": "",
    }


async def test_a_restricted_case_is_there_for_the_named_agencies_only_and_for_the_panel(hub: RunningHub) -> None:
    case_id, _ = await a_told_case(hub)
    restriction = InformationRestricted(marking=Marking.RESTRICTED, named_agencies=(COUNCIL, POLICE), reason="Synthetic.")
    (receipt,) = await hub.said(COUNCIL, restriction, case_id=case_id)
    async with queries(hub, COUNCIL) as asks:
        await asks.story(case_id, min_position=receipt.position)
    for agency_id in (COUNCIL, POLICE):
        assert await readable(hub, agency_id, case_id) == set(EVERY_CALL), agency_id
        assert await listed(hub, agency_id, case_id)
    for agency_id in (ICB, SECOND_COUNCIL, BUSINESS_UNIT, SCHOOL):
        assert await readable(hub, agency_id, case_id) == set(), agency_id
        assert not await listed(hub, agency_id, case_id)
        assert await subscribed(hub, agency_id, receipt.position - 4, receipt.position, patience_seconds=QUIET_SECONDS) == []
    assert "GetChronology" in await readable(hub, PANEL_ID, case_id)


async def test_a_restricted_entry_is_there_for_the_named_agencies_only_also_for_a_past_moment(hub: RunningHub) -> None:
    case_id, entry_id = a_uuid(), RequestId(a_uuid())
    await hub.said(COUNCIL, a_notification(), case_id=case_id)
    (shared,) = await hub.said(POLICE, a_share(an_entry(entry_id, fact="Restricted.")), case_id=case_id)
    before = now()
    async with queries(hub, ICB) as asks:
        assert [line.fact for line in (await asks.story(case_id, min_position=shared.position)).lines if line.fact] == ["Restricted."]
    restriction = InformationRestricted(
        entry_id=entry_id, marking=Marking.RESTRICTED, named_agencies=(COUNCIL, POLICE), reason="Synthetic."
    )
    (receipt,) = await hub.said(POLICE, restriction, case_id=case_id)
    for agency_id, expected in ((COUNCIL, ["Restricted."]), (POLICE, ["Restricted."]), (ICB, []), (BUSINESS_UNIT, [])):
        async with queries(hub, agency_id) as asks:
            for asked in (NOW, {"known_at": before}):
                story = await asks.story(case_id, min_position=receipt.position, **asked)
                assert [line.fact for line in story.lines if line.fact] == expected, agency_id
            entries = (await asks.stream(f"sharing-{case_id}", min_position=receipt.position)).entries
            assert [one.version for one in entries] == ([1, 2] if expected else []), agency_id
            assert {one.body_withheld for one in entries} <= {""}


async def test_not_there_and_not_yours_are_told_apart_by_nothing(hub: RunningHub) -> None:
    case_id, _ = await a_told_case(hub)
    for agency_id in (STRANGER, OTHER_COUNCIL, OPERATOR_ID):
        async with queries(hub, agency_id) as asks:
            for name in EVERY_CALL:
                places = [(case_id, SHARD), (a_uuid(), SHARD), (a_uuid(), NATIONAL), (case_id, NATIONAL), (case_id, "nowhere")]
                told = [await refusal(case_calls(asks, *place)[name]()) for place in places]
                assert told == [told[0]] * len(places), name
                assert told[0].code == "NOT_FOUND"


async def test_the_moment_of_asking_decides_not_the_moment_that_is_asked_for(hub: RunningHub) -> None:
    shard_members = MembershipChanged(
        change=MembershipChange.OTHER,
        effective_on=london_day(now()),
        business_unit=BUSINESS_UNIT,
        partners=(COUNCIL, ICB, POLICE),
        relevant_agencies=(SCHOOL, HOSPITAL),
    )
    case_id, _ = await a_told_case(hub)
    before = now()
    assert "GetChronology" in await readable(hub, SECOND_COUNCIL, case_id)
    (receipt,) = await hub.said(OPERATOR_ID, shard_members)
    try:
        async with queries(hub, SECOND_COUNCIL) as asks:
            told = await refusal(asks.story(case_id, known_at=before, min_position=receipt.position))
        assert told.code == "NOT_FOUND"
        assert not await listed(hub, SECOND_COUNCIL, case_id)
    finally:
        back = MembershipChanged(
            change=MembershipChange.OTHER,
            effective_on=london_day(now()),
            business_unit=BUSINESS_UNIT,
            partners=(COUNCIL, SECOND_COUNCIL, ICB, POLICE),
            relevant_agencies=(SCHOOL, HOSPITAL),
        )
        (receipt,) = await hub.said(OPERATOR_ID, back)
    async with queries(hub, SECOND_COUNCIL) as asks:
        await asks.story(case_id, min_position=receipt.position)


async def test_oversight_is_the_panels_alone_and_whoever_else_asks_is_on_record(hub: RunningHub) -> None:
    await a_told_case(hub)
    table = oversight_pb2.GetTableRequest(table="1", period_from="2024-01-01", period_until="2024-12-31")
    timeliness = oversight_pb2.GetTimelinessRequest(period_from="2024-01-01", period_until="2024-12-31")
    for agency_id in (*PARTNERS, SCHOOL, OPERATOR_ID):
        async with queries(hub, agency_id) as asks:
            assert (await refusal(asks.oversight.GetTable(table, metadata=ASKS, timeout=10))).code == "PERMISSION_DENIED"
            cases = oversight_pb2.ListCasesRequest()
            assert (await refusal(asks.oversight.ListCases(cases, metadata=ASKS, timeout=10))).code == "PERMISSION_DENIED"
            assert (await refusal(asks.oversight.GetTimeliness(timeliness, metadata=ASKS, timeout=10))).code == "PERMISSION_DENIED"
        denied = access_events(hub, f"access-{list_id(agency_id)}", NATIONAL)[-3:]
        assert [said_of(one)[-2:] for one in denied] == [("oversight", "kind")] * 3
    async with queries(hub, PANEL_ID) as asks:
        assert (await asks.oversight.GetTable(table, metadata=ASKS, timeout=10)).table.title
        assert (await asks.oversight.ListCases(oversight_pb2.ListCasesRequest(), metadata=ASKS, timeout=10)).cases
        duties = (await asks.oversight.GetTimeliness(timeliness, metadata=ASKS, timeout=10)).duties
    assert said_of(access_events(hub, f"access-{list_id(PANEL_ID)}", NATIONAL)[-1])[-2:] == ("oversight", f"{len(duties)} rows")


@pytest.mark.parametrize("agency_id", [*PARTNERS, SCHOOL, STRANGER, OTHER_COUNCIL, PANEL_ID, OPERATOR_ID])
async def test_agencies_keys_and_the_partnership_are_open_to_whoever_is_enrolled(hub: RunningHub, agency_id: str) -> None:
    async with queries(hub, agency_id) as asks:
        agencies = await asks.registry.ListAgencies(registry_pb2.ListAgenciesRequest(), timeout=10)
        keys = await asks.registry.ListKeys(registry_pb2.ListKeysRequest(agency_id=COUNCIL), timeout=10)
        of_northmoor = registry_pb2.ListPartnershipsRequest(min_positions=[MinPosition(shard=SHARD, position=1)])
        partnerships = await asks.registry.ListPartnerships(of_northmoor, timeout=10)
        partnership = await asks.stream(f"partnership-{SHARD}")
        agency = await asks.stream(f"agency-{COUNCIL}", shard=NATIONAL)
    assert {COUNCIL, PANEL_ID, "hub"} <= {one.agency_id for one in agencies.agencies}
    assert [one.key_id for one in keys.keys] == [f"{COUNCIL}:1"]
    assert [one.shard for one in partnerships.partnerships] == [SHARD]
    assert {one.body_withheld for one in (*partnership.entries, *agency.entries)} == {""}


async def test_a_certificate_of_an_agency_that_was_never_enrolled_reads_nothing(hub: RunningHub) -> None:
    make_identity(hub.settings, "agency-never-enrolled")
    case_id, _ = await a_told_case(hub)
    async with queries(hub, "agency-never-enrolled") as asks:
        calls = [
            *(call() for call in case_calls(asks, case_id).values()),
            asks.owed(),
            first(asks.subscribe()),
            asks.registry.ListAgencies(registry_pb2.ListAgenciesRequest(), timeout=10),
            asks.registry.ListKeys(registry_pb2.ListKeysRequest(), timeout=10),
            asks.registry.ListPartnerships(registry_pb2.ListPartnershipsRequest(), timeout=10),
        ]
        assert {(await refusal(call)).code for call in calls} == {"PERMISSION_DENIED"}


WRONG: Final[dict[str, Sequence[tuple[str, str]]]] = {
    "no metadata": (),
    "no user": ASKS[1:],
    "no role": (ASKS[0], ASKS[2]),
    "no purpose": ASKS[:2],
    "an empty user": (("hub-user", ""), *ASKS[1:]),
    "a user with a space": (("hub-user", "Jane Doe"), *ASKS[1:]),
    "a long user": (("hub-user", "u" * 101), *ASKS[1:]),
    "two users": (*ASKS, ("hub-user", "u-2")),
    "an unknown purpose": (*ASKS[:2], ("hub-purpose", "curiosity")),
}


@pytest.mark.parametrize("what", sorted(WRONG))
@pytest.mark.parametrize("agency_id", [COUNCIL, PANEL_ID])
async def test_a_query_says_for_whom_in_what_role_and_why(hub: RunningHub, what: str, agency_id: str) -> None:
    case_id = a_uuid()
    async with hub.channel(agency_id) as channel:
        for method, request in every_query(case_id):
            call = channel.unary_stream if "Watch" in method or "Subscribe" in method else channel.unary_unary
            asked: Any = call(f"/safeguarding.hub.v1.{method}", request_serializer=lambda one: one.SerializeToString())
            answer = asked(request, metadata=WRONG[what], timeout=10)
            told = await refusal(answer.read() if hasattr(answer, "read") else answer)
            assert told.code == "INVALID_ARGUMENT", method
            assert "metadata.hub-" in str(told.message), method
            assert "Jane" not in str(told), "what was wrong is not echoed"


def every_query(case_id: str) -> list[tuple[str, object]]:
    """Return every RPC that tells who asks, with a request that would do."""
    return [
        ("ChronologyService/GetChronology", chronology_pb2.GetChronologyRequest(shard=SHARD, case_id=case_id)),
        ("ChronologyService/WatchChronology", chronology_pb2.WatchChronologyRequest(shard=SHARD, case_id=case_id)),
        ("ChronologyService/ListCasesOfChild", chronology_pb2.ListCasesOfChildRequest(shard=SHARD, child_id=CHILD)),
        ("DeadlineService/ListDeadlines", deadlines_pb2.ListDeadlinesRequest()),
        ("DeadlineService/ExplainDeadline", deadlines_pb2.ExplainDeadlineRequest(shard=SHARD, case_id=case_id, clock="K1")),
        ("DeadlineService/WatchDeadlines", deadlines_pb2.WatchDeadlinesRequest()),
        ("EventLogService/ReadStream", event_log_pb2.ReadStreamRequest(shard=SHARD, stream=f"incident-{case_id}")),
        ("EventLogService/Subscribe", event_log_pb2.SubscribeRequest(shard=SHARD)),
        ("OversightService/ListCases", oversight_pb2.ListCasesRequest()),
        ("OversightService/GetTable", oversight_pb2.GetTableRequest(table="1", period_from="2024-01-01", period_until="2024-12-31")),
        ("OversightService/GetTimeliness", oversight_pb2.GetTimelinessRequest(period_from="2024-01-01", period_until="2024-12-31")),
    ]


async def test_every_read_of_a_case_is_on_its_log_signed_by_the_hub(hub: RunningHub) -> None:
    case_id, _ = await a_told_case(hub)
    async with queries(hub, ICB) as asks:
        for name, call in case_calls(asks, case_id).items():
            if name != "ReadStream access":
                await call()
        await asks.owed(case_id=case_id)
        seen = await asks.stream(f"access-{case_id}", min_position=hub.parts.store.shard(SHARD).head().position)
    who = ("hub", ICB, "u-417", "analyst", "rapid_review")
    found = [said_of(one) for one in access_events(hub, f"access-{case_id}")]
    assert [one[:5] for one in found] == [who] * 7
    assert [one[5:] for one in found] == [
        ("chronology", "3 rows"),
        ("chronology", "3 rows"),
        ("deadlines", "1 rows"),
        ("events", "1 rows"),
        ("events", "2 rows"),
        ("deadlines", found[5][6]),
        ("events", "6 rows"),
    ]
    assert [one.body_withheld for one in seen.entries] == [""] * 6


async def test_every_refusal_is_recorded_with_the_case_or_without_one_under_the_agencys_lists(hub: RunningHub) -> None:
    case_id, _ = await a_told_case(hub)
    async with queries(hub, STRANGER) as asks:
        for call in case_calls(asks, case_id).values():
            await refusal(call())
        await refusal(asks.story(a_uuid()))
        await refusal(asks.stream(f"incident-{case_id}", shard="nowhere"))
    found = access_events(hub, f"access-{case_id}")
    assert [said_of(one)[1:] for one in found] == [
        (STRANGER, "u-417", "analyst", "rapid_review", resource, "not_linked")
        for resource in ("chronology", "chronology", "deadlines", "events", "events", "events")
    ]
    assert {one.event_type for one in found} == {"access.denied.v1"}
    lists = access_events(hub, f"access-{list_id(STRANGER)}", NATIONAL)[-2:]
    assert [said_of(one)[-2:] for one in lists] == [("chronology", "not_linked"), ("events", "not_linked")]


async def test_a_list_leaves_one_record_and_a_subscription_one_for_each_case_in_a_batch(hub: RunningHub) -> None:
    case_id, position = await a_told_case(hub)
    lists = f"access-{list_id(POLICE)}"
    before = len(access_events(hub, lists, NATIONAL)) if hub.parts.store.shard(NATIONAL).stream_version(lists) else 0
    async with queries(hub, POLICE) as asks:
        answer = await asks.owed(shards=[SHARD])
    (one,) = access_events(hub, lists, NATIONAL)[before:]
    assert said_of(one) == ("hub", POLICE, "u-417", "analyst", "rapid_review", "deadlines", f"{len(answer.deadlines)} rows")
    await subscribed(hub, POLICE, position - 3, position)
    assert [said_of(one)[5:] for one in access_events(hub, f"access-{case_id}")] == [("events", "3 rows")]


async def test_the_cases_of_a_child_are_those_that_the_reader_sees_to_name_it(hub: RunningHub) -> None:
    child, sibling, (first_case, second_case) = ChildId(a_uuid()), ChildId(a_uuid()), (a_uuid(), a_uuid())
    await hub.said(COUNCIL, a_notification(children=(a_child(child),)), case_id=first_case)
    await hub.said(
        COUNCIL, a_notification(children=(a_child(child), a_child(sibling, index_child=False, death_category=None))), case_id=second_case
    )
    entry = an_entry(a_uuid(), children=(sibling,), marking=Marking.OFFICIAL_SENSITIVE)
    (told,) = await hub.said(POLICE, a_share(entry), case_id=second_case)
    restriction = InformationRestricted(marking=Marking.RESTRICTED, named_agencies=(COUNCIL, POLICE), reason="Synthetic.")
    async with queries(hub, ICB) as icb, queries(hub, COUNCIL) as council, queries(hub, HOSPITAL) as stranger:
        assert await icb.cases_of(child, min_position=told.position) == [first_case, second_case]
        assert await icb.cases_of(sibling) == [second_case]
        assert await stranger.cases_of(child) == []
        assert await icb.cases_of(a_uuid()) == []
        (receipt,) = await hub.said(COUNCIL, restriction, case_id=second_case)
        assert await icb.cases_of(child, min_position=receipt.position) == [first_case]
        assert await icb.cases_of(sibling) == []
        assert await council.cases_of(child) == [first_case, second_case]


async def test_whoever_looks_a_child_up_is_on_record(hub: RunningHub) -> None:
    child, case_id = ChildId(a_uuid()), a_uuid()
    (told,) = await hub.said(COUNCIL, a_notification(children=(a_child(child),)), case_id=case_id)
    async with queries(hub, POLICE) as asks:
        assert await asks.cases_of(child, min_position=told.position) == [case_id]
        assert [said_of(one)[1:3] + said_of(one)[5:] for one in access_events(hub, f"access-{case_id}")] == [
            (POLICE, "u-417", "chronology", "1 rows")
        ]
        assert await asks.cases_of(a_uuid()) == []
    assert said_of(access_events(hub, f"access-{list_id(POLICE)}", NATIONAL)[-1])[5:] == ("chronology", "0 rows")


def list_id(agency_id: str) -> str:
    """Return the id under which an agency's lists are recorded."""
    return Asker(agency_id=AgencyId(agency_id), user="", role="", purpose=Purpose.OVERSIGHT).list_id
