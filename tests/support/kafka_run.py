"""The one Kafka of a test run, a pytest plugin: started when a test first asks for it, shared by all workers, ended with the run."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from deploy.kafka.__main__ import ANNOUNCED
from deploy.kafka.cluster import Cluster
from deploy.kafka.jars import KafkaMissing, jars
from tests.support.keeping import Service, say_what_was_skipped

NAMED: Final = "HUBTEST_KAFKA_BOOTSTRAP"
"""Names a Kafka that runs already; then none is started here, except by tests that kill brokers."""
REQUIRED: Final = "HUBTEST_REQUIRE_KAFKA"
"""Set to 1 where a run without Kafka proves too little: tests that need it fail then, and are not skipped."""
_MARK: Final = "no Kafka: "
_SERVICE: Final = Service("Kafka", "deploy.kafka", ("--until-stdin-closes",), ANNOUNCED, start_max_seconds=90.0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    say_what_was_skipped(terminalreporter, _MARK, "Kafka")


@pytest.fixture(scope="session")
def kafka_bootstrap(pytestconfig: pytest.Config) -> str:
    """The addresses of the run's Kafka, which all tests share: each makes topics of its own (``kafka.a_topic``)."""
    return os.environ.get(NAMED) or _SERVICE.address(pytestconfig, need_kafka)


@pytest.fixture
def a_cluster(tmp_path: Path) -> Iterator[Callable[[int], Cluster]]:
    """Starts a cluster of a test's own, of 1 or 3 brokers, for it to kill, pause and start again."""
    need_kafka()
    clusters: list[Cluster] = []

    def start(brokers: int = 1) -> Cluster:
        cluster = Cluster(tmp_path / f"kafka-{len(clusters)}", brokers)
        clusters.append(cluster)
        cluster.start()
        return cluster

    try:
        yield start
    finally:
        for cluster in clusters:
            cluster.kill()


def need_kafka() -> None:
    """Skip the test where Kafka cannot be had; fail it where it must be."""
    try:
        jars()
    except KafkaMissing as missing:
        reason = str(missing)
    else:
        return
    if os.environ.get(REQUIRED) == "1":
        pytest.fail(f"{REQUIRED}=1, and {reason}", pytrace=False)
    pytest.skip(f"{_MARK}{reason}, or set {NAMED} to one that runs.")
