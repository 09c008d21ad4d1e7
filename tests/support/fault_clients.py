"""Callers of a cluster's nodes, each a thread with a seed of its own: they append and read, note what they are told, and never give up.

A call that ended without a decision is made again with the same append, through this node or another, until it is decided.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from itertools import pairwise
from multiprocessing import connection
from pathlib import Path
from random import Random
from typing import Any, Final

from safeguarding.hub.client.outcomes import Code, Outcome, Receipt, Refusal, Unresolved
from services.eventstore.port import Accepted, Append, Conflict, Expectation, Malformed, ProposedEvent, Result
from tests.support.fault_node import LATE_SECONDS, SHARD
from tests.support.history import Attempt, Diary, Read, an_attempt

PAUSE_MAX_SECONDS: Final = 0.06
"""Between two calls of one caller: load enough to break something under, and processors left for brokers that start."""
AGAIN_SECONDS: Final = 0.1
"""Between two attempts at the same append."""
CONTENDED: Final = "incident-contended"
CONTENDED_SHARE: Final = 0.3
READ_SHARE: Final = 0.2
OTHER_NODE_SHARE: Final = 0.3
READ_MAX_SECONDS: Final = 1.0
RESOLVED_MAX_SECONDS: Final = 120.0


SILENT: Final = "nothing came back in time"
"""What no live node may do: an append is answered within its deadline."""


class NodeGone(Exception):
    """The node ended, or never answered, while it was asked."""


class NodeUnavailable(Exception):
    """The node answered that it cannot say."""


class Line:
    """One caller's connection to a node, made anew whenever it breaks."""

    def __init__(self, socket: Path, deadline_seconds: float) -> None:
        self._socket = socket
        self._answer_max_seconds = deadline_seconds + 2 * LATE_SECONDS
        self._connection: connection.Connection | None = None

    def ask(self, name: str, *arguments: object) -> Any:
        """Have the node do something; raise ``NodeUnavailable`` when it says that it cannot, ``NodeGone`` when nothing came back."""
        try:
            if self._connection is None:
                self._connection = connection.Client(str(self._socket), family="AF_UNIX")
            self._connection.send((name, *arguments))
            came = self._connection.poll(self._answer_max_seconds)
            kind, answer = self._connection.recv() if came else ("silent", SILENT)
        except (EOFError, OSError) as error:
            self.close()
            raise NodeGone(type(error).__name__) from error
        if kind == "silent":
            self.close()
            raise NodeGone(answer)
        if kind == "unavailable":
            raise NodeUnavailable(answer)
        assert kind == "answer", answer
        return answer

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@dataclass
class Acknowledgements:
    """When appends were acknowledged, through which node; and the newest position that anybody was told."""

    given: list[tuple[int, str]] = field(default_factory=list)
    newest: int = 0

    def longest_seconds(self, since_ns: int, through: str = "") -> float:
        """Return the longest time without one from ``since_ns`` on, of all nodes or through one."""
        at = sorted(at_ns for at_ns, node in self.given if not through or node == through)
        before = [at_ns for at_ns in at if at_ns <= since_ns][-1:]
        after = before + [at_ns for at_ns in at if at_ns > since_ns]
        return max((later - earlier for earlier, later in pairwise(after)), default=0) / 1e9


