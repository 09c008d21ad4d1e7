from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.agency import decider as rules
from domain.agency.decider import DECIDER, EVENTS
from domain.agency.events import (
    AgencyEnrolled,
    AgencySuspended,
    KeyAlgorithm,
    KeyRegistered,
    KeyRetired,
    KeyRevoked,
    RevocationReason,
)
from domain.agency.state import Enrolled, Suspended, Unknown, agency_stream, keys_of
from domain.kernel.agencies import AgencyKind
from domain.kernel.decider import Context
from domain.kernel.events import EVENT_TYPES, Event, Recorded
from domain.kernel.ids import NATIONAL, AgencyId, EventId, KeyId, Shard
from domain.kernel.rules import Refused
from tests.support.builders import COUNCIL, HUB, MONDAY, OPERATOR, PANEL, POLICE, SECOND_COUNCIL, SHARD, body_gone, corrects, recorded
from tests.support.spec import Outcome, Spec

MAIN = KeyId(f"{COUNCIL}:main")
SPARE = KeyId(f"{COUNCIL}:spare")
COUNCIL_SPEC = Spec(DECIDER, identity=COUNCIL, shard=NATIONAL)


def enrolled(agency_id: AgencyId = COUNCIL, **changes: Any) -> AgencyEnrolled:
    return replace(
        AgencyEnrolled(
            agency_id=agency_id,
            kind=AgencyKind.LOCAL_AUTHORITY,
            name="Northmoor Council",
            live_from=date(2024, 1, 1),
            shards=(SHARD,),
        ),
        **changes,
    )


def registered(key_id: KeyId = MAIN, **changes: Any) -> KeyRegistered:
    event = KeyRegistered(
        agency_id=COUNCIL, key_id=key_id, algorithm=KeyAlgorithm.ED25519, public_key=key_id.encode().ljust(32)[:32], proof=b"proof"
    )
    return replace(event, **changes)


def retired(key_id: KeyId = MAIN, **changes: Any) -> KeyRetired:
    return replace(KeyRetired(agency_id=COUNCIL, key_id=key_id), **changes)


def revoked(key_id: KeyId = MAIN, **changes: Any) -> KeyRevoked:
    return replace(KeyRevoked(agency_id=COUNCIL, key_id=key_id, reason=RevocationReason.LOST), **changes)


def suspended(**changes: Any) -> AgencySuspended:
    return replace(AgencySuspended(agency_id=COUNCIL, reason="Synthetic reason."), **changes)


def log(*events: Event) -> tuple[Recorded, ...]:
    return tuple(
        recorded(event, by=OPERATOR, shard=NATIONAL, stream=agency_stream(COUNCIL), version=version)
        for version, event in enumerate(events, start=1)
    )


def say(event: Event, *history: Event | Recorded, by: str = OPERATOR, spec: Spec[Any] = COUNCIL_SPEC) -> Outcome[Any]:
    past = [item if isinstance(item, Recorded) else log(item)[0] for item in history]
    return spec.given(*past).when(event, by=by)


def test_every_agency_event_belongs_to_the_area() -> None:
    assert {event.EVENT_TYPE for event in EVENTS} == {name for name in EVENT_TYPES if name.startswith("agency.")}


def test_the_operator_enrols_an_agency() -> None:
    state = say(enrolled()).then().state
    assert isinstance(state, Enrolled)
    assert (state.kind, state.name, state.live_from, state.shards) == (
        AgencyKind.LOCAL_AUTHORITY,
        "Northmoor Council",
        date(2024, 1, 1),
        (SHARD,),
    )


@pytest.mark.parametrize("by", [COUNCIL, POLICE, PANEL, HUB])
@pytest.mark.parametrize("event", [enrolled(), registered(), retired(), revoked(), suspended()])
def test_nobody_but_the_operator_speaks_of_agencies_and_keys(by: str, event: Event) -> None:
    say(event, by=by).refused(rules.OPERATOR_ONLY)


def test_an_agency_is_spoken_of_in_its_own_stream_only() -> None:
    say(enrolled(SECOND_COUNCIL)).refused(rules.STREAM)


def test_an_agency_is_spoken_of_in_the_national_shard_only() -> None:
    say(enrolled(), spec=Spec(DECIDER, identity=COUNCIL, shard=SHARD)).refused(rules.STREAM)


def test_the_enrolled_kind_is_the_one_the_id_names() -> None:
    say(enrolled(kind=AgencyKind.POLICE)).refused(rules.KIND)


def test_a_council_without_a_shard_is_not_enrolled() -> None:
    say(enrolled(shards=())).refused(rules.SHARDS)


def test_no_agency_is_enrolled_for_the_national_shard() -> None:
    say(enrolled(shards=(SHARD, NATIONAL))).refused(rules.SHARDS)


