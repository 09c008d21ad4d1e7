"""Where the demo is shown with ``--cluster``: two hub nodes on three Kafka brokers and PostgreSQL, some of which are killed meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

from domain.kernel.agencies import OPERATOR_ID
from services.cli.calling import demand_answer, read_log
from services.cli.demo import cluster_report
from services.cli.demo.callers import Tally
from services.cli.demo.deployed import Deployed, demand
from services.cli.demo.england import Report
from services.cli.demo.proof import NodeLog, broken_promises, come_level, differences, read_whole
from services.cli.demo.serving import Served, founded
from services.cli.demo.trial import BROKER_SHARE, NODE_SHARE, Blow, Trial, Victim
from services.cli.failures import Exit, Failure, wrong_usage
from services.cli.options import settings_of
from services.cli.verify import verdict_of
from services.eventstore.brokers import Kafka
from services.eventstore.topic import leaders, make_topic
from services.projector.verification import Verdict
from services.runtime.folders import FOLDER_MODE
from services.runtime.interpreter import child_environment, program
from services.runtime.interruption import undisturbed
from services.runtime.settings import FILE_NAME, PREFIX
from services.trust.files import write_secret

BROKERS: Final = 3
PARTITIONS: Final = 160
"""One for the national shard, one for each of the 151 partnerships, and some to spare."""
NODES: Final = ("node-1", "node-2")
COMMAND_MAX_SECONDS: Final = 300.0
START_MAX_ATTEMPTS: Final = 3
"""A broker that is started on a busy machine may need more than one wait."""
_KAFKA: Final = "deploy.kafka"
_POSTGRESQL: Final = "deploy.postgresql"
_PORTS: Final = range(20_000, 32_000)
"""Below those that the system gives out: a client that knocks while a node is down must not come to hold the port itself."""

News = Callable[[str], None]
LinesNext = Callable[[str, str], Iterator[str]]


class Cluster:
    """Two nodes of one hub. Agencies are given both addresses; what is read is read from the first, which is the one that is killed."""

    def __init__(self, folder: Path, kafka: Deployed, database_url: str, news: News, lines_next: LinesNext) -> None:
        """Found the hub on the first node's home in the folder, and prepare the second from it."""
        self._kafka = kafka
        self._lines_next = lines_next
        self._news = news
        self._blows: tuple[Blow, ...] = ()
        self._logs: tuple[NodeLog, ...] = ()
        self._problems: list[str] = []
        self._verdicts: dict[str, bool] = {}
        first, second = (folder / name for name in NODES)
        ports = _free_ports(len(NODES))
        settings = {
            "kafka_bootstrap": kafka.address(),
            "database_url": database_url,
            "keys_database_url": database_url,
            "metrics_listen": "",
        }
        first.mkdir(mode=FOLDER_MODE)
        own = {"node_id": NODES[0], "listen": f"127.0.0.1:{ports[0]}"}
        write_secret(first / FILE_NAME, _toml({**settings, **own}))
        self.settings = settings_of(first)
        make_topic(Kafka.of(self.settings), partitions=PARTITIONS, replication=BROKERS)
        founded(self.settings)
        _hub("nodes", "prepare", NODES[1], "--into", str(second), "--home", str(first))
        with (second / FILE_NAME).open("ab") as more:
            more.write(_toml({"listen": f"127.0.0.1:{ports[1]}", "metrics_listen": ""}))
        self._nodes = [Served(one, one.listen, apart=True) for one in (self.settings, settings_of(second))]

    @contextmanager
    def served(self) -> Iterator[None]:
        """Serve on both nodes."""
        with ExitStack() as ending:
            for node in self._nodes:
                ending.callback(node.stop)
                node.start()
            yield

    def target(self) -> str:
        """Wait until both nodes answer and return where."""
        return ",".join(node.address() for node in self._nodes)

    def introduced(self, agencies: Sequence[str]) -> Iterator[str]:
        """Yield what it is."""
        return cluster_report.founded([node.address() for node in self._nodes], BROKERS, agencies)

    @asynccontextmanager
    async def tried(self, tally: Tally) -> AsyncIterator[Report]:
        """Kill the broker that leads the national shard and, a little later, the first node; both are back at the end."""
        trial = Trial([self._leading_broker(), self._first_node()], self._news)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(trial.run())  # what does not come back ends the sending as well
                yield trial.progressed
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from None
        self._blows = trial.blows(tally.waits)

    def verified(self, tally: Tally) -> tuple[Verdict, Iterator[str]]:
        """Hold every receipt against both nodes' logs, these against each other, and each with the views against a rebuild."""
        for node, name in zip(self._nodes, NODES, strict=True):
            tally.demand(self._does_answer(node), f"{name} does not answer")
        homes = dict(zip(NODES, (node.settings for node in self._nodes), strict=True))
        with ExitStack() as opened:
            stores = {name: opened.enter_context(read_log(settings)) for name, settings in homes.items()}
            tally.demand(come_level(stores), "the nodes did not come level")
            self._logs = tuple(read_whole(name, store) for name, store in stores.items())
        self._problems = [problem for log in self._logs for problem in broken_promises(tally.held, log)]
        self._problems += differences(self._logs)
        for problem in self._problems:
            tally.demand(False, problem)
        verdicts = {name: verdict_of(settings) for name, settings in homes.items()}
        for name, verdict in verdicts.items():
            tally.demand(verdict.passed, f"verification of {name} did not pass")
        self._verdicts = {name: verdict.passed for name, verdict in verdicts.items()}
        return verdicts[NODES[0]], cluster_report.verified(self._blows, tally.receipts, self._logs, verdicts, self._problems)

    def what_next(self, case_id: str, council: str) -> Iterator[str]:
        """Yield commands to go on with."""
        return self._lines_next(case_id, council)

    def document(self) -> dict[str, Any]:
        """Return what was done to it, and what it could show all the same."""
        first = self._logs[0] if self._logs else None
        return {
            "cluster": {
                "brokers": BROKERS,
                "nodes": list(NODES),
                "blows": [asdict(blow) for blow in self._blows],
                "shards": 0 if first is None else len(first.heads),
                "events": 0 if first is None else first.events,
                "problems": self._problems,
                "verified": self._verdicts,
            }
        }

    def _does_answer(self, node: Served) -> bool:
        """Tell whether a node lives and answers calls."""
        try:
            demand_answer(node.address(), self.settings.agency_folder(OPERATOR_ID))
        except Failure:
            return False
        return node.is_alive()

    def _leading_broker(self) -> Victim:
        """Return the broker that leads the national shard when its time has come."""
        chosen: list[int] = []

        def choose() -> tuple[str, str]:
            leading = leaders(Kafka.of(self.settings))
            chosen.append(leading[0])
            led = sum(broker == chosen[0] for broker in leading.values())
            return f"broker {chosen[0]}", f"it leads the national shard, and {led} of {len(leading)} partitions"

        def restart() -> None:
            serves = f"broker {chosen[0]} serves"
            said = ""
            for _ in range(START_MAX_ATTEMPTS):
                said = self._kafka.obey(f"start {chosen[0]}")
                if said == serves:
                    return
            raise Failure(Exit.UNEXPECTED, f"a broker that was killed does not come back: {said}")

        return Victim(at_share=BROKER_SHARE, choose=choose, kill=lambda: self._kill_broker(chosen[0]), restart=restart)

    def _kill_broker(self, node_id: int) -> None:
        self._kafka.obey(f"kill {node_id}")

    def _first_node(self) -> Victim:
        """Return the node that all agencies speak to."""
        node = self._nodes[0]

        def restart() -> None:
            node.start()
            node.address()

        return Victim(at_share=NODE_SHARE, choose=lambda: (NODES[0], "the agencies speak to it"), kill=node.kill, restart=restart)


