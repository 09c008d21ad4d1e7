from __future__ import annotations

import hmac
import time
import uuid
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.protobuf.message import Message

from domain.areas import AREAS
from safeguarding.hub.client import (
    Draft,
    NotSendable,
    Sender,
    SigningKey,
    at_instant,
    in_month,
    in_period,
    in_year,
    new_case_id,
    new_event_id,
    on_day,
    query_metadata,
    timestamp,
)
from safeguarding.hub.client.drafts import check, event_type_of, shard_of, sign, sign_all, stream_of
from safeguarding.hub.client.identifiers import _Minter
from safeguarding.hub.client.identity import pre_authentication_encoding
from safeguarding.hub.client.routes import append_stub
from safeguarding.hub.v1 import append_pb2_grpc, common_pb2
from safeguarding.hub.v1.agency_pb2 import AgencySuspended
from safeguarding.hub.v1.common_pb2 import MARKING_RESTRICTED, PURPOSE_RAPID_REVIEW, Precision
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from safeguarding.hub.v1.incident_pb2 import NotificationWithdrawn
from safeguarding.hub.v1.partnership_pb2 import MembershipChanged
from services.eventstore.codec import message_class
from services.trust.signing import HEADER_PAYLOAD_TYPE, pae
from tests.support.builders import CASE, MONDAY
from tests.support.samples import ALL_EVENT_TYPES

WITHDRAWN = NotificationWithdrawn(rationale="The criteria are not met.")


def header_of(draft: Draft, sender: Sender, key: SigningKey, sequence: int = 1) -> EventHeader:
    return EventHeader.FromString(SignedEvent.FromString(sign(draft, sender, key, sequence).message).header)


@pytest.fixture
def key() -> SigningKey:
    return SigningKey("la-E09999901-1", Ed25519PrivateKey.generate())


@pytest.mark.parametrize("event_type", ALL_EVENT_TYPES)
def test_every_event_of_the_contract_goes_to_the_stream_of_its_area(event_type: str, sender: Sender) -> None:
    category = next(area.category for area in AREAS if any(event_type == event.EVENT_TYPE for event in area.events))
    event: Message = message_class(event_type)()
    if category == "agency":
        event.agency_id = "icb-QZ9"
    identity = {"agency": "icb-QZ9", "partnership": "northmoor"}.get(category, CASE)
    draft = Draft(event=event, case_id=CASE)
    assert event_type_of(event) == event_type
    assert stream_of(draft, sender) == f"{category}-{identity}"
    assert shard_of(draft, sender) == ("national" if category == "agency" else "northmoor")


def test_a_header_says_what_the_draft_says_and_otherwise_what_the_sender_says(sender: Sender, key: SigningKey) -> None:
    plain = header_of(Draft(event=WITHDRAWN, case_id=CASE), sender, key, sequence=7)
    assert (plain.log_origin, plain.agency_id, plain.key_id, plain.source) == (
        "hub.example/test",
        "la-E09999901",
        key.key_id,
        "case-system",
    )
    assert (plain.source_sequence, plain.shard, plain.stream) == (7, "northmoor", f"incident-{CASE}")
    assert (plain.event_type, plain.actor_role, plain.imported) == ("incident.notification_withdrawn.v1", "Head of service", False)
    assert (plain.purpose, plain.lawful_basis, plain.marking) == (sender.purpose, sender.lawful_basis, sender.marking)
    assert not plain.HasField("expected_version")
    said = header_of(
        Draft(
            event=WITHDRAWN,
            case_id=CASE,
            shard="southmoor",
            expected_version=0,
            imported=True,
            purpose=PURPOSE_RAPID_REVIEW,
            marking=MARKING_RESTRICTED,
            actor_role="Solicitor",
            causation_id=b"c" * 16,
            correlation_id=b"d" * 16,
        ),
        sender,
        key,
    )
    assert (said.shard, said.HasField("expected_version"), said.expected_version, said.imported) == ("southmoor", True, 0, True)
    assert (said.purpose, said.marking, said.actor_role) == (PURPOSE_RAPID_REVIEW, MARKING_RESTRICTED, "Solicitor")
    assert (said.causation_id, said.correlation_id) == (b"c" * 16, b"d" * 16)


