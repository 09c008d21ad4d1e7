"""The one PostgreSQL of a test run, a pytest plugin: started when a test first asks for it, with a database for each test that does.

``view_url`` runs a test once on SQLite and once on PostgreSQL.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, LiteralString

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from deploy.postgresql.__main__ import ANNOUNCED
from deploy.postgresql.server import PostgresqlMissing, programs
from tests.support.keeping import Service, say_what_was_skipped

NAMED: Final = "HUBTEST_DATABASE_URL"
"""Names a server that runs already, postgresql+psycopg://…, on which databases may be made; then none is started here."""
REQUIRED: Final = "HUBTEST_REQUIRE_POSTGRESQL"
"""Set to 1 where a run without PostgreSQL proves too little: tests that need it fail then, and are not skipped."""
ENGINES: Final = ("sqlite", "postgresql")
_MARK: Final = "no PostgreSQL: "
_SERVICE: Final = Service("PostgreSQL", "deploy.postgresql", ("--until-stdin-closes",), ANNOUNCED, start_max_seconds=60.0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    say_what_was_skipped(terminalreporter, _MARK, "PostgreSQL")


@pytest.fixture(scope="session")
def postgresql_server(pytestconfig: pytest.Config) -> str:
    """The URL of the run's server, which all tests share: each makes databases of its own."""
    return os.environ.get(NAMED) or _SERVICE.address(pytestconfig, need_postgresql)


@contextmanager
def a_database(server: str, *, made: LiteralString = "") -> Iterator[str]:
    """Give the URL of an empty database, which is dropped with the context, whoever is still connected.

    ``made``: how it is to be made, as PostgreSQL's CREATE DATABASE has it.
    """
    name = f"hubtest_{uuid.uuid4().hex}"
    directly(server, sql.SQL("CREATE DATABASE {} TEMPLATE template0 " + made).format(sql.Identifier(name)))
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        directly(server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of a test's own database."""
    with a_database(postgresql_server) as url:
        yield url


@pytest.fixture(params=ENGINES)
def view_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a test's views lie, in either kind of database: the same for all who ask in one test."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'views.sqlite'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture(params=ENGINES)
def new_view_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes empty databases for views, of either kind."""
    if request.param == "sqlite":
        yield lambda: f"sqlite:///{tmp_path / uuid.uuid4().hex}.sqlite"
        return
    server: str = request.getfixturevalue("postgresql_server")
    opened = []

    def new() -> str:
        opened.append(a_database(server))
        return opened[-1].__enter__()

    try:
        yield new
    finally:
        for database in opened:
            database.__exit__(None, None, None)


def end_tenures(url: str) -> None:
    """Have the server end every session that holds an advisory lock of this database, as when a connection is lost."""
    own = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    directly(url, f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND {own}")  # noqa: S608 (our own text)


def end_sessions(url: str) -> None:
    """Have the server end every session of this database, as when all connections are lost."""
    directly(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")


def directly(url: str, statement: str | sql.Composed) -> None:
    """Run a statement of a test's own, in no transaction."""
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(statement)


def need_postgresql() -> None:
    """Skip the test where PostgreSQL cannot be had; fail it where it must be."""
    try:
        programs()
    except PostgresqlMissing as missing:
        reason = str(missing)
    else:
        return
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, and {reason}", pytrace=False)
    pytest.skip(f"{_MARK}{reason}, or set {NAMED} to a server that runs.")
