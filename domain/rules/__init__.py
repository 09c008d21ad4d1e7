"""Statutory clocks as dated data, and the engine that applies them to a case and explains every deadline."""

from domain.rules.catalogue import ClockRule, ClockRules, bundled_rules, read_rules
from domain.rules.engine import clock_instances, instances_of, known_by
from domain.rules.facts import Fact, reduce
from domain.rules.instances import ClockInstance, EventReference, PartnershipTerms, Reason
from domain.rules.rulebook import Rulebook, bundled_rulebook
from domain.rules.status import LATE_WITHOUT_REASONS, Band, Explanation, State, Status, explain, first_day_not_soon, status

__all__ = [
    "LATE_WITHOUT_REASONS",
    "Band",
    "ClockInstance",
    "ClockRule",
    "ClockRules",
    "EventReference",
    "Explanation",
    "Fact",
    "PartnershipTerms",
    "Reason",
    "Rulebook",
    "State",
    "Status",
    "bundled_rulebook",
    "bundled_rules",
    "clock_instances",
    "explain",
    "first_day_not_soon",
    "instances_of",
    "known_by",
    "read_rules",
    "reduce",
    "status",
]
