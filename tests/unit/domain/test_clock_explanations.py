from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import date
from typing import Any

import pytest

from domain.calendar import SkippedDay
from domain.incident.codes import LegalStatus
from domain.incident.events import NotificationAmended, PartnersInformed
from domain.kernel.events import Recorded
from domain.local_review.events import (
    CopyKind,
    CopyProvided,
    CopyRecipient,
    LocalReviewInitiated,
    LocalReviewPublished,
)
from domain.rapid_review.events import SentToPanel
from domain.rules import (
    Band,
    State,
    Status,
    bundled_rulebook,
    clock_instances,
    explain,
    read_rules,
    status,
)
from tests.support.builders import (
    BUSINESS_UNIT,
    COUNCIL,
    ICB,
    OTHER_COUNCIL,
    POLICE,
    REQUEST,
    a_child,
    a_delay,
    a_looked_after_death,
    a_notification,
    a_referral,
    a_withdrawal,
    an_awareness,
    assessed,
    became_known,
    body_gone,
)
from tests.support.clock_case import CALENDAR, LONG_AFTER, RULES, Case, asked, at, notified, planned, reviewed

IN_CARE = a_child(legal_status=LegalStatus.CARE_ORDER)


@pytest.fixture
def case() -> Case:
    return Case()


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


def test_an_explanation_says_which_amendment_corrected_the_start() -> None:
    case = notified()
    case.live("2024-03-06", NotificationAmended(reason="An earlier call.", awareness=an_awareness(at("2024-02-23"))))
    told = {each.clock: explain(each, LONG_AFTER, CALENDAR, RULES).lines for each in case.clocks("K1", "K2", "K5B")}
    corrected = f"as corrected by incident.notification_amended.v1 of {COUNCIL} at position 2"
    first = f"by incident.notified.v1 of {COUNCIL} at position 1"
    assert [line for lines in told.values() for line in lines if line.startswith("Day 0")] == [
        f"Day 0: Fri 23 Feb 2024, {first}, {corrected}",
        f"Day 0: Fri 23 Feb 2024, {first}, {corrected}",
        f"Day 0: Mon 4 Mar 2024, {first}",
    ]


def test_an_explanation_says_which_amendment_corrected_an_imported_notification() -> None:
    case = Case()
    case.imported("2020-10-05", a_notification(awareness=an_awareness(at("2020-10-01"))))
    case.imported("2020-10-07", NotificationAmended(reason="Wrong day.", notified_at=at("2020-10-06")))
    (day_zero,) = [line for line in explain(case.clock("K5B"), LONG_AFTER, CALENDAR, RULES).lines if line.startswith("Day 0")]
    assert day_zero.startswith("Day 0: Tue 6 Oct 2020, by incident.notified.v1")
    assert day_zero.endswith(f", as corrected by incident.notification_amended.v1 of {COUNCIL} at position 2")


def test_of_an_event_that_cannot_be_opened_it_is_said_what_cannot_be_known() -> None:
    case = notified()
    case.live("2024-03-20", SentToPanel(), by=BUSINESS_UNIT)
    case.history = [body_gone(each) for each in case.history]
    clock = case.clock("K5B")
    assert clock.not_known == "when it began: the event incident.notified.v1 at position 1 can no longer be opened"
    assert status(clock, LONG_AFTER, CALENDAR) == Status(state=State.NOT_KNOWN, band=Band.MET, because=clock.not_known)
    assert explain(clock, LONG_AFTER, CALENDAR, RULES).lines[-1] == f"Not known: {clock.not_known}"


def test_a_stop_that_cannot_be_read_leaves_it_open_whether_the_clock_was_met() -> None:
    case = planned()
    case.imported("2020-12-02", CopyProvided(recipient=CopyRecipient.PANEL, copy_kind=CopyKind.FULL_REPORT), by=BUSINESS_UNIT)
    case.history[1] = body_gone(case.history[1])
    clock = case.clock("K11:ofsted")
    assert status(clock, LONG_AFTER, CALENDAR).band is Band.NOT_KNOWN
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
            explain(instance, LONG_AFTER, CALENDAR, RULES)
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
    lines = explain(case.clock("K10"), LONG_AFTER, CALENDAR, RULES).lines
    assert lines[0].endswith("met 3 working days late")
    assert f"Stopped: Wed 2 Oct 2024, by local_review.published.v1 of {BUSINESS_UNIT} at position 3" in lines
    reason = "Reason given for lateness: criminal investigation, expected Mon 2 Dec 2024, told panel, secretary of state"
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
