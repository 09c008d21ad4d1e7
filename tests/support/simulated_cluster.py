"""A simulated cluster: nodes, a log and clients, of which one thing at a time happens, as one seed chooses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Final

from services.eventstore import frame
from services.eventstore.fold import PROGRAM
from services.eventstore.port import Append, Expectation
from services.runtime.errors import Unavailable
from services.runtime.limits import RECORD_MAX_BYTES
from tests.support.appends import an_id
from tests.support.newer_rules import NEW_PROGRAM
from tests.support.simulated_clients import ASKS, KEYS, STREAMS, Clients
from tests.support.simulated_log import Flight, SimulatedLog
from tests.support.simulated_node import DISK_FAILURES, POINTS, Node, SteppedFollower
from tests.support.simulation_model import ROOT, Model

SHARDS: Final = (ROOT, "north", "south")
PARTITIONS: Final = 5
DAY_MS: Final = 86_400_000
HEAL_MAX_ROUNDS: Final = 20
"""Each of 0.3 s. Without faults all is decided long before anyone's deadline."""
SILENT_MAX_ROUNDS: Final = 90
STRANGER: Final = "stranger"
"""It is no node, and what it publishes is never what anybody holds."""
OVERSIZED: Final = b"SHUB\x01\x01" + bytes(RECORD_MAX_BYTES)


