from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from domain.agency.events import AgencySuspended, KeyAlgorithm, KeyRegistered, KeyRetired, KeyRevoked, RevocationReason
from domain.agency.state import agency_stream
from domain.kernel.agencies import AgencyKind
from domain.kernel.ids import NATIONAL, KeyId, Stream
from services.runtime.errors import IntegrityError, SignatureInvalid
from services.trust.registry import OPERATOR_ROOT, AgencyEntry
from tests.support.builders import COUNCIL, OPERATOR, POLICE, SHARD, body_gone, recorded
from tests.support.signed import Member, RegistryLog, enrolment


def test_the_trust_root_is_the_operators_from_the_beginning() -> None:
    national = RegistryLog()
    key = national.state.key(OPERATOR_ROOT)
    assert key is not None
    assert (key.owner, key.encoded, key.registered_position, national.state.position) == (OPERATOR, national.root.public_bytes, 0, 0)
    assert national.state.agencies() == [AgencyEntry(OPERATOR, AgencyKind.OPERATOR, "Operator", None, (), is_suspended=False)]


def test_agencies_and_keys_are_as_their_events_say() -> None:
    national, council = RegistryLog(), Member.of(COUNCIL)
    national.enrol(council)
    assert national.state.agency(COUNCIL) == AgencyEntry(
        COUNCIL, AgencyKind.LOCAL_AUTHORITY, "Synthetic agency", date(2024, 1, 1), (SHARD,), is_suspended=False
    )
    key = national.state.key(council.key_id)
    assert key is not None
    assert (key.owner, key.algorithm, key.encoded, key.registered_position) == (COUNCIL, KeyAlgorithm.ED25519, council.key.public_bytes, 2)
    assert key.public_key == council.key.public_key


def test_what_was_never_said_is_not_there() -> None:
    state = RegistryLog().state
    assert (state.agency(COUNCIL), state.key("la-E09999901:main")) == (None, None)


def test_keys_keep_the_positions_of_their_ends() -> None:
    national, council, police = RegistryLog(), Member.of(COUNCIL), Member.of(POLICE)
    national.enrol(council)
    national.enrol(police)
    national.add(POLICE, KeyRetired(agency_id=POLICE, key_id=KeyId(police.key_id)))
    national.add(COUNCIL, KeyRevoked(agency_id=COUNCIL, key_id=KeyId(council.key_id), reason=RevocationReason.LOST))
    ends = {key.key_id: (key.retired_position, key.revoked_position) for key in national.state.keys()}  # noqa: SIM118  # a registry, no dict
    assert ends == {council.key_id: (None, 6), police.key_id: (5, None), OPERATOR_ROOT: (None, None)}
    assert national.state.revoked_keys() == {council.key_id: 6}


def test_a_suspended_agency_is_shown_as_such_until_it_is_enrolled_again() -> None:
    national = RegistryLog()
    national.enrol(Member.of(COUNCIL))
    national.add(COUNCIL, AgencySuspended(agency_id=COUNCIL, reason="Synthetic reason."))
    entry = national.state.agency(COUNCIL)
    assert entry is not None
    assert entry.is_suspended
    national.add(COUNCIL, enrolment(COUNCIL))
    assert national.state.agency(COUNCIL) == replace(entry, is_suspended=False)


@pytest.mark.parametrize("position", [0, 2])
def test_an_event_that_is_not_the_next_one_is_an_integrity_error(position: int) -> None:
    one = recorded(enrolment(COUNCIL), by=OPERATOR, shard=NATIONAL, stream=agency_stream(COUNCIL), position=position)
    with pytest.raises(IntegrityError, match=f"^registry: expected national 1, found national {position}$"):
        RegistryLog().state.apply(one)


def test_an_event_of_another_shard_is_an_integrity_error() -> None:
    with pytest.raises(IntegrityError):
        RegistryLog().state.apply(recorded(enrolment(COUNCIL), by=OPERATOR, stream=agency_stream(COUNCIL)))


def test_a_national_stream_of_another_category_moves_the_position_alone() -> None:
    national = RegistryLog()
    before = national.state.agencies()
    national.state.apply(recorded(enrolment(COUNCIL), by=OPERATOR, shard=NATIONAL, stream=Stream("panel-programme")))
    assert (national.state.position, national.state.agencies()) == (1, before)


def test_an_agency_whose_enrolment_cannot_be_read_counts_as_suspended() -> None:
    national = RegistryLog()
    one = recorded(enrolment(COUNCIL), by=OPERATOR, shard=NATIONAL, stream=agency_stream(COUNCIL))
    national.state.apply(body_gone(one))
    entry = national.state.agency(COUNCIL)
    assert entry is not None
    assert entry.is_suspended


def test_the_operator_stays_in_office_when_its_enrolment_cannot_be_read() -> None:
    national = RegistryLog()
    one = recorded(enrolment(OPERATOR), by=OPERATOR, shard=NATIONAL, stream=agency_stream(OPERATOR))
    national.state.apply(body_gone(one))
    entry = national.state.agency(OPERATOR)
    assert entry is not None
    assert not entry.is_suspended


def test_an_unfit_key_on_the_log_does_not_stop_the_fold_but_is_never_used() -> None:
    national = RegistryLog()
    national.add(COUNCIL, enrolment(COUNCIL))
    key_id = KeyId(f"{COUNCIL}:bad")
    national.add(COUNCIL, KeyRegistered(agency_id=COUNCIL, key_id=key_id, algorithm=KeyAlgorithm.ED25519, public_key=bytes(32), proof=b"-"))
    key = national.state.key(key_id)
    assert key is not None
    with pytest.raises(SignatureInvalid, match=r"^wire\.key_low_order"):
        _ = key.public_key