@pytest.mark.parametrize(("agency_id", "kind"), [(PANEL, AgencyKind.PANEL), (HUB, AgencyKind.HUB), (OPERATOR, AgencyKind.OPERATOR)])
def test_those_who_write_everywhere_name_no_shard(agency_id: AgencyId, kind: AgencyKind) -> None:
    spec = Spec(DECIDER, identity=agency_id, shard=NATIONAL)
    say(enrolled(agency_id, kind=kind, shards=(SHARD,)), spec=spec).refused(rules.SHARDS)
    say(enrolled(agency_id, kind=kind, shards=()), spec=spec).then()


def test_an_enrolled_agency_is_not_enrolled_again() -> None:
    say(enrolled(name="Other"), enrolled()).refused(rules.CONTRADICTION)


def test_a_correction_replaces_the_enrolment_and_keeps_the_keys() -> None:
    history = log(enrolled(), registered())
    wider = enrolled(shards=(SHARD, Shard("southmoor")), details=corrects(history[0].event_id))
    state = COUNCIL_SPEC.given(*history).when(wider, by=OPERATOR).then().state
    assert isinstance(state, Enrolled)
    assert (state.shards, list(state.keys)) == ((SHARD, Shard("southmoor")), [MAIN])


def test_a_correction_of_a_correction_replaces_the_enrolment_too() -> None:
    first, second = log(enrolled(), enrolled(name="Second"))
    second = replace(second, event=enrolled(name="Second", details=corrects(first.event_id)))
    third = enrolled(name="Third", details=corrects(second.event_id))
    state = COUNCIL_SPEC.given(first, second).when(third, by=OPERATOR).then().state
    assert isinstance(state, Enrolled)
    assert state.name == "Third"


def test_a_correction_of_an_enrolment_long_past_does_not_change_the_one_in_force() -> None:
    history = log(enrolled(name="First"), suspended(), enrolled(name="Second"))
    late = enrolled(name="Late", details=corrects(history[0].event_id))
    state = COUNCIL_SPEC.given(*history).when(late, by=OPERATOR).then().state
    assert isinstance(state, Enrolled)
    assert state.name == "Second"


def test_correcting_the_enrolment_of_a_suspended_agency_does_not_end_its_suspension() -> None:
    history = log(enrolled(), suspended())
    state = COUNCIL_SPEC.given(*history).when(enrolled(name="Right", details=corrects(history[0].event_id)), by=OPERATOR).then().state
    assert isinstance(state, Suspended)
    assert state.was.name == "Right"


def test_a_correction_that_points_at_nothing_is_refused() -> None:
    say(enrolled(details=corrects(EventId(b"?" * 16))), enrolled()).refused(rules.CORRECTION)


def test_a_correction_of_another_type_of_event_is_refused() -> None:
    history = log(enrolled(), registered())
    COUNCIL_SPEC.given(*history).when(enrolled(details=corrects(history[1].event_id)), by=OPERATOR).refused(rules.CORRECTION)


def test_a_suspended_agency_is_enrolled_again_with_its_keys() -> None:
    state = say(enrolled(name="Again"), enrolled(), registered(), suspended()).then().state
    assert isinstance(state, Enrolled)
    assert (state.name, list(state.keys)) == ("Again", [MAIN])


def test_an_agency_that_was_never_enrolled_is_not_suspended() -> None:
    say(suspended()).refused(rules.NOT_ENROLLED)


def test_a_suspended_agency_is_not_suspended_again() -> None:
    say(suspended(), enrolled(), suspended()).refused(rules.CONTRADICTION)


def test_the_reason_of_a_suspension_may_be_corrected() -> None:
    history = log(enrolled(), suspended())
    state = COUNCIL_SPEC.given(*history).when(suspended(details=corrects(history[1].event_id)), by=OPERATOR).then().state
    assert isinstance(state, Suspended)


def test_correcting_a_suspension_that_is_over_does_not_suspend_again() -> None:
    history = log(enrolled(), suspended(), enrolled())
    state = COUNCIL_SPEC.given(*history).when(suspended(details=corrects(history[1].event_id)), by=OPERATOR).then().state
    assert isinstance(state, Enrolled)


def test_the_operator_cannot_be_suspended() -> None:
    spec = Spec(DECIDER, identity=OPERATOR, shard=NATIONAL)
    own = enrolled(OPERATOR, kind=AgencyKind.OPERATOR, shards=())
    say(suspended(agency_id=OPERATOR), own, spec=spec).refused(rules.OPERATOR_STAYS)


def test_the_hub_cannot_be_suspended() -> None:
    spec = Spec(DECIDER, identity=HUB, shard=NATIONAL)
    say(suspended(agency_id=HUB), enrolled(HUB, kind=AgencyKind.HUB, shards=()), spec=spec).refused(rules.HUB_STAYS)


def test_a_key_is_registered_for_an_enrolled_agency() -> None:
    key = keys_of(say(registered(), enrolled()).then().state)[MAIN]
    assert (key.owner, key.algorithm, key.registered_position) == (COUNCIL, KeyAlgorithm.ED25519, 2)


def test_an_agency_that_was_never_enrolled_gets_no_key() -> None:
    say(registered()).refused(rules.NOT_ENROLLED)


