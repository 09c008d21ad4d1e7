"""Nodes of a cluster on one log in memory: what each of them must hold, whatever the log does to their records."""

from __future__ import annotations

import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.eventstore import follower, frame
from services.eventstore.cluster import ClusterEventStore
from services.eventstore.local import LocalEventStore
from services.eventstore.port import Accepted, Append, Conflict, Malformed
from services.eventstore.shard import NodeShard
from services.runtime.errors import IntegrityError, Invalid, Unavailable
from tests.support.appends import an_append, an_event, an_id
from tests.support.eventually import eventually
from tests.support.shared_log import NodesLog, SharedLog

SECONDS = 10.0


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "RESEND_SECONDS", 0.02)
    monkeypatch.setattr(follower, "RETRY_SECONDS", 0.05)
    monkeypatch.setattr(follower, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(follower, "DOUBT_MAX_SECONDS", 0.5)
    monkeypatch.setattr(follower, "DOUBT_PAUSE_SECONDS", 0.1)


@contextmanager
def node(
    folder: Path, shared: SharedLog, log: NodesLog | None = None, *, deadline_seconds: float = SECONDS, follows: tuple[str, ...] = ()
) -> Iterator[ClusterEventStore]:
    member = follower.Member(follows=follows)
    store = ClusterEventStore(
        folder / "events.sqlite", log or NodesLog(shared), root="national", member=member, deadline_seconds=deadline_seconds
    )
    try:
        store.create_shard("national")
        yield store
    finally:
        store.close()


@contextmanager
def two_nodes(folder: Path, shared: SharedLog) -> Iterator[tuple[ClusterEventStore, ClusterEventStore]]:
    with node(folder / "first", shared) as first, node(folder / "second", shared) as second:
        yield first, second


def accepted(shard: NodeShard, append: Append) -> Accepted:
    result = shard.append(append).result(SECONDS)
    assert isinstance(result, Accepted), result
    return result


def agree(*shards: NodeShard) -> bool:
    end = max(shard.log_end(SECONDS) for shard in shards)
    return all(shard.wait_for(end, SECONDS) for shard in shards) and len({shard.head() for shard in shards}) == 1


def of_a_newer_program() -> bytes:
    """Return a record of a kind that this program does not know."""
    record = bytearray(frame.encode_append(an_append("9", an_event("incident-z", 1))))
    record[4] = 200
    return bytes(record)


def test_two_nodes_that_begin_the_same_shards_at_once_agree_where_each_lies(tmp_path: Path) -> None:
    shared = SharedLog(partition_count=12)
    names = [f"shard-{number}" for number in range(8)]
    with two_nodes(tmp_path, shared) as nodes:
        threads = [
            threading.Thread(target=one.create_shard, args=(name,))
            for one, order in zip(nodes, (names, names[::-1]), strict=True)
            for name in order
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        places = [{name: one._follower.partition(name) for name in names} for one in nodes]
        assert places[0] == places[1]
        assert len(set(places[0].values())) == len(names)
        assert [one.shards() for one in nodes] == [("national", *names)] * 2


def test_without_a_free_partition_a_new_shard_gets_a_new_one_or_is_refused_until_there_is_one(tmp_path: Path) -> None:
    shared = SharedLog(partition_count=1)
    with two_nodes(tmp_path, shared) as (store, other):
        north, seen = store.create_shard("north"), other.create_shard("north")
        assert shared.partition_count == 2
        accepted(seen, an_append("1", an_event("incident-a", 1)))
        assert agree(north, seen)
        shared.may_grow = False
        with pytest.raises(Unavailable, match="the log gets no partitions"):
            store.create_shard("south")
        shared.partition_count = 3
        assert store.create_shard("south").name == "south"


def test_a_node_follows_the_shards_it_is_told_to_and_names_those_it_does_not(tmp_path: Path) -> None:
    shared = SharedLog()
    with node(tmp_path / "all", shared) as every:
        for name in ("north", "south"):
            accepted(every.create_shard(name), an_append(name, an_event("incident-a", 1), shard=name))
        with node(tmp_path / "some", shared, follows=("south", "west")) as some:
            assert some.shards() == ("national", "south")
            assert agree(every.shard("south"), some.shard("south"))
            for refused in (some.shard, some.create_shard, some.demand_followed, lambda name: some.come_to_end(name, SECONDS)):
                with pytest.raises(Unavailable, match="this node does not follow shard 'north'"):
                    refused("north")
            assert every.create_shard("west").name == "west"
            some.come_to_end("west", SECONDS)
            assert some.shards() == ("national", "south", "west"), "named before anybody began it"
        accepted(every.shard("south"), an_append("2", an_event("incident-a", 2), shard="south"))
        with node(tmp_path / "some", shared, follows=("north",)) as some:
            assert some.shards() == ("national", "north"), "what it followed before is not current"
        with node(tmp_path / "some", shared) as some:
            assert some.shards() == every.shards()
            assert all(agree(every.shard(name), some.shard(name)) for name in every.shards())


def test_who_opens_a_node_is_told_how_far_it_has_come_and_may_end_it(tmp_path: Path) -> None:
    shared = SharedLog()
    told: list[tuple[int, int]] = []
    with node(tmp_path / "first", shared) as first:
        north = first.create_shard("north")
        for version in range(1, 6):
            accepted(north, an_append(str(version), an_event("incident-a", version)))
        store = ClusterEventStore(tmp_path / "second.sqlite", NodesLog(shared), root="national", report=lambda *come: told.append(come))
        store.close()
        assert told[-1] == (8, 8)
        assert told == sorted(told)
        held = NodesLog(shared, is_held=True)
        with pytest.raises(InterruptedError):
            ClusterEventStore(tmp_path / "third.sqlite", held, root="national", report=enough)
        assert held.is_closed


def enough(_folded: int, _end: int) -> None:
    raise InterruptedError


def test_a_node_that_folds_nothing_for_a_while_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower, "STALL_MAX_SECONDS", 0.1)
    monkeypatch.setattr(follower, "TELL_SECONDS", 0.05)
    shared = SharedLog()
    with node(tmp_path / "first", shared):
        pass
    with pytest.raises(Unavailable, match="nothing of the log was folded"):
        ClusterEventStore(tmp_path / "second.sqlite", NodesLog(shared, is_held=True), root="national")


def test_of_two_nodes_racing_for_a_version_one_wins_everywhere(tmp_path: Path) -> None:
    shared = SharedLog()
    with two_nodes(tmp_path, shared) as nodes:
        shards = [each.create_shard("north") for each in nodes]
        for version in range(1, 30):
            names = [f"{version}-{number}" for number in range(2)]
            appends = [an_append(name, an_event("incident-a", version, name=name)) for name in names]
            futures = [shard.append(append) for shard, append in zip(shards, appends, strict=True)]
            results = [future.result(SECONDS) for future in futures]
            assert {type(result) for result in results} == {Accepted, Conflict}
        assert agree(*shards)
        assert shards[0].read(0, 100) == shards[1].read(0, 100)


def test_the_same_append_through_two_nodes_has_one_result(tmp_path: Path) -> None:
    shared = SharedLog()
    with two_nodes(tmp_path, shared) as nodes:
        shards = [each.create_shard("north") for each in nodes]
        append = an_append("1", an_event("incident-a", 1))
        results = [future.result(SECONDS) for future in [shard.append(append) for shard in shards]]
        assert {result.placed for result in results if isinstance(result, Accepted)} == {accepted(shards[0], append).placed}
        assert agree(*shards)


def failing_first(times: int, *, writes: bool) -> Callable[[Callable[[], None], Callable[[Exception], None]], None]:
    """Fail the first sendings; whether the record came to the log all the same, the sender is not told."""
    left = [times]

    def hook(write: Callable[[], None], failed: Callable[[Exception], None]) -> None:
        if left[0] > 0:
            left[0] -= 1
            if writes:
                write()
            failed(TimeoutError("no acknowledgement"))
        else:
            write()

    return hook


@pytest.mark.parametrize("writes", [True, False])
def test_a_record_of_unknown_outcome_is_sent_again_and_accepted_once(tmp_path: Path, *, writes: bool) -> None:
    shared = SharedLog()
    log = NodesLog(shared)
    with node(tmp_path, shared, log) as store:
        shard = store.create_shard("north")
        log.send_hook = failing_first(3, writes=writes)
        assert accepted(shard, an_append("1", an_event("incident-a", 1))).placed[0].position == 1
        log.send_hook = None
        assert accepted(shard, an_append("2", an_event("incident-a", 2))).placed[0].position == 2
        assert shard.log_end(SECONDS) == 2


def test_a_log_that_takes_nothing_is_unavailable_at_the_deadline_and_nothing_is_sent_after_it(tmp_path: Path) -> None:
    shared = SharedLog()
    log = NodesLog(shared)
    with node(tmp_path, shared, log, deadline_seconds=1.0) as store:
        shard = store.create_shard("north")
        before = len(shared.records(1))
        log.send_hook = lambda _write, failed: failed(TimeoutError())
        with pytest.raises(Unavailable, match="the outcome is unknown"):
            shard.append(an_append("1", an_event("incident-a", 1))).result(SECONDS)
        log.send_hook = None
        assert accepted(shard, an_append("2", an_event("incident-a", 1))).placed[0].position == 1
        assert len(shared.records(1)) == before + 1


def test_a_node_folds_what_came_while_it_was_away(tmp_path: Path) -> None:
    shared = SharedLog()
    with node(tmp_path / "first", shared) as first:
        north = first.create_shard("north")
        with node(tmp_path / "second", shared) as second:
            accepted(second.create_shard("north"), an_append("1", an_event("incident-a", 1)))
        for version in range(2, 50):
            accepted(north, an_append(str(version), an_event("incident-a", version)))
        first.create_shard("south")
        with node(tmp_path / "second", shared) as second:
            assert agree(north, second.create_shard("north"))
            assert second.create_shard("south").head().position == 0


def test_a_node_without_its_file_refolds_to_the_same_digest(tmp_path: Path) -> None:
    shared = SharedLog()
    with node(tmp_path / "first", shared) as first:
        north = first.create_shard("north")
        for version in range(1, 40):
            accepted(north, an_append(str(version), an_event("incident-a", version)))
        with node(tmp_path / "second", shared) as second:
            assert agree(north, second.create_shard("north"))


def test_garbage_on_the_log_is_void_on_every_node_and_stops_none(tmp_path: Path) -> None:
    shared = SharedLog()
    with two_nodes(tmp_path, shared) as nodes:
        shards = [each.create_shard("north") for each in nodes]
        for value in (b"", b"garbage", b"SHUB\x01\x09" + bytes(16) + b"body", bytes(1_000_000)):
            shared.write(1, value)
        accepted(shards[0], an_append("1", an_event("incident-a", 1)))
        assert agree(*shards)
        assert [each._state.committed("north").malformed for each in nodes] == [4, 4]  # type: ignore[union-attr]


def test_a_control_of_a_newer_program_stops_the_node_behind_what_it_understood(tmp_path: Path) -> None:
    shared = SharedLog()
    with node(tmp_path, shared) as store:
        shard = store.create_shard("north")
        accepted(shard, an_append("1", an_event("incident-a", 1)))
        shared.write(1, frame.encode_append(an_append("2", an_event("incident-a", 2), shard="north")))
        shared.write(1, of_a_newer_program())
        with pytest.raises(frame.UnknownControl, match="newer program"):
            shard.log_end(SECONDS)
        assert shard.head().position == 2
        with pytest.raises(frame.UnknownControl, match="newer program"):
            shard.append(an_append("3", an_event("incident-a", 3))).result(SECONDS)
    with pytest.raises(frame.UnknownControl), node(tmp_path, shared) as store:
        store.create_shard("north").log_end(SECONDS)


@pytest.mark.parametrize("lost", [1, 3])
def test_a_log_that_lost_its_end_is_refused(tmp_path: Path, lost: int) -> None:
    shared = SharedLog()
    with node(tmp_path, shared) as store:
        shard = store.create_shard("north")
        for version in range(1, 6):
            accepted(shard, an_append(str(version), an_event("incident-a", version)))
    del shared.partitions[1][-lost:]
    with pytest.raises(IntegrityError, match="the log lacks what this node has folded: partition 1 ends at"), node(tmp_path, shared):
        pass


def test_a_log_that_loses_its_end_while_it_is_followed_stops_the_node(tmp_path: Path) -> None:
    shared = SharedLog()
    log = NodesLog(shared)
    with node(tmp_path, shared, log) as store:
        shard = store.create_shard("north")
        accepted(shard, an_append("1", an_event("incident-a", 1)))
        shared.partitions[1].clear()
        log.is_mute = True  # as when a partition has no leader: that keeps the node from nothing
        assert eventually(lambda: store.failure is not None)
        assert "partition 1 ends at 0, offset 1 is to be read" in str(store.failure)


@pytest.mark.parametrize("lost", [1, 2])
def test_a_log_that_loses_its_last_records_and_gets_no_others_stops_the_node(tmp_path: Path, lost: int) -> None:
    shared = SharedLog()
    with node(tmp_path, shared) as store:
        shard = store.create_shard("north")
        for version in range(1, 4):
            accepted(shard, an_append(str(version), an_event("incident-a", version)))
        del shared.partitions[1][-lost:]
        assert eventually(lambda: store.failure is not None)
        assert f"ends at {4 - lost}" in str(store.failure)


def test_partitions_of_which_nobody_answers_keep_a_node_from_no_other(tmp_path: Path) -> None:
    shared = SharedLog(partition_count=102)
    log = NodesLog(shared, said_of=None)
    with node(tmp_path, shared, log, deadline_seconds=5.0) as store:
        north = store.create_shard("north")
        for number in range(100):
            store.create_shard(f"south-{number}")
        log.leaderless = frozenset(range(2, 102))
        log.brokers_cut_off = 1  # every partition is doubted from now on, and these remain so
        assert eventually(lambda: store._follower._doubts.keys() - {None} == log.leaderless)
        accepted(north, an_append("1", an_event("incident-a", 1)))


def test_a_log_that_lost_its_beginning_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = SharedLog()
    with node(tmp_path / "a", shared) as store:
        accepted(store.create_shard("north"), an_append("1", an_event("incident-a", 1)))
    del shared.partitions[1][0]
    monkeypatch.setattr(follower, "DOUBT_MAX_SECONDS", SECONDS)
    with pytest.raises(IntegrityError, match="partition 1 begins at 1, offset 0 is to be read"), node(tmp_path / "b", shared):
        pass


@pytest.mark.parametrize("said_of", [1, None])
def test_brokers_that_were_cut_off_from_the_others_are_not_believed(tmp_path: Path, said_of: int | None) -> None:
    shared = SharedLog()
    log = NodesLog(shared, said_of=said_of)
    with node(tmp_path, shared, log) as store:
        shard = store.create_shard("north")
        accepted(shard, an_append("1", an_event("incident-a", 1)))
        log.brokers_cut_off = 2
        for number in range(2, 5):
            accepted(shard, an_append(str(number), an_event("incident-a", number)))
        assert store._follower._doubts == {}
    with node(tmp_path, shared, NodesLog(shared, brokers_cut_off=2)) as store:
        assert accepted(store.create_shard("north"), an_append("5", an_event("incident-a", 5))).placed[0].position == 5


def test_a_log_that_lost_its_end_and_grew_again_is_no_log_of_this_node(tmp_path: Path) -> None:
    shared = SharedLog()
    log = NodesLog(shared)
    with node(tmp_path, shared, log) as store:
        accepted(store.create_shard("north"), an_append("1", an_event("incident-a", 1)))
        log.brokers_cut_off = 1
        (last,) = shared.partitions[1][1:]
        shared.partitions[1][1:] = [last._replace(value=frame.encode_append(an_append("another", an_event("incident-b", 1))))]
        assert eventually(lambda: store.failure is not None)
        assert "the log holds another record at offset 1 of partition 1" in str(store.failure)


def test_another_log_than_the_one_folded_is_refused(tmp_path: Path) -> None:
    shared, other = SharedLog(), SharedLog()
    for folder, log in ((tmp_path / "a", shared), (tmp_path / "b", other)):
        with node(folder, log) as store:
            accepted(store.create_shard("north"), an_append(folder.name, an_event("incident-a", 1)))
    with pytest.raises(IntegrityError, match="another record at offset"), node(tmp_path / "a", other):
        pass


def test_a_state_from_an_old_backup_catches_up(tmp_path: Path) -> None:
    shared = SharedLog()
    with node(tmp_path / "first", shared) as store:
        shard = store.create_shard("north")
        accepted(shard, an_append("1", an_event("incident-a", 1)))
    shutil.copytree(tmp_path / "first", tmp_path / "backup")
    with node(tmp_path / "first", shared) as store, node(tmp_path / "backup", shared) as restored:
        shard = store.create_shard("north")
        for version in range(2, 20):
            accepted(shard, an_append(str(version), an_event("incident-a", version)))
        assert agree(shard, restored.create_shard("north"))


def test_a_shard_is_placed_only_in_the_first_partition(tmp_path: Path) -> None:
    shared = SharedLog()
    with node(tmp_path, shared) as store:
        store.create_shard("north")
        shared.write(1, frame.encode_control(frame.ShardPlaced("south", 5), an_id("control")))
        assert store._follower.partition("south") is None
        store.create_shard("south")
        assert store._follower.partition("south") == 2


@pytest.mark.parametrize(
    "placed", [frame.ShardPlaced("", 3), frame.ShardPlaced("east", 0), frame.ShardPlaced("east", 1), frame.ShardPlaced("north", 4)]
)
def test_a_place_that_is_taken_or_none_is_void(tmp_path: Path, placed: frame.ShardPlaced) -> None:
    with node(tmp_path, SharedLog()) as store:
        store.create_shard("north")
        with pytest.raises(Exception, match="control"):
            store._follower.control("national", placed).result(SECONDS)
        assert store._follower.partition("north") == 1


def test_an_append_that_is_wrong_in_itself_is_not_sent(tmp_path: Path) -> None:
    shared = SharedLog()
    with node(tmp_path, shared) as store:
        shard = store.create_shard("north")
        before = len(shared.records(1))
        assert isinstance(shard.append(an_append("1")).result(SECONDS), Malformed)
        assert len(shared.records(1)) == before


def test_a_control_that_cannot_be_written_does_not_stop_the_node_from_writing(tmp_path: Path) -> None:
    with node(tmp_path, SharedLog(), deadline_seconds=3.0) as store:
        shard = store.create_shard("north")
        with pytest.raises(Invalid, match="cannot be written"):
            shard.revoke_key("\ud800").result(SECONDS)
        accepted(shard, an_append("1", an_event("incident-a", 1)))


class FullDisk(sqlite3.Connection):
    """A connection that commits nothing while the disk is full."""

    is_full = False

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if FullDisk.is_full and sql == "COMMIT":
            raise sqlite3.OperationalError("disk full")
        return super().execute(sql, parameters)


def test_a_disk_that_is_full_for_a_while_as_the_node_closes_loses_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(path: str) -> sqlite3.Connection:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=FullDisk)

    shared = SharedLog()
    store = ClusterEventStore(tmp_path / "events.sqlite", NodesLog(shared), root="national", connect=connect, deadline_seconds=SECONDS)
    store.create_shard("national")
    shard = store.create_shard("north")
    with monkeypatch.context() as patch:
        patch.setattr(FullDisk, "is_full", True)
        future = shard.append(an_append("1", an_event("incident-a", 1)))
        closing = threading.Thread(target=store.close)
        closing.start()
        time.sleep(0.2)
        shared.write(1, frame.encode_append(an_append("2", an_event("incident-a", 2))))
        time.sleep(0.2)
    assert isinstance(future.result(SECONDS), Accepted)
    closing.join(SECONDS)


