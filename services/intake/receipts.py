"""What the hub answers for each event: a receipt, or a refusal that says what to do."""

from __future__ import annotations

from collections.abc import Sequence

from google.rpc.error_details_pb2 import BadRequest

from domain.areas import RULES
from domain.kernel.ids import RuleId
from domain.kernel.rules import Refused
from safeguarding.hub.v1.append_pb2 import FindingNote, Outcome, Receipt, Refusal, RefusalCode
from safeguarding.hub.v1.log_pb2 import LoggedEvent
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


def receipt(shard: str, placed: Placed, findings: Sequence[str], mended: Sequence[str]) -> Receipt:
    """Return the receipt of an event that lies at ``placed``."""
    answer = Receipt(
        event_id=placed.event_id,
        shard=shard,
        position=placed.position,
        stream=placed.stream,
        version=placed.version,
        leaf=placed.leaf,
        findings=[note(rule) for rule in findings],
        mended=mended,
    )
    answer.recorded_at.FromMilliseconds(placed.recorded_at_ms)
    return answer


def receipt_of(shard: ShardStore, stored: Stored) -> Receipt:
    """Return the receipt of an event on the log: the one first given, for ever."""
    logged = LoggedEvent.FromString(stored.state)
    placed = Placed(stored.event_id, stored.stream, stored.version, stored.position, stored.recorded_at_ms, shard.leaf(stored))
    return receipt(shard.name, placed, list(logged.findings), list(logged.mended))


def note(rule_id: str) -> FindingNote:
    """Return a finding in words; a rule that this binary no longer has is named by its id alone."""
    rule = RULES.get(RuleId(rule_id))
    if rule is None:
        return FindingNote(rule=rule_id)
    return FindingNote(rule=rule.id, words=rule.words, mend=rule.mend)


def accepted(answer: Receipt) -> Outcome:
    """Wrap a receipt."""
    return Outcome(receipt=answer)


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