def test_a_suspended_agency_gets_no_key() -> None:
    say(registered(), enrolled(), suspended()).refused(rules.SUSPENDED)


@pytest.mark.parametrize(
    "name", ["main", "police-northmoor:main", f"{SECOND_COUNCIL}:main", f"{COUNCIL}:", f"{COUNCIL}main", f":{COUNCIL}"]
)
def test_a_key_id_begins_with_its_owners_id_and_a_colon(name: str) -> None:
    say(registered(KeyId(name)), enrolled()).refused(rules.KEY_NAME)


@pytest.mark.parametrize("ended", [(), (retired(),), (revoked(),)])
def test_a_key_id_is_used_once_whatever_became_of_its_key(ended: tuple[Event, ...]) -> None:
    say(registered(public_key=b"other".ljust(32)), enrolled(), registered(), *ended).refused(rules.KEY_TAKEN)


def test_a_public_key_is_not_registered_under_two_ids() -> None:
    say(registered(SPARE, public_key=registered().public_key), enrolled(), registered()).refused(rules.KEY_TAKEN)


def test_a_keys_registration_is_never_corrected() -> None:
    history = log(enrolled(), registered())
    again = registered(public_key=b"other".ljust(32), details=corrects(history[1].event_id))
    COUNCIL_SPEC.given(*history).when(again, by=OPERATOR).refused(rules.KEY_FINAL)


@pytest.mark.parametrize("end", [retired(), revoked()])
def test_a_key_that_was_never_registered_does_not_end(end: Event) -> None:
    say(end, enrolled()).refused(rules.KEY_UNKNOWN)


def test_a_retired_key_knows_its_position_and_is_not_active() -> None:
    key = keys_of(say(retired(), enrolled(), registered()).then().state)[MAIN]
    assert (key.retired_position, key.revoked_position) == (3, None)


def test_a_retired_key_may_still_be_revoked() -> None:
    key = keys_of(say(revoked(), enrolled(), registered(), retired()).then().state)[MAIN]
    assert (key.retired_position, key.revoked_position) == (3, 4)


@pytest.mark.parametrize(("event", "before"), [(retired(), retired()), (revoked(), revoked()), (retired(), revoked())])
def test_an_ended_key_does_not_end_again(event: Event, before: Event) -> None:
    say(event, enrolled(), registered(), before).refused(rules.KEY_ENDED)


def test_keys_of_a_suspended_agency_may_be_revoked() -> None:
    state = say(revoked(), enrolled(), registered(), suspended()).then().state
    assert isinstance(state, Suspended)
    assert keys_of(state)[MAIN].revoked_position == 4


def test_correcting_the_reason_of_a_revocation_leaves_its_position() -> None:
    history = log(enrolled(), registered(), revoked())
    better = revoked(reason=RevocationReason.COMPROMISED, details=corrects(history[2].event_id))
    assert keys_of(COUNCIL_SPEC.given(*history).when(better, by=OPERATOR).then().state)[MAIN].revoked_position == 3


def test_a_correction_does_not_move_a_revocation_to_another_key() -> None:
    history = log(enrolled(), registered(), registered(SPARE), revoked())
    moved = revoked(SPARE, details=corrects(history[3].event_id))
    COUNCIL_SPEC.given(*history).when(moved, by=OPERATOR).refused(rules.CORRECTION)


def test_an_agency_whose_enrolment_cannot_be_read_may_write_nothing() -> None:
    enrolment, key = log(enrolled(), registered())
    state = COUNCIL_SPEC.given(body_gone(enrolment), key).state
    assert isinstance(state, Suspended)
    assert (state.was.agency_id, state.was.live_from, list(keys_of(state))) == (COUNCIL, None, [MAIN])
    COUNCIL_SPEC.given(body_gone(enrolment)).when(enrolled(), by=OPERATOR).then()


ANY_EVENT = st.sampled_from(
    [enrolled(), enrolled(name="Other"), suspended(), *(make(key) for make in (registered, retired, revoked) for key in (MAIN, SPARE))]
)


@given(events=st.lists(ANY_EVENT, max_size=12), lost=st.sets(st.integers(0, 11)))
def test_the_fold_never_raises_on_what_was_admitted_even_when_bodies_are_gone(events: list[Event], lost: set[int]) -> None:
    state: Any = DECIDER.initial
    history: list[Recorded] = []
    for event in events:
        one = recorded(event, by=OPERATOR, shard=NATIONAL, stream=agency_stream(COUNCIL), version=len(history) + 1)
        context = Context(agency_id=OPERATOR, event_id=one.event_id, shard=NATIONAL, stream=one.stream, now=MONDAY)
        try:
            assert DECIDER.admit(state, event, context) == ()
        except Refused:
            continue
        history.append(one)
        state = DECIDER.evolve(state, one)
    after = DECIDER.fold([body_gone(one) if index in lost else one for index, one in enumerate(history)])
    assert isinstance(after, Unknown) is (not history)
    assert not DECIDER.open_rules(after)
    assert keys_of(after).keys() <= keys_of(state).keys()