def test_a_file_that_was_folded_is_no_log_and_a_log_was_not_folded(tmp_path: Path) -> None:
    with node(tmp_path, SharedLog()) as store:
        store.create_shard("north")
    with pytest.raises(IntegrityError, match="was folded from Kafka: set HUB_KAFKA_BOOTSTRAP"):
        LocalEventStore(tmp_path / "events.sqlite")
    LocalEventStore(tmp_path / "log" / "events.sqlite").close()
    with pytest.raises(IntegrityError, match="is a log itself"), node(tmp_path / "log", SharedLog()):
        pass


def test_no_shard_is_placed_before_the_one_that_places_all(tmp_path: Path) -> None:
    shared = SharedLog()
    store = ClusterEventStore(tmp_path / "events.sqlite", NodesLog(shared), root="national")
    with pytest.raises(Unavailable, match="which places all others, has not begun"):
        store.create_shard("north")
    assert shared.records(0) == []
    store.close()


def test_whoever_waits_for_a_position_hears_that_the_node_stopped(tmp_path: Path) -> None:
    shared = SharedLog()
    with node(tmp_path, shared) as store:
        shard = store.create_shard("north")
        threading.Timer(0.2, shared.write, (1, of_a_newer_program())).start()
        began = time.monotonic()
        assert not shard.wait_for(5, SECONDS)
        assert time.monotonic() - began < SECONDS / 2


def test_a_record_that_was_folded_and_is_gone_from_the_middle_is_missed(tmp_path: Path) -> None:
    shared = SharedLog()
    with node(tmp_path, shared) as store:
        shard = store.create_shard("north")
        for version in range(1, 6):
            accepted(shard, an_append(str(version), an_event("incident-a", version)))
    last = shared.partitions[1][-1]
    shared.partitions[1][-1] = last._replace(offset=last.offset + 1)
    with pytest.raises(IntegrityError, match="was folded, and is not on the log any more"), node(tmp_path, shared):
        pass
