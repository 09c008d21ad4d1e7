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
from services.bootstrap import found_home, key_encryption_key, key_place, now
from services.cli.failures import Exit
from services.eventstore.brokers import Kafka
from services.eventstore.topic import make_topic
from services.runtime.settings import Settings, load_settings
from services.trust.keystore import LOOK_SECONDS, case_key_id
from services.trust.postgresql_keys import STALE_SECONDS, PostgresqlKeyStore
from tests.support.builders import COUNCIL, SHARD, a_notification, an_information_request
from tests.support.command import ran
from tests.support.hub import RunningHub, enrol, running_hub
from tests.support.killing import Process, Processes, free_port, wait_until_serving
from tests.support.postgresql import a_database
from tests.support.reading import CALL_SECONDS, a_uuid, queries

LOOKS = 40

pytestmark = pytest.mark.timeout(300)


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
class Homes:
    """A hub that was founded, with a second home prepared for it; nobody serves either."""

    one: Path
    other: Path
    kafka: Kafka


def started(processes: Processes, home: Path, port: int, agencies: Settings) -> Node:
    """Serve a home."""
    process = processes.serve(home, port)
    wait_until_serving(process)
    return Node(home, port, process, RunningHub(agencies, cast("Any", None), f"localhost:{port}", cast("Any", None)))


@pytest.fixture
def homes(tmp_path: Path, kafka_bootstrap: str, postgresql_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Homes]:
    monkeypatch.setenv("HUB_LISTEN", f"127.0.0.1:{free_port(Random())}")  # where nothing is said: somebody else's hub may have the usual
    monkeypatch.setenv("HUB_METRICS_LISTEN", "")
    kafka = Kafka(bootstrap=tuple(kafka_bootstrap.split(",")), topic=f"hub.events.test.{uuid.uuid4().hex}")
    make_topic(kafka, partitions=3, replication=1)
    one, other = tmp_path / "one", tmp_path / "other"
    with a_database(postgresql_server) as views, a_database(postgresql_server) as keys:
        one.mkdir()
        text = {"kafka_bootstrap": kafka_bootstrap, "kafka_topic": kafka.topic, "database_url": views, "keys_database_url": keys}
        (one / "hub.toml").write_text("".join(f'{name} = "{value}"\n' for name, value in text.items()))
        found_home(load_settings(home=one))
        prepared = ran("nodes", "prepare", "node-2", "--into", other, "--home", one, "--json")
        assert (prepared.code, prepared.document["missing"]) == (Exit.OK, []), prepared.err
        yield Homes(one, other, kafka)


async def receipt_from(node: Node, event_id: bytes) -> Receipt:
    """Return a receipt as a node gives it."""
    async with node.calls.channel(COUNCIL) as channel:
        request = GetReceiptRequest(shard=SHARD, event_id=event_id)
        answer = await append_stub(COUNCIL)(channel).GetReceipt(request, timeout=CALL_SECONDS)
    return cast("Receipt", answer.receipt)


async def lines_of(node: Node, case_id: str, position: int) -> int:
    """Return how many lines a node's chronology of a case has, once it has come to a position."""
    async with queries(node.calls, COUNCIL) as asks:
        return len((await asks.story(case_id, min_position=position)).lines)


async def withheld(node: Node, case_id: str, position: int = 0) -> str:
    """Return why a node withholds the body of a case's first event; nothing if it gives it."""
    async with queries(node.calls, COUNCIL) as asks:
        return str((await asks.stream(f"incident-{case_id}", min_position=position)).entries[0].body_withheld)


@dataclass(frozen=True)
class Case:
    """A case that the council has notified: where, and by which event."""

    case_id: str
    position: int
    event_id: bytes


async def a_case(node: Node) -> Case:
    """Have the council notify through a node."""
    case_id = a_uuid()
    (receipt,) = await node.calls.said(COUNCIL, a_notification(), case_id=case_id)
    return Case(case_id, receipt.position, receipt.event_id)


