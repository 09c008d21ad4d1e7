"""Digests exchanged between the nodes of a cluster (docs/adr/0022): each says what it holds, and looks whether it is alone with it.

Equal digests at equal positions prove that two nodes accepted the same events. A digest proves nothing of the rows that lie in the
file since then, so they are read again, a few at a time, and held against the digests that were marked when they were written.
"""

from __future__ import annotations

import sqlite3
import struct
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple

import structlog

from services.eventstore.batch import Mark
from services.eventstore.fold import FIRST_DIGEST, leaf, next_digest
from services.eventstore.frame import DigestPublished
from services.eventstore.port import Result
from services.eventstore.refold import Cause, Differs, Refold
from services.eventstore.state import MARK_POSITIONS, State
from services.runtime.randomness import rising_id

PUBLISH_SECONDS: Final = 10.0
"""Of a shard that grows, each node publishes a digest at most so often; of one that does not, none."""
SETTLE_SECONDS: Final = 25.0
"""More than two publications: after so long every node that lives has said what it holds."""
PAUSE_SECONDS: Final = 5.0
"""Longer between two looks, this process was stopped, and what others said meanwhile lies unread."""
NODES_MAX: Final = 100
"""More nodes than any hub has: whoever else publishes is not listened to."""
SAID_MAX: Final = 64
BEGINNING: Final = Mark(0, FIRST_DIGEST)

_log = structlog.get_logger(__name__)


class _Said(NamedTuple):
    """What another node published last: to which position, whether this node holds the same there, and when it heard that."""

    position: int
    agrees: bool
    heard_at: float


@dataclass(slots=True)
class _Shard:
    """The exchange over one shard. Instants are seconds of a clock that never goes back."""

    published: int = 0
    published_at: float = -inf
    publishing: Future[Result] | None = None
    said: deque[bytes] = field(default_factory=lambda: deque(maxlen=SAID_MAX))
    """The ids under which this node published last."""
    is_asked: bool = False
    """Another node published something else: this one says again what it holds."""
    others: dict[str, _Said] = field(default_factory=dict)
    disputed: int = 0
    disputed_at: float | None = None
    judge_at: float = 0.0
    proven: Mark = BEGINNING
    """How far the rows were read again."""


