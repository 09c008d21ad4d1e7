"""What clients tried and were told, written down as it happens, to be held against the logs of all nodes afterwards.

A client that is killed has written down all that it knew: each line is one write of whole bytes, and a last line cut short is passed
over. Every event bears a mark of its own (the header's ``correlation_id``), so that the log tells which attempt it is of, also when
the client never heard of it. Instants are of the machine's monotonic clock, which all its processes share.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from time import monotonic_ns
from typing import Any, Final, Self

from domain.access.events import CaseViewed
from safeguarding.hub.client.outcomes import Finding, Outcome, Receipt, Refusal, Unresolved
from safeguarding.hub.v1 import append_pb2 as wire
from safeguarding.hub.v1.envelope_pb2 import EventHeader
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore.opening import Opener
from services.eventstore.port import EventStore, ShardStore, Stored

_BATCH_EVENTS: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One event that a client set out to append. ``certain``: no rule can refuse it. ``group``: the atomic request it is of, or empty."""

    mark: str
    client: str
    shard: str
    stream: str
    begun_ns: int
    expected_version: int | None = None
    certain: bool = False
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client was told of an attempt, and when."""

    at_ns: int
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One page of a chronology that a client read under a user's name of its own: up to which position, and the events shown."""

    user: str
    shard: str
    case_id: str
    min_position: int
    begun_ns: int
    position: int | None = None
    events: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """One read of a stream at a node: asked for at ``min_position`` or later, it showed ``version`` at ``position`` of the shard."""

    client: str
    shard: str
    stream: str
    min_position: int
    position: int
    version: int


@dataclass(frozen=True, slots=True)
class History:
    """All that the clients wrote down. ``kept``: marks that a client has seen lie in its outbox."""

    attempts: dict[str, Attempt] = field(default_factory=dict)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    readings: dict[str, Reading] = field(default_factory=dict)
    reads: list[Read] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def receipts(self) -> dict[str, Receipt]:
        """Return the first receipt of every attempt that has one, by mark."""
        return {mark: receipts[0] for mark, answers in self.answers.items() if (receipts := receipts_of(answers))}

    def held(self) -> dict[bytes, tuple[str, str, bytes]]:
        """Return every receipt that a client holds: client, shard and the receipt's bytes, by event id."""
        return {
            receipt.event_id: (self.attempts[mark].client, receipt.shard, receipt_bytes(receipt))
            for mark, receipt in self.receipts().items()
        }


def receipts_of(answers: Iterable[Answer]) -> list[Receipt]:
    """Return the receipts among answers."""
    return [answer.outcome for answer in answers if isinstance(answer.outcome, Receipt)]


# ── writing ──


class Diary:
    """What one client writes down in one run."""

    def __init__(self, path: Path, client: str) -> None:
        """Begin a file that must not exist."""
        self._client = client
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)

    def begin(self, attempts: Sequence[Attempt]) -> None:
        """Note attempts, before anything is done about them."""
        self._write({"begun": [_attempt_json(attempt) for attempt in attempts]})

    def keep(self, marks: Iterable[str]) -> None:
        """Note attempts whose signed events are known to lie in the outbox."""
        self._write({"kept": list(marks)})

    def answer(self, answers: Iterable[tuple[str, Outcome]]) -> None:
        """Note what was answered."""
        at_ns = monotonic_ns()
        self._write({"answered": [{"mark": mark, "at_ns": at_ns, **_outcome_json(outcome)} for mark, outcome in answers]})

    def reading(self, reading: Reading) -> None:
        """Note a reading, before it is asked for and again when it is answered."""
        known = {name: getattr(reading, name) for name in ("user", "shard", "case_id", "min_position", "begun_ns", "position")}
        self._write({"reading": {**known, "events": sorted(reading.events)}})

    def read(self, read: Read) -> None:
        """Note a read that was answered."""
        self._write({"read": asdict(read)})

    def fail(self, error: BaseException) -> None:
        """Note an error that no client should meet."""
        self._write({"error": f"{self._client}: {type(error).__name__}: {error}"})

    def finish(self) -> None:
        """Note that the client ended of its own accord, with nothing undecided."""
        self._write({"finished": self._client})
        os.close(self._descriptor)

    def _write(self, line: dict[str, Any]) -> None:
        os.write(self._descriptor, json.dumps(line, separators=(",", ":")).encode() + b"\n")


def an_attempt(mark: bytes, client: str, shard: str, stream: str, **more: Any) -> Attempt:
    """Return an attempt that begins now."""
    return Attempt(mark=mark.hex(), client=client, shard=shard, stream=stream, begun_ns=monotonic_ns(), **more)


def _attempt_json(attempt: Attempt) -> dict[str, Any]:
    names = ("mark", "client", "shard", "stream", "begun_ns", "expected_version", "certain", "group")
    return {name: getattr(attempt, name) for name in names}


