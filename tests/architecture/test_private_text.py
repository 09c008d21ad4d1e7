"""Free text about people stays sealed: no log line, metric, error, refusal, file name, header or byte of the store holds a word of it."""

from __future__ import annotations

import asyncio
import io
import types
import uuid
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Final, Union, get_args, get_origin, get_type_hints

import pytest
import structlog
from prometheus_client import generate_latest

from domain.areas import AREAS
from domain.kernel.agencies import OPERATOR_ID, PANEL_ID
from domain.kernel.events import Details, Event, Limit, Precision, When
from domain.rapid_review.events import Decision
from domain.sharing.events import FamilyTold, LegalGate
from safeguarding.hub.client.drafts import Draft, Sender, sign
from safeguarding.hub.client.identity import Identity
from safeguarding.hub.client.outcomes import Receipt, Refusal
from safeguarding.hub.v1 import append_pb2, append_pb2_grpc, oversight_pb2
from safeguarding.hub.v1.chronology_pb2 import GetChronologyRequest
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.bootstrap import now
from services.eventstore.codec import to_message
from services.runtime.logs import configure_logging
from services.runtime.settings import LogFormat, LogLevel
from services.trust.signing import commitment
from tests.support.builders import BUSINESS_UNIT, COUNCIL, POLICE, SCHOOL, SHARD, a_child, a_notification, a_referral, an_awareness
from tests.support.hub import RunningHub, running_hub
from tests.support.reading import ASKS, Refused, caught_up, queries, refusal
from tests.support.samples import ALL_EVENT_TYPES, sample_event

MARKER: Final = "Quillfeather"
"""A name that nobody has, in every field that may hold a word about somebody."""
AS_BYTES: Final = (MARKER.encode(), MARKER.encode("utf-16-le"), MARKER.lower().encode(), MARKER.encode().hex().encode())
SENDERS: Final = (COUNCIL, BUSINESS_UNIT, POLICE, SCHOOL, PANEL_ID)
FIRST_CHILD: Final = "01890000-0000-7000-8000-000000000000"
SECOND_CHILD: Final = "01890000-0000-7000-8000-000000000001"
"""The children of the examples, which call everything by such ids."""


@dataclass(slots=True)
class Heard:
    """Everything that left the hub while the scenario ran, save what a permitted reader was shown."""

    home: Path
    hub: RunningHub
    logs: io.StringIO
    accepted: set[str] = field(default_factory=set)
    receipts: list[Receipt] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    raw_answers: list[bytes] = field(default_factory=list)
    errors: list[Refused] = field(default_factory=list)
    shown: bytes = b""


# ── the scenario ──


def marked(value: Any, hint: Any) -> Any:  # noqa: PLR0911  # one line a kind
    """Return a value with the marker in every text field, and every day and instant of these days, so that rules of time let it pass."""
    kind, is_text = _kind(hint)
    match value:
        case str() if is_text:
            return f"{MARKER} {value}"
        case tuple():
            return tuple(marked(item, get_args(kind)[0]) for item in value)
        case When():
            return When(precision=Precision.DAY, on=now().date())
        case Details():
            return Details(note=f"{MARKER} note", recorded_by_role=f"{MARKER} role")
        case FamilyTold():
            return FamilyTold(told=False, reason_if_not=f"{MARKER} reason")
        case datetime():
            return now() - timedelta(minutes=5)
        case date():
            return now().date()
        case _ if is_dataclass(value) and not isinstance(value, type):
            hints = get_type_hints(type(value), include_extras=True)
            return replace(value, **{one.name: marked(getattr(value, one.name), hints[one.name]) for one in fields(value)})
        case _:
            return value


def _kind(hint: Any) -> tuple[Any, bool]:
    """Return an annotation's type, and whether it is text about people or things (not an id, not a code)."""
    is_text = False
    while True:
        if get_origin(hint) is Annotated:
            base, *extras = get_args(hint)
            is_text = is_text or (base is str and any(isinstance(extra, Limit) for extra in extras))
            hint = base
        elif get_origin(hint) in (Union, types.UnionType):
            (hint,) = (part for part in get_args(hint) if part is not type(None))
        else:
            return hint, is_text


def marked_event(event_type: str) -> Any:
    """Return the example of an event with the marker in every text field."""
    return marked(sample_event(event_type), type(sample_event(event_type)))


ENDS: Final = ("incident.closed.v1", "incident.notification_withdrawn.v1", "agency.suspended.v1")
"""After these nothing more is accepted of the case, or of the agency: they are said last."""


