"""Examining ahead, with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from domain.agency.events import KeyAlgorithm
from domain.incident.events import CaseReferred
from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from services.eventstore.codec import encode_event
from services.intake import ahead
from services.intake.ahead import AHEAD_MIN_EVENTS, Examiners, Proven
from tests.support.builders import CHILD, COUNCIL, POLICE
from tests.support.signed import Member, RegistryLog, a_header, sign


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a process takes long to begin; it is not replaced for that here."""
    monkeypatch.setattr(ahead, "ANSWER_MAX_SECONDS", 60.0)


@pytest.fixture
async def examiners() -> AsyncIterator[Examiners]:
    examiners = Examiners(processes=1)
    examiners.start()
    yield examiners
    await examiners.close()


@pytest.fixture
def council() -> Member:
    return Member.of(COUNCIL)


@pytest.fixture
def national(council: Member) -> RegistryLog:
    log = RegistryLog()
    log.enrol(council)
    return log


BODY = encode_event(CaseReferred(reason="Synthetic.", children=(CHILD,)))


def an_event(member: Member, body: bytes = BODY, **header: str) -> SignedEvent:
    built = a_header(member, body)
    for name, value in {"event_type": CaseReferred.EVENT_TYPE, **header}.items():
        setattr(built, name, value)
    return sign(member, built, body)


async def until_up(examiners: Examiners, events: list[SignedEvent], national: RegistryLog) -> list[Proven]:
    """Ask until the process answers."""
    async with asyncio.timeout(60):
        while not any(found := await examiners.examine(events, national.state)):  # noqa: ASYNC110  # another process begins
            await asyncio.sleep(0.05)
    return found


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that were begun, in order."""
    found: list[subprocess.Popen[bytes]] = []
    begin = subprocess.Popen

    def noted(command: Sequence[str], *, env: Mapping[str, str], stdin: int, stdout: int) -> subprocess.Popen[bytes]:
        found.append(begin(command, env=env, stdin=stdin, stdout=stdout))  # the command under test
        return found[-1]

    monkeypatch.setattr(subprocess, "Popen", noted)
    return found


async def test_sound_events_are_found_so_under_the_registered_key(examiners: Examiners, council: Member, national: RegistryLog) -> None:
    police = Member.of(POLICE, KeyAlgorithm.ECDSA_P256_SHA256)
    national.enrol(police)
    found = await until_up(examiners, [an_event(council), an_event(police)] * AHEAD_MIN_EVENTS, national)
    entries = [national.state.key(member.key_id) for member in (council, police)] * AHEAD_MIN_EVENTS
    assert all(entry is not None and key is entry.public_key for entry, key in zip(entries, found, strict=True))


async def test_whatever_is_wrong_with_an_event_it_is_not_found_sound(examiners: Examiners, council: Member, national: RegistryLog) -> None:
    def changed(**fields: bytes) -> SignedEvent:
        event = an_event(council)
        for name, value in fields.items():
            setattr(event, name, value)
        return event

    impostor = Member(COUNCIL, Member.of(COUNCIL).key, council.key_id)
    wrong = [
        changed(body=encode_event(CaseReferred(reason="Something else.", children=(CHILD,)))),
        changed(salt=bytes(32)),
        changed(salt=b""),
        changed(header=b"\xff\xff"),
        changed(header=an_event(council).header + b"\x00"),
        an_event(impostor),
        an_event(Member.of(POLICE)),  # nobody enrolled it
        an_event(council, actor_role="x" * 10_000),
        an_event(council, event_type="incident.never_heard_of.v1"),
        an_event(council, encode_event(CaseReferred(reason="a\u202eb", children=(CHILD,)))),
        an_event(council, encode_event(CaseReferred(reason="", children=(CHILD,)))),
        an_event(council, b"\xff"),
    ]
    found = await until_up(examiners, [event for one in wrong for event in (one, an_event(council))], national)
    assert found[::2] == [None] * len(wrong)
    assert all(found[1::2])


async def test_few_events_are_left_to_the_caller_and_those_of_one_moment_are_counted_together(
    examiners: Examiners, council: Member, national: RegistryLog
) -> None:
    await until_up(examiners, [an_event(council)] * AHEAD_MIN_EVENTS, national)
    assert await examiners.examine([an_event(council)], national.state) == [None]
    together = await asyncio.gather(*(examiners.examine([an_event(council)], national.state) for _ in range(AHEAD_MIN_EVENTS)))
    assert all(found[0] is not None for found in together)


async def test_a_process_that_ends_costs_only_its_help_and_another_is_begun(
    examiners: Examiners, council: Member, national: RegistryLog, begun: list[subprocess.Popen[bytes]]
) -> None:
    events = [an_event(council)] * AHEAD_MIN_EVENTS
    await until_up(examiners, events, national)
    former = begun[0]
    os.kill(former.pid, signal.SIGSTOP)
    asked = asyncio.create_task(examiners.examine(events, national.state))
    await asyncio.sleep(0.05)
    os.kill(former.pid, signal.SIGKILL)
    assert await asked == [None] * len(events)
    await until_up(examiners, events, national)
    assert former.poll() == -signal.SIGKILL
    assert len(begun) == 2


async def test_a_process_that_does_not_answer_is_replaced(
    examiners: Examiners, council: Member, national: RegistryLog, begun: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [an_event(council)] * AHEAD_MIN_EVENTS
    await until_up(examiners, events, national)
    with monkeypatch.context() as patch:
        patch.setattr(ahead, "ANSWER_MAX_SECONDS", 0.1)
        os.kill(begun[0].pid, signal.SIGSTOP)
        assert await examiners.examine(events, national.state) == [None] * len(events)
    await until_up(examiners, events, national)
    assert begun[0].poll() == -signal.SIGKILL
    assert len(begun) == 2


async def test_nothing_runs_before_it_is_needed_or_after_it_is_closed(
    council: Member, national: RegistryLog, begun: list[subprocess.Popen[bytes]]
) -> None:
    examiners = Examiners(processes=1)
    events = [an_event(council)] * AHEAD_MIN_EVENTS
    assert await examiners.examine(events, national.state) == [None] * len(events)
    examiners.start()
    await examiners.examine([an_event(council)], national.state)
    assert begun == []
    await until_up(examiners, events, national)
    (process,) = begun
    await examiners.close()
    assert process.poll() == -signal.SIGKILL
    assert await examiners.examine(events, national.state) == [None] * len(events)


async def test_without_processes_everything_is_left_to_the_caller(council: Member, national: RegistryLog) -> None:
    examiners = Examiners(processes=0)
    examiners.start()
    assert await examiners.examine([an_event(council)] * AHEAD_MIN_EVENTS, national.state) == [None] * AHEAD_MIN_EVENTS
    await examiners.close()
