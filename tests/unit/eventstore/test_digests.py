"""Nodes that exchange digests, step by step on one log: who goes on, who folds anew, and who stops."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.eventstore import digests, frame
from services.eventstore.digests import PUBLISH_SECONDS, SETTLE_SECONDS
from services.eventstore.fold import PROGRAM, Program
from services.eventstore.follower import Member
from services.eventstore.refold import Differs, Refold
from services.eventstore.state import State
from services.eventstore.tables import FOLLOWS_A_LOG
from services.runtime.errors import HubError
from tests.support.appends import an_append, an_event, an_id
from tests.support.newer_rules import RETIRED, judge_v2
from tests.support.simulated_log import NodeLink, SimulatedLog
from tests.support.simulated_node import SteppedFollower

ROOT = "national"
MARK_POSITIONS = 4
WRONG = Program(judges={1: judge_v2}, formats=PROGRAM.formats)
"""It takes for version 1 of the rules what they are not."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "MARK_POSITIONS", MARK_POSITIONS)


@dataclass
class Machine:
    """One node: its file and its program, and the follower that runs, if one does."""

    name: str
    path: Path
    program: Program
    follower: SteppedFollower
    state: State
    compared: Counter[bool]
    link: NodeLink

    @property
    def failure(self) -> HubError | None:
        return self.follower.failure

    @property
    def position(self) -> int:
        standing = self.state.committed(ROOT)
        return 0 if standing is None else standing.position


@dataclass
class Scene:
    """A log of one partition, the nodes on it, and a clock that moves when told."""

    folder: Path
    now: float = 0.0
    appended: int = 0
    machines: dict[str, Machine] = field(default_factory=dict)
    log: SimulatedLog = field(default_factory=lambda: SimulatedLog(1, lambda _: None))

    def clock(self) -> float:
        """Tell the time; as with a real clock no two readings are the same."""
        self.now += 1e-6
        return self.now

    def open(self, name: str, program: Program = PROGRAM) -> Machine:
        """Begin a node's process, as a store's opening does."""
        path = self.folder / f"{name}.sqlite"
        Refold(path).begin()
        state = State(path, synchronous="OFF", kind=FOLLOWS_A_LOG, mark_positions=MARK_POSITIONS)
        compared: Counter[bool] = Counter()

        def count(is_same: bool) -> None:
            compared[is_same] += 1

        member, link = Member(node_id=name, compared=count), NodeLink(self.log)
        follower = SteppedFollower(state, path, link, ROOT, lambda _: None, 20.0, member=member, program=program, now=self.clock)
        follower.fold()
        follower.take_part()
        self.machines[name] = Machine(name, path, program, follower, state, compared, link)
        return self.machines[name]

    def close(self, name: str) -> Path:
        """End a node's process."""
        machine = self.machines.pop(name)
        machine.state.close()
        return machine.path

    def again(self, name: str) -> Machine:
        """End it and begin it anew."""
        program = self.machines[name].program
        self.close(name)
        return self.open(name, program)

    def append(self, count: int, kind: str = "incident.referred.v1") -> None:
        """Have events come to the log, in appends of one."""
        for _ in range(count):
            self.appended += 1
            event = replace(an_event(f"incident-{self.appended}", 1), type=kind)
            self.log.write(0, frame.encode_append(an_append(str(self.appended), event, shard=ROOT)))

    def run(self, seconds: float) -> None:
        """Let time pass, second by second: what nodes write comes to the log, and each folds it."""
        for _ in range(int(seconds)):
            self.now += 1.0
            for machine in self.machines.values():
                if machine.failure is None:
                    machine.follower.tick()
                    machine.follower.fold()
                    while machine.follower.has_outgoing:
                        machine.follower.hand_over()
            while self.log.flights:
                flight = self.log.flights.pop(0)
                self.log.write(flight.partition, flight.value)

    def digests(self) -> list[tuple[str, int]]:
        """Return which node published to which position, in order."""
        read = [frame.decode(record.value) for record in self.log.partitions[0]]
        controls = [frame.control_of(one) for one in read if isinstance(one, frame.Frame) and one.kind is frame.Kind.DIGEST]
        return [(one.node_id, one.position) for one in controls if isinstance(one, frame.DigestPublished)]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    one = Scene(tmp_path)
    one.log.write(0, frame.encode_control(frame.Genesis(ROOT, 1, (1,)), an_id("genesis")))
    yield one
    for name in list(one.machines):
        one.close(name)


