from __future__ import annotations

import dataclasses
from datetime import date

import pytest

from domain.incident.codes import CriteriaOutcome, DeathCategory, LegalStatus, NotificationType, Recipient
from domain.incident.events import (
    ChildAdded,
    IncidentReclassified,
    NotificationAmended,
    OtherAreaInformed,
    PartnersInformed,
    ReferralConfirmedInWriting,
)
from domain.kernel.events import Correction, Details
from domain.rapid_review.events import PanelAgreed, PanelAskedForMore, RapidReviewCompleted, SentToPanel
from domain.rules import (
    Band,
    PartnershipTerms,
    State,
    status,
)
from tests.support.builders import (
    BUSINESS_UNIT,
    CHILD,
    COUNCIL,
    ICB,
    OTHER_COUNCIL,
    PANEL,
    POLICE,
    SCHOOL,
    SECOND_COUNCIL,
    SIBLING,
    a_care_leaver,
    a_care_leaver_death,
    a_child,
    a_harm_notification,
    a_harmed_child,
    a_looked_after_death,
    a_notification,
    a_referral,
    a_sibling,
    a_withdrawal,
    an_awareness,
    assessed,
    became_known,
    corrects,
)
from tests.support.clock_case import CALENDAR, Case, at, notified


@pytest.fixture
def case() -> Case:
    return Case()


# K1


@pytest.mark.parametrize(
    ("as_of", "words"),
    [
        ("2024-03-04", "running"),
        ("2024-03-05", "due soon"),
        ("2024-03-06", "due soon"),
        ("2024-03-07", "due today"),
        ("2024-03-07T23:59", "due today"),
        ("2024-03-08T00:00", "overdue by 1 working day"),
        ("2024-03-09", "overdue by 1 working day"),
        ("2024-03-12", "overdue by 3 working days"),
    ],
)
def test_a_council_has_five_working_days_from_awareness_to_notify(case: Case, as_of: str, words: str) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29T09:30")))
    assert case.clock(f"K1:{COUNCIL}").due_on == date(2024, 3, 7)
    assert case.stands(f"K1:{COUNCIL}", as_of) == words


@pytest.mark.parametrize(
    ("notified_at", "words"),
    [("2024-03-07T23:59", "met on time"), ("2024-03-08T00:00", "met 1 working day late"), ("2024-03-11", "met 2 working days late")],
)
def test_a_live_notification_counts_when_it_is_recorded(case: Case, notified_at: str, words: str) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29T09:30")))
    case.live(notified_at, a_notification(awareness=None, details=Details(done_at=at("2024-03-01"))))
    assert case.stands(f"K1:{COUNCIL}") == words


def test_late_on_a_saturday_is_less_than_a_working_day_late(case: Case) -> None:
    case.live("2024-03-01", became_known(at("2024-03-01")))
    case.live("2024-03-09", a_notification(awareness=None))
    assert case.clock(f"K1:{COUNCIL}").due_on == date(2024, 3, 8)
    assert case.stands(f"K1:{COUNCIL}") == "met less than a working day late"


def test_an_imported_notification_counts_when_it_was_done(case: Case) -> None:
    case.imported("2020-05-01", became_known(at("2020-05-01")))
    case.imported("2020-05-11", a_notification(awareness=None))
    clock = case.clock(f"K1:{COUNCIL}")
    assert (clock.due_on, clock.imported) == (date(2020, 5, 11), True)
    assert case.stands(f"K1:{COUNCIL}") == "met on time"


def test_day_zero_is_the_london_day_in_summer(case: Case) -> None:
    case.live("2024-07-01", became_known(at("2024-06-30T23:30")))
    assert case.clock(f"K1:{COUNCIL}").day_zero == date(2024, 7, 1)


def test_the_due_day_ends_at_london_midnight_in_summer(case: Case) -> None:
    case.live("2024-07-01", became_known(at("2024-07-01")))
    assert case.stands(f"K1:{COUNCIL}", "2024-07-08T22:59") == "due today"
    assert case.stands(f"K1:{COUNCIL}", "2024-07-08T23:00") == "overdue by 1 working day"


