"""The path from a signed event to its receipt, with real stores and two intakes on one log, as two nodes would be."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from domain.agency.events import KeyRevoked, RevocationReason
from domain.incident.events import ParallelProceedingClosed
from domain.kernel.agencies import OPERATOR_ID, kind_of
from domain.kernel.events import Event
from domain.kernel.ids import NATIONAL, AgencyId, KeyId, RequestId, RuleId
from domain.rapid_review.events import (
    Decision,
    DecisionMade,
    EthnicityAndCultureConsidered,
    PartnerSignedOff,
    RapidReviewCompleted,
    RapidReviewOpened,
    SentToPanel,
)
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import Identity
from safeguarding.hub.v1.append_pb2 import Outcome, RefusalCode
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from services.bootstrap import now
from services.eventstore.codec import to_message
from services.eventstore.opening import Opener
from services.eventstore.state import State
from services.intake.admission import GROUP_MAX_EVENTS
from services.intake.intake import Intake
from services.intake.registry import RegistryFollower
from services.intake.streams import StreamState
from services.trust.possession import registration
from services.trust.registry import RegistryState
from services.trust.signing import SigningKey, load_public_key
from tests.support.builders import BUSINESS_UNIT, COUNCIL, ICB, POLICE, SECOND_COUNCIL, SHARD, a_notification, a_proceeding
from tests.support.hub import RunningHub, running_hub


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    home: Path = tmp_path_factory.mktemp("intake")
    with running_hub(home) as hub:
        yield hub


def an_intake(hub: RunningHub, opener: Opener | None = None) -> Intake:
    """Another intake on the hub's log, with memories of its own."""
    parts = hub.parts
    trust_root = RegistryState(*load_public_key(hub.settings.operator_public_key_file))
    return Intake(
        store=parts.store,
        registry=RegistryFollower(parts.store, parts.opener, trust_root),
        keys=parts.keys,
        opener=opener or parts.opener,
        examiners=parts.examiners,
        metrics=parts.metrics,
        clock=now,
        log_origin=hub.settings.log_origin,
        node_id="another-node",
    )


def signed(hub: RunningHub, agency_id: str, case_id: str, events: Sequence[Event], expected: int | None = None) -> list[SignedEvent]:
    sender = Sender(agency_id=agency_id, source="intake", shard=SHARD, log_origin=hub.settings.log_origin, actor_role="tester")
    key = Identity.from_folder(hub.settings.agency_folder(agency_id)).signing_key
    drafts = [Draft(event=to_message(event), case_id=case_id, expected_version=expected) for event in events]
    return [SignedEvent.FromString(sign(draft, sender, key, number).message) for number, draft in enumerate(drafts, 1)]


async def say(intake: Intake, hub: RunningHub, agency_id: AgencyId, case_id: str, *events: Event) -> list[Outcome]:
    assert kind_of(agency_id)
    return await intake.append(agency_id, signed(hub, agency_id, case_id, events))


def results(outcomes: Sequence[Outcome]) -> list[str]:
    return [one.refusal.rule if one.HasField("refusal") else "accepted" for one in outcomes]


async def left_undecided(hub: RunningHub, intake: Intake, agency_id: AgencyId, events: Sequence[SignedEvent], name: str) -> StreamState:
    """Send events as a caller who goes away before they are decided; return the stream that they belong to as it was looked at then."""
    state, may_commit = hub.parts.store._state, threading.Event()

    def commit() -> None:
        assert may_commit.wait(30)
        State.commit(state)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(state, "commit", commit)
        left = asyncio.ensure_future(intake.append(agency_id, events))
        stream = intake._streams.get(events_shard(events), name)
        while not stream.under_way():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.001)
        left.cancel()
        await asyncio.wait([left])
        may_commit.set()
        assert left.cancelled()
    await asyncio.to_thread(lambda: [proposal.future.result(10) for proposal in stream.proposals if proposal.future is not None])
    return stream


def events_shard(events: Sequence[SignedEvent]) -> str:
    return EventHeader.FromString(events[0].header).shard


async def test_a_finding_is_in_the_receipt_and_the_event_that_mends_it_says_so(served: RunningHub) -> None:
    intake, case_id = an_intake(served), str(uuid.uuid4())
    await say(intake, served, COUNCIL, case_id, a_notification())
    opened = await say(intake, served, BUSINESS_UNIT, case_id, RapidReviewOpened())
    assert results(opened) == ["accepted"]
    for partner in (COUNCIL, SECOND_COUNCIL, ICB):
        assert results(await say(intake, served, partner, case_id, PartnerSignedOff(by_role="Partner"))) == ["accepted"]
    sent = await say(
        intake,
        served,
        BUSINESS_UNIT,
        case_id,
        EthnicityAndCultureConsidered(considerations="Synthetic."),
        RapidReviewCompleted(summary="Synthetic."),
        DecisionMade(decision=Decision.NO_LOCAL_REVIEW, rationale="Synthetic."),
        SentToPanel(),
    )
    assert results(sent) == ["accepted"] * 4
    assert [finding.rule for finding in sent[-1].receipt.findings] == ["rapid_review.sent_without_sign_off"]
    assert sent[-1].receipt.findings[0].mend
    late = await say(intake, served, POLICE, case_id, PartnerSignedOff(by_role="Partner"))
    assert list(late[0].receipt.mended) == [RuleId("rapid_review.sent_without_sign_off")]
    reloaded = an_intake(served)
    states = [one._streams.get(SHARD, f"rapid_review-{case_id}").decided for one in (intake, reloaded)]
    assert states[0] == states[1]


