"""The oversight view: its rows, the cases composed from them as at a count day, and the list of cases."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import OutsideCalendar
from domain.incident.codes import DeathCategory, HarmCategory, NotificationType
from domain.incident.events import ChildAdded, IncidentReclassified, NotificationAmended, PartnersInformed
from domain.kernel.events import EVENT_TYPES, Event, Precision, Recorded, When
from domain.kernel.ids import ChildId, RuleId
from domain.local_review.events import (
    CopyKind,
    CopyProvided,
    CopyRecipient,
    LocalReviewInitiated,
    LocalReviewPublished,
    PublicationDeclined,
    PublicationScheduled,
)
from domain.rapid_review.events import Decision, DecisionMade, DecisionReconsidered, PanelAgreed, PanelAskedForMore, SentToPanel
from projections.kernel.digest import row_digest
from projections.oversight.case_list import CaseFilter, CaseLine, CasePage, Stage
from projections.oversight.definitions import TABLES, UnknownTable
from projections.oversight.panel_table import Basis, PanelTable, Period, percent
from projections.oversight.projection import OVERSIGHT
from projections.oversight.queries import list_cases, panel_table
from projections.oversight.timeliness import Timeliness, band_of
from tests.support.builders import (
    BUSINESS_UNIT,
    CASE,
    COUNCIL,
    ICB,
    OTHER_CASE,
    OTHER_COUNCIL,
    PANEL,
    POLICE,
    SHARD,
    SIBLING,
    a_care_leaver,
    a_child,
    a_harm_notification,
    a_harmed_child,
    a_notification,
    a_sibling,
    a_withdrawal,
    body_gone,
    corrects,
    done,
    recorded,
)
from tests.support.oversight_rows import filled, population_of
from tests.support.random_cases import batches, random_log

DAY_ZERO = date(2024, 3, 4)
"""A Monday without bank holidays in the three weeks after it."""
DUE = date(2024, 3, 25)
YEAR = Period.year(2024)
ENTERED_AT = datetime(2026, 2, 2, 9, 0, tzinfo=UTC)


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


class Log:
    """A log of one shard, written event by event."""

    def __init__(self) -> None:
        self.events: list[Recorded] = []

    def live(self, event: Event, day: date, *, case: str = CASE, by: str = COUNCIL) -> Recorded:
        """Record an event live at noon."""
        return self._add(event, noon(day), case, by, imported=False)

    def imported(self, event: Event, *, case: str = CASE, by: str = COUNCIL) -> Recorded:
        """Enter imported history; the event says when it was done."""
        return self._add(event, ENTERED_AT, case, by, imported=True)

    def _add(self, event: Event, at: datetime, case: str, by: str, *, imported: bool) -> Recorded:
        category = {"case": "incident", "information": "sharing"}.get(event.EVENT_TYPE.split(".")[0], event.EVENT_TYPE.split(".")[0])
        place = len(self.events) + 1
        one = recorded(event, by=by, at=at, version=place, stream=f"{category}-{case}", imported=imported)
        self.events.append(one)
        return one

    def table(self, number: str, count_day: date, period: Period = YEAR, basis: Basis | None = None) -> PanelTable:
        """Count a table of this log."""
        with filled(self.events) as (connection, tables):
            return panel_table(connection, tables, number, period, count_day, basis=basis)

    def cases(self, count_day: date, wanted: CaseFilter | None = None, **paging: Any) -> CasePage:
        """List the cases of this log."""
        with filled(self.events) as (connection, tables):
            return list_cases(connection, tables, count_day, wanted=wanted, **paging)


def notified_log() -> Log:
    """Return a log with one death notified live on day 0."""
    log = Log()
    log.live(a_notification(), DAY_ZERO)
    return log


def total(table: PanelTable) -> int:
    """Return the number in a table's last row."""
    assert table.total is not None
    number = table.cell("total", "total" if table.number in {"4", "5", "6", "7", "8"} else "number")
    assert isinstance(number, int)
    return number


def bands(table: PanelTable) -> dict[str, tuple[object, object]]:
    """Return what is in each band that is not empty: received, not yet received."""
    return {row.key: (row.cells[0], row.cells[1]) for row in table.rows if row.cells[2]}


