"""What no rule of the contract can say of an event's values: clean characters, and moments that agree with their precision."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from domain.kernel.events import Precision, When
from services.eventstore.conversion import Kind, is_message, kinds
from services.eventstore.wiretext import NARRATIVE_EXPECTED, TEXT_EXPECTED, is_clean_narrative, is_clean_text
from services.runtime.errors import Violation

Inspect = Callable[[Any], tuple[Violation, ...]]
"""Return what is wrong with a value: usually nothing."""

_NOTHING: Final = ()


@cache
def inspector(cls: Any) -> Inspect | None:
    """Return the function that inspects a dataclass for unclean text and inexact moments; None if it can hold neither."""
    if cls is When:
        return _moment
    looks = tuple((name, look) for name, kind in kinds(cls).items() if (look := _inspect(kind)) is not None)
    if not looks:
        return None

    def inspect(value: Any) -> tuple[Violation, ...]:
        found: tuple[Violation, ...] = _NOTHING
        for name, look in looks:
            held = getattr(value, name)
            if held is not None and (wrong := look(held)):
                found += tuple(_below(name, violation) for violation in wrong)
        return found

    return inspect


def _inspect(kind: Kind) -> Inspect | None:
    """Return the function that inspects one field's value."""
    if kind.many:
        look = _inspect(kind.item)
        return None if look is None else lambda values: _each(values, look)
    if kind.type is str:
        return _narrative if kind.narrative else _text
    return inspector(kind.type) if is_message(kind) else None


def _each(values: tuple[Any, ...], look: Inspect) -> tuple[Violation, ...]:
    """Inspect every thing of a tuple."""
    found: tuple[Violation, ...] = _NOTHING
    for index, value in enumerate(values):
        if wrong := look(value):
            found += tuple(_below(f"[{index}]", violation) for violation in wrong)
    return found


def _below(name: str, violation: Violation) -> Violation:
    """Put a field's name before the path of a violation."""
    separator = "" if not violation.field or violation.field.startswith("[") else "."
    return Violation(f"{name}{separator}{violation.field}", violation.expected)


_UNCLEAN_TEXT: Final = (Violation("", TEXT_EXPECTED),)
_UNCLEAN_NARRATIVE: Final = (Violation("", NARRATIVE_EXPECTED),)


def _text(text: str) -> tuple[Violation, ...]:
    """Inspect a one-line text."""
    return _NOTHING if is_clean_text(text) else _UNCLEAN_TEXT


def _narrative(text: str) -> tuple[Violation, ...]:
    """Inspect a narrative."""
    return _NOTHING if is_clean_narrative(text) else _UNCLEAN_NARRATIVE


def _moment(when: When) -> tuple[Violation, ...]:
    """Hold a moment to exactly the fields of its precision."""
    precision = when.precision
    instant = precision is Precision.INSTANT
    period = precision is Precision.PERIOD
    if (when.at is not None) is instant and (when.on is None) is instant and (when.until_on is not None) is period:
        if when.on is not None and when.until_on is not None and when.until_on < when.on:
            return (Violation("until_on", "the last day of the period, not before its first"),)
        return _NOTHING
    wanted = {"at": instant, "on": not instant, "until_on": period}
    return tuple(
        Violation(name, f"{'given' if want else 'absent'} when precision is {precision.name}")
        for name, want in wanted.items()
        if (getattr(when, name) is not None) is not want
    )


def is_text_rule(violations: tuple[Violation, ...]) -> bool:
    """Tell whether the first thing wrong is a matter of characters."""
    return violations[0].expected in {TEXT_EXPECTED, NARRATIVE_EXPECTED}
