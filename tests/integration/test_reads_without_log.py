"""Reading while the log takes nothing: it goes on, and who read comes to the log when it takes something again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc.aio
import pytest

from domain.kernel.ids import NATIONAL, CaseId
from services import bootstrap
from services.eventstore.cluster import ClusterEventStore
from services.eventstore.store import NodeStore
from services.intake import own, spool
from services.runtime.errors import Unavailable
from services.runtime.limits import APPEND_DEADLINE_SECONDS
from services.runtime.settings import Settings
from services.trust.keystore import case_key_id
from tests.support.builders import COUNCIL, SHARD
from tests.support.eventually import eventually
from tests.support.hub import RunningHub, running_hub
from tests.support.reading import a_told_case, access_events, queries
from tests.support.shared_log import NodesLog, SharedLog

DEAF_DEADLINE_SECONDS, DEAF_SPOOL_AFTER_SECONDS = 1.0, 0.2
"""How long is waited for a log that takes nothing. One that does is waited for as ever: a busy machine is no such log."""
READS = 3


@dataclass
class Scene:
    """A hub whose log lies elsewhere, and takes nothing while ``is_deaf``, which ``turn`` alone sets."""

    folder: Path
    shared: SharedLog
    patch: pytest.MonkeyPatch
    is_deaf: bool = False
    stores: list[ClusterEventStore] = field(default_factory=list)

    def turn(self, *, deaf: bool) -> None:
        """Have the log take nothing from now on, or take it again."""
        self.is_deaf = deaf
        spool_after, deadline = (DEAF_SPOOL_AFTER_SECONDS, DEAF_DEADLINE_SECONDS) if deaf else (APPEND_DEADLINE_SECONDS,) * 2
        self.patch.setattr(own, "SPOOL_AFTER_SECONDS", spool_after)
        for store in self.stores:
            self.patch.setattr(store._sequencer, "_deadline_seconds", deadline)

    def store_of(self, settings: Settings, *_: object) -> NodeStore:
        """Open the hub's store on the log."""
        log = NodesLog(self.shared, send_hook=self._send)
        self.stores.append(ClusterEventStore(settings.event_store_file, log, root=NATIONAL))
        return self.stores[-1]

    def _send(self, write: Callable[[], None], failed: Callable[[Exception], None]) -> None:
        if self.is_deaf:
            failed(Unavailable("not enough replicas"))
        else:
            write()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    made = Scene(tmp_path / "home", SharedLog(), monkeypatch)
    made.turn(deaf=False)
    monkeypatch.setattr(bootstrap, "event_store", made.store_of)
    monkeypatch.setattr(own, "RETRY_SECONDS", 0.1)
    return made


@pytest.fixture
def hub(scene: Scene) -> Iterator[RunningHub]:
    with running_hub(scene.folder) as running:
        yield running


async def read(hub: RunningHub, case_id: str, times: int = READS) -> None:
    async with queries(hub, COUNCIL) as asks:
        for _ in range(times):
            assert (await asks.story(case_id)).lines


def spooled(hub: RunningHub) -> float | None:
    return hub.parts.metrics.registry.get_sample_value("hub_spooled_events")


def reads_on_log(hub: RunningHub, case_id: str) -> int:
    return len(access_events(hub, f"access-{case_id}"))


async def test_who_reads_is_answered_and_is_on_the_log_once_it_takes_something(scene: Scene, hub: RunningHub) -> None:
    case_id, _ = await a_told_case(hub)
    await read(hub, case_id, 1)
    scene.turn(deaf=True)
    await read(hub, case_id)
    assert (reads_on_log(hub, case_id), spooled(hub)) == (1, READS)
    scene.turn(deaf=False)
    assert await asyncio.to_thread(eventually, lambda: reads_on_log(hub, case_id) == 1 + READS)
    assert await asyncio.to_thread(eventually, lambda: spooled(hub) == 0)
    await read(hub, case_id, 1)
    assert reads_on_log(hub, case_id) == READS + 2
    events = access_events(hub, f"access-{case_id}")
    assert len({event.event_id for event in events}) == len(events)


def test_what_one_run_could_not_put_on_the_log_the_next_one_does(scene: Scene) -> None:
    with running_hub(scene.folder) as first:
        case_id, _ = asyncio.run(a_told_case(first))
        scene.turn(deaf=True)
        asyncio.run(read(first, case_id))
    scene.turn(deaf=False)
    with running_hub(scene.folder) as again:
        assert eventually(lambda: reads_on_log(again, case_id) == READS)


async def test_who_read_a_case_that_is_erased_meanwhile_stands_among_the_readers_lists(scene: Scene, hub: RunningHub) -> None:
    case_id, _ = await a_told_case(hub)
    scene.turn(deaf=True)
    await read(hub, case_id, 1)
    hub.parts.keys.destroy(case_key_id(SHARD, CaseId(case_id)))
    await asyncio.sleep(2 * DEAF_DEADLINE_SECONDS)  # what was sealed before, and is under way, is given up
    scene.turn(deaf=False)
    lists = hub.parts.store.shard(NATIONAL)

    def is_listed() -> bool:
        return any(one.stream.startswith("access-") for one in lists.read(0, 1_000))

    assert await asyncio.to_thread(eventually, is_listed)
    assert reads_on_log(hub, case_id) == 0


async def test_where_who_reads_cannot_be_kept_nothing_is_read(scene: Scene, hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    case_id, _ = await a_told_case(hub)
    monkeypatch.setattr(spool, "SPOOL_MAX_EVENTS", 1)
    scene.turn(deaf=True)
    await read(hub, case_id, 1)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await read(hub, case_id, 1)
    assert (refused.value.code(), refused.value.details()) == (
        grpc.StatusCode.UNAVAILABLE,
        "1 events of the hub's own wait for the log already",
    )
