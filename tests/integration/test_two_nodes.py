"""Two ``hub serve`` on one topic, with views and data keys in PostgreSQL: any node serves anybody, and one goes on without the other."""

from __future__ import annotations

import asyncio
import stat
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest

from domain.kernel.events import london_day
from safeguarding.hub.client.routes import append_stub
from safeguarding.hub.v1.append_pb2 import GetReceiptRequest, Receipt
from services.bootstrap import found_home, key_encryption_key, now
from services.cli.failures import Exit
from services.eventstore.kafka import Kafka, make_topic
from services.runtime.settings import Settings, load_settings
from services.trust.keystore import LOOK_SECONDS, case_key_id
from services.trust.postgresql_keys import STALE_SECONDS, PostgresqlKeyStore
from tests.support.builders import COUNCIL, SHARD, a_notification, an_information_request
from tests.support.command import ran
from tests.support.hub import RunningHub, enrol
from tests.support.killing import Process, Processes, free_port, wait_until_serving
from tests.support.postgresql import a_database
from tests.support.reading import a_uuid, queries

ACCESSES = 4


@dataclass
class Node:
    """One ``hub serve``: its home, and how agencies of the first home call it."""

    home: Path
    port: int
    process: Process
    calls: RunningHub

    @property
    def settings(self) -> Settings:
        return load_settings(home=self.home)


@dataclass
class Nodes:
    """A hub of two nodes."""

    processes: Processes
    one: Node
    other: Node

    @property
    def keys_url(self) -> str:
        url = self.one.settings.keys_database_url
        assert url is not None
        return url.get_secret_value()

    @property
    def views_url(self) -> str:
        url = self.one.settings.database_url
        assert url is not None
        return url.get_secret_value()


def started(processes: Processes, home: Path, port: int, agencies: Settings) -> Node:
    """Serve a home."""
    process = processes.serve(home, port)
    wait_until_serving(process)
    return Node(home, port, process, RunningHub(agencies, cast("Any", None), f"localhost:{port}", cast("Any", None)))


