from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from domain.incident.codes import Recipient
from domain.kernel.events import Event
from domain.local_review.events import (
    CopyKind,
    CopyProvided,
    CopyRecipient,
    ImprovementsOnlyPublished,
    LocalReviewPublished,
    NonPublicationJustified,
    PublicationDeclined,
    PublicationRescheduled,
    PublicationScheduled,
)
from domain.rules import (
    status,
)
from domain.sharing.events import InformationPartlyShared, InformationRefused, NilReturn, RefusalReason
from tests.support.builders import (
    BUSINESS_UNIT,
    ICB,
    REQUEST,
    SCHOOL,
    a_delay,
    a_share,
    an_entry,
    an_information_request,
    corrects,
)
from tests.support.clock_case import CALENDAR, Case, asked, at, planned, reviewed


@pytest.fixture
def case() -> Case:
    return Case()


# K10


def test_a_local_review_is_published_within_six_calendar_months_of_the_decision() -> None:
    case = reviewed(date(2024, 3, 31))
    assert (case.clock("K10").day_zero, case.clock("K10").due_on) == (date(2024, 3, 31), date(2024, 9, 30))
    assert case.clock("K10").owed_to == "public"
    case.live("2024-09-30", LocalReviewPublished(location="Synthetic."), by=BUSINESS_UNIT)
    assert case.stands("K10") == "met on time"


def test_months_end_on_a_sunday_when_they_do() -> None:
    case = reviewed(date(2024, 3, 29))
    assert case.clock("K10").due_on == date(2024, 9, 29)
    assert case.stands("K10", "2024-09-27") == "due soon"
    assert case.stands("K10", "2024-09-30") == "overdue by 1 working day"


@pytest.mark.parametrize("event", [ImprovementsOnlyPublished(location="Synthetic."), NonPublicationJustified(justification="Synthetic.")])
def test_improvements_or_a_justification_stop_the_six_months(event: Event) -> None:
    case = reviewed()
    case.live("2024-09-02", event, by=BUSINESS_UNIT)
    assert case.stands("K10") == "met on time"


def finding_ids(case: Case, as_of: str) -> list[str]:
    return [finding.rule.id for finding in status(case.clock("K10"), at(as_of), CALENDAR).findings]


def test_late_publication_needs_reasons_given_to_panel_and_secretary_of_state() -> None:
    case = reviewed()
    assert finding_ids(case, "2024-09-27") == []
    assert finding_ids(case, "2024-09-30") == ["deadline.late_without_reasons"]
    case.live("2024-10-01", a_delay("K10", told=(Recipient.PANEL,)), by=BUSINESS_UNIT)
    case.live("2024-10-01", a_delay("K5B"), by=BUSINESS_UNIT)
    assert finding_ids(case, "2024-10-01") == ["deadline.late_without_reasons"]
    case.live("2024-10-02", a_delay("K10", told=(Recipient.SECRETARY_OF_STATE,)), by=BUSINESS_UNIT)
    assert finding_ids(case, "2024-10-02") == []
    assert case.stands("K10", "2024-10-02") == "overdue by 3 working days"
    case.live("2024-12-02", replace(a_delay("K10", told=()), expected_on=date(2025, 3, 3)), by=BUSINESS_UNIT)
    assert finding_ids(case, "2024-12-03") == ["deadline.late_without_reasons"]


def test_published_late_without_reasons_is_a_finding_still() -> None:
    case = reviewed()
    case.live("2024-10-02", LocalReviewPublished(location="Synthetic."), by=BUSINESS_UNIT)
    assert finding_ids(case, "2024-10-03") == ["deadline.late_without_reasons"]


# K11


def copy(recipient: CopyRecipient, kind: CopyKind = CopyKind.FULL_REPORT) -> CopyProvided:
    return CopyProvided(recipient=recipient, copy_kind=kind)