def change(path: Path, statement: str) -> None:
    """Change a node's file while it is down."""
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount == 1


def judged(scene: Scene) -> None:
    scene.run(PUBLISH_SECONDS + SETTLE_SECONDS + 2)


def refolded(scene: Scene, name: str) -> Machine:
    """See that a node asks to be folded anew, and do so."""
    failure = scene.machines[name].failure
    assert isinstance(failure, Differs)
    assert failure.refolds, failure
    return scene.again(name)


def test_nodes_say_what_they_hold_as_a_shard_grows_and_write_nothing_when_it_does_not(scene: Scene) -> None:
    nodes = [scene.open(name) for name in ("a", "b", "c")]
    scene.append(MARK_POSITIONS - 1)
    scene.run(3 * PUBLISH_SECONDS)
    assert scene.digests() == []
    scene.append(1)
    scene.run(3 * PUBLISH_SECONDS)
    assert scene.digests() == [("a", 4), ("b", 4), ("c", 4)]
    assert [node.compared for node in nodes] == [{True: 2}] * 3
    length = scene.log.length(0)
    scene.run(10 * PUBLISH_SECONDS)
    assert scene.log.length(0) == length


def test_however_fast_a_shard_grows_a_node_publishes_now_and_then(scene: Scene) -> None:
    scene.open("a")
    for _ in range(int(3 * PUBLISH_SECONDS)):
        scene.append(MARK_POSITIONS)
        scene.run(1)
    assert len(scene.digests()) == 3


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE event SET state = x'00' WHERE place & 0xff = 2",
        "UPDATE event SET recorded_at = recorded_at + 1 WHERE place & 0xff = 9",
        "UPDATE event SET recorded_at = -5 WHERE place & 0xff = 9",
        "UPDATE event SET type = CAST(x'ff' AS TEXT) WHERE place & 0xff = 3",
        "DELETE FROM event WHERE place & 0xff = 5",
        "UPDATE mark SET digest = zeroblob(32) WHERE position = 8",
        "UPDATE shard SET digest = zeroblob(32)",
    ],
)
def test_a_node_whose_file_was_changed_notices_folds_anew_and_goes_on(scene: Scene, damage: str) -> None:
    for name in ("a", "b"):
        scene.open(name)
    scene.append(10)
    scene.run(PUBLISH_SECONDS)
    change(scene.close("b"), damage)
    machine = scene.open("b")
    assert machine.failure is None, "the file opens as if nothing were wrong"
    scene.append(MARK_POSITIONS)
    judged(scene)
    machine = refolded(scene, "b")
    assert machine.path.with_name("b.sqlite.differs").exists(), "what was wrong is kept"
    note = Refold(machine.path).cause
    assert note is not None
    assert note.is_done
    judged(scene)
    scene.append(MARK_POSITIONS)
    judged(scene)
    assert [each.failure for each in scene.machines.values()] == [None, None]
    assert len({each.state.committed(ROOT) for each in scene.machines.values()}) == 1
    assert Refold(machine.path).cause is None, "another node agrees: a later damage is mended again"


@pytest.mark.parametrize(
    ("events", "changed"),
    [
        pytest.param(10, "place & 0xff = 1", id="before a mark"),
        pytest.param(2 * MARK_POSITIONS + 1, "place & 0xff = 9", id="behind the last mark"),
        pytest.param(MARK_POSITIONS - 3, "place & 0xff = 1", id="of a shard too small for a mark"),
    ],
)
def test_rows_that_were_right_when_they_were_written_are_read_again(scene: Scene, events: int, changed: str) -> None:
    """Nobody else is there to compare with, and a shard may not grow any more."""
    scene.open("a")
    scene.append(events)
    scene.run(PUBLISH_SECONDS)
    change(scene.close("a"), f"UPDATE event SET state = x'00' WHERE {changed}")  # noqa: S608  words of ours
    scene.open("a")
    scene.run(10)
    refolded(scene, "a")
    scene.run(10)
    assert scene.machines["a"].failure is None
    assert Refold(scene.machines["a"].path).cause is None, "its own rows are right again: a later damage is mended again"


