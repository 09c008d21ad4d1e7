"""What a cluster must be able to show when all is over: every receipt on every node once, and every node with the same log."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from safeguarding.hub.client.outcomes import Receipt
from services.eventstore.port import EventStore, Head

READ_MAX_EVENTS: Final = 1_000
LEVEL_MAX_SECONDS: Final = 60.0
"""How long a node may take to fold what another has, when nobody appends any more."""
_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Place:
    """Where an event lies, and its leaf hash."""

    shard: str
    position: int
    leaf: bytes

    def __str__(self) -> str:
        """Say it in a word."""
        return f"{self.shard}/{self.position}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeLog:
    """A whole log as one node holds it: each shard's head, and every place of each event, looked up in what was read and in no index."""

    node: str
    heads: Mapping[str, Head]
    places: Mapping[bytes, Sequence[Place]]

    @property
    def events(self) -> int:
        """How many events it holds."""
        return sum(map(len, self.places.values()))


def come_level(stores: Mapping[str, EventStore], within_seconds: float = LEVEL_MAX_SECONDS) -> bool:
    """Wait until all nodes have come equally far in every shard; False if they do not in time."""
    deadline = time.monotonic() + within_seconds
    while True:
        first, *others = ({name: store.shard(name).head().position for name in store.shards()} for store in stores.values())
        if all(other == first for other in others):
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_LOOK_SECONDS)


def read_whole(node: str, store: EventStore) -> NodeLog:
    """Read every shard from its beginning to its head."""
    heads: dict[str, Head] = {}
    places: dict[bytes, list[Place]] = defaultdict(list)
    for name in store.shards():
        shard = store.shard(name)
        head = heads[name] = shard.head()
        position = 0
        while position < head.position and (batch := shard.read(position, min(READ_MAX_EVENTS, head.position - position))):
            for stored in batch:
                places[stored.event_id].append(Place(name, stored.position, shard.leaf(stored)))
            position = batch[-1].position
    return NodeLog(node=node, heads=heads, places=places)


def broken_promises(receipts: Sequence[Receipt], log: NodeLog) -> Iterator[str]:
    """Yield every receipt that a node's log does not bear out: its event must lie there once, at the place and with the leaf it names."""
    for receipt in receipts:
        promised = Place(receipt.shard, receipt.position, receipt.leaf)
        found = log.places.get(receipt.event_id, ())
        what = f"event {receipt.event_id.hex()}, which has a receipt for {promised}"
        if not found:
            yield f"{log.node} does not hold {what}"
        elif len(found) > 1:
            yield f"{log.node} holds {what}, {len(found)} times: at {', '.join(map(str, found))}"
        elif found[0] != promised:
            where = f"at {found[0]}" if str(found[0]) != str(promised) else "there with another leaf"
            yield f"{log.node} holds {what}, {where}"


def differences(logs: Sequence[NodeLog]) -> Iterator[str]:
    """Yield every shard of which the nodes do not hold the same: equal positions, and at equal positions equal digests."""
    first, *others = logs
    for other in others:
        for shard in sorted(first.heads.keys() | other.heads.keys()):
            ours, theirs = first.heads.get(shard), other.heads.get(shard)
            if ours is None or theirs is None:
                yield f"{shard} is on {other.node if ours is None else first.node} alone"
            elif ours.position != theirs.position:
                yield f"{shard} is at {ours.position} on {first.node}, at {theirs.position} on {other.node}"
            elif ours.digest != theirs.digest:
                yield (
                    f"{shard} has digest {ours.digest.hex()[:16]}.. on {first.node}, {theirs.digest.hex()[:16]}.. on {other.node},"
                    f" both at {ours.position}"
                )