async def test_any_node_serves_anybody_and_one_goes_on_without_the_other(homes: Homes, tmp_path: Path) -> None:
    settings, random = load_settings(home=homes.one), Random()
    with Processes(tmp_path, tmp_path / "compiled") as processes:
        one = started(processes, homes.one, free_port(random), settings)
        await enrol(one.calls)
        other = started(processes, homes.other, free_port(random), settings)
        cases = [await a_case(node) for node in (one, other, one)]
        for case in cases:
            await is_the_same_from_both(case, one, other)
        await is_erased_for_both(cases[0].case_id, one, other)
        one.process.kill()  # which came first, and so is the one that projects
        kept = cases[1]
        (asked,) = await other.calls.said(COUNCIL, an_information_request(a_uuid(), due_on=london_day(now())), case_id=kept.case_id)
        assert await lines_of(other, kept.case_id, asked.position) > await lines_of(other, cases[2].case_id, cases[2].position)
        again = started(processes, homes.one, one.port, settings)
        assert await lines_of(again, kept.case_id, asked.position) == await lines_of(other, kept.case_id, asked.position)
        await is_the_same_from_both(kept, again, other)
        for node in (again, other):
            node.process.tell_to_end()
            assert node.process.ended() == 0, node.process.words()
    rebuilt = ran("rebuild", "--home", homes.other)  # what views were told of the erased case goes with this
    assert rebuilt.code == Exit.OK, rebuilt.err
    for home in (homes.one, homes.other):
        verified = ran("verify", "--home", home, "--json")
        assert verified.code == Exit.OK, verified.err + verified.out
        assert all(view["matches"] for view in verified.document["views"])


async def is_the_same_from_both(case: Case, *nodes: Node) -> None:
    """See that nodes give one receipt for a case's notification, its lines, and its body; and that they record who read it."""
    receipts = [await receipt_from(node, case.event_id) for node in nodes]
    assert receipts == [receipts[0]] * len(nodes)
    for node in nodes:
        assert await lines_of(node, case.case_id, case.position)
        assert await withheld(node, case.case_id, case.position) == ""
        assert await has_readers_on_record(node, case.case_id), "nobody's reading is on record"


async def has_readers_on_record(node: Node, case_id: str) -> bool:
    """Tell whether who read a case comes to be on record; views may be a moment behind the log."""
    async with queries(node.calls, COUNCIL) as asks:
        for _ in range(LOOKS):
            if (await asks.stream(f"access-{case_id}")).entries:
                return True
            await asyncio.sleep(LOOK_SECONDS)
    return False


async def is_erased_for_both(case_id: str, one: Node, other: Node) -> None:
    """Destroy a case's data key and see that within the time promised no node gives its bodies."""
    with closing(PostgresqlKeyStore(key_place(one.settings), key_encryption_key(one.settings))) as keys:
        keys.destroy(case_key_id(SHARD, case_id))
    await asyncio.sleep(LOOK_SECONDS + STALE_SECONDS)
    assert [await withheld(node, case_id) for node in (one, other)] == ["destroyed"] * 2


def test_a_node_with_another_key_encryption_key_or_beside_another_log_does_not_serve(homes: Homes) -> None:
    with running_hub(homes.one):  # notes in the databases which log they are of
        assert [check for check in checks_of(homes.one) if check["grade"] == "FAIL"] == []
    secrets = (homes.other, homes.other / "hub.toml", homes.other / "trust" / "kek")
    assert {stat.S_IMODE(file.stat().st_mode) & 0o077 for file in secrets} == {0}
    with running_hub(homes.other) as other:
        assert other.settings.node_id == "node-2"
    assert [check for check in checks_of(homes.other) if check["grade"] == "FAIL"] == []
    kek_file, settings_file = homes.other / "trust" / "kek", homes.other / "hub.toml"
    kek = kek_file.read_text()
    kek_file.write_text("00" * 32)
    refused = ran("serve", "--home", homes.other)
    assert (refused.code, "the key-encryption key is another one" in refused.err) == (Exit.UNSOUND, True), refused.err
    kek_file.write_text(kek)
    topic = f"{homes.kafka.topic}.other"
    make_topic(replace(homes.kafka, topic=topic), partitions=3, replication=1)
    settings_file.write_text(settings_file.read_text().replace(homes.kafka.topic, topic))
    for file in (homes.other / "store").glob("events.sqlite*"):
        file.unlink()
    refused = ran("serve", "--home", homes.other)
    words = ("the key store is of another log", "this log is empty")
    assert (refused.code, [word in refused.err for word in words]) == (Exit.UNSOUND, [True, True]), refused.err


def test_a_home_that_could_not_serve_is_not_prepared(homes: Homes, tmp_path: Path) -> None:
    for name, into in {"node-1": "third", "node-3": "other", "node 3": "third"}.items():
        refused = ran("nodes", "prepare", name, "--into", tmp_path / into, "--home", homes.one)
        assert (refused.code, (tmp_path / "third").exists()) == (Exit.USAGE, False), refused.err


def checks_of(home: Path) -> list[dict[str, str]]:
    """Return what ``hub doctor`` finds."""
    found: list[dict[str, str]] = ran("doctor", "--home", home, "--json").document["checks"]
    return found
