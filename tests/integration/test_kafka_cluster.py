"""The Kafka that tests and developers start: it keeps what it acknowledged, ends with whoever started it, and says what it lacks."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from deploy.kafka.cluster import Cluster, KafkaFailed
from deploy.kafka.jars import KafkaMissing
from services.eventstore.topic import KEPT_FOR_EVER
from tests.support.kafka import a_topic
from tests.support.kafka_run import need_kafka
from tests.support.keeping import REPOSITORY
from tests.support.killing import wait_for
from tests.support.pytest_runs import a_run

WITHIN_SECONDS = 30.0
LACKING = "Apache Kafka needs java and mvn, not found on the PATH: install openjdk-17-jre-headless and maven"


def produce(bootstrap: str, topic: str, value: bytes) -> int:
    """Return the offset at which a record was acknowledged by all replicas in sync."""
    with KafkaProducer(bootstrap_servers=bootstrap.split(","), acks="all", enable_idempotence=False) as producer:
        offset: int = producer.send(topic, value, partition=0).get(WITHIN_SECONDS).offset
    return offset


def consume(bootstrap: str, topic: str, records: int) -> list[bytes]:
    """Return the first records of a topic's only partition."""
    found: list[bytes] = []
    with KafkaConsumer(bootstrap_servers=bootstrap.split(","), group_id=None, auto_offset_reset="none") as consumer:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        consumer.seek(partition, 0)
        deadline = time.monotonic() + WITHIN_SECONDS
        while len(found) < records and time.monotonic() < deadline:
            found += [record.value for polled in consumer.poll(timeout_ms=500).values() for record in polled]
    return found


def is_listening(port: int) -> bool:
    """Tell whether anybody takes connections at a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_runs_broker_serves_with_the_settings_of_the_log(kafka_bootstrap: str) -> None:
    topic = a_topic(kafka_bootstrap, partitions=2)
    with KafkaAdminClient(bootstrap_servers=kafka_bootstrap.split(",")) as admin:
        assert len(admin.describe_topics([topic])[0]["partitions"]) == 2
        described = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])["topic"][topic]
    assert {name: told["value"] for name, told in described.items()} == {**KEPT_FOR_EVER, "min.insync.replicas": "1"}
    assert [produce(kafka_bootstrap, topic, value) for value in (b"one", b"two")] == [0, 1]
    assert consume(kafka_bootstrap, topic, 2) == [b"one", b"two"]


def test_a_killed_broker_has_what_it_acknowledged_when_it_is_started_again(a_cluster: Callable[[int], Cluster]) -> None:
    cluster = a_cluster(1)
    broker = cluster.broker(1)
    topic = a_topic(cluster.bootstrap)
    assert produce(cluster.bootstrap, topic, b"kept") == 0
    first = broker.pid
    broker.kill()
    assert (broker.is_alive(), broker.exit_code) == (False, -signal.SIGKILL)
    broker.start()
    broker.wait_until_serving()
    assert broker.pid != first
    assert consume(cluster.bootstrap, topic, 1) == [b"kept"]
    assert produce(cluster.bootstrap, topic, b"more") == 1
    broker.pause()
    assert Path(f"/proc/{broker.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    broker.resume()
    assert produce(cluster.bootstrap, topic, b"went on") == 2
    broker.stop()
    assert broker.exit_code == 128 + signal.SIGTERM  # As the JVM ends after a stop in order.


def test_a_folder_keeps_its_cluster_and_takes_no_other(a_cluster: Callable[[int], Cluster], tmp_path: Path) -> None:
    """Settings alone: nothing of it is started."""
    del a_cluster
    made = Cluster(tmp_path / "kept", 3)
    again = Cluster(tmp_path / "kept", 3)
    assert (again.cluster_id, again.bootstrap) == (made.cluster_id, made.bootstrap)
    assert len({broker.port for broker in made.brokers}) == 3
    with pytest.raises(ValueError, match="kept holds: expected 3, found 1"):
        Cluster(tmp_path / "kept", 1)
    with pytest.raises(ValueError, match="1 or 3 brokers, not 2"):
        Cluster(tmp_path / "other", 2)
    with pytest.raises(KafkaFailed, match="broker 2 cannot be paused"):
        made.broker(2).pause()


def test_without_java_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(KafkaMissing) as refused:
        Cluster(tmp_path)
    assert str(refused.value) == LACKING


def test_without_java_the_command_says_so_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deploy.kafka"],
        cwd=REPOSITORY,
        env={"PATH": "", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=WITHIN_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{LACKING}\n")


# ── a test run's Kafka: each test here is a run of pytest of its own ──


PLUGINS = 'pytest_plugins = ["tests.support.keeping", "tests.support.kafka_run"]'


TWO_TESTS = """
    def test_one(kafka_bootstrap): pass
    def test_other(a_cluster): pass
"""


def test_a_run_without_kafka_says_so_in_one_loud_line(tmp_path: Path) -> None:
    with a_run(tmp_path, PLUGINS, TWO_TESTS, "-n", "2", PATH="") as run:
        said, _ = run.communicate(timeout=WITHIN_SECONDS)
    assert run.returncode == 0, said
    assert [line for line in said.splitlines() if line.startswith("NOT TESTED")] == [
        f"NOT TESTED: 2 tests that need Kafka were skipped. {LACKING}, or set HUBTEST_KAFKA_BOOTSTRAP to one that runs."
    ]


def test_a_run_that_must_have_kafka_fails_without(tmp_path: Path) -> None:
    with a_run(tmp_path, PLUGINS, TWO_TESTS, PATH="", HUBTEST_REQUIRE_KAFKA="1") as run:
        said, _ = run.communicate(timeout=WITHIN_SECONDS)
    assert (run.returncode, "2 errors" in said) == (1, True), said
    assert f"HUBTEST_REQUIRE_KAFKA=1, and {LACKING}" in said


def test_a_kafka_that_runs_already_is_taken_as_named(tmp_path: Path) -> None:
    test = "def test_it(kafka_bootstrap): assert kafka_bootstrap == 'broker.example:9092'\n"
    with a_run(tmp_path, PLUGINS, test, PATH="", HUBTEST_KAFKA_BOOTSTRAP="broker.example:9092") as run:
        said, _ = run.communicate(timeout=WITHIN_SECONDS)
    assert run.returncode == 0, said


def test_a_run_that_is_killed_leaves_no_broker_behind(tmp_path: Path) -> None:
    need_kafka()
    test = """
        import pathlib, time
        def test_it(kafka_bootstrap):
            pathlib.Path("found").write_text(kafka_bootstrap + ".")
            time.sleep(100)
    """
    found = tmp_path / "found"
    with a_run(tmp_path, PLUGINS, test, TMPDIR=str(tmp_path)) as run:
        wait_for(lambda: run.poll() is not None or (found.exists() and found.read_text().endswith(".")), "a broker serves")
        assert run.poll() is None, run.communicate()[0]
        port = int(found.read_text().rstrip(".").rpartition(":")[2])
        assert is_listening(port)
        run.kill()
        wait_for(lambda: not is_listening(port), "the broker ends", WITHIN_SECONDS)
