from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable

import pytest

from domain.kernel.ids import KeyId
from services.intake import revocations
from services.intake.revocations import Revocations
from services.runtime.errors import Unavailable


class Registry:
    """Knows one revoked key; its shards take it when they are told to."""

    def __init__(self) -> None:
        self.spread_to: list[tuple[KeyId, ...]] = []
        self.may_spread = threading.Event()
        self.failures = 0

    def revoked(self) -> tuple[KeyId, ...]:
        return (KeyId("la-northmoor:1"),)

    def spread(self, revoked: Iterable[KeyId]) -> None:
        assert self.may_spread.wait(10)
        if self.failures:
            self.failures -= 1
            raise Unavailable("not now")
        self.spread_to.append(tuple(revoked))


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    monkeypatch.setattr(revocations, "RETRY_SECONDS", 0.01)
    return Registry()


async def test_whoever_revokes_waits_until_every_shard_knows(registry: Registry) -> None:
    spread = Revocations(registry)  # type: ignore[arg-type]
    waiting = asyncio.ensure_future(spread.spread())
    await asyncio.sleep(0.05)
    assert not waiting.done()
    registry.may_spread.set()
    await waiting
    assert registry.spread_to == [("la-northmoor:1",)]


async def test_what_fails_is_tried_until_it_is_done(registry: Registry) -> None:
    spread = Revocations(registry)  # type: ignore[arg-type]
    registry.failures = 3
    registry.may_spread.set()
    await spread.spread()
    assert registry.spread_to == [("la-northmoor:1",)]


async def test_what_is_revoked_meanwhile_is_carried_as_well(registry: Registry) -> None:
    spread = Revocations(registry)  # type: ignore[arg-type]
    both = [asyncio.ensure_future(spread.spread())]
    await asyncio.sleep(0.05)
    both.append(asyncio.ensure_future(spread.spread()))
    await asyncio.sleep(0.05)
    registry.may_spread.set()
    await asyncio.wait(both)
    assert len(registry.spread_to) == 2


async def test_whoever_revokes_is_answered_though_a_shard_cannot_be_written_and_it_goes_on(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "WAIT_MAX_SECONDS", 0.05)
    spread = Revocations(registry)  # type: ignore[arg-type]
    await spread.spread()
    assert registry.spread_to == []
    registry.may_spread.set()
    await spread.spread()
    assert registry.spread_to
    await spread.close()
