"""Alerts that can fire, and runbooks that name what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.support.exposed import CLOSED, exposed, faults

ROOT: Final = Path(__file__).parents[3]
ALERTS: Final = (ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")
RUNBOOKS: Final = {file.name: file.read_text(encoding="utf-8") for file in sorted((ROOT / "docs/runbooks").glob("*.md"))}
KEYS: Final = ("alert", "expr", "summary", "runbook")
EXPOSED: Final = exposed() | {"up": frozenset({"job"})}
"""``up`` is Prometheus' own, for each target."""
VALUES: Final = CLOSED | {"job": {"hub"}}


def alerts() -> list[dict[str, str]]:
    """Return what each alert says on one line each."""
    parts = re.split(r"\n(?= +- alert:)", ALERTS)[1:]
    return [{key: re.findall(rf"^[ -]+{key}: (.+)$", part, re.MULTILINE)[0] for key in KEYS} for part in parts]


def sections(page: str) -> dict[str, str]:
    """Return the sections of a page, by the anchors of their headings."""
    parts = [part.partition("\n") for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]]
    return {heading.lower().replace(" ", "-"): text for heading, _, text in parts}


def quoted(page: str) -> list[str]:
    """Return what a page has in single backticks."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", page, flags=re.DOTALL))


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_what_a_hub_shows(alert: dict[str, str]) -> None:
    assert faults(alert["expr"], EXPOSED, VALUES) == []


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_the_section_that_an_alert_names_says_by_which_metric_it_is_seen(alert: dict[str, str]) -> None:
    page, _, anchor = alert["runbook"].removeprefix("docs/runbooks/").partition("#")
    section = sections(RUNBOOKS[page])[anchor]
    (name, *_) = re.findall(r"\b(?:hub_\w+|up)\b", alert["expr"])
    assert any(one.startswith(name) for one in quoted(section)), f"{name} is not in {alert['runbook']}"


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
