"""One node of a cluster as a process that tests kill, pause and starve: an event store behind a socket, and its weak points.

``python -m tests.support.fault_node`` with the fields of ``NodePlan`` as one JSON argument. It says ``serving`` when it has folded the
log; on SIGTERM it answers what it has accepted, says how much that was, and ends with 0; it ends with ``REFUSED`` when its file and the
log contradict each other, and with ``STOPPED`` when it can decide nothing any more.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any, Final

import structlog

from services.eventstore import digests, tables
from services.eventstore.brokers import Kafka
from services.eventstore.cluster import ClusterEventStore
from services.eventstore.fold import PROGRAM
from services.eventstore.follower import Follower, Member
from services.eventstore.kafka import KafkaLog
from services.eventstore.local import LocalEventStore, system_clock
from services.eventstore.port import Append, Head, Result
from services.eventstore.sequencer import LocalSequencer
from services.eventstore.state import State
from services.eventstore.store import NodeStore
from services.runtime.errors import HubError, IntegrityError, Unavailable
from tests.support.newer_rules import NEW_PROGRAM

ROOT: Final = "national"
SHARD: Final = "north"
REFUSED: Final = 3
STOPPED: Final = 4
BEFORE_SEND: Final = "before send"
AFTER_SEND: Final = "after send"
AFTER_FOLD: Final = "after fold"
LATE_SECONDS: Final = 20.0
"""So long after its deadline an append that has had no answer is a defect, also on a machine that is short of processors."""
_FLUSH_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.05
_PAGES_MAX: Final = 2**32 - 2
_DRAINED_MAX_SECONDS: Final = 60.0
_EXCHANGE: Final = {"PUBLISH_SECONDS": 1.0, "SETTLE_SECONDS": 10.0, "MARK_POSITIONS": 16}
"""Nodes exchange digests while brokers and networks fail: so often that every run sees some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """What a node is. ``bootstrap`` empty: the embedded store. ``is_new``: it runs the program of tomorrow.

    ``name`` empty: it exchanges no digests.
    """

    name: str
    path: str
    socket: str
    bootstrap: str = ""
    topic: str = ""
    deadline_seconds: float
    is_new: bool = False

    def command(self) -> list[str]:
        """Return the command that runs it."""
        return [sys.executable, "-m", "tests.support.fault_node", json.dumps(asdict(self))]


@dataclass(slots=True)
class Weakness:
    """Where this node breaks next. ``dies_at``: killed there (kill -9). ``is_full``: its disk takes no new page."""

    dies_at: str = ""
    is_full: bool = False
    clock_shift_ms: int = 0

    def at(self, point: str) -> None:
        """End here if told to."""
        if self.dies_at == point:
            os.kill(os.getpid(), signal.SIGKILL)


class Disk(sqlite3.Connection):
    """A connection whose file may take no page more."""

    weakness: Weakness

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql.startswith("BEGIN"):
            super().execute(f"PRAGMA max_page_count={1 if self.weakness.is_full else _PAGES_MAX}")
        return super().execute(sql, parameters)


class WeakLog(KafkaLog):
    """The log, and death before and after a record is handed over."""

    def __init__(self, kafka: Kafka, weakness: Weakness) -> None:
        super().__init__(kafka)
        self._weakness = weakness

    def send(self, partition: int, key: bytes, value: bytes, failed: Callable[[Exception], None]) -> None:
        self._weakness.at(BEFORE_SEND)
        super().send(partition, key, value, failed)
        if self._weakness.dies_at == AFTER_SEND:
            self._producer.flush(timeout=_FLUSH_SECONDS)
            self._weakness.at(AFTER_SEND)


class WeakClusterStore(ClusterEventStore):
    """A node's store, and death when a batch is durable and nobody is answered yet."""

    def __init__(self, plan: NodePlan, weakness: Weakness) -> None:
        self._weakness = weakness
        self._program = NEW_PROGRAM if plan.is_new else PROGRAM
        log = WeakLog(Kafka(bootstrap=tuple(plan.bootstrap.split(",")), topic=plan.topic), weakness)
        super().__init__(
            Path(plan.path),
            log,
            root=ROOT,
            member=Member(node_id=plan.name),
            connect=connecting(weakness),
            deadline_seconds=plan.deadline_seconds,
        )

    def _open_sequencer(self, state: State, committed: Callable[[set[str]], None]) -> Follower:
        self._follower = Follower(
            state,
            self._path,
            self._log,
            self._root,
            self._dying(committed),
            self._deadline_seconds,
            member=self._member,
            program=self._program,
        )
        return self._follower

    def _dying(self, committed: Callable[[set[str]], None]) -> Callable[[set[str]], None]:
        def commit(shards: set[str]) -> None:
            if SHARD in shards:
                self._weakness.at(AFTER_FOLD)
            committed(shards)

        return commit