def _outcome_json(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Receipt():
            return {"receipt": receipt_bytes(outcome).hex()}
        case Refusal():
            names = ("code", "rule", "reason", "expected_version", "current_version", "earlier_attempt_unresolved", "whole_request")
            return {"refusal": {"event_id": outcome.event_id.hex(), **{name: getattr(outcome, name) for name in names}}}
        case Unresolved():
            return {"unresolved": {"event_id": outcome.event_id.hex(), "shard": outcome.shard, "reason": outcome.reason}}


def receipt_bytes(receipt: Receipt) -> bytes:
    """Return a receipt as the bytes that the hub sends."""
    message = wire.Receipt(
        event_id=receipt.event_id,
        shard=receipt.shard,
        position=receipt.position,
        stream=receipt.stream,
        version=receipt.version,
        leaf=receipt.leaf,
        findings=[wire.FindingNote(rule=found.rule, words=found.words, mend=found.mend) for found in receipt.findings],
        mended=receipt.mended,
    )
    message.recorded_at.FromDatetime(receipt.recorded_at)
    return message.SerializeToString(deterministic=True)


# ── reading ──


class Library:
    """Reads what clients write into a folder, more of it each time."""

    def __init__(self, folder: Path) -> None:
        """Begin before the first line."""
        self._folder = folder
        self._read_to: dict[Path, int] = {}
        self.history: Final = History()

    def read(self) -> Self:
        """Take in all whole lines that were written since."""
        for path in sorted(self._folder.glob("*.jsonl")):
            begin = self._read_to.get(path, 0)
            with path.open("rb") as file:
                file.seek(begin)
                whole = file.read().rpartition(b"\n")[0]
            for line in whole.splitlines():
                self._take(json.loads(line))
            self._read_to[path] = begin + len(whole) + (1 if whole else 0)
        return self

    def _take(self, line: dict[str, Any]) -> None:
        history = self.history
        for one in line.get("begun", ()):
            attempt = Attempt(**one)
            history.attempts[attempt.mark] = attempt
        for one in line.get("answered", ()):
            history.answers.setdefault(one["mark"], []).append(Answer(at_ns=one["at_ns"], outcome=_outcome(one)))
        if reading := line.get("reading"):
            history.readings[reading["user"]] = Reading(**{**reading, "events": frozenset(reading["events"])})
        history.reads.extend([Read(**line["read"])] if "read" in line else [])
        history.kept.update(line.get("kept", ()))
        history.errors.extend([line["error"]] if "error" in line else [])
        history.finished.update([line["finished"]] if "finished" in line else [])


def _outcome(one: dict[str, Any]) -> Outcome:
    if "receipt" in one:
        message = wire.Receipt.FromString(bytes.fromhex(one["receipt"]))
        return Receipt(
            event_id=message.event_id,
            shard=message.shard,
            position=message.position,
            stream=message.stream,
            version=message.version,
            recorded_at=datetime.fromtimestamp(message.recorded_at.ToMilliseconds() / 1000).astimezone(),
            leaf=message.leaf,
            findings=tuple(Finding(found.rule, found.words, found.mend) for found in message.findings),
            mended=tuple(message.mended),
        )
    if "refusal" in one:
        return Refusal(**{**one["refusal"], "event_id": bytes.fromhex(one["refusal"]["event_id"])})
    return Unresolved(**{**one["unresolved"], "event_id": bytes.fromhex(one["unresolved"]["event_id"])})


# ── the log ──


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One event of a log. ``number``: who counted it (agency, system, shard) as its how-manieth; ``viewer``: whose reading it records."""

    shard: str
    position: int
    stream: str
    version: int
    event_id: bytes
    leaf: bytes
    recorded_at_ms: int
    event_type: str
    mark: str
    number: tuple[str, str, str, int]
    viewer: str = ""


Log = Mapping[str, Sequence[Fact]]
"""One node's log: the facts of each shard, in the order in which they were read."""


class LogReader:
    """Reads a log and opens every body, each event once however often it looks."""

    def __init__(self) -> None:
        """Begin before the first event."""
        self.log: Final[dict[str, list[Fact]]] = {}

    def read(self, store: EventStore, opener: Opener) -> Log:
        """Take in what was appended since; raise as ``Opener.open`` does for what cannot be opened."""
        for name in store.shards():
            facts = self.log.setdefault(name, [])
            while batch := store.shard(name).read(facts[-1].position if facts else 0, _BATCH_EVENTS):
                facts += [_fact(store.shard(name), opener, stored) for stored in batch]
        return self.log


def _fact(shard: ShardStore, opener: Opener, stored: Stored) -> Fact:
    event = opener.open(shard.name, stored).event
    if event is None:
        raise AssertionError(f"{shard.name}: the body at position {stored.position} is gone")
    header = EventHeader.FromString(LoggedEvent.FromString(stored.state).header)
    return Fact(
        shard=shard.name,
        position=stored.position,
        stream=stored.stream,
        version=stored.version,
        event_id=stored.event_id,
        leaf=shard.leaf(stored),
        recorded_at_ms=stored.recorded_at_ms,
        event_type=stored.type,
        mark=header.correlation_id.hex(),
        number=(header.agency_id, header.source, header.shard, header.source_sequence),
        viewer=event.viewer_user if isinstance(event, CaseViewed) else "",
    )
