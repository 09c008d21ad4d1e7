"""The fold: every node reads the same records in the same order and accepts or voids each of them alike.

It is pure: what it knows of the past comes through ``Lookups``, what it decides goes out as ``Effects``, which the caller must
apply before the next record. No clock, no I/O, no randomness: a record's timestamp arrives with it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from domain.kernel.moulds import assembler
from services.eventstore import frame
from services.eventstore.port import (
    Accepted,
    Append,
    Conflict,
    Expectation,
    Head,
    Malformed,
    Mismatch,
    PartialDuplicate,
    Placed,
    ProposedEvent,
    Result,
    Revoked,
    Stored,
    Tracking,
)

RULES_VERSION: Final = 1
FIRST_DIGEST: Final = bytes(32)
INTEGER_MAX: Final = 2**63 - 1
"""Versions and positions above do not fit the state's integers: malformed, on every node."""

SHARDS_CACHED: Final = 1_000
_EVENT_ID_BYTES: Final = 16
_HASH_BYTES: Final = 32
_UNNAMED: Final = "expectations and tracking need a name in Unicode and a number below 2^63"
_U32: Final = struct.Struct(">I")
_U64_U32: Final = struct.Struct(">QI")


# Named tuples where one is made for every record: they take a quarter of a frozen dataclass's time.
class ShardState(NamedTuple):
    """Where a shard stands behind the last folded record. ``rules`` 0: no GENESIS yet. ``malformed``: records voided as such."""

    shard: str
    next_offset: int = 0
    last_append_id: bytes = b""
    position: int = 0
    digest: bytes = FIRST_DIGEST
    recorded_at_ms: int = 0
    rules: int = 0
    formats: tuple[int, ...] = ()
    malformed: int = 0

    def head(self) -> Head:
        """Return what others than the fold see of it."""
        return Head(self.position, self.digest, self.recorded_at_ms)


@dataclass(frozen=True, slots=True)
class Positions:
    """An append's events lie at these positions, in its order: a range when the append wrote them, a tuple when earlier ones did."""

    positions: Sequence[int]


# Made for every accepted append or event: their own ``__init__`` takes three times as long.
_positions: Final = assembler(Positions)
_placed: Final = assembler(Placed)
_accepted: Final = assembler(Accepted)

Outcome = Positions | Conflict | PartialDuplicate | Mismatch | Revoked
"""What is remembered of an append for ever."""


class Lookups(Protocol):
    """What the fold asks about the records before; every answer is about one shard."""

    def shard_state(self, shard: str) -> ShardState:
        """Return where the shard stands; a new ``ShardState`` for one never seen."""

    def outcome(self, shard: str, append_id: bytes) -> Outcome | None:
        """Return what became of an append."""

    def event(self, shard: str, event_id: bytes) -> Stored | None:
        """Return an accepted event."""

    def event_at(self, shard: str, position: int) -> Stored:
        """Return the accepted event at a position that exists."""

    def stream_version(self, shard: str, stream: str) -> int | None:
        """Return a stream's version, None when it does not exist."""

    def tracking_position(self, shard: str, name: str) -> int | None:
        """Return how far a consumer has come, None for one never seen."""

    def is_revoked(self, shard: str, key_id: str) -> bool:
        """Tell whether a key is revoked."""

    def partition_of(self, shard: str) -> int | None:
        """Return where a shard lies, None for one that has no place yet."""

    def shard_at(self, partition: int) -> str | None:
        """Return the shard that lies in a partition."""


class Effects(NamedTuple):
    """What a record changes. ``events`` and ``placed`` belong together; ``revoked`` takes effect at ``state.position``.

    ``published`` changes nothing: it is for whoever compares digests.
    """

    state: ShardState
    append_id: bytes = b""
    outcome: Outcome | None = None
    events: tuple[ProposedEvent, ...] = ()
    placed: tuple[Placed, ...] = ()
    streams: Mapping[str, int] = MappingProxyType({})
    tracking: Tracking | None = None
    revoked: str | None = None
    shard_placed: frame.ShardPlaced | None = None
    published: frame.DigestPublished | None = None


class Decision(NamedTuple):
    """The answer to whoever proposed the record, and what to apply."""

    result: Result
    effects: Effects


Judge = Callable[[Lookups, ShardState, Append, int], Decision]


@dataclass(frozen=True, slots=True)
class Program:
    """What a program can fold: a judge for each version of the rules, a reader for each record format."""

    judges: Mapping[int, Judge]
    formats: Mapping[int, Callable[[frame.Frame], Append | Malformed]]

    def require(self, rules: int, formats: tuple[int, ...]) -> None:
        """Raise ``UnknownControl`` unless this program can fold under these rules and formats."""
        if rules not in self.judges:
            raise frame.UnknownControl(f"rules version {rules} in force, this program knows up to {max(self.judges)}; upgrade this node")
        unknown = [version for version in formats if version not in self.formats]
        if unknown:
            raise frame.UnknownControl(f"record formats {unknown} allowed, this program knows {sorted(self.formats)}; upgrade this node")