async def tell_everything(heard: Heard, case_id: str) -> None:
    """Have every agency say every event of the contract; what is not its to say, or cannot be true, is refused."""
    names = [event.EVENT_TYPE for area in AREAS for event in area.events if area.category != "access"]
    of_cases = [name for name in names if not name.startswith(("agency.", "partnership."))]
    await say(heard, COUNCIL, [replace(a_referral(FIRST_CHILD), reason=f"{MARKER} reason"), a_marked_notification()], case_id)
    asked = replace(marked_event("information.requested.v1"), gate=LegalGate.S16H_PARTNERS)
    shared = replace(marked_event("information.shared.v1"), request_id=None)
    await say(heard, POLICE, [asked, shared], case_id)
    decided = replace(marked_event("rapid_review.decision_made.v1"), decision=Decision.LOCAL_REVIEW)
    opened, completed = marked_event("rapid_review.opened.v1"), marked_event("rapid_review.completed.v1")
    await say(heard, BUSINESS_UNIT, [opened, completed, decided, marked_event("local_review.initiated.v1")], case_id)
    for _ in range(3):  # what rests on another's word is said when that was
        for agency_id in SENDERS:
            await say(heard, agency_id, [marked_event(name) for name in of_cases if name not in ENDS], case_id)
    await say(heard, COUNCIL, [marked_event(name) for name in of_cases if name in ENDS], case_id)
    rest = [marked_event(name) for name in names if name not in of_cases]
    await say(heard, OPERATOR_ID, [event for event in rest if event.EVENT_TYPE not in ENDS], None)


def a_marked_notification() -> Event:
    """Return the notification of a case whose children are those of all the examples."""
    children = tuple(replace(a_child(child), index_child=child == FIRST_CHILD) for child in (FIRST_CHILD, SECOND_CHILD))
    known = replace(an_awareness(now() - timedelta(hours=1)), source=f"{MARKER} source")
    return a_notification(circumstances=f"{MARKER} circumstances", awareness=known, children=children)


async def say(heard: Heard, agency_id: str, events: Sequence[Event], case_id: str | None) -> None:
    """Have an agency say events, and keep what it is told."""
    for outcome, event in zip(await heard.hub.say(agency_id, *events, case_id=case_id), events, strict=True):
        if isinstance(outcome, Receipt):
            heard.accepted.add(event.EVENT_TYPE)
            heard.receipts.append(outcome)
        else:
            assert isinstance(outcome, Refusal), outcome
            heard.refusals.append(outcome)


MALFORMED: Final = {
    "a control character": f"{MARKER}\x07",
    "a bidirectional override": f"{MARKER}\u202e",
    "too long": MARKER * 4_000,
}


async def send_malformed(heard: Heard) -> None:
    """Send what no client would: text that is refused for its characters, bodies that are none, fields that are not there."""
    good = to_message(marked_event("case.referred.v1")).SerializeToString()
    bodies = [_reason(text) for text in MALFORMED.values()]
    bodies += [MARKER.encode(), good + b"\x9a\x06\x0c" + MARKER.encode(), good[:-3], b"\xff" + MARKER.encode()]
    sender = Sender(agency_id=COUNCIL, source="private", shard=SHARD, log_origin=heard.hub.settings.log_origin, actor_role="tester")
    key = Identity.from_folder(heard.hub.settings.agency_folder(COUNCIL)).signing_key
    events = []
    for number, body in enumerate(bodies, start=1):
        draft = Draft(event=to_message(marked_event("case.referred.v1")), case_id=str(uuid.uuid4()))
        signed = SignedEvent.FromString(sign(draft, sender, key, number).message)
        header = EventHeader.FromString(signed.header)
        header.body_commitment = commitment(signed.salt, body)
        signed.header, signed.body = header.SerializeToString(), body
        signed.signature.value = key.sign(signed.header)
        events.append(signed)
    events.append(SignedEvent(header=MARKER.encode(), body=MARKER.encode(), salt=MARKER.encode()))
    async with heard.hub.channel(COUNCIL) as channel:
        stub = append_pb2_grpc.LocalAuthorityServiceStub(channel)
        async for answer in stub.AppendEvents(iter([append_pb2.AppendEventsRequest(events=events)]), timeout=20):
            assert all(outcome.HasField("refusal") for outcome in answer.outcomes)
            heard.raw_answers.append(answer.SerializeToString())


def _reason(text: str) -> bytes:
    """Return the body of a referral with any reason."""
    encoded = text.encode()
    size = len(encoded)
    prefix = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14]) if size > 16_383 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([10]) + prefix + encoded


