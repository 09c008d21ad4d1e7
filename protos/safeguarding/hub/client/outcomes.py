"""What becomes of an event: a receipt, a refusal, or not known yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import grpc

from safeguarding.hub.v1 import append_pb2 as wire

Code = wire.RefusalCode
"""The kinds of refusal, for instance ``Code.REFUSAL_CODE_REFUSED``."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that an accepted event broke: it stands, and this is shown until it is mended."""

    rule: str
    words: str
    mend: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that an event is on the log, durably and for good, at this place. ``leaf``: its SHA-256 leaf hash."""

    event_id: bytes
    shard: str
    position: int
    stream: str
    version: int
    recorded_at: datetime
    leaf: bytes
    findings: tuple[Finding, ...] = ()
    mended: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FieldViolation:
    """A field that is wrong, and what was expected."""

    field: str
    expected: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an event is not on the log: the kind of refusal, the rule it names, and what was expected and found."""

    event_id: bytes
    code: wire.RefusalCode.ValueType
    rule: str
    reason: str
    """In words, the fields that are wrong among them."""
    violations: tuple[FieldViolation, ...] = ()
    expected_version: int | None = None
    current_version: int | None = None
    retry_after_ms: int | None = None
    earlier_attempt_unresolved: bool = False
    """An earlier sending of the same event got no answer and may yet be decided: only a receipt would be final.
    ``get_receipt`` tells whether there is one."""
    whole_request: bool = False
    """The request as a whole was refused, before any of its events was looked at."""

    @property
    def helps_to_retry(self) -> bool:
        """Tell whether nothing was decided, so that the same event is to be sent again."""
        return self.code == wire.REFUSAL_CODE_UNAVAILABLE

    def __str__(self) -> str:
        """Say it in a line."""
        name = wire.RefusalCode.Name(self.code).removeprefix("REFUSAL_CODE_")
        doubt = " (refused, earlier attempt unresolved)" if self.earlier_attempt_unresolved else ""
        return f"{name} {self.rule}: {self.reason}{doubt}"


@dataclass(frozen=True, slots=True)
class Unresolved:
    """No answer within the deadline. The event is kept in the outbox; ``resume`` sends the same bytes again."""

    event_id: bytes
    shard: str
    reason: str


Outcome = Receipt | Refusal | Unresolved


class HubClientError(Exception):
    """Something that this client could not do."""


class AppendRefused(HubClientError):
    """The hub refused an event."""

    def __init__(self, refusal: Refusal) -> None:
        """Keep the refusal."""
        self.refusal = refusal
        super().__init__(str(refusal))


class AppendUnresolved(HubClientError):
    """No answer within the deadline; the event is kept and ``resume`` sends it again."""

    def __init__(self, unresolved: Unresolved) -> None:
        """Keep which event it is."""
        self.unresolved = unresolved
        super().__init__(f"event {unresolved.event_id.hex()}: {unresolved.reason}")


class CallFailed(HubClientError):
    """The hub rejects the call itself (not this agency's service, not its certificate …): sending again would not help."""

    def __init__(self, code: grpc.StatusCode, reason: str) -> None:
        """Keep the status."""
        self.code = code
        super().__init__(f"{code.name}: {reason}")


class ClientClosed(HubClientError):
    """The client was closed before the outcome was known; what was signed is kept in the outbox."""


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def receipt_from(message: wire.Receipt) -> Receipt:
    """Return a receipt from the wire."""
    recorded_at = message.recorded_at
    # Of most events nothing was found or mended, and going through an empty list takes longer than asking.
    return Receipt(
        event_id=message.event_id,
        shard=message.shard,
        position=message.position,
        stream=message.stream,
        version=message.version,
        recorded_at=_EPOCH + timedelta(0, recorded_at.seconds, recorded_at.nanos // 1_000),
        leaf=message.leaf,
        findings=tuple([Finding(found.rule, found.words, found.mend) for found in findings]) if (findings := message.findings) else (),
        mended=tuple(mended) if (mended := message.mended) else (),
    )


def refusal_from(message: wire.Refusal, event_id: bytes) -> Refusal:
    """Return a refusal from the wire; the hub leaves the id out when it could not read the header."""
    return Refusal(
        event_id=message.event_id or event_id,
        code=message.code,
        rule=message.rule,
        reason=message.reason,
        violations=tuple(FieldViolation(found.field, found.description) for found in message.violations),
        expected_version=message.expected_version if message.HasField("expected_version") else None,
        current_version=message.current_version if message.HasField("current_version") else None,
        retry_after_ms=message.retry_after_ms if message.HasField("retry_after_ms") else None,
    )
