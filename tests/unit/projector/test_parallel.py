from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from projections.kernel.database import GenerationGone, ParkedStream, ViewDatabase
from projections.views import VIEWS
from services.eventstore.local import LocalEventStore
from services.eventstore.opening import Opener
from services.projector import parallel, rebuild, worker
from services.projector import scratch as scratch_module
from services.projector.parallel import WorkerFailed, Workplace
from services.projector.rebuild import Progress, Rebuild, Stopped
from services.projector.scratch import scratch
from services.runtime.interruption import interruptible
from services.trust.postgresql_keys import PostgresqlKeyStore
from services.trust.sqlite_keys import SqliteKeyStore
from tests.support.builders import CASE, OTHER_CASE, a_partnership_established, a_share
from tests.support.eventually import eventually
from tests.support.random_cases import SHARDS, random_log
from tests.support.sealed import Writer

WAIT_SECONDS = 30.0
KEK = bytes(range(32))
NAMES = [view.name for view in VIEWS]
BAD, GOOD = f"sharing-{CASE}", f"sharing-{OTHER_CASE}"


class SealingKeys(SqliteKeyStore):
    """A key store that mints when asked to, as a test's writer does."""

    def mint(self, key_id: str) -> bytes:
        """Return a key to seal with."""
        key = self.create([key_id])[key_id]
        assert isinstance(key, bytes)
        return key


@dataclass
class Setting:
    """A log with random cases in three shards, its keys, and databases for their views."""

    folder: Path
    store: LocalEventStore
    keys: SealingKeys
    writer: Writer
    new_url: Callable[[], str]
    opened: list[ViewDatabase] = field(default_factory=list)

    def database(self, name: str) -> ViewDatabase:
        """Open a database of the test's kind, or a SQLite file of this name."""
        database = ViewDatabase(f"sqlite:///{self.folder / name}" if name.endswith(".sqlite") else self.new_url(), VIEWS)
        self.opened.append(database)
        return database

    def workplace(self) -> Workplace:
        return Workplace(
            event_store_file=self.folder / "events.sqlite",
            key_store=str(self.folder / "keys.sqlite"),
            kek=KEK,
            scratch_folder=self.folder,
        )

    def rebuild(
        self,
        database: ViewDatabase,
        *,
        workplace: Workplace | None = None,
        progress: Callable[[Progress], None] = lambda _: None,
        stopping: threading.Event | None = None,
    ) -> ViewDatabase:
        Rebuild(self.store, Opener(self.keys), database, progress, stopping or threading.Event(), workplace).run(NAMES)
        return database


@pytest.fixture
def setting(tmp_path: Path, new_view_url: Callable[[], str]) -> Iterator[Setting]:
    store, keys = LocalEventStore(tmp_path / "events.sqlite"), SealingKeys(tmp_path / "keys.sqlite", KEK)
    writer = Writer(store, keys)  # type: ignore[arg-type]
    for recorded in random_log(seed=7, cases=30):
        if recorded.event is not None:
            writer.write(recorded.shard, (recorded.stream, recorded.event), by=recorded.agency_id)
    for shard in SHARDS:
        writer.write(shard, (f"partnership-{shard}", a_partnership_established()))
    built = Setting(tmp_path, store, keys, writer, new_view_url)
    yield built
    for database in built.opened:
        database.close()
    keys.close()
    store.close()


