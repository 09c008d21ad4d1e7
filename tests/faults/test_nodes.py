"""What happens to nodes, and between them: an append is decided once, whoever proposes it, and each node tells the same."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from safeguarding.hub.client.outcomes import Refusal
from services.eventstore.frame import RulesChange
from services.eventstore.port import Accepted, Append, PartialDuplicate, Placed, Result
from tests.support.fault_clients import NodeGone, NodeUnavailable, an_append_of
from tests.support.fault_node import AFTER_FOLD, AFTER_SEND, BEFORE_SEND, STOPPED
from tests.support.fault_scene import DEADLINE_SECONDS, NodeProcess, Scene

pytestmark = pytest.mark.timeout(900)
Measured = Callable[[str, float], None]
REPLAYS = 10


@pytest.mark.faults
@pytest.mark.parametrize("point", [BEFORE_SEND, AFTER_SEND, AFTER_FOLD])
def test_a_node_killed_and_started_again(scene: Scene, measured: Measured, point: str) -> None:
    scene.start()
    scene.fault()
    scene.a.weaken(dies_at=point)
    assert scene.a.ended() == -signal.SIGKILL
    scene.wait_for_appends()
    scene.a.start()
    scene.a.wait_until_serving()
    scene.wait_for_appends_through("a")
    scene.check()
    measured(f"node killed {point}: through that node", scene.without_service("a"))


@pytest.mark.faults
def test_a_node_told_to_end_under_load_answers_what_it_accepted_and_ends_with_0(scene: Scene, measured: Measured) -> None:
    scene.start()
    scene.fault()
    counted = scene.a.drain()
    assert counted["answered"] == counted["accepted"] > 0
    scene.wait_for_appends()
    scene.a.start()
    scene.a.wait_until_serving()
    scene.wait_for_appends_through("a")
    scene.check()
    measured("node told to end, and started again: all nodes", scene.without_service())


@pytest.mark.faults
def test_two_nodes_that_fight_for_one_stream_have_one_winner_of_each_version(scene: Scene) -> None:
    scene.contended_share = 1.0
    scene.start()
    for _ in range(5):
        scene.wait_for_appends()
    scene.check()
    answers = [each.outcome for one in scene.library.history.answers.values() for each in one]
    refused = [outcome for outcome in answers if isinstance(outcome, Refusal) and outcome.expected_version is not None]
    assert refused, "nobody lost"
    assert all(outcome.current_version is not None and outcome.current_version != outcome.expected_version for outcome in refused)


def placed_by(results: list[Result]) -> tuple[Placed, ...]:
    """Return where the one result says that the events lie, accepted now or before."""
    (result,) = results
    assert isinstance(result, Accepted), result
    return result.placed


def both(scene: Scene, one: Append, other: Append) -> tuple[list[Result], list[Result]]:
    """Propose an append at each node at once, again until decided; return what each of them answered."""
    answers: tuple[list[Result], list[Result]] = ([], [])

    def ask(node: NodeProcess, append: Append, into: list[Result]) -> None:
        for _ in range(5):
            try:
                into.append(node.ask("append", append))
            except (NodeUnavailable, NodeGone):
                continue
            return

    threads = [threading.Thread(target=ask, args=each) for each in zip((scene.a, scene.b), (one, other), answers, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10 * DEADLINE_SECONDS)
    assert all(answers), "no decision"
    return answers


@pytest.mark.faults
def test_what_is_replayed_through_another_node_while_it_is_in_flight_is_accepted_once(scene: Scene) -> None:
    scene.start()
    caller = scene.caller()
    for number in range(REPLAYS):
        for proxy in scene.proxies.all:
            proxy.delay(to_server=scene.random.uniform(0.0, 0.2))
        stream, name = f"incident-replayed-{number}", f"{scene.seed} replayed {number}"
        first = an_append_of(stream, 0, name)
        caller.begin(first)
        # As a client that has lost its answer sends the same event again: its node may or may not know the append id.
        again = first if scene.random.random() < 0.5 else an_append_of(stream, 0, name, append_name=f"{name} again")
        (one,), (two,) = both(scene, first, again)
        assert isinstance(one, Accepted), one
        assert isinstance(two, Accepted), two
        assert one.placed == two.placed
        # New bytes of the state, since each node seals anew: the header decides what is the same event.
        sealed_anew = replace(
            first, append_id=bytes(reversed(first.append_id)), events=tuple([replace(event, state=b"anew") for event in first.events])
        )
        assert [placed_by(results) for results in both(scene, sealed_anew, sealed_anew)] == [one.placed] * 2
    scene.check()


@pytest.mark.faults
def test_old_events_batched_anew_with_new_ones_keep_their_receipts(scene: Scene) -> None:
    scene.start()
    caller = scene.caller()
    for number in range(REPLAYS):
        for proxy in scene.proxies.all:
            proxy.delay(to_server=scene.random.uniform(0.0, 0.2))
        stream, old, new = f"incident-batched-{number}", f"{scene.seed} old {number}", f"{scene.seed} new {number}"
        first = an_append_of(stream, 0, old)
        rest = an_append_of(stream, 1, new)
        caller.begin(first)
        caller.begin(rest)
        batched = an_append_of(stream, 0, old, new, append_name=f"{old} and {new}")
        (one,), (two,) = both(scene, first, batched)
        if isinstance(two, PartialDuplicate):
            assert isinstance(one, Accepted), one
            assert two.event_ids == (first.events[0].event_id,)
            placed = scene.b.ask("append", rest)
        else:
            assert isinstance(two, Accepted), two
            assert isinstance(one, Accepted), one
            assert one.placed == two.placed[:1]
            placed = Accepted(two.placed[1:])
        anew = an_append_of(stream, 0, old, new, append_name=f"{old} and {new} anew")
        assert [placed_by(results) for results in both(scene, anew, anew)] == [(*one.placed, *placed.placed)] * 2
    scene.check()


@pytest.mark.faults
def test_an_old_node_stops_where_the_rules_change_and_a_new_one_goes_on(scene: Scene, measured: Measured) -> None:
    scene.a.plan = replace(scene.a.plan, is_new=True)
    scene.start()
    scene.control(RulesChange(3, (1, 2)), "not the next")
    scene.wait_for_appends()
    assert scene.b.is_alive(), "a change that is void stopped a node"
    scene.fault()
    scene.control(RulesChange(2, (1, 2)), "the next")
    assert scene.b.ended() == STOPPED
    assert "rules version 2 in force, this program knows up to 1; upgrade this node" in scene.b.words()
    scene.wait_for_appends()
    scene.b.start()
    assert scene.b.ended() == STOPPED, "an old node that is started again stops again"
    scene.b.plan = replace(scene.b.plan, is_new=True)
    scene.b.start()
    scene.b.wait_until_serving()
    scene.wait_for_appends_through("b")
    scene.check()
    measured("old node stopped by a change of the rules, and upgraded: all nodes", scene.without_service())
