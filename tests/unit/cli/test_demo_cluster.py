"""What ``hub demo --cluster`` proves, fed what it must not pass over; what it does while England is sent, and when it cannot begin."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from safeguarding.hub.client.outcomes import Receipt
from services.cli.demo import cluster, deployed
from services.cli.demo import trial as trial_module
from services.cli.demo.cluster import a_cluster
from services.cli.demo.cluster_report import verified
from services.cli.demo.processes import Process
from services.cli.demo.proof import NodeLog, Place, broken_promises, come_level, differences, read_whole
from services.cli.demo.serving import Served
from services.cli.demo.trial import Trial, Victim, longest_wait
from services.cli.failures import Exit, Failure
from services.cli.main import main
from services.eventstore.local import LocalEventStore
from services.eventstore.port import Accepted, Head
from services.runtime.settings import load_settings
from tests.support.appends import an_append, an_event

FIRST, SECOND = bytes(16), b"\x01" * 16
LEAF = b"\x07" * 32


def a_receipt(event_id: bytes, position: int) -> Receipt:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Receipt(event_id=event_id, shard="northmoor", position=position, stream="s", version=position, recorded_at=moment, leaf=LEAF)


RECEIPTS = [a_receipt(FIRST, 1), a_receipt(SECOND, 2)]


def a_log(node: str = "node-1") -> NodeLog:
    """A log that bears out both receipts."""
    places = {receipt.event_id: (Place("northmoor", receipt.position, LEAF),) for receipt in RECEIPTS}
    return NodeLog(node=node, heads={"northmoor": Head(2, b"\x05" * 32, 0)}, places=places)


def test_a_log_with_every_event_once_and_in_its_place_bears_out_the_receipts() -> None:
    assert list(broken_promises(RECEIPTS, a_log())) == []
    assert list(differences([a_log(), a_log("node-2")])) == []


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ((), f"node-1 does not hold event {SECOND.hex()}, which has a receipt for northmoor/2"),
        (
            (Place("northmoor", 2, LEAF), Place("northmoor", 3, LEAF)),
            f"node-1 holds event {SECOND.hex()}, which has a receipt for northmoor/2, 2 times: at northmoor/2, northmoor/3",
        ),
        (
            (Place("northmoor", 3, LEAF),),
            f"node-1 holds event {SECOND.hex()}, which has a receipt for northmoor/2, at northmoor/3",
        ),
        (
            (Place("southmoor", 2, LEAF),),
            f"node-1 holds event {SECOND.hex()}, which has a receipt for northmoor/2, at southmoor/2",
        ),
        (
            (Place("northmoor", 2, bytes(32)),),
            f"node-1 holds event {SECOND.hex()}, which has a receipt for northmoor/2, there with another leaf",
        ),
    ],
    ids=["missing", "doubled", "moved", "in another shard", "changed"],
)
def test_a_receipt_that_a_log_does_not_bear_out_is_named(found: tuple[Place, ...], words: str) -> None:
    log = a_log()
    assert list(broken_promises(RECEIPTS, replace(log, places={**log.places, SECOND: found}))) == [words]


@pytest.mark.parametrize(
    ("heads", "words"),
    [
        ({"northmoor": Head(2, b"\x06" * 32, 0)}, f"northmoor has digest {'05' * 8}.. on node-1, {'06' * 8}.. on node-2, both at 2"),
        ({"northmoor": Head(1, b"\x05" * 32, 0)}, "northmoor is at 2 on node-1, at 1 on node-2"),
        ({}, "northmoor is on node-1 alone"),
        ({"northmoor": Head(2, b"\x05" * 32, 0), "southmoor": Head(1, bytes(32), 0)}, "southmoor is on node-2 alone"),
    ],
    ids=["other digest", "behind", "missing shard", "another shard"],
)
def test_a_shard_that_the_nodes_do_not_hold_alike_is_named(heads: dict[str, Head], words: str) -> None:
    assert list(differences([a_log(), replace(a_log("node-2"), heads=heads)])) == [words]


def test_what_is_wrong_is_shown_in_place_of_the_proof() -> None:
    shown = "\n".join(verified((), 2, [a_log(), a_log("node-2")], {}, ["node-2 does not hold it"]))
    assert "WRONG: node-2 does not hold it" in shown
    assert "exactly once" not in shown
    assert "exactly once" in "\n".join(verified((), 2, [a_log(), a_log("node-2")], {}, []))


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[tuple[LocalEventStore, LocalEventStore]]:
    opened = LocalEventStore(tmp_path / "a.sqlite"), LocalEventStore(tmp_path / "b.sqlite")
    for store in opened:
        store.create_shard("northmoor")
    yield opened
    for store in opened:
        store.close()


def test_a_whole_log_is_read_in_batches_with_every_event_in_its_place(
    stores: tuple[LocalEventStore, LocalEventStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.cli.demo.proof.READ_MAX_EVENTS", 2)
    shard = stores[0].shard("northmoor")
    placed = []
    for number in range(5):
        result = shard.append(an_append(f"a-{number}", an_event(f"s-{number}", 1), shard="northmoor")).result(10)
        assert isinstance(result, Accepted)
        placed += result.placed
    log = read_whole("node-1", stores[0])
    assert log.places == {one.event_id: [Place("northmoor", one.position, one.leaf)] for one in placed}
    assert (log.events, log.heads) == (5, {"northmoor": shard.head()})


def test_nodes_that_stay_apart_are_not_waited_for_for_ever(stores: tuple[LocalEventStore, LocalEventStore]) -> None:
    named = dict(zip(("node-1", "node-2"), stores, strict=True))
    assert come_level(named, 0.0)
    stores[1].shard("northmoor").append(an_append("a-1", an_event("s-1", 1), shard="northmoor")).result(10)
    assert not come_level(named, 0.0)


# ── the trial ──


@pytest.fixture(autouse=True)
def _short_of_breath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_module, "DOWN_SECONDS", 0.0)


def a_victim(name: str, at_share: float, done: list[str], restart: Callable[[], None] = lambda: None) -> Victim:
    return Victim(at_share=at_share, choose=lambda: (name, "it works"), kill=lambda: done.append(f"{name} killed"), restart=restart)


async def test_each_is_killed_when_its_share_is_done_and_not_before() -> None:
    done: list[str] = []
    news: list[str] = []
    trial = Trial([a_victim("broker", 0.25, done), a_victim("node", 0.5, done)], news.append)
    running = asyncio.create_task(trial.run())
    trial.progressed(24, 100)
    await asyncio.sleep(0.1)
    assert done == []
    trial.progressed(25, 100)
    async with asyncio.timeout(10):
        while len(news) < 2:  # noqa: ASYNC110  # told by a thread
            await asyncio.sleep(0.01)
    assert done == ["broker killed"]
    trial.progressed(100, 100)
    await running
    assert done == ["broker killed", "node killed"]
    assert [line.split("s  ")[1] for line in news] == [
        "broker is killed: it works",
        "broker is back",
        "node is killed: it works",
        "node is back",
    ]
    assert [(blow.what, blow.role) for blow in trial.blows([])] == [("broker", "it works"), ("node", "it works")]


async def test_what_does_not_come_back_is_a_failure_while_others_are_still_waited_for() -> None:
    def refused() -> None:
        raise Failure(Exit.UNEXPECTED, "it does not start")

    trial = Trial([a_victim("broker", 0.25, [], refused), a_victim("node", 0.9, [])], lambda _line: None)
    running = asyncio.create_task(trial.run())
    trial.progressed(50, 100)
    with pytest.raises(Failure, match="it does not start"):
        await asyncio.wait_for(running, 10)


@pytest.mark.parametrize(
    ("waits", "longest"),
    [
        ([], 0.0),
        ([(1.0, 9.0)], 0.0),  # over before
        ([(8.0, 14.0)], 4.0),  # counted from the blow
        ([(12.0, 15.0), (8.0, 11.0)], 3.0),
        ([(21.0, 99.0)], 0.0),  # begun too late to wait because of it
    ],
)
def test_the_longest_wait_is_counted_from_the_blow(waits: list[tuple[float, float]], longest: float) -> None:
    assert longest_wait(waits, 10.0) == longest


# ── its processes ──


def a_process(tmp_path: Path, code: str, *, takes_orders: bool = False) -> Process:
    return Process([sys.executable, "-c", code], tmp_path / "log", dict(os.environ), takes_orders=takes_orders)


def test_a_process_that_says_nothing_in_time_is_killed(tmp_path: Path) -> None:
    process = a_process(tmp_path, "import time; time.sleep(60)")
    assert process.line(0.2) == ""
    process.stop(10.0)
    assert not process.is_alive()


def test_orders_are_heard_one_by_one_and_after_its_end_by_nobody(tmp_path: Path) -> None:
    process = a_process(tmp_path, "while True: print('done:', input(), flush=True)", takes_orders=True)
    said = []
    for order in ("kill 1", "start 1"):
        process.tell(order)
        said.append(process.line(30.0))
    process.stop(30.0)
    process.tell("kill 2")
    assert said == ["done: kill 1", "done: start 1"]


def test_a_process_that_does_not_end_when_it_is_told_to_is_killed(tmp_path: Path) -> None:
    process = a_process(tmp_path, "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)")
    assert process.line(30.0) == "deaf"
    process.stop(0.1)
    assert not process.is_alive()


def test_a_node_that_was_stopped_for_good_is_not_started_again_by_whoever_was_about_to(tmp_path: Path) -> None:
    node = Served(load_settings(home=tmp_path), apart=True)
    node.stop()
    node.start()
    assert not node.is_alive()


# ── what keeps it from beginning ──


def demo(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    code = main(["demo", *arguments])
    return code, capsys.readouterr().err


def test_without_java_or_postgresql_nothing_is_started_and_all_that_is_lacking_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(deployed, "_CHECKS", {"deploy.kafka.jars": ((), 30.0), "tests.nowhere": ((), 30.0)})
    monkeypatch.setattr(cluster, "_POSTGRESQL", "tests.nowhere")
    monkeypatch.setattr(cluster, "Deployed", None)
    code, said = demo(capsys, "--cluster", "--keep", str(tmp_path / "kept"))
    assert code == Exit.UNAVAILABLE
    assert "Apache Kafka needs java" in said
    assert "tests.nowhere" in said
    assert "hub demo shows the same on one node" in said
    assert not (tmp_path / "kept").exists()


def test_without_a_checkout_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(deployed, "ROOT", tmp_path)
    assert demo(capsys, "--cluster") == (
        Exit.UNAVAILABLE,
        "hub: --cluster needs a checkout of the hub, with its folder deploy\n     hub demo shows the same on one node\n",
    )


def test_settings_of_another_hub_in_the_environment_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUB_NODE_ID", "mine")
    code, said = demo(capsys, "--cluster")
    assert code == Exit.USAGE
    assert "HUB_NODE_ID would be settings of every node" in said


def test_a_folder_that_holds_something_is_not_demonstrated_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cluster, "demand", lambda _modules: None)
    (tmp_path / "there").touch()
    code, said = demo(capsys, "--cluster", "--keep", str(tmp_path))
    assert code == Exit.USAGE
    assert "is not empty" in said


def test_a_database_without_a_cluster_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, said = demo(capsys, "--database-url", "postgresql+psycopg://a:b@c/d")
    assert code == Exit.USAGE
    assert "give --cluster too" in said


def test_what_was_started_is_ended_when_founding_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[str] = []

    class Started:
        def __init__(self, module: str, *_more: object) -> None:
            self.module = module

        def address(self) -> str:
            return "postgresql+psycopg://hub:x@127.0.0.1:1/none"

        def stop(self) -> None:
            stopped.append(self.module)

    def refused(*_arguments: object) -> None:
        raise Failure(Exit.UNAVAILABLE, "no broker answers")

    monkeypatch.setattr(cluster, "demand", lambda _modules: None)
    monkeypatch.setattr(cluster, "Deployed", Started)
    monkeypatch.setattr(cluster, "Cluster", refused)
    with pytest.raises(Failure, match="no broker answers"), a_cluster(tmp_path / "kept", None, lambda _line: None, kept=True):
        pass
    assert stopped == ["deploy.postgresql", "deploy.kafka"]


def test_a_blow_took_place_after_the_sending_began() -> None:
    done: list[str] = []
    trial = Trial([a_victim("broker", 0.0, done)], lambda _line: None)

    async def run() -> None:
        running = asyncio.create_task(trial.run())
        await asyncio.sleep(0)
        trial.progressed(0, 1)
        await running

    began = time.monotonic()
    asyncio.run(run())
    (blow,) = trial.blows([(began, began + 100)])
    assert 0 <= blow.killed_after_seconds <= blow.back_after_seconds
    assert blow.without_service_seconds > 50