def test_awareness_told_with_the_notification_starts_the_clock(case: Case) -> None:
    case.live("2024-03-11", a_notification(awareness=an_awareness(at("2024-02-29"))))
    assert case.stands(f"K1:{COUNCIL}") == "met 2 working days late"


def test_not_met_stops_the_councils_clock_and_unsure_does_not(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-04", assessed(CriteriaOutcome.UNSURE))
    assert case.stands(f"K1:{COUNCIL}", "2024-03-04") == "running"
    case.live("2024-03-05", assessed(CriteriaOutcome.NOT_MET))
    assert case.stands(f"K1:{COUNCIL}") == "met on time"


def test_criteria_met_after_all_leave_the_duty_running_from_awareness(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-05", assessed(CriteriaOutcome.NOT_MET))
    case.live("2024-03-11", assessed(CriteriaOutcome.MET))
    assert case.stands(f"K1:{COUNCIL}", "2024-03-11") == "overdue by 2 working days"


def test_a_notification_after_not_met_is_what_stops_the_clock(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-05", assessed(CriteriaOutcome.NOT_MET))
    case.live("2024-03-11", a_notification(awareness=None, criteria=None))
    assert case.stands(f"K1:{COUNCIL}") == "met 2 working days late"
    assert case.stands("K5A", "2024-03-11") == "running"


def test_not_met_judged_again_leaves_the_clock_stopped_by_the_first(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-04", assessed(CriteriaOutcome.MET))
    case.live("2024-03-05", assessed(CriteriaOutcome.NOT_MET))
    case.live("2024-03-22", assessed(CriteriaOutcome.NOT_MET))
    assert case.stands(f"K1:{COUNCIL}") == "met on time"
    assert [each.cancelled_at for each in case.clocks("K2", "K5A")] == [at("2024-03-05"), at("2024-03-05")]


def test_not_met_judged_before_the_council_became_aware_does_not_meet_the_clock_that_began_then(case: Case) -> None:
    case.live("2024-03-01", assessed(CriteriaOutcome.NOT_MET))
    case.live("2024-03-11", became_known(at("2024-03-11")))
    case.live("2024-03-28", assessed(CriteriaOutcome.NOT_MET))
    assert case.stands(f"K1:{COUNCIL}") == "met 8 working days late"
    assert [each.cancelled_at for each in case.clocks("K2", "K5A")] == [at("2024-03-28"), at("2024-03-28")]


@pytest.mark.parametrize("former", [CriteriaOutcome.MET, CriteriaOutcome.UNSURE])
def test_a_judgement_corrected_to_not_met_counts_from_its_correction(case: Case, former: CriteriaOutcome) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    judged = case.live("2024-03-05", assessed(former))
    corrected = case.live("2024-03-11", dataclasses.replace(assessed(CriteriaOutcome.NOT_MET), details=corrects(judged.event_id)))
    assert case.stands(f"K1:{COUNCIL}") == "met 2 working days late"
    assert [each.cancelled_at for each in case.clocks("K2", "K5A")] == [corrected.recorded_at, corrected.recorded_at]


def test_an_imported_judgement_corrected_live_to_not_met_counts_from_its_correction(case: Case) -> None:
    case.imported("2024-02-29", became_known(at("2024-02-29")))
    judged = case.imported("2024-03-05", assessed(CriteriaOutcome.UNSURE))
    case.live("2024-06-04", dataclasses.replace(assessed(CriteriaOutcome.NOT_MET), details=corrects(judged.event_id)))
    assert case.stands(f"K1:{COUNCIL}") == "met 59 working days late"


def test_the_judgement_with_which_all_councils_agree_cancels_the_review_from_awareness(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-04", assessed(CriteriaOutcome.UNSURE))
    case.live("2024-03-05", assessed(CriteriaOutcome.NOT_MET), by=OTHER_COUNCIL)
    last = case.live("2024-03-12", assessed(CriteriaOutcome.NOT_MET))
    clock = case.clock("K5A")
    assert clock.cancelled_by is not None
    assert (clock.cancelled_at, clock.cancelled_by.event_id) == (last.recorded_at, last.event_id.hex())


def test_another_councils_judgement_does_not_stop_the_clock(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-05", assessed(CriteriaOutcome.NOT_MET), by=OTHER_COUNCIL)
    assert case.stands(f"K1:{COUNCIL}", "2024-03-11") == "overdue by 2 working days"


def test_each_aware_council_has_its_clock_until_one_notifies(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-01", became_known(at("2024-03-01")), by=OTHER_COUNCIL)
    assert [each.instance_id for each in case.clocks("K1")] == [f"K1:{COUNCIL}", f"K1:{OTHER_COUNCIL}"]
    case.live("2024-03-05", a_notification(awareness=None))
    assert case.stands(f"K1:{COUNCIL}") == "met on time"
    assert case.stands(f"K1:{OTHER_COUNCIL}") == "cancelled (another council notified the incident)"


def test_a_council_that_notifies_on_anothers_awareness_is_measured_by_it(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")), by=OTHER_COUNCIL)
    case.live("2024-03-11", a_notification(awareness=None))
    assert case.stands(f"K1:{COUNCIL}") == "met 2 working days late"


def test_awareness_of_the_police_starts_no_duty_of_a_council(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")), by=POLICE)
    assert [each.clock for each in case.clocks()] == ["K5A"]


def test_a_correction_of_awareness_is_the_new_day_zero(case: Case) -> None:
    first = case.live("2024-03-04", became_known(at("2024-03-04")))
    case.live("2024-03-05", dataclasses.replace(became_known(at("2024-02-29")), details=corrects(first.event_id)))
    assert case.clock(f"K1:{COUNCIL}").day_zero == date(2024, 2, 29)
    assert case.clock("K5A").day_zero == date(2024, 2, 29)


def test_a_correction_of_a_live_notification_does_not_make_it_late(case: Case) -> None:
    first = case.live("2024-03-07", a_notification())
    case.live("2024-03-20", a_notification(details=corrects(first.event_id)))
    assert case.stands(f"K1:{COUNCIL}") == "met on time"
    assert case.clock("K5B").day_zero == date(2024, 3, 7)


def test_no_clock_runs_for_what_happened_before_the_law(case: Case) -> None:
    case.imported("2018-06-28", became_known(at("2018-06-28")))
    assert case.clocks() == []
    case.imported("2018-06-29", became_known(at("2018-06-29")), by=OTHER_COUNCIL)
    assert [each.instance_id for each in case.clocks("K1")] == [f"K1:{OTHER_COUNCIL}"]


def test_awareness_recorded_more_than_a_working_day_late_is_marked(case: Case) -> None:
    case.live("2024-03-04", became_known(at("2024-02-29")))
    case.live("2024-03-04", became_known(at("2024-03-01")), by=OTHER_COUNCIL)
    assert [each.start_recorded_late for each in case.clocks("K1")] == [True, False]


def test_a_step_asserted_long_before_it_was_recorded_is_marked(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-05", a_notification(awareness=None, details=Details(done_at=at("2024-03-01"))))
    assert case.clock(f"K1:{COUNCIL}").stop_recorded_late


# K2


def test_partners_are_told_within_five_working_days_of_awareness(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-08", PartnersInformed(partners=(ICB, POLICE)))
    assert case.stands(f"K2:{COUNCIL}") == "met 1 working day late"


def test_nobody_is_told_of_an_incident_that_does_not_meet_the_criteria(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-05", assessed(CriteriaOutcome.NOT_MET))
    assert case.stands(f"K2:{COUNCIL}") == "cancelled (the council judged that the criteria are not met)"


def test_the_council_where_the_child_lives_is_told_too(case: Case) -> None:
    case.live("2024-03-04", a_notification(residence_authority=OTHER_COUNCIL))
    clock = case.clock(f"K2/other_area:{OTHER_COUNCIL}")
    assert (clock.owed_by, clock.owed_to, clock.due_on) == (COUNCIL, OTHER_COUNCIL, date(2024, 3, 7))
    case.live("2024-03-05", OtherAreaInformed(authority=SECOND_COUNCIL))
    assert case.stands(clock.instance_id, "2024-03-05") == "due soon"
    case.live("2024-03-06", OtherAreaInformed(authority=OTHER_COUNCIL))
    assert case.stands(clock.instance_id) == "met on time"


def test_no_other_council_is_concerned_where_the_child_lives_in_the_area() -> None:
    assert [each.instance_id for each in notified().clocks("K2")] == [f"K2:{COUNCIL}"]


# K3 and K4

IN_CARE = a_child(legal_status=LegalStatus.CARE_ORDER)


def test_a_looked_after_childs_death_is_owed_to_secretary_of_state_and_ofsted(case: Case) -> None:
    case.live("2024-03-04", a_notification(children=(IN_CARE,)))
    assert [(each.instance_id, each.owed_by, each.owed_to, each.due_on) for each in case.clocks("K3")] == [
        (f"K3:{CHILD}:ofsted", COUNCIL, "ofsted", date(2024, 3, 7)),
        (f"K3:{CHILD}:secretary_of_state", COUNCIL, "secretary_of_state", date(2024, 3, 7)),
    ]


def test_telling_one_recipient_leaves_the_other_owed(case: Case) -> None:
    case.live("2024-03-04", a_notification(children=(IN_CARE,)))
    case.live("2024-03-07", a_looked_after_death(told=(Recipient.OFSTED,)))
    assert case.stands(f"K3:{CHILD}:ofsted") == "met on time"
    assert case.stands(f"K3:{CHILD}:secretary_of_state", "2024-03-08") == "overdue by 1 working day"
    case.live("2024-03-11", a_looked_after_death(told=(Recipient.SECRETARY_OF_STATE,)))
    assert case.stands(f"K3:{CHILD}:secretary_of_state") == "met 2 working days late"


def test_a_looked_after_childs_death_is_told_though_abuse_is_not_suspected(case: Case) -> None:
    case.live("2024-03-08", a_looked_after_death())
    assert [each.instance_id for each in case.clocks()] == [f"K3:{CHILD}:ofsted", f"K3:{CHILD}:secretary_of_state"]
    assert case.stands(f"K3:{CHILD}:ofsted") == "met 1 working day late"


def test_harm_that_becomes_a_death_starts_the_clock_when_the_council_learns_of_it(case: Case) -> None:
    harmed = a_harmed_child(legal_status=LegalStatus.SECTION_20_ACCOMMODATION)
    case.live("2024-03-04", a_harm_notification(children=(harmed,)))
    assert case.clocks("K3") == []
    died = a_child(legal_status=LegalStatus.SECTION_20_ACCOMMODATION)
    details = Details(became_known_at=at("2024-03-15"))
    reclassified = IncidentReclassified(notification_type=NotificationType.DEATH, children=(died,), reason="Died.", details=details)
    case.live("2024-03-18", reclassified)
    assert [(each.day_zero, each.due_on) for each in case.clocks("K3")] == [(date(2024, 3, 15), date(2024, 3, 22))] * 2


def test_a_looked_after_child_added_to_a_death_counts_from_then_if_it_died(case: Case) -> None:
    case.live("2024-03-04", a_notification())
    case.live("2024-03-11", ChildAdded(child=a_sibling(legal_status=LegalStatus.CARE_ORDER), reason="Found."))
    assert case.clocks("K3") == []
    dead = a_sibling(legal_status=LegalStatus.CARE_ORDER, death_category=DeathCategory.NOT_CLEAR)
    case.live("2024-03-12", NotificationAmended(reason="Died too.", children=(dead,)))
    assert {each.instance_id for each in case.clocks("K3")} == {f"K3:{SIBLING}:ofsted", f"K3:{SIBLING}:secretary_of_state"}


def test_status_in_care_found_later_counts_from_the_councils_awareness(case: Case) -> None:
    case.live("2024-03-04", a_notification())
    case.live("2024-03-12", NotificationAmended(reason="Was in care.", children=(IN_CARE,)))
    assert [each.day_zero for each in case.clocks("K3")] == [date(2024, 2, 29)] * 2


def test_a_harmed_looked_after_child_starts_no_clock_of_death(case: Case) -> None:
    case.live("2024-03-04", a_harm_notification(children=(a_harmed_child(legal_status=LegalStatus.CARE_ORDER),)))
    assert case.clocks("K3") == []


def test_a_care_leavers_death_is_owed_from_the_day_of_the_guidance(case: Case) -> None:
    case.imported("2023-12-14", a_care_leaver_death(aware_at=at("2023-12-14")))
    assert case.clocks() == []
    later = Case()
    later.imported("2023-12-22", a_care_leaver_death(aware_at=at("2023-12-15")))
    assert [each.instance_id for each in later.clocks()] == [f"K4:{CHILD}:ofsted", f"K4:{CHILD}:secretary_of_state"]
    assert later.stands(f"K4:{CHILD}:ofsted") == "met on time"


def test_a_care_leaver_of_twenty_five_starts_no_clock(case: Case) -> None:
    case.live("2024-03-04", a_notification(children=(a_care_leaver(age_years=25),)))
    assert case.clocks("K4") == []
    younger = Case()
    younger.live("2024-03-04", a_notification(children=(a_care_leaver(age_years=24),)))
    assert len(younger.clocks("K4")) == 2


# K5A, K5B, K6


def test_both_rapid_review_clocks_are_shown_each_from_its_own_start(case: Case) -> None:
    case.imported("2020-12-24", became_known(at("2020-12-24")))
    case.imported("2021-01-05", a_notification(awareness=None))
    assert case.clock(f"K1:{COUNCIL}").due_on == date(2021, 1, 5)
    assert (case.clock("K5A").day_zero, case.clock("K5A").due_on) == (date(2020, 12, 24), date(2021, 1, 19))
    assert (case.clock("K5B").day_zero, case.clock("K5B").due_on) == (date(2021, 1, 5), date(2021, 1, 26))


@pytest.mark.parametrize(
    ("sent", "words"),
    [("2024-03-25T23:59", "met on time"), ("2024-03-26T00:01", "met 1 working day late"), ("2024-04-02", "met 4 working days late")],
)
def test_the_panel_scores_by_receipt_within_fifteen_working_days_of_notification(sent: str, words: str) -> None:
    case = notified()
    case.live("2024-03-20", RapidReviewCompleted(summary="Synthetic."), by=BUSINESS_UNIT)
    case.live(sent, SentToPanel(), by=BUSINESS_UNIT)
    assert (case.clock("K5B").owed_by, case.clock("K5B").owed_to) == ("partners", "panel")
    assert case.stands("K5B") == words
    assert case.stands("K5A") == "met on time"


def test_the_earliest_awareness_of_any_partner_counts(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-01", became_known(at("2024-02-27")), by=POLICE)
    case.live("2024-03-01", became_known(at("2024-02-26")), by=SCHOOL)
    assert case.clock("K5A").day_zero == date(2024, 2, 27)


def test_partners_told_before_anybody_says_they_knew_start_the_clock(case: Case) -> None:
    case.live("2024-03-05", PartnersInformed(partners=(ICB, POLICE)))
    assert case.clock("K5A").day_zero == date(2024, 3, 5)


def test_a_care_leavers_death_alone_starts_no_rapid_review(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    assert [each.clock for each in case.clocks("K5A", "K5B")] == ["K5A"]
    case.live("2024-03-04", a_notification(care_leaver_only=True, children=(a_care_leaver(),), awareness=None))
    assert case.clocks("K5A", "K5B") == []


def test_a_withdrawal_cancels_the_rapid_review_and_says_why() -> None:
    case = notified()
    case.live("2024-03-12", a_withdrawal())
    assert [case.stands(clock) for clock in ("K5A", "K5B")] == ["cancelled (the notification was withdrawn)"] * 2
    assert case.stands(f"K1:{COUNCIL}") == "met on time"


def test_what_was_sent_before_a_withdrawal_stays_met() -> None:
    case = notified()
    case.live("2024-03-11", SentToPanel(), by=BUSINESS_UNIT)
    case.live("2024-03-12", a_withdrawal())
    assert case.stands("K5B") == "met on time"


def test_what_is_sent_after_a_withdrawal_does_not_undo_it() -> None:
    case = notified()
    case.live("2024-03-12", a_withdrawal())
    case.live("2024-03-13", SentToPanel(), by=BUSINESS_UNIT)
    assert case.stands("K5B") == "cancelled (the notification was withdrawn)"


def test_criteria_that_no_council_finds_met_cancel_the_review_from_awareness(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-05", assessed(CriteriaOutcome.NOT_MET))
    assert case.stands("K5A") == "cancelled (the criteria are not met, and nothing was notified)"
    case.live("2024-03-06", assessed(CriteriaOutcome.UNSURE), by=OTHER_COUNCIL)
    assert case.stands("K5A", "2024-03-06") == "running"


def test_an_amended_awareness_is_the_new_day_0_of_what_is_counted_from_awareness(case: Case) -> None:
    case.live("2024-03-04", a_notification(residence_authority=OTHER_COUNCIL, children=(IN_CARE,)))
    case.live("2024-03-06", NotificationAmended(reason="An earlier call.", awareness=an_awareness(at("2024-02-23"))))
    counted = {each.instance_id: each.day_zero for each in case.clocks("K1", "K2", "K3", "K5B")}
    assert counted == {
        f"K1:{COUNCIL}": date(2024, 2, 23),
        f"K2:{COUNCIL}": date(2024, 2, 23),
        f"K2/other_area:{OTHER_COUNCIL}": date(2024, 2, 23),
        f"K3:{CHILD}:ofsted": date(2024, 2, 23),
        f"K3:{CHILD}:secretary_of_state": date(2024, 2, 23),
        "K5B": date(2024, 3, 4),
    }
    assert case.stands(f"K1:{COUNCIL}") == "met 1 working day late"


def test_a_corrected_awareness_recorded_apart_stands_before_what_the_notification_repeated(case: Case) -> None:
    first = case.live("2024-03-01", became_known(at("2024-02-23")))
    case.live("2024-03-04", a_notification(awareness=an_awareness(at("2024-02-23"))))
    correction = Correction(event_id=bytes(first.event_id), reason="Another child's call.")
    case.live("2024-03-05", dataclasses.replace(became_known(at("2024-02-29")), details=Details(corrects=correction)))
    assert case.clock(f"K1:{COUNCIL}").day_zero == date(2024, 2, 29)


def test_the_other_council_concerned_is_the_one_of_the_amended_incident(case: Case) -> None:
    case.live("2024-03-04", a_notification())
    assert case.clocks("K2")[1:] == []
    case.live("2024-03-06", NotificationAmended(reason="Over the boundary.", incident_authority=OTHER_COUNCIL))
    assert [each.instance_id for each in case.clocks("K2")] == [f"K2:{COUNCIL}", f"K2/other_area:{OTHER_COUNCIL}"]


def test_a_corrected_day_of_an_imported_notification_is_the_new_day_zero(case: Case) -> None:
    case.imported("2020-10-05", a_notification(awareness=an_awareness(at("2020-10-01"))))
    case.imported("2020-10-07", NotificationAmended(reason="Wrong day.", notified_at=at("2020-10-06")))
    assert case.clock("K5B").day_zero == date(2020, 10, 6)
    assert case.clock(f"K1:{COUNCIL}").stopped_at == at("2020-10-06")


def test_a_corrected_imported_step_counts_by_the_corrected_instant(case: Case) -> None:
    first = case.imported("2020-10-05", a_notification(awareness=an_awareness(at("2020-10-01"))))
    correction = Correction(event_id=bytes(first.event_id), reason="Wrong day.")
    case.imported("2020-10-12", a_notification(awareness=an_awareness(at("2020-10-01")), details=Details(corrects=correction)))
    assert case.clock("K5B").day_zero == date(2020, 10, 12)
    assert case.stands(f"K1:{COUNCIL}") == "met 2 working days late"


def test_no_live_correction_moves_an_imported_step_and_no_imported_one_a_live_step(case: Case) -> None:
    imported = case.imported("2020-10-05", a_notification(awareness=an_awareness(at("2020-10-01"))))
    correction = Correction(event_id=bytes(imported.event_id), reason="Wrong day.")
    case.live("2024-06-10", a_notification(details=Details(done_at=at("2020-10-12"), corrects=correction)))
    live = case.live("2024-06-11", SentToPanel(), by=BUSINESS_UNIT)
    correction = Correction(event_id=bytes(live.event_id), reason="Wrong day.")
    case.imported("2020-10-20", SentToPanel(details=Details(corrects=correction)), by=BUSINESS_UNIT)
    clock = case.clock("K5B")
    assert (clock.day_zero, clock.stopped_at) == (date(2020, 10, 5), live.recorded_at)


@pytest.mark.parametrize(
    ("notified_on", "due_on", "sent_on", "words"),
    [
        ("2020-03-10", date(2020, 3, 31), "2020-04-30", "met 20 working days late"),
        ("2020-03-11", date(2020, 4, 1), "2020-04-30", "late, authorised (K6): met, 19 working days late"),
        ("2020-09-09", date(2020, 9, 30), "2020-10-28", "late, authorised (K6): met, 20 working days late"),
        ("2020-09-10", date(2020, 10, 1), "2020-10-29", "met 20 working days late"),
    ],
)
def test_lateness_is_authorised_for_due_days_from_april_to_september_2020(
    case: Case, notified_on: str, due_on: date, sent_on: str, words: str
) -> None:
    case.imported(notified_on, a_notification(awareness=an_awareness(at(notified_on))))
    case.imported(sent_on, SentToPanel(), by=BUSINESS_UNIT)
    assert case.clock("K5B").due_on == due_on
    assert case.stands("K5B") == words


def test_a_relaxed_review_on_time_is_on_time_and_one_not_sent_stays_in_sight(case: Case) -> None:
    case.imported("2020-05-01", a_notification(awareness=an_awareness(at("2020-05-01"))))
    open_status = status(case.clock("K5B"), at("2020-05-28"), CALENDAR)
    assert (open_status.state, open_status.band, open_status.working_days) == (State.LATE_AUTHORISED, Band.OVERDUE, 2)
    case.imported("2020-05-26", SentToPanel(), by=BUSINESS_UNIT)
    assert case.stands("K5B") == "met on time"


# K7, K8


def test_promptly_has_no_number_and_is_never_overdue() -> None:
    case = notified()
    case.live("2024-03-11", RapidReviewCompleted(summary="Synthetic."), by=BUSINESS_UNIT)
    assert case.stands("K7") == "running"
    case.live("2024-05-11", SentToPanel(), by=BUSINESS_UNIT)
    assert case.stands("K7") == "done"


def test_the_panels_response_has_no_number_unless_one_is_set() -> None:
    case = notified()
    case.live("2024-03-11", SentToPanel(), by=BUSINESS_UNIT)
    assert (case.clock("K8").owed_by, case.clock("K8").owed_to, case.stands("K8")) == ("panel", "partners", "running")
    asked = case.live("2024-04-11", PanelAskedForMore(questions="Synthetic."), by=PANEL)
    case.live("2024-05-11", PanelAgreed(), by=PANEL)
    assert case.clock("K8").stopped_at == asked.recorded_at
    assert case.stands("K8") == "done"


# K9


def test_a_referral_is_confirmed_within_48_elapsed_hours_across_a_clock_change(case: Case) -> None:
    case.live("2024-03-30T12:00", a_referral(), by=SCHOOL)
    clock = case.clock(f"K9:{SCHOOL}")
    assert (clock.owed_by, clock.owed_to, clock.due_at) == (SCHOOL, "business_unit", at("2024-04-01T12:00"))
    assert case.stands(clock.instance_id, "2024-04-01T12:00") == "due today"
    assert case.stands(clock.instance_id, "2024-04-01T12:01") == "overdue by less than a working day"
    case.live("2024-04-02T09:00", ReferralConfirmedInWriting(confirmation="Synthetic."), by=ICB)
    assert case.stands(clock.instance_id, "2024-04-02T12:00") == "overdue by 1 working day"
    case.live("2024-04-02T09:00", ReferralConfirmedInWriting(confirmation="Synthetic."), by=SCHOOL)
    assert case.stands(clock.instance_id) == "met 1 working day late"


def test_a_partnership_sets_its_own_hours(case: Case) -> None:
    case.live("2024-03-04T12:00", a_referral(), by=SCHOOL)
    terms = PartnershipTerms(written_confirmation_hours=24)
    assert case.clock(f"K9:{SCHOOL}", terms).due_at == at("2024-03-05T12:00")
