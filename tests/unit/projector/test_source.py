from __future__ import annotations

from typing import Any, cast

import pytest

from domain.kernel.events import Recorded
from projections.kernel.batch import Unreadable
from services.bootstrap import VIEWS
from services.eventstore.opening import Opener, UnreadableEvent
from services.eventstore.port import EventStore, Stored
from services.projector.source import Batch, ignored_by_all, read_batch


class Log:
    """One shard that holds these events."""

    def __init__(self, *types: str) -> None:
        self.events = [Stored(position, "incident-c", position, b"", b"", name, 0, b"") for position, name in enumerate(types, 1)]

    def shard(self, _name: str) -> Log:
        return self

    def read(self, after_position: int, limit: int) -> list[Stored]:
        return self.events[after_position : after_position + limit]


class OpensNothing:
    """Opens no event at all."""

    def open(self, _shard: str, stored: Stored) -> Recorded:
        raise UnreadableEvent(stored.type)


def batch_of(log: Log, after: int, limit: int, ignored: frozenset[str]) -> Batch | None:
    return read_batch(cast(EventStore, cast(Any, log)), cast(Opener, OpensNothing()), "northmoor", after, limit, ignored)


def test_the_accesses_that_most_of_a_busy_log_is_are_what_no_view_looks_at() -> None:
    assert ignored_by_all(VIEWS) == {"access.viewed.v1", "access.denied.v1"}


def test_an_event_that_no_view_looks_at_is_passed_without_being_opened() -> None:
    log = Log("access.viewed.v1", "case.referred.v1", "access.viewed.v1", "access.denied.v1", "case.referred.v1")
    unreadable = Unreadable(stream="incident-c", position=2, event_type="case.referred.v1", reason_type="UnreadableEvent")
    assert batch_of(log, 0, 4, ignored_by_all(VIEWS)) == Batch([unreadable], 4, 4)


@pytest.mark.parametrize("after", [5, 6])
def test_there_is_no_batch_behind_the_last_event(after: int) -> None:
    assert batch_of(Log(*["case.referred.v1"] * 5), after, 10, frozenset()) is None
