"""``hub rebuild``: views filled anew from the log, beside those that are read, then swapped in."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from projections.kernel.database import ViewDatabase
from services.bootstrap import VIEWS, workplace
from services.cli.calling import read_log
from services.cli.failures import wrong_usage
from services.cli.options import Home, Json, settings_of
from services.cli.output import emit, say
from services.cli.progress import progress
from services.cli.stores import opened_keys, opened_views
from services.eventstore.opening import Opener
from services.projector.rebuild import Rebuild
from services.runtime import interpreter


def rebuild(
    view: Annotated[list[str] | None, typer.Argument(metavar="VIEW", help="Which; all of them if none is named.")] = None,
    home: Home = None,
    json: Json = False,
) -> None:
    """Fill views anew from the whole log and swap them in, while the hub serves or not. Reads go on from the old ones meanwhile.

    Interrupted and begun again, it goes on from where it was.
    """
    settings = settings_of(home)
    names = [one.name for one in VIEWS]
    chosen = list(dict.fromkeys(view or names))
    if unknown := sorted(set(chosen) - set(names)):
        raise wrong_usage(f"there is no view {', '.join(unknown)}", f"there are: {', '.join(names)}")
    interpreter.settle()
    began = time.monotonic()
    with read_log(settings) as store, opened_keys(settings, store) as keys, opened_views(settings, store) as views:
        with progress(f"rebuilding {', '.join(chosen)}") as report:
            Rebuild(store, Opener(keys), views, lambda made: report(made.applied, made.total), workplace=workplace(settings)).run(chosen)
        positions = {name: _positions(views, name) for name in chosen}
    events = max(sum(shards.values()) for shards in positions.values())
    seconds = round(time.monotonic() - began, 3)
    if json:
        emit({"views": [{"view": name, "positions": positions[name]} for name in chosen], "events": events, "seconds": seconds})
    else:
        say(f"rebuilt {', '.join(chosen)} from {events} events in {seconds:.1f} s, and swapped in")


def _positions(views: ViewDatabase, view: str) -> dict[str, int]:
    """Return how far the live view has come in each shard."""
    live = views.live(view)
    return {} if live is None else views.positions(view, live.generation)
