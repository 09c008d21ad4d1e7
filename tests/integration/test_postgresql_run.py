"""A test run's PostgreSQL: each test here is a run of pytest of its own."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.postgresql import need_postgresql
from tests.support.pytest_runs import a_run

WITHIN_SECONDS = 60.0
PLUGINS = 'pytest_plugins = ["tests.support.keeping", "tests.support.postgresql"]\n'
MISSING = """
from tests.support import postgresql

def programs():
    raise postgresql.PostgresqlMissing("install it")

postgresql.programs = programs
"""
TWO_TESTS = """
def test_one(postgresql_url): pass
def test_both(view_url): pass
"""


def is_listening(port: int) -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def test_a_run_without_postgresql_says_so_in_one_loud_line(tmp_path: Path) -> None:
    with a_run(tmp_path, PLUGINS, MISSING + TWO_TESTS, "-n", "2") as run:
        said, _ = run.communicate(timeout=WITHIN_SECONDS)
    assert (run.returncode, "1 passed, 2 skipped" in said) == (0, True), said
    assert [line for line in said.splitlines() if line.startswith("NOT TESTED")] == [
        "NOT TESTED: 2 tests that need PostgreSQL were skipped. install it, or set HUBTEST_DATABASE_URL to a server that runs."
    ]


def test_a_run_that_must_have_postgresql_fails_without(tmp_path: Path) -> None:
    with a_run(tmp_path, PLUGINS, MISSING + TWO_TESTS, HUBTEST_REQUIRE_POSTGRESQL="1") as run:
        said, _ = run.communicate(timeout=WITHIN_SECONDS)
    assert (run.returncode, "2 errors" in said) == (1, True), said
    assert "HUBTEST_REQUIRE_POSTGRESQL=1, and install it" in said


def test_all_workers_share_one_server_in_which_each_test_has_a_database(tmp_path: Path) -> None:
    need_postgresql()
    test = """
        import pathlib, pytest, uuid
        @pytest.mark.parametrize("_number", range(4))
        def test_it(postgresql_url, _number):
            pathlib.Path("found", uuid.uuid4().hex).write_text(postgresql_url)
    """
    found = tmp_path / "found"
    found.mkdir()
    with a_run(tmp_path, PLUGINS, test, "-n", "2") as run:
        said, _ = run.communicate(timeout=WITHIN_SECONDS)
    assert run.returncode == 0, said
    urls = {file.read_text() for file in found.iterdir()}
    servers = {url.rpartition("/")[0] for url in urls}
    assert (len(urls), len(servers)) == (4, 1)
    assert not is_listening(int(servers.pop().rpartition(":")[2])), "it outlived the run"


def test_a_run_that_is_killed_leaves_no_server_behind(tmp_path: Path) -> None:
    need_postgresql()
    test = """
        import pathlib, time
        from tests.support.keeping import _RUN
        def test_it(postgresql_server, pytestconfig):
            pathlib.Path("found").write_text(f"{pytestconfig.stash[_RUN].folder} {postgresql_server}\\n")
            time.sleep(100)
    """
    found = tmp_path / "found"
    with a_run(tmp_path, PLUGINS, test) as run:
        assert eventually(lambda: run.poll() is not None or (found.exists() and found.read_text().endswith("\n")), WITHIN_SECONDS)
        assert run.poll() is None, run.communicate()[0]
        folder, server = found.read_text().split()
        port = int(server.rpartition("/")[0].rpartition(":")[2])
        assert is_listening(port)
        run.kill()
        assert eventually(lambda: not is_listening(port), WITHIN_SECONDS)
    shutil.rmtree(folder)  # which the run itself could not; in the test's own folder PostgreSQL's user could not come to its data