async def test_what_an_intake_expects_an_event_to_open_to_is_what_its_bytes_open_to(served: RunningHub) -> None:
    opener, case_id = Opener(served.parts.keys), str(uuid.uuid4())
    intake, shard = an_intake(served, opener), served.parts.store.shard(SHARD)
    await say(intake, served, COUNCIL, case_id, a_notification(), a_proceeding(str(uuid.uuid4())))
    steps = (RapidReviewOpened(), RapidReviewCompleted(summary="Synthetic."), SentToPanel())
    await say(intake, served, BUSINESS_UNIT, case_id, *steps)
    for partner in (COUNCIL, SECOND_COUNCIL, ICB, POLICE):
        await say(intake, served, partner, case_id, PartnerSignedOff(by_role="Partner"))
    lies = [stored for area in ("incident", "rapid_review") for stored in shard.read_stream(f"{area}-{case_id}")]
    read = [Opener(served.parts.keys).open(SHARD, stored) for stored in lies]
    expected = [stored.event_id in opener._expected for stored in lies]
    assert [opener.open(SHARD, stored) for stored in lies] == read
    assert any(one.findings for one in read)
    assert any(one.mended for one in read)
    assert expected.count(True) >= len(lies) - 1, "an intake reads a stream's former events itself at most"


async def test_two_intakes_contending_for_a_stream_lose_nothing_and_double_nothing(served: RunningHub) -> None:
    case_id = str(uuid.uuid4())
    intakes = [an_intake(served), an_intake(served)]
    await say(intakes[0], served, COUNCIL, case_id, a_notification())
    sides = [[a_proceeding(str(uuid.uuid4())) for _ in range(25)] for _ in intakes]
    outcomes = await asyncio.gather(
        *(say(intake, served, COUNCIL, case_id, *events) for intake, events in zip(intakes, sides, strict=True))
    )
    versions = [outcome.receipt.version for side in outcomes for outcome in side]
    assert sorted(versions) == list(range(2, 52))
    for side in outcomes:
        order = [outcome.receipt.version for outcome in side]
        assert order == sorted(order), "one sender's order is kept"


async def test_an_event_sent_through_two_intakes_at_once_has_one_receipt(served: RunningHub) -> None:
    case_id = str(uuid.uuid4())
    intakes = [an_intake(served), an_intake(served)]
    events = signed(served, COUNCIL, case_id, [a_notification()])
    first, second = await asyncio.gather(*(intake.append(COUNCIL, events) for intake in intakes))
    assert first[0].receipt.SerializeToString(deterministic=True) == second[0].receipt.SerializeToString(deterministic=True)
    assert first[0].HasField("receipt")


async def test_old_and_new_events_batched_anew_get_old_and_new_receipts(served: RunningHub) -> None:
    case_id = str(uuid.uuid4())
    intake, other = an_intake(served), an_intake(served)
    events = signed(served, COUNCIL, case_id, [a_notification(), a_proceeding(str(uuid.uuid4())), a_proceeding(str(uuid.uuid4()))])
    before = await intake.append(COUNCIL, events[:2])
    for atomic in (False, True):
        again = await other.append(COUNCIL, events, atomic=atomic)
        assert again[0].receipt == before[0].receipt
        assert again[1].receipt == before[1].receipt
        assert again[2].receipt.version == 3


async def test_what_another_node_accepted_meanwhile_is_judged_before_refusing(served: RunningHub) -> None:
    case_id, proceeding = str(uuid.uuid4()), str(uuid.uuid4())
    intake, other = an_intake(served), an_intake(served)
    await say(intake, served, COUNCIL, case_id, a_notification())
    await say(other, served, COUNCIL, case_id, a_proceeding(proceeding))
    closed = ParallelProceedingClosed(proceeding_id=a_proceeding(proceeding).proceeding_id, outcome="Synthetic.")
    assert results(await say(intake, served, COUNCIL, case_id, closed)) == ["accepted"]


async def test_one_refused_event_of_a_request_holds_up_no_other(served: RunningHub) -> None:
    intake, case_id, other_case = an_intake(served), str(uuid.uuid4()), str(uuid.uuid4())
    closing_nothing = ParallelProceedingClosed(proceeding_id=RequestId(str(uuid.uuid4())), outcome="Synthetic.")
    events = [
        *signed(served, COUNCIL, case_id, [a_notification(), a_notification(), a_proceeding(str(uuid.uuid4()))]),
        *signed(
            served,
            COUNCIL,
            other_case,
            [a_notification(), closing_nothing],
        ),
        *signed(served, COUNCIL, case_id, [a_proceeding(str(uuid.uuid4()))]),
    ]
    outcomes = await intake.append(COUNCIL, events)
    assert results(outcomes) == [
        "accepted",
        "incident.second_notification",
        "accepted",
        "accepted",
        "incident.unknown_proceeding",
        "accepted",
    ]
    assert [one.receipt.version for one in outcomes if one.HasField("receipt")] == [1, 2, 1, 3]


