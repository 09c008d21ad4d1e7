"""Three brokers, two nodes, callers of both, and what is done to them; at the end everything is held against everything else.

Node ``a`` reaches the brokers through proxies that spoil its talk with them, node ``b`` at once.
"""

from __future__ import annotations

import contextlib
import json
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any, Final, Self

from deploy.kafka.cluster import Broker, Cluster
from safeguarding.hub.client.outcomes import Unresolved
from services.eventstore.brokers import Kafka
from services.eventstore.frame import Control, encode_control
from services.eventstore.port import Head
from services.runtime.errors import Unavailable
from tests.support.appends import naive_digest
from tests.support.fault_clients import CONTENDED_SHARE, SILENT, Acknowledgements, Caller, FaultClient, Line, NodeGone, NodeUnavailable
from tests.support.fault_files import EVENTS_MAX, differences, facts_of, rows_of
from tests.support.fault_node import SHARD, NodePlan, WeakClusterStore, Weakness
from tests.support.history import Diary, History, Library
from tests.support.history_checks import left_unknown, violations
from tests.support.kafka import a_topic
from tests.support.killing import Process, Processes, free_port, wait_for
from tests.support.tcp_proxy import Proxies

DEADLINE_SECONDS: Final = 5.0
"""An append's, in these nodes: shorter than a hub's, so that callers meet it."""
CLIENTS_A_NODE: Final = 3
MORE_APPENDS: Final = 10
RESUMED_MAX_SECONDS: Final = 180.0
START_MAX_SECONDS: Final = 180.0
"""Nodes and brokers that start beside the load of a test have a small share of two processors."""
END_MAX_SECONDS: Final = 180.0
PARTITION: Final = 1
_ASIDE: Final = """
listeners=CLIENTS://127.0.0.1:{port},ASIDE://127.0.0.1:{aside},CONTROLLERS://127.0.0.1:{controllers}
advertised.listeners=CLIENTS://127.0.0.1:{port},ASIDE://127.0.0.1:{proxy}
listener.security.protocol.map=CLIENTS:PLAINTEXT,ASIDE:PLAINTEXT,CONTROLLERS:PLAINTEXT
"""
"""Kafka's clients go where a broker says that it is: those that came through a proxy are sent to the proxies again."""


class FaultCluster:
    """Three brokers, each with a second listener that says it is at its proxy."""

    def __init__(self, folder: Path) -> None:
        self.cluster = Cluster(folder, 3)
        random = Random()
        ports: dict[int, int] = {}
        described = json.loads((folder / "cluster.json").read_text())["ports"]
        for broker, (port, controllers) in zip(self.cluster.brokers, described, strict=True):
            proxy, aside = free_port(random), free_port(random)
            ports[proxy] = aside
            with (folder / f"broker-{broker.node_id}" / "server.properties").open("a") as settings:
                settings.write(_ASIDE.format(port=port, aside=aside, controllers=controllers, proxy=proxy))
        self.proxies = Proxies(ports)

    @property
    def bootstrap(self) -> str:
        """Where the brokers are."""
        return self.cluster.bootstrap

    @property
    def aside(self) -> str:
        """Where their proxies are."""
        return ",".join(f"127.0.0.1:{proxy.port}" for proxy in self.proxies.all)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undoing:
            undoing.enter_context(self.cluster)
            undoing.enter_context(self.proxies)
            self._undoing = undoing.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._undoing.close()

    def heal(self) -> None:
        """Have all brokers serve and all proxies pass everything on."""
        self.proxies.heal()
        for broker in self.cluster.brokers:
            if broker.is_alive():
                broker.resume()
            else:
                broker.start()
        for broker in self.cluster.brokers:
            broker.wait_until_serving(START_MAX_SECONDS)

    def topic(self, **settings: str) -> Kafka:
        """Make a topic on all three brokers, as soon as these know each other; ``settings``: those of it that are not the hub's."""
        deadline = time.monotonic() + START_MAX_SECONDS
        while True:
            try:
                return Kafka(bootstrap=tuple(self.bootstrap.split(",")), topic=a_topic(self.bootstrap, 2, **settings))
            except Unavailable:
                assert time.monotonic() < deadline, "no topic can be made on three brokers"
                time.sleep(0.2)


