"""Several nodes on a real Kafka are one hub: they compare what they hold, come to the end before they serve, and follow new shards."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from domain.kernel.ids import NATIONAL
from safeguarding.hub.client.drafts import Draft
from safeguarding.hub.client.identity import Credentials
from safeguarding.hub.client.outcomes import Outcome, Receipt
from safeguarding.hub.v1 import registry_pb2, registry_pb2_grpc
from services.bootstrap import Hub, Parts, found_home
from services.cli import serve
from services.cli.calling import sdk_client
from services.cli.failures import Exit, Failure
from services.eventstore import cluster, digests
from services.eventstore.brokers import Kafka
from services.eventstore.cluster import ClusterEventStore
from services.eventstore.codec import to_message
from services.eventstore.fold import PROGRAM, Program
from services.eventstore.follower import Follower, Member
from services.eventstore.kafka import open_store
from services.eventstore.port import Accepted
from services.eventstore.read_only import open_read_only
from services.eventstore.refold import Differs
from services.eventstore.topic import make_topic
from services.runtime.entrance import Entrance
from services.runtime.settings import Settings, load_settings
from tests.support.appends import an_append, an_event
from tests.support.builders import BUSINESS_UNIT, COUNCIL, ICB, POLICE, SHARD, a_notification
from tests.support.command import ran, serving, start, stop, wait_until
from tests.support.eventually import eventually
from tests.support.killing import free_port
from tests.support.newer_rules import RETIRED, judge_v2

pytestmark = pytest.mark.timeout(240)
WITHIN_SECONDS = 60.0
EVENTS = 300
WRONG = Program(judges={1: judge_v2}, formats=PROGRAM.formats)


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch, kafka_bootstrap: str) -> Kafka:
    """A topic of one partition, named by the environment."""
    kafka = Kafka(bootstrap=tuple(kafka_bootstrap.split(",")), topic=f"hub.events.test.{uuid.uuid4().hex}")
    make_topic(kafka, partitions=1, replication=1)
    monkeypatch.setenv("HUB_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("HUB_KAFKA_TOPIC", kafka.topic)
    return kafka


# ── digests ──


@pytest.fixture
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "PUBLISH_SECONDS", 0.5)
    monkeypatch.setattr(digests, "SETTLE_SECONDS", 2.0)


@contextmanager
def node(folder: Path, kafka: Kafka, name: str, heard: list[bool]) -> Iterator[ClusterEventStore]:
    member = Member(node_id=name, compared=heard.append)
    store = open_store(folder / name / "events.sqlite", kafka, root=NATIONAL, member=member)
    try:
        store.create_shard(NATIONAL)
        yield store
    finally:
        store.close()


def append(store: ClusterEventStore, since: int, kind: str = "incident.referred.v1", count: int = EVENTS) -> None:
    """Append events, ten to an append."""
    shard = store.create_shard("north")
    made = [an_event(f"incident-{number}", 1) for number in range(since, since + count)]
    made = [replace(event, type=kind) for event in made]
    appends = [an_append(f"{since + at}", *made[at : at + 10]) for at in range(0, count, 10)]
    for future in [shard.append(each) for each in appends]:
        assert isinstance(future.result(WITHIN_SECONDS), Accepted)


def at_one(*stores: ClusterEventStore) -> bool:
    shards = [store.shard("north") for store in stores]
    end = max(shard.log_end(WITHIN_SECONDS) for shard in shards)
    return all(shard.wait_for(end, WITHIN_SECONDS) for shard in shards) and len({shard.head() for shard in shards}) == 1


@pytest.mark.usefixtures("_often")
def test_a_node_whose_file_was_changed_folds_the_topic_anew_and_goes_on(kafka: Kafka, tmp_path: Path) -> None:
    heard: dict[str, list[bool]] = {"a": [], "b": []}
    with node(tmp_path, kafka, "a", heard["a"]) as first:
        with node(tmp_path, kafka, "b", heard["b"]) as second:
            append(first, 0)
            assert eventually(lambda: all(heard.values()), WITHIN_SECONDS)
            assert at_one(first, second)
        with closing(sqlite3.connect(tmp_path / "b" / "events.sqlite")) as file, file:
            changed = "UPDATE event SET state = x'ff' WHERE stream = 'incident-7'"
            assert file.execute(changed).rowcount == 1
        with node(tmp_path, kafka, "b", heard["b"]) as second:
            assert at_one(first, second), "its digest does not notice"
            assert eventually(lambda: second.failure is not None, WITHIN_SECONDS)
            assert isinstance(second.failure, Differs)
            assert second.failure.refolds
        heard["b"].clear()
        with node(tmp_path, kafka, "b", heard["b"]) as second:
            append(second, EVENTS)
            assert eventually(lambda: bool(heard["b"]), WITHIN_SECONDS)
            assert at_one(first, second)
            assert (first.failure, second.failure) == (None, None)
            read = [store.shard("north").read(0, 2 * EVENTS) for store in (first, second)]
            assert read[0] == read[1]
    assert {is_same for each in heard.values() for is_same in each} == {True}


@pytest.mark.usefixtures("_often")
def test_a_node_that_folds_otherwise_folds_anew_and_then_stops_while_the_other_goes_on(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bool] = []
    with node(tmp_path, kafka, "a", heard) as right:
        append(right, 0, count=10)
        monkeypatch.setattr(cluster, "Follower", partial(Follower, program=WRONG))
        for refolds in (True, False):
            with node(tmp_path, kafka, "b", []) as wrong:
                append(right, 1_000 * (1 + refolds), RETIRED, count=10)
                append(right, 1_000 * (3 + refolds))
                assert eventually(lambda: wrong.failure is not None, WITHIN_SECONDS)
                assert isinstance(wrong.failure, Differs)
                assert wrong.failure.refolds is refolds
        append(right, 9_000)
        assert right.failure is None
    assert False in heard


# ── coming to the end ──


def a_second_home(home: Path, folder: Path) -> Path:
    """Copy what another node of a hub needs: everything but what it folds and projects itself, and the keys, which are the hub's."""
    copy = folder / "second"
    shutil.copytree(home, copy, ignore=shutil.ignore_patterns("store", "address", "sequence.sqlite*"))
    (copy / "store").mkdir(mode=0o700)
    (copy / "store" / "keys.sqlite").symlink_to(home / "store" / "keys.sqlite")
    return copy


