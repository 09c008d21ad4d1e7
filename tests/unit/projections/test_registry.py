from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest

from domain.agency.events import (
    AgencyEnrolled,
    AgencySuspended,
    KeyAlgorithm,
    KeyRegistered,
    KeyRetired,
    KeyRevoked,
    RevocationReason,
)
from domain.kernel.agencies import kind_of
from domain.kernel.events import EVENT_TYPES, Event, Recorded
from domain.kernel.ids import NATIONAL, AgencyId, KeyId, Shard
from domain.partnership.decider import DECIDER
from domain.partnership.events import MembershipChange, MembershipChanged
from domain.partnership.state import Established
from projections.kernel.database import ViewDatabase
from projections.registry.projection import REGISTRY, KeyState
from projections.registry.queries import Partnership, agencies, agency, keys, partnerships
from tests.support.builders import (
    BUSINESS_UNIT,
    COUNCIL,
    ICB,
    MONDAY,
    OPERATOR,
    POLICE,
    SCHOOL,
    SHARD,
    a_partnership_established,
    body_gone,
    corrects,
    recorded,
)

LATER = MONDAY + timedelta(days=1)
KEY = KeyId("la-E09999901:1")


@pytest.fixture
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewDatabase]:
    opened = ViewDatabase(f"sqlite:///{tmp_path_factory.mktemp('registry') / 'views.sqlite'}", [REGISTRY])
    opened.swap("registry", opened.begin_build("registry").generation)
    yield opened
    opened.close()


def placed(*said: Recorded | Event, shard: str = NATIONAL) -> list[Recorded]:
    events = [one if isinstance(one, Recorded) else recorded(one, by=OPERATOR) for one in said]
    return [replace(one, shard=Shard(shard), position=place) for place, one in enumerate(events, 1)]


def project(database: ViewDatabase, *said: Recorded | Event, shard: str = NATIONAL) -> None:
    live = database.live("registry")
    assert live is not None
    events = placed(*said, shard=shard)
    database.apply("registry", live.generation, shard, events, len(events))
    assert database.parked("registry", live.generation) == ()


def enrols(agency_id: str = COUNCIL, name: str = "Northmoor Council") -> AgencyEnrolled:
    return AgencyEnrolled(
        agency_id=AgencyId(agency_id), kind=kind_of(agency_id), name=name, live_from=date(2024, 1, 1), shards=(Shard(SHARD),)
    )


def standing(database: ViewDatabase) -> tuple[str, bool, datetime]:
    """Return the council's name, whether it is suspended, and when it was enrolled."""
    with database.reading("registry") as look:
        found = agency(look.connection, look.tables, COUNCIL)
        assert found is not None
        return found.name, found.suspended, found.enrolled_at


def registers(key_id: str = KEY, agency_id: str = COUNCIL) -> KeyRegistered:
    return KeyRegistered(
        agency_id=AgencyId(agency_id), key_id=KeyId(key_id), algorithm=KeyAlgorithm.ED25519, public_key=b"\x01" * 32, proof=b"\x02" * 64
    )


def test_an_agency_stands_as_it_was_last_enrolled(database: ViewDatabase) -> None:
    project(database, enrols(), AgencySuspended(agency_id=COUNCIL, reason="Synthetic."), enrols(POLICE, "Police"))
    with database.reading("registry") as look:
        found = agencies(look.connection, look.tables, limit=10)
        assert [(one.agency_id, one.suspended, one.shards, one.position) for one in found] == [
            (COUNCIL, True, (SHARD,), 1),
            (POLICE, False, (SHARD,), 3),
        ]


def test_enrolling_again_ends_a_suspension(database: ViewDatabase) -> None:
    project(database, enrols(), AgencySuspended(agency_id=COUNCIL, reason="Synthetic."), enrols(name="Northmoor City Council"))
    with database.reading("registry") as look:
        found = agency(look.connection, look.tables, COUNCIL)
        assert found is not None
        assert (found.name, found.suspended) == ("Northmoor City Council", False)
        assert agency(look.connection, look.tables, POLICE) is None


