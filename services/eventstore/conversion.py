"""Compiles one function each way between a wire message and its dataclass, from the descriptor and the annotations."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Annotated, Any, Final, NewType, Union, cast, get_args, get_origin, get_type_hints

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from domain.kernel.events import Narrative
from domain.kernel.moulds import compiled, moulds
from services.runtime.errors import Violation

Read = Callable[[Any], Any]
"""From a message (for a field: from the message that holds it) to a domain value."""
Write = Callable[[Any], Any]
"""From a domain value to what a message's constructor takes."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_DAY: Final = date(1900, 1, 1)
_LAST_DAY: Final = date(2100, 12, 31)
_NANOS_PER_MICRO: Final = 1_000
_NANOS_PER_SECOND: Final = 1_000_000_000
_DAY_EXPECTED: Final = "a day that exists, from 1900 to 2100: year, month and day"
_INSTANT_EXPECTED: Final = "an instant from 1900 to 2100, nanos 0 to 999999999"
_UNICODE_EXPECTED: Final = "valid Unicode"
_AWARE_EXPECTED: Final = "an instant with its time zone"


@dataclass(frozen=True, slots=True)
class Kind:
    """What an annotation says of a field: its type behind aliases and ``None``, whether it is a narrative, whether it may be ``None``."""

    type: Any
    narrative: bool
    optional: bool

    @property
    def many(self) -> bool:
        """Tell whether it is a tuple of things."""
        return get_origin(self.type) is tuple

    @property
    def item(self) -> Kind:
        """The kind of a tuple's things."""
        return kind_of_hint(get_args(self.type)[0])


def is_message(kind: Kind) -> bool:
    """Tell whether a value of this kind is a message of its own on the wire."""
    return is_dataclass(kind.type)


def kind_of_hint(hint: Any) -> Kind:
    """Take an annotation apart."""
    optional = narrative = False
    while True:
        if hint == Narrative:
            narrative = True
        if isinstance(hint, NewType):
            hint = hint.__supertype__
        elif get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        elif get_origin(hint) in (Union, types.UnionType):
            optional = True
            (hint,) = (part for part in get_args(hint) if part is not type(None))
        else:
            return Kind(hint, narrative, optional)


@cache
def kinds(cls: Any) -> Mapping[str, Kind]:
    """Return the kind of every field of a dataclass, in order."""
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: kind_of_hint(hints[field.name]) for field in fields(cls)}


@cache
def reader(message: Descriptor, cls: Any) -> Read:
    """Return the function from a message to its dataclass.

    It raises ``ValueError``, ``KeyError`` or ``OverflowError`` for a day, code or instant that does not exist; ``misfits`` says where.
    It is written out as Python and compiled, as dataclasses are: one line a field, since a rebuild reads every event of the log and
    the generated ``__init__`` of a frozen class alone would take a third of its time.
    """
    names = moulds(cls)
    defaults = {field.name: None if field.default is MISSING else field.default for field in fields(cls)}
    lines = ["def read(source):", " has = source.HasField", " value = mould()"]
    for name, kind in kinds(cls).items():
        lines.append(f" value.{name} = {_expression(message.fields_by_name[name], kind, defaults[name], names)}")
    lines += [" value.__class__ = cls", " return value"]
    return cast("Read", compiled("read", lines, names))


def _expression(descriptor: FieldDescriptor, kind: Kind, absent: Any, names: dict[str, Any]) -> str:
    """Return the expression that reads one field of ``source``; put what it needs into ``names``."""
    name = descriptor.name
    if descriptor.enum_type is not None:
        table = members(descriptor.enum_type, kind.item.type if kind.many else kind.type)
        names[f"codes_{name}"] = table if kind.many or (absent is None and not kind.optional) else table | {0: absent}
        return _many(name, f"codes_{name}[item]") if kind.many else f"codes_{name}[source.{name}]"
    convert = _convert(descriptor, kind.item if kind.many else kind)
    names[f"convert_{name}"] = convert
    if kind.many:
        return _many(name, f"convert_{name}(item)" if convert else "item")
    present = f"convert_{name}(source.{name})" if convert else f"source.{name}"
    if not descriptor.has_presence or (convert and not kind.optional):
        return present
    names[f"absent_{name}"] = absent
    return f"{present} if has({name!r}) else absent_{name}"


def _many(name: str, item: str) -> str:
    """Return the expression that reads a list; most lists of most events are empty, and going through one takes longer than asking."""
    return f"tuple([{item} for item in items]) if (items := source.{name}) else ()"


