"""Telling a case to the hub: everything in its order, each answer held against what it should be, one event sent twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from safeguarding.hub.client.client import HubClient
from safeguarding.hub.client.drafts import Signed
from safeguarding.hub.client.outcomes import Outcome, Receipt, Refusal
from safeguarding.hub.client.routes import append_stub
from safeguarding.hub.v1.append_pb2 import AppendEventsRequest, GetReceiptRequest
from safeguarding.hub.v1.envelope_pb2 import SignedEvent
from services.cli.demo.callers import Callers, Tally, draft
from services.cli.demo.saying import Cast, Saying

CALL_MAX_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One saying and what the hub answered."""

    saying: Saying
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """An event sent twice: the receipt as it was first kept, and as the second sending was answered, byte for byte."""

    event_id: bytes
    position: int
    first: bytes
    again: bytes

    @property
    def digest(self) -> str:
        """The receipt's SHA-256, short."""
        return hashlib.sha256(self.first).hexdigest()[:16]


@dataclass(slots=True)
class Told:
    """A case that the hub was told."""

    cast: Cast
    answers: list[Answered] = field(default_factory=list)
    replays: list[Replay] = field(default_factory=list)

    @property
    def shown(self) -> list[Answered]:
        """The answers worth words."""
        return [one for one in self.answers if one.saying.words]


async def tell(cast: Cast, sayings: Sequence[Saying], callers: Callers, tally: Tally) -> Told:
    """Tell a case: what one agency says without another between is sent in one go."""
    told = Told(cast)
    start = 0
    while start < len(sayings):
        end = start + 1
        while end < len(sayings) and sayings[end].agency == sayings[start].agency:
            end += 1
        await _append(told, sayings[start:end], callers, tally)
        start = end
    return told


async def _append(told: Told, sayings: Sequence[Saying], callers: Callers, tally: Tally) -> None:
    drafts = [
        draft(
            saying.event,
            shard=told.cast.shard,
            case_id=told.cast.case_id,
            role=saying.role,
            purpose=saying.purpose,
            imported=saying.imported,
        )
        for saying in sayings
    ]
    async with callers.of(sayings[0].agency, told.cast.shard) as client:
        signed = await client.sign(drafts)
        outcomes = await client.send(signed)
        tally.count(outcomes)
        for saying, event, outcome in zip(sayings, signed, outcomes, strict=True):
            told.answers.append(Answered(saying=saying, outcome=outcome))
            _check(saying, outcome, tally)
            if saying.replayed and isinstance(outcome, Receipt):
                told.replays.append(await _replay(client, event, outcome, tally))


def _check(saying: Saying, outcome: Outcome, tally: Tally) -> None:
    """Hold an answer against what it should be."""
    what = f"{saying.agency}: {saying.event.EVENT_TYPE}"
    if saying.refused_by:
        rule = outcome.rule if isinstance(outcome, Refusal) else ""
        tally.demand(rule == saying.refused_by, f"{what}: to be refused by {saying.refused_by}, found {outcome}")
    elif isinstance(outcome, Receipt):
        found = tuple(one.rule for one in outcome.findings)
        tally.demand(found == saying.finds, f"{what}: findings: expected {saying.finds}, found {found}")
        tally.demand(outcome.mended == saying.mends, f"{what}: mended: expected {saying.mends}, found {outcome.mended}")
    else:
        tally.demand(False, f"{what}: {outcome}")


async def _replay(client: HubClient, event: Signed, receipt: Receipt, tally: Tally) -> Replay:
    """Send an event's very bytes again and compare the receipts, as serialized on the wire."""
    (again,) = await client.send([event])
    tally.demand(again == receipt, f"a replay of {event.event_id.hex()} was answered with {again}, not with its receipt")
    stub: Any = append_stub(client.sender.agency_id)(client.channel)
    kept = await stub.GetReceipt(GetReceiptRequest(shard=event.shard, event_id=event.event_id), timeout=CALL_MAX_SECONDS)
    call = stub.AppendEvents(timeout=CALL_MAX_SECONDS)
    await call.write(AppendEventsRequest(events=[SignedEvent.FromString(event.message)]))
    answer = await call.read()
    await call.done_writing()
    first, second = kept.receipt.SerializeToString(deterministic=True), answer.outcomes[0].receipt.SerializeToString(deterministic=True)
    tally.demand(first == second, f"a replay of {event.event_id.hex()} was answered with other bytes")
    return Replay(event_id=event.event_id, position=receipt.position, first=first, again=second)