def fold_record(lookups: Lookups, shard: str, offset: int, record: bytes, timestamp_ms: int, program: Program | None = None) -> Decision:
    """Decide one record of a shard's log; raise ``UnknownControl`` when only a newer program may go on."""
    return fold_frame(lookups, shard, offset, frame.decode(record), timestamp_ms, program)


def fold_frame(
    lookups: Lookups,
    shard: str,
    offset: int,
    read: frame.Frame | Malformed,
    timestamp_ms: int,
    program: Program | None = None,
    append: Append | Malformed | None = None,
) -> Decision:
    """Decide a record whose frame was read: the same as ``fold_record`` of its bytes. ``append``: its body, if that was read too."""
    program = program or PROGRAM
    state = lookups.shard_state(shard)
    if isinstance(read, Malformed):
        return _malformed(_behind(state, offset, b""), read.reason)
    state = _behind(state, offset, read.append_id)
    if read.kind is not frame.Kind.APPEND:
        control = frame.control_of(read)
        return _malformed(state, control.reason) if isinstance(control, Malformed) else _control(lookups, state, control, program)
    known = _known(lookups, state, read.append_id)
    if known is not None:
        return known
    if read.version not in state.formats:
        return _malformed(state, f"record format {read.version}, allowed are {list(state.formats)}")
    if append is None:
        append = program.formats[read.version](read)
    if isinstance(append, Malformed):
        return _malformed(state, append.reason)
    return program.judges[state.rules](lookups, state, append, timestamp_ms)


def fold_append(lookups: Lookups, append: Append, timestamp_ms: int, program: Program | None = None) -> Decision:
    """Decide an append that an in-process sequencer put next in line: the same as ``fold_record`` of its record."""
    program = program or PROGRAM
    shard = append.shard
    state = lookups.shard_state(shard)
    state = _behind(state, state.next_offset, append.append_id)
    known = _known(lookups, state, append.append_id)
    if known is not None:
        return known
    too_large = frame.oversize(append)
    if too_large is not None:
        return _malformed(state, too_large.reason)
    return program.judges[state.rules](lookups, state, append, timestamp_ms)


def fold_control(lookups: Lookups, shard: str, append_id: bytes, control: frame.Control, program: Program | None = None) -> Decision:
    """Decide a control that an in-process sequencer put next in line: the same as ``fold_record`` of its record."""
    state = lookups.shard_state(shard)
    return _control(lookups, _behind(state, state.next_offset, append_id), control, program or PROGRAM)


def leaf(shard: str, stored: Stored) -> bytes:
    """Return an event's leaf hash, 32 bytes: SHA-256 over 0x00 and what the log keeps of it, its header through its state."""
    return _leaf(
        _prefix(shard), stored.position, stored.stream, stored.version, stored.event_id, stored.type, stored.recorded_at_ms, stored.state
    )


def next_digest(digest: bytes, next_leaf: bytes) -> bytes:
    """Return the digest one event further."""
    return sha256(digest + next_leaf).digest()


def flaw(append: Append, shard: str) -> str | None:
    """Return what is wrong with an append in itself, whatever the state; None when nothing is."""
    if append.shard != shard or len(append.append_id) != frame.APPEND_ID_BYTES:
        return f"an append to shard {append.shard!r} in {shard!r}, append_id of {len(append.append_id)} bytes"
    if append.tracking is None and not append.events:
        return "neither events nor tracking"
    wrong = next(filter(None, map(_event_flaw, append.events)), None)
    if wrong is not None:
        return wrong
    if len(append.events) > 1 and len({event.event_id for event in append.events}) < len(append.events):
        return "an event_id twice"
    return _reference_flaw(append)


def judge_v1(lookups: Lookups, state: ShardState, append: Append, timestamp_ms: int) -> Decision:
    """Decide a readable append under version 1 of the rules (event-store design, rules 1 and 3 to 6)."""
    wrong = flaw(append, state.shard)
    if wrong is not None:
        return _malformed(state, wrong)
    repeated = _repeated(lookups, state.shard, append)
    if repeated is not None:
        return Decision(_answer(lookups, state.shard, repeated), Effects(state, append.append_id, repeated))
    for event in append.events:
        if event.key_id and lookups.is_revoked(state.shard, event.key_id):
            return _void(state, append, Revoked(event.key_id))
    versions: dict[str, int] = {}
    conflict = _conflict(lookups, state.shard, append, versions)
    if conflict is not None:
        return _void(state, append, conflict)
    return _accept(state, append, versions, timestamp_ms)


