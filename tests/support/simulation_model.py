"""What must be true of a shared log, whoever wrote it and whoever folds it: the model that a simulation is held against.

Each record is folded once, naively, when the log takes it; every node must come to the same, whenever it gets there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final

from services.eventstore import frame
from services.eventstore.fold import ShardState
from services.eventstore.log import LogRecord
from services.eventstore.port import Accepted, Append, Conflict, Malformed, Mismatch, PartialDuplicate, Result, Revoked
from tests.support.appends import naive_digest
from tests.support.naive_fold import NaiveShard
from tests.support.newer_rules import RETIRED

ROOT: Final = "national"


def plain(result: Result) -> Result:
    """Return what two answers to one append must have in common."""
    match result:
        case Accepted(placed):
            return Accepted(placed)
        case Malformed():
            return Malformed("")
        case _:
            return result


@dataclass
class Ledger:
    """One shard as its log decides it, and what was promised about it."""

    fold: NaiveShard
    seen: Counter[str]
    records: list[tuple[bytes | None, Result]] = field(default_factory=list)
    """For each offset the append id, None for what has no frame, and the decision."""
    standing: list[ShardState] = field(default_factory=list)
    """Where the shard stands behind so many records."""
    first: dict[bytes, tuple[int, Result]] = field(default_factory=dict)
    """Where each append id was decided, and how."""
    grown: dict[str, list[int]] = field(default_factory=dict)
    """At which offset each stream came to each further version, from 1 on."""

    def __post_init__(self) -> None:
        self.standing.append(ShardState(self.fold.name))

    def take(self, record: LogRecord) -> None:
        """Decide the next record; the decision must contradict nothing before it."""
        assert record.offset == len(self.records)
        fold = self.fold
        before = self.standing[-1]
        revoked = frozenset(fold.revoked)
        result = fold.fold(record.value, record.timestamp_ms)
        read = frame.decode(record.value)
        append_id = read.append_id if isinstance(read, frame.Frame) else None
        self.records.append((append_id, result))
        after = ShardState(
            fold.name,
            record.offset + 1,
            fold.last_append_id,
            len(fold.events),
            fold.digest,
            fold.recorded_at_ms,
            fold.rules,
            fold.formats,
            fold.malformed,
        )
        self.standing.append(after)
        assert after.recorded_at_ms >= before.recorded_at_ms, "recorded_at never goes back"
        self.note(read, before, result)
        if not isinstance(read, frame.Frame) or read.kind is not frame.Kind.APPEND or isinstance(result, Malformed):
            assert after.position == before.position
            return
        known = self.first.setdefault(read.append_id, (record.offset, plain(result)))
        assert known[1] == plain(result), "a result never changes"
        if not isinstance(result, Accepted) or result.duplicate:
            assert after.position == before.position, "what is void or repeated adds nothing"
        else:
            self.check_new(read, result, before, revoked, record.offset)

    def check_new(self, read: frame.Frame, result: Accepted, before: ShardState, revoked: frozenset[str], offset: int) -> None:
        """Hold a newly accepted append against what its shard was before it."""
        append = frame.append_of(read)
        assert isinstance(append, Append)
        assert not {event.key_id for event in append.events} & revoked, "nothing revoked is accepted after the revocation"
        for each in append.expectations:
            grown = self.grown.get(each.stream, [])
            assert len(grown) == each.version, "an expectation was met"
            if each.event_id:
                rests_on = self.fold.by_id[each.event_id]
                assert (rests_on.stream, rests_on.version) == (each.stream, each.version)
        for number, (event, placed) in enumerate(zip(append.events, result.placed, strict=True), start=1):
            assert placed.position == before.position + number, "positions are dense"
            grown = self.grown.setdefault(event.stream, [])
            assert placed.version == len(grown) + 1, "versions are dense, with one winner each"
            grown.append(offset)

    def version_at(self, stream: str, offset: int) -> int:
        """Return a stream's version before the record at an offset."""
        return bisect_right(self.grown.get(stream, []), offset - 1)

    def check_standing(self, state: ShardState) -> None:
        """Hold a node's fold against this one at the same offset."""
        assert state == self.standing[state.next_offset], f"{state} where {self.standing[state.next_offset]} was to be"

    def check_decided(self, since: int, until: int, decided: list[tuple[bytes, Result]]) -> None:
        """Hold the decisions of a node between two offsets against these."""
        expected = [(append_id, result) for append_id, result in self.records[since:until] if append_id is not None]
        found = [(append_id, Malformed("") if isinstance(result, Malformed) else result) for append_id, result in decided]
        assert found == expected, f"{found} where {expected} was to be"

    def check_answer(self, append: Append, asked_at: int, result: Result) -> None:
        """Hold an answer to whoever proposed an append against the log; ``asked_at``: where the log ended when it was first proposed."""
        if isinstance(result, Malformed):
            assert any(event.type == RETIRED for event in append.events), result
            assert self.fold.rules == 2
            return
        offset, first = self.first[append.append_id]
        assert plain(result) == first, "every node gives the same answer"
        if isinstance(result, Accepted):
            assert [placed.event_id for placed in result.placed] == [event.event_id for event in append.events]
            assert [self.fold.placed(event.event_id) for event in append.events] == list(result.placed), "one receipt for ever"
        if isinstance(result, Conflict) and not result.what.startswith("tracking "):
            assert offset >= asked_at, "a refusal rests on what was decided after the request"
            assert result.actual == self.version_at(result.what, offset)
            predicted = [each for each in append.expectations if each.event_id and each.stream == result.what]
            assert result.actual != result.expected or predicted, "a refusal is true"

    def check_whole(self) -> None:
        """Hold the shard as a whole against what was promised."""
        assert self.fold.digest == naive_digest(self.fold.name, self.fold.events)
        assert len(self.fold.by_id) == len(self.fold.events), "every event is there once"

    def note(self, read: frame.Frame | Malformed, before: ShardState, result: Result) -> None:
        """Count what was reached."""
        self.seen[self._what(read, before, result)] += 1

    def _what(self, read: frame.Frame | Malformed, before: ShardState, result: Result) -> str:
        if isinstance(read, Malformed):
            return "void: oversized" if "at most" in read.reason else "void: garbage"
        if not before.rules and not self.fold.rules:
            return "void: before GENESIS"
        if read.kind is not frame.Kind.APPEND:
            return f"{'void: ' if isinstance(result, Malformed) else ''}{read.kind.name}"
        if read.append_id in self.first:
            return "duplicate: append id" if isinstance(result, Accepted) else "duplicate: void append id"
        if isinstance(result, Malformed):
            return self._malformed(read, before)
        return self._accepted(read, result) if isinstance(result, Accepted) else f"void: {_reason(result)}"

    def _malformed(self, read: frame.Frame, before: ShardState) -> str:
        append = frame.append_of(read)
        if read.version not in before.formats:
            return "void: format not allowed"
        if isinstance(append, Malformed):
            return "void: body"
        if append.shard != self.fold.name:
            return "void: wrong shard"
        return "void: new rules" if any(event.type == RETIRED for event in append.events) else "void: flaw"

    def _accepted(self, read: frame.Frame, result: Accepted) -> str:
        append = frame.append_of(read)
        assert isinstance(append, Append)
        if result.duplicate:
            return "duplicate: all events"
        if read.version == 2:
            return "accepted: new format"
        if any(each.event_id for each in append.expectations):
            return "accepted: prediction came true"
        if not append.events:
            return "accepted: tracking alone"
        return "accepted: several streams" if len({event.stream for event in append.events}) > 1 else "accepted: one stream"


