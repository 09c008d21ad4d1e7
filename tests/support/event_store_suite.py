"""What every event store does, whatever orders its log. A store joins by a class that opens it."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from services.eventstore.port import (
    Accepted,
    Append,
    Conflict,
    EventStore,
    Expectation,
    Head,
    Malformed,
    Mismatch,
    PartialDuplicate,
    Result,
    Revoked,
    ShardStore,
    Tracking,
)
from services.runtime.errors import Unavailable
from services.runtime.limits import RECORD_MAX_BYTES
from tests.support.appends import an_append, an_event, an_id, naive_digest, naive_leaf

SECONDS = 20.0


def decided(shard: ShardStore, append: Append) -> Result:
    return shard.append(append).result(SECONDS)


def accepted(shard: ShardStore, append: Append) -> Accepted:
    result = decided(shard, append)
    assert isinstance(result, Accepted), result
    return result


class EventStoreSuite(ABC):
    """The port's contract."""

    @abstractmethod
    def open(self, folder: Path) -> EventStore:
        """Open the store that lies in a folder, as it was left."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[EventStore]:
        store = self.open(tmp_path)
        yield store
        store.close()

    @pytest.fixture
    def shard(self, store: EventStore) -> ShardStore:
        return store.create_shard("north")

    def test_a_new_shard_is_empty(self, shard: ShardStore) -> None:
        assert shard.name == "north"
        assert shard.head() == Head(0, bytes(32), 0)
        assert shard.read(0, 10) == []
        assert shard.read_stream("incident-a") == []
        assert shard.stream_version("incident-a") == 0
        assert shard.find(an_id("x")) is None
        assert shard.revoked_keys() == {}
        assert shard.log_end(SECONDS) == 0

    def test_a_shard_that_does_not_exist_is_unavailable(self, store: EventStore) -> None:
        with pytest.raises(Unavailable, match="does not follow shard 'south'"):
            store.shard("south")

    def test_creating_a_shard_again_returns_it_as_it_is(self, store: EventStore, shard: ShardStore) -> None:
        accepted(shard, an_append("1", an_event("incident-a", 1)))
        assert store.create_shard("north").head() == shard.head()
        assert store.shards() == ("north",)
        store.create_shard("east")
        assert store.shards() == ("east", "north")

    def test_accepted_events_get_the_next_positions_and_can_be_read(self, shard: ShardStore) -> None:
        first = accepted(shard, an_append("1", an_event("incident-a", 1), an_event("incident-a", 2), an_event("incident-b", 1)))
        second = accepted(shard, an_append("2", an_event("incident-a", 3)))
        assert not first.duplicate
        assert [place.position for place in (*first.placed, *second.placed)] == [1, 2, 3, 4]
        events = shard.read(0, 10)
        assert [(event.position, event.stream, event.version) for event in events] == [
            (1, "incident-a", 1),
            (2, "incident-a", 2),
            (3, "incident-b", 1),
            (4, "incident-a", 3),
        ]
        assert [event.version for event in shard.read_stream("incident-a")] == [1, 2, 3]
        assert [event.version for event in shard.read_stream("incident-a", 1)] == [2, 3]
        assert [event.version for event in shard.read_stream("incident-a", 1, 1)] == [2]
        assert [event.position for event in shard.read(1, 2)] == [2, 3]
        assert shard.find(an_id("incident-b@1")) == events[2]
        assert (shard.stream_version("incident-a"), shard.stream_version("incident-b")) == (3, 1)
        assert events[0].state == b"state"
        assert events[0].type == "incident.referred.v1"
        assert events[0].header_hash == sha256(b"incident-a@1").digest()

    def test_leaves_and_digest_are_those_of_the_design(self, shard: ShardStore) -> None:
        first = accepted(shard, an_append("1", an_event("incident-a", 1), an_event("incident-b", 1, state=b"\x00" * 1000)))
        second = accepted(shard, an_append("2", an_event("incident-ä", 1, state=b"")))
        events = shard.read(0, 10)
        assert [place.leaf for place in (*first.placed, *second.placed)] == [naive_leaf("north", event) for event in events]
        assert [shard.leaf(event) for event in events] == [naive_leaf("north", event) for event in events]
        assert shard.head() == Head(3, naive_digest("north", events), events[-1].recorded_at_ms)

    def test_the_same_append_again_gets_its_first_result(self, shard: ShardStore) -> None:
        append = an_append("1", an_event("incident-a", 1), an_event("incident-a", 2))
        first = accepted(shard, append)
        accepted(shard, an_append("2", an_event("incident-a", 3)))
        head = shard.head()
        assert decided(shard, append) == replace(first, duplicate=True)
        assert shard.head() == head

    def test_the_same_events_in_another_append_get_their_first_places(self, shard: ShardStore) -> None:
        one = accepted(shard, an_append("1", an_event("incident-a", 1)))
        two = accepted(shard, an_append("2", an_event("incident-b", 1)))
        repeated = an_append("3", an_event("incident-b", 1), an_event("incident-a", 1))
        for _ in range(2):
            assert decided(shard, repeated) == Accepted((*two.placed, *one.placed), duplicate=True)
        assert shard.head().position == 2

    def test_old_events_among_new_ones_are_named(self, shard: ShardStore) -> None:
        accepted(shard, an_append("1", an_event("incident-a", 1)))
        mixed = an_append("2", an_event("incident-a", 1), an_event("incident-a", 2), expects=[("incident-a", 1)])
        assert decided(shard, mixed) == PartialDuplicate((an_id("incident-a@1"),))
        assert decided(shard, mixed) == PartialDuplicate((an_id("incident-a@1"),))
        assert shard.head().position == 1

    def test_a_known_event_with_another_header_is_a_mismatch(self, shard: ShardStore) -> None:
        accepted(shard, an_append("1", an_event("incident-a", 1)))
        other = an_append("2", an_event("incident-a", 2, name="incident-a@1", header="another"))
        assert decided(shard, other) == Mismatch(an_id("incident-a@1"))
        assert decided(shard, other) == Mismatch(an_id("incident-a@1"))

    def test_a_stream_that_moved_is_a_conflict_naming_both_versions(self, shard: ShardStore) -> None:
        accepted(shard, an_append("1", an_event("incident-a", 1)))
        late = an_append("2", an_event("incident-a", 1, name="other"))
        assert decided(shard, late) == Conflict("incident-a", 0, 1)
        early = an_append("3", an_event("incident-a", 3))
        assert decided(shard, early) == Conflict("incident-a", 2, 1)
        assert shard.head().position == 1

    def test_a_stream_that_was_only_read_must_not_have_moved_either(self, shard: ShardStore) -> None:
        accepted(shard, an_append("1", an_event("incident-a", 1)))
        reads = [("incident-a", 0), ("sharing-a", 0)]
        assert decided(shard, an_append("2", an_event("sharing-a", 1), expects=reads)) == Conflict("incident-a", 0, 1)
        reads = [("incident-a", 1), ("sharing-a", 0)]
        accepted(shard, an_append("3", an_event("sharing-a", 1), expects=reads))

    def test_a_version_that_is_not_the_next_is_a_conflict_though_the_expectation_holds(self, shard: ShardStore) -> None:
        gap = an_append("1", an_event("incident-a", 1), an_event("incident-a", 3))
        assert decided(shard, gap) == Conflict("incident-a", 2, 1)
        skipped = an_append("2", an_event("incident-a", 2), expects=[("incident-a", 0)])
        assert decided(shard, skipped) == Conflict("incident-a", 1, 0)

    def test_a_stream_nobody_expects_begins_at_any_version_and_then_counts(self, shard: ShardStore) -> None:
        accepted(shard, an_append("1", an_event("library", 0), an_event("library", 1), expects=[]))
        accepted(shard, an_append("2", an_event("other", 7), expects=[]))
        assert decided(shard, an_append("3", an_event("other", 9), expects=[])) == Conflict("other", 8, 7)

    def test_expecting_absence_is_not_met_by_a_stream_at_version_0(self, shard: ShardStore) -> None:
        accepted(shard, an_append("1", an_event("library", 0), expects=[]))
        assert decided(shard, an_append("2", an_event("library", 1))) == Conflict("library", 0, 0)

    def test_what_was_judged_on_a_prediction_names_the_very_event_it_rests_on(self, shard: ShardStore) -> None:
        accepted(shard, an_append("1", an_event("incident-a", 1)))
        resting = an_append("2", an_event("incident-a", 2))
        on_another = replace(resting, expectations=(Expectation("incident-a", 1, an_id("another@1")),))
        assert decided(shard, on_another) == Conflict("incident-a", 1, 1)
        on_this = (Expectation("incident-a", 1, an_id("incident-a@1")),)
        accepted(shard, replace(resting, append_id=an_id("3"), expectations=on_this))
        behind = an_append("4", an_event("incident-a", 3))
        assert decided(shard, replace(behind, expectations=(Expectation("incident-a", 2, an_id("incident-a@1")),))) == Conflict(
            "incident-a", 2, 2
        )
        elsewhere = an_append("5", an_event("incident-b", 1), expects=[])
        accepted(shard, elsewhere)
        named = Expectation("incident-b", 1, an_id("incident-a@1"))
        assert decided(shard, replace(an_append("6", an_event("incident-b", 2)), expectations=(named,))) == Conflict("incident-b", 1, 1)
        short = replace(resting, append_id=an_id("7"), expectations=(Expectation("incident-a", 1, b"short"),))
        assert isinstance(decided(shard, short), Malformed)

    def test_events_stand_or_fall_together(self, shard: ShardStore) -> None:
        accepted(shard, an_append("1", an_event("incident-b", 1)))
        both = an_append("2", an_event("incident-a", 1), an_event("incident-b", 1, name="other"))
        assert decided(shard, both) == Conflict("incident-b", 0, 1)
        assert shard.read_stream("incident-a") == []

    def test_a_refused_append_stays_refused_when_its_reason_is_gone(self, shard: ShardStore) -> None:
        early = an_append("1", an_event("incident-a", 2))
        assert decided(shard, early) == Conflict("incident-a", 1, 0)
        accepted(shard, an_append("2", an_event("incident-a", 1)))
        assert decided(shard, early) == Conflict("incident-a", 1, 0)
        accepted(shard, replace(early, append_id=an_id("3")))

    def test_what_a_revoked_key_signs_is_refused_from_then_on(self, shard: ShardStore) -> None:
        before = an_append("1", an_event("incident-a", 1, key_id="lost"))
        first = accepted(shard, before)
        shard.revoke_key("lost").result(SECONDS)
        accepted(shard, an_append("2", an_event("incident-b", 1, key_id="good")))
        shard.revoke_key("lost").result(SECONDS)
        assert decided(shard, an_append("3", an_event("incident-a", 2, key_id="lost"))) == Revoked("lost")
        assert decided(shard, before) == replace(first, duplicate=True)
        assert shard.revoked_keys() == {"lost": 1}
        assert shard.head().position == 2

    def test_a_key_is_revoked_in_one_shard_alone(self, store: EventStore, shard: ShardStore) -> None:
        shard.revoke_key("lost").result(SECONDS)
        accepted(store.create_shard("south"), an_append("1", an_event("incident-a", 1, key_id="lost"), shard="south"))

    def test_tracking_moves_forward_only_and_with_its_events(self, shard: ShardStore) -> None:
        accepted(shard, an_append("1", an_event("incident-a", 1), tracking=Tracking("upstream", 5)))
        for position in (4, 5):
            again = an_append(f"t{position}", an_event("incident-b", 1), tracking=Tracking("upstream", position))
            assert decided(shard, again) == Conflict("tracking upstream", position, 5)
        assert decided(shard, an_append("2", tracking=Tracking("upstream", 6))) == Accepted(())
        assert decided(shard, an_append("3", tracking=Tracking("upstream", 6))) == Conflict("tracking upstream", 6, 6)
        assert shard.head().position == 1

    @pytest.mark.parametrize(
        "append",
        [
            an_append("empty"),
            an_append("short", replace(an_event("s", 1), event_id=b"short")),
            an_append("hash", replace(an_event("s", 1), header_hash=b"short")),
            an_append("nameless", an_event("", 1), expects=[]),
            an_append("typeless", replace(an_event("s", 1), type="")),
            an_append("twice", an_event("s", 1, name="x"), an_event("s", 2, name="x")),
            an_append("huge", an_event("s", 2**63), expects=[]),
            an_append("expects", an_event("s", 1), expects=[("s", 2**63)]),
            an_append("nobody", an_event("s", 1), expects=[("", 0)]),
            an_append("track", tracking=Tracking("", 1)),
            an_append("far", tracking=Tracking("upstream", 2**63)),
            an_append("large", an_event("s", 1, state=bytes(RECORD_MAX_BYTES))),
            an_append("elsewhere", an_event("s", 1), shard="south"),
        ],
        ids=lambda append: append.append_id.hex()[:4],
    )
    def test_an_append_that_is_wrong_in_itself_leaves_no_trace(self, shard: ShardStore, append: Append) -> None:
        assert isinstance(decided(shard, append), Malformed)
        assert shard.head() == Head(0, bytes(32), 0)
        accepted(shard, replace(an_append("good", an_event("s", 1)), append_id=append.append_id))

    def test_shards_know_nothing_of_each_other(self, store: EventStore, shard: ShardStore) -> None:
        south = store.create_shard("south")
        accepted(shard, an_append("1", an_event("incident-a", 1)))
        accepted(south, an_append("1", an_event("incident-a", 1, header="other"), shard="south"))
        assert (shard.head().position, south.head().position) == (1, 1)
        assert shard.head().digest != south.head().digest
        assert shard.read(0, 10)[0].header_hash != south.read(0, 10)[0].header_hash
        again = accepted(south, an_append("1", an_event("incident-a", 1, header="other"), shard="south"))
        assert (again.duplicate, again.placed[0].leaf) == (True, south.leaf(south.read(0, 1)[0]))
        assert again.placed[0].leaf != shard.leaf(shard.read(0, 1)[0])

    def test_everything_is_there_after_reopening(self, tmp_path: Path, store: EventStore, shard: ShardStore) -> None:
        kept = an_append("1", an_event("incident-a", 1), an_event("incident-b", 1), tracking=Tracking("upstream", 3))
        first = accepted(shard, kept)
        refused = an_append("2", an_event("incident-a", 1, name="other"))
        conflict = decided(shard, refused)
        shard.revoke_key("lost").result(SECONDS)
        events, head = shard.read(0, 10), shard.head()
        store.close()
        again = self.open(tmp_path)
        try:
            shard = again.shard("north")
            assert again.shards() == ("north",)
            assert (shard.read(0, 10), shard.head()) == (events, head)
            assert shard.revoked_keys() == {"lost": 2}
            assert decided(shard, kept) == replace(first, duplicate=True)
            assert decided(shard, refused) == conflict
            assert decided(shard, an_append("3", tracking=Tracking("upstream", 3))) == Conflict("tracking upstream", 3, 3)
            assert accepted(shard, an_append("4", an_event("incident-a", 2))).placed[0].position == 3
        finally:
            again.close()

    def test_of_many_racing_for_a_version_exactly_one_wins(self, shard: ShardStore) -> None:
        racers, rounds = 8, 10

        def race(racer: int) -> list[int]:
            won: list[int] = []
            for version in range(1, rounds + 1):
                name = f"{racer}-{version}"
                result = decided(shard, an_append(name, an_event("incident-a", version, name=name)))
                if isinstance(result, Accepted):
                    won.append(version)
                assert shard.wait_for(version, SECONDS)
            return won

        with ThreadPoolExecutor(racers) as pool:
            wins = sorted(version for won in pool.map(race, range(racers)) for version in won)
        assert wins == list(range(1, rounds + 1))
        assert [event.version for event in shard.read_stream("incident-a")] == wins

    def test_the_same_append_sent_by_many_at_once_is_accepted_once(self, shard: ShardStore) -> None:
        append = an_append("1", an_event("incident-a", 1))
        results = [future.result(SECONDS) for future in [shard.append(append) for _ in range(20)]]
        assert {result.placed for result in results if isinstance(result, Accepted)} == {accepted(shard, append).placed}
        assert [result.duplicate for result in results if isinstance(result, Accepted)].count(False) == 1

    def test_waiting_ends_with_the_commit_or_with_the_time(self, shard: ShardStore) -> None:
        assert shard.wait_for(0, 0)
        assert not shard.wait_for(1, 0.01)
        reached: list[bool] = []
        waiter = threading.Thread(target=lambda: reached.append(shard.wait_for(2, SECONDS)))
        waiter.start()
        accepted(shard, an_append("1", an_event("incident-a", 1)))
        accepted(shard, an_append("2", an_event("incident-a", 2)))
        waiter.join(SECONDS)
        assert reached == [True]

    def test_what_was_decided_lies_before_the_log_end(self, shard: ShardStore) -> None:
        for version in range(1, 4):
            place = accepted(shard, an_append(str(version), an_event("incident-a", version))).placed[0]
            assert shard.log_end(SECONDS) >= place.position
            assert shard.head().position >= place.position

    def test_recorded_times_never_go_back(self, shard: ShardStore) -> None:
        for version in range(1, 6):
            accepted(shard, an_append(str(version), an_event("incident-a", version)))
        times = [event.recorded_at_ms for event in shard.read(0, 10)]
        assert times == sorted(times)
        assert shard.head().recorded_at_ms == times[-1]

    def test_closing_twice_is_closing_and_nothing_is_accepted_after(self, store: EventStore, shard: ShardStore) -> None:
        store.close()
        store.close()
        with pytest.raises(Unavailable):
            shard.append(an_append("1", an_event("incident-a", 1))).result(SECONDS)

    def test_an_expectation_alone_writes_nothing(self, shard: ShardStore) -> None:
        lonely = replace(an_append("1"), expectations=(Expectation("incident-a", 0),))
        assert isinstance(decided(shard, lonely), Malformed)