def test_what_could_not_be_published_is_said_again(scene: Scene) -> None:
    node = scene.open("a")
    scene.append(MARK_POSITIONS)
    node.link.sends = False
    scene.run(3 * PUBLISH_SECONDS)
    assert scene.digests() == []
    node.link.sends = True
    scene.run(3 * PUBLISH_SECONDS)
    assert scene.digests() == [("a", 4)]


def test_two_nodes_of_one_name_say_so(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Scene(tmp_path / "other", log=scene.log)
    node, twin = scene.open("a"), other.open("a")
    with capture_logs() as said:
        for _ in range(3):
            scene.append(MARK_POSITIONS)
            for _ in range(int(PUBLISH_SECONDS) + 1):
                scene.run(1)
                other.run(1)
    assert {(one["event"], one["node_id"]) for one in said} == {("eventstore.node_id_taken", "a")}
    assert len(said) >= 2, "each says so"
    assert (node.failure, twin.failure) == (None, None)
    other.close("a")


def test_a_node_does_not_take_its_own_digest_for_anothers_however_often_it_comes(scene: Scene) -> None:
    scene.open("a")
    scene.append(MARK_POSITIONS)
    with capture_logs() as said:
        scene.run(PUBLISH_SECONDS)
        scene.log.write(0, scene.log.partitions[0][-1].value)
        scene.run(PUBLISH_SECONDS)
    assert scene.digests() == [("a", 4), ("a", 4)]
    assert said == []


@pytest.mark.parametrize("wrong", ["a", "b", "c"])
def test_of_three_the_one_that_folds_otherwise_folds_anew_and_then_stops_while_the_others_go_on(scene: Scene, wrong: str) -> None:
    for name in ("a", "b", "c"):
        scene.open(name, WRONG if name == wrong else PROGRAM)
    scene.append(5)
    scene.append(1, RETIRED)
    scene.append(5)
    judged(scene)
    machine = refolded(scene, wrong)
    judged(scene)
    failure = machine.failure
    assert isinstance(failure, Differs)
    assert not failure.refolds
    assert "has another digest here than on" in str(failure)
    assert "so this node stops" in str(failure)
    assert [each.failure for name, each in scene.machines.items() if name != wrong] == [None, None]
    scene.append(MARK_POSITIONS)
    judged(scene)
    assert {each.position for name, each in scene.machines.items() if name != wrong} == {scene.appended}
    again = scene.again(wrong)
    assert again.failure is None
    judged(scene)
    assert isinstance(again.failure, Differs), "started once more, it is neither folded anew nor left alone"
    assert not again.failure.refolds


@pytest.mark.parametrize("wrong", ["a", "b"])
def test_of_two_that_differ_the_one_whose_name_sorts_last_yields(scene: Scene, wrong: str) -> None:
    """Nobody can tell which of them is wrong; that one goes on, and which, is known beforehand."""
    for name in ("a", "b"):
        scene.open(name, WRONG if name == wrong else PROGRAM)
    scene.append(5)
    scene.append(1, RETIRED)
    scene.append(5)
    judged(scene)
    refolded(scene, "b")
    judged(scene)
    assert scene.machines["a"].failure is None
    assert scene.machines["b"].failure is not None


def test_nodes_that_are_not_alone_go_on_and_do_not_answer_each_other_for_ever(scene: Scene) -> None:
    for name in ("a", "b", "c", "d"):
        scene.open(name, WRONG if name in "cd" else PROGRAM)
    scene.append(1, RETIRED)
    scene.append(5)
    judged(scene)
    length = scene.log.length(0)
    judged(scene)
    judged(scene)
    assert [each.failure for each in scene.machines.values()] == [None] * 4
    assert scene.log.length(0) == length


def test_a_node_that_claims_more_events_than_there_are_differs_and_stops_nobody(scene: Scene) -> None:
    nodes = [scene.open(name) for name in ("a", "b")]
    scene.append(5)
    scene.log.write(0, frame.encode_control(frame.DigestPublished("z", 1_000, bytes(32)), an_id("z")))
    judged(scene)
    assert [node.compared[False] for node in nodes] == [1, 1]
    assert [node.failure for node in nodes] == [None, None]


def test_what_was_published_before_a_node_began_is_not_held_against_it(scene: Scene) -> None:
    scene.append(5)
    for name in ("x", "y"):
        scene.log.write(0, frame.encode_control(frame.DigestPublished(name, 5, bytes(32)), an_id(name)))
    node = scene.open("a")
    judged(scene)
    assert (node.failure, node.compared) == (None, {})


def test_a_wrong_digest_is_taken_back_by_a_right_one(scene: Scene) -> None:
    scene.append(5)
    node = scene.open("b")
    right = node.state.committed(ROOT)
    assert right is not None
    for at, digest in enumerate((bytes(32), right.digest)):
        scene.log.write(0, frame.encode_control(frame.DigestPublished("a", 5, digest), an_id(str(at))))
        scene.run(2)
    judged(scene)
    assert (node.failure, node.compared) == (None, {False: 1, True: 1})


def test_a_node_that_was_stopped_hears_what_came_meanwhile_before_it_judges(scene: Scene) -> None:
    scene.append(5)
    node = scene.open("c")
    right = node.state.committed(ROOT)
    assert right is not None
    scene.log.write(0, frame.encode_control(frame.DigestPublished("a", 5, bytes(32)), an_id("a")))
    scene.run(2)
    scene.log.write(0, frame.encode_control(frame.DigestPublished("b", 5, right.digest), an_id("b")))
    scene.now += 2 * SETTLE_SECONDS
    judged(scene)
    assert (node.failure, node.compared) == (None, {False: 1, True: 1})


def test_a_note_that_cannot_be_written_is_said_and_nothing_is_folded_anew(scene: Scene) -> None:
    node = scene.open("b")
    scene.append(5)
    node.path.with_name(f".{node.path.name}.refold").mkdir()
    scene.log.write(0, frame.encode_control(frame.DigestPublished("a", 5, bytes(32)), an_id("a")))
    judged(scene)
    assert isinstance(node.failure, Differs)
    assert (node.failure.refolds, "that cannot be noted" in str(node.failure)) == (False, True)


def test_a_node_that_is_gone_counts_no_more(scene: Scene) -> None:
    node = scene.open("a")
    scene.append(5)
    for at, name in enumerate(("y", "z")):
        scene.log.write(0, frame.encode_control(frame.DigestPublished(name, 1_000, bytes(32)), an_id(str(at))))
        judged(scene)
        assert node.failure is None, "they are never two at a time"


def test_more_names_than_a_hub_has_nodes_are_not_listened_to(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "NODES_MAX", 2)
    scene.append(5)
    node = scene.open("a")
    for name in ("v", "w", "x"):
        scene.log.write(0, frame.encode_control(frame.DigestPublished(name, 1_000, bytes(32)), an_id(name)))
    scene.run(2)
    assert node.compared == {False: 2}


@pytest.mark.parametrize("text", ["", "{", '{"shard": 1}', "[]"])
def test_a_note_that_cannot_be_read_counts_as_one_that_was_acted_on(tmp_path: Path, text: str) -> None:
    (tmp_path / "events.sqlite.refold").write_text(text)
    (tmp_path / "events.sqlite").write_text("kept")
    note = Refold(tmp_path / "events.sqlite")
    note.begin()
    assert (tmp_path / "events.sqlite").read_text() == "kept"
    assert note.cause is not None
    assert note.cause.is_done


def test_a_process_that_died_while_it_put_the_state_aside_does_it_again(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.open("a")
    scene.append(10)
    scene.run(PUBLISH_SECONDS)
    change(path := scene.close("a"), "UPDATE event SET state = x'00' WHERE place & 0xff = 1")
    scene.open("a")
    scene.run(10)
    scene.close("a")
    write: Callable[..., None] = Refold._write
    monkeypatch.setattr(Refold, "_write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        Refold(path).begin()
    monkeypatch.setattr(Refold, "_write", write)
    assert not path.exists()
    assert scene.open("a").position == 10
    cause = Refold(path).cause
    assert cause is not None
    assert cause.is_done