PROGRAM: Final = Program(judges={RULES_VERSION: judge_v1}, formats={frame.APPEND_FORMAT: frame.append_of})
"""What this program can fold."""


def _known(lookups: Lookups, state: ShardState, append_id: bytes) -> Decision | None:
    """Decide an append by its id alone: before GENESIS it is void, and one seen before keeps its result (rule 2)."""
    if state.rules == 0:
        return _malformed(state, "the shard has no GENESIS before this record")
    remembered = lookups.outcome(state.shard, append_id)
    return None if remembered is None else Decision(_answer(lookups, state.shard, remembered), Effects(state))


def _event_flaw(event: ProposedEvent) -> str | None:
    """Return what is wrong with an event in itself."""
    if not (event.stream and event.type and 0 <= event.version <= INTEGER_MAX):
        return "an event needs a stream, a type and a version below 2^63"
    if len(event.event_id) != _EVENT_ID_BYTES or len(event.header_hash) != _HASH_BYTES:
        return f"an event_id has {_EVENT_ID_BYTES} bytes and a header_hash {_HASH_BYTES}"
    if not (is_text(event.stream) and is_text(event.type) and is_text(event.key_id)):
        return "a text of an event is not Unicode"
    return None


def _reference_flaw(append: Append) -> str | None:
    """Return what is wrong with what an append names beside its events."""
    tracking = append.tracking
    for one in append.expectations:
        if not _is_named(one.stream, one.version):
            return _UNNAMED
    if tracking is not None and not _is_named(tracking.name, tracking.position):
        return _UNNAMED
    for one in append.expectations:
        if len(one.event_id) not in (0, _EVENT_ID_BYTES):
            return f"an expectation's event_id has {_EVENT_ID_BYTES} bytes, or none"
    return None if is_text(append.node_id) else "node_id is not Unicode"


def _is_named(name: str, number: int) -> bool:
    """Tell whether a name and its number can be kept."""
    return name != "" and is_text(name) and 0 <= number <= INTEGER_MAX


def _repeated(lookups: Lookups, shard: str, append: Append) -> Outcome | None:
    """Return the outcome of an append of which an event was accepted before (rule 3)."""
    before: list[Stored] = []
    for event in append.events:
        stored = lookups.event(shard, event.event_id)
        if stored is None:
            continue
        if stored.header_hash != event.header_hash:
            return Mismatch(event.event_id)
        before.append(stored)
    if not before:
        return None
    if len(before) == len(append.events):
        return Positions(tuple([stored.position for stored in before]))
    return PartialDuplicate(tuple([stored.event_id for stored in before]))


def _conflict(lookups: Lookups, shard: str, append: Append, versions: dict[str, int]) -> Conflict | None:
    """Return the first expectation, version or tracking that is not met (rule 5); fill ``versions`` with the streams' new ones."""
    expected: set[str] = set()
    for expectation in append.expectations:
        current = lookups.stream_version(shard, expectation.stream)
        met = current == expectation.version if expectation.version else current is None
        if met and expectation.event_id:
            met = _is_at(lookups.event(shard, expectation.event_id), expectation)
        if not met:
            return Conflict(expectation.stream, expectation.version, current or 0)
        expected.add(expectation.stream)
    for event in append.events:
        stream = event.stream
        current = versions.get(stream)
        if current is None:
            current = lookups.stream_version(shard, stream)
        if current is None and stream in expected:
            current = 0
        if current is not None and event.version != current + 1:
            return Conflict(stream, max(event.version - 1, 0), current)
        versions[stream] = event.version
    tracking = append.tracking
    if tracking is not None:
        last = lookups.tracking_position(shard, tracking.name)
        if last is not None and tracking.position <= last:
            return Conflict(f"tracking {tracking.name}", tracking.position, last)
    return None


def _is_at(stored: Stored | None, expectation: Expectation) -> bool:
    """Tell whether an event is where an expectation says."""
    return stored is not None and stored.stream == expectation.stream and stored.version == expectation.version


def _accept(state: ShardState, append: Append, versions: dict[str, int], timestamp_ms: int) -> Decision:
    """Give the events the next positions of the shard (rule 6)."""
    position, digest = state.position, state.digest
    recorded_at_ms = max(state.recorded_at_ms, timestamp_ms) if append.events else state.recorded_at_ms
    prefix = _prefix(state.shard)
    placed: list[Placed] = []
    for event in append.events:
        position += 1
        hashed = _leaf(prefix, position, event.stream, event.version, event.event_id, event.type, recorded_at_ms, event.state)
        digest = sha256(digest + hashed).digest()
        placed.append(_placed(event.event_id, event.stream, event.version, position, recorded_at_ms, hashed))
    new = ShardState(state.shard, state.next_offset, state.last_append_id, position, digest, recorded_at_ms, *state[6:])
    places = tuple(placed)
    outcome = _positions(range(state.position + 1, position + 1))
    return Decision(
        _accepted(places, duplicate=False), Effects(new, append.append_id, outcome, append.events, places, versions, append.tracking)
    )


