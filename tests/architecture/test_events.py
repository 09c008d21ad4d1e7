"""Every event has a message, a dataclass and golden files, belongs to one area, and is handled or passed over by every view on purpose."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from domain.access.events import AccessDenied, CaseViewed
from domain.areas import AREAS
from domain.kernel.events import EVENT_TYPES, Event
from projections.kernel.view import View
from services.bootstrap import VIEWS
from services.eventstore.codec import EVENT_NAMES, message_class
from tests.support.samples import ALL_EVENT_TYPES

GOLDEN: Final = Path(__file__).parents[1] / "golden/events"


def areas_of(event_type: str) -> list[str]:
    """Return the areas that say they decide an event."""
    return [area.category for area in AREAS for event in area.events if event_type == event.EVENT_TYPE]


def test_the_domain_and_the_contract_know_the_same_events() -> None:
    assert set(EVENT_TYPES) == EVENT_NAMES == set(ALL_EVENT_TYPES)
    assert len(ALL_EVENT_TYPES) >= 90


@pytest.mark.parametrize("event_type", ALL_EVENT_TYPES)
def test_an_event_has_a_message_a_dataclass_golden_files_and_one_area(event_type: str) -> None:
    event = EVENT_TYPES[event_type]
    assert issubclass(event, Event)
    assert message_class(event_type).DESCRIPTOR.name == event.__name__
    assert {f"{event_type}.binpb", f"{event_type}.json"} <= {path.name for path in GOLDEN.iterdir()}
    assert len(areas_of(event_type)) == 1
    assert event.__module__ == f"domain.{areas_of(event_type)[0]}.events"
    assert re.fullmatch(r"[a-z_]+\.[a-z_]+\.v[1-9][0-9]*", event_type), "a chosen name with a version"


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_a_view_handles_or_passes_over_each_event_and_never_both(view: View) -> None:
    assert view.handles | view.ignores == EVENT_NAMES, "a new event is never passed over by oversight"
    assert view.handles & view.ignores == frozenset()
    assert view.handles


def test_views_and_areas_have_names_of_their_own() -> None:
    assert len({view.name for view in VIEWS}) == len(VIEWS)
    assert len({area.category for area in AREAS}) == len(AREAS)


def test_no_view_is_moved_by_who_read_what() -> None:
    reads = {CaseViewed.EVENT_TYPE, AccessDenied.EVENT_TYPE}
    assert [view.name for view in VIEWS if view.handles & reads] == [], "a watch would wake itself by reading"
