"""Whatever lies on the log, every node makes the same of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from services.eventstore.frame import MAGIC, Genesis, Kind, ShardPlaced, encode_append, encode_control
from services.eventstore.port import Accepted
from services.runtime.limits import RECORD_MAX_BYTES
from tests.support.fault_clients import an_append_of
from tests.support.fault_files import rows_of
from tests.support.fault_node import ROOT, SHARD, STOPPED
from tests.support.fault_scene import DEADLINE_SECONDS, PARTITION, FaultCluster, Scene, a_scene

pytestmark = pytest.mark.timeout(900)
DAY_MS = 86_400_000
MALFORMED_COLUMN = 9


def garbage(random: Random) -> list[bytes]:
    """Return records that nobody should have written; the fold makes nothing of any of them."""
    append = an_append_of("incident-garbage", 0, f"garbage {random.random()}")
    twice = an_append_of("incident-garbage", 0, "twice", "twice")
    elsewhere = an_append_of("incident-garbage", 0, "elsewhere")
    whole = encode_append(append)
    return [
        b"",
        random.randbytes(random.randrange(1, 100)),
        whole[: random.randrange(1, 22)],
        whole[:22] + random.randbytes(50) + b"\xff",
        whole + bytes(RECORD_MAX_BYTES + 1 - len(whole)),
        encode_append(append, version=9),
        encode_append(twice),
        encode_append(elsewhere).replace(SHARD.encode(), b"south", 1),
        encode_control(Genesis(SHARD, 1, (1,)), random.randbytes(16)),
        encode_control(ShardPlaced("south", PARTITION), random.randbytes(16)),
        MAGIC + bytes([Kind.RULES, 1]) + random.randbytes(16) + b"\xff\xff",
    ]


@pytest.mark.faults
def test_garbage_on_the_log_is_void_everywhere_alike(scene: Scene) -> None:
    scene.start()
    records = garbage(scene.random)
    scene.random.shuffle(records)
    before = malformed(scene.b.path)
    scene.write(*records)
    scene.wait_for_appends()
    scene.check()
    assert [malformed(node.path) - before for node in scene.nodes.values()] == [len(records)] * 2


def malformed(path: Path) -> int:
    """Return how many records of the shard a node has found malformed: also a second GENESIS, of nodes that began it at once."""
    (found,) = [row[MALFORMED_COLUMN] for row in rows_of(path)["shard"] if row[1] == PARTITION]
    return int(found)


@pytest.mark.faults
def test_two_records_with_one_append_id_have_one_result(scene: Scene) -> None:
    scene.start()
    caller = scene.caller()
    append = an_append_of("incident-twice", 0, f"{scene.seed} twice")
    other = an_append_of("incident-other", 0, f"{scene.seed} never", append_name=f"{scene.seed} twice")
    caller.begin(append)
    scene.write(encode_append(append), encode_append(other), encode_append(append))
    results = [caller.propose(node.socket, append, DEADLINE_SECONDS) for node in scene.nodes.values()]
    assert all(isinstance(result, Accepted) for result in results)
    assert results[0].placed == results[1].placed  # type: ignore[union-attr]
    assert scene.b.ask("version", "incident-other") == 0
    scene.check()


@pytest.mark.faults
def test_ids_of_one_shard_mean_nothing_in_another(scene: Scene) -> None:
    scene.start()
    caller = scene.caller()
    append = an_append_of("incident-both", 0, f"{scene.seed} both")
    scene.write(encode_append(replace(append, shard=ROOT)), partition=0)
    caller.begin(append)
    assert isinstance(caller.propose(scene.a.socket, append, DEADLINE_SECONDS), Accepted)
    scene.check()
    assert [row[0] for row in rows_of(scene.b.path)["append"] if row[1] == append.append_id] == [ROOT, SHARD]


@pytest.mark.faults
@pytest.mark.parametrize(
    "record", [MAGIC + bytes([99, 1]) + bytes(16), MAGIC + bytes([Kind.RULES, 2]) + bytes(16)], ids=["kind", "version"]
)
def test_a_control_that_only_a_newer_program_knows_stops_every_node_at_the_same_record(scene: Scene, record: bytes) -> None:
    scene.start()
    scene.stopping.set()
    scene.end_clients()
    behind = an_append_of("incident-behind", 0, f"{scene.seed} behind")
    scene.write(record, encode_append(behind))
    for node in scene.nodes.values():
        assert node.ended() == STOPPED, node.words()
        assert "upgrade this node" in node.words()
    scene.check(is_foldable=False)


@pytest.fixture
def dated_by_writers(brokers: FaultCluster, tmp_path: Path, seed: int) -> Iterator[Scene]:
    """A topic that believes what its writers say of the time, as brokers would whose clocks are moved."""
    print(f"HUBTEST_SEED={seed}")  # noqa: T201  a failing run shows how to repeat it
    brokers.heal()
    settings = {"message.timestamp.type": "CreateTime", "message.timestamp.after.max.ms": str(2**63 - 1)}
    with a_scene(tmp_path / "scene", seed, brokers, **settings) as scene:
        yield scene


@pytest.mark.faults
def test_a_clock_that_is_moved_by_a_day_changes_no_order_and_no_recorded_time_goes_back(dated_by_writers: Scene) -> None:
    scene = dated_by_writers
    scene.start()
    caller = scene.caller()
    appends = [an_append_of(f"incident-dated-{number}", 0, f"{scene.seed} dated {number}") for number in range(20)]
    for append in appends:
        caller.begin(append)
        shift_ms = scene.random.choice((-DAY_MS, 0, DAY_MS))
        scene.write(encode_append(append), timestamp_ms=int(time.time() * 1000) + shift_ms)
    assert all(isinstance(caller.propose(scene.a.socket, append, DEADLINE_SECONDS), Accepted) for append in appends)
    scene.wait_for_appends()
    scene.check()
