from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from typing import Any

import pytest

from domain.kernel.moulds import assembler, quick


@dataclass(frozen=True, slots=True)
class Plain:
    first: int
    named: str = field(kw_only=True)
    second: tuple[int, ...] = (1, 2)
    many: dict[str, int] = field(default_factory=dict)
    last: str | None = field(default=None, kw_only=True)


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    first: int
    named: str = field(kw_only=True)
    second: tuple[int, ...] = (1, 2)
    many: dict[str, int] = field(default_factory=dict)
    last: str | None = field(default=None, kw_only=True)


def values(thing: Any) -> list[Any]:
    return [getattr(thing, one.name) for one in fields(thing)]


@pytest.mark.parametrize(
    "make",
    [
        lambda cls: cls(1, named="x"),
        lambda cls: cls(1, (3,), {"a": 1}, named="x", last="y"),
        lambda cls: cls(first=1, second=(), many={"a": 1}, named="x", last=None),
    ],
)
def test_a_quick_class_takes_what_a_plain_one_takes_and_is_made_the_same(make: Callable[[Any], Any]) -> None:
    made = make(Quick)
    assert type(made) is Quick
    assert values(made) == values(make(Plain))
    assert made == make(Quick)
    assert repr(made) == repr(make(Plain)).replace("Plain", "Quick")
    assert replace(made, first=9) == Quick(9, made.second, made.many, named=made.named, last=made.last)


@pytest.mark.parametrize(
    "make", [lambda cls: cls(), lambda cls: cls(1), lambda cls: cls(1, named="x", other=2), lambda cls: cls(1, (), {}, "x")]
)
def test_a_quick_class_refuses_what_a_plain_one_refuses(make: Callable[[Any], Any]) -> None:
    for cls in (Plain, Quick):
        with pytest.raises(TypeError):
            make(cls)


def test_what_a_factory_makes_is_nobody_elses() -> None:
    assert Quick(1, named="x").many is not Quick(1, named="x").many


def test_a_quick_thing_is_as_frozen_as_a_plain_one() -> None:
    made = Quick(1, named="x")
    with pytest.raises(FrozenInstanceError):
        made.first = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        del made.first
    assert hash(Quick(1, (), None, named="x")) == hash(Quick(1, (), None, named="x"))  # type: ignore[arg-type]


def test_an_assembled_thing_is_the_one_its_class_makes() -> None:
    assert assembler(Plain)(1, "x", (3,), {"a": 1}, None) == Plain(1, (3,), {"a": 1}, named="x")


def test_a_class_that_does_something_once_it_is_made_has_no_mould() -> None:
    @dataclass(frozen=True, slots=True)
    class Careful:
        first: int

        def __post_init__(self) -> None:
            """Look at it."""

    with pytest.raises(TypeError, match="__post_init__"):
        quick(Careful)
