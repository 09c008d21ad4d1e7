"""``hub generate``: synthetic populations as events, one JSON document a line."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from projections.oversight.published import bundled_report
from services.cli.output import plain, progress, tell
from services.cli.synthetic.england import PARTNERSHIPS, england
from services.cli.synthetic.lives import STAGES, Step, steps
from services.cli.synthetic.population import populate
from services.cli.synthetic.profile import drawn_profile, published_profile
from services.eventstore.codec import to_message


def generate(
    incidents: Annotated[
        int | None,
        typer.Option("--incidents", min=1, max=1_000_000, help="How many; else the counts of the Panel's report of 2020 exactly."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same population.")] = 1,
    areas: Annotated[int, typer.Option("--areas", min=1, max=PARTNERSHIPS, help="Over how many partnerships.")] = PARTNERSHIPS,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write there; else to standard output.")] = None,
) -> None:
    """Write a synthetic population's events as JSON Lines, in an order in which a hub can take them. Nothing in it is about anybody.

    Each line is one JSON document: stage, agency, role, shard, case_id, event_type, event.
    """
    rng = random.Random(seed)  # noqa: S311  # a population is to be drawn again, not to be secret
    model = published_profile(bundled_report())
    profile = model if incidents is None else drawn_profile(model, incidents, rng)
    population = populate(profile, england(areas), rng)
    told = sorted((step for incident in population for step in steps(incident)), key=lambda step: step.stage)
    if out is None:
        for line in _lines(told):
            sys.stdout.write(line)
        sys.stdout.flush()
    else:
        with out.open("w", encoding="utf-8") as file, progress("writing") as report:
            for number, line in enumerate(_lines(told), 1):
                file.write(line)
                report(number, len(told))
    tell(f"hub: {len(population)} synthetic incidents, {len(told)} events in {STAGES} stages, seed {seed}")


def _lines(told: list[Step]) -> Iterator[str]:
    """Yield each step as a line."""
    for step in told:
        yield json.dumps(_document(step), ensure_ascii=False) + "\n"


def _document(step: Step) -> dict[str, Any]:
    return {
        "stage": step.stage,
        "agency": step.agency,
        "role": step.role,
        "shard": step.shard,
        "case_id": step.case_id,
        "event_type": step.event.EVENT_TYPE,
        "imported": True,
        "event": plain(to_message(step.event)),
    }