def test_every_event_is_handled_or_named_as_ignored_and_none_is_both() -> None:
    for area in ("access", "agency", "incident", "local_review", "partnership", "rapid_review", "sharing"):
        import_module(f"domain.{area}.events")
    of_the_domain = {name for name, kind in EVENT_TYPES.items() if kind.__module__.startswith("domain.")}
    assert OVERSIGHT.handles | OVERSIGHT.ignores == of_the_domain
    assert OVERSIGHT.handles & OVERSIGHT.ignores == frozenset()


def test_rows_are_the_same_however_the_log_is_cut_into_batches() -> None:
    log = random_log(11, cases=45)
    digests = set()
    for largest in (1, 3, 50, 5_000):
        with filled(*batches(log, Random(largest), largest)) as (connection, tables):
            digests.add(row_digest(connection, tables))
    assert len(digests) == 1


def test_rows_hold_no_narrative() -> None:
    log = Log()
    log.live(a_notification(circumstances="Words that stay sealed."), DAY_ZERO)
    log.live(DecisionMade(decision=Decision.LOCAL_REVIEW, rationale="Words that stay sealed."), DAY_ZERO, by=BUSINESS_UNIT)
    with filled(log.events) as (connection, tables):
        cells = [repr(cell) for table in tables.values() for row in connection.execute(table.select()) for cell in row]
    assert len(cells) > 40
    assert [cell for cell in cells if "Words" in cell] == []


@pytest.mark.parametrize(
    ("working_days", "band"),
    [(0, "1-15"), (1, "1-15"), (15, "1-15"), (16, "16-25"), (25, "16-25"), (26, "26-59"), (59, "26-59"), (60, "60+"), (500, "60+")],
)
def test_a_band_ends_where_the_panel_says(working_days: int, band: str) -> None:
    assert band_of(working_days) == band


def test_a_review_received_on_day_0_falls_in_the_first_band() -> None:
    log = notified_log()
    log.live(SentToPanel(), DAY_ZERO, by=BUSINESS_UNIT)
    assert bands(log.table("6", DUE)) == {"1-15": (1, 0)}


def test_a_review_not_yet_received_stands_in_its_own_column_and_the_band_of_its_age_even_before_it_is_due() -> None:
    log = notified_log()
    assert bands(log.table("6", DAY_ZERO)) == {"1-15": (0, 1)}
    assert bands(log.table("6", DUE)) == {"1-15": (0, 1)}
    table = log.table("6", DUE + timedelta(days=1))
    assert bands(table) == {"16-25": (0, 1)}
    assert (table.figure("fewest_days_waiting"), table.figure("most_days_waiting")) == (16, 16)


def test_a_review_counts_as_received_from_the_end_of_the_day_it_arrived() -> None:
    log = notified_log()
    log.live(SentToPanel(), DUE, by=BUSINESS_UNIT)
    assert bands(log.table("6", DUE - timedelta(days=1))) == {"1-15": (0, 1)}
    assert bands(log.table("6", DUE)) == {"1-15": (1, 0)}
    assert bands(log.table("6", date(2026, 1, 5))) == {"1-15": (1, 0)}


def test_days_are_london_days() -> None:
    log = Log()
    log.live(a_notification(), date(2024, 6, 3))
    half_past_midnight_in_london = datetime(2024, 6, 20, 23, 30, tzinfo=UTC)
    log._add(SentToPanel(), half_past_midnight_in_london, CASE, BUSINESS_UNIT, imported=False)
    assert [log.cases(day).lines[0].received_on for day in (date(2024, 6, 20), date(2024, 6, 21))] == [None, date(2024, 6, 21)]


def test_timeliness_counts_by_the_requested_completion_day_not_by_the_notification() -> None:
    log = notified_log()
    only_march = Period(first=DUE, last=DUE)
    assert total(log.table("6", DUE, only_march)) == 1
    assert total(log.table("6", DUE, Period(first=DAY_ZERO, last=DUE - timedelta(days=1)))) == 0