class Digests:
    """One node's part in the exchange. Used by the thread that folds, alone."""

    def __init__(
        self,
        state: State,
        refold: Refold,
        node_id: str,
        *,
        shards: Callable[[], Iterable[str]],
        publish: Callable[[str, bytes, DigestPublished], Future[Result]],
        now: Callable[[], float],
        compared: Callable[[bool], None],
    ) -> None:
        """``node_id``: no other node's; ``shards``: those that this node follows; ``compared`` is told whether a digest was the same."""
        self._state = state
        self._refold = refold
        self._node_id = node_id
        self._shards = shards
        self._publish = publish
        self._now = now
        self._compared = compared
        self._is_live = False
        self._of: dict[str, _Shard] = {}
        self._turn = 0
        self._looked_at = 0.0

    def begin(self) -> None:
        """Take part from now on: this node has folded what the log held when it began. What was published before may be mended since."""
        self._is_live = True
        self._looked_at = self._now()

    def hear(self, shard: str, append_id: bytes, said: DigestPublished) -> None:
        """Hold what a node published, under an id, against what this one holds; the log before it is folded here."""
        if not self._is_live:
            return
        one = self._one(shard)
        if said.node_id == self._node_id:
            if append_id not in one.said:  # another node goes by this one's name: each takes the other's digests for its own
                _log.error("eventstore.node_id_taken", shard=shard, position=said.position, node_id=self._node_id)
            return
        if said.node_id not in one.others and len(one.others) >= NODES_MAX:
            return
        standing = self._state.committed(shard)
        # A node that has more events than the log gave this one by then has others.
        agrees = standing is not None and said.position <= standing.position and self._digest_at(shard, said.position) == said.digest
        self._compared(agrees)
        now = self._now()
        one.others[said.node_id] = _Said(said.position, agrees, now)
        if agrees:
            self._refold.settle(shard, said.position, is_damage=False)
            return
        _log.warning("eventstore.digest_differs", shard=shard, position=said.position, node_id=said.node_id)
        if one.disputed_at is None:
            # Answered once a dispute: nodes that go on though they differ do not answer each other for ever.
            one.disputed_at, one.judge_at, one.is_asked = now, now + SETTLE_SECONDS, True
            one.disputed = said.position if standing is None else min(said.position, standing.position)

    def look(self) -> None:
        """Publish what is due, judge what is disputed, read some rows again; raise ``Differs`` if this node must not go on as it is."""
        if not self._is_live:
            return
        pause = self._now() - self._looked_at
        self._looked_at += pause
        if pause > PAUSE_SECONDS:
            for one in self._of.values():
                one.judge_at += pause
        shards = [shard for shard in self._shards() if self._position(shard)]
        for shard in shards:
            one = self._one(shard)
            self._publish_if_due(shard, one)
            if one.disputed_at is not None and self._now() >= one.judge_at:
                self._judge(shard, one)
        if shards:
            self._turn += 1
            self._prove(shards[self._turn % len(shards)])

    def _one(self, shard: str) -> _Shard:
        """Return the exchange over a shard."""
        return self._of.setdefault(shard, _Shard())

    def _position(self, shard: str) -> int:
        """Return how many events of a shard are folded."""
        standing = self._state.committed(shard)
        return 0 if standing is None else standing.position

    def _publish_if_due(self, shard: str, one: _Shard) -> None:
        """Publish where this node stands if the shard has grown enough, or somebody holds something else."""
        if one.publishing is not None and one.publishing.done():
            # What did not come to the log in time is said again: somebody may wait for it.
            one.is_asked, one.publishing = one.is_asked or one.publishing.exception() is not None, None
        standing = self._state.committed(shard)
        if standing is None or not standing.position or self._now() < one.published_at + PUBLISH_SECONDS:
            return
        if not one.is_asked and standing.position < one.published + MARK_POSITIONS:
            return
        if self._digest_at(shard, standing.position) != standing.digest:
            raise self._damaged(shard, standing.position)
        append_id = rising_id()
        one.said.append(append_id)
        one.publishing = self._publish(shard, append_id, DigestPublished(self._node_id, standing.position, standing.digest))
        one.published, one.published_at, one.is_asked = standing.position, self._now(), False

    def _judge(self, shard: str, one: _Shard) -> None:
        """Say who is to yield when nodes differ: whoever is alone. Of two without a third, it is the one whose name sorts last."""
        position, since, one.disputed_at = one.disputed, one.disputed_at or 0.0, None
        # What a node said before, it would have said again: it may be gone.
        differing = sorted(node for node, said in one.others.items() if not said.agrees and said.heard_at >= since)
        agreeing = sorted(node for node, said in one.others.items() if said.agrees and said.position >= position)
        if not differing:
            return
        if agreeing or (len(differing) == 1 and self._node_id < differing[0]):
            _log.error("eventstore.others_differ", shard=shard, position=position, others=differing, agreeing=agreeing)
            return
        words = f"shard {shard!r} has another digest here than on {', '.join(differing)}, at position {position} at the latest"
        raise self._refold.ask(Cause(shard, position, words, is_damage=False))

    def _prove(self, shard: str) -> None:
        """Hold the rows between two marks against the second, and those behind the last against the digest; then begin anew."""
        one = self._one(shard)
        mark = self._state.mark_after(shard, one.proven.position)
        standing = self._state.committed(shard)
        if mark is None and standing is not None:
            mark = Mark(standing.position, standing.digest)
        if mark is None:
            return
        if self._chained(shard, one.proven, mark.position) != mark.digest:
            raise self._damaged(shard, mark.position)
        is_all = standing is not None and mark.position == standing.position
        one.proven = BEGINNING if is_all else mark
        if is_all:
            self._refold.settle(shard, mark.position, is_damage=True)

    def _digest_at(self, shard: str, position: int) -> bytes | None:
        """Return the digest at a position that was reached, as the rows behind the mark before it give it."""
        return self._chained(shard, self._state.mark_before(shard, position) or BEGINNING, position)

    def _chained(self, shard: str, mark: Mark, position: int) -> bytes | None:
        """Return the digest at a position from that at a mark before it; None if a row between them is missing, or is none."""
        digest, last = mark.digest, mark.position
        try:
            for stored in self._state.events_between(shard, mark.position, position):
                if stored.position != last + 1:
                    return None
                digest, last = next_digest(digest, leaf(shard, stored)), stored.position
        except (struct.error, TypeError, AttributeError):  # a number or a text that no event ever had
            return None
        except sqlite3.OperationalError as error:
            if "decode" not in str(error):
                raise
            return None
        return digest if last == position else None

    def _damaged(self, shard: str, position: int) -> Differs:
        """Return what ends a node whose rows are not what it wrote."""
        words = f"shard {shard!r} does not hold what was folded, at position {position} at the latest: its file was changed or is damaged"
        return self._refold.ask(Cause(shard, position, words, is_damage=True))
