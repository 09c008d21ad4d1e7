"""``hub demo``: everything the hub is for, shown once, on a hub of its own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import typer

from services.cli.demo.serving import OneHub, Stage
from services.cli.demo.showing import Showing, prepared
from services.cli.failures import Exit, wrong_usage
from services.cli.options import Json, settings_of
from services.cli.output import emit, plain, say
from services.cli.output import tell as warn
from services.cli.synthetic.generator import DEFAULT_SEED
from services.runtime.interruption import undisturbed

INCIDENTS_MAX: Final = 5_000
"""All that is to be sent is held in memory, some 50 MiB for a thousand, and each table is counted within the time of one call."""


def demo(
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Leave the hub in this folder, to be explored.")] = None,
    incidents: Annotated[
        int | None,
        typer.Option(
            "--incidents",
            metavar="N",
            min=1,
            max=INCIDENTS_MAX,
            help="Draw an England of so many, for one hub; else it is that of the Panel's report of 2020.",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Another synthetic England, with the same counts unless --incidents draws others.")
    ] = DEFAULT_SEED,
    cluster: Annotated[
        bool, typer.Option("--cluster", help="On two nodes, three Kafka brokers and PostgreSQL; a broker and a node are killed meanwhile.")
    ] = False,
    database_url: Annotated[
        str | None, typer.Option("--database-url", metavar="URL", help="With --cluster: an empty PostgreSQL database; else one is started.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what the hub does: a hub of its own, one case told in full, England 2020 beside the Panel's published figures.

    Everything is synthetic. Every event is signed by the agency that owes it and sent over mutual TLS; everything shown is read back
    through the hub's services. It takes about a minute. The exit code is 5 if anything is not as it should be.

    With --incidents England is the population that hub generate writes for the same number and seed. Nobody has published figures for it:
    its tables stand alone, and in the JSON document each is what hub panel table --json prints, without a match. The told case is then
    one of 2022, which those tables do not count. Each thousand incidents take about a minute more.

    With --cluster the same takes place on a cluster, which needs Java, Maven and PostgreSQL and takes some minutes: a broker that leads and
    the node that all agencies speak to are killed in the middle, and in the end every receipt is looked for on both nodes.
    """
    began = time.monotonic()
    if database_url is not None and not cluster:
        raise wrong_usage("--database-url names a cluster's database", "give --cluster too")
    if incidents is not None and cluster:
        raise wrong_usage("--cluster shows the England of the Panel's report", "leave out --incidents, or --cluster")
    with _home(keep) as home, ExitStack() as ending:
        if cluster:
            stage = ending.enter_context(_cluster(home, database_url, kept=keep is not None, json=json))
        else:
            stage = OneHub(settings_of(home, listen="127.0.0.1:0", metrics_listen=""), keep, _options(incidents, seed))
        showing = prepared(stage, incidents, seed, _silent if json else _print)
        showing.run()
        seconds = round(time.monotonic() - began, 1)
    if json:
        emit(_document(showing, seconds))
    else:
        say(f"{showing.tally.receipts} receipts in {seconds} seconds altogether")
    if showing.tally.unexpected:
        for problem in showing.tally.unexpected[:20]:
            warn(f"hub: not as it should be: {problem}")
        raise typer.Exit(Exit.UNSOUND)


@contextmanager
def _home(keep: Path | None) -> Iterator[Path]:
    """Give the folder that is kept, or one that is gone afterwards."""
    if keep is not None:
        try:
            yield keep
        except KeyboardInterrupt:
            warn(f"hub: what the demo came to lies in {keep}: remove it before --keep names it again")
            raise
        return
    folder = TemporaryDirectory(prefix="hub-demo-")
    try:
        yield Path(folder.name) / "hub"
    finally:
        with undisturbed():
            folder.cleanup()


def _cluster(folder: Path, database_url: str | None, *, kept: bool, json: bool) -> AbstractContextManager[Stage]:
    """Give a cluster; what happens to it is said as it happens, on standard error."""
    from services.cli.demo.cluster import a_cluster  # noqa: PLC0415  # with Kafka's client, which one hub does without

    return a_cluster(folder, database_url, (lambda _line: None) if json else warn, kept=kept)


def _options(incidents: int | None, seed: int) -> str:
    """Return the options by which the demo draws the same population again."""
    drawn = "" if incidents is None else f" --incidents {incidents}"
    return drawn if seed == DEFAULT_SEED else f"{drawn} --seed {seed}"


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        say(line)


def _silent(lines: Iterable[str]) -> None:
    """Take lines that nobody is to see."""


def _document(showing: Showing, seconds: float) -> dict[str, Any]:
    """Return what came of it as one document."""
    tally, verdict = showing.tally, showing.verdict
    return {
        "events": tally.events,
        "receipts": tally.receipts,
        "refusals": [{"rule": one.rule, "reason": one.reason} for one in tally.refusals],
        "tables": showing.tables,
        "verify": None if verdict is None else {"passed": verdict.passed, **plain(verdict)},
        "seconds": seconds,
        **showing.stage.document(),
    }
