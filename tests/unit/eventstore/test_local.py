"""What only the embedded store promises: its file, its writer, its failures."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, wait
from dataclasses import replace
from pathlib import Path

import pytest

from services.eventstore import tables
from services.eventstore.local import LocalEventStore
from services.eventstore.port import Accepted, Append, Conflict, Malformed, PartialDuplicate, Result
from services.eventstore.proposals import _deliver
from services.eventstore.read_only import open_read_only
from services.eventstore.shard import NodeShard
from services.runtime.errors import IntegrityError, Unavailable
from tests.support.appends import an_append, an_event, naive_digest

SECONDS = 20.0
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[LocalEventStore]:
    store = LocalEventStore(path)
    yield store
    store.close()


@pytest.fixture
def shard(store: LocalEventStore) -> NodeShard:
    return store.create_shard("north")


def decided(shard: NodeShard, append: Append) -> Result:
    return shard.append(append).result(SECONDS)


def numbered(number: int) -> Append:
    return an_append(f"n{number}", an_event(f"incident-{number}", 1))


class TroubledConnection(sqlite3.Connection):
    """A connection whose disk fails at one statement, as often as told."""

    failing = ""
    times = 0
    code = sqlite3.SQLITE_IOERR_FSYNC

    def execute(self, sql: str, parameters: object = ()) -> sqlite3.Cursor:
        cls = type(self)
        if cls.failing and sql.startswith(cls.failing) and cls.times:
            cls.times -= 1
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = cls.code
            raise error
        return super().execute(sql, parameters)  # type: ignore[arg-type]


class Gate(sqlite3.Connection):
    """A connection whose commits wait until they are let through: a disk that hangs."""

    opened = threading.Event()

    def execute(self, sql: str, parameters: object = ()) -> sqlite3.Cursor:
        if sql == "COMMIT":
            assert Gate.opened.wait(SECONDS)
        return super().execute(sql, parameters)  # type: ignore[arg-type]


def through(factory: type[sqlite3.Connection]) -> Callable[[str], sqlite3.Connection]:
    return lambda path: sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=factory)


def test_the_digest_is_noted_now_and_then_while_a_shard_grows(path: Path, shard: NodeShard) -> None:
    noted = {}
    for number in range(3):
        append = an_append(f"n{number}", *[an_event(f"incident-{number}-{each}", 1) for each in range(200)])
        assert isinstance(decided(shard, append), Accepted)
        noted[shard.head().position] = shard.head().digest
    with open_read_only(path) as reading:
        assert reading.shard("north").marks() == {position: noted[position] for position in (400, 600)}


def test_a_file_of_before_digests_were_noted_is_read_without(path: Path, store: LocalEventStore) -> None:
    store.create_shard("north")
    store.close()
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE mark")
    connection.close()
    with open_read_only(path) as reading:
        assert reading.shard("north").marks() == {}
    LocalEventStore(path).close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM mark").fetchone() == (0,)
    connection.close()


@pytest.mark.parametrize("failing", ["COMMIT", "INSERT INTO event", "INSERT INTO append", "BEGIN", "SELECT append_id"])
def test_after_a_disk_error_nothing_was_acknowledged_and_later_appends_work(path: Path, failing: str) -> None:
    class Troubled(TroubledConnection):
        pass

    store = LocalEventStore(path, connect=through(Troubled))
    shard = store.create_shard("north")
    first = decided(shard, numbered(1))
    assert isinstance(first, Accepted)
    Troubled.failing, Troubled.times = failing, 1
    lost = numbered(2)
    with pytest.raises(Unavailable, match="disk I/O error"):
        decided(shard, lost)
    assert shard.find(lost.events[0].event_id) is None
    assert shard.stream_version("incident-2") == 0
    assert shard.head().position == 1
    result = decided(shard, lost)
    assert isinstance(result, Accepted)
    assert (result.duplicate, result.placed[0].position) == (False, 2)
    assert decided(shard, numbered(1)) == replace(first, duplicate=True)
    store.close()
    with open_read_only(path) as reading:
        north = reading.shard("north")
        assert north.head().digest == naive_digest("north", north.read(0, 10))


def test_while_the_disk_cannot_even_be_opened_appends_are_refused_and_work_when_it_is_back(path: Path) -> None:
    class Troubled(TroubledConnection):
        pass

    store = LocalEventStore(path, connect=through(Troubled))
    shard = store.create_shard("north")
    Troubled.failing, Troubled.times = "COMMIT", 1
    away = path.parent.with_name(f"{path.parent.name}-away")
    path.parent.rename(away)
    for number in (1, 2):
        with pytest.raises(Unavailable):
            decided(shard, numbered(number))
    away.rename(path.parent)
    assert isinstance(decided(shard, numbered(3)), Accepted)
    store.close()


def test_a_full_disk_refuses_and_space_lets_appends_through_again(path: Path) -> None:
    connections: list[sqlite3.Connection] = []

    def connect(file: str) -> sqlite3.Connection:
        connections.append(tables.connect(file))
        return connections[-1]

    store = LocalEventStore(path, connect=connect)
    shard = store.create_shard("north")
    assert isinstance(decided(shard, numbered(1)), Accepted)
    pages = connections[0].execute("PRAGMA page_count").fetchone()[0]
    connections[0].execute(f"PRAGMA max_page_count={pages + 2}")
    large = an_append("large", an_event("incident-large", 1, state=bytes(100_000)))
    with pytest.raises(Unavailable, match="full"):
        decided(shard, large)
    assert shard.head().position == 1
    assert len(connections) == 1
    assert isinstance(decided(shard, numbered(2)), Accepted)
    connections[0].execute("PRAGMA max_page_count=1000000")
    assert isinstance(decided(shard, large), Accepted)
    assert shard.head().digest == naive_digest("north", shard.read(0, 10))
    store.close()


def test_a_hanging_disk_does_not_hang_callers_and_the_append_may_still_land(path: Path) -> None:
    Gate.opened.set()
    store = LocalEventStore(path, connect=through(Gate), deadline_seconds=0.2)
    shard = store.create_shard("north")
    Gate.opened.clear()
    with pytest.raises(Unavailable, match=r"not durable within 0\.2 s; the outcome is unknown"):
        decided(shard, numbered(1))
    Gate.opened.set()
    assert shard.wait_for(1, SECONDS)
    again = decided(shard, numbered(1))
    assert isinstance(again, Accepted)
    assert again.duplicate
    store.close()


def test_what_waits_together_is_committed_together(path: Path) -> None:
    commits: list[int] = []

    class Counting(Gate):
        def execute(self, sql: str, parameters: object = ()) -> sqlite3.Cursor:
            if sql == "COMMIT":
                commits.append(1)
            return super().execute(sql, parameters)

    Gate.opened.set()
    store = LocalEventStore(path, connect=through(Counting))
    shard = store.create_shard("north")
    Gate.opened.clear()
    futures = [shard.append(numbered(0))]
    while len(commits) < 2:
        time.sleep(0.001)
    futures += [shard.append(numbered(number)) for number in range(1, 101)]
    Gate.opened.set()
    wait(futures, SECONDS)
    assert [future.result().placed[0].position for future in futures] == list(range(1, 102))  # type: ignore[union-attr]
    assert len(commits) == 3
    store.close()


def held_up(path: Path, *names: str) -> tuple[LocalEventStore, list[NodeShard]]:
    """Open a store whose writer hangs in a commit, so that whatever comes now is committed together."""
    Gate.opened.set()
    store = LocalEventStore(path, connect=through(Gate))
    shards = [store.create_shard(name) for name in names]
    Gate.opened.clear()
    first = shards[0].append(an_append("held up", an_event("held-up", 1), shard=names[0]))
    while not first.running():
        time.sleep(0.001)
    return store, shards


def test_events_repeated_within_one_commit_are_accepted_once(path: Path) -> None:
    store, (shard,) = held_up(path, "north")
    futures = [shard.append(replace(numbered(1), append_id=bytes([number]) * 16)) for number in range(5)]
    futures.append(shard.append(an_append("more", an_event("incident-1", 1), an_event("incident-1", 2), expects=[])))
    Gate.opened.set()
    first, *others, mixed = [future.result(SECONDS) for future in futures]
    assert isinstance(first, Accepted)
    assert not first.duplicate
    assert others == [replace(first, duplicate=True)] * 4
    assert mixed == PartialDuplicate((first.placed[0].event_id,))
    store.close()


def test_two_shards_in_one_commit_both_move(path: Path) -> None:
    store, (north, south) = held_up(path, "north", "south")
    futures = [shard.append(replace(numbered(1), shard=shard.name)) for shard in (north, south)]
    Gate.opened.set()
    wait(futures, SECONDS)
    assert (north.head().position, south.head().position) == (2, 1)
    assert north.head().digest == naive_digest("north", north.read(0, 10))
    assert south.head().digest == naive_digest("south", south.read(0, 10))
    store.close()


def test_what_slips_in_behind_the_last_batch_is_turned_away(path: Path) -> None:
    store = LocalEventStore(path)
    shard = store.create_shard("north")
    store.close()
    store._sequencer._closing.clear()
    with pytest.raises(Unavailable, match="the event store is closed"):
        decided(shard, numbered(1))


async def test_a_caller_that_gave_up_does_not_keep_the_answer_from_the_others() -> None:
    loop = asyncio.get_running_loop()
    given_up, patient = loop.create_future(), loop.create_future()
    given_up.cancel()
    _deliver([(given_up, Malformed("x")), (patient, Malformed("y"))])
    assert await patient == Malformed("y")


def test_an_append_cancelled_while_it_waits_is_never_proposed(path: Path) -> None:
    store, (shard,) = held_up(path, "north")
    waiting = shard.append(numbered(1))
    assert waiting.cancel()
    Gate.opened.set()
    with pytest.raises(CancelledError):
        waiting.result(SECONDS)
    assert isinstance(decided(shard, numbered(2)), Accepted)
    assert shard.find(numbered(1).events[0].event_id) is None
    store.close()


def test_a_wrong_append_does_not_disturb_those_committed_with_it(shard: NodeShard) -> None:
    broken = an_append("broken", an_event("incident-\ud800", 1))
    huge = an_append("huge", an_event("incident-h", 2**70), expects=[])
    futures = [shard.append(append) for append in (numbered(1), broken, huge, numbered(2))]
    results = [future.result(SECONDS) for future in futures]
    assert [type(result) for result in results] == [Accepted, Malformed, Malformed, Accepted]


def test_closing_decides_what_was_proposed_before(path: Path) -> None:
    store = LocalEventStore(path)
    shard = store.create_shard("north")
    futures = [shard.append(numbered(number)) for number in range(300)]
    store.close()
    assert {type(future.result(0)) for future in futures} == {Accepted}


def test_closing_ends_every_wait(path: Path) -> None:
    store = LocalEventStore(path)
    shard = store.create_shard("north")
    reached: list[bool] = []
    waiter = threading.Thread(target=lambda: reached.append(shard.wait_for(1, SECONDS)))
    waiter.start()
    started = time.monotonic()
    store.close()
    waiter.join(SECONDS)
    assert reached == [False]
    assert time.monotonic() - started < SECONDS / 2


def test_a_clock_that_jumps_never_takes_recorded_times_back(path: Path) -> None:
    times = iter([5_000, 5_000, 90_000_000, 1_000, 90_000_001])
    store = LocalEventStore(path, clock=lambda: next(times))
    shard = store.create_shard("north")
    recorded = []
    for number in range(4):
        decided(shard, numbered(number))
        recorded.append(shard.head().recorded_at_ms)
    assert recorded == [5_000, 90_000_000, 90_000_000, 90_000_001]
    store.close()


def test_a_second_writer_is_refused_by_name_and_may_write_when_the_first_is_gone(path: Path, store: LocalEventStore) -> None:
    store.create_shard("north")
    with pytest.raises(Unavailable, match=f"process {os.getpid()} has this event store open for writing"):
        LocalEventStore(path)
    program = f"from services.eventstore.local import LocalEventStore; LocalEventStore({str(path)!r})"
    other = subprocess.run(  # noqa: S603  this interpreter and a program of this file
        [sys.executable, "-c", program], cwd=REPOSITORY, env=_environment(), capture_output=True, text=True, check=False
    )
    assert other.returncode == 1
    assert "has this event store open for writing" in other.stderr
    store.close()
    LocalEventStore(path).close()


def test_another_process_reads_while_this_one_writes(path: Path, shard: NodeShard) -> None:
    decided(shard, numbered(1))
    program = (
        "import sys; from pathlib import Path; from services.eventstore.read_only import open_read_only\n"
        f"store = open_read_only(Path({str(path)!r})); shard = store.shard('north')\n"
        "print(store.shards(), shard.head().position, len(shard.read(0, 10)), flush=True)\n"
        "print(shard.wait_for(2, 20.0), shard.head().digest.hex(), flush=True)\n"
    )
    other = subprocess.Popen(  # noqa: S603  this interpreter and a program of this file
        [sys.executable, "-c", program], cwd=REPOSITORY, env=_environment(), stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "('north',) 1 1\n"
        decided(shard, numbered(2))
        assert other.stdout.readline() == f"True {shard.head().digest.hex()}\n"


def test_a_reader_reads_all_and_writes_nothing(path: Path, shard: NodeShard) -> None:
    decided(shard, numbered(1))
    shard.revoke_key("lost").result(SECONDS)
    with open_read_only(path) as reading:
        north = reading.create_shard("north")
        assert (north.name, north.head(), north.read(0, 10)) == ("north", shard.head(), shard.read(0, 10))
        assert north.read_stream("incident-1") == shard.read_stream("incident-1")
        assert north.find(numbered(1).events[0].event_id) == shard.read(0, 1)[0]
        assert north.leaf(north.read(0, 1)[0]) == shard.leaf(shard.read(0, 1)[0])
        assert (north.stream_version("incident-1"), north.revoked_keys(), north.log_end(0)) == (1, {"lost": 1}, 1)
        assert not north.wait_for(2, 0.01)
        for refused in (north.append(numbered(2)), north.revoke_key("other")):
            with pytest.raises(Unavailable, match="reading only"):
                refused.result(0)
        with pytest.raises(Unavailable, match="does not follow shard 'south'"):
            reading.shard("south")


def test_a_file_that_is_not_there_is_not_created_by_reading(path: Path) -> None:
    with pytest.raises(Unavailable, match="there is no event store"):
        open_read_only(path)
    assert not path.exists()


def _written(path: Path, count: int = 50) -> None:
    store = LocalEventStore(path)
    shard = store.create_shard("north")
    wait([shard.append(numbered(number)) for number in range(count)])
    store.close()


def test_a_file_of_a_newer_schema_is_refused(path: Path) -> None:
    _written(path)
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version=2")
    connection.close()
    for opening in (LocalEventStore, open_read_only):
        with pytest.raises(IntegrityError, match="schema version 2, this program reads version 1"):
            opening(path)


def test_a_database_of_another_program_is_refused_and_left_alone(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE other (x)")
    connection.close()
    for opening in (LocalEventStore, open_read_only):
        with pytest.raises(IntegrityError, match="not an event store"):
            opening(path)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"no database at all, and long enough to be looked at" * 100)
    for opening in (LocalEventStore, open_read_only):
        with pytest.raises(IntegrityError, match="damaged: file is not a database"):
            opening(path)


def test_a_file_that_was_cut_off_is_refused(path: Path) -> None:
    _written(path)
    os.truncate(path, path.stat().st_size - 4096)
    with pytest.raises(IntegrityError, match=r"cut off|damaged"):
        LocalEventStore(path)


def test_a_file_whose_last_event_is_missing_is_refused(path: Path) -> None:
    _written(path)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM event WHERE place = (SELECT max(place) FROM event)")
    connection.close()
    with pytest.raises(IntegrityError, match="shard north says position 50, its last event is at 49"):
        LocalEventStore(path)


def test_a_damaged_page_is_an_error_when_it_is_read_and_never_an_answer(path: Path) -> None:
    _written(path, 2_000)
    with path.open("r+b") as file:
        for page in range(20, path.stat().st_size // 4096 - 20):
            file.seek(page * 4096)
            file.write(b"\xff" * 64)

    def read_all() -> None:
        store = LocalEventStore(path)
        try:
            store.shard("north").read(0, 2_000)
        finally:
            store.close()

    with pytest.raises(IntegrityError, match="damaged"):
        read_all()


async def test_an_event_loop_gets_all_answers_of_a_batch(shard: NodeShard) -> None:
    results = await asyncio.gather(*[shard.append_async(numbered(number % 50)) for number in range(100)])
    assert [type(result) for result in results] == [Accepted] * 100
    assert sorted(result.placed[0].position for result in results if isinstance(result, Accepted) and not result.duplicate) == [
        *range(1, 51)
    ]
    wrong = await shard.append_async(replace(numbered(1), shard="south"))
    assert wrong == Malformed("an append to shard 'south' given to 'north'")


async def test_an_event_loop_is_told_of_errors_and_may_give_up(path: Path) -> None:
    Gate.opened.set()
    store = LocalEventStore(path, connect=through(Gate), deadline_seconds=0.2)
    shard = store.create_shard("north")
    Gate.opened.clear()
    late = shard.append_async(numbered(1))
    given_up = asyncio.ensure_future(asyncio.wait_for(shard.append_async(numbered(2)), 0.05))
    with pytest.raises(TimeoutError):
        await given_up
    with pytest.raises(Unavailable, match="the outcome is unknown"):
        await late
    Gate.opened.set()
    await asyncio.to_thread(store.close)
    with pytest.raises(Unavailable, match="closing"):
        await shard.append_async(numbered(3))


def test_a_caller_whose_loop_is_gone_disturbs_nobody(shard: NodeShard) -> None:
    async def leave() -> None:
        shard.append_async(numbered(1))

    asyncio.run(leave())
    assert isinstance(decided(shard, numbered(2)), Accepted)


def test_a_listener_is_set_by_each_commit_until_it_is_taken_back(shard: NodeShard) -> None:
    heard = threading.Event()
    shard.listen(heard)
    decided(shard, numbered(1))
    assert heard.wait(SECONDS)
    heard.clear()
    shard.unlisten(heard)
    decided(shard, numbered(2))
    assert not heard.is_set()


WRITER = """
import sys
from pathlib import Path
from services.eventstore.local import LocalEventStore
from tests.support.appends import an_append, an_event
store = LocalEventStore(Path(sys.argv[1]))
shard = store.create_shard("north")
waiting = []
for number in range(1_000_000):
    name = f"{sys.argv[2]}-{number}"
    waiting.append((name, shard.append(an_append(name, an_event(f"incident-{name}", 1), an_event(f"incident-{name}", 2)))))
    if len(waiting) >= 20:
        name, future = waiting.pop(0)
        placed = future.result().placed
        print(name, placed[0].position, placed[1].leaf.hex(), flush=True)
