"""The field rules that the contract declares (protovalidate), and the fields it does not have, as violations that a caller can act on."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from services.runtime.errors import Invalid, Violation

if TYPE_CHECKING:
    from protovalidate import Validator

_VIOLATIONS_MAX: Final = 50
_UNKNOWN_FIELDS_MAX: Final = 20


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


def refuse_unknown_fields(message: Message, serialized: bytes, prefix: str = "") -> None:
    """Refuse what this contract has no field for: a newer client must hear that an older hub would not understand it."""
    size = message.ByteSize()
    message.DiscardUnknownFields()  # type: ignore[no-untyped-call, unused-ignore]
    if message.ByteSize() == size:
        return
    paths = _unknown_paths(type(message).FromString(serialized), prefix)[:_UNKNOWN_FIELDS_MAX]
    raise Invalid(*(Violation(path, "a field of this version of the contract") for path in paths), rule="wire.unknown_field")


def _unknown_fields(message: Message) -> list[Any]:
    """Return the unknown fields of one message, not of those in it."""
    found: Any = UnknownFieldSet(message)
    return list(found)


def _unknown_paths(message: Message, prefix: str) -> list[str]:
    """Name every unknown field of a message by its path and number."""
    paths = [f"{prefix}<{field.field_number}>" for field in _unknown_fields(message)]
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        if descriptor.is_repeated:
            for index, item in enumerate(value):
                paths += _unknown_paths(item, f"{prefix}{descriptor.name}[{index}].")
        else:
            paths += _unknown_paths(value, f"{prefix}{descriptor.name}.")
    return paths