def _control(lookups: Lookups, state: ShardState, control: frame.Control, program: Program) -> Decision:
    """Decide a control record."""
    match control:
        case frame.Genesis(shard, rules, formats):
            if state.rules or shard != state.shard or rules < 1 or not formats:
                return _malformed(
                    state, f"a second GENESIS, or one of shard {shard!r}, rules {rules}, formats {list(formats)} in shard {state.shard!r}"
                )
            program.require(rules, formats)
            effects = Effects(state._replace(rules=rules, formats=formats))
        case frame.RulesChange(version, formats):
            if not state.rules or version != state.rules + 1 or not formats:
                return _malformed(state, f"RULES {version} after rules {state.rules}")
            program.require(version, formats)
            effects = Effects(state._replace(rules=version, formats=formats))
        case frame.KeyRevoked(key_id):
            if not state.rules or not key_id or not is_text(key_id):
                return _malformed(state, "a KEY_REVOKED without a key, or before GENESIS")
            new = None if lookups.is_revoked(state.shard, key_id) else key_id
            effects = Effects(state, revoked=new)
        case frame.ShardPlaced():
            return _place(lookups, state, control)
        case frame.DigestPublished(node_id, position, digest):
            # Right or wrong, it is a digest: what another node holds decides nothing here.
            is_said = node_id and is_text(node_id) and 1 <= position <= INTEGER_MAX and len(digest) == _HASH_BYTES
            if not state.rules or not is_said:
                return _malformed(state, "a DIGEST without a node, a position or 32 bytes, or before GENESIS")
            effects = Effects(state, published=control)
    return Decision(Accepted(()), effects)


def _place(lookups: Lookups, state: ShardState, control: frame.ShardPlaced) -> Decision:
    """Give a shard a partition: the first to name either has it."""
    shard, partition = control.shard, control.partition
    if not state.rules or lookups.partition_of(state.shard) != 0 or not shard or not is_text(shard) or partition < 1:
        return _malformed(state, "a SHARD without a shard or a partition, outside partition 0, or before GENESIS")
    if lookups.partition_of(shard) is not None or lookups.shard_at(partition) is not None:
        return _malformed(state, f"shard {shard!r} has a place already, or partition {partition} a shard")
    return Decision(Accepted(()), Effects(state, shard_placed=control))


def _answer(lookups: Lookups, shard: str, outcome: Outcome) -> Result:
    """Return the result that a remembered append had."""
    if not isinstance(outcome, Positions):
        return outcome
    placed: list[Placed] = []
    for position in outcome.positions:
        stored = lookups.event_at(shard, position)
        placed.append(
            Placed(stored.event_id, stored.stream, stored.version, position, stored.recorded_at_ms, leaf(shard, stored)),
        )
    return Accepted(tuple(placed), duplicate=True)


def _void(state: ShardState, append: Append, outcome: Conflict | Revoked) -> Decision:
    """Refuse an append, for ever."""
    return Decision(outcome, Effects(state, append.append_id, outcome))


def _malformed(state: ShardState, reason: str) -> Decision:
    """Count a record that leaves no other trace."""
    counted = state._replace(malformed=state.malformed + 1)
    return Decision(Malformed(reason), Effects(counted))


def _behind(state: ShardState, offset: int, append_id: bytes) -> ShardState:
    """Return the state with the record at ``offset`` read."""
    return ShardState(state.shard, offset + 1, append_id, *state[3:])


@lru_cache(maxsize=SHARDS_CACHED)
def _prefix(shard: str) -> bytes:
    """Return what every leaf of a shard begins with."""
    name = shard.encode()
    return b"\x00" + _U32.pack(len(name)) + name


def _leaf(prefix: bytes, position: int, stream: str, version: int, event_id: bytes, kind: str, recorded_at_ms: int, state: bytes) -> bytes:
    """Hash one event: texts and bytes behind their u32 length, integers as u64, all big-endian."""
    name, type_name = stream.encode(), kind.encode()
    return sha256(
        b"".join(
            (
                prefix,
                _U64_U32.pack(position, len(name)),
                name,
                _U64_U32.pack(version, len(event_id)),
                event_id,
                _U32.pack(len(type_name)),
                type_name,
                _U64_U32.pack(recorded_at_ms, len(state)),
                state,
            )
        )
    ).digest()


def is_text(text: str) -> bool:
    """Tell whether a text has a UTF-8 form: a lone surrogate has none."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