def test_tables_7_and_8_share_out_table_6_by_the_month_of_the_requested_completion_day() -> None:
    log = Log()
    for place, day in enumerate((date(2020, 3, 10), date(2020, 3, 11), date(2020, 9, 9), date(2020, 9, 10))):
        log.live(a_notification(), day, case=f"01890000-0000-7000-8000-{place:012d}")
    count_day = date(2021, 3, 31)
    counts = {number: total(log.table(number, count_day, Period.year(2020))) for number in ("6", "7", "8")}
    # 15 working days on: 31 March, 1 April, 30 September, 1 October.
    assert counts == {"6": 4, "7": 2, "8": 2}


def test_a_withdrawn_notification_is_out_from_the_end_of_the_day_of_withdrawal() -> None:
    log = notified_log()
    withdrawn_on = date(2024, 4, 10)
    log.live(a_withdrawal(), withdrawn_on)
    for number in ("chart", "1", "6"):
        assert total(log.table(number, withdrawn_on - timedelta(days=1))) == 1
        assert total(log.table(number, withdrawn_on)) == 0


def test_an_incident_counts_from_its_notification_on() -> None:
    log = notified_log()
    assert total(log.table("chart", DAY_ZERO - timedelta(days=1))) == 0
    assert total(log.table("chart", DAY_ZERO)) == 1


def test_occurred_and_notified_are_different_bases() -> None:
    log = Log()
    log.live(a_notification(incident_on=When(precision=Precision.DAY, on=date(2023, 12, 31))), date(2024, 1, 2))
    counts = {(year, basis): total(log.table("chart", DUE, Period.year(year), basis)) for year in (2023, 2024) for basis in list(Basis)[:2]}
    assert counts == {(2023, Basis.OCCURRED): 1, (2023, Basis.NOTIFIED): 0, (2024, Basis.OCCURRED): 0, (2024, Basis.NOTIFIED): 1}


def test_an_incident_dated_to_a_month_counts_on_its_first_day_and_the_table_says_so() -> None:
    log = Log()
    log.live(a_notification(incident_on=When(precision=Precision.MONTH, on=date(2024, 2, 1))), DAY_ZERO)
    table = log.table("chart", DUE, Period(first=date(2024, 2, 1), last=date(2024, 2, 1)))
    assert total(table) == 1
    assert table.notes == ("1 of the incidents are dated to a month, year or period only and count on its first day.",)


def test_the_index_child_decides_the_row_and_every_child_counts_in_table_1() -> None:
    log = Log()
    first = a_sibling(death_category=DeathCategory.SUICIDE)
    index = a_child(SIBLING[:-1] + "3", death_category=DeathCategory.SUDI)
    log.live(a_notification(children=(first, index)), DAY_ZERO)
    table = log.table("2", DUE)
    assert (table.cell("sudi", "number"), table.cell("suicide", "number")) == (1, 0)
    assert total(table) == 1
    assert total(log.table("1", DUE)) == 2


def test_an_only_child_is_the_index_child_whether_marked_or_not() -> None:
    log = Log()
    log.live(a_notification(children=(a_child(index_child=False, death_category=DeathCategory.SUDI),)), DAY_ZERO)
    assert log.table("2", DUE).cell("sudi", "number") == 1


def test_a_child_added_counts_from_that_day_on() -> None:
    log = notified_log()
    log.live(ChildAdded(child=a_sibling(), reason="Synthetic."), date(2024, 3, 20))
    assert [total(log.table("1", day)) for day in (date(2024, 3, 19), date(2024, 3, 20))] == [1, 2]


def test_a_reclassified_incident_changes_tables_on_the_day_it_is_reclassified() -> None:
    log = Log()
    log.live(a_harm_notification(), DAY_ZERO)
    log.live(
        IncidentReclassified(notification_type=NotificationType.DEATH, children=(a_child(),), reason="Synthetic."),
        date(2024, 3, 20),
    )
    before, after = date(2024, 3, 19), date(2024, 3, 20)
    assert [(total(log.table("2", day)), total(log.table("3", day))) for day in (before, after)] == [(0, 1), (1, 0)]