def test_a_signed_event_is_bound_and_signed_as_the_hub_checks_it(sender: Sender, key: SigningKey) -> None:
    signed = SignedEvent.FromString(sign(Draft(event=WITHDRAWN, case_id=CASE), sender, key, 1).message)
    header = EventHeader.FromString(signed.header)
    assert len(signed.salt) == 32
    assert hmac.digest(signed.salt, signed.body, "sha256") == header.body_commitment
    assert NotificationWithdrawn.FromString(signed.body) == WITHDRAWN
    assert signed.signature.key_id == header.key_id
    assert pre_authentication_encoding(signed.header) == pae(HEADER_PAYLOAD_TYPE, signed.header)
    key.private_key.public_key().verify(signed.signature.value, pae(HEADER_PAYLOAD_TYPE, signed.header))


def test_drafts_that_are_signed_together_bear_each_its_own_number_and_signature(sender: Sender, key: SigningKey) -> None:
    cases = [new_case_id() for _ in range(3)]
    together = sign_all([(Draft(event=WITHDRAWN, case_id=case), number) for number, case in enumerate(cases, 7)], sender, key)
    for number, (case, one) in enumerate(zip(cases, together, strict=True), 7):
        signed = SignedEvent.FromString(one.message)
        header = EventHeader.FromString(signed.header)
        assert (header.event_id, header.shard, header.stream) == (one.event_id, one.shard, one.stream)
        assert (header.source_sequence, header.stream) == (number, f"incident-{case}")
        key.private_key.public_key().verify(signed.signature.value, pae(HEADER_PAYLOAD_TYPE, signed.header))
    assert [one.event_id for one in together] == sorted({one.event_id for one in together})


def test_the_moment_of_signing_is_the_clock_s_to_the_microsecond(sender: Sender, key: SigningKey) -> None:
    before = time.time_ns() // 1_000
    signed_at = header_of(Draft(event=WITHDRAWN, case_id=CASE), sender, key).signed_at
    assert before <= signed_at.ToMicroseconds() <= time.time_ns() // 1_000
    assert signed_at.nanos % 1_000 == 0


def test_a_p_256_key_signs_with_sha_256(sender: Sender) -> None:
    private_key = generate_private_key(SECP256R1())
    signed = SignedEvent.FromString(sign(Draft(event=WITHDRAWN, case_id=CASE), sender, SigningKey("k", private_key), 1).message)
    private_key.public_key().verify(signed.signature.value, pae(HEADER_PAYLOAD_TYPE, signed.header), ECDSA(hashes.SHA256()))


