"""One broker of Apache Kafka, or three, on loopback: started, stopped, killed, paused and started again, for a person and for the tests.

Needs Java, and Maven once (``jars.py``), and no Kafka client. Only processes started here are ended, and none outlives its starter.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from string import Template
from typing import Final, Self

from deploy.kafka.jars import HERE, jars, program

SIZES: Final = (1, 3)
"""How many brokers a cluster may have: with two, the loss of either would end the service."""
START_MAX_SECONDS: Final = 120.0
"""A broker needs some 4 seconds of processor time, which a busy machine may take a minute to give."""
STOP_MAX_SECONDS: Final = 10.0
"""For a stop in order. The last of three brokers can no longer ask its controllers to let it go, and is killed then: Kafka mends that."""
KILL_MAX_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
_SAID_MAX_BYTES: Final = 4_000
_SERVING: Final = b"Kafka Server started"
_DESCRIPTION: Final = "cluster.json"
_PORTS: Final = range(20_000, 32_000)
"""Below those that the system gives out: a client that knocks while a broker is down must not come to hold the port itself."""
_MORTAL: Final = """import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])"""
"""Becomes the program it is given, which the system kills (PR_SET_PDEATHSIG) when the thread that started it ends."""
_JAVA: Final = ("-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError")
"""Small, and quick to start: the fast compiler alone halves the processor time until a broker serves."""


class KafkaFailed(Exception):
    """A broker did not do what it was told within its time; the text ends with its last words."""


class Broker:
    """One broker, also a controller, with its data in a folder: it may be started, ended and started again any number of times.

    It lives no longer than the thread that starts it.
    """

    def __init__(self, node_id: int, port: int, folder: Path, classpath: str) -> None:
        """Name a broker whose storage is formatted; nothing is started. ``folder`` holds its settings, data and words."""
        self.node_id = node_id
        self.port = port
        self._folder = folder
        self._classpath = classpath
        self._process: subprocess.Popen[bytes] | None = None
        self._log = folder / "0.log"

    @property
    def address(self) -> str:
        """Where clients reach it: host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The id of its newest process; raise KafkaFailed if it was never started."""
        return self._started().pid

    @property
    def exit_code(self) -> int | None:
        """What its newest process ended with, negative for a signal; None while it lives, and before its first start."""
        return None if self._process is None else self._process.poll()

    def is_alive(self) -> bool:
        """Tell whether it is started and has not ended; a paused broker is alive."""
        return self._process is not None and self._process.poll() is None

    def words(self) -> str:
        """Return what it has said since its newest start."""
        return self._log.read_text(encoding="utf-8", errors="replace") if self._log.exists() else ""

    def start(self) -> None:
        """Start it with the data it has; it does not serve yet. A broker that lives is left as it is."""
        if self.is_alive():
            return
        self._log = self._folder / f"{int(self._log.stem) + 1}.log"
        self._process = _java(self._classpath, ["kafka.Kafka", str(self._folder / "server.properties")], self._log)

    def wait_until_serving(self, within_seconds: float = START_MAX_SECONDS) -> None:
        """Wait until clients can connect; raise KafkaFailed if it ends instead, or takes too long.

        Of three brokers none serves before two are started.
        """
        process = self._started()
        deadline = time.monotonic() + within_seconds
        while _SERVING not in self._log.read_bytes():
            if process.poll() is not None:
                raise KafkaFailed(f"broker {self.node_id} ended with {process.returncode} before it served\n{self._last_words()}")
            if time.monotonic() > deadline:
                raise KafkaFailed(f"broker {self.node_id} does not serve after {within_seconds:.0f} s\n{self._last_words()}")
            time.sleep(_POLL_SECONDS)
        with socket.create_connection(("127.0.0.1", self.port), max(deadline - time.monotonic(), 1)):
            pass

    def kill(self) -> None:
        """End it with kill -9, paused or not, unless it has ended."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(KILL_MAX_SECONDS)

    def tell_to_stop(self) -> None:
        """Ask it to stop in order (SIGTERM), also when it is paused; ``wait_until_stopped`` follows."""
        if self._process is not None:
            self._process.terminate()
            self.resume()

    def wait_until_stopped(self, within_seconds: float = STOP_MAX_SECONDS) -> None:
        """Wait for its end, and kill it if that takes too long."""
        if self._process is not None:
            try:
                self._process.wait(within_seconds)
            except subprocess.TimeoutExpired:
                self.kill()

    def stop(self) -> None:
        """Stop it in order: it hands its partitions over first, so that clients hardly notice."""
        self.tell_to_stop()
        self.wait_until_stopped()

    def pause(self) -> None:
        """Let it stand still (SIGSTOP), its connections open, until ``resume``; it does so on return.

        Raises KafkaFailed when it does not live.
        """
        if not self.is_alive():
            raise KafkaFailed(f"broker {self.node_id} cannot be paused: it does not live")
        self._started().send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._started().send_signal(signal.SIGCONT)

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise KafkaFailed(f"broker {self.node_id} was never started")
        return self._process

    def _last_words(self) -> str:
        return self.words()[-_SAID_MAX_BYTES:]


