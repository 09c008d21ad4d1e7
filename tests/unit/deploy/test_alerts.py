"""Alerts that can fire, and runbooks that name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from tests.support.exposed import CLOSED, exposed, faults

ROOT: Final = Path(__file__).parents[3]
ALERTS: Final = (ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
RUNBOOKS: Final = {file.name: file.read_text(encoding="utf-8") for file in sorted((ROOT / "docs/runbooks").glob("*.md"))}
EXPOSED: Final = exposed() | {"up": frozenset({"job"})}
"""``up`` is Prometheus' own, for each target."""
VALUES: Final = CLOSED | {"job": {"hub"}}


class Alert(NamedTuple):
    """An alert: what it asks for, and in which sections of which runbooks it is said what to do."""

    name: str
    expression: str
    runbooks: list[tuple[str, str]]


def alerts() -> list[Alert]:
    """Return the alerts; each has its expression on one line, and names a section at least."""
    found = []
    for part in re.split(r"\n(?= +- alert:)", ALERTS)[1:]:
        (name,), (expression,) = (re.findall(rf"^[ -]+{key}: (.+)$", part, re.MULTILINE) for key in ("alert", "expr"))
        runbooks = re.findall(r"^ +runbook(?:_kafka)?: docs/runbooks/(\S+)#(\S+)$", part, re.MULTILINE)
        assert runbooks, name
        found.append(Alert(name, expression, runbooks))
    return found


def sections(page: str) -> dict[str, str]:
    """Return the sections of a page, by the anchors of their headings."""
    parts = [part.partition("\n") for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]]
    return {heading.lower().replace(" ", "-"): text for heading, _, text in parts}


def quoted(page: str) -> list[str]:
    """Return what a page has in single backticks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL))


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_an_alert_asks_for_what_a_hub_shows(alert: Alert) -> None:
    assert faults(alert.expression, EXPOSED, VALUES) == []


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)
def test_the_sections_that_an_alert_names_say_by_which_metric_it_is_seen(alert: Alert) -> None:
    for page, anchor in alert.runbooks:
        seen = [re.match(r"\w*", one)[0] for one in quoted(sections(RUNBOOKS[page])[anchor])]  # type: ignore[index]
        for metric in re.findall(r"\b(?:(?:hub|grpc)_\w+|up)\b(?!=)", alert.expression):
            assert metric in seen, f"{metric} is not in {page}#{anchor}"


@pytest.mark.parametrize("page", RUNBOOKS)
def test_metrics_of_a_runbook_are_those_of_a_hub(page: str) -> None:
    named = [one for one in quoted(RUNBOOKS[page]) if re.match(r"(?:hub|grpc)_\w+|up(?: |\{|$)", one)]
    assert {one: found for one in named if (found := faults(one, EXPOSED, VALUES))} == {}


def test_log_lines_rules_and_files_of_a_runbook_are_written_so_in_the_code() -> None:
    folders = ("domain", "projections", "protos/safeguarding", "services")
    code = "\n".join(file.read_text(encoding="utf-8") for folder in folders for file in (ROOT / folder).rglob("*.py"))
    named = {one for page in RUNBOOKS.values() for one in quoted(page) if re.fullmatch(r"[a-z_]+\.[a-z_]+", one)}
    assert {one for one in named if f'"{one}"' not in code} == set()
    assert "projector.failed" in named


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ('increase(hub_refusals_total{code="integrity"}[5m]) > 0', []),
        ('hub_refusals_total{code="INTEGRITY"} > 0', ["hub_refusals_total: code is never INTEGRITY"]),
        ("hub_refusals > 0", ["no metric hub_refusals"]),
        ("max by (shard) (hub_projection_lag_seconds) > 60", ["hub_projection_lag_seconds has no label shard"]),
        ('hub_deadlines{view="registry"} > 0 and up == 1', ["hub_deadlines has no label view"]),
        ('hub_deadlines{band=~"over.*"} > 0', ['hub_deadlines: band=~"over.*" is not understood']),
    ],
)
def test_what_an_expression_names_wrongly_is_found(expression: str, found: list[str]) -> None:
    assert faults(expression, EXPOSED, VALUES) == found
