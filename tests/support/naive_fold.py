"""The fold a second time, written from the design (docs/adr/0003, 0011) and not from ``fold.py``: a list, a few dictionaries, no speed."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from google.protobuf.message import DecodeError

from safeguarding.hub.v1 import log_pb2
from services.eventstore.port import Accepted, Conflict, Malformed, Mismatch, PartialDuplicate, Placed, Result, Revoked, Stored
from tests.support.appends import naive_leaf

RECORD_MAX_BYTES: Final = 900 * 1024
APPEND, GENESIS, RULES, KEY_REVOKED, SHARD, DIGEST = range(1, 7)
MALFORMED: Final = Malformed("")
"""Why is not compared."""


@dataclass
class NaiveShard:
    """One shard as its log makes it. ``partitions``: where all shards lie, known to the shard of partition 0 alone."""

    name: str
    retired: str
    """An event type that version 2 of the rules does not take."""
    partitions: dict[str, int] | None = None
    rules: int = 0
    formats: tuple[int, ...] = ()
    malformed: int = 0
    last_append_id: bytes = b""
    recorded_at_ms: int = 0
    digest: bytes = bytes(32)
    events: list[Stored] = field(default_factory=list)
    by_id: dict[bytes, Stored] = field(default_factory=dict)
    leaves: dict[bytes, bytes] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    results: dict[bytes, Result] = field(default_factory=dict)
    tracking: dict[str, int] = field(default_factory=dict)
    revoked: dict[str, int] = field(default_factory=dict)

    def fold(self, record: bytes, timestamp_ms: int) -> Result:
        """Decide the next record and remember what it changes."""
        self.last_append_id = b""
        result = self._decided(record, timestamp_ms)
        if isinstance(result, Malformed):
            self.malformed += 1
        return result

    def _decided(self, record: bytes, timestamp_ms: int) -> Result:
        if not 22 <= len(record) <= RECORD_MAX_BYTES or record[:4] != b"SHUB":
            return MALFORMED
        kind, version, append_id, body = record[4], record[5], record[6:22], record[22:]
        self.last_append_id = append_id
        try:
            if kind != APPEND:
                return self._control(kind, body)
            if append_id in self.results:
                result = self.results[append_id]
                return Accepted(result.placed, duplicate=True) if isinstance(result, Accepted) else result
            # Before GENESIS no format is allowed.
            readable = version in self.formats
            result = self._append(log_pb2.AppendRecord.FromString(body), timestamp_ms) if readable else MALFORMED
        except DecodeError:
            return MALFORMED
        if not isinstance(result, Malformed):
            self.results[append_id] = result
        return result

    def _control(self, kind: int, body: bytes) -> Result:  # noqa: C901  # one branch a kind
        good = False
        if kind == GENESIS:
            genesis = log_pb2.GenesisControl.FromString(body)
            good = not self.rules and genesis.shard == self.name and genesis.rules > 0 and len(genesis.formats) > 0
            if good:
                self.rules, self.formats = genesis.rules, tuple(genesis.formats)
        elif kind == RULES:
            change = log_pb2.RulesControl.FromString(body)
            good = self.rules > 0 and change.version == self.rules + 1 and len(change.formats) > 0
            if good:
                self.rules, self.formats = change.version, tuple(change.formats)
        elif kind == KEY_REVOKED:
            key_id = log_pb2.KeyRevokedControl.FromString(body).key_id
            good = self.rules > 0 and key_id != ""
            if good:
                self.revoked.setdefault(key_id, len(self.events))
        elif kind == SHARD:
            placed = log_pb2.ShardControl.FromString(body)
            places = self.partitions
            good = places is not None and self.rules > 0 and placed.shard != "" and placed.partition > 0
            if places is not None and good:
                good = placed.shard not in places and placed.partition not in places.values()
                if good:
                    places[placed.shard] = placed.partition
        elif kind == DIGEST:
            digest = log_pb2.DigestControl.FromString(body)
            good = self.rules > 0 and digest.node_id != "" and 0 < digest.position < 2**63 and len(digest.digest) == 32
        return Accepted(()) if good else MALFORMED

    def _append(self, record: log_pb2.AppendRecord, timestamp_ms: int) -> Result:
        is_retired = self.rules > 1 and self.retired in [event.type for event in record.events]
        if is_retired or record.shard != self.name or not self._sound(record):
            return MALFORMED
        revoked = [event.key_id for event in record.events if event.key_id in self.revoked]
        return self._repeated(record) or (Revoked(revoked[0]) if revoked else self._conflict(record) or self._accept(record, timestamp_ms))

    def _repeated(self, record: log_pb2.AppendRecord) -> Result | None:
        known = [event for event in record.events if event.event_id in self.by_id]
        if not known:
            return None
        for event in known:
            if self.by_id[event.event_id].header_hash != event.header_hash:
                return Mismatch(event.event_id)
        if len(known) < len(record.events):
            return PartialDuplicate(tuple(event.event_id for event in known))
        return Accepted(tuple(self.placed(event.event_id) for event in known), duplicate=True)

    def _sound(self, record: log_pb2.AppendRecord) -> bool:
        ids = [event.event_id for event in record.events]
        numbers = [event.version for event in record.events] + [each.version for each in record.expectations] + [record.tracking.position]
        return (
            (bool(ids) or record.HasField("tracking"))
            and len(set(ids)) == len(ids)
            and all(len(event.event_id) == 16 and len(event.header_hash) == 32 for event in record.events)
            and all(event.stream and event.type for event in record.events)
            and all(each.stream and len(each.event_id) in (0, 16) for each in record.expectations)
            and all(number < 2**63 for number in numbers)
            and (record.tracking.name != "" or not record.HasField("tracking"))
        )

    def _conflict(self, record: log_pb2.AppendRecord) -> Conflict | None:
        for each in record.expectations:
            at = self.versions.get(each.stream)
            rests_on = self.by_id.get(each.event_id)
            is_there = rests_on is not None and (rests_on.stream, rests_on.version) == (each.stream, each.version)
            if at != (each.version or None) or (each.event_id and not is_there):
                return Conflict(each.stream, each.version, at or 0)
        versions = {each.stream: 0 for each in record.expectations} | self.versions
        for event in record.events:
            if event.stream in versions and event.version != versions[event.stream] + 1:
                return Conflict(event.stream, max(event.version - 1, 0), versions[event.stream])
            versions[event.stream] = event.version
        last = self.tracking.get(record.tracking.name)
        if last is not None and record.tracking.position <= last:
            return Conflict(f"tracking {record.tracking.name}", record.tracking.position, last)
        return None

    def _accept(self, record: log_pb2.AppendRecord, timestamp_ms: int) -> Accepted:
        for event in record.events:
            self.recorded_at_ms = max(self.recorded_at_ms, timestamp_ms)
            stored = Stored(
                len(self.events) + 1,
                event.stream,
                event.version,
                event.event_id,
                event.header_hash,
                event.type,
                self.recorded_at_ms,
                event.state,
            )
            self.events.append(stored)
            self.by_id[event.event_id] = stored
            self.versions[event.stream] = event.version
            self.leaves[event.event_id] = naive_leaf(self.name, stored)
            self.digest = sha256(self.digest + self.leaves[event.event_id]).digest()
        if record.HasField("tracking"):
            self.tracking[record.tracking.name] = record.tracking.position
        return Accepted(tuple(self.placed(event.event_id) for event in record.events))

    def placed(self, event_id: bytes) -> Placed:
        """Return the receipt of an accepted event."""
        stored = self.by_id[event_id]
        return Placed(event_id, stored.stream, stored.version, stored.position, stored.recorded_at_ms, self.leaves[event_id])
