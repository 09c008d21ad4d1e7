"""What is remembered of an append, as bytes for the state: one letter, then its fields."""

from __future__ import annotations

import struct
from typing import Final, assert_never

from services.eventstore.fold import Outcome, Positions
from services.eventstore.port import Conflict, Mismatch, PartialDuplicate, Revoked
from services.runtime.errors import IntegrityError

_RUN: Final = struct.Struct(">cQI")
_CONFLICT: Final = struct.Struct(">QQ")
_EVENT_ID_BYTES: Final = 16


def to_bytes(outcome: Outcome) -> bytes:
    """Return an outcome's bytes: 13 for an append that wrote its events, however many they are."""
    match outcome:
        case Positions(range() as positions):
            return _RUN.pack(b"A", positions.start, len(positions))
        case Positions(positions):
            return b"D" + struct.pack(f">{len(positions)}Q", *positions)
        case Conflict(what, expected, actual):
            return b"C" + _CONFLICT.pack(expected, actual) + what.encode()
        case PartialDuplicate(event_ids):
            return b"P" + b"".join(event_ids)
        case Mismatch(event_id):
            return b"M" + event_id
        case Revoked(key_id):
            return b"R" + key_id.encode()
        case _:
            assert_never(outcome)


def from_bytes(encoded: bytes) -> Outcome:
    """Return the outcome; raise ``IntegrityError`` for bytes that ``to_bytes`` never made."""
    letter, fields = encoded[:1], encoded[1:]
    try:
        match letter:
            case b"A":
                _, first, count = _RUN.unpack(encoded)
                return Positions(range(first, first + count))
            case b"D":
                return Positions(struct.unpack(f">{len(fields) // 8}Q", fields))
            case b"C":
                expected, actual = _CONFLICT.unpack_from(fields)
                return Conflict(fields[_CONFLICT.size :].decode(), expected, actual)
            case b"P":
                return PartialDuplicate(tuple([fields[at : at + _EVENT_ID_BYTES] for at in range(0, len(fields), _EVENT_ID_BYTES)]))
            case b"M":
                return Mismatch(fields)
            case b"R":
                return Revoked(fields.decode())
    except (struct.error, UnicodeDecodeError) as error:
        raise IntegrityError(f"the outcome of an append is unreadable: {error}") from error
    raise IntegrityError(f"the outcome of an append begins with {letter!r}")
