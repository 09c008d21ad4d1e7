"""What clients and operators ask of a simulated cluster, and what they make of the answers."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from services.eventstore import frame
from services.eventstore.port import Accepted, Append, Conflict, Expectation, PartialDuplicate, Placed, ProposedEvent, Result, Tracking
from services.runtime.errors import Unavailable
from tests.support.appends import an_event, an_id
from tests.support.newer_rules import RETIRED
from tests.support.simulated_node import Node
from tests.support.simulation_model import Model, plain, with_fresh_state

STREAMS: Final = tuple(f"incident-{letter}" for letter in "abcdef")
KEYS: Final = ("key-1", "key-2", "key-3", "")
KEY_WEIGHTS: Final = (70, 12, 12, 6)
RECENT: Final = 60
"""What was asked is asked again, or built upon, while it is among so many."""


@dataclass(eq=False, repr=False)
class Wanted:
    """One append or control that somebody wants decided. ``asked_at``: where its log ended when it was first proposed."""

    shard: str
    append_id: bytes
    record: Append | frame.Control
    asked_at: int
    node: Node
    futures: list[tuple[Node, Future[Result]]]
    """The calls that are not answered yet."""
    result: Result | None = None
    is_unknown: bool = False
    """A call ended without an answer, or died with its node."""
    was_written: bool = False
    """It was on the log when a call ended without an answer."""
    asked_of: frozenset[str] = frozenset()


class Clients:
    """All who ask, and all they were told."""

    def __init__(self, random: Random, nodes: list[Node], model: Model) -> None:
        self.random = random
        self.nodes = nodes
        self.model = model
        self.seen = model.seen
        self.pending: list[Wanted] = []
        self.recent: list[Wanted] = []
        self.wanted: dict[tuple[str, bytes], Wanted] = {}
        self.receipts: dict[tuple[str, bytes], Placed] = {}
        self.answered: list[tuple[Wanted, Node, Future[Result]]] = []
        self.names = 0

    # ── asking ──

    def fresh(self) -> str:
        self.names += 1
        return f"name-{self.names}"

    def node(self) -> Node | None:
        """Return a node that serves."""
        serving = [node for node in self.nodes if node.is_serving]
        return self.random.choice(serving) if serving else None

    def ask(self, node: Node, record: Append | frame.Control, shard: str, append_id: bytes) -> None:
        """Propose something through a node; the same append id is the same wish."""
        asked_at = len(self.model.ledgers[shard].records) if shard in self.model.ledgers else 0
        new = Wanted(shard, append_id, record, asked_at, node, [])
        wanted = self.wanted.setdefault((shard, append_id), new)
        if wanted is new:
            self.pending.append(wanted)
            self.recent.append(wanted)
            del self.recent[:-RECENT]
        wanted.node = node
        wanted.asked_of |= {node.name}
        future = node.propose(shard, append_id, record)
        wanted.futures = [each for each in wanted.futures if not each[1].done()]
        wanted.futures.append((node, future))
        future.add_done_callback(lambda done: self.answered.append((wanted, node, done)))

    def ask_again(self, wanted: Wanted, node: Node) -> None:
        """Propose the same under the same append id."""
        self.ask(node, wanted.record, wanted.shard, wanted.append_id)

    def ask_anew(self, node: Node, append: Append) -> None:
        """Propose an append under an id of its own."""
        append = replace(append, append_id=an_id(self.fresh()), node_id=node.name)
        self.ask(node, append, append.shard, append.append_id)

    def begun(self, node: Node) -> str | None:
        """Return a shard that has begun at a node."""
        shards = node.state.shards() if node.state is not None else ()
        return self.random.choice(shards) if shards else None

    def version(self, node: Node, shard: str, stream: str) -> int:
        """Return a stream's version as a node sees it."""
        return (node.state and node.state.stream_version(shard, stream)) or 0

    def event(self, stream: str, version: int) -> ProposedEvent:
        """Return a new event."""
        key_id = self.random.choices(KEYS, KEY_WEIGHTS)[0]
        event = an_event(stream, version, name=self.fresh(), key_id=key_id, state=self.random.randbytes(6))
        return replace(event, type=RETIRED) if self.random.random() < 0.04 else event

    def plain(self, node: Node, shard: str) -> None:
        """Ask for events of some streams, having looked at these and perhaps at others."""
        random = self.random
        streams = random.sample(STREAMS, random.choice((1, 1, 1, 2, 3)))
        versions = {stream: self.version(node, shard, stream) for stream in streams}
        read = [Expectation(stream, self.version(node, shard, stream)) for stream in random.sample(STREAMS, 2) if stream not in versions]
        expectations = [*(Expectation(*each) for each in versions.items()), *read[: random.choice((0, 0, 1, 2))]]
        events = []
        for stream in [*streams, *streams[: random.choice((0, 0, 1))]]:
            versions[stream] += 1
            events.append(self.event(stream, versions[stream]))
        if random.random() < 0.05:
            expectations = []
        self.ask_anew(node, Append(b"", shard, "", tuple(expectations), tuple(events), self.tracking(node, shard)))

    def tracking(self, node: Node, shard: str) -> Tracking | None:
        """Return a consumer's progress, sometimes one that is not new."""
        if self.random.random() < 0.8 or node.state is None:
            return None
        last = node.state.tracking_position(shard, "upstream") or 0
        return Tracking("upstream", last + self.random.choice((0, 1, 1, 1, 2)))

    def only_tracking(self, node: Node, shard: str) -> None:
        """Ask for a consumer's progress alone."""
        last = (node.state and node.state.tracking_position(shard, "alone")) or 0
        self.ask_anew(node, Append(b"", shard, "", (), (), Tracking("alone", last + self.random.choice((0, 1, 1)))))

    def resting(self, node: Node, shard: str) -> None:
        """Ask for an event that was judged on one that is proposed and not decided."""
        resting_on = self.undecided(node, shard)
        if resting_on is None:
            self.plain(node, shard)
            return
        expected = Expectation(resting_on.stream, resting_on.version, resting_on.event_id)
        event = self.event(resting_on.stream, resting_on.version + 1)
        self.ask_anew(node, Append(b"", shard, "", (expected,), (event,)))

    def undecided(self, node: Node, shard: str) -> ProposedEvent | None:
        """Return the last event of an append that a node has proposed and not seen decided."""
        for wanted in reversed(self.recent):
            is_undecided = wanted.result is None and wanted.node is node and wanted.shard == shard
            if is_undecided and isinstance(wanted.record, Append) and wanted.record.events and self.random.random() < 0.7:
                return wanted.record.events[-1]
        return None

    def earlier(self, shard: str | None = None) -> Append | None:
        """Return something that was asked for before, in a shard or any."""
        found = [wanted.record for wanted in self.recent if isinstance(wanted.record, Append) and shard in (None, wanted.shard)]
        return self.random.choice(found) if found else None

    def again_elsewhere(self, node: Node, shard: str) -> None:
        """Ask for earlier events in a new append, sealed anew: a client that went to another node."""
        append = self.earlier(shard)
        if append is not None:
            self.ask_anew(node, with_fresh_state(append, self.random.randbytes(6)))

    def same_id(self, node: Node, _shard: str) -> None:
        """Ask for the very same once more, also when it was answered long ago."""
        if self.recent:
            wanted = self.random.choice(self.recent)
            if wanted.shard in (node.state.shards() if node.state else ()):
                self.ask_again(wanted, node)

    def rebatched(self, node: Node, shard: str) -> None:
        """Ask for earlier events and a new one together; sometimes with another header."""
        chosen = [append for append in (self.earlier(shard) for _ in range(self.random.choice((1, 2)))) if append is not None]
        events = {event.event_id: event for append in chosen for event in append.events}
        if self.random.random() < 0.2:
            events = {each: replace(event, header_hash=bytes(32)) for each, event in events.items()}
        self.renumbered(node, shard, [*events.values(), self.event(self.random.choice(STREAMS), 1)])

    def renumbered(self, node: Node, shard: str, events: list[ProposedEvent]) -> None:
        """Ask for events at the versions that are next as the node sees it."""
        versions = {event.stream: self.version(node, shard, event.stream) for event in events}
        expectations = tuple(Expectation(*each) for each in versions.items())
        placed = []
        for event in events:
            versions[event.stream] += 1
            placed.append(replace(event, version=versions[event.stream]))
        self.ask_anew(node, Append(b"", shard, "", expectations, tuple(placed)))

    def other_shard(self, node: Node, shard: str) -> None:
        """Ask in another shard for what has the same ids, streams and keys: nothing of a shard counts in another."""
        append = self.earlier()
        if append is not None and append.shard != shard and (shard, append.append_id) not in self.wanted:
            versions = {event.stream: self.version(node, shard, event.stream) for event in append.events}
            events = []
            for event in append.events:
                versions[event.stream] += 1
                events.append(replace(event, version=versions[event.stream]))
            moved = replace(append, shard=shard, events=tuple(events), expectations=())
            self.ask(node, moved, shard, moved.append_id)

    # ── answers ──

    def hear(self) -> None:
        """Take in all answers that came."""
        while self.answered:
            wanted, node, future = self.answered.pop()
            error = future.exception()
            if error is None:
                self.told(wanted, node, future.result())
            else:
                assert isinstance(error, (Unavailable, frame.UnknownControl)), error
                self.unknown(wanted)

    def unknown(self, wanted: Wanted) -> None:
        """Take note that nobody said what became of it."""
        if wanted.result is None:
            wanted.is_unknown = True
            ledger = self.model.ledgers.get(wanted.shard)
            wanted.was_written = wanted.was_written or (ledger is not None and wanted.append_id in ledger.first)

    def told(self, wanted: Wanted, node: Node, result: Result) -> None:
        """Hold an answer against the model and all answers before it."""
        record = wanted.record
        if wanted.result is None:
            self.pending.remove(wanted)
            if wanted.is_unknown:
                self.seen[f"unknown outcome, record {'written' if wanted.was_written else 'not written'}: resolved"] += 1
        if isinstance(record, Append):
            self.model.ledgers[wanted.shard].check_answer(record, wanted.asked_at, result)
            assert wanted.result is None or plain(wanted.result) == plain(result), "a result never changes"
            if isinstance(result, Accepted):
                self.receive(wanted, node, result)
        first, wanted.result = wanted.result is None, result
        if first and isinstance(record, Append):
            self.follow_up(record, node, result)

    def receive(self, wanted: Wanted, node: Node, result: Accepted) -> None:
        """Keep receipts; each is durable at the node that gave it."""
        if len(wanted.asked_of) > 1:
            self.seen["replay across nodes"] += 1
        for placed in result.placed:
            known = self.receipts.setdefault((wanted.shard, placed.event_id), placed)
            assert known == placed, "one receipt, the same from every node"
            if node.state is not None:
                stored = node.state.event(wanted.shard, placed.event_id)
                assert stored is not None, "acknowledged and not there"
                assert stored.position == placed.position

    def follow_up(self, append: Append, node: Node, result: Result) -> None:
        """Do what a hub does with an answer: propose the rest, or admit again."""
        if not node.is_serving:
            return
        if isinstance(result, PartialDuplicate):
            rest = [event for event in append.events if event.event_id not in result.event_ids]
            self.seen["re-batched"] += 1
            self.renumbered(node, append.shard, rest)
        elif isinstance(result, Conflict) and append.events and self.random.random() < 0.5:
            self.renumbered(node, append.shard, list(append.events))

    def lost(self, node: Node) -> None:
        """Take note that a node is gone with all that was asked of it."""
        for wanted in self.pending:
            left = [each for each in wanted.futures if each[0] is not node]
            if len(left) < len(wanted.futures):
                wanted.futures = left
                self.unknown(wanted)


Ask = Callable[[Clients, Node, str], None]
ASKS: Final[tuple[tuple[Ask, int], ...]] = (
    (Clients.plain, 40),
    (Clients.resting, 18),
    (Clients.again_elsewhere, 10),
    (Clients.same_id, 10),
    (Clients.rebatched, 12),
    (Clients.other_shard, 6),
    (Clients.only_tracking, 4),
)
