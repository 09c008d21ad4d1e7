"""What a hub may rest on, for tests that run on both: its own files, or Kafka and PostgreSQL, which nodes share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from tests.support.kafka import a_topic
from tests.support.postgresql import a_database

KINDS: Final = ("embedded", "cluster")
PARTITIONS: Final = 4


@contextmanager
def settings_of(kind: str, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Give the settings of a hub of a kind, with an empty topic and empty databases of its own; the databases go with the context."""
    if kind == "embedded":
        yield {}
        return
    bootstrap: str = request.getfixturevalue("kafka_bootstrap")
    server: str = request.getfixturevalue("postgresql_server")
    with a_database(server) as views, a_database(server) as keys:
        topic = a_topic(bootstrap, PARTITIONS)
        yield {"kafka_bootstrap": bootstrap, "kafka_topic": topic, "database_url": views, "keys_database_url": keys}