@contextmanager
def a_cluster(folder: Path, database_url: str | None, news: News, *, kept: bool) -> Iterator[Cluster]:
    """Give a cluster in a folder, with a Kafka of its own and, unless a database is named, a PostgreSQL; all ends with the context."""
    _demand_no_settings()
    demand(["deploy.kafka.jars", *([] if database_url else [_POSTGRESQL])])
    if folder.exists() and any(folder.iterdir()):
        raise wrong_usage(f"{folder} is not empty", "give --keep a folder that does not exist yet")
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() == 0:
        folder.chmod(0o711)  # PostgreSQL then runs as another user, who must come as far as its own folder in this one
    with ExitStack() as ending:
        news("starting three Kafka brokers, PostgreSQL and two nodes")
        with undisturbed():
            kafka = _deployed(_KAFKA, "HUB_KAFKA_BOOTSTRAP=", folder, ["--brokers", str(BROKERS)], kept=kept)
            ending.callback(kafka.stop)
        url = database_url
        if url is None:
            with undisturbed():
                server = _deployed(_POSTGRESQL, "HUB_DATABASE_URL=", folder, [], kept=kept)
                ending.callback(server.stop)
            url = server.address()
        lines_next = partial(cluster_report.what_next, folder if kept else None, NODES, own_server=database_url is None)
        yield Cluster(folder, kafka, url, news, lines_next)


def _deployed(module: str, announced: str, folder: Path, options: Sequence[str], *, kept: bool) -> Deployed:
    """Start a program; what it keeps lies in the folder if that is kept, else nowhere."""
    name = module.removeprefix("deploy.")
    return Deployed(module, [*options, *(["--dir", str(folder / name)] if kept else [])], announced, folder / f"{name}.log")


def _demand_no_settings() -> None:
    """Fail if the environment would set the nodes otherwise than their homes do."""
    found = sorted(name for name in os.environ if name.upper().startswith(PREFIX))
    if found:
        raise wrong_usage(f"{', '.join(found)} would be settings of every node of the demo's cluster", "unset them")


def _hub(*arguments: str) -> None:
    """Run a command of the hub as its operator would."""
    command = [*program("services.cli.main"), *arguments]
    done = subprocess.run(  # noqa: S603  our own program
        command,
        env=child_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_MAX_SECONDS,
        check=False,
    )
    if done.returncode:
        raise Failure(Exit.UNEXPECTED, f"hub {arguments[0]} {arguments[1]} did not do its work: {done.stderr.strip()}")


def _toml(settings: dict[str, str]) -> bytes:
    """Return settings as they stand in a home's file."""
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()).encode()


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, each another."""
    free: list[int] = []
    for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        free.append(port)
        if len(free) == count:
            return free
    raise Failure(Exit.UNAVAILABLE, f"fewer than {count} of the ports {_PORTS.start} to {_PORTS.stop - 1} are free")