class World:
    """One cluster from its first record on."""

    def __init__(self, seed: str, folder: Path, seen: Counter[str]) -> None:
        self.random = random = Random(seed)
        self.seen = seen
        self.now = 0.0
        self.model = Model(seen)
        self.log = SimulatedLog(PARTITIONS, self.model.take)
        self.nodes = [
            Node(f"node-{number}", folder, self.log, self.model, lambda: self.now, seen, PROGRAM if number == 3 else NEW_PROGRAM)
            for number in range(4)
        ]
        self.clients = Clients(random, self.nodes, self.model)
        self.changes_rules_after = random.choice((200, 600, 1_500, 10**9))
        # Each world has weather of its own: some faults often, others never.
        self.weather = {act.__name__: random.choice((0.0, 0.3, 1.0, 1.0, 3.0)) for act, _ in FAULTS}
        self.acts: list[Act] = [act for act, _ in (*WORK, *FAULTS)]
        weights = [*(weight for _, weight in WORK), *(weight * self.weather[act.__name__] for act, weight in FAULTS)]
        self.weights = [sum(weights[: at + 1]) for at in range(len(weights))]
        self.steps = 0
        for node in self.nodes:
            node.start()

    def step(self) -> None:
        """Let one thing happen."""
        self.steps += 1
        act: Act = self.random.choices(self.acts, cum_weights=self.weights)[0]
        act(self)
        self.clients.hear()

    # ── what goes on all the time ──

    def ask(self) -> None:
        """A client begins an append."""
        node = self.clients.node()
        shard = None if node is None else self.clients.begun(node)
        if node is not None and shard is not None:
            ask = self.random.choices([ask for ask, _ in ASKS], [weight for _, weight in ASKS])[0]
            ask(self.clients, node, shard)
        else:
            self.found()

    def ask_again(self) -> None:
        """A client that got no answer asks again, perhaps elsewhere."""
        unanswered = [wanted for wanted in self.clients.pending if wanted.is_unknown]
        node = self.clients.node()
        if unanswered and node is not None:
            self.clients.ask_again(self.random.choice(unanswered), node)

    def send(self) -> None:
        """A node's sender hands a record over."""
        node = self.busy(lambda each: each.has_outgoing or (each.next_due or self.now + 1) <= self.now)
        if node is not None and not node.step(SteppedFollower.hand_over):
            self.clients.lost(node)

    def take(self) -> None:
        """The log takes a record: mostly the oldest on its way."""
        flights = self.open_flights()
        if flights:
            at = self.random.randrange(len(flights)) if self.random.random() < 0.3 else 0
            if at:
                self.seen["flight: not in order"] += 1
            self.land(flights[at])

    def fold(self) -> None:
        """A node folds a batch of whatever size."""
        node = self.busy(lambda _: True)
        if node is not None:
            node.fold(self.random.choice((1, 2, 5, 20, 1_000)), self.random.randrange(PARTITIONS), fetches=self.random.random() < 0.7)
            if node.follower is None:
                self.clients.lost(node)

    def tick(self) -> None:
        """A little time passes."""
        self.pass_time(self.random.choice((0.05, 0.3, 1.0)))

    def found(self) -> None:
        """Somebody begins a shard, placing it first; or two do."""
        node, shard = self.clients.node(), self.random.choice(SHARDS)
        if node is None or node.state is None or node.follower is None:
            return
        if node.standing(shard).rules and self.random.random() < 0.9:
            return
        if node.follower.partition(shard) is None:
            taken = node.state.places()
            free = [each for each in range(1, PARTITIONS) if each not in taken]
            self.control(node, ROOT, frame.ShardPlaced(shard, self.random.choice(free)))
        else:
            self.control(node, shard, frame.Genesis(shard, 1, (1,)))

    def control(self, node: Node, shard: str, control: frame.Control) -> None:
        self.clients.ask(node, control, shard, an_id(self.clients.fresh()))

    # ── faults ──

    def lose_acknowledgement(self) -> None:
        """A producer hears nothing of a record that the log has, or will have, or never will."""
        flights = [flight for flight in self.open_flights() if not flight.given_up]
        if flights:
            flight = self.random.choice(flights)
            how = self.random.choice(("acknowledgement lost", "lost", "late"))
            self.seen[f"flight: {how}"] += 1
            if how == "acknowledgement lost":
                self.land(flight, is_acknowledged=False)
            if how == "late":
                flight.given_up = True
            elif flight in self.log.flights:
                self.log.flights.remove(flight)
            flight.failed(TimeoutError())

    def double(self) -> None:
        """A record comes to the log once more, byte for byte: one on its way, or one that lies there."""
        partition = self.random.randrange(PARTITIONS)
        records = self.log.partitions.get(partition)
        flights = self.open_flights()
        if flights and self.random.random() < 0.5:
            flight = self.random.choice(flights)
            self.log.write(flight.partition, flight.value)
            self.seen["flight: doubled"] += 1
        elif records:
            self.log.write(partition, self.random.choice(records).value)

    def garbage(self) -> None:
        """Something comes to the log that no node should have written."""
        random = self.random
        partition = random.randrange(PARTITIONS)
        earlier = self.clients.earlier()
        fresh = an_id(self.clients.fresh())
        body = b"" if earlier is None else frame.encode_append(earlier)[frame.FRAME_BYTES :]
        if earlier is not None and random.random() < 0.1:
            partition = self.model.places[earlier.shard]
            body = frame.encode_append(replace(earlier, events=earlier.events * 2, tracking=None))[frame.FRAME_BYTES :]
        self.log.write(
            partition,
            random.choice(
                (
                    random.randbytes(random.randrange(60)),
                    b"SHUB\x01\x01" + fresh + b"\xff\xff",
                    b"SHUB\x01\x01" + fresh,
                    b"SHUB\x01\x01" + fresh + body,
                    b"SHUB\x01\x02" + fresh + body,
                    b"SHUB\x01\x09" + fresh + body,
                    OVERSIZED if random.random() < 0.2 else b"SHUB",
                )
            ),
        )

    def write_new_format(self) -> None:
        """A producer of the newer program writes what only the new rules allow."""
        ledgers = [ledger for ledger in self.model.ledgers.values() if ledger.fold.rules > 1]
        if ledgers:
            fold = self.random.choice(ledgers).fold
            stream = self.random.choice(STREAMS)
            version = fold.versions.get(stream, 0)
            event = self.clients.event(stream, version + 1)
            append = Append(an_id(self.clients.fresh()), fold.name, "", (Expectation(stream, version),), (event,))
            self.log.write(self.model.places[fold.name], frame.encode_append(append, 2))

    def bad_control(self) -> None:
        """A control record comes that is out of place."""
        random = self.random
        control = random.choice(
            (
                frame.Genesis(random.choice(SHARDS), 1, (1,)) if random.random() < 0.5 else frame.Genesis("nowhere", 1, (1,)),
                frame.RulesChange(5, (1,)),
                frame.RulesChange(2, ()),
                frame.KeyRevoked(""),
                frame.ShardPlaced("", 2),
                frame.ShardPlaced("nowhere", 0),
                frame.ShardPlaced("north", 1),
                frame.DigestPublished("", 1, bytes(32)),
                frame.DigestPublished(STRANGER, 0, bytes(32)),
                frame.DigestPublished(STRANGER, 1, b"short"),
                frame.DigestPublished(STRANGER, 1, random.randbytes(32)),
            )
        )
        if isinstance(control, frame.ShardPlaced) and control.shard == "north" and "north" not in self.model.places:
            return
        partition = random.randrange(PARTITIONS)
        self.log.write(partition, frame.encode_control(control, an_id(self.clients.fresh())))

    def revoke(self) -> None:
        """A key is revoked in one shard; the first never is, so that work goes on."""
        node = self.clients.node()
        shard = None if node is None else self.clients.begun(node)
        if node is not None and shard is not None:
            self.control(node, shard, frame.KeyRevoked(self.random.choice(KEYS[1:3])))

    def change_rules(self) -> None:
        """The rules change in a shard, under nodes of both programs."""
        node = self.clients.node()
        shard = None if node is None else self.clients.begun(node)
        if node is not None and shard is not None and self.steps > self.changes_rules_after:
            self.control(node, shard, frame.RulesChange(2, (1, 2)))

    def crash(self) -> None:
        """A node's process is gone, now or at a point of its next steps."""
        node = self.busy(lambda _: True)
        if node is None:
            return
        node.dies_at = self.random.choice(("", *POINTS))
        if not node.dies_at:
            self.seen["crash: idle"] += 1
            node.crash()
            self.clients.lost(node)

    def close(self) -> None:
        """A node is told to stop: what it was asked before is still decided."""
        node = self.busy(lambda _: True)
        if node is not None and node.follower is not None:
            node.follower.begin_close()

    def fail_disk(self) -> None:
        """A node's next commit fails."""
        node = self.busy(lambda _: True)
        if node is not None:
            node.disk_fails = self.random.choice(DISK_FAILURES)

    def cut(self) -> None:
        """A node is cut off, one way or both, or is no longer."""
        node = self.random.choice(self.nodes)
        node.sends, node.reads = self.random.choice(((True, True), (True, True), (False, False), (False, True), (True, False)))
        if node.link is not None:
            node.link.sends, node.link.reads = node.sends, node.reads
        self.seen["cut: sends"] += not node.sends
        self.seen["cut: reads"] += not node.reads

    def wait_long(self) -> None:
        """Time passes, perhaps more than any caller waits."""
        self.pass_time(self.random.choice((5.0, 25.0)))

    def move_clock(self) -> None:
        """The log's clock moves, also by a day and back."""
        by_ms = self.random.choice((1, 40, -20, DAY_MS, -DAY_MS))
        self.seen["clock: a day on"] += by_ms == DAY_MS
        self.seen["clock: a day back"] += by_ms == -DAY_MS
        self.log.now_ms += by_ms

    # ── what helps again ──

    def restart(self) -> None:
        """A node that is gone comes back: on its file, without it, or on an old copy of it; one that stopped comes back newer."""
        down = [node for node in self.nodes if not node.is_serving]
        if down:
            node = self.random.choice(down)
            if node.follower is not None:
                node.crash()
                self.clients.lost(node)
            self.bring_back(node, self.random.choice(("from its file", "from its file", "without its file", "from an old copy")))

    def look_at_end(self) -> None:
        """Somebody wants to know that a node has folded all there is of a shard."""
        node = self.clients.node()
        shard = None if node is None else self.clients.begun(node)
        if node is None or node.follower is None or shard is None:
            return
        end = self.log.length(self.model.places[shard])
        try:
            node.follower.log_end(shard, 0.0)
        except Unavailable:
            assert not node.reads or node.standing(shard).next_offset < end
            self.seen["log end: refused"] += 1
        else:
            assert node.standing(shard).next_offset >= end
            self.seen["log end: folded"] += 1

    # ── how ──

    def bring_back(self, node: Node, how: str) -> None:
        if how == "from an old copy" and not node.copy.exists():
            how = "from its file"
        if how == "from an old copy":
            node.restore()
        elif self.random.random() < 0.3:
            node.keep_copy()
        if how == "without its file":
            node.lose_file()
        if self.random.random() < 0.5 and any(ledger.fold.rules > 1 for ledger in self.model.ledgers.values()):
            node.upgrade()
        try:
            node.start()
        except Unavailable:
            assert not node.reads
            self.seen["restart: while cut off"] += 1
        else:
            self.seen[f"restart: {how}"] += 1

    def busy(self, wanted: Callable[[SteppedFollower], bool]) -> Node | None:
        """Return a node that serves and has something to do."""
        nodes = [node for node in self.nodes if node.follower is not None and node.is_serving and wanted(node.follower)]
        return self.random.choice(nodes) if nodes else None

    def open_flights(self) -> list[Flight]:
        """Return what is on its way from nodes that can reach the log; what a dead node sent comes, or never does."""
        living = {node.link for node in self.nodes if node.link is not None}
        for flight in [each for each in self.log.flights if each.link not in living]:
            self.log.flights.remove(flight)
            if self.random.random() < 0.5:
                self.seen["flight: of a dead node"] += 1
                self.log.write(flight.partition, flight.value)
        return [flight for flight in self.log.flights if flight.link.sends]

    def land(self, flight: Flight, *, is_acknowledged: bool = True) -> None:
        """Write a record on its way, and tell its producer unless that gave it up before."""
        self.seen["flight: taken"] += 1
        self.log.flights.remove(flight)
        record = self.log.write(flight.partition, flight.value)
        if is_acknowledged and not flight.given_up:
            flight.link.arrivals.acknowledged(record)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.log.now_ms += int(seconds * 1_000)
        before = len(self.clients.answered)
        for node in self.nodes:
            if node.follower is not None:
                node.follower.tick()
        self.seen["time: deadline passed"] += len(self.clients.answered) - before

    def finish(self) -> None:
        """Heal everything: then all is decided, and all nodes hold the same."""
        clients = self.clients
        for node in self.nodes:
            node.sends = node.reads = True
            node.dies_at = node.disk_fails = ""
            if node.follower is None or not node.is_serving or node.follower.is_closing or node.program is not NEW_PROGRAM:
                node.crash()
                clients.lost(node)
                node.upgrade()
                node.start()
            elif node.link is not None:
                node.link.sends = node.link.reads = True
        # Only a commit that failed behind its being done leaves callers to wait for their deadline.
        silent = any(node.silent_until > self.now for node in self.nodes)
        for _ in range(SILENT_MAX_ROUNDS if silent else HEAL_MAX_ROUNDS):
            self.heal()
            if not clients.pending and all(node.is_at_end for node in self.nodes):
                break
        assert not clients.pending, f"never decided: {[wanted.append_id.hex() for wanted in clients.pending]}"
        for ledger in self.model.ledgers.values():
            ledger.check_whole()
        for node in self.nodes:
            node.check_whole()
            node.crash()
        for (shard, event_id), placed in clients.receipts.items():
            assert self.model.ledgers[shard].fold.placed(event_id) == placed, "acknowledged and not there"

    def heal(self) -> None:
        """Let everything run for a while without a fault."""
        clients = self.clients
        for wanted in list(clients.pending):
            if all(future.done() for _, future in wanted.futures):
                clients.ask_again(wanted, self.random.choice(self.nodes))
        for node in self.nodes:
            while node.follower is not None and (node.follower.has_outgoing or (node.follower.next_due or self.now + 1) <= self.now):
                node.step(SteppedFollower.hand_over)
        while flights := self.open_flights():
            self.land(flights[0])
        for node in self.nodes:
            node.fold(1_000, 0)
        self.pass_time(0.3)
        clients.hear()


Act = Callable[[World], None]
WORK: Final[tuple[tuple[Act, float], ...]] = (
    (World.ask, 16),
    (World.ask_again, 5),
    (World.send, 24),
    (World.take, 22),
    (World.fold, 40),
    (World.tick, 3),
    (World.found, 2),
    (World.restart, 4),
    (World.look_at_end, 2),
)
FAULTS: Final[tuple[tuple[Act, float], ...]] = (
    (World.lose_acknowledgement, 3),
    (World.double, 2),
    (World.garbage, 2),
    (World.write_new_format, 0.5),
    (World.bad_control, 1),
    (World.revoke, 0.3),
    (World.change_rules, 0.5),
    (World.crash, 2),
    (World.close, 0.3),
    (World.fail_disk, 1),
    (World.cut, 2),
    (World.wait_long, 0.2),
    (World.move_clock, 1),
)
