"""Several nodes fold one log that racing, replaying, crashing and lying producers write; the history checker looks on.

Hypothesis writes the history. After every folded record the checker asserts what event-store.md promises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from services.eventstore import frame
from services.eventstore.fold import PROGRAM, Decision, Program, fold_record
from services.eventstore.port import (
    Accepted,
    Append,
    Conflict,
    Expectation,
    Malformed,
    Mismatch,
    PartialDuplicate,
    Result,
    Revoked,
    Tracking,
)
from services.eventstore.state import State
from tests.support.appends import an_event, an_id, naive_digest
from tests.support.dict_state import DictState
from tests.support.newer_rules import NEW_PROGRAM, RETIRED

SHARDS: Final = ("north", "south")
STREAMS: Final = ("incident-a", "sharing-a", "incident-b")
KEYS: Final = ("key-1", "key-2")


@dataclass
class Node:
    """A process: what it folded, and what its disk held at earlier moments."""

    program: Program
    state: DictState = field(default_factory=DictState)
    disk: list[DictState] = field(default_factory=lambda: [DictState()])
    stopped_at: dict[str, int] = field(default_factory=dict)


@dataclass
class Sent:
    """One record that a producer made, to be sent again or taken apart later."""

    shard: str
    record: bytes
    append: Append


class World:
    """The logs, the nodes that fold them, and the checker's memory of everything ever answered."""

    def __init__(self) -> None:
        self.logs: dict[str, list[tuple[bytes, int]]] = {shard: [] for shard in SHARDS}
        self.nodes = [Node(NEW_PROGRAM), Node(NEW_PROGRAM), Node(PROGRAM)]
        self.sent: list[Sent] = []
        self.now_ms = 1_000_000
        self.digests: dict[tuple[str, int], bytes] = {}
        self.answers: dict[tuple[str, bytes], Result] = {}
        self.decided: dict[tuple[str, int], Result] = {}
        self.names = 0

    def fresh(self) -> str:
        self.names += 1
        return f"name-{self.names}"

    def write(self, shard: str, record: bytes) -> None:
        self.logs[shard].append((record, self.now_ms))

    def fold_one(self, number: int, shard: str) -> None:
        node = self.nodes[number]
        offset = node.state.shard_state(shard).next_offset
        if offset >= len(self.logs[shard]) or shard in node.stopped_at:
            return
        record, timestamp_ms = self.logs[shard][offset]
        before = node.state.copy()
        try:
            decision = fold_record(node.state, shard, offset, record, timestamp_ms, node.program)
        except frame.UnknownControl:
            assert node.program is PROGRAM, "the newer program stopped at a record of its own"
            assert frame.decode(record) == replace(_framed(record), kind=frame.Kind.RULES)
            node.stopped_at[shard] = offset
            assert node.state == before
            return
        assert node.state == before, "the fold itself changed something"
        node.state.apply(decision.effects)
        self.check(node, before, shard, offset, decision)

    def check(self, node: Node, before: DictState, shard: str, offset: int, decision: Decision) -> None:
        state, log = node.state.shard_state(shard), node.state.log(shard)
        assert state.next_offset == offset + 1
        assert [stored.position for stored in log] == list(range(1, state.position + 1)), "positions are dense"
        for stream in STREAMS:
            versions = [stored.version for stored in log if stored.stream == stream]
            assert versions == list(range(1, len(versions) + 1)), "versions are dense, one winner each"
            assert (node.state.stream_version(shard, stream) or 0) == len(versions)
        times = [stored.recorded_at_ms for stored in log]
        assert times == sorted(times), "recorded times never go back"
        assert len({stored.event_id for stored in log}) == len(log), "every event is there once"
        assert state.digest == naive_digest(shard, log)
        assert self.digests.setdefault((shard, state.position), state.digest) == state.digest, "all nodes agree"
        assert self.decided.setdefault((shard, offset), decision.result) == decision.result, "on every record"
        self.check_answer(node, before, shard, offset, decision.result)

    def check_answer(self, node: Node, before: DictState, shard: str, offset: int, result: Result) -> None:
        read = frame.decode(self.logs[shard][offset][0])
        if isinstance(read, Malformed):
            assert isinstance(result, Malformed)
            return
        if read.kind is not frame.Kind.APPEND or isinstance(result, Malformed):
            assert node.state.log(shard) == before.log(shard)
            return
        answer = replace(result, duplicate=False) if isinstance(result, Accepted) else result
        first = self.answers.setdefault((shard, read.append_id), answer)
        assert first == answer, "an append keeps its first result for ever"
        append = frame.append_of(read)
        if not isinstance(append, Append):
            assert before.outcome(shard, read.append_id) is not None, "only a known append id is answered without its body"
            append = Append(read.append_id, shard, "", (), ())
        if isinstance(result, Accepted):
            for placed in result.placed:
                stored = node.state.event_at(shard, placed.position)
                assert (stored.event_id, stored.stream, stored.version) == (placed.event_id, placed.stream, placed.version)
            if not result.duplicate and append.events:
                assert not {event.key_id for event in append.events} & {key for key in KEYS if before.is_revoked(shard, key)}
                for expectation in append.expectations:
                    assert (before.stream_version(shard, expectation.stream) or 0) == expectation.version
                    if expectation.event_id:
                        resting_on = before.event(shard, expectation.event_id)
                        assert resting_on is not None
                        assert (resting_on.stream, resting_on.version) == (expectation.stream, expectation.version)
                assert not [event for event in append.events if before.event(shard, event.event_id)]
        if not isinstance(result, Accepted) or result.duplicate:
            assert node.state.log(shard) == before.log(shard), "a void or repeated append adds nothing"

    def finish(self) -> None:
        for number in range(len(self.nodes)):
            for shard in SHARDS:
                for _ in range(len(self.logs[shard])):
                    self.fold_one(number, shard)
        first, second, old = self.nodes
        assert first.state == second.state, "after the same records two nodes know the same"
        if not old.stopped_at:
            assert old.state == first.state
        for (shard, append_id), answer in self.answers.items():
            sent = [each.append for each in self.sent if each.shard == shard and each.append.append_id == append_id]
            if isinstance(answer, Accepted):
                for placed in answer.placed:
                    assert first.state.positions[shard, placed.event_id] == placed.position, "acknowledged and still there"
            for event_id in {event.event_id for append in sent for event in append.events}:
                accepted = [
                    each
                    for (of_shard, _), each in self.answers.items()
                    if of_shard == shard and isinstance(each, Accepted) and event_id in {placed.event_id for placed in each.placed}
                ]
                assert ((shard, event_id) in first.state.positions) == bool(accepted), "there exactly when somebody was told so"


