"""A bounded cache for one writer and many readers."""

from __future__ import annotations

from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class Generations(Generic[Key, Value]):
    """A bounded cache: when the young generation is full it becomes the old one and the oldest is forgotten."""

    def __init__(self, size: int) -> None:
        """Keep at most ``2 * size`` entries."""
        self._size = size
        self._young: dict[Key, Value] = {}
        self._old: dict[Key, Value] = {}

    def get(self, key: Key) -> Value | None:
        """Return what is cached; any thread may ask."""
        found = self._young.get(key)
        return self._old.get(key) if found is None else found

    def put(self, key: Key, value: Value) -> None:
        """Keep an entry; one thread only."""
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = value

    def clear(self) -> None:
        """Forget everything."""
        self._young, self._old = {}, {}
