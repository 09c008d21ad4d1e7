"""The event store of one node of a cluster: all nodes follow one log, and each holds what it has folded in a file of its own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path
from time import monotonic

from services.eventstore import fold, frame, tables
from services.eventstore.follower import ALONE, Follower, Member, Report, silent
from services.eventstore.log import Log
from services.eventstore.refold import Refold
from services.eventstore.shard import NodeShard
from services.eventstore.state import State
from services.eventstore.store import NodeStore, not_followed
from services.runtime.errors import Invalid, Unavailable, Violation
from services.runtime.limits import APPEND_DEADLINE_SECONDS


class ClusterEventStore(NodeStore):
    """The shards of a shared log, as this node has folded them."""

    def __init__(
        self,
        path: Path,
        log: Log,
        *,
        root: str,
        member: Member = ALONE,
        report: Report = silent,
        connect: tables.Connect = tables.connect,
        deadline_seconds: float = APPEND_DEADLINE_SECONDS,
    ) -> None:
        """Open or create the file, and follow ``log`` from there to its end; ``root``: the shard of partition 0.

        ``log`` is closed with the store. What it holds now is folded when this returns, which takes as long as it takes: ``report`` is told
        how far it has come, and may end it by raising. Raises ``Unavailable`` while another process writes the file or the log does not
        answer, ``IntegrityError`` if the file is not sound or not of this log.
        """
        self._log = log
        self._root = root
        self._member = member
        try:
            # The log is the truth: what a power cut takes from the file is folded again.
            super().__init__(path, synchronous="NORMAL", connect=connect, kind=tables.FOLLOWS_A_LOG, deadline_seconds=deadline_seconds)
        except BaseException:
            log.close()
            raise
        try:
            self._follower.come_to_all_ends(report)
        except BaseException:
            self.close()
            raise

    @property
    def shares_log(self) -> bool:
        """Tell that other nodes write to the log as well."""
        return True

    def demand_followed(self, shard: str) -> None:
        """Raise ``Unavailable`` for a shard that this node does not follow, whether there is one of that name or not."""
        if not self._follower.follows(shard):
            raise not_followed(shard)

    def shards(self) -> tuple[str, ...]:
        """Return the names of the shards that exist and that this node follows; what it once folded of others is not current."""
        every = super().shards()
        return tuple([shard for shard in every if self._follower.follows(shard)]) if self._member.follows else every

    def shard(self, name: str) -> NodeShard:
        """Return a shard; raise ``Unavailable`` for one that this node does not follow."""
        self.demand_followed(name)
        return super().shard(name)

    def come_to_end(self, shard: str, timeout_seconds: float) -> None:
        """Wait until this node has folded what the log held of a shard, and of where shards lie, when this was called."""
        self.demand_followed(shard)
        deadline = monotonic() + timeout_seconds
        self._follower.log_end(self._root, timeout_seconds)
        if shard != self._root and self._follower.partition(shard) is not None:
            self._follower.log_end(shard, max(deadline - monotonic(), 0.0))

    def create_shard(self, name: str) -> NodeShard:
        """Begin a shard with its GENESIS record, in a partition of its own; return it, also when it exists."""
        self.demand_followed(name)
        if name not in self.shards():
            self.come_to_end(name, self._deadline_seconds)
            if name != self._root:
                if self._root not in self.shards():
                    raise Unavailable(f"shard {self._root!r}, which places all others, has not begun")
                if not name or not fold.is_text(name):
                    raise Invalid(Violation("shard", "a name in Unicode"))
                self._place(name)
                self._follower.log_end(name, self._deadline_seconds)
            if name not in self.shards():
                self._control(name, frame.Genesis(name, fold.RULES_VERSION, (frame.APPEND_FORMAT,)))
        return self.shard(name)

    def _open_sequencer(self, state: State, committed: Callable[[set[str]], None]) -> Follower:
        """Return the follower of the log."""
        self._follower = Follower(state, self._path, self._log, self._root, committed, self._deadline_seconds, member=self._member)
        return self._follower

    def _before_opening(self) -> None:
        """Put a state aside that is to be folded anew."""
        Refold(self._path).begin()

    def _place(self, name: str) -> None:
        """Have a shard placed in a partition that has none, a new one if need be; other nodes may be faster, for either."""
        deadline = monotonic() + self._deadline_seconds
        while self._follower.partition(name) is None:
            if monotonic() > deadline:
                raise Unavailable(f"shard {name!r} was not placed within {self._deadline_seconds} s")
            taken = self._state.places()
            free = next((each for each in range(1, self._log.partitions()) if each not in taken), None)
            if free is None:
                self._log.widen(max(taken) + 2)
                continue
            self._control(self._root, frame.ShardPlaced(name, free))

    def _control(self, shard: str, control: frame.Control) -> None:
        """Write a control record and wait until it is folded; one that another node's made void has had its work done by that."""
        try:
            self._follower.control(shard, control).result(self._deadline_seconds)
        except FutureTimeoutError:
            raise Unavailable(f"nothing was decided within {self._deadline_seconds} s") from None
        except Invalid:
            return
