from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.eventstore.codec import decode_event, decode_trusted, encode_event, to_message
from services.runtime.errors import Invalid
from tests.support.samples import ALL_EVENT_TYPES, events, sample_event

SOME = settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@pytest.mark.parametrize("event_type", ALL_EVENT_TYPES)
def test_an_event_comes_back_equal_from_its_bytes(event_type: str) -> None:
    @SOME
    @given(events(event_type))
    def holds(event: object) -> None:
        body = encode_event(event)
        assert decode_event(event_type, body) == event
        assert decode_trusted(event_type, body) == event
        assert encode_event(decode_event(event_type, body)) == body

    holds()


@pytest.mark.parametrize("event_type", ALL_EVENT_TYPES)
def test_an_event_that_was_read_is_of_its_class_and_frozen(event_type: str) -> None:
    made = sample_event(event_type)
    event = decode_trusted(event_type, encode_event(made))
    assert type(event) is type(made)
    with pytest.raises(FrozenInstanceError):
        event.details = None  # type: ignore[misc]


@pytest.mark.parametrize("event_type", ALL_EVENT_TYPES)
def test_a_full_event_sets_every_field_of_its_message(event_type: str) -> None:
    message = to_message(sample_event(event_type))
    given_fields = {descriptor.name for descriptor, _ in message.ListFields()}
    assert given_fields == set(message.DESCRIPTOR.fields_by_name)


def read_or_refuse(event_type: str, body: bytes) -> str:
    """Read a body and hold it to its round trip, or return the rule that refused it."""
    try:
        event = decode_event(event_type, body)
    except Invalid as error:
        return error.rule if error.violations else "no field named"
    return "read" if decode_event(event_type, encode_event(event)) == event else "read otherwise"


OUTCOMES = {"read", "wire.body", "wire.fields", "wire.text", "wire.unknown_field"}


@settings(max_examples=150)
@given(st.sampled_from(ALL_EVENT_TYPES), st.binary(max_size=200))
def test_arbitrary_bytes_are_either_read_or_refused_as_invalid(event_type: str, body: bytes) -> None:
    assert read_or_refuse(event_type, body) in OUTCOMES


@settings(max_examples=150)
@given(st.sampled_from(ALL_EVENT_TYPES), st.data())
def test_a_damaged_body_is_either_read_or_refused_as_invalid(event_type: str, data: st.DataObject) -> None:
    body = bytearray(encode_event(sample_event(event_type)))
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    assert read_or_refuse(event_type, bytes(body)) in OUTCOMES