def test_a_key_is_active_then_retired_or_revoked_for_good(database: ViewDatabase) -> None:
    revoked = KeyRevoked(agency_id=COUNCIL, key_id=KEY, reason=RevocationReason.LOST)
    retired = KeyRetired(agency_id=COUNCIL, key_id=KeyId("la-E09999901:2"))
    project(
        database,
        registers(),
        registers("la-E09999901:2"),
        registers("la-E09999901:3"),
        recorded(revoked, by=OPERATOR, at=LATER),
        KeyRetired(agency_id=COUNCIL, key_id=KEY),
        recorded(retired, by=OPERATOR, at=LATER),
    )
    with database.reading("registry") as look:
        found = keys(look.connection, look.tables, agency_id=COUNCIL, limit=10)
        assert [(one.key_id, one.state, one.reason, one.ended_at) for one in found] == [
            (KEY, KeyState.REVOKED, RevocationReason.LOST, LATER),
            ("la-E09999901:2", KeyState.RETIRED, None, LATER),
            ("la-E09999901:3", KeyState.ACTIVE, None, None),
        ]
        assert keys(look.connection, look.tables, agency_id=POLICE, limit=10) == ()


def test_lists_go_on_behind_the_last_id(database: ViewDatabase) -> None:
    project(database, *(enrols(name) for name in (COUNCIL, ICB, POLICE)))
    with database.reading("registry") as look:
        first = agencies(look.connection, look.tables, limit=2)
        rest = agencies(look.connection, look.tables, after=first[-1].agency_id, limit=2)
        assert [one.agency_id for one in (*first, *rest)] == [ICB, COUNCIL, POLICE]


def test_a_correction_of_an_enrolment_changes_what_it_says_and_reinstates_nobody(database: ViewDatabase) -> None:
    first = recorded(enrols(), by=OPERATOR)
    put_right = recorded(replace(enrols(name="Northmoor City Council"), details=corrects(first.event_id)), by=OPERATOR, at=LATER)
    project(database, first, AgencySuspended(agency_id=COUNCIL, reason="Synthetic."), put_right)
    assert standing(database) == ("Northmoor City Council", True, MONDAY)


def test_a_correction_of_an_older_enrolment_or_suspension_leaves_what_stands(database: ViewDatabase) -> None:
    first, suspended = recorded(enrols(), by=OPERATOR), recorded(AgencySuspended(agency_id=COUNCIL, reason="Synthetic."), by=OPERATOR)
    again = recorded(enrols(name="Northmoor City Council"), by=OPERATOR, at=LATER)
    put_right = recorded(replace(enrols(name="Northmoor Town Council"), details=corrects(again.event_id)), by=OPERATOR)
    once_more = recorded(replace(enrols(name="Northmoor Metropolitan Council"), details=corrects(put_right.event_id)), by=OPERATOR)
    older = recorded(replace(enrols(name="Northmoor Borough"), details=corrects(first.event_id)), by=OPERATOR)
    reason = recorded(AgencySuspended(agency_id=COUNCIL, reason="Another.", details=corrects(suspended.event_id)), by=OPERATOR)
    project(database, first, suspended, again, put_right, older, once_more, reason)
    assert standing(database) == ("Northmoor Metropolitan Council", False, LATER)


def test_a_correction_of_a_keys_end_changes_the_reason_and_not_the_end(database: ViewDatabase) -> None:
    revoked = recorded(KeyRevoked(agency_id=COUNCIL, key_id=KEY, reason=RevocationReason.LOST), by=OPERATOR)
    retired = recorded(KeyRetired(agency_id=COUNCIL, key_id=KEY), by=OPERATOR)
    for_compromise = KeyRevoked(agency_id=COUNCIL, key_id=KEY, reason=RevocationReason.COMPROMISED, details=corrects(revoked.event_id))
    of_retirement = KeyRetired(agency_id=COUNCIL, key_id=KEY, details=corrects(retired.event_id))
    project(
        database,
        registers(),
        retired,
        revoked,
        recorded(for_compromise, by=OPERATOR, at=LATER),
        recorded(of_retirement, by=OPERATOR, at=LATER),
    )
    with database.reading("registry") as look:
        (found,) = keys(look.connection, look.tables, agency_id=COUNCIL, limit=10)
        assert (found.state, found.reason, found.ended_at) == (KeyState.REVOKED, RevocationReason.COMPROMISED, MONDAY)


