"""Copies of frozen things: a state is never changed, the next one is a copy of it in which something is new."""

from __future__ import annotations

from typing import TYPE_CHECKING

__all__ = ["replace"]

if TYPE_CHECKING:
    from dataclasses import replace
else:
    from collections.abc import Callable
    from dataclasses import fields
    from functools import cache
    from typing import Any

    def replace(thing: Any, /, **changes: Any) -> Any:
        """Do what ``dataclasses.replace`` does for a slotted dataclass, in half its time: each fold of an event makes several copies."""
        cls = type(thing)
        copy = object.__new__(cls)
        for name, read, write in _slots(cls):
            write(copy, changes.pop(name) if name in changes else read(thing))
        if changes:
            raise TypeError(f"{cls.__name__} has no field {', '.join(changes)}")
        return copy

    @cache
    def _slots(cls: type) -> tuple[tuple[str, Callable[[Any], Any], Callable[[Any, Any], None]], ...]:
        """Return the name of every field with the ways to read and to set it, past the guard of a frozen class."""
        if hasattr(cls, "__post_init__"):
            raise TypeError(f"{cls.__name__} has a __post_init__, which would be passed over")
        slots = [(field.name, getattr(cls, field.name)) for field in fields(cls)]
        return tuple([(name, slot.__get__, slot.__set__) for name, slot in slots])
