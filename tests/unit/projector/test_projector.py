from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, Column, Connection, MetaData, Table, Text, insert, select
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

from domain.kernel.events import Recorded
from projections.chronology.projection import CHRONOLOGY
from projections.kernel.database import ViewDatabase
from projections.kernel.view import Tables, View
from projections.registry.projection import REGISTRY
from services.eventstore.local import LocalEventStore
from services.eventstore.opening import Opener
from services.projector.filling import fill_shard
from services.projector.projector import Lag, Projector
from services.projector.rebuild import Progress, Rebuild, Stopped
from tests.support.builders import CASE, OTHER_CASE, a_notification, a_partnership_established, a_share, an_entry, an_id
from tests.support.eventually import eventually
from tests.support.sealed import KeysInMemory, Writer

SHARED = "information.shared.v1"
NOTIFIED = "incident.notified.v1"
NORTH, SOUTH = "northmoor", "southmoor"
WAIT_SECONDS = 10.0


def define(metadata: MetaData, prefix: str) -> Tables:
    columns = (
        Column("shard", Text, primary_key=True),
        Column("position", BigInteger, primary_key=True, autoincrement=False),
        Column("stream", Text, nullable=False),
        Column("gone", Boolean, nullable=False),
    )
    return {"seen": Table(f"{prefix}seen", metadata, *columns)}


