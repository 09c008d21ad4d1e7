from __future__ import annotations

import struct
from typing import Any

import pytest
from google.protobuf.message import Message

from domain.kernel.events import Details, Event, Precision, When
from domain.rapid_review.events import PartnerSignedOff
from safeguarding.hub.v1.agency_pb2 import AgencyEnrolled
from safeguarding.hub.v1.incident_pb2 import IncidentNotified, NotificationWithdrawn
from services.eventstore.codec import decode_event, decode_trusted, encode_event, message_class, to_message
from services.runtime.errors import IntegrityError, Invalid, Violation
from tests.support.samples import sample_event

NOTIFIED = "incident.notified.v1"
WITHDRAWN = "incident.notification_withdrawn.v1"
SHARED = "information.shared.v1"
SIGNED_OFF = "rapid_review.partner_signed_off.v1"
DAY_EXPECTED = "a day that exists, from 1900 to 2100: year, month and day"
INSTANT_EXPECTED = "an instant from 1900 to 2100, nanos 0 to 999999999"
NARRATIVE_EXPECTED = "no control characters but line feed and tab, no bidirectional overrides or noncharacters"
TEXT_EXPECTED = "one line without control characters, bidirectional overrides or noncharacters"


def message(event_type: str) -> Any:
    return to_message(sample_event(event_type))


def refusal(event_type: str, body: bytes | Message) -> Invalid:
    with pytest.raises(Invalid) as caught:
        decode_event(event_type, body if isinstance(body, bytes) else body.SerializeToString())
    return caught.value


def fields(error: Invalid) -> list[str]:
    return [violation.field for violation in error.violations]


def test_an_unknown_event_type_is_refused_by_name() -> None:
    for event_type in ("incident.invented.v1", "", "incident.notified.v2"):
        error = refusal(event_type, b"")
        assert (error.rule, fields(error)) == ("wire.event_type", ["event_type"])
        with pytest.raises(Invalid):
            message_class(event_type)


@pytest.mark.parametrize("cut", [1, 3, 10, 50])
def test_a_truncated_body_is_refused(cut: int) -> None:
    error = refusal(NOTIFIED, encode_event(sample_event(NOTIFIED))[:-cut])
    assert error.rule in {"wire.body", "wire.fields"}
    assert error.violations


def test_a_body_that_ends_within_a_field_is_unreadable() -> None:
    error = refusal(WITHDRAWN, b"\x12\x7fabc")
    assert (error.rule, error.violations) == ("wire.body", (Violation("body", "a serialized NotificationWithdrawn"),))


def test_garbage_is_unreadable() -> None:
    assert refusal(NOTIFIED, b"\xff" * 64).rule == "wire.body"


def test_an_empty_body_lacks_every_required_field() -> None:
    error = refusal(NOTIFIED, b"")
    assert error.rule == "wire.fields"
    assert fields(error) == [
        "notification_type",
        "incident_on",
        "place",
        "incident_authority",
        "residence_authority",
        "circumstances",
        "children",
    ]


def test_nesting_beyond_the_parsers_limit_is_unreadable() -> None:
    assert refusal(WITHDRAWN, b"\x7b" * 5_000 + b"\x7c" * 5_000).rule == "wire.body"


def test_nesting_within_the_limit_is_an_unknown_field() -> None:
    error = refusal(WITHDRAWN, b"\x7b" * 50 + b"\x7c" * 50)
    assert (error.rule, fields(error)) == ("wire.unknown_field", ["<15>"])


def test_an_unknown_field_is_named_with_its_path() -> None:
    body = message(SHARED)
    body.entries[0].occurred.MergeFromString(b"\xa0\x06\x01")
    body.MergeFromString(b"\x98\x06\x01")
    error = refusal(SHARED, body)
    assert (error.rule, fields(error)) == ("wire.unknown_field", ["<99>", "entries[0].occurred.<100>"])


def test_a_number_that_is_none_in_place_of_text_is_an_unknown_field() -> None:
    error = refusal(WITHDRAWN, b"\x11" + struct.pack("<d", float("nan")))
    assert (error.rule, fields(error)) == ("wire.unknown_field", ["<2>"])


