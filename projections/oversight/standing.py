"""Which facts stand at the end of a count day: each once, as corrected by then, in the order in which they were done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime

from domain.kernel.events import london_day
from domain.kernel.facts import counting
from projections.oversight.facts import Fact


def standing_facts(facts: Sequence[Fact], count_day: date) -> tuple[Fact, ...]:
    """Return the facts of one case (given in log order) that count by the end of ``count_day``, in order of the instants that count.

    A correction stands in place of the whole chain that it corrects from the end of the day that it bears; until then the former does.
    """
    standing: list[tuple[datetime, int, Fact]] = []
    for chain in _chains(facts):
        versions = [fact for fact in chain if fact.counts_on <= count_day]
        if not versions:
            continue
        fact = versions[-1]
        if len(chain) > 1:
            scored_at = counting((chain[0], *versions)).scored_at
            fact = replace(fact, scored_at=scored_at, counts_on=london_day(scored_at), imported=chain[0].imported)
        if fact.counts_on <= count_day:
            standing.append((fact.scored_at, chain[0].position, fact))
    return tuple(fact for _, _, fact in sorted(standing, key=lambda entry: entry[:2]))


def _chains(facts: Sequence[Fact]) -> list[list[Fact]]:
    """Gather each fact with its corrections, in log order; one that corrects nothing known of its own type begins a chain."""
    chains: dict[bytes, list[Fact]] = defaultdict(list)
    roots: dict[bytes, Fact] = {}
    for fact in facts:
        corrected = None if fact.corrects is None else roots.get(fact.corrects)
        root = fact if corrected is None or corrected.event_type != fact.event_type else corrected
        roots[fact.event_id] = root
        chains[root.event_id].append(fact)
    return list(chains.values())
