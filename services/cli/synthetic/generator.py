"""Whole populations: England as the Panel published it for 2020, or others of any size in its proportions."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.cli.synthetic.changes import changes
from services.cli.synthetic.england import Area, england
from services.cli.synthetic.lives import Step, steps
from services.cli.synthetic.population import Incident, populate
from services.cli.synthetic.profile import drawn_profile, published_profile

DEFAULT_SEED: Final = 2020


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """Incidents in the areas of a synthetic England. ``changing``: some are amended, corrected or withdrawn later."""

    areas: tuple[Area, ...]
    incidents: tuple[Incident, ...]
    changing: bool

    def story(self, incident: Incident) -> Iterator[Step]:
        """Return all that the agencies said of an incident, in the order of its stages."""
        yield from steps(incident)
        if self.changing:
            yield from changes(incident)

    def steps(self) -> Iterator[Step]:
        """Return all that was said, incident by incident."""
        for incident in self.incidents:
            yield from self.story(incident)


def england_2020(report: Mapping[str, Any], seed: int = DEFAULT_SEED) -> Population:
    """Return a population with exactly the counts that ``report`` prints; the same seed gives the same incidents and events."""
    areas = england()
    rng = random.Random(seed)  # noqa: S311  # synthetic and to be had again, no secret
    return Population(areas=areas, incidents=tuple(populate(published_profile(report), areas, rng)), changing=False)


def population(report: Mapping[str, Any], incidents: int, seed: int) -> Population:
    """Return ``incidents`` incidents drawn in the report's proportions, with later changes; the same seed gives the same ones."""
    areas = england()
    rng = random.Random(seed)  # noqa: S311  # synthetic and to be had again, no secret
    profile = drawn_profile(published_profile(report), incidents, rng)
    return Population(areas=areas, incidents=tuple(populate(profile, areas, rng)), changing=True)
