"""The table of what should not have happened but did: rules found broken, mended, and open still."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final

from domain.incident import rules as incident
from domain.kernel.rules import Rule
from domain.local_review import rules as local_review
from domain.rapid_review import rules as rapid_review
from projections.oversight.body import Body
from projections.oversight.facts import Verdict
from projections.oversight.panel_table import Column, Row
from projections.oversight.population import Counted

_COLUMNS: Final = (Column(key="found", label="Found"), Column(key="mended", label="Mended"), Column(key="open", label="Open"))
_NOTE: Final = (
    "Findings of deadlines alone are not counted here: they follow from the day on which one looks."
    " Nor are those of cases that were never notified, or withdrawn since: no table counts such."
)
_GROUPS: Final[dict[str, tuple[Rule, ...]]] = {
    "Incident": tuple(rule for rule in incident.RULES if rule.mend),
    "Rapid review": rapid_review.FINDINGS,
    "Local review": local_review.FINDINGS,
}


def findings(counted: Counted) -> Body:
    """Count, rule by rule, how often it was found broken in a case, how often that was mended, and in how many cases it is open."""
    found, mended = Counter[str](), Counter[str]()
    for case in counted.cases:
        verdicts = counted.population.verdicts.get((case.shard, case.case_id), ())
        for verdict in _changes(verdicts, counted.population.count_day):
            (mended if verdict.is_mended else found)[verdict.rule] += 1
    rows = [_row(rule.id, rule.words, group, found, mended) for group, rules in _GROUPS.items() for rule in rules]
    known = {row.key for row in rows}
    rows += [_row(rule, rule, "Other", found, mended) for rule in sorted(found.keys() - known)]
    total = (found.total(), mended.total(), found.total() - mended.total())
    return Body(columns=_COLUMNS, rows=tuple(rows), total=Row(key="total", label="Total", cells=total), notes=(_NOTE,))


def _row(key: str, label: str, group: str, found: Counter[str], mended: Counter[str]) -> Row:
    return Row(key=key, label=label, group=group, cells=(found[key], mended[key], found[key] - mended[key]))


def _changes(verdicts: Iterable[Verdict], count_day: date) -> Iterator[Verdict]:
    """Yield the verdicts by the end of a day that change anything: a rule that is open is not found again, and only an open one mended."""
    still_open: set[str] = set()
    for verdict in verdicts:
        if verdict.counts_on <= count_day and verdict.is_mended == (verdict.rule in still_open):
            still_open ^= {verdict.rule}
            yield verdict
