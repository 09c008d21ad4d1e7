"""What the hub itself states when its key ends: under the next key, once, whoever reads at that moment and whatever waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.access.events import CaseViewed, Resource
from domain.kernel.events import Purpose
from safeguarding.hub.client.identity import SigningKey
from safeguarding.hub.v1.append_pb2 import Outcome, Receipt, Refusal
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from services.intake import own as module
from services.intake.intake import Intake
from services.intake.own import OwnEvents, OwnFact
from services.intake.spool import Spool
from services.runtime.errors import IntegrityError
from tests.support.builders import CASE, COUNCIL, SHARD

KEYS = {number: SigningKey(f"hub:{number}", Ed25519PrivateKey.generate()) for number in (1, 2)}


class Log:
    """Takes what is signed with the key that is good, as the intake does."""

    def __init__(self) -> None:
        self.good, self.events = "hub:1", dict[bytes, bytes]()
        self.is_away = False
        self.refused = set[bytes]()
        """The ids of those that it refuses for good."""
        self.seconds = dict[str, float]()
        """For how long it says nothing about what a key signed, though it has taken it."""

    async def append(self, _caller: str, events: Sequence[SignedEvent]) -> list[Outcome]:
        await asyncio.sleep(0.01)
        outcomes = [self._outcome(event) for event in events]
        await asyncio.sleep(max(self.seconds.pop(event.signature.key_id, 0.0) for event in events))
        return outcomes

    def _outcome(self, event: SignedEvent) -> Outcome:
        header = EventHeader.FromString(event.header)
        known = self.events.get(header.event_id)
        if self.is_away:
            refusal = Refusal(event_id=header.event_id, rule="unavailable")
            refusal.retry_after_ms = 100
            return Outcome(refusal=refusal)
        if header.event_id in self.refused:
            return Outcome(refusal=Refusal(event_id=header.event_id, rule="access.refused"))
        if known is not None and known != event.header:
            return Outcome(refusal=Refusal(event_id=header.event_id, rule="wire.event_id_reused"))
        if event.signature.value != KEYS[int(header.key_id[-1])].sign(event.header):
            return Outcome(refusal=Refusal(event_id=header.event_id, rule="wire.signature"))
        if known is None and header.key_id != self.good:
            return Outcome(refusal=Refusal(event_id=header.event_id, rule="wire.key_retired"))
        self.events[header.event_id] = event.header
        return Outcome(receipt=Receipt(event_id=header.event_id))

    def key_ids(self) -> list[str]:
        return [EventHeader.FromString(header).key_id for header in self.events.values()]


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spool]:
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(module, "SPOOL_AFTER_SECONDS", 0.2)
    opened = Spool(tmp_path / "spool.sqlite")
    yield opened
    opened.close()


def own_events(log: Log, spool: Spool | None = None) -> OwnEvents:
    return OwnEvents(cast("Intake", log), lambda: KEYS[int(log.good[-1])], log_origin="hub.test", run="node-1", spool=spool)


def a_fact() -> OwnFact:
    viewed = CaseViewed(
        viewer_agency=COUNCIL,
        viewer_user="u-1",
        viewer_role="nurse",
        viewer_purpose=Purpose.OVERSIGHT,
        resource=Resource.CHRONOLOGY,
        rows=1,
    )
    return OwnFact(SHARD, CASE, viewed, CASE)


def count_calls(log: Log) -> list[int]:
    """Count from now on how often anything is put on the log."""
    calls, append = [0], log.append

    async def counted(caller: str, events: Sequence[SignedEvent]) -> list[Outcome]:
        calls[0] += 1
        return await append(caller, events)

    log.append = counted  # type: ignore[method-assign]
    return calls


async def emptied(spool: Spool) -> None:
    async with asyncio.timeout(2):
        while len(spool):  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)


async def test_all_who_read_when_the_key_ends_are_recorded_under_the_next_one() -> None:
    log = Log()
    own = own_events(log)
    log.good = "hub:2"
    await asyncio.gather(*(own.append([a_fact(), a_fact()]) for _ in range(5)))

    assert log.key_ids() == ["hub:2"] * 10


async def test_what_waits_when_the_key_ends_is_recorded_under_the_next_one(spool: Spool) -> None:
    log = Log()
    log.is_away = True
    before = own_events(log, spool)
    await before.append([a_fact()])
    log.good, log.is_away = "hub:2", False
    await before.append([a_fact()])
    await emptied(spool)

    assert log.key_ids() == ["hub:2"] * 2


async def test_what_the_log_is_slow_to_tell_of_when_the_key_ends_is_recorded_once(spool: Spool) -> None:
    log = Log()
    own = own_events(log, spool)
    log.good, log.seconds = "hub:2", {"hub:2": 0.5}
    await own.append([a_fact()])
    await emptied(spool)

    assert log.key_ids() == ["hub:2"]


async def test_what_is_refused_for_good_keeps_nothing_behind_it_from_the_log(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPOOLED_A_REQUEST", 2)
    log = Log()
    log.is_away = True
    own = own_events(log, spool)
    for _ in range(3):
        await own.append([a_fact(), a_fact()])
    first = [SignedEvent.FromString(waiting.event) for _, waiting in spool.behind(0, 3)]
    log.refused, log.is_away = {EventHeader.FromString(event.header).event_id for event in first}, False
    async with asyncio.timeout(2):
        while len(spool) > len(first):  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
    await own.close()

    assert len(log.events) == 3
    assert len(spool) == 3


async def test_what_is_refused_for_good_is_tried_ever_more_rarely_and_anew_when_more_comes(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFUSED_RETRY_MAX_SECONDS", 60.0)
    log = Log()
    log.is_away = True
    own = own_events(log, spool)
    await own.append([a_fact()])
    ((_, first),) = spool.behind(0, 1)
    log.refused, log.is_away = {EventHeader.FromString(SignedEvent.FromString(first.event).header).event_id}, False
    calls = count_calls(log)
    await asyncio.sleep(1.0)
    rare = calls[0]
    await own.append([a_fact()])
    async with asyncio.timeout(2):
        while len(spool) > 1:  # noqa: ASYNC110  # it tells nobody
            await asyncio.sleep(0.01)
    await own.close()

    assert rare <= 8, "doubling from 10 ms"
    assert len(log.events) == 1


async def test_while_the_key_has_ended_and_there_is_no_other_nothing_behind_is_tried(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SPOOLED_A_REQUEST", 1)
    monkeypatch.setattr(module, "RETRY_SECONDS", 60.0)
    log = Log()
    log.is_away = True
    own = own_events(log, spool)
    await own.append([a_fact(), a_fact(), a_fact()])
    await own.close()
    log.good, log.is_away = "hub:2", False
    calls = count_calls(log)
    again = OwnEvents(cast("Intake", log), lambda: KEYS[1], log_origin="hub.test", run="node-2", spool=spool)
    again.start()
    await asyncio.sleep(0.5)
    await again.close()

    assert calls[0] == 1
    assert len(spool) == 3


async def test_a_next_key_of_which_only_the_name_lay_there_is_taken_up_when_it_has_come() -> None:
    log, lies_there = Log(), KEYS[1]
    own = OwnEvents(cast("Intake", log), lambda: lies_there, log_origin="hub.test", run="node-1")
    log.good, lies_there = "hub:2", SigningKey("hub:2", KEYS[1].private_key)
    with pytest.raises(IntegrityError):
        await own.append([a_fact()])
    lies_there = KEYS[2]
    await own.append([a_fact()])

    assert log.key_ids() == ["hub:2"]
