"""The field rules that the contract declares (protovalidate), as violations that a caller can act on."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message
from protovalidate import ValidationError, Validator

from services.runtime.errors import Invalid, Violation

_VALIDATOR: Final = Validator()
_VIOLATIONS_MAX: Final = 50


def check_fields(message: Message, *, prefix: str = "", rule: str = "wire.fields") -> None:
    """Raise ``Invalid`` with every field of ``message`` that breaks a rule of the contract (at most 50, first ones first)."""
    try:
        _VALIDATOR.validate(message)
    except ValidationError as error:
        raise Invalid(*(violation_of(found.proto, prefix) for found in error.violations[:_VIOLATIONS_MAX]), rule=rule) from None


def violation_of(found: Any, prefix: str = "") -> Violation:
    """Return a ``buf.validate.Violation`` as the path of the field and what was expected. It never repeats the value."""
    path = prefix
    for element in found.field.elements if found.field is not None else ():
        if element.field_name:
            path = f"{path}.{element.field_name}" if path else element.field_name
        if element.subscript is not None and element.subscript.field == "index":
            path = f"{path}[{element.subscript.value}]"
    return Violation(field=path, expected=found.message or found.rule_id)
