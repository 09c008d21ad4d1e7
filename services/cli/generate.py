"""``hub generate``: synthetic populations as events, one JSON document a line."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from projections.oversight.published import bundled_report
from services.cli.failures import Exit, Failure
from services.cli.output import for_programs, plain, tell
from services.cli.progress import progress
from services.cli.synthetic.generator import DEFAULT_SEED, england_2020, population
from services.cli.synthetic.lives import STAGES, Step
from services.eventstore.codec import to_message


def generate(
    incidents: Annotated[
        int | None,
        typer.Option(
            "--incidents", metavar="N", min=1, max=1_000_000, help="How many; else the counts of the Panel's report of 2020 exactly."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="The same seed gives the same population.")] = DEFAULT_SEED,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write there; else to standard output.")] = None,
) -> None:
    """Write a synthetic population's events as JSON Lines, in an order in which a hub can take them. Nothing in it is about anybody.

    Each line is one JSON document: stage, agency, role, shard, case_id, event_type, imported, event. All are imported, as history is.
    Where there is corrects_because too, the event is to correct, for that reason, what its agency said in its last event of that type
    and case.

    The file is there to be read. To have the same incidents in a hub, give hub demo the same --incidents and --seed: it draws them itself
    and has each agency sign and send its events, one stage after the other; with --keep the hub is left behind.
    """
    report = bundled_report()
    drawn = england_2020(report, seed) if incidents is None else population(report, incidents, seed)
    told = sorted(drawn.steps(), key=lambda step: step.stage)
    if out is None:
        printed = for_programs()
        printed.writelines(_lines(told))
        printed.flush()
    else:
        try:
            _write(out, told)
        except OSError as error:
            hint = "--out names a file in a folder that is there and may be written to"
            raise Failure(Exit.UNAVAILABLE, f"{out} cannot be written: {error.strerror}", hint) from None
    tell(f"hub: {len(drawn.incidents)} synthetic incidents, {len(told)} events in {STAGES} stages, seed {seed}")


def _write(out: Path, told: list[Step]) -> None:
    """Write a file whole or not at all; a device or a pipe is written to as it is."""
    target = out.resolve()
    is_file = target.is_file() or not target.exists()
    beside = target.with_name(f".{target.name}.{os.getpid()}.partial") if is_file else target
    try:
        with beside.open("w", encoding="utf-8") as file, progress("writing") as written:
            if is_file and target.exists():
                shutil.copymode(target, beside)
            for number, line in enumerate(_lines(told), 1):
                file.write(line)
                written(number, len(told))
        if is_file:
            beside.replace(target)
    except BaseException:
        if is_file:
            beside.unlink(missing_ok=True)
        raise


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
        **({"corrects_because": step.corrects_because} if step.corrects_because else {}),
    }
