"""Who the safeguarding partners of a shard are, and who may say so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest

from domain.kernel.events import Recorded
from domain.kernel.ids import NATIONAL, Shard
from domain.partnership import decider as rules
from domain.partnership.decider import DECIDER
from domain.partnership.events import MembershipChange, MembershipChanged
from domain.partnership.state import (
    Established,
    Partnership,
    Unknown,
    is_business_unit,
    is_council,
    is_member,
    is_statutory_partner,
    leads,
    partnership_in,
    partnership_stream,
)
from tests.support.builders import (
    BUSINESS_UNIT,
    COUNCIL,
    HOSPITAL,
    ICB,
    LSCB,
    MONDAY,
    OPERATOR,
    OTHER_COUNCIL,
    PANEL,
    POLICE,
    SCHOOL,
    SECOND_COUNCIL,
    SHARD,
    STRANGER,
    a_partnership,
    a_partnership_established,
    a_referral,
    an_event_id,
    body_gone,
    corrects,
    recorded,
)
from tests.support.spec import Spec

SPEC: Spec[Partnership] = Spec(DECIDER, identity=SHARD)


def a_change(**changes: Any) -> MembershipChanged:
    said: dict[str, Any] = {
        "change": MembershipChange.CCG_TO_ICB,
        "effective_on": date(2022, 7, 1),
        "business_unit": BUSINESS_UNIT,
        "partners": (COUNCIL, "icb-QZ10", POLICE),
        "relevant_agencies": (SCHOOL,),
    }
    return MembershipChanged(**{**said, **changes})


def _established(number: int = 1) -> Recorded:
    return recorded(a_partnership_established(), by=OPERATOR, event_id=an_event_id(number))


def effective_on(state: Established) -> date:
    """Return the day from which the newest lists have effect."""
    return list(state.lists.values())[-1].effective_on


def test_the_operator_establishes_a_partnership() -> None:
    state = SPEC.given().when(a_partnership_established(), by=OPERATOR).then().state
    assert isinstance(state, Established)
    assert (state.name, state.business_unit, state.partners) == (
        "Northmoor Safeguarding Children Partnership",
        BUSINESS_UNIT,
        (COUNCIL, SECOND_COUNCIL, ICB, POLICE),
    )
    assert (state.relevant_agencies, state.arrangements_start_on, state.written_confirmation_hours) == (
        (SCHOOL, HOSPITAL),
        date(2019, 9, 29),
        48,
    )


@pytest.mark.parametrize("sender", [COUNCIL, BUSINESS_UNIT, PANEL, LSCB])
def test_nobody_but_the_operator_says_who_the_partners_are(sender: str) -> None:
    SPEC.given().when(a_partnership_established(), by=sender).refused("partnership.operator")
    SPEC.given(_established()).when(a_change(), by=sender).refused(rules.OPERATOR_ONLY)


def test_a_partnership_is_established_in_the_shard_it_names() -> None:
    Spec(DECIDER, identity="elsewhere").given().when(a_partnership_established(), by=OPERATOR).refused("partnership.stream")
    Spec(DECIDER, identity=NATIONAL, shard=NATIONAL).given().when(a_partnership_established(), by=OPERATOR).refused(rules.STREAM)


def test_a_partnership_is_established_once() -> None:
    SPEC.given(_established()).when(a_partnership_established(), by=OPERATOR).refused("partnership.contradiction")


def test_the_record_of_a_beginning_is_corrected() -> None:
    renamed = a_partnership_established(name="Northmoor and Eastmoor", details=corrects(an_event_id(1)))
    state = SPEC.given(_established()).when(renamed, by=OPERATOR).then().state
    assert isinstance(state, Established)
    assert state.name == "Northmoor and Eastmoor"


def test_a_correction_of_the_beginning_leaves_later_members_as_they_are() -> None:
    history = (_established(), recorded(a_change(), by=OPERATOR))
    renamed = a_partnership_established(name="Northmoor and Eastmoor", details=corrects(an_event_id(1)))
    state = SPEC.given(*history).when(renamed, by=OPERATOR).then().state
    assert isinstance(state, Established)
    assert (state.name, state.partners) == ("Northmoor and Eastmoor", (COUNCIL, "icb-QZ10", POLICE))


def test_a_correction_points_at_an_event_of_its_type() -> None:
    wrong = a_change(details=corrects(an_event_id(1)))
    SPEC.given(_established()).when(wrong, by=OPERATOR).refused("partnership.correction")
    SPEC.given().when(a_partnership_established(details=corrects(an_event_id(9))), by=OPERATOR).refused(rules.CORRECTION)


def test_members_change_and_the_lists_replace_the_former_ones() -> None:
    state = SPEC.given(_established()).when(a_change(), by=OPERATOR).then().state
    assert isinstance(state, Established)
    assert (state.partners, state.relevant_agencies, effective_on(state)) == ((COUNCIL, "icb-QZ10", POLICE), (SCHOOL,), date(2022, 7, 1))
    assert state.name == "Northmoor Safeguarding Children Partnership"


def test_only_an_established_partnership_changes() -> None:
    SPEC.given().when(a_change(), by=OPERATOR).refused("partnership.state")


def test_a_change_does_not_precede_the_arrangements_or_the_change_before() -> None:
    SPEC.given(_established()).when(a_change(effective_on=date(2019, 9, 28)), by=OPERATOR).refused("partnership.effective")
    history = (_established(), recorded(a_change(), by=OPERATOR))
    SPEC.given(*history).when(a_change(effective_on=date(2022, 6, 30)), by=OPERATOR).refused(rules.EFFECTIVE)


def test_a_correction_of_an_earlier_change_leaves_the_newest_lists() -> None:
    first = recorded(a_change(), by=OPERATOR, event_id=an_event_id(2))
    second = recorded(a_change(effective_on=date(2023, 4, 1), partners=(SECOND_COUNCIL, ICB, POLICE)), by=OPERATOR, event_id=an_event_id(3))
    corrected = a_change(effective_on=date(2022, 7, 2), details=corrects(an_event_id(2)))
    state = SPEC.given(_established(), first, second).when(corrected, by=OPERATOR).then().state
    assert isinstance(state, Established)
    assert (state.partners, effective_on(state)) == ((SECOND_COUNCIL, ICB, POLICE), date(2023, 4, 1))


def test_an_earlier_change_stays_earlier_however_often_it_is_corrected() -> None:
    first = recorded(a_change(), by=OPERATOR, event_id=an_event_id(2))
    second = recorded(a_change(effective_on=date(2023, 4, 1), partners=(SECOND_COUNCIL, ICB, POLICE)), by=OPERATOR, event_id=an_event_id(3))
    once = recorded(a_change(details=corrects(an_event_id(2))), by=OPERATOR, event_id=an_event_id(4))
    state = SPEC.given(_established(), first, second, once).when(a_change(details=corrects(an_event_id(4))), by=OPERATOR).then().state
    assert isinstance(state, Established)
    assert (state.partners, effective_on(state)) == ((SECOND_COUNCIL, ICB, POLICE), date(2023, 4, 1))


def test_a_correction_moves_no_list_past_the_one_recorded_before_or_after_it() -> None:
    first = recorded(a_change(), by=OPERATOR, event_id=an_event_id(2))
    second = recorded(a_change(effective_on=date(2023, 4, 1)), by=OPERATOR, event_id=an_event_id(3))
    given = SPEC.given(_established(), first, second)
    given.when(a_change(effective_on=date(2023, 4, 1), details=corrects(an_event_id(2))), by=OPERATOR).then()
    given.when(a_change(effective_on=date(2023, 4, 2), details=corrects(an_event_id(2))), by=OPERATOR).refused(rules.EFFECTIVE)
    given.when(a_change(effective_on=date(2022, 7, 1), details=corrects(an_event_id(3))), by=OPERATOR).then()
    given.when(a_change(effective_on=date(2022, 6, 30), details=corrects(an_event_id(3))), by=OPERATOR).refused(rules.EFFECTIVE)
    begun = a_partnership_established(details=corrects(an_event_id(1)), arrangements_start_on=date(2022, 7, 1))
    given.when(begun, by=OPERATOR).then()
    given.when(replace(begun, arrangements_start_on=date(2022, 7, 2)), by=OPERATOR).refused(rules.EFFECTIVE)


def test_of_lists_that_lie_out_of_order_each_is_corrected_as_to_its_members() -> None:
    first = recorded(a_change(), by=OPERATOR, event_id=an_event_id(2))
    second = recorded(a_change(effective_on=date(2023, 4, 1)), by=OPERATOR, event_id=an_event_id(3))
    moved = recorded(a_change(effective_on=date(2024, 1, 1), details=corrects(an_event_id(2))), by=OPERATOR, event_id=an_event_id(4))
    given = SPEC.given(_established(), first, second, moved)
    given.when(
        a_change(effective_on=date(2023, 4, 1), partners=(COUNCIL, ICB, POLICE), details=corrects(an_event_id(3))), by=OPERATOR
    ).then()
    given.when(
        a_change(effective_on=date(2024, 1, 1), partners=(COUNCIL, ICB, POLICE), details=corrects(an_event_id(2))), by=OPERATOR
    ).then()
    given.when(a_change(effective_on=date(2023, 5, 1), details=corrects(an_event_id(3))), by=OPERATOR).refused(rules.EFFECTIVE)


def test_a_correction_of_the_newest_change_replaces_it() -> None:
    first = recorded(a_change(), by=OPERATOR, event_id=an_event_id(2))
    corrected = a_change(effective_on=date(2022, 7, 1), partners=(COUNCIL, ICB, POLICE), details=corrects(an_event_id(2)))
    state = SPEC.given(_established(), first).when(corrected, by=OPERATOR).then().state
    assert isinstance(state, Established)
    assert state.partners == (COUNCIL, ICB, POLICE)


@pytest.mark.parametrize("partners", [(COUNCIL, ICB), (COUNCIL, POLICE), (ICB, POLICE), (), (COUNCIL, ICB, POLICE, SCHOOL)])
def test_partners_are_at_least_one_of_each_kind_and_of_no_other(partners: tuple[str, ...]) -> None:
    SPEC.given().when(a_partnership_established(partners=partners, relevant_agencies=()), by=OPERATOR).refused("partnership.every_kind")
    SPEC.given(_established()).when(a_change(partners=partners, relevant_agencies=()), by=OPERATOR).refused(rules.EVERY_KIND)


@pytest.mark.parametrize(
    "changes",
    [{"business_unit": ICB}, {"relevant_agencies": (LSCB,)}, {"relevant_agencies": (OTHER_COUNCIL,)}, {"relevant_agencies": ("nobody",)}],
)
def test_the_business_unit_and_relevant_agencies_are_of_their_kinds(changes: dict[str, Any]) -> None:
    SPEC.given().when(a_partnership_established(**changes), by=OPERATOR).refused("partnership.kinds")


def test_each_agency_is_listed_once() -> None:
    SPEC.given().when(a_partnership_established(relevant_agencies=(SCHOOL, SCHOOL)), by=OPERATOR).refused("partnership.listed_once")


@pytest.mark.parametrize("hours", [0, -1, 745])
def test_the_hours_for_a_written_confirmation_are_between_one_and_a_month(hours: int) -> None:
    SPEC.given().when(a_partnership_established(written_confirmation_hours=hours), by=OPERATOR).refused("partnership.written_confirmation")


def test_the_questions_asked_of_a_partnership() -> None:
    state = a_partnership()
    assert [agency for agency in (COUNCIL, BUSINESS_UNIT, SCHOOL, STRANGER) if is_member(state, agency)] == [COUNCIL, BUSINESS_UNIT, SCHOOL]
    assert [agency for agency in (ICB, BUSINESS_UNIT, SCHOOL) if is_statutory_partner(state, agency)] == [ICB]
    assert [agency for agency in (ICB, BUSINESS_UNIT, SCHOOL) if leads(state, agency)] == [ICB, BUSINESS_UNIT]
    assert [agency for agency in (ICB, BUSINESS_UNIT) if is_business_unit(state, agency)] == [BUSINESS_UNIT]
    assert [agency for agency in (COUNCIL, ICB, "nonsense") if is_council(agency)] == [COUNCIL]
    assert not is_member(Unknown(), COUNCIL)


def test_a_partnership_is_found_among_the_states_read() -> None:
    others = {partnership_stream(SHARD): a_partnership()}
    assert partnership_in(others, SHARD, MONDAY) == a_partnership()
    assert partnership_in(others, Shard("elsewhere"), MONDAY) == Unknown()


def test_members_are_those_of_the_newest_list_that_has_effect() -> None:
    first = recorded(a_change(effective_on=date(2022, 7, 1)), by=OPERATOR, event_id=an_event_id(2))
    second = recorded(a_change(effective_on=date(2024, 4, 1), partners=(SECOND_COUNCIL, ICB, POLICE)), by=OPERATOR, event_id=an_event_id(3))
    corrected = recorded(
        a_change(effective_on=date(2022, 7, 1), partners=(COUNCIL, ICB, POLICE), details=corrects(an_event_id(2))), by=OPERATOR
    )
    state = SPEC.given(_established(), first, second, corrected).state

    def partners_at(*moment: int) -> tuple[str, ...]:
        found = partnership_in({partnership_stream(SHARD): state}, SHARD, datetime(*moment, tzinfo=UTC))
        assert isinstance(found, Established)
        return found.partners

    assert partners_at(2018, 1, 1) == partners_at(2022, 6, 30, 22, 59) == a_partnership().partners
    assert partners_at(2022, 6, 30, 23, 0) == partners_at(2024, 3, 31, 22, 59) == (COUNCIL, ICB, POLICE)
    assert partners_at(2024, 3, 31, 23, 0) == (SECOND_COUNCIL, ICB, POLICE)


def test_an_event_whose_body_is_gone_leaves_the_lists_as_they_were() -> None:
    history = (_established(), recorded(a_change(), by=OPERATOR))
    assert DECIDER.fold([body_gone(one) for one in history]) == Unknown()
    assert DECIDER.fold([history[0], body_gone(history[1])]) == DECIDER.fold(history[:1])


def test_a_change_alone_establishes_nothing() -> None:
    assert DECIDER.fold([recorded(a_change(), by=OPERATOR)]) == Unknown()


def test_nothing_stays_broken() -> None:
    assert DECIDER.open_rules(DECIDER.fold([_established()])) == frozenset()
    assert DECIDER.reads(a_referral(), partnership_stream(SHARD), SHARD) == ()


def test_every_rule_names_its_authority() -> None:
    assert [rule.id for rule in rules.RULES if not (rule.source and rule.words)] == []
    assert len({rule.id for rule in rules.RULES}) == len(rules.RULES)
