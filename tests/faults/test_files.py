"""What happens to a node's file: it is folded anew, or goes on where it was, or is refused; it is never trusted against the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaError

from services.eventstore.brokers import Kafka
from tests.support.fault_node import REFUSED, STOPPED
from tests.support.fault_scene import DEADLINE_SECONDS, PARTITION, Scene
from tests.support.killing import wait_for

pytestmark = pytest.mark.timeout(900)
Measured = Callable[[str, float], None]


@pytest.mark.faults
def test_a_deleted_file_is_folded_anew(scene: Scene, measured: Measured) -> None:
    scene.start()
    scene.fault()
    scene.a.kill()
    scene.a.lose_file()
    scene.a.start()
    scene.a.wait_until_serving()
    scene.wait_for_appends_through("a")
    scene.check()
    measured("node killed, its file deleted: through that node", scene.without_service("a"))


@pytest.mark.faults
def test_a_truncated_file_is_refused_and_folded_anew_without_it(scene: Scene, measured: Measured) -> None:
    scene.start()
    scene.fault()
    scene.a.drain()
    with scene.a.path.open("r+b") as file:
        file.truncate(scene.random.randrange(1, scene.a.path.stat().st_size))
    scene.a.start()
    assert scene.a.ended() == REFUSED, scene.a.words()
    assert str(scene.a.path) in scene.a.words()
    scene.a.lose_file()
    scene.a.start()
    scene.a.wait_until_serving()
    scene.wait_for_appends_through("a")
    scene.check()
    measured("node's file truncated, refused, deleted: through that node", scene.without_service("a"))


@pytest.mark.faults
def test_a_file_from_an_old_backup_goes_on_from_its_offset(scene: Scene, measured: Measured) -> None:
    scene.start()
    backup = scene.folder / "backup.sqlite"
    with closing(sqlite3.connect(scene.a.path)) as live, closing(sqlite3.connect(backup)) as copy:
        live.backup(copy)
    scene.wait_for_appends()
    scene.fault()
    scene.a.kill()
    scene.a.lose_file()
    backup.rename(scene.a.path)
    scene.a.start()
    scene.a.wait_until_serving()
    scene.wait_for_appends_through("a")
    scene.check()
    measured("node's file from an old backup: through that node", scene.without_service("a"))


@pytest.mark.faults
@pytest.mark.parametrize("log", ["empty", "older", "another"])
def test_a_node_ahead_of_its_log_refuses_to_serve_and_says_so(scene: Scene, log: str) -> None:
    scene.start()
    scene.check()
    restored = restore(scene, log)
    for node in scene.nodes.values():
        node.plan = replace(node.plan, topic=restored.topic)
        node.start()
    for node in scene.nodes.values():
        assert node.ended() == REFUSED, node.words()
        said = "the log holds another record" if log == "another" else "the log lacks what this node has folded"
        assert said in node.words()


def restore(scene: Scene, log: str) -> Kafka:
    """Make another topic of what the nodes' topic holds: nothing, all but its end, or as many records of which the last is another."""
    assert scene.kafka is not None
    assert scene.fault_cluster is not None
    restored = scene.fault_cluster.topic()
    if log == "empty":
        return restored
    with closing(scene.kafka.consumer()) as consumer, closing(restored.producer()) as producer:
        for partition in range(2):
            values = all_of(consumer, scene.kafka.topic, partition)
            if partition == PARTITION and log == "older":
                values = values[: -scene.random.randrange(1, len(values))]
            if partition == PARTITION and log == "another":
                values = [*values[:-1], values[1]]
            for value in values:
                producer.send(restored.topic, value=value, partition=partition)
        producer.flush(timeout=10 * DEADLINE_SECONDS)
    return restored


def all_of(consumer: Any, topic: str, partition: int) -> list[bytes]:
    """Return every record of a partition."""
    place = TopicPartition(topic, partition)
    consumer.assign([place])
    consumer.seek(place, 0)
    end: int = consumer.end_offsets([place])[place]
    found: list[bytes] = []

    def is_whole() -> bool:
        found.extend(record.value for records in consumer.poll(timeout_ms=500).values() for record in records)
        return len(found) >= end

    wait_for(is_whole, "the topic is read", 10 * DEADLINE_SECONDS)
    return found


@pytest.mark.faults
def test_nodes_whose_topic_is_made_anew_under_them_stop(scene: Scene) -> None:
    scene.start()
    scene.stopping.set()
    scene.end_clients()
    kafka = scene.kafka
    assert kafka is not None
    with closing(kafka.admin()) as admin:
        admin.delete_topics([kafka.topic])
        settings = {"num_partitions": 2, "replication_factor": 3}
        wait_for(lambda: made(admin, kafka.topic, settings), "the topic is made anew")
    for node in scene.nodes.values():
        assert node.ended() == STOPPED, node.words()
        assert "the log lacks what this node has folded" in node.words()


def made(admin: Any, topic: str, settings: dict[str, int]) -> bool:
    """Make a topic; tell whether that was possible yet."""
    try:
        admin.create_topics({topic: settings}, wait_for_metadata=True)
    except KafkaError:
        return False
    return True


@pytest.mark.faults
def test_while_a_nodes_disk_is_full_it_answers_nothing_and_the_other_goes_on(scene: Scene, measured: Measured) -> None:
    scene.start()
    scene.fault()
    scene.a.weaken(is_full=True)
    scene.wait_for_doubt("a")
    scene.wait_for_appends("b")
    scene.a.weaken(is_full=False)
    scene.wait_for_appends_through("a")
    scene.check()
    measured("node's disk full: through that node", scene.without_service("a"))