@dataclass
class NodeProcess:
    """A node that may be killed and started again; its file stays."""

    processes: Processes
    plan: NodePlan
    process: Process | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.plan.name

    @property
    def path(self) -> Path:
        """Its file."""
        return Path(self.plan.path)

    @property
    def socket(self) -> Path:
        """Where its callers knock."""
        return Path(self.plan.socket)

    def start(self, *wrapped_by: str) -> None:
        """Start it; it does not serve yet. ``wrapped_by``: a command that runs the node's."""
        assert self.process is None or not self.process.is_alive()
        self.socket.unlink(missing_ok=True)
        self.process = self.processes.start([*wrapped_by, *self.plan.command()])

    def wait_until_serving(self) -> None:
        """Wait until it has folded the log; fail with its words if it ends instead."""
        line = self._said(START_MAX_SECONDS)
        assert line == b"serving\n", f"node {self.name} does not serve: {self._alive().popen.poll()}\n{self.words()}"

    def kill(self) -> None:
        """End it with kill -9."""
        self._alive().kill()

    def ended(self) -> int:
        """Wait for its end and return its exit code."""
        return self._alive().ended(END_MAX_SECONDS)

    def is_alive(self) -> bool:
        """Tell whether it has not ended."""
        return self.process is not None and self.process.is_alive()

    def words(self) -> str:
        """Return what it said on standard error since its newest start."""
        return self._alive().words()

    def ask(self, name: str, *arguments: object) -> Any:
        """Have it do something."""
        with closing(Line(self.socket, self.plan.deadline_seconds)) as line:
            return line.ask(name, *arguments)

    def weaken(self, **weaknesses: object) -> None:
        """Have it break there; one that is to die may do so before it answers."""
        with contextlib.suppress(NodeGone):
            self.ask("weaken", weaknesses)

    def drain(self) -> dict[str, int]:
        """Tell it to end; return how much it had accepted and answered by then. It ends with 0."""
        process = self._alive()
        process.tell_to_end()
        said = self._said(END_MAX_SECONDS)
        assert process.ended(END_MAX_SECONDS) == 0, self.words()
        counted: dict[str, int] = json.loads(said)
        return counted

    def lose_file(self) -> None:
        """Delete its file and what SQLite keeps beside it."""
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()

    def _alive(self) -> Process:
        assert self.process is not None, f"node {self.name} was never started"
        return self.process

    def _said(self, within_seconds: float) -> bytes:
        stdout = self._alive().popen.stdout
        assert stdout is not None
        ready, _, _ = select.select([stdout], [], [], within_seconds)
        return stdout.readline() if ready else b""