def test_notifications_of_other_matters_are_in_table_3_and_said_to_be() -> None:
    log = Log()
    child = a_harmed_child(harm_category=HarmCategory.YOUNG_PERSON_PERPETRATOR)
    log.live(a_notification(notification_type=NotificationType.OTHER, children=(child,)), DAY_ZERO)
    table = log.table("3", DUE)
    assert table.cell("young_person_perpetrator", "number") == 1
    assert table.notes == ("Includes 1 notified as other.",)


def test_an_amendment_replaces_what_it_gives_and_nothing_else() -> None:
    log = Log()
    log.live(a_notification(deprivation_fifth=2), DAY_ZERO)
    log.live(NotificationAmended(reason="Synthetic.", deprivation_fifth=5), date(2024, 3, 20))
    assert log.table("deprivation", date(2024, 3, 19)).cell("2", "number") == 1
    after = log.table("deprivation", date(2024, 3, 20))
    assert (after.cell("2", "number"), after.cell("5", "number")) == (0, 1)
    assert log.table("2", date(2024, 3, 20)).cell("fatal_physical_abuse", "number") == 1


def test_an_imported_notification_counts_by_what_it_asserts_and_its_corrected_instant_is_the_new_day_0() -> None:
    log = Log()
    log.imported(a_notification(details=done(noon(DAY_ZERO))))
    amended_on, moved_to = date(2024, 3, 20), date(2024, 3, 6)
    log.imported(NotificationAmended(details=done(noon(amended_on)), reason="Synthetic.", notified_at=noon(moved_to)))
    lines = [log.cases(day).lines[0] for day in (date(2024, 3, 19), amended_on)]
    assert [(line.notified_on, line.due_on, line.imported) for line in lines] == [
        (DAY_ZERO, DUE, True),
        (moved_to, date(2024, 3, 27), True),
    ]


def test_an_amendment_says_anew_in_whose_area_it_happened() -> None:
    log = notified_log()
    log.live(NotificationAmended(reason="Synthetic.", incident_authority=OTHER_COUNCIL), date(2024, 3, 5))
    found = [population_of(log.events, day).cases[0].notice.incident_authority for day in (DAY_ZERO, date(2024, 3, 5))]
    assert found == [COUNCIL, OTHER_COUNCIL]


def test_no_amendment_moves_the_day_of_a_live_notification() -> None:
    log = notified_log()
    log.live(NotificationAmended(reason="Synthetic.", notified_at=noon(date(2024, 2, 1))), date(2024, 3, 5))
    assert log.cases(DUE).lines[0].notified_on == DAY_ZERO


def test_a_live_correction_changes_what_was_said_but_not_the_day_it_counts() -> None:
    log = Log()
    first = log.live(a_notification(), DAY_ZERO)
    asserted = corrects(first.event_id, done_at=noon(date(2024, 2, 29)))
    again = a_notification(children=(a_child(death_category=DeathCategory.SUDI),), details=asserted)
    log.live(again, date(2024, 3, 20))
    sent = log.live(SentToPanel(), date(2024, 3, 21), by=BUSINESS_UNIT)
    log.live(SentToPanel(document_sha256=bytes(32), details=corrects(sent.event_id)), date(2024, 6, 3), by=BUSINESS_UNIT)
    line = log.cases(date(2024, 7, 1)).lines[0]
    assert (line.notified_on, line.received_on) == (DAY_ZERO, date(2024, 3, 21))
    assert [log.table("2", day).cell("sudi", "number") for day in (date(2024, 3, 19), date(2024, 3, 20))] == [0, 1]


def test_an_imported_correction_moves_the_receipt_from_the_end_of_the_day_it_bears() -> None:
    log = Log()
    log.imported(a_notification(details=done(noon(DAY_ZERO))))
    sent = log.imported(SentToPanel(details=done(noon(date(2024, 3, 11)))), by=BUSINESS_UNIT)
    log.imported(SentToPanel(details=corrects(sent.event_id, done_at=noon(date(2024, 4, 15)))), by=BUSINESS_UNIT)
    received = [log.cases(day).lines[0].received_on for day in (date(2024, 4, 14), date(2024, 4, 15))]
    assert received == [date(2024, 3, 11), date(2024, 4, 15)]


