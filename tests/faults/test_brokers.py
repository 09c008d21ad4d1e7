"""What happens to brokers, and between them and a node, delays appends; it loses, doubles and reorders none."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.support.fault_clients import CONTENDED, NodeUnavailable, an_append_of
from tests.support.fault_files import rows_of
from tests.support.fault_scene import DEADLINE_SECONDS, PARTITION, Scene

pytestmark = pytest.mark.timeout(900)
Measured = Callable[[str, float], None]
CUTS = 8
SLOW_MAX_SECONDS = 4.5
"""Longer than a node's client waits for an answer (3 s)."""


def test_the_leader_killed_and_started_again(scene: Scene, measured: Measured) -> None:
    scene.start()
    leader = scene.leader()
    scene.fault()
    leader.kill()
    scene.wait_for_appends()
    scene.start_again(leader)
    scene.wait_for_appends()
    scene.check()
    measured("leader killed", scene.without_service())


@pytest.mark.faults
@pytest.mark.parametrize("which", ["leader", "follower"])
def test_a_broker_paused_and_resumed(scene: Scene, measured: Measured, which: str) -> None:
    scene.start()
    broker = scene.leader() if which == "leader" else scene.followers()[0]
    scene.fault()
    broker.pause()
    try:
        scene.wait_for_appends()
    finally:
        broker.resume()
    scene.wait_for_appends()
    scene.check()
    measured(f"{which} paused", scene.without_service())


@pytest.mark.faults
@pytest.mark.parametrize("which", ["leader", "follower"])
def test_a_broker_stopped_in_order_and_started_again(scene: Scene, measured: Measured, which: str) -> None:
    scene.start()
    broker = scene.leader() if which == "leader" else scene.followers()[0]
    scene.fault()
    broker.stop()
    scene.wait_for_appends()
    scene.start_again(broker)
    scene.wait_for_appends()
    scene.check()
    measured(f"{which} restarted in order", scene.without_service())


@pytest.mark.faults
def test_below_the_replicas_that_must_be_in_sync_callers_are_told_and_all_goes_on_by_itself(scene: Scene, measured: Measured) -> None:
    scene.start()
    gone = scene.followers()
    scene.fault()
    for broker in gone:
        broker.kill()
    scene.wait_for_doubt()
    scene.wait_for_doubt()
    scene.start_again(*gone)
    scene.wait_for_appends()
    scene.check()
    measured("two of three brokers killed, and started again", scene.without_service())


# ── the network ──


def doubled(scene: Scene) -> int:
    """Return how many records of the shard's partition repeat an earlier append: all but the first GENESIS and what is malformed."""
    rows = rows_of(scene.b.path)
    ((name, _, next_offset, *_, malformed),) = [row for row in rows["shard"] if row[1] == PARTITION]
    appends = len([row for row in rows["append"] if row[0] == name])
    return int(next_offset) - appends - 1 - int(malformed)


@pytest.mark.faults
@pytest.mark.parametrize("ways", ["both ways", "to the brokers", "from the brokers"])
def test_a_node_cut_off_from_all_brokers_says_so_and_goes_on_by_itself(scene: Scene, measured: Measured, ways: str) -> None:
    scene.start()
    scene.fault()
    for proxy in scene.proxies.all:
        proxy.hold(to_server=ways != "from the brokers", to_client=ways != "to the brokers")
    scene.wait_for_doubt("a")
    scene.wait_for_appends("b")
    scene.proxies.heal()
    scene.wait_for_appends_through("a")
    scene.check()
    measured(f"one node cut off {ways}: through that node", scene.without_service("a"))


@pytest.mark.faults
def test_a_node_cut_off_from_the_leader_alone_goes_on_by_itself(scene: Scene, measured: Measured) -> None:
    scene.start()
    proxy = scene.proxies.all[scene.leader().node_id - 1]
    scene.fault()
    proxy.hold(to_server=True, to_client=True)
    scene.wait_for_doubt("a")
    scene.wait_for_appends("b")
    proxy.heal()
    scene.wait_for_appends_through("a")
    scene.check()
    measured("one node cut off from the leader: through that node", scene.without_service("a"))


@pytest.mark.faults
def test_connections_cut_again_and_again(scene: Scene, measured: Measured) -> None:
    scene.start()
    scene.fault()
    for _ in range(CUTS):
        scene.random.choice(scene.proxies.all).cut()
        time.sleep(scene.random.uniform(0.0, 0.5))
    scene.wait_for_appends_through("a")
    scene.check()
    measured("connections cut eight times: through that node", scene.without_service("a"))


def test_acknowledgements_that_are_lost_leave_one_result_of_every_append(scene: Scene, measured: Measured) -> None:
    scene.start()
    scene.fault()
    for proxy in scene.proxies.all:
        proxy.lose_answers()
    scene.wait_for_doubt("a")
    scene.proxies.heal()
    scene.wait_for_appends_through("a")
    scene.check()
    assert doubled(scene), "no record was sent twice"
    measured("acknowledgements lost: through that node", scene.without_service("a"))


@pytest.mark.faults
def test_acknowledgements_that_are_late_leave_one_result_of_every_append(scene: Scene, measured: Measured) -> None:
    scene.start()
    scene.fault()
    for _ in range(2):
        for proxy in scene.proxies.all:
            proxy.delay(to_client=scene.random.uniform(0.1, SLOW_MAX_SECONDS))
        time.sleep(DEADLINE_SECONDS)
    scene.proxies.heal()
    scene.wait_for_appends_through("a")
    scene.check()
    measured("acknowledgements late: through that node", scene.without_service("a"))


@pytest.mark.faults
def test_a_read_on_a_node_that_lags_waits_or_is_refused(scene: Scene) -> None:
    scene.start()
    scene.stopping.set()
    scene.end_clients()
    for proxy in scene.proxies.all:
        proxy.hold(to_server=True, to_client=True)
    caller = scene.caller()
    append = an_append_of(CONTENDED, scene.b.ask("version", CONTENDED), f"{scene.seed} read")
    caller.begin(append)
    caller.propose(scene.b.socket, append, DEADLINE_SECONDS)
    position = scene.b.ask("head").position
    with pytest.raises(NodeUnavailable, match=f"{position} is asked for"):
        scene.a.ask("read", CONTENDED, position, 1.0)
    scene.proxies.heal()
    shown, version = scene.a.ask("read", CONTENDED, position, 4 * DEADLINE_SECONDS)
    assert (shown, version) == (position, scene.b.ask("version", CONTENDED))
    scene.check()