@dataclass
class Scene:
    """The nodes and their callers, and the run's seed."""

    folder: Path
    seed: int
    nodes: dict[str, NodeProcess]
    processes: Processes
    library: Library
    fault_cluster: FaultCluster | None = None
    kafka: Kafka | None = None
    clients: list[FaultClient] = field(default_factory=list)
    acknowledgements: Acknowledgements = field(default_factory=Acknowledgements)
    stopping: threading.Event = field(default_factory=threading.Event)
    contended_share: float = CONTENDED_SHARE
    faulted_ns: int = 0

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    @property
    def a(self) -> NodeProcess:
        """The node that reaches the brokers through proxies."""
        return self.nodes["a"]

    @property
    def b(self) -> NodeProcess:
        """The node that reaches them at once."""
        return self.nodes["b"]

    @property
    def brokers(self) -> list[Broker]:
        """The brokers."""
        assert self.fault_cluster is not None
        return self.fault_cluster.cluster.brokers

    @property
    def proxies(self) -> Proxies:
        """What stands between node a and the brokers."""
        assert self.fault_cluster is not None
        return self.fault_cluster.proxies

    def leader(self) -> Broker:
        """Return the broker that leads the written partition."""
        assert self.kafka is not None
        with closing(self.kafka.admin()) as admin:
            described = admin.describe_topics([self.kafka.topic])[0]["partitions"]
        leader = next(each["leader_id"] for each in described if each["partition_index"] == PARTITION)
        return next(broker for broker in self.brokers if broker.node_id == leader)

    def followers(self) -> list[Broker]:
        """Return the brokers that do not lead it, in the order of the seed."""
        leader = self.leader()
        return self.random.sample([broker for broker in self.brokers if broker is not leader], 2)

    def start(self) -> None:
        """Start the nodes, and the callers once both serve."""
        for node in self.nodes.values():
            node.start()
        for node in self.nodes.values():
            node.wait_until_serving()
        self.start_clients()

    def start_clients(self) -> None:
        """Start every caller."""
        for node in self.nodes.values():
            sockets = {node.name: node.socket, **{other.name: other.socket for other in self.nodes.values()}}
            for number in range(CLIENTS_A_NODE):
                name = f"{node.name}{number}"
                self.clients.append(
                    FaultClient(
                        name,
                        sockets,
                        DEADLINE_SECONDS,
                        f"{self.seed} {name}",
                        Diary(self.folder / "diaries" / f"{name}.jsonl", name),
                        self.acknowledgements,
                        self.stopping,
                        self.contended_share,
                    )
                )
        for client in self.clients:
            client.thread.start()
        self.wait_for_appends()

    def start_again(self, *brokers: Broker) -> None:
        """Start brokers with the data they have, and wait until they serve."""
        for broker in brokers:
            broker.start()
        for broker in brokers:
            broker.wait_until_serving(START_MAX_SECONDS)

    def fault(self) -> None:
        """Note that the fault begins, a moment of load after the last."""
        time.sleep(self.random.uniform(0.0, 0.5))
        self.faulted_ns = time.monotonic_ns()

    def of(self, *nodes: str) -> list[FaultClient]:
        """Return the callers whose own node is one of these; all if none is named."""
        return [client for client in self.clients if not nodes or client.name[:-1] in nodes]

    def wait_for_appends(self, *nodes: str) -> None:
        """Wait until every caller of these nodes, of all if none is named, has had so many appends more acknowledged."""
        before = {client.name: client.acknowledged for client in self.of(*nodes)}
        self._wait(lambda client: client.acknowledged >= before[client.name] + MORE_APPENDS, "appends resume", *nodes)

    def wait_for_doubt(self, *nodes: str) -> None:
        """Wait until every caller of these nodes has been told that the outcome of an append is unknown."""
        before = {client.name: client.undecided for client in self.of(*nodes)}
        self._wait(lambda client: client.undecided > before[client.name], "callers are told that an outcome is unknown", *nodes)

    def wait_for_appends_through(self, node: str) -> None:
        """Wait until so many appends more have been acknowledged by one node."""
        given = self.acknowledgements.given
        seen = len(given)
        wait_for(lambda: sum(by == node for _, by in given[seen:]) >= MORE_APPENDS, f"node {node} appends", RESUMED_MAX_SECONDS)

    def _wait(self, happened: Callable[[FaultClient], bool], what: str, *nodes: str) -> None:
        """Wait until something has happened to every caller of these nodes; raise what ended one that has ended."""

        def happened_to_all() -> bool:
            for client in self.clients:
                if client.error is not None:
                    raise client.error
            return all(map(happened, self.of(*nodes)))

        wait_for(happened_to_all, what, RESUMED_MAX_SECONDS)

    def caller(self) -> Caller:
        """Return a caller for the test itself to be."""
        return Caller("caller", Diary(self.folder / "diaries" / "caller.jsonl", "caller"))

    def write(self, *values: bytes, partition: int = PARTITION, timestamp_ms: int | None = None) -> None:
        """Write records into the topic past every node."""
        assert self.kafka is not None
        with closing(self.kafka.producer()) as producer:
            for value in values:
                producer.send(self.kafka.topic, value=value, partition=partition, timestamp_ms=timestamp_ms).get(RESUMED_MAX_SECONDS)

    def control(self, control: Control, name: str) -> None:
        """Write a control record into the topic."""
        self.write(encode_control(control, name.encode().ljust(16)[:16]))

    # ── at the end ──

    def end_clients(self) -> History:
        """Have every caller come to its end with nothing undecided."""
        self.stopping.set()
        for client in self.clients:
            client.thread.join(END_MAX_SECONDS * 2)
            assert not client.thread.is_alive(), f"{client.name} does not end"
        return self.library.read().history

    def end_nodes(self) -> None:
        """Have every node that lives fold all there is, and end with nothing unanswered."""
        living = [node for node in self.nodes.values() if node.is_alive()]
        wait_for(lambda: len({_head_of(node) for node in living}) <= 1, "all nodes come to the same head", RESUMED_MAX_SECONDS)
        for node in living:
            counted = node.drain()
            assert counted["answered"] == counted["accepted"], f"node {node.name} left calls unanswered: {counted}"

    def check(self, *, is_foldable: bool = True) -> None:
        """End all, and hold what callers were told, all nodes' files, and a third fold of the topic against each other.

        Not ``is_foldable``: the topic stops every program, so that there is no third fold of it.
        """
        history = self.end_clients()
        self.end_nodes()
        paths = [node.path for node in self.nodes.values()]
        assert violations(history, [facts_of(path) for path in paths]) == []
        assert list(left_unknown(history)) == []
        assert {client.name for client in self.clients} <= history.finished
        answers = chain.from_iterable(history.answers.values())
        unanswered = [one for one in answers if isinstance(one.outcome, Unresolved) and SILENT in one.outcome.reason]
        assert unanswered == []
        if self.kafka is not None and is_foldable:
            for node in self.nodes.values():
                # Another may have published a digest when this one had ended.
                self._alone(node.plan).close()
        assert differences([rows_of(path) for path in paths]) == []
        if self.kafka is not None and is_foldable:
            self._check_third_fold(paths[0])

    def _alone(self, plan: NodePlan) -> WeakClusterStore:
        """Open the file of a node that has ended, or a new one, fold all there is, and take part in nothing."""
        assert self.kafka is not None
        return WeakClusterStore(replace(plan, name="", bootstrap=",".join(self.kafka.bootstrap)), Weakness())

    def _check_third_fold(self, path: Path) -> None:
        fresh = self.folder / "third" / "events.sqlite"
        with closing(self._alone(replace(self.a.plan, path=str(fresh)))) as store:
            head = store.shard(SHARD).head()
            assert naive_digest(SHARD, store.shard(SHARD).read(0, EVENTS_MAX)) == head.digest
        assert differences([rows_of(path), rows_of(fresh)]) == []

    def without_service(self, through: str = "") -> float:
        """Return the seconds without an acknowledged append since the fault, of all nodes or through one."""
        return self.acknowledgements.longest_seconds(self.faulted_ns, through)


