"""A schema of the bench's own in a PostgreSQL database that somebody named."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url


@contextmanager
def own_schema(url: str) -> Iterator[str]:
    """Give the URL of an empty schema of a database."""
    named = make_url(url).set(drivername="postgresql+psycopg")
    schema = f"hub_bench_{uuid.uuid4().hex}"
    engine = create_engine(named, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(f"CREATE SCHEMA {schema}"))
        try:
            yield named.update_query_dict({"options": f"-csearch_path={schema}"}).render_as_string(hide_password=False)
        finally:
            with engine.connect() as connection:
                connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    finally:
        engine.dispose()