class Cluster:
    """A Kafka cluster of one broker or three in a folder; inside a ``with`` block it serves, afterwards none of its processes lives.

    A folder that holds a cluster already is taken up with its data, cluster id and ports.
    """

    def __init__(self, folder: Path, brokers: int = 1, *, libraries: Path | None = None) -> None:
        """Make or take up the cluster in ``folder``; nothing is started.

        Raises KafkaMissing when Java or Maven is missing, ValueError for a number of brokers that cannot be, or another one than the
        folder's cluster has.
        """
        if brokers not in SIZES:
            raise ValueError(f"a cluster has 1 or 3 brokers, not {brokers}")
        self._classpath = ":".join(map(str, jars() if libraries is None else jars(libraries)))
        folder = folder.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        self.cluster_id, ports = _described(folder / _DESCRIPTION, brokers)
        voters = ",".join(f"{node_id}@127.0.0.1:{controller}" for node_id, (_, controller) in enumerate(ports, 1))
        self.brokers: list[Broker] = []
        for node_id, (port, controller) in enumerate(ports, 1):
            own = folder / f"broker-{node_id}"
            own.mkdir(exist_ok=True)
            _write_settings(own, brokers, node_id=node_id, voters=voters, port=port, controller_port=controller)
            self.brokers.append(Broker(node_id, port, own, self._classpath))
        self._folder = folder

    @property
    def bootstrap(self) -> str:
        """What clients are given: the addresses of all brokers, separated by commas."""
        return ",".join(broker.address for broker in self.brokers)

    def broker(self, node_id: int) -> Broker:
        """Return a broker by its id: 1, or 1 to 3."""
        return self.brokers[node_id - 1]

    def start(self) -> None:
        """Format what is not formatted yet, start every broker that does not live, and wait until all serve.

        Raises KafkaFailed with the last words of whatever failed; the brokers that did start live until ``stop`` or ``kill``.
        """
        self._format()
        for broker in self.brokers:
            broker.start()
        for broker in self.brokers:
            broker.wait_until_serving()

    def stop(self) -> None:
        """Stop every broker in order, all at once."""
        for broker in self.brokers:
            broker.tell_to_stop()
        deadline = time.monotonic() + STOP_MAX_SECONDS
        for broker in self.brokers:
            broker.wait_until_stopped(max(deadline - time.monotonic(), 0))

    def kill(self) -> None:
        """End every broker with kill -9: the quickest end, right where nobody needs the data."""
        for broker in self.brokers:
            broker.kill()

    def __enter__(self) -> Self:
        """Start it and return itself."""
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what lives."""
        self.kill()

    def _format(self) -> None:
        """Give each new broker its storage, all at once."""
        with ExitStack() as formatting:
            for broker in self.brokers:
                own = self._folder / f"broker-{broker.node_id}"
                if not (own / "data" / "meta.properties").exists():
                    formatting.enter_context(_formatted(own, self.cluster_id, self._classpath))


@contextmanager
def _formatted(own: Path, cluster_id: str, classpath: str) -> Iterator[None]:
    """Format a broker's storage while the block runs; raise KafkaFailed at its end if that fails."""
    said = own / "format.log"
    tool = ["kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(own / "server.properties")]
    process = _java(classpath, tool, said)
    try:
        yield
        code = process.wait(START_MAX_SECONDS)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        process.kill()
        process.wait(KILL_MAX_SECONDS)
    if code != 0:
        raise KafkaFailed(
            f"the storage in {own} could not be formatted: exit code {code}\n{said.read_text(errors='replace')[-_SAID_MAX_BYTES:]}"
        )


def _java(classpath: str, arguments: Sequence[str], said: Path) -> subprocess.Popen[bytes]:
    """Start a Java program that dies with us, in a session of its own: what a terminal sends on Ctrl-C is for us to pass on."""
    java = [program("java"), *_JAVA, f"-Dlog4j2.configurationFile={HERE / 'log4j2.xml'}", "-cp", classpath, *arguments]
    mortal = [sys.executable, "-I", "-S", "-c", _MORTAL, str(os.getpid()), *java] if sys.platform == "linux" else java
    with said.open("wb") as out:
        return subprocess.Popen(  # noqa: S603  Java with our own arguments
            mortal, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )


def _described(description: Path, brokers: int) -> tuple[str, list[tuple[int, int]]]:
    """Return a cluster's id and each broker's port for clients and for controllers, from its description; make one if there is none."""
    if description.exists():
        read = json.loads(description.read_text(encoding="utf-8"))
        if len(read["ports"]) != brokers:
            raise ValueError(f"another number of brokers than {description.parent} holds: expected {len(read['ports'])}, found {brokers}")
        return read["cluster_id"], [(port, controller) for port, controller in read["ports"]]
    free = _free_ports(2 * brokers)
    ports = list(zip(free[::2], free[1::2], strict=True))
    cluster_id = "h" + urlsafe_b64encode(secrets.token_bytes(16)).decode()[1:22]  # Kafka's tools take a leading dash for an option.
    description.write_text(json.dumps({"cluster_id": cluster_id, "ports": ports}) + "\n", encoding="utf-8")
    return cluster_id, ports


def _free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on, each another."""
    free: list[int] = []
    with ExitStack() as held:
        for port in random.SystemRandom().sample(_PORTS, len(_PORTS)):
            probe = held.enter_context(socket.socket())
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            free.append(port)
            if len(free) == count:
                return free
    raise KafkaFailed(f"fewer than {count} of the ports {_PORTS.start} to {_PORTS.stop - 1} are free")


def _write_settings(own: Path, brokers: int, **named: object) -> None:
    """Write a broker's server.properties."""
    template = Template((HERE / "server.properties").read_text(encoding="utf-8"))
    settings = template.substitute(named, data=own / "data", replicas=brokers, in_sync=max(brokers - 1, 1))
    (own / "server.properties").write_text(settings, encoding="utf-8")
