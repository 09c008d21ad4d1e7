"""One full, fixed example of every event, and hypothesis strategies for all of them, from annotations and the contract's rules."""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Annotated, Any, Final, NewType, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from buf.validate import validate_pb2
from domain.kernel.events import EVENT_TYPES, Event, Precision, When
from services.eventstore.codec import EVENT_NAMES, message_class

ALL_EVENT_TYPES: Final = sorted(EVENT_NAMES)

_UUID: Final = "01890000-0000-7000-8000-0000000000{:02x}"
_IDS: Final[dict[str, Callable[[int], str]]] = {
    "AgencyId": ["la-E09999901", "icb-QZ9"].__getitem__,
    "CaseId": _UUID.format,
    "ChildId": _UUID.format,
    "RequestId": _UUID.format,
    "Shard": ["northmoor", "southmoor"].__getitem__,
    "KeyId": "la-E09999901-{}".format,
    "ClockId": ["K5B", "K1"].__getitem__,
}
_INSTANT: Final = datetime(2020, 3, 4, 10, 11, 12, 345678, tzinfo=UTC)
_DAY: Final = date(2020, 3, 4)


def parts(hint: Any) -> tuple[Any, str, bool]:
    """Return an annotation's type, the name of its NewType if it has one, and whether it may be None."""
    name, optional = "", False
    while True:
        if isinstance(hint, NewType):
            name, hint = hint.__name__, hint.__supertype__
        elif get_origin(hint) is Annotated:
            hint = get_args(hint)[0]
        elif get_origin(hint) in (Union, types.UnionType):
            optional = True
            (hint,) = (part for part in get_args(hint) if part is not type(None))
        else:
            return hint, name, optional


def rules_of(descriptor: Any) -> Any:
    """Return the contract's rules for a field."""
    return descriptor.GetOptions().Extensions[validate_pb2.field]


def sample_event(event_type: str) -> Event:
    """Return the fixed example of an event: every field given."""
    example: Event = sample(message_class(event_type).DESCRIPTOR, EVENT_TYPES[event_type])
    return example


def sample(message: Any, cls: Any) -> Any:
    """Return a fixed, full value of a dataclass."""
    if cls is When:
        return When(precision=Precision.PERIOD, on=_DAY, until_on=date(2020, 5, 6))
    hints = get_type_hints(cls, include_extras=True)
    return cls(**{field.name: _sample(message.fields_by_name[field.name], hints[field.name], 0) for field in fields(cls)})


def _sample(descriptor: Any, hint: Any, number: int) -> Any:  # noqa: PLR0911  # one line a kind
    kind, name, _ = parts(hint)
    if get_origin(kind) is tuple:
        item = get_args(kind)[0]
        count = 1 if is_dataclass(parts(item)[0]) else 2
        return tuple(_sample(descriptor, item, index) for index in range(count))
    if is_dataclass(kind):
        return sample(descriptor.message_type, kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind)[number - 1]
    if name in _IDS:
        return _IDS[name](number)
    rules = rules_of(descriptor)
    if kind is bytes:
        return bytes(range(rules.bytes.len or 64))
    if kind is str:
        return f"Synthetic {descriptor.name}, “{number}” é" + ("\n\tand a second line" if rules.string.max_bytes else "")
    return {bool: True, int: 3, datetime: _INSTANT, date: _DAY}[kind]


_TEXT: Final = st.characters(
    exclude_categories=("Cc", "Cs", "Zl", "Zp", "Cn"), exclude_characters="\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_NARRATIVE: Final = _TEXT | st.sampled_from("\n\t")
_DAYS: Final = st.dates(date(1900, 1, 1), date(2100, 12, 31))
_INSTANTS: Final = st.datetimes(datetime(1900, 1, 1), datetime(2100, 12, 31, 23, 59, 59, 999999), timezones=st.just(UTC))  # noqa: DTZ001


def events(event_type: str) -> st.SearchStrategy[Event]:
    """Return any valid event of a type."""
    return values(message_class(event_type).DESCRIPTOR, EVENT_TYPES[event_type])


def values(message: Any, cls: Any) -> st.SearchStrategy[Any]:
    """Return any valid value of a dataclass."""
    if cls is When:
        return _moments()
    hints = get_type_hints(cls, include_extras=True)
    return st.builds(cls, **{field.name: _values(message.fields_by_name[field.name], hints[field.name]) for field in fields(cls)})


def _moments() -> st.SearchStrategy[When]:
    def on(precision: Precision) -> st.SearchStrategy[When]:
        return st.builds(When, precision=st.just(precision), on=_DAYS)

    instants = st.builds(When, precision=st.just(Precision.INSTANT), at=_INSTANTS)
    periods = st.tuples(_DAYS, _DAYS).map(lambda pair: When(precision=Precision.PERIOD, on=min(pair), until_on=max(pair)))
    return instants | periods | on(Precision.DAY) | on(Precision.MONTH) | on(Precision.YEAR)


def _values(descriptor: Any, hint: Any) -> st.SearchStrategy[Any]:
    kind, name, optional = parts(hint)
    if get_origin(kind) is tuple:
        rules = rules_of(descriptor).repeated
        item = get_args(kind)[0]
        most = max(2, rules.min_items)
        return st.lists(_values(descriptor, item), min_size=rules.min_items, max_size=most, unique=rules.unique).map(tuple)
    return (st.none() | _one(descriptor, kind, name)) if optional else _one(descriptor, kind, name)


def _one(descriptor: Any, kind: Any, name: str) -> st.SearchStrategy[Any]:  # noqa: PLR0911  # one line a kind
    rules = rules_of(descriptor)
    if is_dataclass(kind):
        return values(descriptor.message_type, kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return st.sampled_from(kind)
    if name in _IDS:
        return st.sampled_from([_IDS[name](0), _IDS[name](1)])
    if kind is bytes:
        least, most = (rules.bytes.len, rules.bytes.len) if rules.bytes.len else (rules.bytes.min_len, rules.bytes.max_len)
        return st.binary(min_size=least, max_size=most)
    if kind is str:
        return st.text(_NARRATIVE if rules.string.max_bytes else _TEXT, min_size=1, max_size=40)
    if kind is int:
        return st.integers(rules.uint32.gte, rules.uint32.lte)
    return {bool: st.booleans(), datetime: _INSTANTS, date: _DAYS}[kind]