async def ask_everything(heard: Heard, case_id: str) -> None:
    """Read the case as those who may, and ask amiss in every way that has room for a word."""
    await caught_up(heard.hub, heard.hub.parts.store.shard(SHARD).head().position)
    async with queries(heard.hub, COUNCIL) as asks:
        story = await asks.story(case_id, page_size=1000)
        streams = [
            await asks.stream(f"{name}-{case_id}", page_size=1000) for name in ("incident", "sharing", "rapid_review", "local_review")
        ]
        heard.shown = b"".join(one.SerializeToString() for one in (story, *streams))
        wrong: list[Awaitable[Any]] = [
            asks.story(case_id, page_token=MARKER),
            asks.story(f"{MARKER}"),
            asks.story(str(uuid.uuid4()), shard=MARKER.lower()),
            asks.stream(f"incident-{MARKER}"),
            asks.stream(f"{MARKER.lower()}-{case_id}"),
            asks.explained(case_id, MARKER),
            asks.explained(case_id, "K5B", instance=MARKER),
            asks.owed(page_token=MARKER),
            asks.chronology.GetChronology(story_request(case_id), metadata=(("hub-user", f"{MARKER} Jane"), *ASKS[1:]), timeout=10),
            asks.chronology.GetChronology(story_request(case_id), metadata=(*ASKS[:2], ("hub-purpose", MARKER)), timeout=10),
        ]
        heard.errors += [await refusal(call) for call in wrong]
    async with queries(heard.hub, PANEL_ID) as panel:
        period: dict[str, Any] = {"period_from": "2024-01-01", "period_until": "2024-12-31"}
        tables: list[dict[str, Any]] = [{"table": MARKER}, {"table": "1", "basis": MARKER}, {"table": "1", "count_day": MARKER[:10]}]
        wrong = [panel.oversight.GetTable(oversight_pb2.GetTableRequest(**{**period, **one}), metadata=ASKS, timeout=10) for one in tables]
        cases: list[dict[str, Any]] = [{"stages": [MARKER]}, {"page_token": MARKER}, {"notified_from": MARKER[:10]}]
        wrong += [panel.oversight.ListCases(oversight_pb2.ListCasesRequest(**one), metadata=ASKS, timeout=10) for one in cases]
        heard.errors += [await refusal(call) for call in wrong]


def story_request(case_id: str) -> Any:
    """Return a request for a chronology."""
    return GetChronologyRequest(shard=SHARD, case_id=case_id)


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    """Run the scenario once."""
    home = tmp_path_factory.mktemp("private")
    logs = io.StringIO()
    before = structlog.get_config()
    configure_logging(LogFormat.JSON, LogLevel.DEBUG, logs)
    try:
        with running_hub(home) as hub:
            found = Heard(home, hub, logs)
            case_id = str(uuid.uuid4())
            asyncio.run(scenario(found, case_id))
            yield found
    finally:
        structlog.configure(**before)


async def scenario(found: Heard, case_id: str) -> None:
    """Say, send and ask everything."""
    await tell_everything(found, case_id)
    await send_malformed(found)
    await ask_everything(found, case_id)


# ── what was heard ──


def holds_marker(found: bytes) -> bool:
    """Tell whether bytes hold the marker in any form in which it might be written."""
    return any(form in found for form in AS_BYTES)


def test_the_scenario_says_enough_to_mean_something(heard: Heard) -> None:
    assert {"incident.notified.v1", "case.referred.v1", "information.shared.v1", "rapid_review.drafted.v1"} <= heard.accepted
    assert len(heard.accepted) > 50, sorted(set(ALL_EVENT_TYPES) - heard.accepted)
    assert len(heard.refusals) > 50
    assert holds_marker(heard.shown), "those who may read it are shown it: the search finds what is there"


def test_no_refusal_repeats_what_was_said(heard: Heard) -> None:
    assert [one for one in heard.refusals if holds_marker(str(one).encode())] == []
    assert len(heard.raw_answers) == 1
    assert not any(holds_marker(answer) for answer in heard.raw_answers)


def test_no_receipt_repeats_what_was_said(heard: Heard) -> None:
    assert [one for one in heard.receipts if holds_marker(str(one).encode())] == []


def test_no_error_of_a_query_repeats_what_was_asked(heard: Heard) -> None:
    assert [one for one in heard.errors if holds_marker(repr(one).encode())] == []
    assert {one.code for one in heard.errors} == {"INVALID_ARGUMENT", "NOT_FOUND"}


def test_no_log_line_holds_a_word_of_it(heard: Heard) -> None:
    structlog.get_logger().warning("test.logged", reason=f"{MARKER} was seen", stream="incident-1")
    text = heard.logs.getvalue()
    assert "test.logged" in text
    assert not holds_marker(text.encode())


def test_no_metric_holds_a_word_of_it(heard: Heard) -> None:
    text = generate_latest(heard.hub.parts.metrics.registry)
    assert b"hub_appends_total" in text
    assert not holds_marker(text)


def test_no_file_is_named_after_it(heard: Heard) -> None:
    names = [path.name for path in heard.home.rglob("*")]
    assert len(names) > 20
    assert [name for name in names if holds_marker(name.encode())] == []


def test_no_header_on_the_log_holds_a_word_of_it(heard: Heard) -> None:
    stored = [one for name in heard.hub.parts.store.shards() for one in heard.hub.parts.store.shard(name).read(0, 100_000)]
    assert len(stored) > 100
    assert not any(holds_marker(LoggedEvent.FromString(one.state).header) for one in stored)


@pytest.mark.parametrize("store", ["events.sqlite", "keys.sqlite"])
def test_no_byte_of_the_event_store_or_the_keys_holds_it_in_plain_text(heard: Heard, store: str) -> None:
    files = sorted(heard.hub.settings.event_store_file.parent.glob(f"{store}*"))
    assert files
    assert [file.name for file in files if holds_marker(file.read_bytes())] == []
    assert sum(file.stat().st_size for file in files) > 4_096
