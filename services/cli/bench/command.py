"""``hub bench``: measure the hub on this machine beside its peer and the raw floor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from services.cli.bench.plan import FULL, QUICK
from services.cli.bench.report import show_report
from services.cli.options import Json
from services.cli.output import emit, tell
from services.cli.progress import progress
from services.runtime import interpreter
from services.runtime.logs import configure_logging
from services.runtime.settings import LogFormat, LogLevel


def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Short measurements and small stores: about a minute.")] = False,
    cold_start_events: Annotated[
        int | None,
        typer.Option("--cold-start-events", min=1_000, help="Events in the store at the cold start; else 1,000,000, quick 20,000."),
    ] = None,
    postgresql: Annotated[
        str | None,
        typer.Option("--postgresql", metavar="URL", envvar="HUBBENCH_POSTGRESQL", help="Measure eventsourcing on this database too."),
    ] = None,
    kafka: Annotated[
        str | None,
        typer.Option("--kafka", metavar="HOST:PORT,...", envvar="HUBBENCH_KAFKA", help="Measure a node on these brokers too."),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--in", metavar="DIR", exists=True, file_okay=False, help="The folder whose disk is measured; else the temporary one."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Measure the hub, ``eventsourcing``'s recorders and the raw floor in one run.

    Everything is made in a folder of its own, which is removed afterwards; no hub of yours is touched.
    """
    from services.cli.bench.run import Telling, measure  # noqa: PLC0415  # it loads the peer too, which no other command waits for

    configure_logging(LogFormat.CONSOLE, LogLevel.WARNING)
    interpreter.settle()
    plan = QUICK if quick else FULL
    if cold_start_events is not None:
        plan = replace(plan, cold_start_events=cold_start_events)
    with TemporaryDirectory(prefix="hub-bench-", dir=folder) as made:
        report = measure(Path(made), plan, postgresql, kafka, Telling(tell, progress))
    if json:
        emit(report)
    else:
        show_report(report)
