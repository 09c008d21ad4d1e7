"""The hub and its clients killed at random moments under load: what was acknowledged is on the log exactly once, for ever.

The hub rests on its own files, or on Kafka with its views and data keys in PostgreSQL.
``HUBTEST_KILLS`` says how often the hub is killed (50), ``HUBTEST_SEED`` repeats a run's choices; the seed is printed.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import chain, product
from pathlib import Path
from random import Random, SystemRandom
from typing import Any, Final

import grpc
import pytest

from safeguarding.hub.client.client import receipt_or_raise
from safeguarding.hub.client.drafts import Draft
from safeguarding.hub.client.identifiers import new_case_id
from safeguarding.hub.client.outcomes import Receipt, Refusal, Unresolved
from safeguarding.hub.client.routes import query_metadata
from safeguarding.hub.v1 import chronology_pb2
from safeguarding.hub.v1.chronology_pb2_grpc import ChronologyServiceStub
from safeguarding.hub.v1.common_pb2 import PURPOSE_RAPID_REVIEW
from services.bootstrap import DRAIN_MAX_SECONDS, VIEWS
from services.cli.failures import Exit
from services.cli.stores import opened_keys, opened_log, opened_views
from services.cli.verify import verdict_of
from services.eventstore.codec import to_message
from services.eventstore.opening import Opener
from services.projector.verification import Verdict
from services.runtime.settings import Settings, load_settings
from tests.support.builders import BUSINESS_UNIT, CHILD, COUNCIL, ICB, POLICE, SHARD, a_notification
from tests.support.history import Library, Log, LogReader
from tests.support.history_checks import false_receipts, violations
from tests.support.hub import running_hub
from tests.support.killing import (
    START_MAX_SECONDS,
    Client,
    Process,
    Processes,
    asked_again,
    called,
    free_port,
    wait_for,
    wait_until_serving,
)
from tests.support.kinds_of_hub import KINDS, settings_of
from tests.support.load import Plan

KILLS: Final = int(os.environ.get("HUBTEST_KILLS", "50"))
SEED: Final = int(os.environ.get("HUBTEST_SEED", "") or SystemRandom().randrange(1_000_000))
CLIENTS: Final = (COUNCIL, ICB, POLICE, BUSINESS_UNIT)
CASES: Final = 40
"""Many, so that none becomes so long that a reading of it is more than a page."""
UNDER_LOAD_MAX_SECONDS: Final = 0.6
"""A hub that serves is killed at most this long after its first answer."""
STARTING_SHARE: Final = 0.15
"""Of so many kills the hub has not yet said that it serves."""
STARTING_MAX_SECONDS: Final = 2.0
CLIENT_SHARE: Final = 0.3
"""Beside so many kills of the hub, one of a client."""
ASKED_AGAIN_EACH_TIME: Final = 10
ASKED_AGAIN_AT_LAST: Final = 1_000
FULL_BYTES: Final = 4_096
"""No file of a hub on a full disk grows beyond this: neither the stores nor the file that its log lines go to."""
FULL_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Founded:
    """A hub's home with agencies and cases, which nobody serves; ``compiled``: where this run's processes may keep compiled code."""

    home: Path
    compiled: Path
    cases: tuple[str, ...]
    position: int


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Founded:
    """An embedded hub, founded once; each test works on a copy."""
    return found(tmp_path_factory.mktemp("founded"))


def found(folder: Path, **settings: Any) -> Founded:
    """Found a hub, enrol the agencies and notify the cases."""
    home = folder / "home"
    cases = tuple(new_case_id() for _ in range(CASES))
    with running_hub(home, **settings) as hub:

        async def notify() -> int:
            async with hub.client(COUNCIL) as client:
                outcomes = await client.append_many([Draft(event=to_message(a_notification()), case_id=case_id) for case_id in cases])
                return max(receipt_or_raise(outcome).position for outcome in outcomes)

        position = asyncio.run(notify())
    (home / "hub.toml").write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items()))
    return Founded(home, folder / "compiled", cases, position)


def look(settings: Settings, reader: LogReader) -> Log:
    """Read on in the log of a hub, from beside it, and let go of its files again."""
    with opened_log(settings) as store, opened_keys(settings, store) as keys:
        return reader.read(store, Opener(keys))


def verified(settings: Settings) -> Verdict:
    """Verify a hub that nobody talks to, as ``hub verify`` does, once its views have come to the end of the log."""
    with opened_log(settings) as store, opened_views(settings, store) as views:
        for view, shard in product(VIEWS, store.shards()):
            head = store.shard(shard).head().position
            assert views.wait_for(view.name, shard, head, START_MAX_SECONDS), f"{view.name} did not come to {head} of {shard}"
    return verdict_of(settings)


@dataclass(slots=True)
class Scene:
    """A hub's home, its port, its clients, and what these have written down."""

    settings: Settings
    port: int
    processes: Processes
    clients: tuple[Client, ...]
    library: Library
    reader: LogReader = field(default_factory=LogReader)
    looked_at_ns: int = 0

    @property
    def kills(self) -> int:
        """How often the hub is killed: less often on Kafka, whose client takes longer to start."""
        return KILLS // 3 if self.settings.kafka_bootstrap else KILLS

    @property
    def target(self) -> str:
        """Where clients knock."""
        return f"localhost:{self.port}"

    def serve(self) -> Process:
        """Start the hub; it does not serve yet."""
        return self.processes.serve(self.settings.home, self.port)

    def answers(self) -> int:
        """Return how many attempts have had an answer so far."""
        return len(self.library.read().history.answers)

    def wait_for_answers(self, more: int = 1) -> None:
        """Wait until the clients have had so many answers more."""
        before = self.answers()
        wait_for(lambda: self._all_live() and self.answers() >= before + more, f"{more} answers more than {before}")

    def start_clients(self, *, hasty: bool = True) -> None:
        """Start every client."""
        for client in self.clients:
            client.plan = replace(client.plan, hasty=hasty)
            client.start()

    def heard(self) -> set[str]:
        """Return the marks of all attempts that a client holds a receipt of."""
        return set(self.library.read().history.receipts())

    def wait_until_heard(self, marks: set[str]) -> None:
        """Wait until clients hold receipts of all these attempts; they need no hub for it."""
        wait_for(lambda: self._all_live() and self.heard() >= marks, "every client has heard of all that was accepted", 10.0)

    def given_up(self) -> str:
        """Return why clients gave up waiting, all reasons in one text."""
        answers = chain.from_iterable(self.library.read().history.answers.values())
        return "\n".join(answer.outcome.reason for answer in answers if isinstance(answer.outcome, Unresolved))

    def _all_live(self) -> bool:
        """Tell that every client lives; one that has ended of itself fails the test with its words."""
        for client in self.clients:
            client.check_lives()
        return True

    def check_now(self, random: Random) -> None:
        """Hold the receipts that came since the last look against the log as it is now, and ask for some of one client's anew."""
        since_ns, self.looked_at_ns = self.looked_at_ns, time.monotonic_ns()
        history = self.library.read().history
        log = look(self.settings, self.reader)
        assert false_receipts(history, log, since_ns) == []
        self.ask_again(random, ASKED_AGAIN_EACH_TIME, random.choice(CLIENTS))

    def ask_again(self, random: Random, most: int, *agencies: str) -> None:
        """Ask for some receipts of these agencies anew: they are byte for byte what was given."""
        held = {event_id: one for event_id, one in self.library.history.held().items() if one[0] in agencies}
        some = random.sample(sorted(held), min(most, len(held)))
        assert asked_again(self.settings, self.target, {event_id: held[event_id] for event_id in some}) == []

    def end_clients(self) -> None:
        """Have every client come to its end with nothing undecided."""
        assert [client.end() for client in self.clients] == [0] * len(self.clients)
        assert self.library.read().history.finished == {client.plan.client for client in self.clients}

    def check_at_last(self) -> None:
        """Hold everything against the whole log, read anew, and verify the hub; nobody talks to it now."""
        seen = look(self.settings, self.reader)
        log = look(self.settings, LogReader())
        assert seen == log, "what was on the log once was not there at last"
        assert violations(self.library.history, [log]) == []
        verdict = verified(self.settings)
        assert verdict.passed, verdict
        assert [view.parked for view in verdict.views] == [0] * len(verdict.views)


