"""The contract, the domain's dataclasses and the names on the log are the same thing, said three times."""

from __future__ import annotations

import re
from dataclasses import MISSING, fields, is_dataclass
from datetime import date, datetime
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any, Final, get_args, get_origin, get_type_hints

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from domain.kernel.agencies import _FORM
from domain.kernel.events import EVENT_TYPES, Label, Limit, Narrative, Text
from safeguarding.hub.v1 import options_pb2
from services.eventstore.codec import EVENT_NAMES, message_class
from tests.support.samples import ALL_EVENT_TYPES, parts, rules_of

PROTOS: Final = Path(__file__).parents[2] / "protos"
FILES: Final = sorted((PROTOS / "safeguarding/hub/v1").glob("*.proto"))
UUID: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"
PATTERNS: Final = {
    "AgencyId": re.compile(
        r"\^\(\?:\(\?:la\|icb\|police\|partnership\|agency\|lscb\)-\[A-Za-z0-9]\[A-Za-z0-9-]\{0,47}\|panel\|operator\|hub\)\$"
    ),
    "CaseId": re.compile(re.escape(UUID)),
    "ChildId": re.compile(re.escape(UUID)),
    "RequestId": re.compile(re.escape(UUID)),
    "Shard": re.compile(re.escape("^[a-z0-9][a-z0-9-]{0,62}$")),
    "KeyId": re.compile(re.escape("^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$")),
    "ClockId": re.compile(re.escape("^K[0-9]{1,2}[A-Z]?$")),
}


def descriptors() -> dict[str, Any]:
    """Return every file of the contract as its generated module's descriptor."""
    return {path.stem: import_module(f"safeguarding.hub.v1.{path.stem}_pb2").DESCRIPTOR for path in FILES}


def event_messages() -> dict[str, Descriptor]:
    """Return every message of the contract that bears an event's name, by that name."""
    found: dict[str, Descriptor] = {}
    for file in descriptors().values():
        for message in file.message_types_by_name.values():
            name = message.GetOptions().Extensions[options_pb2.event_type]
            if name:
                assert name not in found, f"two messages are called {name}"
                found[name] = message
    return found


def test_there_are_ninety_one_events_and_each_has_one_message_one_dataclass_and_one_name() -> None:
    messages = event_messages()
    assert len(messages) == 91
    assert set(messages) == set(EVENT_TYPES) == set(EVENT_NAMES)
    assert {name: message.name for name, message in messages.items()} == {name: cls.__name__ for name, cls in EVENT_TYPES.items()}
    assert {name: message_class(name).DESCRIPTOR.full_name for name in messages} == {
        name: found.full_name for name, found in messages.items()
    }


@pytest.mark.parametrize("event_type", ALL_EVENT_TYPES)
def test_the_message_of_an_event_has_exactly_the_fields_of_its_dataclass(event_type: str) -> None:
    hold_equal(message_class(event_type).DESCRIPTOR, EVENT_TYPES[event_type], seen=set())


def hold_equal(message: Any, cls: Any, seen: set[type]) -> None:
    """Hold a message and its dataclass equal, and all that they hold."""
    if cls in seen:
        return
    seen.add(cls)
    assert message.name == cls.__name__
    assert [field.name for field in message.fields] == [field.name for field in fields(cls)]
    assert [field.number for field in message.fields] == list(range(1, len(message.fields) + 1))
    hints = get_type_hints(cls, include_extras=True)
    for field in fields(cls):
        descriptor, hint = message.fields_by_name[field.name], hints[field.name]
        kind, _, optional = parts(hint)
        where = f"{message.name}.{field.name}"
        assert descriptor.is_repeated is (get_origin(kind) is tuple), where
        item = get_args(kind)[0] if descriptor.is_repeated else hint
        hold_type(descriptor, item, where, seen)
        hold_presence(descriptor, required=not optional and field.default is MISSING, optional=optional, where=where)
        if not descriptor.is_repeated:
            hold_limits(rules_of(descriptor), hint, where)
        else:
            hold_limits(rules_of(descriptor).repeated.items, item, where)
            limit = next((part for part in getattr(hint, "__metadata__", ()) if isinstance(part, Limit)), Limit(50))
            assert rules_of(descriptor).repeated.max_items == limit.max, where


def hold_type(descriptor: Any, hint: Any, where: str, seen: set[type]) -> None:
    """Hold a field to the wire type of its annotation."""
    kind, _, _ = parts(hint)
    if is_dataclass(kind):
        hold_equal(descriptor.message_type, kind, seen)
    elif kind is datetime:
        assert descriptor.message_type.full_name == "google.protobuf.Timestamp", where
    elif kind is date:
        assert descriptor.message_type.full_name == "google.type.Date", where
    elif issubclass(kind, Enum):
        hold_enum_equal(descriptor.enum_type, kind)
    else:
        wire_types = {str: FieldDescriptor.TYPE_STRING, bytes: FieldDescriptor.TYPE_BYTES, bool: FieldDescriptor.TYPE_BOOL}
        assert descriptor.type == wire_types.get(kind, FieldDescriptor.TYPE_UINT32), where


