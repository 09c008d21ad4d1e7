from __future__ import annotations

import json
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import holidays
import pytest

from domain.incident.events import IncidentNotified
from domain.kernel.events import Event
from domain.rapid_review.events import SentToPanel
from projections.oversight.definitions import count_table
from projections.oversight.panel_table import Period
from services.cli.synthetic.generator import Population, england_2020, population
from services.cli.synthetic.lives import Step
from tests.support.admitting import Admitting
from tests.support.naive_tables import naive_tables
from tests.support.oversight_rows import population_of

REPORT = json.loads(Path(__file__).parents[3].joinpath("projections/oversight/panel_2020.json").read_text(encoding="utf-8"))
TABLES = REPORT["tables"]
CLOSED = set(holidays.country_holidays("GB", subdiv="ENG", years=range(2019, 2023)))
ETHNIC = {
    "Asian or Asian British": {"indian", "pakistani", "bangladeshi", "chinese", "asian_other"},
    "Black or Black British": {"black_african", "black_caribbean", "black_other"},
    "Mixed": {"mixed_white_and_black_caribbean", "mixed_white_and_black_african", "mixed_white_and_asian", "mixed_other"},
    "White British": {"white_british"},
    "Any other ethnic group": {"arab", "other"},
    "Not recorded": {"not_recorded"},
}


@pytest.fixture(scope="module")
def england() -> Population:
    return england_2020(REPORT)


def notifications(people: Population) -> list[IncidentNotified]:
    return [step.event for step in people.steps() if isinstance(step.event, IncidentNotified)]


def working_days(first: date, last: date) -> int:
    days = [first + timedelta(days=number) for number in range(1, (last - first).days + 1)]
    return sum(day.isoweekday() <= 5 and day not in CLOSED for day in days)


def done_on(event: Event) -> date:
    assert event.details is not None
    assert event.details.done_at is not None
    return london(event.details.done_at)


def london(instant: datetime) -> date:
    return instant.astimezone(ZoneInfo("Europe/London")).date()


def test_england_2020_has_as_many_notifications_of_each_type_as_the_panel_printed(england: Population) -> None:
    found = Counter(event.notification_type.value for event in notifications(england))
    assert dict(found) == {"death": 206, "serious_harm": 267, "other": 9}


def test_england_2020_has_as_many_children_of_each_ethnic_group_as_table_1(england: Population) -> None:
    found = Counter(child.ethnicity.value for event in notifications(england) for child in event.children)
    ours = {label: sum(found[code] for code in codes) for label, codes in ETHNIC.items()}
    assert ours == {row["label"]: row["number"] for row in TABLES["table_1"]["rows"]}
    assert found.total() == 514


def test_england_2020_has_as_many_deaths_of_each_category_as_table_2(england: Population) -> None:
    index = [next(child for child in event.children if child.index_child) for event in notifications(england)]
    found = Counter(child.death_category.value for child in index if child.death_category is not None)
    printed = [row["number"] for row in TABLES["table_2"]["rows"]]
    # The codes stand in the order in which the categories are printed.
    assert [found[code] for code in REPORT_DEATHS] == printed
    kinds = Counter(child.other_death_kind.value for child in index if child.other_death_kind is not None)
    assert dict(kinds) == {"accident": 8, "medical": 1, "risk_taking": 5, "poisoning": 1, "other": 5}


REPORT_DEATHS = (
    "overt_filicide",
    "covert_filicide",
    "fatal_physical_abuse",
    "severe_persistent_cruelty",
    "extreme_neglect",
    "extra_familial_homicide",
    "extra_familial_fatal_assault",
    "sudi",
    "suicide",
    "other_maltreatment_related",
    "not_maltreatment_related",
    "not_clear",
)
REPORT_HARMS = (
    "physical_abuse",
    "neglect",
    "emotional_abuse",
    "sexual_abuse_intra_familial",
    "sexual_abuse_extra_familial",
    "sexual_exploitation",
    "criminal_exploitation",
    "young_person_perpetrator",
    "risk_taking_or_violent",
    "other",
)


def test_england_2020_has_as_many_harmed_of_each_category_as_table_3(england: Population) -> None:
    index = [next(child for child in event.children if child.index_child) for event in notifications(england)]
    found = Counter(child.harm_category.value for child in index if child.harm_category is not None)
    assert [found[code] for code in REPORT_HARMS] == [row["number"] for row in TABLES["table_3"]["rows"]]


def test_england_2020_has_as_many_incidents_of_each_characteristic_and_type_as_table_4(england: Population) -> None:
    found = Counter((trait.value, event.notification_type.value) for event in notifications(england) for trait in event.characteristics)
    codes = (
        "parental_alcohol_misuse",
        "parental_drug_misuse",
        "parental_adverse_childhood",
        "parent_care_leaver",
        "parental_criminal_record",
        "parental_mental_ill_health",
        "parental_learning_difficulty",
        "parental_separation",
        "domestic_abuse",
        "elective_home_education",
        "disability",
        "child_mental_ill_health",
    )
    ours = [[found[code, kind] for kind in ("death", "serious_harm", "other")] for code in codes]
    assert ours == [[row["death"], row["serious_harm"], row["other"]] for row in TABLES["table_4"]["rows"]]


