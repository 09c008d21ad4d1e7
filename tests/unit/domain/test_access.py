"""Who read what: only the hub says so."""

from __future__ import annotations

from typing import Any

import pytest

from domain.access.decider import DECIDER, RULES, Accesses
from domain.access.events import AccessDenied, CaseViewed, DenialReason, Resource
from domain.kernel.events import Purpose
from domain.kernel.ids import AgencyId
from tests.support.builders import BUSINESS_UNIT, COUNCIL, HUB, OPERATOR, PANEL, an_event_id, body_gone, corrects, recorded
from tests.support.spec import Spec

SPEC: Spec[Accesses] = Spec(DECIDER)


def a_view(**changes: Any) -> CaseViewed:
    said: dict[str, Any] = {
        "viewer_agency": BUSINESS_UNIT,
        "viewer_user": "u-7",
        "viewer_role": "reviewer",
        "viewer_purpose": Purpose.RAPID_REVIEW,
        "resource": Resource.CHRONOLOGY,
        "rows": 12,
    }
    return CaseViewed(**{**said, **changes})


def a_denial(viewer: str = COUNCIL) -> AccessDenied:
    return AccessDenied(
        viewer_agency=AgencyId(viewer),
        viewer_user="u-9",
        viewer_role="social worker",
        viewer_purpose=Purpose.SAFEGUARDING,
        resource=Resource.DEADLINES,
        reason=DenialReason.NOT_LINKED,
    )


def test_the_hub_records_what_was_read_and_what_was_not() -> None:
    assert SPEC.given().when(a_view(), by=HUB).then().state == Accesses(viewed=1)
    assert SPEC.given(recorded(a_view(), by=HUB)).when(a_denial(), by=HUB).then().state == Accesses(viewed=1, denied=1)


@pytest.mark.parametrize("sender", [COUNCIL, BUSINESS_UNIT, PANEL, OPERATOR])
def test_nobody_but_the_hub_records_access(sender: str) -> None:
    SPEC.given().when(a_view(), by=sender).refused("access.hub")
    SPEC.given().when(a_denial(), by=sender).refused("access.hub")


def test_the_viewer_is_an_agency() -> None:
    SPEC.given().when(a_view(viewer_agency="somebody"), by=HUB).refused("access.viewer")
    SPEC.given().when(a_denial("somebody"), by=HUB).refused("access.viewer")


def test_no_fewer_than_no_rows_are_shown() -> None:
    SPEC.given().when(a_view(rows=0), by=HUB).then()
    SPEC.given().when(a_view(rows=-1), by=HUB).refused("access.rows")


def test_what_was_read_is_not_corrected() -> None:
    seen = recorded(a_view(), by=HUB, event_id=an_event_id(1))
    SPEC.given(seen).when(a_view(details=corrects(an_event_id(1))), by=HUB).refused("access.correction")


def test_an_access_whose_body_is_gone_still_counts() -> None:
    history = (recorded(a_view(), by=HUB), recorded(a_denial(), by=HUB))
    assert DECIDER.fold([body_gone(one) for one in history]) == DECIDER.fold(history) == Accesses(viewed=1, denied=1)
    assert DECIDER.open_rules(DECIDER.fold(history)) == frozenset()


def test_every_rule_names_its_authority() -> None:
    assert [rule.id for rule in RULES if not (rule.source and rule.words)] == []
