from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.agency.events import AgencySuspended, KeyAlgorithm, KeyRetired, KeyRevoked, RevocationReason
from domain.kernel.ids import AgencyId, KeyId
from safeguarding.hub.v1.append_pb2 import RefusalCode
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from services.runtime.errors import HubError, Invalid, NotPermitted, SignatureInvalid
from services.runtime.metrics import CHECKS as METRIC_CHECKS
from services.runtime.metrics import REFUSALS
from services.trust.registry import OPERATOR_ROOT
from services.trust.verify import CHECKS, VerifiedEvent, require_active, verify
from tests.support.builders import COUNCIL, ICB, OPERATOR, POLICE
from tests.support.signed import BODY, LOG_ORIGIN, SALT, Member, RegistryLog, a_header, a_signed_event, sign

Change = Callable[[EventHeader], None]


@pytest.fixture
def council() -> Member:
    return Member.of(COUNCIL)


@pytest.fixture
def police() -> Member:
    return Member.of(POLICE, KeyAlgorithm.ECDSA_P256_SHA256)


@pytest.fixture
def national(council: Member, police: Member) -> RegistryLog:
    log = RegistryLog()
    log.enrol(council)
    log.enrol(police)
    return log


def checked(signed: SignedEvent, national: RegistryLog, caller: AgencyId = COUNCIL, origin: str = LOG_ORIGIN) -> VerifiedEvent:
    return verify(signed, caller, national.state, origin)


def failure(signed: SignedEvent, national: RegistryLog, caller: AgencyId = COUNCIL, origin: str = LOG_ORIGIN) -> tuple[type[HubError], str]:
    with pytest.raises((Invalid, NotPermitted, SignatureInvalid)) as caught:
        verify(signed, caller, national.state, origin)
    error: Any = caught.value
    return type(error), error.rule


def test_a_sound_event_is_verified_with_the_bytes_received(council: Member, national: RegistryLog) -> None:
    signed = a_signed_event(council)
    verified = checked(signed, national)
    assert (verified.header_bytes, verified.header_hash, verified.body, verified.salt) == (
        signed.header,
        hashlib.sha256(signed.header).digest(),
        BODY,
        SALT,
    )
    assert (verified.agency_id, verified.key_id, verified.signature, verified.signature_bytes) == (
        COUNCIL,
        council.key_id,
        signed.signature,
        signed.signature.value,
    )
    assert verified.header == a_header(council)


def test_a_p256_key_signs_as_well(police: Member, national: RegistryLog) -> None:
    assert checked(a_signed_event(police), national, caller=POLICE).agency_id == POLICE


def test_the_operators_key_from_the_settings_is_good_before_anything_is_on_the_log() -> None:
    national = RegistryLog()
    operator = Member(OPERATOR, national.root, OPERATOR_ROOT)
    verified = checked(a_signed_event(operator), national, caller=OPERATOR)
    require_active(verified, national.state)
    assert verified.key_id == OPERATOR_ROOT


def test_a_header_that_is_no_message_is_unreadable(council: Member, national: RegistryLog) -> None:
    signed = a_signed_event(council)
    signed.header = signed.header[:-3]
    assert failure(signed, national) == (Invalid, "wire.header_unreadable")


def test_invalid_utf8_in_the_header_is_unreadable(council: Member, national: RegistryLog) -> None:
    signed = a_signed_event(council)
    signed.header = signed.header.replace(b"duty officer", b"duty\xff\xfeofficer"[:12])
    assert failure(signed, national) == (Invalid, "wire.header_unreadable")


def test_the_unsigned_copy_of_the_key_id_must_equal_the_signed_one(council: Member, police: Member, national: RegistryLog) -> None:
    signed = a_signed_event(council)
    signed.signature.key_id = police.key_id
    assert failure(signed, national) == (SignatureInvalid, "wire.key_id_mismatch")


def test_an_event_meant_for_another_log_is_refused(council: Member, national: RegistryLog) -> None:
    assert failure(a_signed_event(council), national, origin="hub.example/live") == (SignatureInvalid, "wire.log_origin")


def test_a_header_naming_another_agency_than_the_certificate_is_refused(council: Member, national: RegistryLog) -> None:
    assert failure(a_signed_event(council), national, caller=ICB) == (NotPermitted, "wire.agency_certificate")


def test_a_key_that_was_never_registered_is_refused(national: RegistryLog) -> None:
    stranger = Member(COUNCIL, Member.of(COUNCIL).key, f"{COUNCIL}:other")
    assert failure(a_signed_event(stranger), national) == (SignatureInvalid, "wire.key_unknown")


def test_another_agencys_key_is_refused(police: Member, national: RegistryLog) -> None:
    borrowed = Member(COUNCIL, police.key, police.key_id)
    assert failure(a_signed_event(borrowed), national) == (SignatureInvalid, "wire.key_owner")


def test_another_key_than_the_one_named_is_refused(national: RegistryLog) -> None:
    assert failure(a_signed_event(Member.of(COUNCIL)), national) == (SignatureInvalid, "wire.signature")


def test_the_algorithm_is_the_registrys_whatever_the_signature_looks_like(council: Member, police: Member, national: RegistryLog) -> None:
    signed = sign(Member(COUNCIL, police.key, council.key_id), a_header(council))
    assert failure(signed, national) == (SignatureInvalid, "wire.signature")


def test_an_event_without_a_signature_is_refused(council: Member, national: RegistryLog) -> None:
    signed = a_signed_event(council)
    signed.signature.value = b""
    assert failure(signed, national) == (SignatureInvalid, "wire.signature")


