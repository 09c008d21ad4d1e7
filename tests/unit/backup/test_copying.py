from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from services.backup import copying
from services.backup.copying import PAGES_A_STEP, copy_database, copy_file
from services.runtime.errors import IntegrityError, Unavailable

ROWS = 600


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A database of several steps, a row a page."""
    path = tmp_path / "source.sqlite"
    with closing(connected(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE row (content BLOB)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO row VALUES (zeroblob(?))", [(4_000,)] * ROWS)
        connection.execute("COMMIT")
    return path


def connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


def rows(path: Path) -> int:
    with closing(connected(path)) as connection:
        count: int = connection.execute("SELECT count(*) FROM row").fetchone()[0]
    return count


def test_a_copy_is_of_one_moment_and_neither_waits_for_its_writer_nor_the_writer_for_it(source: Path, tmp_path: Path) -> None:
    done: list[int] = []
    with closing(connected(source)) as writer:

        def write(pages: int, _total: int) -> None:
            assert len(done) < 2 * ROWS, "the copy begins anew at every commit beside it"
            done.append(pages)
            writer.execute("PRAGMA busy_timeout=0")
            writer.execute("INSERT INTO row VALUES (zeroblob(4000))")

        copy_database(source, tmp_path / "copy.sqlite", write)
    assert len(done) > 2
    assert done == sorted(set(done))
    assert rows(tmp_path / "copy.sqlite") == ROWS
    assert rows(source) == ROWS + len(done)


def test_a_copy_holds_what_lies_in_the_write_ahead_log_alone_and_is_its_owners(source: Path, tmp_path: Path) -> None:
    with closing(connected(source)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("INSERT INTO row VALUES (x'00')")
        copy_database(source, tmp_path / "deep" / "er" / "copy.sqlite", lambda _done, _total: None)
    copy = tmp_path / "deep" / "er" / "copy.sqlite"
    assert rows(copy) == ROWS + 1
    assert (copy.stat().st_mode & 0o777, copy.parent.stat().st_mode & 0o777, copy.parent.parent.stat().st_mode & 0o777) == (
        0o600,
        0o700,
        0o700,
    )


def test_a_copy_can_be_interrupted_between_any_two_steps(source: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert 0 < done <= PAGES_A_STEP < total
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_database(source, tmp_path / "copy.sqlite", interrupt)


def test_a_copy_that_comes_no_further_is_given_up(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 1.0, 30.0, 31.5, 61.0, 62.0])
    monkeypatch.setattr(copying, "monotonic", lambda: next(times))
    said: list[tuple[int, int]] = []
    watch = copying._Watch(source, lambda done, total: said.append((done, total)))
    for left in (8, 8, 4, 4):
        watch(0, left, 10)
    with pytest.raises(Unavailable, match="has been locked for 30 s"):
        watch(0, 4, 10)
    assert said == [(2, 10), (2, 10), (6, 10), (6, 10)]


def test_a_file_that_is_locked_for_too_long_is_not_copied(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "PATIENCE_SECONDS", 0.05)
    with closing(connected(source)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("PRAGMA journal_mode=DELETE")
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(Unavailable, match=r"cannot be copied to .*: database is locked"):
            copy_database(source, tmp_path / "copy.sqlite", lambda _done, _total: None)


def overwritten(path: Path) -> None:
    path.write_bytes(b"no database at all, whatever its name says" * 100)


@pytest.mark.parametrize(
    ("spoil", "error", "words"),
    [(overwritten, IntegrityError, "damaged: file is not a database"), (Path.unlink, Unavailable, "is missing")],
)
def test_what_cannot_be_read_is_named(
    source: Path, tmp_path: Path, spoil: Callable[[Path], None], error: type[Exception], words: str
) -> None:
    spoil(source)
    with pytest.raises(error, match=f"source.sqlite.*{words}"):
        copy_database(source, tmp_path / "copy.sqlite", lambda _done, _total: None)


def test_a_copied_file_is_never_written_over_another(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    with pytest.raises(FileExistsError):
        copy_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"b"