def test_a_correction_of_a_correction_stands_alone() -> None:
    log = notified_log()
    made = log.live(DecisionMade(decision=Decision.UNDECIDED, rationale="S."), date(2024, 3, 11), by=BUSINESS_UNIT)
    again = DecisionMade(decision=Decision.LOCAL_REVIEW, rationale="S.", details=corrects(made.event_id))
    second = log.live(again, date(2024, 3, 12), by=BUSINESS_UNIT)
    third = DecisionMade(decision=Decision.NO_LOCAL_REVIEW, rationale="S.", details=corrects(second.event_id))
    log.live(third, date(2024, 3, 13), by=BUSINESS_UNIT)
    found = [log.cases(date(2024, 3, day)).lines[0].decision for day in (10, 11, 12, 13)]
    assert found == [Decision.UNDECIDED, Decision.UNDECIDED, Decision.LOCAL_REVIEW, Decision.NO_LOCAL_REVIEW]


def test_a_care_leavers_death_alone_is_an_incident_that_owes_no_rapid_review_and_no_decision() -> None:
    log = Log()
    log.live(a_notification(care_leaver_only=True, children=(a_care_leaver(),)), DAY_ZERO)
    assert {number: total(log.table(number, DUE)) for number in ("chart", "2", "6", "decisions")} == {
        "chart": 1,
        "2": 1,
        "6": 0,
        "decisions": 0,
    }
    assert log.cases(DUE).lines[0].timeliness is Timeliness.NOT_OWED
    assert log.table("chart", DUE).notes == ("1 of the cases notify a care leaver's death alone and owe no rapid review.",)


def test_a_case_whose_notification_is_gone_is_left_out_and_every_table_says_how_many() -> None:
    log = notified_log()
    log.live(SentToPanel(), DUE, by=BUSINESS_UNIT)
    log.live(a_notification(), DAY_ZERO, case=OTHER_CASE)
    log.events = [body_gone(one) if one.stream.endswith(CASE) else one for one in log.events]
    with filled(log.events) as (connection, tables):
        counted = [panel_table(connection, tables, number, YEAR, DUE) for number in TABLES]
    note = "1 notified cases (of any period) are left out: their data keys are destroyed, nothing of them can be read."
    assert [table.number for table in counted if note not in table.notes] == []
    assert {table.number: total(table) for table in counted if table.number in {"chart", "6"}} == {"chart": 1, "6": 1}


def test_a_live_receipt_counts_by_its_header_though_its_body_is_gone() -> None:
    log = notified_log()
    log.live(SentToPanel(), DUE, by=BUSINESS_UNIT)
    log.events[-1] = body_gone(log.events[-1])
    assert bands(log.table("6", date(2024, 6, 3))) == {"1-15": (1, 0)}


def test_the_last_response_and_the_last_decision_count() -> None:
    log = notified_log()
    log.live(DecisionMade(decision=Decision.NO_LOCAL_REVIEW, rationale="S."), date(2024, 3, 18), by=BUSINESS_UNIT)
    log.live(SentToPanel(), date(2024, 3, 19), by=BUSINESS_UNIT)
    log.live(PanelAskedForMore(questions="S."), date(2024, 4, 2), by=PANEL)
    log.live(DecisionReconsidered(decision=Decision.LOCAL_REVIEW, rationale="S."), date(2024, 4, 9), by=BUSINESS_UNIT)
    log.live(PanelAgreed(), date(2024, 4, 16), by=PANEL)
    days = (date(2024, 4, 1), date(2024, 4, 2), date(2024, 4, 16))
    responses = [[row.key for row in log.table("agreement", day).rows if row.cells[0]] for day in days]
    assert responses == [["none"], ["asked_for_more"], ["agreed"]]
    decisions = [[row.key for row in log.table("decisions", day).rows if row.cells[0]] for day in days]
    assert decisions == [["no_local_review"], ["no_local_review"], ["local_review"]]