def test_a_signature_over_the_bare_header_is_refused(council: Member, national: RegistryLog) -> None:
    signed = a_signed_event(council)
    signed.signature.value = council.key._key.sign(signed.header)  # type: ignore[call-arg]
    assert failure(signed, national) == (SignatureInvalid, "wire.signature")


def test_a_signature_of_another_payload_type_is_refused(council: Member, national: RegistryLog) -> None:
    signed = a_signed_event(council)
    signed.signature.value = council.key.sign_bytes(b"text/plain", signed.header)
    assert failure(signed, national) == (SignatureInvalid, "wire.signature")


def test_a_changed_body_breaks_the_commitment(council: Member, national: RegistryLog) -> None:
    signed = a_signed_event(council)
    signed.body += b"!"
    assert failure(signed, national) == (SignatureInvalid, "wire.commitment")


def test_a_changed_salt_breaks_the_commitment(council: Member, national: RegistryLog) -> None:
    signed = a_signed_event(council)
    signed.salt = bytes(32)
    assert failure(signed, national) == (SignatureInvalid, "wire.commitment")


@pytest.mark.parametrize("salt", [b"", SALT[:31], SALT + b"\x00"])
def test_a_salt_has_32_bytes_even_where_hmac_would_pad_it(salt: bytes, council: Member, national: RegistryLog) -> None:
    def commit(header: EventHeader) -> None:
        header.body_commitment = hmac.new(salt, BODY, hashlib.sha256).digest()

    signed = a_signed_event(council, commit)
    signed.salt = salt
    assert failure(signed, national) == (SignatureInvalid, "wire.salt_length")


def test_a_signed_header_that_breaks_field_rules_is_refused_with_each_field(council: Member, national: RegistryLog) -> None:
    def spoil(header: EventHeader) -> None:
        header.event_id = b"short"
        header.ClearField("signed_at")
        header.marking = 77  # type: ignore[assignment]

    with pytest.raises(Invalid) as caught:
        checked(a_signed_event(council, spoil), national)
    assert caught.value.rule == "wire.fields"
    assert [violation.field for violation in caught.value.violations] == ["header.event_id", "header.signed_at", "header.marking"]


def test_a_valid_signature_after_a_changed_header_is_refused(council: Member, national: RegistryLog) -> None:
    signed = a_signed_event(council)
    signed.header = a_header(council).SerializeToString() + EventHeader(imported=True).SerializeToString()
    assert failure(signed, national) == (SignatureInvalid, "wire.signature")


COUNCIL_MEMBER = Member.of(COUNCIL)
SIGNED = a_signed_event(COUNCIL_MEMBER)
SIGNED_BYTES = SIGNED.SerializeToString()
KNOWN = RegistryLog()
KNOWN.enrol(COUNCIL_MEMBER)


@settings(max_examples=300)
@given(index=st.integers(0, len(SIGNED_BYTES) - 1), bit=st.integers(0, 7))
def test_no_flipped_bit_passes_unless_the_message_means_the_same(index: int, bit: int) -> None:
    spoiled = bytearray(SIGNED_BYTES)
    spoiled[index] ^= 1 << bit
    try:
        signed = SignedEvent.FromString(bytes(spoiled))
    except Exception:  # noqa: BLE001  # what cannot be parsed never reaches verify
        return
    if (signed.header, signed.signature, signed.body, signed.salt) == (SIGNED.header, SIGNED.signature, SIGNED.body, SIGNED.salt):
        return
    with pytest.raises((Invalid, NotPermitted, SignatureInvalid)):
        checked(signed, KNOWN)


def test_a_revoked_key_signs_nothing_new_but_what_it_signed_still_verifies(council: Member, national: RegistryLog) -> None:
    signed = a_signed_event(council)
    require_active(checked(signed, national), national.state)
    national.add(COUNCIL, KeyRevoked(agency_id=COUNCIL, key_id=KeyId(council.key_id), reason=RevocationReason.LOST))
    verified = checked(signed, national)
    with pytest.raises(SignatureInvalid, match=r"^wire\.key_revoked: .* position 5$"):
        require_active(verified, national.state)


def test_a_retired_key_signs_nothing_new(council: Member, national: RegistryLog) -> None:
    national.add(COUNCIL, KeyRetired(agency_id=COUNCIL, key_id=KeyId(council.key_id)))
    with pytest.raises(SignatureInvalid, match=r"^wire\.key_retired: .* position 5$"):
        require_active(checked(a_signed_event(council), national), national.state)


def test_a_suspended_agency_writes_nothing_new(council: Member, national: RegistryLog) -> None:
    national.add(COUNCIL, AgencySuspended(agency_id=COUNCIL, reason="Synthetic reason."))
    with pytest.raises(NotPermitted, match=r"^wire\.agency_suspended"):
        require_active(checked(a_signed_event(council), national), national.state)


def test_an_agency_that_is_not_enrolled_writes_nothing(council: Member, national: RegistryLog) -> None:
    verified = checked(a_signed_event(council), national)
    with pytest.raises(NotPermitted, match=r"^wire\.agency_unknown"):
        require_active(verified, RegistryLog().state)


def test_no_refusal_repeats_what_the_event_said(council: Member, national: RegistryLog) -> None:
    def tell(header: EventHeader) -> None:
        header.actor_role = "secret" * 100
        header.source = "secret secret"

    with pytest.raises(Invalid) as caught:
        checked(a_signed_event(council, tell), national)
    assert "secret" not in str(caught.value)


def test_every_check_and_refusal_has_its_metric_label() -> None:
    assert {check.removeprefix("wire.") for check in CHECKS} == METRIC_CHECKS
    names = {name.removeprefix("REFUSAL_CODE_").lower() for name in RefusalCode.keys()}  # noqa: SIM118  # an enum wrapper, no dict
    assert names - {"unspecified"} == REFUSALS
