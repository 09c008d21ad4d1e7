from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TextIO

import pytest
from rich.console import Console

from domain.areas import decider_for
from domain.calendar import bundled, working_days_between
from domain.incident.codes import DeathCategory
from domain.incident.events import DelayExplained, IncidentNotified
from domain.kernel.events import Recorded, london_day
from domain.kernel.ids import CaseId, Stream, category_of
from domain.local_review.events import CopyProvided, LocalReviewPublished
from domain.rapid_review.events import Decision, SentToPanel
from domain.sharing.events import Caveat, Entry, InformationCorrected, InformationDisputed, InformationShared, NilReturn
from services.cli.demo import report
from services.cli.demo.report import WIDTH, grid, heading, paragraph
from services.cli.demo.saying import Cast, Saying
from services.cli.demo.story import choose, told_case
from services.cli.demo.today import HISTORY_ENDS_BEFORE, live_case
from services.cli.output import console
from services.cli.synthetic.generator import Population, england_2020
from services.cli.synthetic.population import Incident
from tests.support.admitting import LIVE_FROM, NOW, Admitting

REPORT = json.loads(Path(__file__).parents[3].joinpath("projections/oversight/panel_2020.json").read_text(encoding="utf-8"))
SEEDS = (2020, 1, 2, 3, 4, 5)


def chosen(seed: int) -> tuple[Population, Incident, Cast]:
    people = england_2020(REPORT, seed)
    incident = choose(people.incidents)
    return people, incident, Cast(area=incident.area, case_id=incident.case_id)


def admitted(cast: Cast, sayings: Sequence[Saying], live_from: date = LIVE_FROM) -> list[Recorded]:
    """Say everything to the deciders and hold each answer against what the saying expects."""
    hub = Admitting(live_from=live_from)
    hub.establish([cast.area], {cast.shard: cast.relevant})
    for saying in sayings:
        if saying.refused_by:
            refusal = hub.refusal(saying.agency, cast.shard, cast.case_id, saying.event, imported=saying.imported)
            assert refusal == saying.refused_by, saying.event.EVENT_TYPE
            continue
        recorded = hub.tell(saying.agency, cast.shard, cast.case_id, saying.event, imported=saying.imported)
        assert (recorded.findings, recorded.mended) == (saying.finds, saying.mends), saying.event.EVENT_TYPE
    return hub.log


@pytest.mark.parametrize("seed", SEEDS)
def test_the_deciders_answer_the_told_case_as_it_expects_whatever_the_seed(seed: int) -> None:
    _, incident, cast = chosen(seed)
    log = admitted(cast, told_case(cast, incident))
    for name in {one.stream for one in log}:
        decider = decider_for(category_of(name))
        assert decider.open_rules(decider.fold([one for one in log if one.stream == name])) == frozenset()


@pytest.mark.parametrize("seed", range(25))
def test_the_told_incident_is_a_death_reviewed_late_with_a_local_review_and_the_panels_agreement(seed: int) -> None:
    people, told, _ = chosen(seed)
    assert told in people.incidents
    assert told.received_at is not None
    taken = working_days_between(london_day(told.notified_at), london_day(told.received_at), bundled())
    assert 16 <= taken <= 25
    assert (told.kind[1], told.decision, told.agreed) == (DeathCategory.EXTRA_FAMILIAL_FATAL_ASSAULT, Decision.LOCAL_REVIEW, True)


def test_choosing_exchanges_courses_and_so_changes_no_count() -> None:
    before, after = england_2020(REPORT, 4).incidents, chosen(4)[0].incidents
    for name in ("kind", "traits", "children", "area", "notified_at", "received_at", "decision", "agreed", "happened_on"):
        assert Counter(repr(getattr(one, name)) for one in before) == Counter(repr(getattr(one, name)) for one in after)


def test_the_told_case_notifies_and_sends_just_as_the_population_would() -> None:
    people, incident, cast = chosen(2020)
    told = {saying.event.EVENT_TYPE: saying.event for saying in told_case(cast, incident) if not saying.refused_by}
    dealt = {step.event.EVENT_TYPE: step.event for step in people.story(incident)}
    ours, theirs = told[IncidentNotified.EVENT_TYPE], dealt[IncidentNotified.EVENT_TYPE]
    assert isinstance(ours, IncidentNotified)
    assert isinstance(theirs, IncidentNotified)
    counted = ("details", "notification_type", "incident_on", "children", "characteristics", "deprivation_fifth", "incident_authority")
    assert [getattr(ours, name) for name in counted] == [getattr(theirs, name) for name in counted]
    assert told[SentToPanel.EVENT_TYPE].details == dealt[SentToPanel.EVENT_TYPE].details


def entries(sayings: Sequence[Saying]) -> list[Entry]:
    return [entry for saying in sayings if isinstance(saying.event, InformationShared) for entry in saying.event.entries]