def test_invalid_utf_8_is_refused_as_text() -> None:
    for text in (b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\xaf"):
        error = refusal(WITHDRAWN, b"\x12" + bytes([len(text)]) + text)
        assert (error.rule, error.violations) == ("wire.text", (Violation("body", "text fields hold valid UTF-8"),))


def test_an_unknown_enum_number_is_refused_with_its_path() -> None:
    body = message(NOTIFIED)
    body.children[0].sex = 99
    body.characteristics.append(77)
    body.suspect_relationship = 55
    error = refusal(NOTIFIED, body)
    assert error.rule == "wire.fields"
    assert fields(error) == ["children[0].sex", "characteristics[2]", "suspect_relationship"]


def test_an_unspecified_required_enum_is_refused() -> None:
    body = message(NOTIFIED)
    body.place = 0
    assert fields(refusal(NOTIFIED, body)) == ["place"]


REFUSED_EVERYWHERE = [
    *(code for code in range(0x20) if chr(code) not in "\n\t"),
    *range(0x7F, 0xA0),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x206A),
    *range(0xFDD0, 0xFDF0),
    *(plane << 16 | low for plane in range(17) for low in (0xFFFE, 0xFFFF)),
]
REFUSED_IN_ONE_LINE = [0x09, 0x0A, 0x2028, 0x2029]


@pytest.mark.parametrize("code", REFUSED_EVERYWHERE, ids=hex)
def test_control_override_and_noncharacters_are_refused(code: int) -> None:
    narrative = refusal(WITHDRAWN, NotificationWithdrawn(rationale=f"a{chr(code)}b"))
    assert (narrative.rule, narrative.violations) == ("wire.text", (Violation("rationale", NARRATIVE_EXPECTED),))
    text = refusal(SIGNED_OFF, encode_event(PartnerSignedOff(by_role=f"a{chr(code)}b")))
    assert (text.rule, text.violations) == ("wire.text", (Violation("by_role", TEXT_EXPECTED),))


@pytest.mark.parametrize("code", REFUSED_IN_ONE_LINE, ids=hex)
def test_only_a_narrative_has_more_than_one_line(code: int) -> None:
    assert decode_event(WITHDRAWN, NotificationWithdrawn(rationale=f"a{chr(code)}b").SerializeToString())
    text = refusal(SIGNED_OFF, encode_event(PartnerSignedOff(by_role=f"a{chr(code)}b")))
    assert (text.rule, text.violations) == ("wire.text", (Violation("by_role", TEXT_EXPECTED),))


def test_unclean_text_is_named_by_every_path() -> None:
    body = message(SHARED)
    body.entries[0].fact = "\x00"
    body.entries[0].record_reference = "\n"
    body.details.corrects.reason = "\x1b"
    assert fields(refusal(SHARED, body)) == ["details.corrects.reason", "entries[0].record_reference", "entries[0].fact"]


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "émigré 中文 \u200f שלום", "line\n\tline", "🏴󠁧󠁢󠁥󠁮󠁧󠁿", "non\u00a0breaking"])
def test_formula_like_text_and_every_script_are_accepted(text: str) -> None:
    event = decode_event(WITHDRAWN, NotificationWithdrawn(rationale=text).SerializeToString())
    assert event.rationale == text


def test_a_name_of_ten_thousand_characters_is_refused() -> None:
    body = message("agency.enrolled.v1")
    assert isinstance(body, AgencyEnrolled)
    body.name = "x" * 10_000
    assert refusal("agency.enrolled.v1", body).violations == (Violation("name", "must be at most 200 characters"),)


def test_a_narrative_over_32_kib_is_refused() -> None:
    assert fields(refusal(WITHDRAWN, NotificationWithdrawn(rationale="é" * 16_385))) == ["rationale"]
    assert decode_event(WITHDRAWN, NotificationWithdrawn(rationale="é" * 16_384).SerializeToString())


def test_a_list_with_too_many_things_is_refused() -> None:
    body = message(SHARED)
    for _ in range(201):
        body.entries.add().CopyFrom(body.entries[0])
    assert "entries" in fields(refusal(SHARED, body))