@pytest.fixture(params=KINDS)
def scene(request: pytest.FixtureRequest, founded: Founded, tmp_path: Path) -> Iterator[Scene]:
    """A founded hub of the test's own, of either kind, with clients that are not started yet."""
    print(f"\nHUBTEST_SEED={SEED} HUBTEST_KILLS={KILLS}")  # noqa: T201  # a failing run shows how to repeat it
    home = tmp_path / "home"
    with settings_of(request.param, request) as shared, Processes(tmp_path, founded.compiled) as processes:
        if shared:
            founded = found(tmp_path, **shared)  # Of a hub on these a copy would be a second node of it.
        else:
            shutil.copytree(founded.home, home)
        settings = load_settings(home=home, metrics_listen="")
        port = free_port(Random())
        diaries = tmp_path / "diaries"
        diaries.mkdir()
        plans = [a_plan(settings, agency_id, founded, port, diaries) for agency_id in CLIENTS]
        clients = tuple(Client(processes, plan) for plan in plans)
        yield Scene(settings, port, processes, clients, Library(diaries))


def a_plan(settings: Settings, agency_id: str, founded: Founded, port: int, diaries: Path) -> Plan:
    """What a client will do in its first run."""
    return Plan(
        target=f"localhost:{port}",
        folder=str(settings.agency_folder(agency_id)),
        diary=str(diaries / "none"),
        agency_id=agency_id,
        shard=SHARD,
        log_origin=settings.log_origin,
        run=0,
        seed=SEED,
        cases=founded.cases[1:],
        contended=founded.cases[0],
        position=founded.position,
        child_id=CHILD,
        lives_seconds=60.0 + 10.0 * KILLS,
    )