@pytest.mark.usefixtures("kafka")
async def test_until_it_has_come_to_the_end_of_its_log_a_node_says_so_and_then_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port(Random())
    settings = load_settings(home=tmp_path / "hub", listen=f"127.0.0.1:{port}", metrics_listen="")
    await asyncio.to_thread(found_home, settings)
    for file in settings.store_folder.glob("events.sqlite*"):
        file.unlink()
    may_go_on, come = threading.Event(), serve._Node._come

    def held(node: serve._Node, folded: int, end: int, bar: object) -> None:
        come(node, folded, end, bar)  # type: ignore[arg-type]
        assert may_go_on.wait(WITHIN_SECONDS)

    monkeypatch.setattr(serve._Node, "_come", held)
    living = asyncio.create_task(serve._Node(settings, json=True).live())
    try:
        await see_it_come_and_serve(settings, port, may_go_on)
    finally:
        may_go_on.set()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await living is False


async def see_it_come_and_serve(settings: Settings, port: int, may_go_on: threading.Event) -> None:
    folder = settings.agency_folder("operator")
    credentials = Credentials.from_files(folder / "ca.pem", folder / "client.pem", folder / "client.key")
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials.for_channel()) as channel:
        await asyncio.wait_for(channel.channel_ready(), WITHIN_SECONDS)
        health = HealthStub(channel)
        registry: Any = registry_pb2_grpc.RegistryServiceStub(channel)
        told = await health.Check(HealthCheckRequest(), timeout=5)  # type: ignore[misc]
        assert told.status == HealthCheckResponse.NOT_SERVING
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await registry.ListAgencies(registry_pb2.ListAgenciesRequest(), timeout=5)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "records of its log; ask another, or later" in (refused.value.details() or "")
        assert not settings.address_file.exists()
        may_go_on.set()
        watch: Any = health.Watch(HealthCheckRequest(), timeout=WITHIN_SECONDS)
        async for told in watch:
            if told.status == HealthCheckResponse.SERVING:
                break
        with pytest.raises(grpc.aio.AioRpcError) as asked:
            await registry.ListAgencies(registry_pb2.ListAgenciesRequest(page_size=2_000), timeout=5)
        assert asked.value.code() is grpc.StatusCode.INVALID_ARGUMENT, "it answers, whatever its views have come to"