async def test_events_that_share_an_append_are_proposed_singly_when_another_node_was_faster(served: RunningHub) -> None:
    intake, other = an_intake(served), an_intake(served)
    case_ids = [str(uuid.uuid4()) for _ in range(3)]
    for case_id in case_ids:
        await say(intake, served, COUNCIL, case_id, a_notification())
    await say(other, served, COUNCIL, case_ids[1], a_proceeding(str(uuid.uuid4())))
    events = [event for case_id in case_ids for event in signed(served, COUNCIL, case_id, [a_proceeding(str(uuid.uuid4()))])]
    outcomes = await intake.append(COUNCIL, events)
    assert [one.receipt.version for one in outcomes] == [2, 3, 2]


@pytest.mark.parametrize("atomic", [False, True])
async def test_the_same_event_twice_in_a_request_gets_its_receipt_twice(served: RunningHub, atomic: bool) -> None:
    intake, case_id = an_intake(served), str(uuid.uuid4())
    event, other = signed(served, COUNCIL, case_id, [a_notification(), a_proceeding(str(uuid.uuid4()))])
    first, second, third = await intake.append(COUNCIL, [event, other, event], atomic=atomic)
    assert first == third
    assert (first.receipt.version, second.receipt.version) == (1, 2)


async def test_an_append_that_fails_lets_nothing_be_refused_for_what_was_predicted_of_it(
    served: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    intake, case_id = an_intake(served), str(uuid.uuid4())
    await say(intake, served, COUNCIL, case_id, a_notification())
    (event,) = signed(served, COUNCIL, case_id, [a_proceeding(str(uuid.uuid4()))])
    state = served.parts.store._state
    sound = iter([False])

    def commit() -> None:
        """Fail once."""
        if not next(sound, True):
            raise sqlite3.OperationalError("disk I/O error")
        State.commit(state)

    monkeypatch.setattr(state, "commit", commit)
    first, second = await intake.append(COUNCIL, [event, event])
    assert first.refusal.code == RefusalCode.REFUSAL_CODE_UNAVAILABLE
    assert second.receipt.version == 2
    assert (await intake.append(COUNCIL, [event]))[0].receipt == second.receipt


async def test_what_a_caller_does_not_wait_for_is_taken_in_all_the_same(served: RunningHub) -> None:
    intake, case_id = an_intake(served), str(uuid.uuid4())
    await say(intake, served, COUNCIL, case_id, a_notification())
    events = signed(served, COUNCIL, case_id, [a_proceeding(str(uuid.uuid4()))])
    state = await left_undecided(served, intake, COUNCIL, events, f"incident-{case_id}")
    assert (await say(intake, served, COUNCIL, case_id, a_proceeding(str(uuid.uuid4()))))[0].receipt.version == 3
    assert intake._streams.get(SHARD, f"incident-{case_id}") is state
    assert (state.version, state.proposals) == (3, [])


async def test_a_revocation_whose_caller_went_away_is_carried_into_every_shard_when_it_is_sent_again(served: RunningHub) -> None:
    sender = Sender(agency_id=OPERATOR_ID, source="intake", shard=NATIONAL, log_origin=served.settings.log_origin, actor_role="operator")
    operator = Identity.from_folder(served.settings.agency_folder(OPERATOR_ID)).signing_key
    key_id = KeyId(f"{COUNCIL}:lost")
    registered = registration(SigningKey.generate(), COUNCIL, key_id)
    revoked = KeyRevoked(agency_id=COUNCIL, key_id=key_id, reason=RevocationReason.COMPROMISED)
    events = [sign(Draft(event=to_message(event)), sender, operator, number) for number, event in enumerate((registered, revoked), 1)]
    first, last = [[SignedEvent.FromString(event.message)] for event in events]
    intake = an_intake(served)
    assert results(await intake.append(OPERATOR_ID, first)) == ["accepted"]
    await left_undecided(served, intake, OPERATOR_ID, last, f"agency-{COUNCIL}")
    again = await intake.append(OPERATOR_ID, last)
    assert results(again) == ["accepted"]
    store = served.parts.store
    assert [name for name in store.shards() if key_id not in store.shard(name).revoked_keys()] == []


async def test_a_large_request_is_on_the_log_in_the_order_it_was_sent(served: RunningHub) -> None:
    intake, case_id = an_intake(served), str(uuid.uuid4())
    await say(intake, served, COUNCIL, case_id, a_notification())
    events = signed(served, COUNCIL, case_id, [a_proceeding(str(uuid.uuid4())) for _ in range(3 * GROUP_MAX_EVENTS)])
    outcomes = await intake.append(COUNCIL, events)
    assert [one.receipt.version for one in outcomes] == list(range(2, 2 + len(events)))
    again = await an_intake(served).append(COUNCIL, events)
    assert again == outcomes