@pytest.fixture
def nodes(tmp_path: Path, kafka_bootstrap: str, postgresql_server: str) -> Iterator[Nodes]:
    kafka = Kafka(bootstrap=tuple(kafka_bootstrap.split(",")), topic=f"hub.events.test.{uuid.uuid4().hex}")
    make_topic(kafka, partitions=3, replication=1)
    home, second, random = tmp_path / "one", tmp_path / "other", Random(tmp_path.name)
    with (
        a_database(postgresql_server) as views,
        a_database(postgresql_server) as keys,
        Processes(tmp_path, tmp_path / "compiled") as processes,
    ):
        home.mkdir()
        text = {"kafka_bootstrap": kafka_bootstrap, "kafka_topic": kafka.topic, "database_url": views, "keys_database_url": keys}
        (home / "hub.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in text.items()))
        settings = load_settings(home=home)
        found_home(settings)
        prepared = ran("nodes", "prepare", "node-2", "--into", second, "--home", home, "--json")
        assert (prepared.code, prepared.document["missing"]) == (Exit.OK, []), prepared.err
        one = started(processes, home, free_port(random), settings)
        asyncio.run(enrol(one.calls))
        yield Nodes(processes, one, started(processes, second, free_port(random), settings))


async def receipt_from(node: Node, event_id: bytes) -> Receipt:
    """Return a receipt as a node gives it."""
    async with node.calls.channel(COUNCIL) as channel:
        request = GetReceiptRequest(shard=SHARD, event_id=event_id)
        answer = await append_stub(COUNCIL)(channel).GetReceipt(request, timeout=30)
    return cast("Receipt", answer.receipt)


async def a_case(node: Node) -> tuple[str, int, bytes]:
    """Have the council notify through a node; return the case, the position and the event's id."""
    case_id = a_uuid()
    (receipt,) = await node.calls.said(COUNCIL, a_notification(), case_id=case_id)
    return case_id, receipt.position, receipt.event_id


async def test_what_is_sent_to_one_node_is_read_on_the_other_until_its_key_is_destroyed(nodes: Nodes) -> None:
    one, other = nodes.one, nodes.other
    cases = [await a_case(node) for node in (one, other, one)]
    for case_id, position, event_id in cases:
        assert await receipt_from(one, event_id) == await receipt_from(other, event_id)
        for node in (one, other):
            async with queries(node.calls, COUNCIL) as asks:
                assert (await asks.story(case_id, min_position=position)).lines
                (notified,) = (await asks.stream(f"incident-{case_id}", min_position=position)).entries
                assert notified.body_withheld == ""
    for node in (one, other):  # whose own records of who read what stand beside each other on the log
        async with queries(node.calls, COUNCIL) as asks:
            accesses = (await asks.stream(f"access-{cases[0][0]}")).entries
            assert len(accesses) >= ACCESSES
    erased = cases[0][0]
    with closing(PostgresqlKeyStore(nodes.keys_url, key_encryption_key(one.settings))) as keys:
        keys.destroy(case_key_id(SHARD, erased))
    await asyncio.sleep(LOOK_SECONDS + STALE_SECONDS)  # no longer than this, says the store
    for node in (one, other):
        async with queries(node.calls, COUNCIL) as asks:
            (gone,) = (await asks.stream(f"incident-{erased}")).entries
            assert gone.body_withheld


async def test_when_the_node_that_projects_is_killed_the_other_takes_over(nodes: Nodes) -> None:
    one, other = nodes.one, nodes.other
    case_id, position, event_id = await a_case(one)
    before = await receipt_from(one, event_id)
    one.process.kill()
    (asked,) = await other.calls.said(COUNCIL, an_information_request(a_uuid(), due_on=london_day(now())), case_id=case_id)
    assert asked.position > position
    async with queries(other.calls, COUNCIL) as asks:
        assert (await asks.story(case_id, min_position=asked.position)).lines
    assert await receipt_from(other, event_id) == before
    again = started(nodes.processes, one.home, one.port, one.settings)
    async with queries(again.calls, COUNCIL) as asks:
        assert (await asks.story(case_id, min_position=asked.position)).lines
    for node in (again, other):
        node.process.tell_to_end()
        assert node.process.ended() == 0, node.process.words()
    verified = ran("verify", "--home", other.home, "--json")
    assert verified.code == Exit.OK, verified.err + verified.out
    assert all(view["matches"] for view in verified.document["views"])


def test_a_node_with_another_key_encryption_key_or_beside_another_log_does_not_serve(nodes: Nodes, tmp_path: Path) -> None:
    other = nodes.other
    other.process.tell_to_end()
    assert other.process.ended() == 0
    assert {stat.S_IMODE(file.stat().st_mode) & 0o077 for file in (other.home, other.home / "hub.toml", other.home / "trust" / "kek")} == {
        0
    }
    doctor = ran("doctor", "--home", other.home, "--json")
    assert [check for check in doctor.document["checks"] if check["grade"] == "FAIL"] == []
    kek = (other.home / "trust" / "kek").read_text()
    (other.home / "trust" / "kek").write_text("00" * 32)
    refused = ran("serve", "--home", other.home)
    assert (refused.code, "the key-encryption key is another one" in refused.err) == (Exit.UNSOUND, True), refused.err
    (other.home / "trust" / "kek").write_text(kek)
    text = (other.home / "hub.toml").read_text()
    topic = f"hub.events.test.{uuid.uuid4().hex}"
    make_topic(replace(Kafka.of(other.settings), topic=topic), partitions=3, replication=1)
    (other.home / "hub.toml").write_text(text.replace(other.settings.kafka_topic, topic))
    for file in (other.home / "store").glob("events.sqlite*"):
        file.unlink()
    refused = ran("serve", "--home", other.home)
    assert (refused.code, "the key store is of another log" in refused.err, "this log is empty" in refused.err) == (
        Exit.UNSOUND,
        True,
        True,
    )
    for name, into in {"node-1": "third", "node-3": "other", "node 3": "third"}.items():
        refused = ran("nodes", "prepare", name, "--into", tmp_path / into, "--home", nodes.one.home)
        assert (refused.code, (tmp_path / "third").exists()) == (Exit.USAGE, False), refused.err
