"""Two nodes on a real Kafka of three brokers: what happens to brokers delays appends, and loses, doubles or reorders none.

The seed of a run is printed; ``HUBTEST_SEED`` repeats its choices.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

import pytest

from deploy.kafka.cluster import Broker, Cluster
from services.eventstore.cluster import ClusterEventStore
from services.eventstore.kafka import Kafka, make_topic, open_store
from services.eventstore.port import Accepted, Conflict, ShardStore
from services.runtime.errors import Unavailable
from tests.support.appends import an_append, an_event

pytestmark = pytest.mark.timeout(240)
SEED: Final = int(os.environ.get("HUBTEST_SEED", "") or SystemRandom().randrange(1_000_000))
WRITERS: Final = 3
BEFORE_SECONDS: Final = 2.0
MORE_APPENDS: Final = 100
RESUMED_MAX_SECONDS: Final = 45.0
PARTITION: Final = 1


@dataclass
class Writer:
    """One caller of one node: it appends to a stream of its own and to one that all fight for, and remembers each answer."""

    shard: ShardStore
    name: str
    stopping: threading.Event
    random: Random
    placed: dict[str, int] = field(default_factory=dict)
    """Positions that were acknowledged, by the append's name."""
    unknown: int = 0
    longest_seconds: float = 0.0
    """The longest time between two answers."""

    def run(self) -> None:
        version = number = 0
        answered = time.monotonic()
        while not self.stopping.is_set():
            number += 1
            contended = self.random.random() < 0.3
            stream = "incident-contended" if contended else f"incident-{self.name}"
            version_here = self.shard.stream_version(stream) + 1 if contended else version + 1
            name = f"{self.name}-{number}"
            append = an_append(name, an_event(stream, version_here, name=name))
            while True:
                try:
                    result = self.shard.append(append).result(RESUMED_MAX_SECONDS)
                except Unavailable:
                    self.unknown += 1
                    if self.stopping.is_set():
                        return
                    continue
                break
            now = time.monotonic()
            self.longest_seconds, answered = max(self.longest_seconds, now - answered), now
            if isinstance(result, Accepted):
                self.placed[name] = result.placed[0].position
                version += 0 if contended else 1
            else:
                assert contended, result
                assert isinstance(result, Conflict), result


@dataclass
class Scene:
    """The brokers and what two nodes' writers do meanwhile."""

    cluster: Cluster
    kafka: Kafka
    nodes: list[ClusterEventStore]
    writers: list[Writer]
    random: Random

    def leader(self) -> Broker:
        """Return the broker that leads the written partition."""
        admin = self.kafka.admin()
        try:
            described = admin.describe_topics([self.kafka.topic])[0]["partitions"]
        finally:
            admin.close()
        return self.cluster.broker(next(each["leader_id"] for each in described if each["partition_index"] == PARTITION))

    def follower(self) -> Broker:
        """Return a broker that does not lead it."""
        leader = self.leader()
        return self.random.choice([broker for broker in self.cluster.brokers if broker is not leader])

    def wait_for_appends(self) -> None:
        """Wait until every writer has had so many answers more."""
        before = [len(writer.placed) for writer in self.writers]
        deadline = time.monotonic() + RESUMED_MAX_SECONDS
        while any(len(writer.placed) < had + MORE_APPENDS / len(self.writers) for writer, had in zip(self.writers, before, strict=True)):
            assert time.monotonic() < deadline, f"appends did not resume within {RESUMED_MAX_SECONDS} s"
            time.sleep(0.05)