def test_copies_are_due_seven_working_days_before_publication_to_each_recipient() -> None:
    case = planned()
    assert [(each.owed_to, each.due_on) for each in case.clocks()] == [
        ("ofsted", date(2020, 12, 18)),
        ("panel", date(2020, 12, 18)),
        ("secretary_of_state", date(2020, 12, 18)),
    ]
    case.imported("2020-12-18", copy(CopyRecipient.PANEL), by=BUSINESS_UNIT)
    case.imported("2020-12-21", copy(CopyRecipient.OFSTED, CopyKind.IMPROVEMENTS), by=BUSINESS_UNIT)
    assert case.stands("K11:panel") == "met on time"
    assert case.stands("K11:ofsted") == "met 1 working day late"
    assert case.stands("K11:secretary_of_state", "2020-12-21") == "overdue by 1 working day"


def test_improvements_satisfy_panel_and_secretary_of_state_only_where_they_alone_are_published() -> None:
    for only, expected in ((False, "overdue by 2 working days"), (True, "met on time")):
        case = planned(improvements_only=only)
        case.imported("2020-12-02", copy(CopyRecipient.PANEL, CopyKind.IMPROVEMENTS), by=BUSINESS_UNIT)
        assert case.stands("K11:panel", "2020-12-22") == expected


def test_rescheduling_moves_the_day_and_keeps_what_is_published_and_provided() -> None:
    case = planned(improvements_only=True)
    case.imported("2020-12-21", copy(CopyRecipient.PANEL, CopyKind.IMPROVEMENTS), by=BUSINESS_UNIT)
    assert case.stands("K11:panel") == "met 1 working day late"
    case.imported("2020-12-22", PublicationRescheduled(planned_on=date(2021, 1, 4), reason="Printer."), by=BUSINESS_UNIT)
    assert [each.due_on for each in case.clocks()] == [date(2020, 12, 21)] * 3
    assert case.stands("K11:panel") == "met on time"


def test_correcting_an_old_plan_does_not_undo_a_newer_one() -> None:
    case = planned()
    case.imported("2020-12-01", PublicationRescheduled(planned_on=date(2021, 1, 4), reason="Printer."), by=BUSINESS_UNIT)
    correction = corrects(case.history[0].event_id)
    case.imported("2020-12-02", PublicationScheduled(planned_on=date(2020, 12, 30), details=correction), by=BUSINESS_UNIT)
    assert case.clock("K11:panel").day_zero == date(2021, 1, 4)


def test_a_correction_cannot_backdate_a_copy_to_another_recipient() -> None:
    case = Case()
    case.live("2024-02-12", PublicationScheduled(planned_on=date(2024, 3, 4)), by=BUSINESS_UNIT)
    given = case.live("2024-02-14", copy(CopyRecipient.PANEL), by=BUSINESS_UNIT)
    fixed = CopyProvided(recipient=CopyRecipient.OFSTED, copy_kind=CopyKind.FULL_REPORT, details=corrects(given.event_id))
    assert case.stands("K11:panel") == "met on time"
    case.live("2024-02-28", fixed, by=BUSINESS_UNIT)
    assert case.stands("K11:ofsted") == "met 4 working days late"
    assert case.stands("K11:panel", "2024-02-28") == "overdue by 4 working days"


def test_declining_to_publish_cancels_the_copies_until_it_is_planned_again() -> None:
    case = planned()
    case.imported("2020-12-02", PublicationDeclined(rationale="Synthetic."), by=BUSINESS_UNIT)
    assert case.stands("K11:panel") == "cancelled (the partners declined to publish)"
    case.imported("2020-12-07", PublicationScheduled(planned_on=date(2021, 1, 4)), by=BUSINESS_UNIT)
    assert case.stands("K11:panel", "2020-12-07") == "running"


# K12


def test_non_publication_is_justified_on_the_day_it_is_decided() -> None:
    case = Case()
    case.live("2024-03-04", PublicationDeclined(rationale="Synthetic."), by=BUSINESS_UNIT)
    assert [(each.owed_to, each.due_on) for each in case.clocks()] == [
        ("panel", date(2024, 3, 4)),
        ("secretary_of_state", date(2024, 3, 4)),
    ]
    assert case.stands("K12:panel", "2024-03-04") == "due today"
    case.live("2024-03-06", NonPublicationJustified(justification="Synthetic."), by=BUSINESS_UNIT)
    assert [case.stands(each.instance_id) for each in case.clocks()] == ["met 2 working days late"] * 2