@pytest.mark.usefixtures("kafka")
@pytest.mark.parametrize("refolds", [True, False])
async def test_a_node_that_differs_begins_anew_by_itself_once_and_ends_with_exit_code_5_the_second_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, refolds: bool
) -> None:
    settings = load_settings(home=tmp_path / "hub", listen="127.0.0.1:0", metrics_listen="")
    await asyncio.to_thread(found_home, settings)
    opened: list[Parts] = []

    def hub_of(parts: Parts, entrance: Entrance) -> Hub:
        opened.append(parts)
        return Hub(parts, entrance)

    monkeypatch.setattr(serve, "Hub", hub_of)
    living = asyncio.create_task(serve._Node(settings, json=True).live())
    async with asyncio.timeout(WITHIN_SECONDS):
        while not settings.address_file.exists():  # noqa: ASYNC110  another thread opens the stores
            await asyncio.sleep(0.02)
    opened[0].store._sequencer._broken = Differs("it differs", refolds=refolds)
    if refolds:
        assert await living is True
    else:
        with pytest.raises(Failure, match="this node cannot follow the log: it differs") as ended:
            await living
        assert ended.value.code == Exit.UNSOUND
    assert not settings.address_file.exists()


# ── shards ──


def say(settings: Settings) -> Outcome:
    """Have the council tell a case of its own."""

    async def send() -> Outcome:
        async with sdk_client(settings, COUNCIL, shard=SHARD, source=settings.home.name, actor_role="tests") as client:
            (outcome,) = await client.append_many([Draft(event=to_message(a_notification()), case_id=str(uuid.uuid4()))])
            return outcome

    return asyncio.run(send())


def heads(home: Path) -> dict[str, bytes]:
    with open_read_only(home / "store" / "events.sqlite") as store:
        return {name: store.shard(name).head().digest for name in store.shards()}


def enrolled(home: Path) -> None:
    for agency in (COUNCIL, ICB, POLICE, BUSINESS_UNIT):
        done = ran("agencies", "enrol", agency, "--name", f"{agency} (synthetic)", "--shard", SHARD, "--with-key", "--home", home)
        assert done.code == Exit.OK, done.err


def established(home: Path) -> None:
    """Establish the partnership: one command."""
    partners = [word for partner in (COUNCIL, ICB, POLICE) for word in ("--partner", partner)]
    named = ("--name", "Northmoor (synthetic)", "--business-unit", BUSINESS_UNIT)
    done = ran("partnerships", "establish", SHARD, *named, *partners, "--home", home)
    assert done.code == Exit.OK, done.err


def test_one_command_begins_a_partnership_in_a_partition_of_its_own_and_every_node_that_follows_it_serves_it(
    kafka: Kafka, tmp_path: Path
) -> None:
    home, on_kafka = tmp_path / "first", {"HUB_KAFKA_BOOTSTRAP": ",".join(kafka.bootstrap), "HUB_KAFKA_TOPIC": kafka.topic}
    with serving(home, HUB_NODE_ID="node-1", **on_kafka):
        enrolled(home)
        second, third = a_second_home(home, tmp_path / "b"), a_second_home(home, tmp_path / "c")
        others = [start(second, HUB_NODE_ID="node-2", **on_kafka), start(third, HUB_NODE_ID="node-3", HUB_SHARDS="elsewhere", **on_kafka)]
        try:
            established(home)
            wait_until(lambda: SHARD in heads(second))
            for each in (home, second):
                outcome = say(load_settings(home=each))
                assert isinstance(outcome, Receipt), outcome
            wait_until(lambda: heads(home) == heads(second))
            wait_until(lambda: heads(third)[NATIONAL] == heads(home)[NATIONAL])
            assert set(heads(third)) == {NATIONAL}
        finally:
            codes = [stop(process) for process in others]
    assert codes == [0, 0]
