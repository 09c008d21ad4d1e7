"""A process that fills views for a rebuild in another process: some shards at a time, into a database of their own.

It is told what to do by lines on its standard input (``parallel.py`` writes them) and says how far it is on its standard output. The
key-encryption key and the key database's password come that way too: neither arguments nor environment, which other users may see, ever
hold them. When the process that
asks is gone, reading or writing ends it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TextIO

import structlog

from projections.kernel.database import ViewDatabase
from projections.kernel.view import View
from projections.views import VIEWS
from services.eventstore.opening import Opener
from services.eventstore.read_only import ReadOnlyEventStore, open_read_only
from services.projector.filling import fill_shard
from services.runtime import interpreter
from services.trust.key_places import open_key_store


def work(orders: TextIO, answers: TextIO) -> None:
    """Fill what is ordered until there are no more orders.

    The first line: ``events`` (a path), ``keys`` (a path or a URL), ``kek`` (hexadecimal), ``views`` (names). Every other line: ``shards``
    (each with the position to fill it to), ``file`` (to be made). Answers: ``shard`` and ``position`` after every batch, ``{"done": true}``
    after a file, ``{"failed": …}`` with the type of an error (never its text, which may quote an event) before it ends.
    """

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        place = json.loads(orders.readline())
        views = [view for view in VIEWS if view.name in place["views"]]
        keys = open_key_store(place["keys"], bytes.fromhex(place["kek"]))
        with closing(keys), open_read_only(Path(place["events"])) as store:
            for line in orders:
                order = json.loads(line)
                for shard, position in _fill(store, Opener(keys), views, order):
                    say({"shard": shard, "position": position})
                say({"done": True})
    except Exception as error:  # noqa: BLE001 (whoever asked is told, and decides)
        say({"failed": type(error).__name__})


def _fill(store: ReadOnlyEventStore, opener: Opener, views: Sequence[View], order: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """Fill shards into a new database; yield shard and position after every batch."""
    database = ViewDatabase(f"sqlite:///{order['file']}", views, passing=True)
    try:
        generations = [database.begin_build(view.name) for view in views]
        for shard, upto in order["shards"].items():
            for position in fill_shard(store, opener, database, generations, shard, upto):
                yield shard, position
    finally:
        database.close()


def main() -> None:
    """Work for the process that started this one."""
    interpreter.settle()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # standard output is for answers
    work(sys.stdin, sys.stdout)


if __name__ == "__main__":
    main()
