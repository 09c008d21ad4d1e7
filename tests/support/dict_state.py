"""The fold's memory in plain dictionaries: the simplest thing that can be right, to compare SQLite and whole nodes with."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

from services.eventstore.fold import Effects, Outcome, ShardState
from services.eventstore.port import Stored


@dataclass
class DictState:
    """Everything of all shards; every key begins with the shard."""

    states: dict[str, ShardState] = field(default_factory=dict)
    outcomes: dict[tuple[str, bytes], Outcome] = field(default_factory=dict)
    events: dict[tuple[str, int], Stored] = field(default_factory=dict)
    positions: dict[tuple[str, bytes], int] = field(default_factory=dict)
    versions: dict[tuple[str, str], int] = field(default_factory=dict)
    tracking: dict[tuple[str, str], int] = field(default_factory=dict)
    partitions: dict[str, int] = field(default_factory=dict)
    revoked: dict[tuple[str, str], int] = field(default_factory=dict)

    def shard_state(self, shard: str) -> ShardState:
        return self.states.get(shard, ShardState(shard))

    def outcome(self, shard: str, append_id: bytes) -> Outcome | None:
        return self.outcomes.get((shard, append_id))

    def event(self, shard: str, event_id: bytes) -> Stored | None:
        position = self.positions.get((shard, event_id))
        return None if position is None else self.events[shard, position]

    def event_at(self, shard: str, position: int) -> Stored:
        return self.events[shard, position]

    def stream_version(self, shard: str, stream: str) -> int | None:
        return self.versions.get((shard, stream))

    def tracking_position(self, shard: str, name: str) -> int | None:
        return self.tracking.get((shard, name))

    def is_revoked(self, shard: str, key_id: str) -> bool:
        return (shard, key_id) in self.revoked

    def partition_of(self, shard: str) -> int | None:
        return self.partitions.get(shard, 0 if shard in self.states else None)

    def shard_at(self, partition: int) -> str | None:
        return next((shard for shard, place in self.partitions.items() if place == partition), None)

    def copy(self) -> DictState:
        return DictState(**{each.name: dict(getattr(self, each.name)) for each in fields(self)})

    def log(self, shard: str) -> list[Stored]:
        return [stored for (of_shard, _), stored in self.events.items() if of_shard == shard]

    def apply(self, effects: Effects) -> None:
        shard = effects.state.shard
        self.states[shard] = effects.state
        if effects.shard_placed is not None:
            self.partitions[effects.shard_placed.shard] = effects.shard_placed.partition
        if effects.outcome is not None:
            assert (shard, effects.append_id) not in self.outcomes
            self.outcomes[shard, effects.append_id] = effects.outcome
        for event, placed in zip(effects.events, effects.placed, strict=True):
            assert (shard, placed.position) not in self.events
            assert (shard, event.event_id) not in self.positions
            self.positions[shard, event.event_id] = placed.position
            self.events[shard, placed.position] = Stored(
                placed.position,
                event.stream,
                event.version,
                event.event_id,
                event.header_hash,
                event.type,
                placed.recorded_at_ms,
                event.state,
            )
        for stream, version in effects.streams.items():
            self.versions[shard, stream] = version
        if effects.tracking is not None:
            self.tracking[shard, effects.tracking.name] = effects.tracking.position
        if effects.revoked is not None:
            self.revoked[shard, effects.revoked] = effects.state.position