def _head_of(node: NodeProcess) -> Head | None:
    try:
        head: Head = node.ask("head")
    except (NodeGone, NodeUnavailable):
        return None
    return head


@contextmanager
def a_scene(folder: Path, seed: int, fault_cluster: FaultCluster | None, **settings: str) -> Iterator[Scene]:
    """Give two nodes on a topic of their own, or one embedded store without brokers; nothing is started.

    ``settings``: those of the topic that are not the hub's.
    """
    (folder / "diaries").mkdir(parents=True)
    kafka = None if fault_cluster is None else fault_cluster.topic(**settings)
    with Processes(folder, folder.parents[1] / "compiled") as processes:
        nodes: dict[str, NodeProcess] = {}
        for name in "ab" if fault_cluster is not None else "a":
            (folder / name).mkdir()
            bootstrap = "" if fault_cluster is None else fault_cluster.aside if name == "a" else fault_cluster.bootstrap
            plan = NodePlan(
                name=name,
                path=str(folder / name / "events.sqlite"),
                socket=str(folder / f"{name}.socket"),
                bootstrap=bootstrap,
                topic="" if kafka is None else kafka.topic,
                deadline_seconds=DEADLINE_SECONDS,
            )
            nodes[name] = NodeProcess(processes, plan)
        scene = Scene(folder, seed, nodes, processes, Library(folder / "diaries"), fault_cluster, kafka)
        try:
            yield scene
        finally:
            scene.stopping.set()
            for node in nodes.values():
                if node.process is not None:
                    node.kill()
            for client in scene.clients:
                client.thread.join(END_MAX_SECONDS)