@pytest.mark.parametrize(
    "day", [(2021, 2, 29), (2020, 0, 1), (2020, 13, 1), (0, 1, 1), (1899, 12, 31), (2101, 1, 1), (-5, 1, 1), (2020, 1, 0)]
)
def test_a_day_that_does_not_exist_is_refused_with_its_path(day: tuple[int, int, int]) -> None:
    body = message(NOTIFIED)
    born_on = body.children[0].born_on
    born_on.year, born_on.month, born_on.day = day
    error = refusal(NOTIFIED, body)
    assert (error.rule, error.violations) == ("wire.fields", (Violation("children[0].born_on", DAY_EXPECTED),))


@pytest.mark.parametrize("seconds", [-(2**62), -2_208_988_801, 4_133_980_800, 2**62])
def test_an_instant_out_of_range_is_refused(seconds: int) -> None:
    body = message(NOTIFIED)
    body.awareness.aware_at.seconds = seconds
    assert fields(refusal(NOTIFIED, body)) == ["awareness.aware_at"]


@pytest.mark.parametrize("nanos", [-1, 1_000_000_000])
def test_an_instant_with_impossible_nanoseconds_is_refused(nanos: int) -> None:
    body = message(NOTIFIED)
    body.details.done_at.nanos = nanos
    assert refusal(NOTIFIED, body).violations == (Violation("details.done_at", INSTANT_EXPECTED),)


@pytest.mark.parametrize(
    ("when", "wrong"),
    [
        (When(precision=Precision.INSTANT), ["at"]),
        (When(precision=Precision.DAY), ["on"]),
        (When(precision=Precision.PERIOD, on=sample_event(NOTIFIED).incident_on.on), ["until_on"]),
        (When(precision=Precision.INSTANT, on=sample_event(NOTIFIED).incident_on.on), ["at", "on"]),
    ],
)
def test_a_moment_has_exactly_the_fields_of_its_precision(when: When, wrong: list[str]) -> None:
    body = encode_event(PartnerSignedOff(by_role="Director", details=Details(occurred=when)))
    error = refusal("rapid_review.partner_signed_off.v1", body)
    assert (error.rule, fields(error)) == ("wire.fields", [f"details.occurred.{name}" for name in wrong])


def test_a_period_does_not_end_before_it_begins() -> None:
    body = message(NOTIFIED)
    body.incident_on.until_on.year = 2019
    assert fields(refusal(NOTIFIED, body)) == ["incident_on.until_on"]


def test_a_naive_instant_is_not_written() -> None:
    done_at = sample_event(NOTIFIED).details.done_at.replace(tzinfo=None)
    event = PartnerSignedOff(by_role="Director", details=Details(done_at=done_at))
    with pytest.raises(Invalid) as caught:
        encode_event(event)
    assert caught.value.violations == (Violation("details.done_at", "an instant with its time zone"),)


def test_text_without_a_utf_8_form_is_not_written() -> None:
    with pytest.raises(Invalid) as caught:
        to_message(PartnerSignedOff(by_role="\ud800"))
    assert caught.value.violations == (Violation("by_role", "valid Unicode"),)


def test_no_refusal_repeats_what_the_event_said() -> None:
    said = "Zebedee"
    bodies: list[tuple[str, Message]] = [
        (WITHDRAWN, NotificationWithdrawn(rationale=said + "\x00")),
        (NOTIFIED, IncidentNotified(circumstances=said, incident_authority=said)),
        ("agency.enrolled.v1", AgencyEnrolled(name=said * 100)),
    ]
    for event_type, body in bodies:
        assert said not in str(refusal(event_type, body))


def test_an_event_on_the_log_is_read_without_being_judged_again() -> None:
    body = NotificationWithdrawn(rationale="a\x00b").SerializeToString()
    event: Event = decode_trusted(WITHDRAWN, body)
    assert event.rationale == "a\x00b"


@pytest.mark.parametrize(("event_type", "body"), [(WITHDRAWN, b"\xff"), ("incident.invented.v1", b""), (NOTIFIED, b"")])
def test_a_body_on_the_log_that_cannot_be_read_is_a_matter_of_integrity(event_type: str, body: bytes) -> None:
    with pytest.raises(IntegrityError):
        decode_trusted(event_type, body)
