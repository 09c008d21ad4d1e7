"""A copy in which something is new is the one that ``dataclasses.replace`` makes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, cast

import pytest

from domain.kernel.copies import replace
from tests.support.builders import MONDAY, a_notification, a_referral, a_share, recorded

REFERRAL = a_referral()
CASES: list[tuple[Any, dict[str, Any]]] = [
    (recorded(REFERRAL), {}),
    (recorded(REFERRAL), {"position": 7, "recorded_at": MONDAY}),
    (recorded(REFERRAL), {"event": None}),
    (a_notification(), {"details": None, "children": ()}),
    (a_share(), {"request_id": None}),
]


@pytest.mark.parametrize(("thing", "changes"), CASES)
def test_a_copy_has_what_is_new_and_else_what_it_had(thing: Any, changes: dict[str, Any]) -> None:
    before = dataclasses.asdict(thing)
    copy = replace(thing, **changes)
    assert copy == dataclasses.replace(thing, **changes)
    assert type(copy) is type(thing)
    assert copy is not thing
    assert dataclasses.asdict(thing) == before


def test_a_copy_is_frozen_too() -> None:
    copy: Any = replace(recorded(REFERRAL), position=7)
    with pytest.raises(dataclasses.FrozenInstanceError):
        copy.position = 8


def test_a_field_that_does_not_exist_is_refused() -> None:
    with pytest.raises(TypeError, match="Recorded has no field place"):
        cast("Any", replace)(recorded(REFERRAL), place=7)


@dataclass(frozen=True, slots=True)
class Checked:
    """Something that looks at itself when it is made."""

    number: int

    def __post_init__(self) -> None:
        """Refuse nothing: that it is asked is enough."""


def test_what_looks_at_itself_when_it_is_made_is_not_copied_unlooked_at() -> None:
    with pytest.raises(TypeError, match="__post_init__"):
        replace(Checked(1), number=2)
