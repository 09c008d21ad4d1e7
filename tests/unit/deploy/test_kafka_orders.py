"""What ``python -m deploy.kafka`` does when another program tells it to kill a broker, or to start it again."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest

from deploy.kafka.__main__ import obeyed
from deploy.kafka.cluster import Cluster, KafkaFailed


@dataclass
class FakeBroker:
    node_id: int
    is_slow: bool = False
    done: list[str] = field(default_factory=list)

    def kill(self) -> None:
        self.done.append("killed")

    def start(self) -> None:
        self.done.append("started")

    def wait_until_serving(self) -> None:
        if self.is_slow:
            raise KafkaFailed(f"broker {self.node_id} does not serve after 60 s\nits last words")
        self.done.append("serves")


@dataclass
class FakeCluster:
    brokers: tuple[FakeBroker, ...] = field(default_factory=lambda: tuple(FakeBroker(number) for number in (1, 2, 3)))


def test_a_broker_is_killed_and_started_again_and_no_other() -> None:
    cluster = FakeCluster()
    said = [obeyed(cast(Cluster, cluster), order) for order in ("kill 2", "start 2")]
    assert said == ["broker 2 is dead", "broker 2 serves"]
    assert [broker.done for broker in cluster.brokers] == [[], ["killed", "started", "serves"], []]


@pytest.mark.parametrize("order", ["", "kill", "kill 4", "kill 2 3", "stop 2", "KILL 2"])
def test_anything_else_is_not_understood_and_changes_nothing(order: str) -> None:
    cluster = FakeCluster()
    assert obeyed(cast(Cluster, cluster), order) == f"not understood: {order}"
    assert [broker.done for broker in cluster.brokers] == [[], [], []]


def test_a_broker_that_does_not_come_back_in_time_is_no_end_of_the_others() -> None:
    cluster = FakeCluster(brokers=(FakeBroker(1), FakeBroker(2, is_slow=True), FakeBroker(3)))
    assert obeyed(cast(Cluster, cluster), "start 2") == "broker 2 does not serve after 60 s"