def _framed(record: bytes) -> frame.Frame:
    read = frame.decode(record)
    assert isinstance(read, frame.Frame)
    return read


Step = Callable[[World], None]
numbers = st.integers(0, 2)
shards = st.sampled_from(SHARDS)
picks = st.integers(0, 1_000)


@st.composite
def proposals(draw: st.DrawFn) -> Step:
    """A node proposes what its own, perhaps old, state admits; sometimes it also sends it twice, or expects too little."""
    number, shard, version = draw(numbers), draw(shards), draw(st.sampled_from((1, 1, 1, 2)))
    streams = draw(st.lists(st.sampled_from(STREAMS), min_size=1, max_size=3))
    also_read = draw(st.sets(st.sampled_from(STREAMS), max_size=1))
    key, copies, retired = draw(st.sampled_from(KEYS)), draw(st.sampled_from((0, 1, 1, 1, 2))), draw(st.sampled_from((False, False, True)))
    tracking = draw(st.none() | st.builds(Tracking, st.just("upstream"), st.integers(0, 4)))
    predicted = draw(st.one_of(st.none(), st.none(), st.none(), picks))

    def step(world: World) -> None:
        state = world.nodes[number].state
        versions = {stream: state.stream_version(shard, stream) or 0 for stream in sorted({*streams, *also_read})}
        expectations = tuple([Expectation(stream, at) for stream, at in versions.items()])
        if predicted is not None and world.sent:
            # It rests on an event that may not have been decided here yet, or may never be accepted.
            resting_on = world.sent[predicted % len(world.sent)].append.events[-1]
            versions[resting_on.stream] = resting_on.version
            at = {each.stream: each for each in expectations}
            at[resting_on.stream] = Expectation(resting_on.stream, resting_on.version, resting_on.event_id)
            expectations = tuple(at.values())
        events = []
        for stream in streams:
            versions[stream] += 1
            event = an_event(stream, versions[stream], name=world.fresh(), key_id=key)
            events.append(replace(event, type=RETIRED) if retired else event)
        append = Append(an_id(world.fresh()), shard, f"node-{number}", expectations, tuple(events), tracking)
        record = frame.encode_append(append, version)
        world.sent.append(Sent(shard, record, append))
        for _ in range(copies):
            world.write(shard, record)

    return step


@st.composite
def resends(draw: st.DrawFn) -> Step:
    """A record is sent again, byte for byte: a lost acknowledgement, or a client that went to another node."""
    pick = draw(picks)

    def step(world: World) -> None:
        if world.sent:
            sent = world.sent[pick % len(world.sent)]
            world.write(sent.shard, sent.record)

    return step