@pytest.mark.timeout(120 + 20 * KILLS)
def test_however_hub_and_clients_are_killed_what_was_acknowledged_is_on_the_log_once(scene: Scene) -> None:
    random = Random(SEED)
    began = time.monotonic()
    scene.start_clients()
    starting = 0
    for _ in range(scene.kills):
        hub = scene.serve()
        if random.random() < STARTING_SHARE:
            starting += 1
            time.sleep(random.uniform(0.0, STARTING_MAX_SECONDS))
        else:
            wait_until_serving(hub)
            scene.check_now(random)
            scene.wait_for_answers()
            time.sleep(random.uniform(0.0, UNDER_LOAD_MAX_SECONDS))
        if random.random() < CLIENT_SHARE:
            client = random.choice(scene.clients)
            client.kill()
            client.start()
            time.sleep(random.choice((0.0, random.uniform(0.0, UNDER_LOAD_MAX_SECONDS))))
        assert hub.is_alive(), hub.words()
        hub.kill()
    hub = scene.serve()
    wait_until_serving(hub)
    scene.end_clients()
    scene.ask_again(random, ASKED_AGAIN_AT_LAST, *CLIENTS)
    scene.check_at_last()
    report(scene, starting, time.monotonic() - began)
    assert {Receipt, Refusal} <= outcomes_of(scene).keys()


def outcomes_of(scene: Scene) -> Counter[type]:
    """How many answers of each kind the clients had."""
    return Counter(type(answer.outcome) for answers in scene.library.history.answers.values() for answer in answers)


def report(scene: Scene, starting: int, seconds: float) -> None:
    """Say what the run was made of."""
    counted = outcomes_of(scene)
    history = scene.library.history
    events = sum(map(len, scene.reader.log.values()))
    runs = sum(client.plan.run for client in scene.clients)
    unheard = len(history.attempts) - len(history.answers)
    kills = f"{scene.kills} kills of the hub ({starting} while it started) and {runs - len(scene.clients)} of clients in {seconds:.0f} s"
    known = f"{events} events, {len(history.held())} receipts held, {counted[Refusal]} refusals, {counted[Unresolved]} answers given up"
    print(f"{kills}: {known}, {unheard} attempts never heard of, {len(history.readings)} readings")  # noqa: T201  # figures of the result


@pytest.mark.timeout(180)
def test_a_hub_told_to_end_under_load_answers_what_it_accepted_and_ends_with_0(scene: Scene) -> None:
    scene.start_clients(hasty=False)
    hub = scene.serve()
    wait_until_serving(hub)
    scene.wait_for_answers(100)
    request = chronology_pb2.WatchChronologyRequest(shard=SHARD, case_id=scene.clients[0].plan.contended)
    metadata = query_metadata(user="watcher", role="social-worker", purpose=PURPOSE_RAPID_REVIEW)
    with called(scene.settings, scene.target, ICB) as channel:
        watch = ChronologyServiceStub(channel).WatchChronology(request, metadata=metadata)
        next(watch)
        began = time.monotonic()
        hub.tell_to_end()
        with pytest.raises(grpc.RpcError, match="the hub is stopping; call again"):
            list(watch)
        assert hub.ended() == 0, hub.words()
    assert time.monotonic() - began < DRAIN_MAX_SECONDS / 2, "streams that go on for ever kept it from ending"
    log = look(scene.settings, scene.reader)
    accepted = {fact.mark for facts in log.values() for fact in facts if fact.mark}
    scene.wait_until_heard(accepted)


@pytest.mark.timeout(180)
def test_a_second_hub_on_the_same_home_is_refused_and_the_first_goes_on(scene: Scene) -> None:
    hub = scene.serve()
    wait_until_serving(hub)
    second = scene.processes.serve(scene.settings.home, free_port(Random()))
    assert second.ended() == Exit.UNAVAILABLE
    assert f"process {hub.pid} has this event store open for writing" in second.words()
    assert "another hub may be serving this home; there can be one" in second.words()
    scene.start_clients()
    scene.wait_for_answers(20)
    scene.end_clients()
    scene.check_at_last()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the files of another process")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("scene", ["embedded"], indirect=True)  # With Kafka the disk holds a copy: what it does not take is folded later.
def test_while_the_disk_takes_no_more_nothing_is_acknowledged_and_then_all_goes_on(scene: Scene) -> None:
    scene.start_clients()
    hub = scene.serve()
    wait_until_serving(hub)
    scene.wait_for_answers(50)
    _, most = resource.prlimit(hub.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(hub.pid, resource.RLIMIT_FSIZE, (FULL_BYTES, most))
    wait_for(lambda: "disk I/O error" in scene.given_up(), "a client is told why it must wait")
    time.sleep(FULL_SECONDS / 2)
    acknowledged = scene.heard()
    time.sleep(FULL_SECONDS)
    assert scene.heard() == acknowledged
    assert hub.is_alive(), hub.words()
    resource.prlimit(hub.pid, resource.RLIMIT_FSIZE, (most, most))
    scene.wait_for_answers(50)
    scene.end_clients()
    scene.check_at_last()