@dataclass
class FaultClient:
    """One caller: ``nodes`` by name, its own first. It runs in its thread until ``stopping``, and then until all is decided."""

    name: str
    nodes: dict[str, Path]
    deadline_seconds: float
    seed: str
    diary: Diary
    acknowledgements: Acknowledgements
    stopping: threading.Event
    contended_share: float = CONTENDED_SHARE
    version: int = 0
    acknowledged: int = 0
    undecided: int = 0
    """Answers so far that left it open what became of an append."""
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self._random = Random(self.seed)
        self._lines = {node: Line(socket, self.deadline_seconds) for node, socket in self.nodes.items()}
        self._home = next(iter(self.nodes))
        self._number = 0
        self.thread = threading.Thread(target=self._run, name=self.name, daemon=True)

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                if self._random.random() < READ_SHARE:
                    self._read()
                else:
                    self._append()
                time.sleep(self._random.uniform(0.0, PAUSE_MAX_SECONDS))
        except BaseException as error:  # noqa: BLE001  the scene tells what ended a thread
            self.error = error
            self.diary.fail(error)
        self.diary.finish()
        for line in self._lines.values():
            line.close()

    def _append(self) -> None:
        is_contended = self._random.random() < self.contended_share
        stream = CONTENDED if is_contended else f"incident-{self.name}"
        version = self._version_of_contended() if is_contended else self.version
        self._number += 1
        names = [f"{self.seed} {self.name} {self._number}.{each}" for each in range(self._random.choice((1, 1, 1, 2, 3)))]
        append = an_append_of(stream, version, *names, client=self.name)
        self.diary.begin(attempts_of(append, self.name, certain=not is_contended))
        result = self._decided(append)
        if not is_contended:
            assert isinstance(result, Accepted), result
            self.version += len(append.events)

    def _decided(self, append: Append) -> Result:
        """Propose an append through whichever node, again and again, until it is decided."""
        node = self._home
        deadline = time.monotonic() + RESOLVED_MAX_SECONDS
        while True:
            try:
                result: Result = self._lines[node].ask("append", append)
            except (NodeGone, NodeUnavailable) as error:
                self.undecided += 1
                self._answer(append, [Unresolved(event.event_id, SHARD, f"{node}: {error}") for event in append.events])
            else:
                self._answer(append, outcomes_of(append, result))
                if isinstance(result, Accepted):
                    self.acknowledgements.given.append((time.monotonic_ns(), node))
                    self.acknowledgements.newest = max(self.acknowledgements.newest, result.placed[-1].position)
                    self.acknowledged += 1
                return result
            if self.stopping.is_set():
                assert time.monotonic() < deadline, f"not decided within {RESOLVED_MAX_SECONDS} s"
            else:
                deadline = time.monotonic() + RESOLVED_MAX_SECONDS
            time.sleep(AGAIN_SECONDS)
            if self._random.random() < OTHER_NODE_SHARE:
                node = self._random.choice(list(self._lines))

    def _answer(self, append: Append, outcomes: Sequence[Outcome]) -> None:
        self.diary.answer([(event.event_id.hex(), outcome) for event, outcome in zip(append.events, outcomes, strict=True)])

    def _read(self) -> None:
        """Ask any node to show the contended stream as new as anybody knows."""
        least = self.acknowledgements.newest
        try:
            line = self._lines[self._random.choice(list(self._lines))]
            position, version = line.ask("read", CONTENDED, least, READ_MAX_SECONDS)
        except (NodeGone, NodeUnavailable):
            return
        self.diary.read(Read(client=self.name, shard=SHARD, stream=CONTENDED, min_position=least, position=position, version=version))

    def _version_of_contended(self) -> int:
        for line in self._lines.values():
            try:
                version: int = line.ask("version", CONTENDED)
            except (NodeGone, NodeUnavailable):
                continue
            return version
        return 0


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller that a test itself is: what it proposes, and is told, is noted like any other's."""

    name: str
    diary: Diary

    def begin(self, append: Append, *, certain: bool = True) -> None:
        """Note that an append is set out to be made; of several with one event the first is noted."""
        self.diary.begin(attempts_of(append, self.name, certain=certain))

    def propose(self, socket: Path, append: Append, deadline_seconds: float) -> Result:
        """Propose an append once and return the decision; raise as ``Line.ask`` does."""
        with closing(Line(socket, deadline_seconds)) as line:
            result: Result = line.ask("append", append)
        if isinstance(result, Accepted):
            self.diary.answer(
                [(event.event_id.hex(), each) for event, each in zip(append.events, outcomes_of(append, result), strict=True)]
            )
        return result


def an_append_of(stream: str, version: int, *names: str, client: str = "caller", append_name: str = "") -> Append:
    """Return an append of events of these names behind a version of a stream; its id follows from the first name unless named."""
    events = tuple(an_event_of(stream, version + each, name) for each, name in enumerate(names, 1))
    return Append(_hash(f"append {append_name or names[0]}")[:16], SHARD, client, (Expectation(stream, version),), events)


def attempts_of(append: Append, client: str, *, certain: bool) -> list[Attempt]:
    """Return an append's attempts, one for each event."""
    group = append.append_id.hex() if len(append.events) > 1 else ""
    return [
        an_attempt(event.event_id, client, SHARD, event.stream, expected_version=event.version - 1, certain=certain, group=group)
        for event in append.events
    ]


def an_event_of(stream: str, version: int, name: str) -> ProposedEvent:
    """Return the event of this name."""
    return ProposedEvent(
        stream=stream,
        version=version,
        event_id=_hash(name)[:16],
        header_hash=_hash(f"header {name}"),
        key_id="key-1",
        type="incident.referred.v1",
        state=_hash(f"state {name}") * 8,
    )


def outcomes_of(append: Append, result: Result) -> list[Outcome]:
    """Return what a decision means for each event of an append."""
    match result:
        case Accepted(placed):
            return [
                Receipt(
                    event_id=each.event_id,
                    shard=append.shard,
                    position=each.position,
                    stream=each.stream,
                    version=each.version,
                    recorded_at=datetime.fromtimestamp(each.recorded_at_ms / 1000, UTC),
                    leaf=each.leaf,
                )
                for each in placed
            ]
        case Conflict(what, expected, actual):
            code = Code.REFUSAL_CODE_WRONG_EXPECTED_VERSION
            # Of an atomic append only the first event's version was expected.
            told = [(expected, actual) if event.version == expected + 1 else (None, None) for event in append.events]
            return [
                Refusal(event.event_id, code, "conflict", what, expected_version=wanted, current_version=found)
                for event, (wanted, found) in zip(append.events, told, strict=True)
            ]
        case _:
            reason = result.reason if isinstance(result, Malformed) else str(result)
            return [Refusal(event.event_id, Code.REFUSAL_CODE_REFUSED, type(result).__name__, reason) for event in append.events]


def _hash(name: str) -> bytes:
    return sha256(name.encode()).digest()