def hold_enum_equal(enumeration: Any, cls: type[Enum]) -> None:
    """Hold an enum to its names: SNAKE(class)_MEMBER, 0 unspecified, numbered from 1 without gaps."""
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).upper()
    expected = [f"{prefix}_UNSPECIFIED", *(f"{prefix}_{member.name}" for member in cls)]
    assert enumeration.name == cls.__name__
    assert [value.name for value in enumeration.values] == expected
    assert [value.number for value in enumeration.values] == list(range(len(expected)))
    assert [member.value for member in cls] == [member.name.lower() for member in cls]


def hold_presence(descriptor: Any, *, required: bool, optional: bool, where: str) -> None:
    """Hold a field to being required, optional or defaulted as its annotation says."""
    rules = rules_of(descriptor)
    if descriptor.is_repeated:
        assert bool(rules.repeated.min_items) is required, where
        if descriptor.enum_type is not None:
            assert (rules.repeated.items.enum.defined_only, list(rules.repeated.items.enum.not_in)) == (True, [0]), where
    elif descriptor.enum_type is not None:
        assert rules.enum.defined_only, where
        assert list(rules.enum.not_in) == ([0] if required else []), where
    elif descriptor.message_type is not None:
        assert rules.required is required, where
    elif descriptor.type == FieldDescriptor.TYPE_BOOL:
        assert not optional, where
        assert not descriptor.has_presence, where
    else:
        assert descriptor.has_presence is not required, where


def hold_limits(rules: Any, hint: Any, where: str) -> None:
    """Hold texts and ids to their limits and forms."""
    kind, name, _ = parts(hint)
    if kind is not str:
        return
    if name:
        assert PATTERNS[name].fullmatch(rules.string.pattern), where
        return
    bare = next((part for part in get_args(hint) if part in (Narrative, Text, Label)), hint)
    limits = {Narrative: (1, 0, 32_768), Text: (1, 1_000, 0), Label: (1, 200, 0)}
    assert (rules.string.min_len, rules.string.max_len, rules.string.max_bytes) == limits[bare], where


def test_the_contract_and_the_domain_agree_on_what_an_agency_id_is() -> None:
    pattern = rules_of(message_class("agency.enrolled.v1").DESCRIPTOR.fields_by_name["agency_id"]).string.pattern
    assert pattern == "^" + _FORM.pattern.replace("(la|", "(?:la|", 1) + "$"


def test_header_codes_are_the_domains() -> None:
    from domain.kernel import agencies, events  # noqa: PLC0415  # by name

    common = descriptors()["common"].enum_types_by_name
    for name in ("Purpose", "LawfulBasis", "Marking", "Precision"):
        hold_enum_equal(common[name], getattr(events, name))
    hold_enum_equal(common["AgencyKind"], agencies.AgencyKind)


def test_every_message_field_value_and_rpc_of_the_contract_is_explained() -> None:
    unexplained = []
    for path in FILES:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            declared = re.match(
                r"(?:message|enum|service|extend) |  (?:rpc |oneof |(?:optional |repeated )?[\w.]+ \w+ = \d+|[A-Z_0-9]+ = \d+)", line
            )
            if declared and not lines[number - 1].lstrip().startswith("//"):
                unexplained.append(f"{path.name}:{number + 1}")
    assert unexplained == []


def test_the_accepted_baseline_holds_the_whole_contract() -> None:
    """What the baseline lacks, ``buf breaking`` does not guard: accept an addition with ``protos/generate.py --baseline``."""
    baseline = FileDescriptorSet.FromString((PROTOS / "baseline.binpb").read_bytes())
    accepted = {file.name: elements(file) for file in baseline.file}
    lacking = {}
    for file in descriptors().values():
        present = FileDescriptorProto.FromString(file.serialized_pb)
        lacking[file.name] = elements(present) - accepted.get(file.name, set())
    assert {name: sorted(missing) for name, missing in lacking.items() if missing} == {}


def elements(said: Any, path: str = "") -> set[str]:
    """Return the path and number, if it has one, of everything that a descriptor declares."""
    found: set[str] = set()
    for field, declared in said.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE and field.is_repeated and "name" in field.message_type.fields_by_name:
            for part in declared:
                own = f"{path}/{part.name}"
                found |= {f"{own}={getattr(part, 'number', '')}", *elements(part, own)}
    return found