def _convert(descriptor: FieldDescriptor, kind: Kind) -> Read | None:
    """Return the function from one wire value to a domain value; None if the two are the same."""
    if kind.type is datetime:
        return _instant
    if kind.type is date:
        return _day
    if is_message(kind):
        return reader(descriptor.message_type, kind.type)
    return None


def member_name(enumeration: EnumDescriptor, value: str) -> str:
    """Return the Python name of an enum value: ``SEX_NOT_KNOWN`` is ``NOT_KNOWN``."""
    zero = enumeration.values_by_number[0].name
    return value.removeprefix(zero.removesuffix("UNSPECIFIED"))


def members(enumeration: EnumDescriptor, cls: type[Enum]) -> dict[int, Any]:
    """Return the domain's member of every number but 0, which says nothing."""
    return {value.number: cls[member_name(enumeration, value.name)] for value in enumeration.values if value.number != 0}


def _instant(stamp: Timestamp) -> datetime:
    """Return an aware UTC instant; what is finer than a microsecond is cut off."""
    nanos = stamp.nanos
    if not 0 <= nanos < _NANOS_PER_SECOND:
        raise ValueError(_INSTANT_EXPECTED)
    # By place: named arguments would take as long again.
    return _EPOCH + timedelta(0, stamp.seconds, nanos // _NANOS_PER_MICRO)


def _day(wire: Date) -> date:
    """Return a day that exists, from 1900 to 2100."""
    day = date(wire.year, wire.month, wire.day)
    if not _FIRST_DAY <= day <= _LAST_DAY:
        raise ValueError(_DAY_EXPECTED)
    return day


_CHECKS: Final[dict[str, tuple[Read, str]]] = {
    Timestamp.DESCRIPTOR.full_name: (_instant, _INSTANT_EXPECTED),
    Date.DESCRIPTOR.full_name: (_day, _DAY_EXPECTED),
}


def misfits(message: Message, prefix: str = "") -> list[Violation]:
    """Name every day and instant of a message that does not exist, by its path."""
    found = []
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None:
            continue
        for index, item in enumerate(value if descriptor.is_repeated else (value,)):
            path = f"{prefix}{descriptor.name}[{index}]" if descriptor.is_repeated else f"{prefix}{descriptor.name}"
            check = _CHECKS.get(descriptor.message_type.full_name)
            if check is None:
                found += misfits(item, f"{path}.")
                continue
            convert, expected = check
            try:
                convert(item)
            except (ValueError, OverflowError):
                found.append(Violation(path, expected))
    return found


class Unwritable(Exception):
    """A domain value that no message can hold: its path and what was expected."""

    def __init__(self, expected: str, path: tuple[str, ...] = ()) -> None:
        """Keep where and what."""
        self.expected = expected
        self.path = path
        super().__init__(expected)


@cache
def writer(message: Descriptor, cls: Any) -> Write:
    """Return the function from a dataclass to its message; it raises ``Unwritable``."""
    writes = tuple((name, _put(message.fields_by_name[name], kind)) for name, kind in kinds(cls).items())
    make = GetMessageClass(message)

    def write(value: Any) -> Message:
        given = {}
        for name, put in writes:
            held = getattr(value, name)
            if held is not None:
                try:
                    given[name] = put(held)
                except Unwritable as error:
                    raise Unwritable(error.expected, (name, *error.path)) from None
        return make(**given)

    return write


def _put(descriptor: FieldDescriptor, kind: Kind) -> Write:
    """Return the function from one domain value to what a message's constructor takes."""
    if kind.many:
        put = _put(descriptor, kind.item)
        return lambda values: [put(value) for value in values]
    if descriptor.enum_type is not None:
        return {member: number for number, member in members(descriptor.enum_type, kind.type).items()}.__getitem__
    if kind.type is datetime:
        return _stamp
    if kind.type is date:
        return lambda day: Date(year=day.year, month=day.month, day=day.day)
    if kind.type is str:
        return _encodable
    return writer(descriptor.message_type, kind.type) if is_message(kind) else lambda value: value


def _stamp(instant: datetime) -> Timestamp:
    """Return an aware instant for the wire."""
    if instant.tzinfo is None:
        raise Unwritable(_AWARE_EXPECTED)
    since = instant - _EPOCH
    return Timestamp(seconds=since.days * 86_400 + since.seconds, nanos=since.microseconds * _NANOS_PER_MICRO)


def _encodable(text: str) -> str:
    """Pass text on that has a UTF-8 form (lone surrogates have none)."""
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Unwritable(_UNICODE_EXPECTED) from None
    return text
