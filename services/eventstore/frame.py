"""A record as bytes: a frame {magic, kind, version, append id} before one protobuf message.

Reading never raises on bytes that nobody should have written: they are ``Malformed``. It raises only for a control record that
this program is too old to understand, because guessing beside a newer program would let two nodes disagree.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from google.protobuf.message import DecodeError

from domain.kernel.moulds import assembler
from safeguarding.hub.v1 import log_pb2
from services.eventstore.port import Append, Expectation, Malformed, ProposedEvent, Tracking
from services.runtime.errors import HubError
from services.runtime.limits import RECORD_MAX_BYTES

MAGIC: Final = b"SHUB"
APPEND_ID_BYTES: Final = 16
CONTROL_VERSION: Final = 1
APPEND_FORMAT: Final = 1

_HEADER: Final = struct.Struct(">4sBB16s")
FRAME_BYTES: Final = _HEADER.size


class Kind(IntEnum):
    """What a record is; the number is on the log."""

    APPEND = 1
    GENESIS = 2
    RULES = 3
    KEY_REVOKED = 4
    SHARD = 5
    DIGEST = 6


class UnknownControl(HubError):
    """The log holds a control record that this program does not understand: the node must stop and be upgraded."""


@dataclass(frozen=True, slots=True)
class Genesis:
    """Begins ``shard`` under version ``rules`` of the fold, with these record formats allowed."""

    shard: str
    rules: int
    formats: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RulesChange:
    """Brings the next version of the fold's rules into force, with these record formats allowed."""

    version: int
    formats: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ShardPlaced:
    """``shard`` lies in ``partition`` of the topic; said in partition 0."""

    shard: str
    partition: int


@dataclass(frozen=True, slots=True)
class KeyRevoked:
    """From here on an event signed with ``key_id`` is void."""

    key_id: str


@dataclass(frozen=True, slots=True)
class DigestPublished:
    """Node ``node_id`` holds ``digest`` (32 bytes) at ``position`` of this shard."""

    node_id: str
    position: int
    digest: bytes


Control = Genesis | RulesChange | KeyRevoked | ShardPlaced | DigestPublished

_KIND_OF: Final[Mapping[type[Control], Kind]] = {
    Genesis: Kind.GENESIS,
    RulesChange: Kind.RULES,
    KeyRevoked: Kind.KEY_REVOKED,
    ShardPlaced: Kind.SHARD,
    DigestPublished: Kind.DIGEST,
}
_CONTROL_KINDS: Final = frozenset(_KIND_OF.values())
_KINDS: Final[Mapping[int, Kind]] = {kind.value: kind for kind in Kind}


@dataclass(frozen=True, slots=True)
class Frame:
    """One record whose frame was readable; its body was not looked at yet. ``append_id``: 16 bytes."""

    kind: Kind
    version: int
    append_id: bytes
    body: bytes


# Made for every record and event of a log that may hold millions: their own ``__init__`` takes three times as long.
_frame: Final = assembler(Frame)
_append: Final = assembler(Append)
_expectation: Final = assembler(Expectation)
_event: Final = assembler(ProposedEvent)


def encode_append(append: Append, version: int = APPEND_FORMAT) -> bytes:
    """Return an append's record; the append must be free of flaws (``fold.flaw``)."""
    message = log_pb2.AppendRecord(shard=append.shard, node_id=append.node_id)
    for expectation in append.expectations:
        message.expectations.add(stream=expectation.stream, version=expectation.version, event_id=expectation.event_id)
    for event in append.events:
        message.events.add(
            stream=event.stream,
            version=event.version,
            event_id=event.event_id,
            header_hash=event.header_hash,
            key_id=event.key_id,
            type=event.type,
            state=event.state,
        )
    if append.tracking is not None:
        message.tracking.name = append.tracking.name
        message.tracking.position = append.tracking.position
    return _HEADER.pack(MAGIC, Kind.APPEND, version, append.append_id) + message.SerializeToString()