def test_what_justified_a_former_declining_does_not_justify_the_next() -> None:
    case = Case()
    case.live("2024-03-04", PublicationDeclined(rationale="Synthetic."), by=BUSINESS_UNIT)
    case.live("2024-03-04", NonPublicationJustified(justification="Synthetic."), by=BUSINESS_UNIT)
    case.live("2024-04-02", PublicationScheduled(planned_on=date(2024, 6, 3)), by=BUSINESS_UNIT)
    case.live("2024-05-01", PublicationDeclined(rationale="Synthetic."), by=BUSINESS_UNIT)
    assert case.stands("K12:panel", "2024-05-02") == "overdue by 1 working day"
    case.live("2024-05-02", NonPublicationJustified(justification="Synthetic."), by=BUSINESS_UNIT)
    assert case.stands("K12:panel") == "met 1 working day late"


def test_what_justified_a_former_declining_does_not_justify_the_next_in_whatever_order_history_tells_them() -> None:
    case = Case()
    case.imported("2023-03-06", PublicationDeclined(rationale="Synthetic."), by=BUSINESS_UNIT)
    case.imported("2023-02-06", PublicationScheduled(planned_on=date(2023, 6, 1)), by=BUSINESS_UNIT)
    case.imported("2023-01-09", PublicationDeclined(rationale="Synthetic."), by=BUSINESS_UNIT)
    case.imported("2023-01-10", NonPublicationJustified(justification="Synthetic."), by=BUSINESS_UNIT)
    assert case.stands("K12:panel", "2023-03-07") == "overdue by 1 working day"
    case.imported("2023-03-06", NonPublicationJustified(justification="Synthetic."), by=BUSINESS_UNIT)
    assert case.stands("K12:panel") == "met on time"


# K17


def refusal() -> InformationRefused:
    return InformationRefused(request_id=REQUEST, reason=RefusalReason.COURT_ORDER, legal_basis="An order.", explanation="Synthetic.")


@pytest.mark.parametrize("answer", [a_share(request_id=REQUEST), NilReturn(request_id=REQUEST, searched="All."), refusal()])
def test_a_request_is_answered_by_sharing_a_nil_return_or_a_refusal(answer: Event) -> None:
    case = asked()
    clock = case.clock(f"K17:{REQUEST}")
    assert (clock.owed_by, clock.owed_to, clock.due_on) == (SCHOOL, BUSINESS_UNIT, date(2024, 3, 18))
    case.live("2024-03-18", answer, by=SCHOOL)
    assert case.stands(clock.instance_id) == "met on time"


def test_an_answer_of_somebody_else_or_to_nothing_stops_no_request() -> None:
    case = asked()
    case.live("2024-03-05", a_share(request_id=REQUEST), by=ICB)
    case.live("2024-03-05", a_share(), by=SCHOOL)
    assert case.stands(f"K17:{REQUEST}", "2024-03-19") == "overdue by 1 working day"


def test_a_part_leaves_the_rest_owed_and_is_remarked_on() -> None:
    case = asked()
    told = a_share()
    part = InformationPartlyShared(
        request_id=REQUEST, entries=(an_entry(),), withheld="Some.", reason=RefusalReason.COURT_ORDER, family_told=told.family_told
    )
    case.live("2024-03-05", part, by=SCHOOL)
    assert case.stands(f"K17:{REQUEST}", "2024-03-05") == "running"
    assert case.clock(f"K17:{REQUEST}").remarks == ("a part was shared; the rest is still to be shared or refused",)


def test_a_corrected_request_has_its_corrected_day() -> None:
    case = asked()
    again = an_information_request(due_on=date(2024, 3, 22), details=corrects(case.history[0].event_id))
    case.live("2024-03-05", again, by=BUSINESS_UNIT)
    assert [(each.instance_id, each.due_on) for each in case.clocks()] == [(f"K17:{REQUEST}", date(2024, 3, 22))]
