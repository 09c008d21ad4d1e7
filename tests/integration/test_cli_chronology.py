"""``hub chronology`` against a hub served in a process of its own."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.builders import BUSINESS_UNIT, CASE, CHILD, OTHER_CASE, SHARD
from tests.support.command import HUB, environment
from tests.support.settled import FORMULA, Served, settled_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with settled_hub(tmp_path_factory.mktemp("cli") / "hub") as served:
        yield served


def test_a_chronology_is_found_without_naming_its_partnership(hub: Served) -> None:
    story = hub.ran("chronology", CASE, "--json").document

    assert (story["shard"], story["case_id"], story["as"]) == (SHARD, CASE, BUSINESS_UNIT)
    assert [line["event_type"] for line in story["lines"]].count("incident.notified.v1") == 1
    assert FORMULA in [line["fact"] for line in story["lines"]]
    assert FORMULA in hub.ran("chronology", CASE).out


def test_a_childs_chronology_is_that_of_all_its_cases(hub: Served) -> None:
    whole = hub.ran("chronology", CASE, "--json").document
    told = hub.ran("chronology", "--child", CHILD, "--shard", SHARD, "--json").document
    assert (told["child_id"], told["as"]) == (CHILD, whole["as"])
    assert CASE in [one["case_id"] for one in told["cases"]]
    printed = hub.ran("chronology", "--child", CHILD, "--shard", SHARD).out
    assert f"case 1: {told['cases'][0]['case_id']}" in printed
    exported = hub.ran("chronology", "--child", CHILD, "--shard", SHARD, "--csv").out.splitlines()
    assert len(exported) > sum(len(one["lines"]) for one in told["cases"])


@pytest.mark.parametrize("arguments", [(), (CASE, "--child", CHILD), ("--child", CHILD), ("--child", CHILD, "--shard", SHARD, "--watch")])
def test_whose_chronology_must_be_clear(hub: Served, arguments: tuple[str, ...]) -> None:
    assert hub.ran("chronology", *arguments).code == 2


def test_a_chronology_as_known_earlier_is_shorter(hub: Served) -> None:
    assert hub.ran("chronology", CASE, "--known-at", "2024-01-01", "--json").document["lines"] == []


def test_no_cell_of_an_exported_chronology_is_a_formula(hub: Served) -> None:
    exported = hub.ran("chronology", CASE, "--all", "--csv")

    rows = list(csv.DictReader(io.StringIO(exported.out)))
    assert f"'{FORMULA}" in [row["fact"] for row in rows]
    assert not [cell for row in rows for cell in row.values() if cell[:1] in "=+-@\t\r" and cell]


def test_a_case_of_others_and_no_case_end_with_3(hub: Served) -> None:
    hub.ran("agencies", "enrol", "la-E09999909", "--name", "Elsewhere (synthetic)", "--shard", "elsewhere", "--with-key")

    assert hub.ran("chronology", OTHER_CASE).code == 3
    assert hub.ran("chronology", CASE, "--as", "la-E09999909").code == 3
    assert hub.ran("chronology", "nonsense").code == 2
    absent = hub.ran("chronology", CASE, "--as", "la-E00000000")
    assert (absent.code, "hub agencies enrol la-E00000000 --with-key makes one" in absent.err) == (2, True)


def test_a_watched_chronology_shows_what_is_there_and_ends_when_interrupted(hub: Served) -> None:
    command = [*HUB, "chronology", CASE, "--home", str(hub.home), "--watch", "--json"]
    watch = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603
    assert watch.stdout is not None
    first = json.loads(watch.stdout.readline())
    watch.send_signal(signal.SIGINT)
    _, err = watch.communicate(timeout=20)

    assert [line["event_type"] for line in first["lines"]].count("incident.notified.v1") == 1
    assert (watch.returncode, err) == (0, "")
