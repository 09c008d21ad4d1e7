"""``hub demo``: everything the hub is for, shown once, on a hub of its own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import typer

from services.bootstrap import found_home
from services.cli.demo.showing import Showing, prepared
from services.cli.failures import Exit, Failure, wrong_usage
from services.cli.options import Json, settings_of
from services.cli.output import emit, plain, say
from services.cli.output import tell as warn
from services.cli.synthetic.generator import DEFAULT_SEED
from services.runtime.settings import Settings


def demo(
    keep: Annotated[Path | None, typer.Option("--keep", metavar="DIR", help="Leave the hub in this folder, to be explored.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another synthetic England with the same counts.")] = DEFAULT_SEED,
    json: Json = False,
) -> None:
    """Show what the hub does: a hub of its own, one case told in full, England 2020 beside the Panel's published figures.

    Everything is synthetic. Every event is signed by the agency that owes it and sent over mutual TLS; everything shown is read back
    through the hub's services. It takes about a minute. The exit code is 5 if anything is not as it should be.
    """
    began = time.monotonic()
    with _home(keep) as home:
        settings = settings_of(home, listen="127.0.0.1:0", metrics_listen="")
        _found(settings)
        showing = prepared(settings, seed, keep, _silent if json else _print)
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
        yield keep
        return
    with TemporaryDirectory(prefix="hub-demo-") as folder:
        yield Path(folder) / "hub"


def _found(settings: Settings) -> None:
    try:
        found_home(settings)
    except FileExistsError as error:
        raise wrong_usage(str(error), "give --keep a folder that does not exist yet") from None
    except OSError as error:
        hint = "give --keep a folder in one that may be written to"
        raise Failure(Exit.UNAVAILABLE, f"{settings.home} cannot be written: {error.strerror}", hint) from None


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
        "tables": {number: comparison.as_document() for number, comparison in showing.comparisons.items()},
        "verify": None if verdict is None else {"passed": verdict.passed, **plain(verdict)},
        "seconds": seconds,
    }
