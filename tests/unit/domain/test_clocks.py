from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import Any

import pytest

from domain.calendar import SkippedDay, bundled
from domain.incident.codes import CriteriaOutcome, DeathCategory, LegalStatus, NotificationType, Recipient
from domain.incident.events import (
    ChildAdded,
    IncidentReclassified,
    NotificationAmended,
    OtherAreaInformed,
    PartnersInformed,
    ReferralConfirmedInWriting,
)
from domain.kernel.events import Correction, Details, Event, Recorded
from domain.local_review.events import (
    CopyKind,
    CopyProvided,
    CopyRecipient,
    ImprovementsOnlyPublished,
    LocalReviewInitiated,
    LocalReviewPublished,
    NonPublicationJustified,
    PublicationDeclined,
    PublicationRescheduled,
    PublicationScheduled,
)
from domain.rapid_review.events import PanelAgreed, PanelAskedForMore, RapidReviewCompleted, SentToPanel
from domain.rules import (
    Band,
    ClockInstance,
    PartnershipTerms,
    State,
    Status,
    bundled_rulebook,
    bundled_rules,
    clock_instances,
    explain,
    read_rules,
    status,
)
from domain.sharing.events import InformationPartlyShared, InformationRefused, NilReturn, RefusalReason
from tests.support.builders import (
    BUSINESS_UNIT,
    CHILD,
    COUNCIL,
    ICB,
    OTHER_COUNCIL,
    PANEL,
    POLICE,
    REQUEST,
    SCHOOL,
    SECOND_COUNCIL,
    SIBLING,
    a_care_leaver,
    a_care_leaver_death,
    a_child,
    a_delay,
    a_harm_notification,
    a_harmed_child,
    a_looked_after_death,
    a_notification,
    a_referral,
    a_share,
    a_sibling,
    a_withdrawal,
    an_awareness,
    an_entry,
    an_information_request,
    assessed,
    became_known,
    body_gone,
    corrects,
    recorded,
)

CALENDAR = bundled()
RULES = bundled_rules()
NEVER = datetime(2027, 12, 1, 12, 0, tzinfo=UTC)


def at(text: str) -> datetime:
    """Read a moment in UTC; noon where only a day is given."""
    moment = datetime.fromisoformat(text)
    return (moment if "T" in text else moment.replace(hour=12)).replace(tzinfo=UTC)


class Case:
    """A case told event by event; positions count up as it is told."""

    def __init__(self) -> None:
        self.history: list[Recorded] = []

    def live(self, when: str, event: Event, by: str = COUNCIL) -> Recorded:
        return self._add(event, by, at(when), imported=False)

    def imported(self, when: str, event: Event, by: str = COUNCIL) -> Recorded:
        before = event.details or Details()
        told = dataclasses.replace(event, details=dataclasses.replace(before, done_at=at(when)))
        return self._add(told, by, at("2024-06-03"), imported=True)

    def _add(self, event: Event, by: str, when: datetime, *, imported: bool) -> Recorded:
        position = len(self.history) + 1
        one = recorded(event, by=by, at=when, position=position, version=position, imported=imported)
        self.history.append(one)
        return one

    def clocks(self, *clocks: str, terms: PartnershipTerms | None = None) -> list[ClockInstance]:
        found = clock_instances(self.history, CALENDAR, RULES, partnership=terms)
        return [each for each in found if not clocks or each.clock in clocks]

    def clock(self, identity: str, terms: PartnershipTerms | None = None) -> ClockInstance:
        (found,) = [each for each in self.clocks(terms=terms) if each.instance_id == identity]
        return found

    def stands(self, identity: str, as_of: str | datetime = NEVER) -> str:
        when = at(as_of) if isinstance(as_of, str) else as_of
        return status(self.clock(identity), when, CALENDAR).words

    def as_known(self, as_of: str) -> list[str]:
        known = [each for each in self.history if max(each.known_at, each.scored_at) <= at(as_of)]
        return [each.instance_id for each in clock_instances(known, CALENDAR, RULES)]


@pytest.fixture
def case() -> Case:
    return Case()