@pytest.fixture
def alongside(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Have one other process help with every rebuild, however small, and this one begin only when that one has handed a shard over."""
    absorbed = threading.Event()
    monkeypatch.setattr(rebuild, "PARALLEL_MIN_EVENTS", 1)
    monkeypatch.setattr(parallel, "SHARE_MIN_EVENTS", 1)
    monkeypatch.setattr(parallel, "workers_max", lambda: 1)
    absorb, fill_in_parallel = ViewDatabase.absorb, rebuild.fill_in_parallel

    def absorb_and_say(self: ViewDatabase, *given: Any) -> bool:
        done = absorb(self, *given)
        absorbed.set()
        return done

    def wait_first(*given: Any, fill: Callable[[str], None], **named: Any) -> None:
        def fill_later(shard: str) -> None:
            assert absorbed.wait(WAIT_SECONDS)
            fill(shard)

        fill_in_parallel(*given, fill=fill_later, **named)

    monkeypatch.setattr(ViewDatabase, "absorb", absorb_and_say)
    monkeypatch.setattr(rebuild, "fill_in_parallel", wait_first)
    return absorbed


def digests(database: ViewDatabase) -> dict[str, bytes]:
    live = {name: database.live(name) for name in NAMES}
    return {name: database.digest(name, one.generation) for name, one in live.items() if one is not None}


def parked(database: ViewDatabase, view: str) -> tuple[ParkedStream, ...]:
    live = database.live(view)
    assert live is not None
    return database.parked(view, live.generation)


def test_views_filled_by_several_processes_are_those_filled_by_one(setting: Setting, alongside: threading.Event) -> None:
    setting.keys.destroy(f"case-{next(one for one in random_log(seed=7, cases=30) if one.shard == SHARDS[0]).stream.partition('-')[2]}")
    heard: list[Progress] = []
    by_one = digests(setting.rebuild(setting.database("one")))
    by_two = digests(setting.rebuild(setting.database("two"), workplace=setting.workplace(), progress=heard.append))
    assert alongside.is_set()
    assert (by_two, sorted(by_two)) == (by_one, sorted(NAMES))
    total = sum(setting.store.shard(name).head().position for name in setting.store.shards())
    assert heard[-1] == Progress(applied=total, total=total)
    assert list(setting.folder.glob("rebuild-*")) == []


@pytest.mark.usefixtures("alongside")
def test_streams_that_another_process_parked_are_parked(setting: Setting) -> None:
    for shard in SHARDS:
        setting.writer.write(shard, (BAD, ("information.shared.v1", b"\xff")), (GOOD, a_share()), (BAD, a_share()))
    one = setting.rebuild(setting.database("one"))
    two = setting.rebuild(setting.database("two"), workplace=setting.workplace())
    assert digests(two) == digests(one)
    assert parked(two, "chronology") == parked(one, "chronology")
    assert [(stream.stream, stream.reason_type, stream.skipped) for stream in parked(two, "chronology")] == [(BAD, "IntegrityError", 1)] * 3
    setting.writer.write(SHARDS[0], (BAD, a_share()))
    assert parked(setting.rebuild(two), "chronology")[0].skipped == 2


def test_a_process_that_dies_fails_the_rebuild_and_the_next_one_succeeds(
    setting: Setting, alongside: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = subprocess.Popen

    def start_and_kill(*given: Any, **named: Any) -> subprocess.Popen[str]:
        process = start(*given, **named)
        process.kill()
        alongside.set()
        return process

    monkeypatch.setattr(parallel.subprocess, "Popen", start_and_kill)
    database = setting.database("two")
    with pytest.raises(WorkerFailed, match="ended with code -9"):
        setting.rebuild(database, workplace=setting.workplace())
    assert digests(database) == {}
    monkeypatch.setattr(parallel.subprocess, "Popen", start)
    assert digests(setting.rebuild(database, workplace=setting.workplace())) == digests(setting.rebuild(setting.database("one")))


def test_an_interrupt_while_a_thread_starts_ends_the_rebuild_and_the_thread(
    setting: Setting, alongside: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started = threading.Thread.start, []

    def interrupted(self: threading.Thread) -> None:
        signal.raise_signal(signal.SIGINT)
        start(self)
        started.append(self)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    alongside.set()
    with interruptible(), pytest.raises(KeyboardInterrupt):
        setting.rebuild(setting.database("two"), workplace=setting.workplace())
    assert [thread.is_alive() for thread in started] == [False]
    assert list(setting.folder.glob("rebuild-*")) == []


def test_a_process_that_fails_says_with_what(setting: Setting, alongside: threading.Event) -> None:
    alongside.set()
    place = replace(setting.workplace(), kek=bytes(32))
    with pytest.raises(WorkerFailed, match="a process that fills views failed: IntegrityError"):
        setting.rebuild(setting.database("two"), workplace=place)


def test_a_rebuild_stopped_after_a_shard_was_handed_over_goes_on_from_there(setting: Setting, alongside: threading.Event) -> None:
    database, stopping = setting.database("two"), threading.Event()

    def stop(_progress: Progress) -> None:
        if alongside.is_set():
            stopping.set()

    with pytest.raises(Stopped):
        setting.rebuild(database, workplace=setting.workplace(), progress=stop, stopping=stopping)
    assert digests(database) == {}
    building = database.building("chronology")
    assert building is not None
    assert database.positions("chronology", building.generation)
    assert digests(setting.rebuild(database)) == digests(setting.rebuild(setting.database("one")))


@pytest.mark.usefixtures("alongside")
def test_a_process_fills_its_next_shard_while_the_last_is_taken_over(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    absorb, begun = ViewDatabase.absorb, []

    def absorb_when_begun(self: ViewDatabase, file: Path, *given: Any) -> bool:
        if file.name == "0.sqlite":
            begun.append(eventually(file.with_name("1.sqlite").exists, WAIT_SECONDS / 2))
        return absorb(self, file, *given)

    monkeypatch.setattr(ViewDatabase, "absorb", absorb_when_begun)
    setting.rebuild(setting.database("two"), workplace=setting.workplace())
    assert begun == [True]


def test_little_is_filled_by_this_process_alone(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel.subprocess, "Popen", None)
    assert sorted(digests(setting.rebuild(setting.database("two"), workplace=setting.workplace()))) == sorted(NAMES)


def test_what_is_begun_here_is_not_taken_over_from_elsewhere(setting: Setting) -> None:
    one, two = setting.database("one"), setting.database("two.sqlite")
    here = [one.begin_build(name) for name in NAMES]
    there = [two.begin_build(name) for name in NAMES]
    Rebuild(setting.store, Opener(setting.keys), two, lambda _: None).fill(there)
    two.close()
    file = setting.folder / "two.sqlite"
    one.apply("chronology", here[0].generation, SHARDS[0], [], 1)
    assert one.absorb(file, here) is False
    assert one.positions("registry", 1) == {}
    one.discard("chronology", here[0].generation)
    with pytest.raises(GenerationGone):
        one.absorb(file, here)
    assert one.absorb(file, here[1:]) is True


@pytest.mark.usefixtures("alongside")
def test_a_rebuild_that_another_process_was_faster_with_ends_well(setting: Setting, monkeypatch: pytest.MonkeyPatch) -> None:
    url, absorb = setting.new_url(), ViewDatabase.absorb
    one, faster = ViewDatabase(url, VIEWS), ViewDatabase(url, VIEWS)
    setting.opened += [one, faster]
    absorbed: list[bool] = []

    def absorb_too_late(self: ViewDatabase, *given: Any) -> bool:
        if not absorbed:
            setting.rebuild(faster)
        absorbed.append(absorb(self, *given))
        return absorbed[-1]

    monkeypatch.setattr(ViewDatabase, "absorb", absorb_too_late)
    setting.rebuild(one, workplace=setting.workplace())
    assert absorbed[0] is False
    assert {name: live.generation for name in NAMES if (live := one.live(name)) is not None} == dict.fromkeys(NAMES, 1)
    monkeypatch.undo()
    assert digests(one) == digests(setting.rebuild(setting.database("alone")))


def test_folders_that_killed_processes_left_are_removed(setting: Setting) -> None:
    left = setting.folder / "rebuild-999999999-left"
    left.mkdir()
    (left / "0.sqlite").write_bytes(b"in the clear")
    with scratch(setting.folder) as folder:
        assert [path.name for path in setting.folder.glob("rebuild-*")] == [folder.name]


def test_no_folder_is_removed_but_what_a_killed_process_left(tmp_path: Path) -> None:
    others = {f"rebuild-{name}" for name in ("of-somebody", "99999999999999999999-x", "999999999", f"{os.getpid()}-at-work")}
    for name in others:
        (tmp_path / name).mkdir()
    with scratch(tmp_path) as folder:
        assert {path.name for path in tmp_path.iterdir()} == others | {folder.name}
        assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in tmp_path.iterdir()} == others


def test_a_folder_that_a_process_of_another_container_works_in_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch_module, "_lives", lambda _: False)  # its number says nothing here
    with scratch(tmp_path) as theirs:
        with scratch(tmp_path) as ours:
            assert {path.name for path in tmp_path.iterdir()} == {theirs.name, ours.name}
        scratch_module.clear_left(tmp_path)
        assert theirs.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_worker_fills_what_it_is_told_and_says_how_far_it_is(setting: Setting) -> None:
    head = setting.store.shard(SHARDS[0]).head().position
    file = setting.folder / "passing.sqlite"
    place = {"events": str(setting.folder / "events.sqlite"), "keys": str(setting.folder / "keys.sqlite"), "kek": KEK.hex(), "views": NAMES}
    orders = [place, {"shards": {SHARDS[0]: head}, "file": str(file)}]
    answers = io.StringIO()
    worker.work(io.StringIO("".join(json.dumps(order) + "\n" for order in orders)), answers)
    assert [json.loads(line) for line in answers.getvalue().splitlines()] == [{"shard": SHARDS[0], "position": head}, {"done": True}]
    filled = ViewDatabase(f"sqlite:///{file}", VIEWS, passing=True)
    assert filled.positions("chronology", 1) == {SHARDS[0]: head}
    filled.close()


def test_a_worker_takes_data_keys_from_the_database_that_nodes_share(setting: Setting, postgresql_url: str) -> None:
    shared = PostgresqlKeyStore(postgresql_url, KEK)
    shared.take_over(setting.keys.rows(), None)
    shared.close()
    head = setting.store.shard(SHARDS[0]).head().position
    file = setting.folder / "passing.sqlite"
    place = {"events": str(setting.folder / "events.sqlite"), "keys": postgresql_url, "kek": KEK.hex(), "views": NAMES}
    orders = [place, {"shards": {SHARDS[0]: head}, "file": str(file)}]
    answers = io.StringIO()
    worker.work(io.StringIO("".join(json.dumps(order) + "\n" for order in orders)), answers)
    assert [json.loads(line) for line in answers.getvalue().splitlines()] == [{"shard": SHARDS[0], "position": head}, {"done": True}]
    filled = ViewDatabase(f"sqlite:///{file}", VIEWS, passing=True)
    assert filled.parked("chronology", 1) == ()
    filled.close()


def test_small_shards_are_filled_together() -> None:
    heads = {"a": 10, "b": 3_000, "c": 1_500, "d": 20_000, "e": 400, "f": 200}
    assert parallel._shares(heads) == [["d"], ["b"], ["c", "e", "f"], ["a"]]
