"""A hub whose log is a topic: its commands, and a node that folds the topic anew."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from eventsourcing.application import Application

from services.cli.failures import Exit
from services.eventstore.brokers import Kafka
from services.eventstore.topic import KEPT_FOR_EVER, check_topic, faults, leaders, make_topic
from services.runtime.errors import IntegrityError, Unavailable
from tests.support.builders import COUNCIL, a_notification
from tests.support.command import ran
from tests.support.hub import running_hub


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch, kafka_bootstrap: str) -> Kafka:
    """A topic that does not exist yet, named by the environment."""
    kafka = Kafka(bootstrap=tuple(kafka_bootstrap.split(",")), topic=f"hub.events.test.{uuid.uuid4().hex}")
    monkeypatch.setenv("HUB_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("HUB_KAFKA_TOPIC", kafka.topic)
    return kafka


def make_with(kafka: Kafka, setting: str, value: str) -> None:
    """Make the topic as somebody might who set one thing otherwise."""
    admin = kafka.admin()
    admin.create_topics({kafka.topic: {"num_partitions": 2, "configs": {**KEPT_FOR_EVER, setting: value}}}, wait_for_metadata=True)
    admin.close()


def test_the_topic_is_made_checked_and_widened(kafka: Kafka, tmp_path: Path) -> None:
    missing = ran("kafka", "check", "--home", tmp_path)
    assert (missing.code, f"topic '{kafka.topic}' does not exist; make it with: hub kafka init" in missing.err) == (Exit.UNAVAILABLE, True)
    assert ran("kafka", "init", "--partitions", "3", "--replication", "1", "--home", tmp_path).code == Exit.OK
    assert ran("kafka", "init", "--partitions", "5", "--replication", "1", "--json", "--home", tmp_path).document["partitions"] == 5
    checked = ran("kafka", "check", "--home", tmp_path)
    assert (checked.code, checked.out) == (
        Exit.OK,
        f"topic {kafka.topic} has 5 partitions, each on one broker, and keeps its records for ever\n",
    )
    again = ran("kafka", "init", "--partitions", "5", "--replication", "3", "--home", tmp_path)
    assert (again.code, "it was there before, on one broker instead of 3" in again.err) == (Exit.OK, True)


def test_each_partition_has_a_leader(kafka: Kafka) -> None:
    with pytest.raises(Unavailable, match="does not exist"):
        leaders(kafka)
    make_topic(kafka, partitions=3, replication=1)
    found = leaders(kafka)
    assert found.keys() == {0, 1, 2}
    assert all(broker > 0 for broker in found.values())


def test_a_topic_that_would_lose_records_is_refused_by_every_command_that_rests_on_it(kafka: Kafka, tmp_path: Path) -> None:
    make_with(kafka, "cleanup.policy", "compact")
    for command in (("kafka", "check"), ("kafka", "init", "--partitions", "2", "--replication", "1"), ("serve", "--found")):
        refused = ran(*command, "--home", tmp_path)
        assert refused.code == Exit.UNSOUND, refused.err
        assert "cleanup.policy is compact, must be delete" in refused.err


@pytest.mark.parametrize(
    ("setting", "found", "wanted"),
    [
        ("cleanup.policy", "compact,delete", "delete"),
        ("retention.ms", "604800000", "-1"),
        ("retention.bytes", "1073741824", "-1"),
        ("message.timestamp.type", "CreateTime", "LogAppendTime"),
        ("unclean.leader.election.enable", "true", "false"),
        ("compression.type", "gzip", "producer"),
        ("max.message.bytes", "921600", "987136"),
    ],
)
def test_a_topic_that_would_lose_change_or_misdate_records_is_refused_with_what_it_must_be(
    kafka: Kafka, setting: str, found: str, wanted: str
) -> None:
    make_with(kafka, setting, found)
    with pytest.raises(IntegrityError) as refused:
        check_topic(kafka)
    assert str(refused.value) == f"topic {kafka.topic!r} would not keep the log as it is: {setting} is {found}, must be {wanted}"


def test_a_topic_may_take_larger_records_than_ours(kafka: Kafka) -> None:
    make_with(kafka, "max.message.bytes", "2000000")
    assert check_topic(kafka).partitions == 2


@pytest.mark.parametrize(
    ("replicas", "in_sync", "wrong"),
    [
        (3, "1", ["min.insync.replicas is 1, must be 2: what is acknowledged may lie on one broker alone"]),
        (2, "1", ["min.insync.replicas is 1, must be 2: what is acknowledged may lie on one broker alone"]),
        (3, "2", []),
        (3, "3", []),
        (1, "1", []),
    ],
)
def test_what_is_acknowledged_lies_on_two_brokers_wherever_there_are_as_many(replicas: int, in_sync: str, wrong: list[str]) -> None:
    assert faults({**KEPT_FOR_EVER, "min.insync.replicas": in_sync}, replicas) == wrong


def test_settings_that_the_topic_leaves_to_the_brokers_are_refused() -> None:
    silent = faults({}, 3)
    assert "retention.ms is the brokers' default, must be -1" in silent
    assert len(silent) == len(KEPT_FOR_EVER) + 1


def test_an_application_of_eventsourcing_takes_no_topic_that_would_lose_records(kafka: Kafka, tmp_path: Path) -> None:
    make_with(kafka, "cleanup.policy", "compact")
    path = tmp_path / "events.sqlite"
    settings = {"KAFKA_BOOTSTRAP": ",".join(kafka.bootstrap), "KAFKA_TOPIC": kafka.topic, "EVENTSTORE_PATH": str(path)}
    with pytest.raises(IntegrityError, match=r"cleanup\.policy is compact, must be delete"):
        Application(env={"PERSISTENCE_MODULE": "services.eventstore.kafka", **settings})
    assert not path.exists()


@pytest.mark.usefixtures("kafka")
def test_a_hub_is_founded_on_an_empty_topic_that_is_there_and_nothing_is_left_where_it_cannot_be(tmp_path: Path) -> None:
    missing = ran("serve", "--found", "--home", tmp_path / "hub")
    assert (missing.code, "does not exist; make it with: hub kafka init" in missing.err) == (Exit.UNAVAILABLE, True)
    assert not (tmp_path / "hub").exists()
    assert ran("kafka", "init", "--partitions", "3", "--replication", "1", "--home", tmp_path).code == Exit.OK
    with running_hub(tmp_path / "hub"):
        pass
    other = ran("serve", "--found", "--home", tmp_path / "other")
    assert (other.code, "holds a hub's log already" in other.err) == (Exit.UNSOUND, True)
    assert not (tmp_path / "other").exists()


def test_without_brokers_nothing_is_made(tmp_path: Path) -> None:
    asked = ran("kafka", "init", "--home", tmp_path)
    assert (asked.code, "HUB_KAFKA_BOOTSTRAP is not set" in asked.err) == (Exit.USAGE, True)


def test_a_hub_on_kafka_is_well_and_one_without_its_file_folds_the_topic_anew(kafka: Kafka, tmp_path: Path) -> None:
    assert ran("kafka", "init", "--partitions", "3", "--replication", "1", "--home", tmp_path).code == Exit.OK
    with running_hub(tmp_path / "hub") as hub:
        hub.run(hub.said(COUNCIL, a_notification(), case_id=str(uuid.uuid4())))
        heads = {name: hub.parts.store.shard(name).head() for name in hub.parts.store.shards()}
        found = {check["what"]: check for check in ran("doctor", "--home", tmp_path / "hub", "--json").document["checks"]}
        assert (found["kafka"]["grade"], kafka.topic in found["kafka"]["found"]) == ("OK", True)
    for file in (tmp_path / "hub" / "store").glob("events.sqlite*"):
        file.unlink()
    with running_hub(tmp_path / "hub") as again:
        assert {name: again.parts.store.shard(name).head() for name in heads if again.parts.store.create_shard(name)} == heads
    verdict = ran("verify", "--home", tmp_path / "hub", "--json")
    assert verdict.document["passed"] is True
