"""The oversight view filled from events in a database of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Final

from sqlalchemy import Connection, MetaData
from sqlalchemy.engine import make_url

from domain.kernel.events import Recorded
from projections.kernel import postgresql, sqlite
from projections.kernel.backend import Access
from projections.kernel.view import Tables
from projections.oversight.population import Population
from projections.oversight.projection import OVERSIGHT
from projections.oversight.queries import read_population

IN_MEMORY: Final = "sqlite://"


@contextmanager
def filled(*batches: Sequence[Recorded], url: str = IN_MEMORY) -> Iterator[tuple[Connection, Tables]]:
    """Yield a connection and the view's tables once ``batches`` were applied, each with what the view handles; ``url``: an empty one's."""
    backend = postgresql if make_url(url).get_backend_name() == "postgresql" else sqlite
    engine = backend.engine(url, Access.WRITE)
    metadata = MetaData()
    tables = OVERSIGHT.define(metadata, "t_")
    try:
        with engine.begin() as connection:
            metadata.create_all(connection)
            for batch in batches:
                handled = [one for one in batch if one.event_type in OVERSIGHT.handles]
                if handled:
                    OVERSIGHT.apply(connection, tables, handled)
            yield connection, tables
    finally:
        engine.dispose()


def population_of(log: Sequence[Recorded], count_day: date) -> Population:
    """Return the population as at the end of ``count_day``, by way of the view's rows."""
    with filled(log) as (connection, tables):
        return read_population(connection, tables, count_day)
