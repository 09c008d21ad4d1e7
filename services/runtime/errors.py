"""What can go wrong, in words a caller can act on. ``services.runtime.status`` turns each into a gRPC status.

No message of these may hold personal data: ids, counts and field names only.
"""

from __future__ import annotations

from dataclasses import dataclass


class HubError(Exception):
    """Something the hub refuses or cannot do."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong: its path, and what was expected."""

    field: str
    expected: str


class Invalid(HubError):
    """The input is malformed."""

    def __init__(self, *violations: Violation, rule: str = "wire.fields") -> None:
        """Keep the fields that are wrong."""
        self.violations = violations
        self.rule = rule
        super().__init__("; ".join(f"{violation.field}: {violation.expected}" for violation in violations))


class SignatureInvalid(HubError):
    """Who signed what cannot be established; ``rule`` says which check failed."""

    def __init__(self, rule: str, reason: str) -> None:
        """Keep the failed check, for instance ``wire.commitment``."""
        self.rule = rule
        self.reason = reason
        super().__init__(f"{rule}: {reason}")


class NotPermitted(HubError):
    """The caller may not do this, or the thing is not there: the two are never told apart to the caller."""

    def __init__(self, rule: str, reason: str) -> None:
        """Keep the rule that forbids it."""
        self.rule = rule
        self.reason = reason
        super().__init__(f"{rule}: {reason}")


class NotFound(HubError):
    """Not there, or not yours."""


class WrongExpectedVersion(HubError):
    """A stream is not at the version that the sender expected."""

    def __init__(self, stream: str, expected: int, current: int) -> None:
        """Keep both versions."""
        self.stream = stream
        self.expected = expected
        self.current = current
        super().__init__(f"stream {stream}: expected version {expected}, found {current}")


class ContentMismatch(HubError):
    """The event id is on the log with other bytes."""


class Unavailable(HubError):
    """Not now: nothing was decided, and trying again helps."""

    def __init__(self, reason: str, retry_after_seconds: float = 1.0) -> None:
        """Keep when to try again."""
        self.retry_after_seconds = retry_after_seconds
        super().__init__(reason)


class IntegrityError(HubError):
    """The log, the keys or a view contradict themselves: never expected, pages someone."""


class Exhausted(HubError):
    """More was asked for than there is room for; what was decided stands."""

    def __init__(self, reason: str, *, retry_after_seconds: float | None = None, resume_token: str = "") -> None:
        """Keep when to try again, if that helps, and for a watch where to go on."""
        self.retry_after_seconds = retry_after_seconds
        self.resume_token = resume_token
        super().__init__(reason)
