"""Every decision area by the category of its streams, and every rule by its id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from domain.access import decider as access
from domain.agency import decider as agency
from domain.incident import decider as incident
from domain.incident import rules as incident_rules
from domain.kernel import times
from domain.kernel.decider import Decider
from domain.kernel.ids import RuleId
from domain.kernel.rules import Rule
from domain.local_review import decider as local_review
from domain.local_review import rules as local_review_rules
from domain.partnership import decider as partnership
from domain.rapid_review import decider as rapid_review
from domain.rapid_review import rules as rapid_review_rules
from domain.sharing import decider as sharing
from domain.sharing import rules as sharing_rules

AREAS: Final[tuple[Decider[Any], ...]] = (
    agency.DECIDER,
    partnership.DECIDER,
    incident.DECIDER,
    sharing.DECIDER,
    rapid_review.DECIDER,
    local_review.DECIDER,
    access.DECIDER,
)
"""The areas in the order of a case's life; each may read the states of those before it."""

_BY_CATEGORY: Final[Mapping[str, Decider[Any]]] = {area.category: area for area in AREAS}


def decider_for(category: str) -> Decider[Any]:
    """Return the decider of the streams of ``category``; raise ``KeyError`` for a category that no area has."""
    return _BY_CATEGORY[category]


def _catalogue(rules: Iterable[Rule]) -> Mapping[RuleId, Rule]:
    """Return the rules by id; raise ``ValueError`` if two different rules share one."""
    catalogue: dict[RuleId, Rule] = {}
    for rule in rules:
        if catalogue.setdefault(rule.id, rule) != rule:
            raise ValueError(f"two rules are called {rule.id}")
    return catalogue


RULES: Final[Mapping[RuleId, Rule]] = _catalogue(
    rule
    for rules in (
        times.RULES,
        agency.RULES,
        partnership.RULES,
        incident_rules.RULES,
        sharing_rules.RULES,
        rapid_review_rules.RULES,
        local_review_rules.RULES,
        access.RULES,
    )
    for rule in rules
)
"""Every rule that an event can break, by id."""
