from __future__ import annotations

from typing import Any

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from domain.kernel.rules import Refused, rule
from services.runtime import errors
from services.runtime.errors import (
    ContentMismatch,
    Exhausted,
    HubError,
    IntegrityError,
    Invalid,
    NotFound,
    NotPermitted,
    SignatureInvalid,
    Unavailable,
    Violation,
    WrongExpectedVersion,
)
from services.runtime.status import VIOLATIONS_MAX, status_of

A_RULE = rule("incident.notifier", "Only a council notifies.", "Children Act 2004 s16C")
CASES: list[tuple[BaseException, grpc.StatusCode, str, str, dict[str, str]]] = [
    (
        Refused(A_RULE),
        grpc.StatusCode.FAILED_PRECONDITION,
        "REFUSED",
        "incident.notifier: Only a council notifies.",
        {"rule": "incident.notifier"},
    ),
    (
        WrongExpectedVersion("incident-1", 2, 3),
        grpc.StatusCode.ABORTED,
        "WRONG_EXPECTED_VERSION",
        "stream incident-1: expected version 2, found 3",
        {"stream": "incident-1", "expected_version": "2", "current_version": "3"},
    ),
    (NotPermitted("wire.x", "no"), grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", "wire.x: no", {"rule": "wire.x"}),
    (NotFound("case 1 is not yours"), grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "not found", {}),
    (
        Invalid(Violation("events", "1 to 500"), rule="wire.request_events"),
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID",
        "events: 1 to 500",
        {"rule": "wire.request_events"},
    ),
    (
        SignatureInvalid("wire.commitment", "no"),
        grpc.StatusCode.UNAUTHENTICATED,
        "SIGNATURE_INVALID",
        "wire.commitment: no",
        {"rule": "wire.commitment"},
    ),
    (ContentMismatch("other bytes"), grpc.StatusCode.ALREADY_EXISTS, "CONTENT_MISMATCH", "other bytes", {}),
    (Unavailable("busy", 2.5), grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", "busy", {}),
    (Exhausted("slow", resume_token="7"), grpc.StatusCode.RESOURCE_EXHAUSTED, "EXHAUSTED", "slow", {"resume_token": "7"}),  # noqa: S106
    (Exhausted("slow"), grpc.StatusCode.RESOURCE_EXHAUSTED, "EXHAUSTED", "slow", {}),
    (
        IntegrityError("key of case-1"),
        grpc.StatusCode.DATA_LOSS,
        "INTEGRITY",
        "the hub contradicts itself; its operator is called",
        {},
    ),
    (TimeoutError("x"), grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "not answered in time", {}),
    (ValueError("a child's name"), grpc.StatusCode.INTERNAL, "INTERNAL", "internal error", {}),
    (HubError("a child's name"), grpc.StatusCode.INTERNAL, "INTERNAL", "internal error", {}),
]


def detail(status: Status, kind: type[Any]) -> Any:
    found = [one for one in status.details if one.Is(kind.DESCRIPTOR)]
    if not found:
        return None
    message = kind()
    assert found[0].Unpack(message)
    return message


@pytest.mark.parametrize(("error", "code", "reason", "message", "facts"), CASES, ids=[type(case[0]).__name__ for case in CASES])
def test_every_error_has_one_code_reason_and_message(
    error: BaseException, code: grpc.StatusCode, reason: str, message: str, facts: dict[str, str]
) -> None:
    status = status_of(error)
    assert (status.code, status.message) == (code.value[0], message)
    info = detail(status, ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == (reason, "safeguarding.hub", facts)


def test_every_hub_error_is_in_the_table() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HubError)} - {HubError}
    assert kinds == {type(case[0]) for case in CASES if isinstance(case[0], HubError)} - {HubError}


def test_wrong_fields_are_listed_up_to_a_limit() -> None:
    status = status_of(Invalid(*(Violation(f"f{number}", "less") for number in range(VIOLATIONS_MAX + 5))))
    found = detail(status, BadRequest).field_violations
    assert [(one.field, one.description) for one in found] == [(f"f{number}", "less") for number in range(VIOLATIONS_MAX)]
    assert len(status.message) <= 300


def test_a_retry_delay_is_given_where_trying_again_helps() -> None:
    delay = detail(status_of(Unavailable("busy", 2.5)), RetryInfo).retry_delay
    assert (delay.seconds, delay.nanos) == (2, 500_000_000)
    assert detail(status_of(Exhausted("quota", retry_after_seconds=1.0)), RetryInfo).retry_delay.seconds == 1


@pytest.mark.parametrize("error", [case[0] for case in CASES if not isinstance(case[0], Unavailable)])
def test_no_retry_delay_is_given_where_it_does_not(error: BaseException) -> None:
    assert detail(status_of(error), RetryInfo) is None