"""


def test_what_a_killed_process_acknowledged_is_there_exactly_once(path: Path) -> None:
    acknowledged: list[list[str]] = []
    for life in range(3):
        command = [sys.executable, "-c", WRITER, str(path), str(life)]
        writer = subprocess.Popen(  # noqa: S603  this interpreter and a program of this file
            command, cwd=REPOSITORY, env=_environment(), stdout=subprocess.PIPE, text=True
        )
        with writer:
            assert writer.stdout is not None
            acknowledged.extend([writer.stdout.readline().split() for _ in range(20 + life * 37)])
            writer.send_signal(signal.SIGKILL)
            # The last line may have been cut short by the kill: it was not said, so it is not held against the store.
            acknowledged += [line.split() for line in writer.stdout if line.endswith("\n")]
    store = LocalEventStore(path)
    shard = store.shard("north")
    events = shard.read(0, 1_000_000)
    assert [event.position for event in events] == list(range(1, len(events) + 1))
    assert len({event.event_id for event in events}) == len(events)
    assert shard.head().digest == naive_digest("north", events)
    assert len(acknowledged) >= 3 * 20
    for name, position, leaf in acknowledged:
        first, second = events[int(position) - 1 : int(position) + 1]
        assert (first.stream, second.version, shard.leaf(second).hex()) == (f"incident-{name}", 2, leaf)
        again = decided(shard, an_append(name, *[an_event(f"incident-{name}", version) for version in (1, 2)]))
        assert isinstance(again, Accepted)
        assert (again.duplicate, again.placed[0].position) == (True, int(position))
    store.close()


def test_versions_stay_right_when_the_cache_of_streams_is_far_too_small(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.eventstore.state.STREAMS_CACHED", 3)
    store = LocalEventStore(path)
    shard = store.create_shard("north")
    for version in range(1, 4):
        futures = [shard.append(an_append(f"{number}-{version}", an_event(f"incident-{number}", version))) for number in range(20)]
        assert {type(future.result(SECONDS)) for future in futures} == {Accepted}
    assert [shard.stream_version(f"incident-{number}") for number in range(20)] == [3] * 20
    assert decided(shard, an_append("late", an_event("incident-0", 3, name="late"))) == Conflict("incident-0", 2, 3)
    store.close()


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'protos'}"}