def test_agreement_can_be_counted_of_the_reviews_received_in_a_period() -> None:
    log = notified_log()
    log.live(SentToPanel(), date(2025, 1, 6), by=BUSINESS_UNIT)
    counts = [total(log.table("agreement", date(2025, 2, 3), Period.year(year), Basis.RECEIVED)) for year in (2024, 2025)]
    assert counts == [0, 1]


def test_a_local_review_is_initiated_in_the_year_of_the_decision_and_received_when_the_panel_has_it() -> None:
    log = notified_log()
    log.live(LocalReviewInitiated(decided_on=date(2024, 12, 31)), date(2025, 1, 6), by=BUSINESS_UNIT)
    log.live(CopyProvided(recipient=CopyRecipient.PANEL, copy_kind=CopyKind.FULL_REPORT), date(2025, 11, 3), by=BUSINESS_UNIT)
    log.live(LocalReviewPublished(location="Synthetic."), date(2025, 11, 20), by=BUSINESS_UNIT)
    assert log.table("local_reviews_initiated", date(2025, 1, 5)).rows == ()
    assert [(row.key, row.cells) for row in log.table("local_reviews_initiated", date(2025, 1, 6)).rows] == [("2024", (1,))]
    states = [
        [row.key for row in log.table("local_reviews_received", day, Period.year(2025)).rows if row.cells[0]]
        for day in (date(2025, 11, 2), date(2025, 11, 3), date(2025, 11, 20))
    ]
    assert states == [[], ["intend_to_publish"], ["published"]]
    assert log.table("local_reviews_received", date(2025, 11, 20), Period.year(2025)).figure("over_200_working_days") == 1


def test_a_review_that_is_planned_to_be_published_after_all_is_intended_to_be_until_it_is_declined_again() -> None:
    log = notified_log()
    log.live(LocalReviewInitiated(decided_on=date(2024, 12, 31)), date(2025, 1, 6), by=BUSINESS_UNIT)
    log.live(CopyProvided(recipient=CopyRecipient.PANEL, copy_kind=CopyKind.FULL_REPORT), date(2025, 3, 3), by=BUSINESS_UNIT)
    log.live(PublicationDeclined(rationale="S."), date(2025, 3, 4), by=BUSINESS_UNIT)
    log.live(PublicationScheduled(planned_on=date(2025, 4, 1)), date(2025, 3, 10), by=BUSINESS_UNIT)
    log.live(PublicationDeclined(rationale="S."), date(2025, 3, 20), by=BUSINESS_UNIT)
    days = (date(2025, 3, 4), date(2025, 3, 10), date(2025, 3, 20))
    states = [[row.key for row in log.table("local_reviews_received", day, Period.year(2025)).rows if row.cells[0]] for day in days]
    assert states == [["not_intending_to_publish"], ["intend_to_publish"], ["not_intending_to_publish"]]
    stages = [log.cases(day).lines[0].stage for day in days]
    assert stages == [Stage.NOT_TO_BE_PUBLISHED, Stage.LOCAL_REVIEW_WITH_PANEL, Stage.NOT_TO_BE_PUBLISHED]


def test_cases_are_listed_with_their_stage_and_how_they_stand_against_the_clock() -> None:
    log = notified_log()
    log.live(SentToPanel(), date(2024, 3, 26), by=BUSINESS_UNIT)
    days = (DAY_ZERO, DUE, date(2024, 3, 26))
    found = [(line.stage, line.timeliness, line.working_days) for line in (log.cases(day).lines[0] for day in days)]
    assert found == [
        (Stage.NOTIFIED, Timeliness.NOT_YET_DUE, 0),
        (Stage.NOTIFIED, Timeliness.NOT_YET_DUE, 15),
        (Stage.REVIEW_RECEIVED, Timeliness.LATE, 16),
    ]


def test_late_in_the_months_that_the_panel_relaxed_is_late_authorised() -> None:
    log = Log()
    log.live(a_notification(), date(2020, 4, 1))
    log.live(SentToPanel(), date(2020, 8, 3), by=BUSINESS_UNIT)
    found = [log.cases(day).lines[0].timeliness for day in (date(2020, 4, 27), date(2020, 8, 3))]
    assert found == [Timeliness.OVERDUE_AUTHORISED, Timeliness.LATE_AUTHORISED]


