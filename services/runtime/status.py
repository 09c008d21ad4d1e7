"""The one table from what went wrong to a gRPC status with details that a program can act on."""

from __future__ import annotations

import math
from typing import Any, Final, Never

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from domain.kernel.rules import Refused
from services.runtime.errors import (
    ContentMismatch,
    Exhausted,
    IntegrityError,
    Invalid,
    NotFound,
    NotPermitted,
    SignatureInvalid,
    Unavailable,
    WrongExpectedVersion,
)

DOMAIN: Final = "safeguarding.hub"
VIOLATIONS_MAX: Final = 20
"""Details travel in the trailers, which clients cap at 8 KiB unless told otherwise."""
_MESSAGE_MAX_CHARACTERS: Final = 300


_INTERNAL: Final = (grpc.StatusCode.INTERNAL, "INTERNAL", "internal error")
_TABLE: Final[tuple[tuple[type[BaseException], grpc.StatusCode, str, str], ...]] = (
    (Refused, grpc.StatusCode.FAILED_PRECONDITION, "REFUSED", ""),
    (WrongExpectedVersion, grpc.StatusCode.ABORTED, "WRONG_EXPECTED_VERSION", ""),
    (NotPermitted, grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED", ""),
    (NotFound, grpc.StatusCode.NOT_FOUND, "NOT_FOUND", "not found"),
    (Invalid, grpc.StatusCode.INVALID_ARGUMENT, "INVALID", ""),
    (SignatureInvalid, grpc.StatusCode.UNAUTHENTICATED, "SIGNATURE_INVALID", ""),
    (ContentMismatch, grpc.StatusCode.ALREADY_EXISTS, "CONTENT_MISMATCH", ""),
    (Unavailable, grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE", ""),
    (Exhausted, grpc.StatusCode.RESOURCE_EXHAUSTED, "EXHAUSTED", ""),
    (IntegrityError, grpc.StatusCode.DATA_LOSS, "INTEGRITY", "the hub contradicts itself; its operator is called"),
    (TimeoutError, grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "not answered in time"),
)
"""Exception, code, stable reason, and what is said in place of the exception's own words (nothing: those)."""


def code_of(error: BaseException) -> tuple[grpc.StatusCode, str, str]:
    """Return code, reason and message for an error. Of an unknown one nothing is told: its text may hold anything."""
    for kind, code, reason, message in _TABLE:
        if isinstance(error, kind):
            return code, reason, message or str(error)[:_MESSAGE_MAX_CHARACTERS]
    return _INTERNAL


def status_of(error: BaseException) -> Status:
    """Return the ``google.rpc.Status`` of an error, with ``ErrorInfo`` and, where they apply, ``BadRequest`` and ``RetryInfo``."""
    code, reason, message = code_of(error)
    status = Status(code=code.value[0], message=message)
    _add(status, ErrorInfo(reason=reason, domain=DOMAIN, metadata=_facts(error)))
    if isinstance(error, Invalid) and error.violations:
        wrong = error.violations[:VIOLATIONS_MAX]
        _add(status, BadRequest(field_violations=[BadRequest.FieldViolation(field=one.field, description=one.expected) for one in wrong]))
    retry_after_seconds = error.retry_after_seconds if isinstance(error, Unavailable | Exhausted) else None
    if retry_after_seconds is not None:
        fraction, seconds = math.modf(retry_after_seconds)
        _add(status, RetryInfo(retry_delay=Duration(seconds=int(seconds), nanos=int(fraction * 1_000_000_000))))
    return status


def _facts(error: BaseException) -> dict[str, str]:
    """Return what a program may want to know besides the reason."""
    match error:
        case Refused():
            return {"rule": str(error.rule.id)}
        case Invalid() | SignatureInvalid() | NotPermitted():
            return {"rule": error.rule}
        case WrongExpectedVersion():
            return {"stream": error.stream, "expected_version": str(error.expected), "current_version": str(error.current)}
        case Exhausted() if error.resume_token:
            return {"resume_token": error.resume_token}
        case _:
            return {}


async def abort(context: grpc.aio.ServicerContext[Any, Any], error: BaseException) -> Never:
    """End an RPC with the status of an error."""
    await context.abort_with_status(rpc_status.to_status(status_of(error)))


def _add(status: Status, detail: Message) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)
