"""Reading the hub's answers: one outcome for each event of a request, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from safeguarding.hub.client.drafts import Signed
from safeguarding.hub.client.outcomes import FieldViolation, Receipt, Refusal, receipt_from, refusal_from
from safeguarding.hub.v1 import append_pb2 as wire

_NOT_NOW: Final = frozenset({grpc.StatusCode.UNAVAILABLE.value[0], grpc.StatusCode.RESOURCE_EXHAUSTED.value[0]})


class BrokenAnswer(Exception):
    """The hub's answers do not fit its requests."""


def outcomes_of(events: Sequence[Signed], answer: wire.AppendEventsResponse) -> list[Receipt | Refusal]:
    """Return the outcome of each event of a request; raise ``BrokenAnswer`` if they do not fit."""
    if answer.HasField("error"):
        return [_refused_with_its_request(event, answer.error) for event in events]
    if len(answer.outcomes) != len(events):
        raise BrokenAnswer(f"the hub answered {len(answer.outcomes)} outcomes for {len(events)} events")
    return [_outcome(event, outcome) for event, outcome in zip(events, answer.outcomes, strict=True)]


def _outcome(event: Signed, outcome: wire.Outcome) -> Receipt | Refusal:
    """Return one outcome."""
    if outcome.HasField("refusal"):
        return refusal_from(outcome.refusal, event.event_id)
    receipt = outcome.receipt
    if receipt.event_id != event.event_id:
        raise BrokenAnswer("the hub answered with the receipt of another event")
    return receipt_from(receipt)


def _refused_with_its_request(event: Signed, status: Status) -> Refusal:
    """Return the refusal of an event whose request was refused as a whole."""
    code = wire.REFUSAL_CODE_UNAVAILABLE if status.code in _NOT_NOW else wire.REFUSAL_CODE_INVALID
    info, retry, wrong = ErrorInfo(), RetryInfo(), BadRequest()
    for detail in status.details:
        # Each unpacks its own kind only.
        detail.Unpack(info)
        detail.Unpack(retry)
        detail.Unpack(wrong)
    return Refusal(
        event_id=event.event_id,
        code=code,
        rule=info.metadata.get("rule") or info.reason or "wire.request",
        reason=status.message,
        violations=tuple(FieldViolation(found.field, found.description) for found in wrong.field_violations),
        retry_after_ms=retry.retry_delay.ToMilliseconds() or None,
        whole_request=True,
    )
