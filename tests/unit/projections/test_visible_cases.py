"""For lists the access rule is asked once for all cases: it must say of each what it says of that one alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from itertools import count, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.kernel.events import Event, Marking, Recorded
from domain.kernel.ids import AgencyId
from domain.partnership.events import MembershipChange, MembershipChanged
from domain.rapid_review.events import RapidReviewOpened
from domain.sharing.events import InformationRestricted
from projections.chronology.access import Standing, standing_of
from projections.chronology.projection import CHRONOLOGY
from projections.chronology.queries import access_facts
from projections.chronology.visible import Visible, visible_cases
from projections.kernel.database import ViewDatabase
from tests.support.builders import (
    BUSINESS_UNIT,
    CASE,
    COUNCIL,
    HOSPITAL,
    HUB,
    ICB,
    OPERATOR,
    OTHER_CASE,
    OTHER_COUNCIL,
    PANEL,
    POLICE,
    SCHOOL,
    SECOND_COUNCIL,
    STRANGER,
    a_notification,
    a_partnership_established,
    a_referral,
    an_event_id,
    an_information_request,
    corrects,
    recorded,
)

AGENCIES = (COUNCIL, SECOND_COUNCIL, ICB, POLICE, BUSINESS_UNIT, SCHOOL, HOSPITAL, STRANGER, OTHER_COUNCIL, PANEL, OPERATOR, HUB)
SHARDS = ("northmoor", "southmoor")
CASES = (CASE, OTHER_CASE)
"""Both in both shards: an id alone opens nothing."""
TODAY = date(2024, 6, 3)


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewDatabase]:
    opened = ViewDatabase(f"sqlite:///{tmp_path_factory.mktemp('views')}/views.sqlite", [CHRONOLOGY])
    opened.swap("chronology", opened.begin_build("chronology").generation)
    yield opened
    opened.close()


def put(database: ViewDatabase, log: Sequence[Recorded]) -> None:
    """Project a log, each shard's part in one batch."""
    live = database.live("chronology")
    assert live is not None
    for shard in {one.shard for one in log}:
        batch = [one for one in log if one.shard == shard]
        database.apply("chronology", live.generation, shard, batch, batch[-1].position)


def membership(effective_on: date, *partners: str) -> MembershipChanged:
    return MembershipChanged(
        change=MembershipChange.OTHER,
        effective_on=effective_on,
        business_unit=BUSINESS_UNIT,
        partners=tuple(map(AgencyId, partners)),
    )


@st.composite
def said(draw: st.DrawFn) -> tuple[str, str, Event, str]:
    """One thing said: shard, stream, event, by whom."""
    shard, case_id, by = draw(st.sampled_from(SHARDS)), draw(st.sampled_from(CASES)), draw(st.sampled_from(AGENCIES[:9]))
    some = st.lists(st.sampled_from(AGENCIES[:10]), min_size=1, max_size=3, unique=True).map(tuple)
    events: list[st.SearchStrategy[tuple[str, Event]]] = [
        st.just((f"incident-{case_id}", a_referral())),
        st.just((f"incident-{case_id}", a_notification())),
        st.sampled_from(AGENCIES[:10]).map(lambda one: (f"sharing-{case_id}", an_information_request(recipient=one))),
        some.map(lambda asked: (f"rapid_review-{case_id}", RapidReviewOpened(agencies_asked=asked))),
        some.map(
            lambda named: (
                f"sharing-{case_id}",
                InformationRestricted(marking=Marking.RESTRICTED, named_agencies=named, reason="Synthetic."),
            )
        ),
        st.tuples(st.sampled_from((date(2024, 1, 1), date(2024, 12, 1))), some).map(
            lambda change: (f"partnership-{shard}", membership(change[0], *change[1]))
        ),
        st.just((f"partnership-{shard}", a_partnership_established())),
    ]
    stream, event = draw(st.one_of(events))
    return shard, stream, event, by


NUMBERS = count()


@settings(max_examples=15)
@given(st.lists(said(), max_size=25))
def test_what_is_visible_in_lists_is_what_may_be_read_case_by_case(database: ViewDatabase, told: list[tuple[str, str, Event, str]]) -> None:
    number = next(NUMBERS)  # each example has shards of its own
    log = [
        recorded(event, by=by, stream=stream, shard=f"{shard}-{number}", position=position, event_id=an_event_id(position))
        for position, (shard, stream, event, by) in enumerate(told, start=1)
    ]
    put(database, log)
    exists = {(one.shard, one.stream.partition("-")[2]) for one in log if not one.stream.startswith("partnership")}
    with database.reading("chronology") as look:
        for agency_id in AGENCIES:
            visible = visible_cases(look.connection, look.tables, agency_id, TODAY)
            for shard, case_id in product((f"{name}-{number}" for name in SHARDS), CASES):
                facts = access_facts(look.connection, look.tables, shard, case_id)
                may_read = isinstance(standing_of(facts, agency_id, TODAY), Standing)
                assert may_read is ((shard, case_id) in exists and visible.holds(shard, case_id)), (agency_id, shard, case_id)


def test_a_corrected_list_of_members_stands_where_the_wrong_one_stood(database: ViewDatabase) -> None:
    first = membership(date(2023, 1, 1), COUNCIL, ICB)
    second = membership(date(2024, 1, 1), COUNCIL, POLICE)
    put_right = replace(membership(date(2023, 1, 1), SECOND_COUNCIL, ICB), details=corrects(an_event_id(3)))
    told: list[Event] = [a_notification(), a_partnership_established(), first, second, put_right]
    streams = [f"incident-{CASE}", *["partnership-northmoor"] * 4]
    log = [
        recorded(event, by=OPERATOR, stream=stream, position=position, event_id=an_event_id(position))
        for position, (stream, event) in enumerate(zip(streams, told, strict=True), start=1)
    ]
    put(database, log)
    expected = {COUNCIL: True, POLICE: True, ICB: False, SECOND_COUNCIL: False}
    with database.reading("chronology") as look:
        facts = access_facts(look.connection, look.tables, "northmoor", CASE)
    assert {agency: isinstance(standing_of(facts, agency, TODAY), Standing) for agency in expected} == expected
    assert isinstance(standing_of(facts, SECOND_COUNCIL, date(2023, 6, 1)), Standing)


def test_streams_about_no_case_are_known_to_who_works_in_their_shard() -> None:
    visible = Visible(shards=frozenset({"northmoor"}), hidden=frozenset({("northmoor", CASE)}), linked=frozenset({("southmoor", CASE)}))
    assert visible.knows_of("northmoor", "partnership-northmoor")
    assert visible.knows_of("southmoor", "partnership-southmoor")
    assert not visible.knows_of("eastmoor", "partnership-eastmoor")
    assert not visible.knows_of("northmoor", f"incident-{CASE}")
    assert visible.knows_of("northmoor", f"incident-{OTHER_CASE}")
    assert visible.knows_of("southmoor", f"sharing-{CASE}")
    assert not visible.knows_of("southmoor", f"sharing-{OTHER_CASE}")
