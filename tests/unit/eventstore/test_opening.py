from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from domain.kernel.events import Event, LawfulBasis, Marking, Purpose, Recorded
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore import opening
from services.eventstore.opening import EXPECTED_MAX_BYTES, Opener, UnreadableEvent
from services.eventstore.port import ProposedEvent, Stored
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
        (b"", "incident.notified.v1"),
    ):
        with pytest.raises(UnreadableEvent, match=f"{SHARD}/5"):
            Opener(keys).open(SHARD, stored(state, event_type))


def expecting(keys: KeysInMemory, state: bytes) -> Opener:
    """An opener that expects these bytes, told apart by the role that it was given for the one in them."""
    opener, at = Opener(keys), stored(state)
    said = replace(
        Opener(keys).open(SHARD, at), position=0, version=1, recorded_at=datetime(2024, 3, 4, 9, tzinfo=UTC), actor_role="expected"
    )
    proposed = ProposedEvent(at.stream, at.version, at.event_id, at.header_hash, "key", at.type, state)
    opener.expect(proposed, f"case-{CASE}", said)
    return opener


def test_an_expected_event_opens_once_to_what_it_was_said_to_be_at_the_place_where_it_came_to_lie() -> None:
    keys = KeysInMemory()
    state = logged(keys, a_notification()).SerializeToString()
    opener, read = expecting(keys, state), Opener(keys).open(SHARD, stored(state))
    assert opener.open(SHARD, stored(state)) == replace(read, actor_role="expected")
    assert opener.open(SHARD, stored(state)) == read


def test_other_bytes_and_other_shards_are_not_what_was_expected() -> None:
    keys = KeysInMemory()
    state, other = (logged(keys, a_notification()).SerializeToString() for _ in range(2))
    assert expecting(keys, state).open(SHARD, stored(other)).actor_role == "tester"
    assert expecting(keys, state).open("elsewhere", stored(state)).actor_role == "tester"


def test_an_expected_event_opens_without_its_body_once_its_key_is_destroyed_and_not_at_all_while_that_is_lost() -> None:
    keys = KeysInMemory()
    state = logged(keys, a_notification()).SerializeToString()
    destroyed, lost = expecting(keys, state), expecting(keys, state)
    bring_back = keys.hide(f"case-{CASE}")
    with pytest.raises(IntegrityError):
        lost.open(SHARD, stored(state))
    bring_back()
    keys.destroy(f"case-{CASE}")
    assert (opened := destroyed.open(SHARD, stored(state))).event is None
    assert opened.actor_role == "expected"


def test_few_events_are_expected_and_none_that_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = KeysInMemory()
    small = logged(keys, a_notification()).SerializeToString()
    large = logged(keys, a_notification()).SerializeToString() + b"\x52\x00" * (EXPECTED_MAX_BYTES // 2)
    monkeypatch.setattr(opening, "EXPECTED_MAX_EVENTS", 0)
    assert expecting(keys, small).open(SHARD, stored(small)).actor_role == "tester"
    monkeypatch.setattr(opening, "EXPECTED_MAX_EVENTS", 1)
    assert expecting(keys, small).open(SHARD, stored(small)).actor_role == "expected"
    assert expecting(keys, large).open(SHARD, stored(large)).actor_role == "tester"