def test_england_2020_has_reviews_received_and_missing_as_in_table_6(england: Population) -> None:
    notified: dict[str, date] = {}
    received: dict[str, date] = {}
    for step in england.steps():
        if isinstance(step.event, IncidentNotified):
            notified[step.case_id] = done_on(step.event)
        if isinstance(step.event, SentToPanel):
            received[step.case_id] = done_on(step.event)
    due_in_2020 = [case for case, day in notified.items() if working_days(day, date(2020, 12, 31)) >= 15]
    bands: Counter[tuple[str, bool]] = Counter()
    for case in due_in_2020:
        taken = working_days(notified[case], received.get(case, date(2021, 3, 31)))
        band = "1-15" if taken <= 15 else "16-25" if taken <= 25 else "26-59" if taken <= 59 else "60+"
        bands[band, case in received] += 1
    rows = TABLES["table_6"]["rows"]
    ours = [(bands[row["band_working_days"], True], bands[row["band_working_days"], False]) for row in rows]
    assert ours == [(row["received"], row["not_yet_received_march_2021"]) for row in rows]
    assert len(notified) - len(due_in_2020) == 37


def test_every_incident_of_england_2020_happened_in_that_year(england: Population) -> None:
    assert {event.incident_on.day.year for event in notifications(england)} == {2020}


def test_england_2020_has_neither_changes_nor_corrections(england: Population) -> None:
    found = Counter(step.event.EVENT_TYPE for step in england.steps())
    assert not set(found) & LATER
    assert not any(step.corrects_because for step in england.steps())


LATER = {
    "incident.notification_amended.v1",
    "incident.reclassified.v1",
    "incident.child_added.v1",
    "incident.notification_withdrawn.v1",
}


@pytest.mark.parametrize("seed", [1, 7, 2020])
def test_other_seeds_of_england_2020_have_the_same_counts(seed: int) -> None:
    other = england_2020(REPORT, seed)
    assert len(other.incidents) == 482
    assert Counter(event.notification_type.value for event in notifications(other)) == {"death": 206, "serious_harm": 267, "other": 9}
    assert sum(len(event.children) for event in notifications(other)) == 514


def test_the_same_seed_gives_the_same_events_and_another_seed_other_ones() -> None:
    first, again, other = (list(population(REPORT, 60, seed).steps()) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    assert list(england_2020(REPORT, 3).steps()) == list(england_2020(REPORT, 3).steps())


def admitted(people: Population) -> Admitting:
    """Say everything to the deciders, stage by stage, corrections pointing at what they correct; whatever is refused is raised."""
    hub = Admitting()
    hub.establish(people.areas)
    said: dict[tuple[str, str, str], bytes] = {}
    for step in sorted(people.steps(), key=lambda step: step.stage):
        event = step.correcting(said[key(step)]) if step.corrects_because else step.event
        said[key(step)] = hub.tell(step.agency, step.shard, step.case_id, event).event_id
    return hub


def key(step: Step) -> tuple[str, str, str]:
    return (step.case_id, step.agency, step.event.EVENT_TYPE)


def test_the_deciders_admit_all_of_england_2020_and_find_only_what_was_sent_undecided(england: Population) -> None:
    hub = admitted(england)
    found = Counter(finding for one in hub.log for finding in one.findings)
    undecided = [one for one in england.incidents if one.received_at is not None and one.decision.value == "undecided"]
    assert dict(found) == {"rapid_review.sent_undecided": len(undecided)}


@pytest.mark.parametrize(("incidents", "seed"), [(1, 1), (40, 2), (700, 3)])
def test_the_deciders_admit_populations_of_other_sizes(incidents: int, seed: int) -> None:
    people = population(REPORT, incidents, seed)
    hub = admitted(people)
    assert sum(one.event_type == "incident.notified.v1" for one in hub.log) == incidents


@pytest.mark.parametrize(("seed", "count_day"), [(21, date(2021, 3, 31)), (22, date(2020, 10, 1))])
def test_the_tables_of_other_populations_equal_a_naive_count_of_their_events(seed: int, count_day: date) -> None:
    log = admitted(population(REPORT, 150, seed)).log
    expected = naive_tables(log, "occurred", date(2020, 1, 1), date(2020, 12, 31), count_day)
    everyone = population_of(log, count_day)
    for number in ("chart", "1", "2", "3", "4", "5", "6", "7", "8", "decisions", "agreement"):
        table = count_table(everyone, number, Period.year(2020))
        found = [(row.label, tuple("" if cell is None else str(cell) for cell in row.cells)) for row in table.all_rows()]
        assert found == expected[number], f"table {number}"


def test_other_populations_have_amendments_reclassifications_withdrawals_corrections_and_added_children() -> None:
    found: Counter[str] = Counter()
    corrected: set[str] = set()
    for step in population(REPORT, 400, 11).steps():
        found[step.event.EVENT_TYPE] += 1
        if step.corrects_because:
            corrected.add(step.event.EVENT_TYPE)
    assert {name for name in LATER if found[name] >= 3} == LATER
    assert corrected == {"rapid_review.sent_to_panel.v1", "rapid_review.decision_made.v1"}


def test_nothing_in_a_population_names_anybody(england: Population) -> None:
    words: set[str] = set()
    for event in notifications(england):
        words.add(event.circumstances)
    assert words == {"Synthetic incident, made by a program. It is about nobody."}
    assert all(area.name.endswith("(synthetic)") for area in england.areas)


def test_every_area_has_its_own_name_and_its_own_council(england: Population) -> None:
    for name in ("name", "shard", "council", "business_unit"):
        assert len({getattr(area, name) for area in england.areas}) == len(england.areas) == 151