@st.composite
def rebatches(draw: st.DrawFn) -> Step:
    """Events of earlier appends come again in a new append, with a new event or under another header."""
    number, chosen, lie, add = draw(numbers), draw(st.lists(picks, min_size=1, max_size=3)), draw(st.booleans()), draw(st.booleans())
    lie = lie and not add

    def step(world: World) -> None:
        if not world.sent:
            return
        sent = [world.sent[pick % len(world.sent)] for pick in chosen]
        shard = sent[0].shard
        state = world.nodes[number].state
        versions = {stream: state.stream_version(shard, stream) or 0 for stream in STREAMS}
        events = {event.event_id: event for each in sent if each.shard == shard for event in each.append.events}
        if add:
            event = an_event(STREAMS[0], 1, name=world.fresh())
            events[event.event_id] = event
        again = []
        for event in events.values():
            versions[event.stream] += 1
            again.append(replace(event, version=versions[event.stream], header_hash=bytes(32) if lie else event.header_hash))
        expectations = tuple([Expectation(stream, state.stream_version(shard, stream) or 0) for stream in STREAMS])
        append = Append(an_id(world.fresh()), shard, f"node-{number}", expectations, tuple(again))
        record = frame.encode_append(append)
        world.sent.append(Sent(shard, record, append))
        world.write(shard, record)

    return step


@st.composite
def collisions(draw: st.DrawFn) -> Step:
    """Two different appends share an append id."""
    pick, stream = draw(picks), draw(st.sampled_from(STREAMS))

    def step(world: World) -> None:
        if not world.sent:
            return
        sent = world.sent[pick % len(world.sent)]
        version = (world.nodes[0].state.stream_version(sent.shard, stream) or 0) + 1
        event = an_event(stream, version, name=world.fresh())
        append = replace(sent.append, events=(event,), expectations=(Expectation(stream, version - 1),), tracking=None)
        record = frame.encode_append(append)
        world.sent.append(Sent(sent.shard, record, append))
        world.write(sent.shard, record)

    return step


@st.composite
def controls(draw: st.DrawFn) -> Step:
    """A control record, also one that comes twice, too early or to the wrong shard."""
    shard = draw(shards)
    control: frame.Control = draw(
        st.one_of(
            st.builds(frame.KeyRevoked, st.sampled_from((*KEYS, ""))),
            st.builds(frame.RulesChange, st.sampled_from((1, 2, 2, 4)), st.sampled_from(((1,), (1, 2), (2,), ()))),
            st.builds(frame.Genesis, shards, st.sampled_from((0, 1)), st.sampled_from(((1,), ()))),
        )
    )
    return lambda world: world.write(shard, frame.encode_control(control, an_id(world.fresh())))


@st.composite
def revocations(draw: st.DrawFn) -> Step:
    """A key is revoked, perhaps for the second time."""
    shard, key = draw(shards), draw(st.sampled_from(KEYS))
    return lambda world: world.write(shard, frame.encode_control(frame.KeyRevoked(key), an_id(world.fresh())))


@st.composite
def garbage(draw: st.DrawFn) -> Step:
    """Bytes that no program wrote, or that were damaged on the way, or that lie in the wrong partition."""
    shard, noise, pick, cut = draw(shards), draw(st.binary(max_size=60)), draw(picks), draw(picks)
    how = draw(st.sampled_from(("noise", "cut", "body", "misplaced", "empty")))

    def step(world: World) -> None:
        record = world.sent[pick % len(world.sent)].record if world.sent else b""
        if how == "noise" or not record:
            world.write(shard, noise)
        elif how == "cut":
            world.write(shard, record[: cut % len(record)])
        elif how == "body":
            world.write(shard, record[:6] + an_id(world.fresh()) + noise)
        elif how == "misplaced":
            world.write(shard, record[:6] + an_id(world.fresh()) + record[frame.FRAME_BYTES :])
        else:
            world.write(shard, record[:6] + an_id(world.fresh()))

    return step


@st.composite
def folds(draw: st.DrawFn) -> Step:
    """A node folds some records, and sometimes its disk keeps them."""
    number, shard, count, keep = draw(numbers), draw(shards), draw(st.integers(1, 6)), draw(st.booleans())

    def step(world: World) -> None:
        for _ in range(count):
            world.fold_one(number, shard)
        if keep:
            world.nodes[number].disk.append(world.nodes[number].state.copy())

    return step