class WeakLocalStore(LocalEventStore):
    """The embedded store, with the same weak points as far as it has them."""

    def __init__(self, plan: NodePlan, weakness: Weakness) -> None:
        self._weakness = weakness
        super().__init__(
            Path(plan.path),
            clock=lambda: system_clock() + weakness.clock_shift_ms,
            connect=connecting(weakness),
            deadline_seconds=plan.deadline_seconds,
        )

    def _open_sequencer(self, state: State, committed: Callable[[set[str]], None]) -> LocalSequencer:
        def commit(shards: set[str]) -> None:
            self._weakness.at(AFTER_FOLD)
            committed(shards)

        return super()._open_sequencer(state, commit)


def connecting(weakness: Weakness) -> tables.Connect:
    """Return how the store opens its file here."""

    def connect(path: str) -> sqlite3.Connection:
        disk = sqlite3.connect(path, timeout=tables.LOCK_WAIT_SECONDS, isolation_level=None, check_same_thread=False, factory=Disk)
        disk.weakness = weakness
        return disk

    return connect


class Node:
    """The store as its callers see it through the socket, each connection in a thread of its own."""

    def __init__(self, plan: NodePlan, store: NodeStore, weakness: Weakness) -> None:
        self._plan = plan
        self._store = store
        self._shard = store.shard(SHARD)
        self._weakness = weakness
        self._listener = Listener(plan.socket, family="AF_UNIX", backlog=64)
        self._counting = threading.Lock()
        self._accepted = self._answered = 0

    def serve(self) -> None:
        """Take connections until the process ends."""
        while True:
            with contextlib.suppress(OSError):
                connection = self._listener.accept()
                threading.Thread(target=self._talk, args=[connection], daemon=True).start()

    def drain(self) -> None:
        """Answer what was accepted, then close."""
        self._store.close()
        deadline = time.monotonic() + _DRAINED_MAX_SECONDS
        while self._accepted > self._answered and time.monotonic() < deadline:
            time.sleep(_LOOK_SECONDS)
        said = {"accepted": self._accepted, "answered": self._answered}
        print(json.dumps(said), flush=True)  # noqa: T201  what its starter reads

    def _talk(self, connection: Connection) -> None:
        with contextlib.suppress(EOFError, OSError), connection:
            while True:
                name, *arguments = connection.recv()
                with self._counting:
                    self._accepted += 1
                try:
                    answer = ("answer", getattr(self, name)(*arguments))
                except FutureTimeoutError:
                    answer = ("late", f"no answer {LATE_SECONDS} s after the deadline")
                except HubError as error:
                    answer = ("unavailable", f"{type(error).__name__}: {error}")
                try:
                    connection.send(answer)
                finally:
                    with self._counting:
                        self._answered += 1

    # ── what callers ask ──

    def append(self, append: Append) -> Result:
        """Have an append decided; the store's own deadline is to end the waiting, and nothing else."""
        return self._shard.append(append).result(self._plan.deadline_seconds + LATE_SECONDS)

    def version(self, stream: str) -> int:
        """Return a stream's version."""
        return self._shard.stream_version(stream)

    def read(self, stream: str, min_position: int, seconds: float) -> tuple[int, int]:
        """Return the position that this node has come to, at least ``min_position``, and the stream's version there or later."""
        if not self._shard.wait_for(min_position, seconds):
            raise Unavailable(f"this node is at {self._shard.head().position}, {min_position} is asked for")
        position = self._shard.head().position
        return position, self._shard.stream_version(stream)

    def head(self) -> Head:
        """Return how far this node has come."""
        return self._shard.head()

    def weaken(self, weaknesses: dict[str, Any]) -> None:
        """Break there from now on."""
        for name, value in asdict(replace(self._weakness, **weaknesses)).items():
            setattr(self._weakness, name, value)


def opened(plan: NodePlan, weakness: Weakness) -> NodeStore:
    """Open the store and begin the shard unless it has begun."""
    store: NodeStore = WeakClusterStore(plan, weakness) if plan.bootstrap else WeakLocalStore(plan, weakness)
    try:
        for name in (ROOT, SHARD):
            store.create_shard(name)
    except BaseException:
        store.close()
        raise
    return store


def main() -> int:
    """Serve until told to end, or until the store can decide nothing any more."""
    plan = NodePlan(**json.loads(sys.argv[1]))
    weakness = Weakness()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    vars(digests).update(_EXCHANGE)
    ending = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ending.set())
    try:
        store = opened(plan, weakness)
    except HubError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)  # noqa: T201  what its starter reads
        return REFUSED if isinstance(error, IntegrityError) else STOPPED
    node = Node(plan, store, weakness)
    threading.Thread(target=node.serve, daemon=True).start()
    print("serving", flush=True)  # noqa: T201  likewise
    while not ending.wait(_LOOK_SECONDS):
        if store.failure is not None:
            print(f"{type(store.failure).__name__}: {store.failure}", file=sys.stderr)  # noqa: T201  likewise
            return STOPPED
    node.drain()
    return 0


if __name__ == "__main__":
    sys.exit(main())