def write(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
    rows = [{"shard": one.shard, "position": one.position, "stream": one.stream, "gone": one.event is None} for one in batch]
    connection.execute(insert(tables["seen"]), rows)


def a_view(apply: Callable[[Connection, Tables, Sequence[Recorded]], None] = write, version: str = "1", name: str = "seen") -> View:
    return View(name=name, version=version, define=define, handles=frozenset({SHARED, NOTIFIED}), ignores=frozenset(), apply=apply)


@dataclass
class Setting:
    """A log, and views of it that come and go as processes do."""

    view_url: str
    store: LocalEventStore
    keys: KeysInMemory
    writer: Writer
    opened: list[ViewDatabase] = field(default_factory=list)
    started: list[Projector] = field(default_factory=list)

    def database(self, *views: View) -> ViewDatabase:
        database = ViewDatabase(self.view_url, views or [a_view()])
        self.opened.append(database)
        return database

    def start(self, database: ViewDatabase) -> Projector:
        projector = Projector(self.store, Opener(self.keys), database, lambda: 2_000_000_000_000)
        self.started.append(projector)
        projector.start()
        return projector

    def share(self, shard: str = NORTH, case: str = CASE) -> int:
        return self.writer.write(shard, (f"sharing-{case}", a_share()))

    def rebuild(self, database: ViewDatabase, *views: str, progress: Callable[[Progress], None] = lambda _: None) -> None:
        Rebuild(self.store, Opener(self.keys), database, progress).run(views or ("seen",))


@pytest.fixture
def setting(tmp_path: Path, view_url: str) -> Iterator[Setting]:
    store, keys = LocalEventStore(tmp_path / "events.sqlite"), KeysInMemory()
    built = Setting(view_url, store, keys, Writer(store, keys))
    yield built
    for projector in built.started:
        assert projector.stop(WAIT_SECONDS)
    for database in built.opened:
        database.close()
    store.close()


def seen(database: ViewDatabase, view: str = "seen") -> list[tuple[str, int, bool]]:
    with database.reading(view) as look:
        table = look.tables["seen"]
        rows = look.connection.execute(select(table.c.shard, table.c.position, table.c.gone).order_by(table.c.shard, table.c.position))
        return [(row.shard, row.position, row.gone) for row in rows]


def test_a_committed_event_reaches_every_view_and_whoever_waits_for_it(setting: Setting) -> None:
    database = setting.database(a_view(), a_view(name="also"))
    projector = setting.start(database)
    position = setting.share()
    for view in ("seen", "also"):
        assert projector.wait_for(view, NORTH, position, WAIT_SECONDS)
        assert seen(database, view) == [(NORTH, 1, False)]


def test_a_view_that_knows_more_than_the_log_is_ahead_of_it_also_while_it_is_being_built(setting: Setting, tmp_path: Path) -> None:
    database = setting.database(a_view(), a_view(name="also"))
    projector = setting.start(database)
    position = setting.share()
    assert all(projector.wait_for(view, NORTH, position, WAIT_SECONDS) for view in ("seen", "also"))
    assert projector.stop(WAIT_SECONDS)
    older = LocalEventStore(tmp_path / "older.sqlite")
    try:
        other = Projector(older, Opener(setting.keys), database, lambda: 0)
        assert (projector.ahead(), other.ahead()) == ((), ("seen", "also"))
        Writer(older, setting.keys).write(NORTH, (f"sharing-{CASE}", a_share()))
        assert other.ahead() == ()
        begun, upto = database.begin_build("also"), setting.share()
        assert list(fill_shard(setting.store, Opener(setting.keys), database, [begun], NORTH, upto)) == [upto]
        assert (projector.ahead(), other.ahead()) == ((), ("also",))
    finally:
        older.close()


def test_shards_that_begin_later_are_followed_too(setting: Setting) -> None:
    database = setting.database()
    projector = setting.start(database)
    assert projector.wait_for("seen", NORTH, setting.share(NORTH), WAIT_SECONDS)
    assert projector.wait_for("seen", SOUTH, setting.share(SOUTH), WAIT_SECONDS)
    assert seen(database) == [(NORTH, 1, False), (SOUTH, 1, False)]


def test_after_a_stop_anywhere_it_goes_on_from_tracking(setting: Setting) -> None:
    first = setting.start(setting.database())
    assert first.wait_for("seen", NORTH, setting.share(), WAIT_SECONDS)
    assert first.stop(WAIT_SECONDS)
    setting.share()
    database = setting.database()
    assert setting.start(database).wait_for("seen", NORTH, 2, WAIT_SECONDS)
    assert seen(database) == [(NORTH, 1, False), (NORTH, 2, False)]


def test_waiting_for_what_never_comes_ends_in_time(setting: Setting) -> None:
    projector = setting.start(setting.database())
    assert projector.wait_for("seen", NORTH, 1, 0.05) is False


def test_an_event_that_no_view_can_read_parks_its_stream_and_the_rest_goes_on(setting: Setting) -> None:
    database = setting.database()
    projector = setting.start(database)
    bad, good = f"sharing-{CASE}", f"sharing-{OTHER_CASE}"
    last = setting.writer.write(NORTH, (bad, (SHARED, b"\xff")), (good, a_share()), (bad, a_share()))
    assert projector.wait_for("seen", NORTH, last, WAIT_SECONDS)
    assert seen(database) == [(NORTH, 2, False)]
    live = database.live("seen")
    assert live is not None
    (parked,) = database.parked("seen", live.generation)
    assert (parked.stream, parked.position, parked.reason_type, parked.skipped) == (bad, 1, "IntegrityError", 1)
    assert projector.parked() == {"seen": 1}


def test_a_destroyed_body_is_projected_as_gone(setting: Setting) -> None:
    last = setting.share()
    setting.keys.destroy(f"case-{CASE}")
    database = setting.database()
    assert setting.start(database).wait_for("seen", NORTH, last, WAIT_SECONDS)
    assert seen(database) == [(NORTH, 1, True)]


def failed(said: Sequence[MutableMapping[str, Any]]) -> set[str]:
    """The shards that the log says could not be projected."""
    return {one["shard"] for one in said if one["event"] == "projector.failed"}


def test_a_lost_key_stops_its_shard_alone_and_parks_nothing_until_it_is_restored(setting: Setting) -> None:
    database = setting.database()
    projector = setting.start(database)
    assert projector.wait_for("seen", NORTH, setting.share(NORTH, OTHER_CASE), WAIT_SECONDS)
    restore = setting.keys.hide(f"case-{CASE}")
    with capture_logs() as said:
        stuck = setting.share(NORTH, CASE)
        assert eventually(lambda: failed(said) == {NORTH})
    assert projector.wait_for("seen", SOUTH, setting.share(SOUTH, OTHER_CASE), WAIT_SECONDS)
    assert projector.parked() == {"seen": 0}
    restore()
    assert projector.wait_for("seen", NORTH, stuck, WAIT_SECONDS)


def test_a_failing_database_is_tried_again_and_nothing_is_parked_or_lost(setting: Setting) -> None:
    fails = threading.Event()

    def sometimes(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
        if fails.is_set():
            raise OperationalError("insert", {}, OSError("disk full"))
        write(connection, tables, batch)

    database = setting.database(a_view(sometimes))
    projector = setting.start(database)
    assert projector.wait_for("seen", NORTH, setting.share(), WAIT_SECONDS)
    with capture_logs() as said:
        fails.set()
        setting.share()
        assert eventually(lambda: failed(said) == {NORTH})
    fails.clear()
    assert projector.wait_for("seen", NORTH, 2, WAIT_SECONDS)
    assert (seen(database), projector.parked()) == ([(NORTH, 1, False), (NORTH, 2, False)], {"seen": 0})


def test_lag_is_counted_in_positions_and_in_seconds_since_the_oldest_event_missing(setting: Setting) -> None:
    setting.share()
    setting.share()
    database = setting.database()
    (oldest,) = setting.store.shard(NORTH).read(0, 1)
    waiting = Projector(setting.store, Opener(setting.keys), database, lambda: oldest.recorded_at_ms + 1_500)
    assert waiting.lag() == (Lag(view="seen", shard=NORTH, positions=2, seconds=1.5),)
    setting.rebuild(database)
    assert waiting.lag() == (Lag(view="seen", shard=NORTH, positions=0, seconds=0.0),)


def test_a_rebuild_gives_the_rows_that_projecting_gave(setting: Setting) -> None:
    database = setting.database(CHRONOLOGY, REGISTRY)
    projector = setting.start(database)
    setting.writer.write(NORTH, (f"partnership-{NORTH}", a_partnership_established()), (f"incident-{CASE}", a_notification()))
    for number in range(12):
        last = setting.writer.write(
            NORTH, (f"sharing-{CASE}", a_share(an_entry(an_id(number)))), (f"sharing-{OTHER_CASE}", ("x.y.v1", b""))
        )
    assert projector.wait_for("chronology", NORTH, last, WAIT_SECONDS)
    assert projector.wait_for("registry", NORTH, last, WAIT_SECONDS)
    before = {view.name: database.live(view.name) for view in database.views}
    digests = {name: database.digest(name, live.generation) for name, live in before.items() if live is not None}
    heard: list[Progress] = []
    projector.rebuild(["chronology", "registry"], heard.append)
    after = {view.name: database.live(view.name) for view in database.views}
    assert {name: database.digest(name, live.generation) for name, live in after.items() if live is not None} == digests
    assert all(live is not None and live.generation == 2 for live in after.values())
    assert heard[-1] == Progress(applied=last, total=last)
    assert projector.wait_for("chronology", NORTH, setting.share(), WAIT_SECONDS)


def test_another_version_is_built_while_the_old_rows_are_read_and_then_swapped_in(setting: Setting) -> None:
    first = setting.start(setting.database())
    assert first.wait_for("seen", NORTH, setting.share(), WAIT_SECONDS)
    assert first.stop(WAIT_SECONDS)
    setting.share()
    begun, go_on = threading.Event(), threading.Event()

    def slowly(connection: Connection, tables: Tables, batch: Sequence[Recorded]) -> None:
        begun.set()
        assert go_on.wait(WAIT_SECONDS)
        write(connection, tables, batch)

    database = setting.database(a_view(slowly, version="2"))
    projector = setting.start(database)
    assert begun.wait(WAIT_SECONDS)
    assert seen(database) == [(NORTH, 1, False)]
    go_on.set()
    assert projector.wait_for("seen", NORTH, 2, WAIT_SECONDS)
    live = database.live("seen")
    assert live is not None
    assert (live.version, live.generation, seen(database)) == ("2", 2, [(NORTH, 1, False), (NORTH, 2, False)])


def test_a_rebuild_that_was_stopped_goes_on_where_it_was(setting: Setting) -> None:
    for shard in (NORTH, SOUTH):
        setting.share(shard)
    database = setting.database()
    stopping = threading.Event()
    half = Rebuild(setting.store, Opener(setting.keys), database, lambda _: stopping.set(), stopping)
    with pytest.raises(Stopped):
        half.run(["seen"])
    assert database.live("seen") is None
    heard: list[Progress] = []
    setting.rebuild(database, progress=heard.append)
    assert (heard, seen(database)) == ([Progress(applied=2, total=2)], [(NORTH, 1, False), (SOUTH, 1, False)])


def test_another_process_may_swap_a_view_while_it_is_followed(setting: Setting) -> None:
    database = setting.database()
    projector = setting.start(database)
    assert projector.wait_for("seen", NORTH, setting.share(), WAIT_SECONDS)
    setting.rebuild(setting.database())
    assert projector.wait_for("seen", NORTH, setting.share(), WAIT_SECONDS)
    assert seen(database) == [(NORTH, 1, False), (NORTH, 2, False)]


def test_events_that_come_during_a_rebuild_are_in_it_before_the_swap(setting: Setting) -> None:
    database = setting.database()
    projector = setting.start(database)
    assert projector.wait_for("seen", NORTH, setting.share(), WAIT_SECONDS)
    came = threading.Event()

    def one_more(_progress: Progress) -> None:
        if not came.is_set():
            came.set()
            assert projector.wait_for("seen", NORTH, setting.share(), WAIT_SECONDS)

    projector.rebuild(["seen"], one_more)
    assert seen(database) == [(NORTH, 1, False), (NORTH, 2, False)]


def test_of_two_rebuilds_at_once_the_slower_finds_the_view_swapped_in(setting: Setting) -> None:
    setting.share()
    database = setting.database()
    others = []

    def meanwhile(_progress: Progress) -> None:
        if not others:
            others.append(setting.database())
            setting.rebuild(others[0])

    setting.rebuild(database, progress=meanwhile)
    assert (len(others), seen(database)) == (1, [(NORTH, 1, False)])


def test_stopping_twice_does_nothing_more(setting: Setting) -> None:
    projector = setting.start(setting.database())
    assert (projector.stop(WAIT_SECONDS), projector.stop(WAIT_SECONDS)) == (True, True)
