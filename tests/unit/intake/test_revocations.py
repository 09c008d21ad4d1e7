from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from domain.kernel.ids import KeyId
from services.eventstore.local import LocalEventStore
from services.intake import revocations
from services.intake.registry import RegistryFollower
from services.intake.revocations import Revocations
from services.runtime.errors import Unavailable

SHARDS = ("east", "north", "south")
KEY, OTHER = KeyId("la-northmoor:1"), KeyId("la-northmoor:2")


class Registry(RegistryFollower):
    """Knows of its revoked keys by being told."""

    def __init__(self, store: LocalEventStore) -> None:
        self._store = store
        self.keys = [KEY]

    def revoked(self) -> tuple[KeyId, ...]:
        return tuple(self.keys)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalEventStore]:
    monkeypatch.setattr(revocations, "RETRY_SECONDS", 0.01)
    store = LocalEventStore(tmp_path / "events.sqlite")
    for name in SHARDS:
        store.create_shard(name)
    yield store
    store.close()


def known(store: LocalEventStore) -> dict[str, set[str]]:
    return {name: set(store.shard(name).revoked_keys()) for name in store.shards()}


@pytest.fixture
def away(store: LocalEventStore, monkeypatch: pytest.MonkeyPatch) -> Away:
    return Away(store, "east", monkeypatch)


class Away:
    """Shard east cannot be written until it is back."""

    def __init__(self, store: LocalEventStore, name: str, patched: pytest.MonkeyPatch) -> None:
        self.tries, self.is_back = 0, False
        shard = store.shard(name)
        write = shard.revoke_key

        def revoke_key(key_id: str) -> Future[None]:
            self.tries += 1
            if self.is_back:
                return write(key_id)
            failed: Future[None] = Future()
            failed.set_exception(Unavailable("not now"))
            return failed

        patched.setattr(shard, "revoke_key", revoke_key)


async def test_whoever_revokes_is_answered_when_every_shard_knows(store: LocalEventStore) -> None:
    await Revocations(Registry(store)).spread()
    assert known(store) == {name: {KEY} for name in SHARDS}


async def test_a_shard_that_cannot_be_written_holds_up_no_other_and_is_tried_until_it_knows(
    store: LocalEventStore, away: Away, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocations, "REVOKING_MAX_SECONDS", 0.2)
    spread = Revocations(Registry(store))
    await spread.spread()
    assert known(store) == {"east": set(), "north": {KEY}, "south": {KEY}}
    assert away.tries > 1
    away.is_back = True
    monkeypatch.setattr(revocations, "REVOKING_MAX_SECONDS", 10.0)
    await spread.spread()
    assert known(store) == {name: {KEY} for name in SHARDS}


async def test_what_is_revoked_meanwhile_is_carried_as_well(store: LocalEventStore, away: Away) -> None:
    registry = Registry(store)
    spread = Revocations(registry)
    first = asyncio.ensure_future(spread.spread())
    while not away.tries:  # noqa: ASYNC110  nobody signals it
        await asyncio.sleep(0.01)
    registry.keys.append(OTHER)
    second = asyncio.ensure_future(spread.spread())
    away.is_back = True
    await asyncio.gather(first, second)
    assert known(store) == {name: {KEY, OTHER} for name in SHARDS}


async def test_whatever_goes_wrong_it_is_tried_again(store: LocalEventStore, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = Registry(store)
    wrong = iter([ValueError("unforeseen"), Unavailable("not now")])

    def revoked() -> tuple[KeyId, ...]:
        for error in wrong:
            raise error
        return (KEY,)

    monkeypatch.setattr(registry, "revoked", revoked)
    await Revocations(registry).spread()
    assert known(store) == {name: {KEY} for name in SHARDS}


async def test_a_hub_that_stops_gives_up(store: LocalEventStore, away: Away) -> None:
    spread = Revocations(Registry(store))
    spread.begin()
    while not away.tries:  # noqa: ASYNC110  nobody signals it
        await asyncio.sleep(0.01)
    await spread.close()
    await spread.close()
    tries = away.tries
    await asyncio.sleep(0.05)
    assert away.tries == tries
