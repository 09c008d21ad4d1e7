"""What ``hub demo`` is given to draw another England, and the case that is told beside one."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.incident.events import CaseReferred
from domain.kernel.events import london_day
from projections.oversight.published import bundled_report
from services.cli.demo import report
from services.cli.demo.command import INCIDENTS_MAX
from services.cli.demo.saying import Cast, Saying
from services.cli.demo.showing import COUNT_DAY, OVERDUE_ON
from services.cli.demo.story import chosen_beside, told_case
from services.cli.synthetic.england import england
from services.cli.synthetic.generator import population
from tests.support.command import ran
from tests.unit.cli.test_demo_story import SEEDS, admitted


def told_beside(seed: int) -> tuple[Cast, tuple[Saying, ...]]:
    incident = chosen_beside(england(), bundled_report(), seed)
    cast = Cast(area=incident.area, case_id=incident.case_id)
    return cast, told_case(cast, incident)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_deciders_answer_the_case_told_beside_a_drawn_england_as_it_expects_whatever_the_seed(seed: int) -> None:
    cast, sayings = told_beside(seed)
    log = admitted(cast, sayings)
    assert log[1].event_type == CaseReferred.EVENT_TYPE


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_of_the_case_told_beside_was_done_by_the_count_day(seed: int) -> None:
    _, sayings = told_beside(seed)
    moments = [saying.event.details.done_at for saying in sayings if saying.event.details is not None]
    assert len(moments) == len(sayings)
    assert [moment for moment in moments if moment is None or london_day(moment) <= COUNT_DAY] == []


def test_the_case_told_beside_is_none_of_those_drawn_from_the_same_seed() -> None:
    for seed in SEEDS:
        drawn = population(bundled_report(), 500, seed)
        assert told_beside(seed)[0].case_id not in {incident.case_id for incident in drawn.incidents}


@pytest.mark.parametrize(
    ("number", "words"),
    [("0", "at least 1"), ("-1", "at least 1"), (str(INCIDENTS_MAX + 1), f"at most {INCIDENTS_MAX}"), ("many", "a whole number")],
)
def test_a_number_of_incidents_out_of_range_is_refused_with_its_limit(number: str, words: str, tmp_path: Path) -> None:
    answer = ran("demo", "--incidents", number, "--keep", tmp_path / "kept")
    assert (answer.code, answer.out) == (2, "")
    assert f"'--incidents': expected {words}\n" in answer.err
    assert not (tmp_path / "kept").exists()


def test_a_cluster_is_not_shown_with_another_england(tmp_path: Path) -> None:
    answer = ran("demo", "--incidents", "3", "--cluster", "--keep", tmp_path / "kept")
    assert (answer.code, answer.out) == (2, "")
    assert "leave out --incidents, or --cluster" in answer.err
    assert not (tmp_path / "kept").exists()


def test_whoever_wants_to_keep_what_is_gone_is_told_how_to_draw_it_again() -> None:
    told = list(report.what_next("case", "la-X0001", None, " --incidents 40 --seed 7"))
    assert "  hub demo --incidents 40 --seed 7 --keep demo-hub" in told


def test_where_nobody_was_overdue_it_says_so() -> None:
    assert list(report.overdue(OVERDUE_ON, [], 3))[-1] == "Nobody was."


def test_tables_that_nobody_has_published_are_said_to_stand_alone() -> None:
    words = " ".join(report.drawn_tables_begin(40))
    assert "40 incidents drawn" in words
    assert "no published figures" in words