def test_signing_keys_of_other_kinds_are_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("key") / "sign.key"
    path.write_bytes(generate_private_key(SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(ValueError, match=r"Ed25519 or P-256"):
        SigningKey.from_file(path, "k")


def test_a_key_is_never_shown(key: SigningKey) -> None:
    assert repr(key) == "SigningKey(key_id='la-E09999901-1')"


@pytest.mark.parametrize("case_id", [None, "", "case-1", CASE.upper(), CASE + "0"])
def test_an_event_about_a_case_needs_a_case_id(case_id: str | None, sender: Sender) -> None:
    with pytest.raises(NotSendable, match="case_id"):
        check(Draft(event=WITHDRAWN, case_id=case_id), sender)


def test_a_message_that_is_no_event_is_not_sendable(sender: Sender) -> None:
    with pytest.raises(NotSendable, match=r"safeguarding\.hub\.v1\.When"):
        check(Draft(event=common_pb2.When(), case_id=CASE), sender)


@pytest.mark.parametrize("event", [None, {"rationale": "x"}, NotificationWithdrawn])
def test_what_is_no_message_is_not_sendable(event: Any, sender: Sender) -> None:
    with pytest.raises(NotSendable, match="no event of the contract"):
        check(Draft(event=event, case_id=CASE), sender)


@pytest.mark.parametrize(
    "said", [{"case_id": 5}, {"shard": 5}, {"expected_version": -1}, {"purpose": "x"}, {"actor_role": "\ud800"}, {"causation_id": "x"}]
)
def test_what_no_header_can_hold_is_not_sendable(said: dict[str, Any], sender: Sender) -> None:
    with pytest.raises(NotSendable, match="a header cannot hold"):
        check(replace(Draft(event=WITHDRAWN, case_id=CASE), **said), sender)


def test_an_event_over_256_kib_is_not_sendable(sender: Sender) -> None:
    check(Draft(event=NotificationWithdrawn(rationale="x" * 262_140), case_id=CASE), sender)
    with pytest.raises(NotSendable, match="262144"):
        check(Draft(event=NotificationWithdrawn(rationale="x" * 262_144), case_id=CASE), sender)


def test_partnership_and_agency_events_need_no_case(sender: Sender) -> None:
    check(Draft(event=MembershipChanged()), sender)
    check(Draft(event=AgencySuspended(agency_id="icb-QZ9")), sender)


def test_event_ids_are_uuid_7_and_rise() -> None:
    ids = [new_event_id() for _ in range(10_000)]
    assert ids == sorted(set(ids))
    assert {(uuid.UUID(bytes=event_id).version, uuid.UUID(bytes=event_id).variant) for event_id in ids} == {(7, uuid.RFC_4122)}
    assert uuid.UUID(case_id := new_case_id()).version == 7
    assert case_id == case_id.lower()


def test_event_ids_rise_also_when_the_clock_goes_back_or_stands_still() -> None:
    minter = _Minter()
    ids = [minter.mint(1_000_000), *(minter.mint(999_000) for _ in range(10_000)), minter.mint(1_000_001), minter.mint(2_000_000)]
    assert ids == sorted(set(ids))
    assert int.from_bytes(ids[0][:6], "big") == 1_000_000
    assert int.from_bytes(ids[-1][:6], "big") == 2_000_000


def test_moments_are_said_as_exactly_as_they_are_known() -> None:
    day = MONDAY.date()
    assert at_instant(MONDAY).at.ToDatetime(tzinfo=MONDAY.tzinfo) == MONDAY
    assert [Precision.Name(when.precision) for when in (on_day(day), in_month(2024, 3), in_year(2024), in_period(day, day))] == [
        "PRECISION_DAY",
        "PRECISION_MONTH",
        "PRECISION_YEAR",
        "PRECISION_PERIOD",
    ]
    assert (in_month(2024, 3).on.day, in_year(2024).on.month, in_period(day, day).until_on.day) == (1, 1, 4)
    with pytest.raises(ValueError, match="time zone"):
        timestamp(MONDAY.replace(tzinfo=None))


@pytest.mark.parametrize(
    ("agency_id", "service"),
    [
        ("la-E08000016", "LocalAuthorityService"),
        ("icb-QF7", "IcbService"),
        ("police-x", "PoliceService"),
        ("partnership-x", "PartnershipService"),
        ("panel", "PanelService"),
        ("agency-x", "RelevantAgencyService"),
        ("operator", "AdminService"),
    ],
)
def test_an_agency_calls_the_service_of_its_kind(agency_id: str, service: str) -> None:
    assert append_stub(agency_id) is getattr(append_pb2_grpc, f"{service}Stub")


@pytest.mark.parametrize("agency_id", ["hub", "lscb-x", "", "council-x"])
def test_an_agency_that_appends_nothing_has_no_service(agency_id: str) -> None:
    with pytest.raises(ValueError, match="agency id"):
        append_stub(agency_id)


def test_queries_say_for_whom_in_what_role_and_what_for() -> None:
    assert query_metadata(user="u-17", role="Analyst", purpose=PURPOSE_RAPID_REVIEW) == (
        ("hub-user", "u-17"),
        ("hub-role", "Analyst"),
        ("hub-purpose", "rapid_review"),
    )


@pytest.mark.parametrize("said", [{"user": ""}, {"user": "u" * 101}, {"role": "Head of service"}, {"role": "Prüfer"}, {"role": "a\nb"}])
def test_a_user_or_role_that_no_query_can_carry_is_refused_before_it_is_sent(said: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="printable ASCII without spaces"):
        query_metadata(**({"user": "u-17", "role": "analyst"} | said), purpose=PURPOSE_RAPID_REVIEW)


def test_a_sender_s_defaults_are_the_usual_ones(sender: Sender) -> None:
    assert replace(sender, purpose=PURPOSE_RAPID_REVIEW).purpose == PURPOSE_RAPID_REVIEW
    assert (sender.purpose, sender.lawful_basis, sender.marking) == (
        common_pb2.PURPOSE_SAFEGUARDING,
        common_pb2.LAWFUL_BASIS_PUBLIC_TASK,
        common_pb2.MARKING_OFFICIAL_SENSITIVE,
    )