def test_pages_of_the_list_follow_each_other_without_gap_or_repetition() -> None:
    with filled(random_log(5, cases=90)) as (connection, tables):
        count_day = date(2026, 1, 5)
        everyone = list_cases(connection, tables, count_day, limit=1_000)
        lines: list[CaseLine] = []
        after = None
        while True:
            page = list_cases(connection, tables, count_day, after=after, limit=7)
            lines += page.lines
            after = page.next_after
            if after is None:
                break
    assert tuple(lines) == everyone.lines
    assert everyone.total == len(lines) > 70
    assert [line.notified_on for line in lines] == sorted(line.notified_on for line in lines)


def test_a_case_id_that_two_shards_use_names_two_cases() -> None:
    log = notified_log()
    log.live(SentToPanel(), DUE, by=BUSINESS_UNIT)
    elsewhere = recorded(a_harm_notification(), by=OTHER_COUNCIL, at=noon(DAY_ZERO), shard="elsewhere")
    withdrawn = recorded(a_withdrawal(), by=OTHER_COUNCIL, at=noon(DUE), shard="elsewhere", version=2)
    with filled(log.events, [elsewhere]) as (connection, tables):
        lines = list_cases(connection, tables, DUE).lines
        pages = [list_cases(connection, tables, DUE, limit=1)]
        pages.append(list_cases(connection, tables, DUE, limit=1, after=pages[0].next_after))
    assert [(line.shard, line.council, line.received_on, line.children) for line in lines] == [
        ("elsewhere", OTHER_COUNCIL, None, 1),
        (SHARD, COUNCIL, DUE, 1),
    ]
    assert ([line for page in pages for line in page.lines], pages[1].next_after) == (list(lines), None)
    with filled(log.events, [elsewhere, withdrawn]) as (connection, tables):
        chart = panel_table(connection, tables, "chart", YEAR, DUE)
    assert [(row.key, row.cells[0]) for row in chart.rows if row.cells[0]] == [("death", 1)]


def test_a_filter_lets_through_what_it_names() -> None:
    with filled(random_log(6, cases=60)) as (connection, tables):
        count_day = date(2026, 1, 5)
        everyone = list_cases(connection, tables, count_day, limit=1_000).lines
        wanted = CaseFilter(
            timeliness=frozenset({Timeliness.LATE}),
            notification_types=frozenset({NotificationType.DEATH}),
            period=Period.year(2020),
            basis=Basis.DUE,
        )
        found = list_cases(connection, tables, count_day, wanted=wanted, limit=1_000).lines
    expected = [line for line in everyone if line.timeliness is Timeliness.LATE and line.notification_type is NotificationType.DEATH]
    assert list(found) == [line for line in expected if line.due_on is not None and line.due_on.year == 2020]
    assert found != ()


def test_a_withdrawn_case_is_listed_as_withdrawn() -> None:
    log = notified_log()
    log.live(a_withdrawal(), date(2024, 3, 20))
    assert [(line.stage, line.timeliness) for line in log.cases(DUE).lines] == [(Stage.WITHDRAWN, Timeliness.NOT_OWED)]


def test_a_review_outside_the_calendar_or_before_the_panels_clock_is_said_not_to_be_counted() -> None:
    log = Log()
    log.imported(a_notification(details=done(noon(date(2017, 6, 1)))))
    table = log.table("6", date(2020, 1, 1), Period.year(2017))
    assert total(table) == 0
    assert table.notes[0] == "1 rapid reviews have no requested completion day: outside the calendar, or before the Panel's clock began."
    assert log.cases(date(2020, 1, 1)).lines[0].timeliness is Timeliness.NOT_COUNTABLE


def test_a_count_day_outside_the_calendar_is_refused() -> None:
    with pytest.raises(OutsideCalendar):
        notified_log().table("6", date(2031, 1, 1))


def test_an_unknown_table_or_basis_is_refused_with_what_there_is() -> None:
    with pytest.raises(UnknownTable, match="expected one of chart, 1, 2"):
        notified_log().table("9", DUE)
    with pytest.raises(UnknownTable, match="expected one of due for table 6, found occurred"):
        notified_log().table("6", DUE, basis=Basis.OCCURRED)


