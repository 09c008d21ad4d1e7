"""What the hub answers for each event: a receipt, or a refusal that says what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from google.rpc.error_details_pb2 import BadRequest

from domain.areas import RULES
from domain.kernel.ids import RuleId
from domain.kernel.rules import Refused
from safeguarding.hub.v1.append_pb2 import FindingNote, Outcome, Receipt, Refusal, RefusalCode
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.frame import UnknownControl
from services.eventstore.port import Placed, ShardStore, Stored
from services.runtime.errors import (
    ContentMismatch,
    HubError,
    IntegrityError,
    Invalid,
    NotPermitted,
    SignatureInvalid,
    Unavailable,
    WrongExpectedVersion,
)

_NANOS_PER_MILLISECOND: Final = 1_000_000


def accepted(shard: str, placed: Placed, findings: Sequence[str], mended: Sequence[str]) -> Outcome:
    """Return the receipt of an event that was accepted now."""
    outcome = Outcome()
    _write(outcome.receipt, shard, placed, findings, mended)
    return outcome


def replayed(shard: ShardStore, stored: Stored) -> Outcome:
    """Return the receipt of an event that was on the log before."""
    return Outcome(receipt=receipt_of(shard, stored))


def receipt_of(shard: ShardStore, stored: Stored) -> Receipt:
    """Return the receipt of an event on the log: the one first given, for ever."""
    logged = LoggedEvent.FromString(stored.state)
    placed = Placed(stored.event_id, stored.stream, stored.version, stored.position, stored.recorded_at_ms, shard.leaf(stored))
    answer = Receipt()
    _write(answer, shard.name, placed, logged.findings, logged.mended)
    return answer


def _write(answer: Receipt, shard: str, placed: Placed, findings: Sequence[str], mended: Sequence[str]) -> None:
    """Fill in the receipt of an event that lies at ``placed``, where it belongs: one that is made apart and copied takes thrice as long."""
    answer.event_id = placed.event_id
    answer.shard = shard
    answer.position = placed.position
    answer.stream = placed.stream
    answer.version = placed.version
    answer.leaf = placed.leaf
    seconds, milliseconds = divmod(placed.recorded_at_ms, 1_000)
    answer.recorded_at.seconds = seconds
    answer.recorded_at.nanos = milliseconds * _NANOS_PER_MILLISECOND
    if findings:
        answer.findings.extend([note(rule) for rule in findings])
    if mended:
        answer.mended.extend(mended)


def note(rule_id: str) -> FindingNote:
    """Return a finding in words; a rule that this binary no longer has is named by its id alone."""
    rule = RULES.get(RuleId(rule_id))
    if rule is None:
        return FindingNote(rule=rule_id)
    return FindingNote(rule=rule.id, words=rule.words, mend=rule.mend)


def refused(event_id: bytes, error: HubError | Refused) -> Outcome:
    """Turn what was raised into the refusal of one event: the one table for ``AppendEvents``."""
    refusal = Refusal(event_id=event_id, reason=str(error))
    match error:
        case Refused():
            refusal.code, refusal.rule, refusal.reason = RefusalCode.REFUSAL_CODE_REFUSED, error.rule.id, error.reason
        case Invalid():
            refusal.code, refusal.rule = RefusalCode.REFUSAL_CODE_INVALID, error.rule
            refusal.violations.extend(
                BadRequest.FieldViolation(field=violation.field, description=violation.expected) for violation in error.violations
            )
        case SignatureInvalid():
            refusal.code, refusal.rule, refusal.reason = RefusalCode.REFUSAL_CODE_SIGNATURE_INVALID, error.rule, error.reason
        case NotPermitted():
            refusal.code, refusal.rule, refusal.reason = RefusalCode.REFUSAL_CODE_NOT_PERMITTED, error.rule, error.reason
        case WrongExpectedVersion():
            refusal.code, refusal.rule = RefusalCode.REFUSAL_CODE_WRONG_EXPECTED_VERSION, "wire.expected_version"
            refusal.expected_version, refusal.current_version = error.expected, error.current
        case ContentMismatch():
            refusal.code, refusal.rule = RefusalCode.REFUSAL_CODE_CONTENT_MISMATCH, "wire.replay_other_bytes"
        case Unavailable():
            refusal.code, refusal.rule = RefusalCode.REFUSAL_CODE_UNAVAILABLE, "wire.unavailable"
            refusal.retry_after_ms = int(error.retry_after_seconds * 1000)
        case IntegrityError():
            refusal.code, refusal.rule = RefusalCode.REFUSAL_CODE_INTEGRITY, "hub.integrity"
            refusal.reason = "the log contradicts itself; the operator was called"
        case UnknownControl():
            refusal.code, refusal.rule = RefusalCode.REFUSAL_CODE_UNAVAILABLE, "wire.unavailable"
            refusal.reason = "this node is older than the log and has stopped; another one decides"
        case _:
            raise error
    return Outcome(refusal=refusal)


def refused_with_others(event_id: bytes) -> Outcome:
    """Refuse an event because another one of its atomic request was refused."""
    return Outcome(
        refusal=Refusal(
            event_id=event_id,
            code=RefusalCode.REFUSAL_CODE_ATOMIC,
            rule="wire.atomic",
            reason="another event of this atomic request was refused; nothing of it is on the log",
        )
    )