@st.composite
def crashes(draw: st.DrawFn) -> Step:
    """A node comes back with what its disk, or an old backup of it, holds."""
    number, pick = draw(numbers), draw(picks)

    def step(world: World) -> None:
        node = world.nodes[number]
        node.state = node.disk[pick % len(node.disk)].copy()
        node.stopped_at.clear()

    return step


@st.composite
def clocks(draw: st.DrawFn) -> Step:
    """The broker's clock moves, also back by a day."""
    by_ms = draw(st.sampled_from((1, 50, -20, 86_400_000, -86_400_000)))

    def step(world: World) -> None:
        world.now_ms = max(0, world.now_ms + by_ms)

    return step


def genesis(world: World) -> None:
    for shard in SHARDS:
        world.write(shard, frame.encode_control(frame.Genesis(shard, 1, (1,)), an_id(world.fresh())))


steps = st.one_of(
    proposals(),
    proposals(),
    folds(),
    folds(),
    resends(),
    rebatches(),
    rebatches(),
    collisions(),
    controls(),
    revocations(),
    garbage(),
    crashes(),
    clocks(),
)
histories = st.tuples(st.lists(garbage(), max_size=2), st.lists(steps, min_size=5, max_size=60))


def lived(history: tuple[list[Step], list[Step]]) -> World:
    world = World()
    before, after = history
    for step in (*before, genesis, *after):
        step(world)
    world.finish()
    return world


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories)
def test_whatever_producers_do_all_nodes_agree_and_every_promise_holds(history: tuple[list[Step], list[Step]]) -> None:
    lived(history)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(histories, st.lists(st.tuples(st.integers(1, 8), st.sampled_from(("commit", "commit", "commit", "abandon", "reopen"))), min_size=1))
def test_sqlite_decides_and_remembers_what_dictionaries_do(history: tuple[list[Step], list[Step]], batches: list[tuple[int, str]]) -> None:
    world = lived(history)
    expected = world.nodes[0].state
    with TemporaryDirectory() as folder:
        path = Path(folder) / "events.sqlite"
        state = State(path, synchronous="OFF")
        turn = 0
        while any(state.shard_state(shard).next_offset < len(world.logs[shard]) for shard in SHARDS):
            size, end = batches[turn % len(batches)]
            turn += 1
            _fold_batch(world, state, size)
            # An abandoned batch comes again; it is let through in the end, or nothing would ever be done.
            if end == "abandon" and turn < 50:
                state.abandon()
                continue
            state.commit()
            if end == "reopen":
                state.close()
                state = State(path, synchronous="OFF")
        _assert_same(world, state, expected)
        state.close()


def _fold_batch(world: World, state: State, size: int) -> None:
    """Fold the next few records of both shards in one transaction, reading ahead as the sequencer does."""
    ahead: list[tuple[str, int, bytes, int]] = []
    for shard in SHARDS:
        offset = state.shard_state(shard).next_offset
        ahead += [(shard, offset + at, *entry) for at, entry in enumerate(world.logs[shard][offset : offset + size])]
    known = [frame.decode(record) for _, _, record, _ in ahead]
    appends = [frame.append_of(read) for read in known if isinstance(read, frame.Frame) and read.kind is frame.Kind.APPEND]
    state.begin([append for append in appends if isinstance(append, Append)])
    for shard, offset, record, timestamp_ms in ahead:
        decision = fold_record(state, shard, offset, record, timestamp_ms, NEW_PROGRAM)
        assert decision.result == world.decided[shard, offset]
        state.apply(decision.effects)


def _assert_same(world: World, state: State, expected: DictState) -> None:
    for shard in SHARDS:
        assert state.shard_state(shard) == expected.shard_state(shard)
        assert state.revoked_keys(shard) == {key: at for (of_shard, key), at in expected.revoked.items() if of_shard == shard}
        for stored in expected.log(shard):
            assert state.event_at(shard, stored.position) == stored
            assert state.event(shard, stored.event_id) == stored
        for stream in STREAMS:
            assert state.stream_version(shard, stream) == expected.stream_version(shard, stream)
        assert state.tracking_position(shard, "upstream") == expected.tracking_position(shard, "upstream")
    for sent in world.sent:
        assert state.outcome(sent.shard, sent.append.append_id) == expected.outcome(sent.shard, sent.append.append_id)


@pytest.mark.parametrize("kind", [Accepted, Conflict, PartialDuplicate, Mismatch, Revoked, Malformed])
def test_the_model_reaches_every_kind_of_result(kind: type[Result]) -> None:
    once = settings(max_examples=500, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    find(histories, lambda history: kind in {type(result) for result in lived(history).decided.values()}, settings=once)