@pytest.fixture
def scene(a_cluster: Callable[[int], Cluster], tmp_path: Path) -> Iterator[Scene]:
    print(f"\nHUBTEST_SEED={SEED}")  # noqa: T201  # a failing run shows how to repeat it
    random = Random(SEED)
    cluster = a_cluster(3)
    kafka = Kafka(bootstrap=tuple(cluster.bootstrap.split(",")))
    make_topic(kafka, partitions=2, replication=3)
    with node(tmp_path / "a", kafka) as first, node(tmp_path / "b", kafka) as second:
        stopping = threading.Event()
        shards = [each.create_shard("north") for each in (first, second)]
        writers = [
            Writer(shard, f"{name}{number}", stopping, Random(f"{SEED} {name}{number}"))
            for shard, name in zip(shards, "ab", strict=True)
            for number in range(WRITERS)
        ]
        threads = [threading.Thread(target=writer.run) for writer in writers]
        for thread in threads:
            thread.start()
        try:
            time.sleep(BEFORE_SECONDS)
            yield Scene(cluster, kafka, [first, second], writers, random)
        finally:
            stopping.set()
            for thread in threads:
                thread.join(RESUMED_MAX_SECONDS)


@contextmanager
def node(folder: Path, kafka: Kafka) -> Iterator[ClusterEventStore]:
    store = open_store(folder / "events.sqlite", kafka, root="national")
    try:
        store.create_shard("national")
        yield store
    finally:
        store.close()


def check(scene: Scene, what: str) -> None:
    """Hold every answer against both nodes' logs, which are one."""
    for writer in scene.writers:
        writer.stopping.set()
    time.sleep(0.5)
    shards = [each.shard("north") for each in scene.nodes]
    end = max(shard.log_end(RESUMED_MAX_SECONDS) for shard in shards)
    assert all(shard.wait_for(end, RESUMED_MAX_SECONDS) for shard in shards)
    logs = [shard.read(0, 100_000) for shard in shards]
    assert logs[0] == logs[1]
    assert shards[0].head() == shards[1].head()
    at = {stored.event_id: stored.position for stored in logs[0]}
    assert [stored.position for stored in logs[0]] == list(range(1, len(logs[0]) + 1))
    acknowledged = {
        an_event("incident-x", 1, name=name).event_id: position for writer in scene.writers for name, position in writer.placed.items()
    }
    assert acknowledged.items() <= at.items()
    unknown = sum(writer.unknown for writer in scene.writers)
    longest = max(writer.longest_seconds for writer in scene.writers)
    print(f"{what}: {len(acknowledged)} acknowledged, {unknown} unknown and sent again, at most {longest:.1f} s without service")  # noqa: T201


def test_the_leader_killed_and_started_again(scene: Scene) -> None:
    leader = scene.leader()
    leader.kill()
    scene.wait_for_appends()
    leader.start()
    leader.wait_until_serving()
    scene.wait_for_appends()
    check(scene, "leader killed")


@pytest.mark.faults
@pytest.mark.parametrize("which", ["leader", "follower"])
def test_a_broker_paused_and_resumed(scene: Scene, which: str) -> None:
    broker = scene.leader() if which == "leader" else scene.follower()
    broker.pause()
    try:
        scene.wait_for_appends()
    finally:
        broker.resume()
    scene.wait_for_appends()
    check(scene, f"{which} paused")


@pytest.mark.faults
def test_below_the_replicas_that_must_be_in_sync_nothing_is_acknowledged_and_all_goes_on_afterwards(scene: Scene) -> None:
    leader = scene.leader()
    others = [broker for broker in scene.cluster.brokers if broker is not leader]
    for broker in others:
        broker.kill()
    deadline = time.monotonic() + RESUMED_MAX_SECONDS
    while not all(writer.unknown for writer in scene.writers):
        assert time.monotonic() < deadline, "callers were not told that the outcome is unknown"
        time.sleep(0.1)
    before = [len(writer.placed) for writer in scene.writers]
    time.sleep(2.0)
    assert [len(writer.placed) for writer in scene.writers] == before
    for broker in others:
        broker.start()
    for broker in others:
        broker.wait_until_serving()
    scene.wait_for_appends()
    check(scene, "two of three brokers gone")
