"""The field rules that the contract declares (protovalidate), as violations that a caller can act on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import Message

from services.runtime.errors import Invalid, Violation

if TYPE_CHECKING:
    from protovalidate import Validator

_VIOLATIONS_MAX: Final = 50


@cache
def validator() -> Validator:
    """Return the validator, loaded with the first message to be checked: a hub that starts answers before that."""
    from protovalidate import Validator  # noqa: PLC0415  # it takes a tenth of the whole start

    return Validator()


def check_fields(message: Message, *, prefix: str = "", rule: str = "wire.fields") -> None:
    """Raise ``Invalid`` with every field of ``message`` that breaks a rule of the contract (at most 50, first ones first)."""
    violations = validator().collect_violations(message)
    if violations:
        raise Invalid(*(violation_of(found.proto, prefix) for found in violations[:_VIOLATIONS_MAX]), rule=rule)


def violation_of(found: Any, prefix: str = "") -> Violation:
    """Return a ``buf.validate.Violation`` as the path of the field and what was expected. It never repeats the value."""
    path = prefix
    for element in found.field.elements if found.field is not None else ():
        if element.field_name:
            path = f"{path}.{element.field_name}" if path else element.field_name
        if element.subscript is not None and element.subscript.field == "index":
            path = f"{path}[{element.subscript.value}]"
    return Violation(field=path, expected=found.message or found.rule_id)
