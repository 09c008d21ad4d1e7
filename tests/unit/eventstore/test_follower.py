"""A follower step by step, without its threads: what it must do at moments that a clock would rarely bring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from services.eventstore import frame
from services.eventstore.port import Accepted, Append, Malformed, Result
from services.runtime.errors import Unavailable
from tests.support.appends import an_append, an_event, an_id
from tests.support.newer_rules import NEW_PROGRAM
from tests.support.simulated_log import SimulatedLog
from tests.support.simulated_node import COMMITTED, DEADLINE_SECONDS, DISK_FAILURES, Node, SteppedFollower
from tests.support.simulation_model import ROOT, Model


class Scene:
    """One node, its log, and a clock that moves when told."""

    def __init__(self, folder: Path) -> None:
        self.now = 0.0
        seen: Counter[str] = Counter()
        model = Model(seen)
        self.log = SimulatedLog(1, model.take)
        self.node = Node("node", folder, self.log, model, lambda: self.now, seen, NEW_PROGRAM)
        self.node.start()
        self.log.write(0, frame.encode_control(frame.Genesis(ROOT, 1, (1,)), an_id("genesis")))
        self.fold()

    @property
    def follower(self) -> SteppedFollower:
        assert self.node.follower is not None
        return self.node.follower

    def propose(self, append: Append) -> Future[Result]:
        return self.node.propose(ROOT, append.append_id, append)

    def send(self) -> None:
        while self.follower.has_outgoing or (self.follower.next_due or self.now + 1) <= self.now:
            self.follower.hand_over()

    def land(self) -> None:
        self.send()
        while self.log.flights:
            flight = self.log.flights.pop(0)
            self.log.write(flight.partition, flight.value)

    def fold(self) -> None:
        self.node.fold(1_000, 0)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.follower.tick()


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    one = Scene(tmp_path)
    yield one
    one.node.crash()


FIRST = an_append("1", an_event("incident-a", 1), shard=ROOT)


def test_what_is_asked_again_after_its_deadline_is_sent_again_although_nobody_was_forgotten_yet(scene: Scene) -> None:
    first = scene.propose(FIRST)
    scene.land()
    scene.node.disk_fails = COMMITTED
    scene.fold()
    scene.fold()
    assert not first.done()
    scene.wait(DEADLINE_SECONDS + 0.1)
    assert isinstance(first.exception(), Unavailable)
    again = scene.propose(FIRST)
    scene.land()
    scene.fold()
    assert isinstance(again.result(0), Accepted)


def test_what_is_asked_twice_at_once_is_sent_once(scene: Scene) -> None:
    asked = [scene.propose(FIRST), scene.propose(FIRST)]
    scene.send()
    assert len(scene.log.flights) == 1
    scene.land()
    scene.fold()
    results = [future.result(0) for future in asked]
    assert [isinstance(result, Accepted) and result.duplicate for result in results] == [False, True]


def test_what_comes_when_nothing_is_folded_any_more_is_answered_at_once(scene: Scene) -> None:
    scene.follower.end()
    assert isinstance(scene.propose(FIRST).exception(0), Unavailable)


@pytest.mark.parametrize("failure", DISK_FAILURES)
def test_a_batch_that_the_disk_did_not_take_is_read_again_also_while_closing(scene: Scene, failure: str) -> None:
    futures = [scene.propose(an_append(str(at), an_event("incident-a", at), shard=ROOT)) for at in (1, 2)]
    scene.follower.begin_close()
    scene.send()
    for flight in list(scene.log.flights):
        scene.log.write(flight.partition, flight.value)
        scene.node.disk_fails = failure
        scene.fold()
    scene.fold()
    if failure == COMMITTED:
        scene.wait(DEADLINE_SECONDS + 0.1)
        assert [type(future.exception(0)) for future in futures] == [Unavailable, Unavailable]
    else:
        assert [type(future.result(0)) for future in futures] == [Accepted, Accepted]


def test_a_control_that_cannot_be_written_is_malformed_and_stops_no_sender(scene: Scene) -> None:
    control = scene.node.propose(ROOT, an_id("control"), frame.KeyRevoked("\ud800"))
    assert isinstance(control.result(0), Malformed)
    future = scene.propose(FIRST)
    scene.land()
    scene.fold()
    assert isinstance(future.result(0), Accepted)


def test_what_waits_to_be_sent_again_is_not_sent_after_the_last_deadline(scene: Scene) -> None:
    scene.propose(FIRST)
    scene.send()
    scene.log.flights.pop().failed(TimeoutError())
    scene.wait(DEADLINE_SECONDS + 0.1)
    scene.send()
    assert scene.log.flights == []


def test_a_record_whose_outcome_is_unknown_is_sent_again_while_anyone_waits(scene: Scene) -> None:
    future = scene.propose(FIRST)
    scene.send()
    for _ in range(3):
        flight = scene.log.flights.pop()
        flight.failed(TimeoutError())
        scene.send()
        assert scene.log.flights == []
        scene.wait(0.3)
        scene.send()
        assert [each.value for each in scene.log.flights] == [flight.value]
    scene.wait(DEADLINE_SECONDS)
    assert isinstance(future.exception(0), Unavailable)
    scene.log.flights.pop().failed(TimeoutError())
    scene.fold()
    scene.wait(1.0)
    scene.fold()
    scene.send()
    assert scene.log.flights == []