ESTABLISHED = recorded(a_partnership_established(), by=OPERATOR)
RENAMED = recorded(a_partnership_established(name="The moors", details=corrects(ESTABLISHED.event_id)), by=OPERATOR)


def a_change(on: date, *relevant_agencies: str, correcting: Recorded | None = None) -> Recorded:
    """A change of members to one partner of each kind, the business unit, and these."""
    details = None if correcting is None else corrects(correcting.event_id)
    said = MembershipChanged(
        change=MembershipChange.OTHER,
        effective_on=on,
        business_unit=BUSINESS_UNIT,
        partners=(COUNCIL, ICB, POLICE),
        relevant_agencies=tuple(map(AgencyId, relevant_agencies)),
        details=details,
    )
    return recorded(said, by=OPERATOR)


FIRST = a_change(date(2022, 7, 1))
SECOND = a_change(date(2023, 7, 1), SCHOOL)
SECOND_CORRECTED = a_change(date(2023, 8, 1), "agency-northmoor-hospice", correcting=SECOND)
HISTORIES = {
    "established": [ESTABLISHED],
    "its beginning corrected": [ESTABLISHED, RENAMED],
    "changed": [ESTABLISHED, FIRST, SECOND],
    "its beginning corrected after a change": [ESTABLISHED, FIRST, RENAMED],
    "the newest change corrected": [ESTABLISHED, FIRST, SECOND, SECOND_CORRECTED],
    "the correction corrected": [ESTABLISHED, SECOND, SECOND_CORRECTED, a_change(date(2023, 9, 1), correcting=SECOND_CORRECTED)],
    "an older change corrected": [ESTABLISHED, FIRST, SECOND, a_change(date(2022, 8, 1), correcting=FIRST)],
    "a change whose body is gone": [ESTABLISHED, FIRST, body_gone(SECOND)],
    "a change whose body is gone corrected": [ESTABLISHED, FIRST, body_gone(SECOND), SECOND_CORRECTED],
    "a beginning whose body is gone": [body_gone(ESTABLISHED), FIRST],
}


@pytest.mark.parametrize("history", HISTORIES.values(), ids=HISTORIES)
def test_a_partnership_stands_as_those_who_judge_events_have_it(database: ViewDatabase, history: list[Recorded]) -> None:
    project(database, *history, shard=SHARD)
    state = functools.reduce(DECIDER.evolve, history, DECIDER.initial)
    with database.reading("registry") as look:
        found = partnerships(look.connection, look.tables, limit=10)

    assert found == (
        ()
        if not isinstance(state, Established)
        else (
            Partnership(
                shard=SHARD,
                name=state.name,
                starts_on=state.arrangements_start_on,
                members=(state.business_unit, *state.partners, *state.relevant_agencies),
                members_since=list(state.lists.values())[-1].effective_on,
            ),
        )
    )


def test_an_event_whose_body_is_gone_leaves_what_stood(database: ViewDatabase) -> None:
    project(database, enrols(), body_gone(recorded(AgencySuspended(agency_id=COUNCIL, reason="Synthetic."), by=OPERATOR)))
    with database.reading("registry") as look:
        found = agency(look.connection, look.tables, COUNCIL)
        assert found is not None
        assert found.suspended is False


def test_rows_are_the_same_whether_applied_together_or_one_by_one(database: ViewDatabase) -> None:
    events = placed(
        enrols(), registers(), KeyRevoked(agency_id=COUNCIL, key_id=KEY, reason=RevocationReason.LOST), enrols(), registers("k:2")
    )
    digests = []
    for cuts in ([0, 5], [0, 1, 2, 3, 4, 5]):
        generation = database.begin_build("registry").generation
        for start, end in itertools.pairwise(cuts):
            database.apply("registry", generation, NATIONAL, events[start:end], end)
        digests.append(database.digest("registry", generation))
        database.swap("registry", generation)
    assert digests[0] == digests[1]


def test_every_event_type_is_handled_or_ignored() -> None:
    assert REGISTRY.handles | REGISTRY.ignores == set(EVENT_TYPES)
    assert not REGISTRY.handles & REGISTRY.ignores