def test_the_told_case_holds_all_that_it_is_to_show() -> None:
    _, incident, cast = chosen(2020)
    sayings = told_case(cast, incident)
    shared, events = entries(sayings), [saying.event for saying in sayings]
    assert 12 <= len(shared) <= 20
    assert sum(entry.opinion for entry in shared) == 1
    assert sum(entry.third_party for entry in shared) == 1
    assert [entry.caveats for entry in shared if entry.caveats] == [(Caveat.POLICE_INTELLIGENCE,)]
    assert sum(entry.childs_voice is not None for entry in shared) >= 6
    assert {kind: sum(isinstance(event, kind) for event in events) for kind in (NilReturn, InformationCorrected, InformationDisputed)} == {
        NilReturn: 1,
        InformationCorrected: 1,
        InformationDisputed: 1,
    }
    assert [event.clock for event in events if isinstance(event, DelayExplained)] == ["K5B", "K10"]
    assert [saying.refused_by for saying in sayings if saying.refused_by] == [
        "incident.notifier",
        "rapid_review.sign_off_is_the_partners_own",
    ]
    assert sum(saying.replayed for saying in sayings) == 1
    assert {saying.agency.partition("-")[0] for saying in sayings} == {"la", "icb", "police", "agency", "partnership", "panel"}


def test_copies_go_out_at_least_seven_working_days_before_publication() -> None:
    _, incident, cast = chosen(2020)
    events = [saying.event for saying in told_case(cast, incident)]
    (published,) = [event for event in events if isinstance(event, LocalReviewPublished)]
    copies = [event for event in events if isinstance(event, CopyProvided)]
    assert len(copies) == 3
    for copy in copies:
        assert copy.details is not None
        assert copy.details.done_at is not None
        assert published.details is not None
        assert published.details.done_at is not None
        assert working_days_between(london_day(copy.details.done_at), london_day(published.details.done_at), bundled()) >= 7


def test_the_told_case_is_history_and_what_an_agency_says_again_it_says_later() -> None:
    _, incident, cast = chosen(2020)
    last: dict[Stream, date] = {}
    for saying in told_case(cast, incident):
        assert saying.event.details is not None
        assert saying.event.details.done_at is not None
        moment = saying.event.details.done_at
        assert london_day(moment) < LIVE_FROM
        stream = Stream(f"{saying.agency}{saying.event.EVENT_TYPE}")
        assert last.get(stream, date.min) <= london_day(moment)
        last[stream] = london_day(moment)


def test_the_case_of_today_is_refused_as_history_and_accepted_live() -> None:
    _, _, cast = chosen(2020)
    today = replace(cast, case_id=CaseId("01890000-0000-7000-8000-00000000c0de"))
    sayings = live_case(today, NOW)
    assert [saying.refused_by for saying in sayings if saying.imported] == ["time.imported_after_live"]
    log = admitted(today, sayings, live_from=london_day(NOW) - HISTORY_ENDS_BEFORE)
    assert [one.event_type for one in log[1:]] == [
        "incident.notified.v1",
        "incident.partners_informed.v1",
        "rapid_review.opened.v1",
        "information.requested.v1",
    ]


def test_a_table_that_does_not_fit_is_broken_where_it_may_be_and_never_wider_than_the_screen() -> None:
    lines = grid(
        ("clock", "what", "status"), [("K1", "a long name of what is owed " * 5, "met 3 WD late"), ("K2", "short", "running")], widest=1
    )
    assert max(map(len, lines)) <= WIDTH
    assert lines[-1].split() == ["K2", "short", "running"]
    assert " ".join(" ".join(lines).split()).count("long") == 5


@pytest.mark.usefixtures("width_asked_anew")
def test_how_wide_the_screen_is_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[TextIO] = []

    def counted(stream: TextIO) -> Console:
        asked.append(stream)
        return console(stream)

    monkeypatch.setattr(report, "console", counted)
    for _ in range(3):
        paragraph("words")

    assert len(asked) == 1


def test_a_paragraph_is_never_wider_than_the_screen() -> None:
    assert max(map(len, paragraph("word " * 100 + "x" * 300, 4, 2))) <= WIDTH


@pytest.fixture
def width_asked_anew() -> Iterator[None]:
    """Let the report ask how wide the screen is, and whoever comes after too."""
    report.width.cache_clear()
    yield
    report.width.cache_clear()


@pytest.mark.usefixtures("width_asked_anew")
def test_lines_are_no_wider_than_there_are_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")

    assert heading("A heading that is longer than forty columns") == [
        "",
        "A heading that is longer than forty",
        "columns",
        "=" * len("A heading that is longer than forty"),
    ]
    assert max(map(len, paragraph("word " * 100 + "x" * 300, 4, 2))) <= 40
    assert max(map(len, grid(("a", "b"), [("word " * 20, "c")]))) <= 40
