"""Several projectors of one database: one works, the others stand by and take over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from projections.chronology.projection import CHRONOLOGY
from projections.kernel import postgresql
from projections.kernel.database import Move, ViewDatabase
from projections.registry.projection import REGISTRY
from services.eventstore.local import LocalEventStore
from services.eventstore.opening import Opener
from services.projector import projector as projector_module
from services.projector.projector import Projector
from tests.support.builders import CASE, a_notification, a_partnership_established, a_share
from tests.support.eventually import eventually
from tests.support.postgresql import end_tenures
from tests.support.sealed import KeysInMemory, Writer

WAIT_SECONDS = 10.0
NORTH = "northmoor"


@dataclass
class Nodes:
    """A log, and nodes that share the database of its views."""

    url: str
    store: LocalEventStore
    keys: KeysInMemory
    writer: Writer
    projectors: list[Projector] = field(default_factory=list)
    databases: list[ViewDatabase] = field(default_factory=list)

    def start(self) -> Projector:
        database = ViewDatabase(self.url, [CHRONOLOGY, REGISTRY])
        projector = Projector(self.store, Opener(self.keys), database, lambda: 2_000_000_000_000)
        self.databases.append(database)
        self.projectors.append(projector)
        projector.start()
        return projector

    def share(self) -> int:
        return self.writer.write(NORTH, (f"sharing-{CASE}", a_share()))


@pytest.fixture
def nodes(tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nodes]:
    monkeypatch.setattr(projector_module, "CLAIM_SECONDS", 0.05)
    store, keys = LocalEventStore(tmp_path / "events.sqlite"), KeysInMemory()
    built = Nodes(postgresql_url, store, keys, Writer(store, keys))
    built.writer.write(NORTH, (f"partnership-{NORTH}", a_partnership_established()), (f"incident-{CASE}", a_notification()))
    yield built
    for projector in built.projectors:
        assert projector.stop(WAIT_SECONDS)
    for database in built.databases:
        database.close()
    store.close()


def test_one_works_and_the_others_see_what_it_wrote(nodes: Nodes) -> None:
    first, second = nodes.start(), nodes.start()
    heard, moved = list[Move](), threading.Event()

    def hear(move: Move) -> None:
        heard.append(move)
        moved.set()

    assert first.wait_for("chronology", NORTH, 2, WAIT_SECONDS)
    assert second.wait_for("chronology", NORTH, 2, WAIT_SECONDS)
    nodes.databases[1].listen(hear)
    moved.clear()
    position = nodes.share()
    for one in (first, second):
        assert one.wait_for("chronology", NORTH, position, WAIT_SECONDS)
    assert (first.works, second.works) == (True, False)
    assert moved.wait(WAIT_SECONDS), "who watches on the other node heard nothing"
    assert {move.position for move in heard if move.shard is not None} <= {1, 2, position}
    assert {lag.positions for lag in second.lag()} == {0}


def test_one_that_stands_by_takes_over_when_the_first_ends(nodes: Nodes) -> None:
    first, second, third = nodes.start(), nodes.start(), nodes.start()
    assert first.wait_for("chronology", NORTH, 2, WAIT_SECONDS)
    assert first.stop(WAIT_SECONDS)
    position = nodes.share()
    assert second.wait_for("chronology", NORTH, position, WAIT_SECONDS)
    assert eventually(lambda: second.works or third.works)
    assert not (second.works and third.works)
    live = nodes.databases[1].live("chronology")
    assert live is not None
    assert (live.generation, nodes.databases[1].positions("chronology", 1)) == (1, {NORTH: position}), "nothing was built anew"


def test_a_build_that_the_first_did_not_finish_is_finished_by_the_next(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = threading.Event()

    def never(self: Projector) -> None:
        self._database.begin_build("chronology")
        begun.set()
        self._stopping.wait()

    with monkeypatch.context() as patched:
        patched.setattr(Projector, "_build", never)
        first = nodes.start()
        assert begun.wait(WAIT_SECONDS)
    second = nodes.start()
    assert not second.works
    assert first.stop(WAIT_SECONDS)
    assert second.wait_for("chronology", NORTH, 2, WAIT_SECONDS)
    assert second.wait_for("registry", NORTH, 2, WAIT_SECONDS)


def test_when_its_session_is_lost_another_may_take_over_and_nothing_is_written_twice(nodes: Nodes) -> None:
    first, second = nodes.start(), nodes.start()
    assert first.wait_for("chronology", NORTH, 2, WAIT_SECONDS)
    for _ in range(5):
        end_tenures(nodes.url)
        position = nodes.share()
        for one in (first, second):
            assert one.wait_for("chronology", NORTH, position, WAIT_SECONDS)
    assert eventually(lambda: first.works is not second.works)
    database = nodes.databases[1]
    live = database.live("chronology")
    assert live is not None
    digest = database.digest("chronology", live.generation)
    second.rebuild(["chronology"], lambda _: None)
    again = database.live("chronology")
    assert again is not None
    assert (database.digest("chronology", again.generation), again.generation) == (digest, live.generation + 1)
    assert database.parked("chronology", again.generation) == ()


def test_one_that_hangs_is_no_longer_waited_for(nodes: Nodes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "TENURE_TIMEOUT_MS", 300)
    first = nodes.start()
    assert first.wait_for("chronology", NORTH, 2, WAIT_SECONDS)
    hung, goes_on, looks = threading.Event(), threading.Event(), first._is_at_work

    def hang() -> bool:
        hung.set()
        goes_on.wait()
        return looks()

    monkeypatch.setattr(first, "_is_at_work", hang)
    assert hung.wait(WAIT_SECONDS)
    second = nodes.start()
    try:
        assert eventually(lambda: second.works), "the lock was never taken from it"
        position = nodes.share()
        assert second.wait_for("chronology", NORTH, position, WAIT_SECONDS)
    finally:
        goes_on.set()
    assert eventually(lambda: first.works is not second.works)
    position = nodes.share()
    for one in (first, second):
        assert one.wait_for("chronology", NORTH, position, WAIT_SECONDS)
