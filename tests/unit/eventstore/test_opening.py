from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from domain.kernel.events import Event, LawfulBasis, Marking, Purpose, Recorded
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.opening import Opener, UnreadableEvent
from services.eventstore.port import Stored
from services.runtime.errors import IntegrityError
from tests.support.builders import CASE, COUNCIL, SHARD, a_notification, an_event_id
from tests.support.sealed import KeysInMemory, a_logged_event

STREAM = f"incident-{CASE}"
RECORDED_AT = datetime(2024, 3, 4, 10, 0, 0, 250_000, tzinfo=UTC)


def logged(keys: KeysInMemory, event: Event | tuple[str, bytes]) -> LoggedEvent:
    return a_logged_event(keys, event, stream=STREAM, by=COUNCIL, event_id=an_event_id(7), imported=True, findings=["some.rule"])


def stored(state: bytes, event_type: str = "incident.notified.v1") -> Stored:
    return Stored(
        position=5,
        stream=STREAM,
        version=2,
        event_id=an_event_id(7),
        header_hash=hashlib.sha256(b"unused").digest(),
        type=event_type,
        recorded_at_ms=int(RECORDED_AT.timestamp() * 1_000),
        state=state,
    )


def test_an_event_opens_to_what_was_sealed_at_the_place_where_it_lies() -> None:
    keys = KeysInMemory()
    opened = Opener(keys).open(SHARD, stored(logged(keys, a_notification()).SerializeToString()))
    assert opened == Recorded(
        shard=SHARD,
        stream=STREAM,  # type: ignore[arg-type]
        position=5,
        version=2,
        event_id=an_event_id(7),
        event_type="incident.notified.v1",
        agency_id=COUNCIL,
        actor_role="tester",
        purpose=Purpose.SAFEGUARDING,
        lawful_basis=LawfulBasis.PUBLIC_TASK,
        marking=Marking.OFFICIAL_SENSITIVE,
        imported=True,
        signed_at=datetime(2024, 3, 4, 10, 0, tzinfo=UTC),
        recorded_at=RECORDED_AT,
        findings=("some.rule",),  # type: ignore[arg-type]
        event=a_notification(),
    )


def test_an_event_whose_key_was_destroyed_opens_without_its_body() -> None:
    keys = KeysInMemory()
    state = logged(keys, a_notification()).SerializeToString()
    keys.destroy(f"case-{CASE}")
    opened = Opener(keys).open(SHARD, stored(state))
    assert (opened.event, opened.event_type, opened.agency_id, opened.recorded_at) == (None, "incident.notified.v1", COUNCIL, RECORDED_AT)


def test_a_lost_key_is_no_fault_of_the_event() -> None:
    keys = KeysInMemory()
    state = logged(keys, a_notification()).SerializeToString()
    keys.hide(f"case-{CASE}")
    with pytest.raises(IntegrityError) as caught:
        Opener(keys).open(SHARD, stored(state))
    assert not isinstance(caught.value, UnreadableEvent)


def test_every_way_in_which_an_event_cannot_be_read_names_its_place() -> None:
    keys = KeysInMemory()
    whole = logged(keys, a_notification())
    tampered = LoggedEvent.FromString(whole.SerializeToString())
    tampered.sealed = tampered.sealed[:-1] + bytes([tampered.sealed[-1] ^ 1])
    moved = LoggedEvent.FromString(whole.SerializeToString())
    moved.header += b"\x98\x06\x01"
    headless = LoggedEvent.FromString(whole.SerializeToString())
    headless.header = b"\xff"
    unreadable = logged(keys, ("incident.notified.v1", b"\xff"))
    unknown = logged(keys, ("incident.imagined.v1", b""))
    for state, event_type in (
        (tampered.SerializeToString(), "incident.notified.v1"),
        (moved.SerializeToString(), "incident.notified.v1"),
        (headless.SerializeToString(), "incident.notified.v1"),
        (unreadable.SerializeToString(), "incident.notified.v1"),
        (unknown.SerializeToString(), "incident.imagined.v1"),
        (b"\xff", "incident.notified.v1"),
    ):
        with pytest.raises(UnreadableEvent, match=f"{SHARD}/5"):
            Opener(keys).open(SHARD, stored(state, event_type))