def notified(when: str = "2024-03-04") -> Case:
    told = Case()
    told.live(when, a_notification())
    return told


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


def test_criteria_that_no_council_finds_met_cancel_the_review_from_awareness(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-05", assessed(CriteriaOutcome.NOT_MET))
    assert case.stands("K5A") == "cancelled (the criteria are not met, and nothing was notified)"
    case.live("2024-03-06", assessed(CriteriaOutcome.UNSURE), by=OTHER_COUNCIL)
    assert case.stands("K5A", "2024-03-06") == "running"


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


# K10


def reviewed(decided_on: date = date(2024, 3, 29)) -> Case:
    case = Case()
    case.live("2024-03-30", LocalReviewInitiated(decided_on=decided_on), by=BUSINESS_UNIT)
    return case


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


def test_published_late_without_reasons_is_a_finding_still() -> None:
    case = reviewed()
    case.live("2024-10-02", LocalReviewPublished(location="Synthetic."), by=BUSINESS_UNIT)
    assert finding_ids(case, "2024-10-03") == ["deadline.late_without_reasons"]


# K11


def planned(day: date = date(2020, 12, 31), *, improvements_only: bool = False) -> Case:
    case = Case()
    case.imported("2020-11-30", PublicationScheduled(planned_on=day, improvements_only=improvements_only), by=BUSINESS_UNIT)
    return case


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


# K17


def asked(due_on: date = date(2024, 3, 18)) -> Case:
    case = Case()
    case.live("2024-03-04", an_information_request(due_on=due_on), by=BUSINESS_UNIT)
    return case


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


# What was known, what cannot be known


def test_nothing_is_known_before_it_was_recorded_or_for_history_before_it_was_done(case: Case) -> None:
    case.live("2024-03-04", became_known(at("2024-02-29")))
    assert case.as_known("2024-03-03") == []
    assert case.as_known("2024-03-04") == [f"K1:{COUNCIL}", f"K2:{COUNCIL}", "K5A"]
    history = Case()
    history.imported("2020-05-04", a_notification(awareness=an_awareness(at("2020-05-01"))))
    history.imported("2020-05-21", SentToPanel(), by=BUSINESS_UNIT)
    assert "K5B" not in history.as_known("2020-05-03")
    assert "K8" not in history.as_known("2020-05-20")
    assert "K8" in history.as_known("2020-05-21")


def test_the_past_is_judged_as_it_stood() -> None:
    case = notified()
    case.live("2024-03-28", SentToPanel(), by=BUSINESS_UNIT)
    assert case.stands("K5B", "2024-03-25") == "due today"
    assert case.stands("K5B", "2024-03-27") == "overdue by 2 working days"
    assert case.stands("K5B", "2024-03-28") == "met 3 working days late"


def test_of_an_event_that_cannot_be_opened_it_is_said_what_cannot_be_known() -> None:
    case = notified()
    case.live("2024-03-20", SentToPanel(), by=BUSINESS_UNIT)
    case.history = [body_gone(each) for each in case.history]
    clock = case.clock("K5B")
    assert clock.not_known == "when it began: the event incident.notified.v1 at position 1 can no longer be opened"
    assert status(clock, NEVER, CALENDAR) == Status(state=State.NOT_KNOWN, band=Band.MET, because=clock.not_known)
    assert explain(clock, NEVER, CALENDAR, RULES).lines[-1] == f"Not known: {clock.not_known}"


def test_a_stop_that_cannot_be_read_leaves_it_open_whether_the_clock_was_met() -> None:
    case = planned()
    case.imported("2020-12-02", copy(CopyRecipient.PANEL), by=BUSINESS_UNIT)
    case.history[1] = body_gone(case.history[1])
    clock = case.clock("K11:ofsted")
    assert status(clock, NEVER, CALENDAR).band is Band.NOT_KNOWN
    assert clock.not_known == "whether it was met: the event local_review.copy_provided.v1 at position 2 can no longer be opened"


def test_a_live_step_without_conditions_counts_though_its_body_is_gone() -> None:
    case = notified()
    case.live("2024-03-20", SentToPanel(), by=BUSINESS_UNIT)
    case.history[1] = body_gone(case.history[1])
    assert case.stands("K5B") == "met on time"


def test_every_history_with_bodies_gone_gives_clocks_without_raising() -> None:
    case = asked()
    for event in (a_referral(), became_known(), assessed(), a_notification(), a_looked_after_death(), a_delay(), a_withdrawal()):
        case.live("2024-03-05", event)
    case.live("2024-03-06", LocalReviewInitiated(decided_on=date(2024, 3, 6)), by=BUSINESS_UNIT)
    for place in range(len(case.history)):
        some_gone = case.history.copy()
        some_gone[place] = body_gone(some_gone[place])
        for instance in clock_instances(some_gone, CALENDAR, RULES):
            explain(instance, NEVER, CALENDAR, RULES)
    case.history = [body_gone(each) for each in case.history]
    assert {status(each, at("2024-03-06"), CALENDAR).state for each in case.clocks()} <= {State.NOT_KNOWN, State.CANCELLED}


def test_a_due_day_outside_the_calendar_is_not_guessed(case: Case) -> None:
    case.live("2028-12-27", a_notification(awareness=an_awareness(at("2028-12-27"))))
    clock = case.clock("K5B")
    assert clock.due_on is None
    assert clock.not_known == "when it is due: a day is outside the calendar, which covers 2012 to 2028"


def test_lateness_outside_the_calendar_has_no_number() -> None:
    case = asked(date(2024, 3, 18))
    later = status(case.clock(f"K17:{REQUEST}"), at("2029-02-01"), CALENDAR)
    assert (later.state, later.working_days) == (State.OVERDUE, None)
    assert later.words == "overdue by a time outside the calendar"
    far = asked(date(9999, 12, 31))
    assert far.stands(f"K17:{REQUEST}", "2024-03-05") == "running"


# Explanations and the catalogue


def test_a_deadline_explains_itself_day_by_day() -> None:
    case = notified("2020-05-07")
    explanation = explain(case.clock("K5B"), at("2020-05-20"), CALENDAR, RULES)
    assert explanation.skipped[:3] == (
        SkippedDay(day=date(2020, 5, 8), reason="Early May bank holiday (VE day)"),
        SkippedDay(day=date(2020, 5, 9), reason="Saturday"),
        SkippedDay(day=date(2020, 5, 10), reason="Sunday"),
    )
    assert explanation.lines == (
        "K5B Send the rapid review to the Panel, from notification: running",
        "Rule: Child Safeguarding Practice Review Panel, annual report 2020 (Panel: timeliness is scored by this clock)",
        "Owed by partners to panel",
        f"Day 0: Thu 7 May 2020, by incident.notified.v1 of {COUNCIL} at position 1",
        "Length: 15 working days, day 0 not counted",
        "Not counted: Fri 8 May 2020, Early May bank holiday (VE day)",
        "Not counted: Sat 9 May 2020, Saturday",
        "Not counted: Sun 10 May 2020, Sunday",
        "Not counted: Sat 16 May 2020, Saturday",
        "Not counted: Sun 17 May 2020, Sunday",
        "Not counted: Sat 23 May 2020, Saturday",
        "Not counted: Sun 24 May 2020, Sunday",
        "Not counted: Mon 25 May 2020, Spring bank holiday",
        "Not counted: Sat 30 May 2020, Saturday",
        "Not counted: Sun 31 May 2020, Sunday",
        "Due: end of Mon 1 Jun 2020",
        "Stops when the Panel receives the rapid review (sent through the hub is received)",
        explanation.lateness,
    )
    relaxed = "the Panel relaxed the 15 working days for rapid reviews due from April to September 2020; no other length was set"
    assert explanation.lateness == f"K6: {relaxed} (Child Safeguarding Practice Review Panel, annual report 2020)"


def test_an_explanation_names_what_stopped_it_and_who_was_told_of_delay() -> None:
    case = reviewed()
    case.live("2024-10-01", a_delay("K10"), by=BUSINESS_UNIT)
    case.live("2024-10-02", LocalReviewPublished(location="Synthetic."), by=BUSINESS_UNIT)
    lines = explain(case.clock("K10"), NEVER, CALENDAR, RULES).lines
    assert lines[0].endswith("met 3 working days late")
    assert f"Stopped: Wed 2 Oct 2024, by local_review.published.v1 of {BUSINESS_UNIT} at position 3" in lines
    reason = "Reason given for lateness: criminal_investigation, expected Mon 2 Dec 2024, told panel, secretary_of_state"
    assert reason in lines


def test_order_of_the_history_does_not_matter(case: Case) -> None:
    case.live("2024-02-29", became_known(at("2024-02-29")))
    case.live("2024-03-04", a_notification(awareness=None, residence_authority=OTHER_COUNCIL, children=(IN_CARE,)))
    case.live("2024-03-05", PartnersInformed(partners=(ICB, POLICE)))
    case.live("2024-03-20", SentToPanel(), by=BUSINESS_UNIT)
    backwards: Sequence[Recorded] = list(reversed(case.history))
    assert clock_instances(backwards, CALENDAR, RULES) == clock_instances(case.history, CALENDAR, RULES)


def test_every_clock_asked_for_is_in_the_catalogue() -> None:
    ids = {clock.id for clock in RULES.clocks} | {each.id for each in RULES.relaxations}
    assert ids == {"K1", "K2", "K3", "K4", "K5A", "K5B", "K6", "K7", "K8", "K9", "K10", "K11", "K12", "K17"}


def test_every_event_and_attribute_of_the_catalogue_exists() -> None:
    from domain.kernel.events import EVENT_TYPES  # noqa: PLC0415 (filled by the imports above)

    def check(cls: Any, tree: Any) -> None:
        for name, below in tree.items():
            assert name in {field.name for field in dataclasses.fields(cls)}, (cls, name)
            if below and name == "children":
                check(type(a_child()), below)

    for event_type, tree in RULES.kept.items():
        check(EVENT_TYPES[event_type], tree)
    for clock in RULES.clocks:
        for trigger in (*clock.starts, *clock.stops, *clock.cancels, *clock.nevers, *clock.remarks):
            assert trigger.on in RULES.kept or trigger.on == "child.death_known"


ROW = """
[facts]
"incident.notified.v1" = []
[[clock]]
id = "K1"
name = "Notify"
per = []
unit = "working_days"
length = 5
owed_by = "sender"
owed_to = ["panel"]
force = "law"
source = "A source"
effective_from = 2018-06-29
effective_to = 2023-12-14
[[clock.start]]
on = "incident.notified.v1"
"""


def test_rules_are_dated_by_the_day_of_the_trigger() -> None:
    longer = ROW.replace("[facts]", "").replace('"incident.notified.v1" = []', "").replace("length = 5", "length = 10")
    longer = longer.replace("effective_from = 2018-06-29\neffective_to = 2023-12-14", "effective_from = 2023-12-15")
    rules = read_rules(ROW + longer)
    due = []
    for day in ("2023-12-14", "2023-12-15"):
        (instance,) = clock_instances(notified(day).history, CALENDAR, rules)
        due.append((instance.rule, instance.length))
    assert due == [("K1//2018-06-29", 5), ("K1//2023-12-15", 10)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("owed_by", "owedby"), "unknown owedby"),
        (("on =", "at_ = 1\non ="), "unknown at_"),
        (("length = 5", ""), "does not fit its unit"),
        (('unit = "working_days"', 'unit = "days"'), "not a valid Unit"),
    ],
)
def test_a_slip_in_the_catalogue_is_refused(change: tuple[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read_rules(ROW.replace(*change))


def test_two_rows_of_a_clock_in_force_on_one_day_are_refused() -> None:
    again = ROW.replace("[facts]", "").replace('"incident.notified.v1" = []', "").replace("2018-06-29", "2023-12-14")
    with pytest.raises(ValueError, match="K1: two rows are in force"):
        read_rules(ROW + again)


def test_the_version_of_the_rules_is_a_digest_of_the_data() -> None:
    assert read_rules(ROW).version == read_rules(ROW).version != read_rules(ROW + "\n").version
    assert bundled_rulebook().version == f"rules {RULES.version[:12]}, calendar {CALENDAR.version[:12]}"