def _reason(result: Conflict | PartialDuplicate | Mismatch | Revoked) -> str:
    match result:
        case Conflict(what) if what.startswith("tracking "):
            return "tracking conflict"
        case Conflict(_, expected, actual):
            return "prediction" if actual == expected else "conflict"
        case PartialDuplicate():
            return "partial duplicate"
        case Mismatch():
            return "mismatch"
        case Revoked():
            return "revoked"


class Model:
    """All shards of a log."""

    def __init__(self, seen: Counter[str]) -> None:
        self.seen = seen
        self.places: dict[str, int] = {ROOT: 0}
        self.waiting: dict[int, list[LogRecord]] = {}
        """What lies in partitions that have no shard yet."""
        self.ledgers: dict[str, Ledger] = {}
        self._begin(ROOT)

    def take(self, record: LogRecord) -> None:
        """Decide a record that the log took."""
        shard = next((name for name, place in self.places.items() if place == record.partition), None)
        if shard is None:
            self.waiting.setdefault(record.partition, []).append(record)
            return
        self.ledgers[shard].take(record)
        for name, place in list(self.places.items()):
            if name not in self.ledgers:
                self._begin(name)
                for early in self.waiting.pop(place, []):
                    self.ledgers[name].take(early)

    def _begin(self, name: str) -> None:
        self.ledgers[name] = Ledger(NaiveShard(name, RETIRED, self.places if name == ROOT else None), self.seen)


def with_fresh_state(append: Append, state: bytes) -> Append:
    """Return an append as another node seals it: its events' headers are the same, their states are not."""
    return replace(append, events=tuple(replace(event, state=state) for event in append.events))