@pytest.mark.parametrize(
    "text", ["", "20", "2020-13-01/2020-12-31", "2020-02-01/2020-01-01", "2020-01-01", "20200101/20201231", "2020/2021"]
)
def test_a_period_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"period|day|month|isoformat"):
        Period.parse(text)


def test_a_period_is_a_year_or_two_days() -> None:
    assert Period.parse("2020") == Period.parse("2020-01-01/2020-12-31") == Period.year(2020)
    assert str(Period.parse("2020")) == "2020-01-01/2020-12-31"


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.integers(0, 2))
def test_percents_round_half_up(part: int, whole: int, places: int) -> None:
    exact = Decimal(part) * 100 / Decimal(whole)
    found = percent(part, whole, places)
    assert found is not None
    assert found.as_tuple().exponent == -places
    step = Decimal(1).scaleb(-places)
    assert found - step / 2 <= exact < found + step / 2 or abs(exact - found - step / 2) < Decimal(1).scaleb(-20)


def test_half_a_percent_rounds_up_and_there_is_no_percent_of_nothing() -> None:
    assert [percent(1, 200, 0), percent(3, 200, 0), percent(1, 2_000, 1), percent(0, 0, 1)] == [
        Decimal(1),
        Decimal(2),
        Decimal("0.1"),
        None,
    ]


def test_findings_are_counted_until_they_are_mended_also_of_events_that_say_nothing_else_of_the_case() -> None:
    log = notified_log()
    told = log.live(PartnersInformed(partners=(ICB,)), date(2024, 3, 5))
    log.events[-1] = replace(told, findings=(RuleId("incident.partners_untold"), RuleId("incident.of_an_older_hub")))
    rest = log.live(PartnersInformed(partners=(POLICE,)), date(2024, 3, 12))
    log.events[-1] = replace(rest, mended=(RuleId("incident.partners_untold"),))
    counts = [
        {row.key: row.cells for row in log.table("findings", day).all_rows() if any(row.cells)}
        for day in (date(2024, 3, 4), date(2024, 3, 11), date(2024, 3, 12))
    ]
    older = {"incident.of_an_older_hub": (1, 0, 1)}
    assert counts == [
        {},
        {"incident.partners_untold": (1, 0, 1), **older, "total": (2, 0, 2)},
        {"incident.partners_untold": (1, 1, 0), **older, "total": (2, 1, 1)},
    ]


def test_every_table_serialises_without_floats() -> None:
    with filled(random_log(7, cases=30)) as (connection, tables):
        counted = [panel_table(connection, tables, number, Period.year(2020), date(2026, 1, 5)) for number in TABLES]
    assert len(counted) == 19
    for table in counted:
        text = json.dumps(table.as_document())
        assert json.loads(text, parse_float=pytest.fail) == table.as_document()
        assert {len(row.cells) for row in table.all_rows()} == {len(table.columns)}
        assert len({row.key for row in table.all_rows()}) == len(list(table.all_rows()))
        assert dict(table.described())["count day"] == "2026-01-05"


def test_a_child_named_in_an_amendment_but_not_in_the_case_is_not_added() -> None:
    log = notified_log()
    stranger = a_child(ChildId("01890000-0000-7000-8000-0000000000ff"), death_category=DeathCategory.SUDI)
    log.live(NotificationAmended(reason="Synthetic.", children=(stranger,)), date(2024, 3, 5))
    assert total(log.table("1", DUE)) == 1


def test_notes_count_the_cases_of_their_own_table_only() -> None:
    log = Log()
    log.live(a_notification(care_leaver_only=True, children=(a_care_leaver(),)), DAY_ZERO)
    note = "1 of the cases notify a care leaver's death alone and owe no rapid review."
    assert {number: log.table(number, DUE).notes for number in ("chart", "2", "3", "decisions", "agreement")} == {
        "chart": (note,),
        "2": (note,),
        "3": (),
        "decisions": (),
        "agreement": (),
    }