def encode_control(control: Control, append_id: bytes, version: int = CONTROL_VERSION) -> bytes:
    """Return a control's record. ``append_id``: 16 bytes."""
    message: log_pb2.GenesisControl | log_pb2.RulesControl | log_pb2.KeyRevokedControl | log_pb2.ShardControl | log_pb2.DigestControl
    match control:
        case Genesis():
            message = log_pb2.GenesisControl(shard=control.shard, rules=control.rules, formats=control.formats)
        case RulesChange():
            message = log_pb2.RulesControl(version=control.version, formats=control.formats)
        case KeyRevoked():
            message = log_pb2.KeyRevokedControl(key_id=control.key_id)
        case ShardPlaced():
            message = log_pb2.ShardControl(shard=control.shard, partition=control.partition)
        case DigestPublished():
            message = log_pb2.DigestControl(node_id=control.node_id, position=control.position, digest=control.digest)
    return _HEADER.pack(MAGIC, _KIND_OF[type(control)], version, append_id) + message.SerializeToString()


def decode(record: bytes) -> Frame | Malformed:
    """Return a record's frame; raise ``UnknownControl`` for a kind, or a version of a control, of a newer program."""
    if len(record) > RECORD_MAX_BYTES:
        return Malformed(f"record of {len(record)} bytes, at most {RECORD_MAX_BYTES}")
    if len(record) < FRAME_BYTES:
        return Malformed(f"record of {len(record)} bytes, a frame has {FRAME_BYTES}")
    magic, number, version, append_id = _HEADER.unpack_from(record)
    if magic != MAGIC:
        return Malformed("no frame: the magic bytes are missing")
    kind = _KINDS.get(number)
    if kind is None:
        raise UnknownControl(f"record kind {number} is of a newer program; upgrade this node")
    if kind in _CONTROL_KINDS and version != CONTROL_VERSION:
        raise UnknownControl(f"{kind.name} record of version {version}, this program knows version {CONTROL_VERSION}; upgrade this node")
    return _frame(kind, version, append_id, record[FRAME_BYTES:])


def append_of(frame: Frame) -> Append | Malformed:
    """Return the append in a frame of format 1."""
    message = log_pb2.AppendRecord()
    try:
        message.ParseFromString(frame.body)
    except DecodeError:
        return Malformed("the body is no AppendRecord")
    tracking = Tracking(message.tracking.name, message.tracking.position) if message.HasField("tracking") else None
    expectations = tuple([_expectation(each.stream, each.version, each.event_id) for each in message.expectations])
    events = tuple(
        [_event(each.stream, each.version, each.event_id, each.header_hash, each.key_id, each.type, each.state) for each in message.events]
    )
    return _append(frame.append_id, message.shard, message.node_id, expectations, events, tracking)


def control_of(frame: Frame) -> Control | Malformed:  # noqa: PLR0911  # one a kind
    """Return the control in a frame of version 1."""
    try:
        match frame.kind:
            case Kind.GENESIS:
                genesis = log_pb2.GenesisControl.FromString(frame.body)
                return Genesis(genesis.shard, genesis.rules, tuple(genesis.formats))
            case Kind.RULES:
                rules = log_pb2.RulesControl.FromString(frame.body)
                return RulesChange(rules.version, tuple(rules.formats))
            case Kind.KEY_REVOKED:
                return KeyRevoked(log_pb2.KeyRevokedControl.FromString(frame.body).key_id)
            case Kind.SHARD:
                placed = log_pb2.ShardControl.FromString(frame.body)
                return ShardPlaced(placed.shard, placed.partition)
            case Kind.DIGEST:
                published = log_pb2.DigestControl.FromString(frame.body)
                return DigestPublished(published.node_id, published.position, published.digest)
            case Kind.APPEND:
                return Malformed("an append is no control")
    except DecodeError:
        return Malformed(f"the body is no {frame.kind.name} control")


def oversize(append: Append) -> Malformed | None:
    """Return why an append does not fit one record, without writing its states anywhere; None when it fits."""
    bound = FRAME_BYTES + 4 * (len(append.shard) + len(append.node_id)) + 64
    for event in append.events:
        bound += len(event.state) + 4 * (len(event.stream) + len(event.key_id) + len(event.type)) + 128
    for expectation in append.expectations:
        bound += 4 * len(expectation.stream) + 64
    if append.tracking is not None:
        bound += 4 * len(append.tracking.name) + 32
    if bound <= RECORD_MAX_BYTES:
        return None
    size = len(encode_append(append))
    return Malformed(f"record of {size} bytes, at most {RECORD_MAX_BYTES}") if size > RECORD_MAX_BYTES else None
