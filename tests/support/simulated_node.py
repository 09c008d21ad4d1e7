"""A node of a simulated cluster: the real follower on the real state, without threads, that may die at any of its steps."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.eventstore import frame
from services.eventstore.fold import PROGRAM, Program, ShardState
from services.eventstore.follower import Follower, Member
from services.eventstore.log import Log
from services.eventstore.port import Append, Result
from services.eventstore.reader import Reader
from services.eventstore.state import State
from services.eventstore.tables import FOLLOWS_A_LOG, LOCK_WAIT_SECONDS
from services.runtime.errors import HubError, Unavailable
from tests.support.newer_rules import NEW_PROGRAM
from tests.support.simulated_log import AFTER_SEND, BEFORE_SEND, NodeLink, SimulatedLog
from tests.support.simulation_model import ROOT, Model

DEADLINE_SECONDS: Final = 20.0
BEFORE_COMMIT: Final = "between fold and commit"
AFTER_COMMIT: Final = "after commit before answer"
FAILED, FULL, COMMITTED = DISK_FAILURES = ("failed", "full", "failed behind the commit")
MARK_POSITIONS: Final = 8
POINTS: Final = (BEFORE_SEND, AFTER_SEND, BEFORE_COMMIT, AFTER_COMMIT)


class Crashed(BaseException):
    """The process is gone."""


class Disk(sqlite3.Connection):
    """A connection that does what it is told instead of a commit."""

    node: Node

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql != "COMMIT":
            return super().execute(sql, parameters)
        node, fails = self.node, self.node.disk_fails
        node.at(BEFORE_COMMIT)
        node.disk_fails = ""
        if fails:
            node.seen[f"disk: {fails}"] += 1
            node.silent_until = node.now() + DEADLINE_SECONDS if fails == COMMITTED else node.silent_until
        if fails in ("", COMMITTED):
            super().execute(sql)
        if fails:
            error = sqlite3.OperationalError(fails)
            error.sqlite_errorcode = sqlite3.SQLITE_FULL if fails == FULL else sqlite3.SQLITE_IOERR
            raise error
        return self.cursor()


class SteppedFollower(Follower):
    """A follower whose threads never start: each of its steps is called by the simulation."""

    decided: Sequence[tuple[str, bytes, Result]] = ()
    """What the last batch decided."""
    batch_failure: Exception | None = None
    """Why a batch failed."""

    def _start(self) -> None:
        """Start nothing."""

    def _answer(self, decided: Sequence[tuple[str, bytes, Result]]) -> None:
        self.decided = decided
        super()._answer(decided)

    def _recover(self, failure: Exception, records: int) -> HubError:
        self.batch_failure = failure
        return super()._recover(failure, records)

    def _pause(self) -> None:
        """Give up: only a step lets time pass, so that a node which starts while it is cut off would try for ever."""
        raise Unavailable("cut off")

    def take_part(self) -> None:
        """Exchange digests from the start on: what any node published is as true as ever, or no node's."""
        assert self._digests is not None
        self._digests.begin()

    def tick(self) -> None:
        """Look at the deadlines."""
        self._fail_overdue()

    def hand_over(self) -> None:
        """Do the sender's next step."""
        self._send_next(0.0)

    def fold(self) -> None:
        """Do the worker's next step."""
        self._fold_next(0.0)

    def end(self) -> None:
        """Answer whoever still waits, as the worker does when it stops."""
        self._stopped = True
        self._turn_away()

    def begin_close(self) -> None:
        """Take nothing new."""
        self._closing.set()

    @property
    def is_closing(self) -> bool:
        """Tell whether it was told to stop."""
        return self._closing.is_set()

    @property
    def is_drained(self) -> bool:
        """Tell whether it may end, being closed."""
        return self._closing.is_set() and not self._pending

    @property
    def broken(self) -> Exception | None:
        """Why it stopped."""
        return self._broken

    @property
    def has_outgoing(self) -> bool:
        """Tell whether something is to be sent at once."""
        return not self._outgoing.empty()

    @property
    def next_due(self) -> float | None:
        """When something is to be sent again."""
        return self._failed[0][0] if self._failed else None


@dataclass(eq=False, repr=False)
class Node:
    """A machine: its file, an old copy of that, its program, and the process that runs on it, if one does."""

    name: str
    folder: Path
    log: SimulatedLog
    model: Model
    now: Callable[[], float]
    seen: Counter[str]
    program: Program
    sends: bool = True
    reads: bool = True
    dies_at: str = ""
    """At which point of its next steps the process is gone."""
    disk_fails: str = ""
    """How its next commit fails."""
    silent_until: float = 0.0
    """Until when callers may be left without an answer that is decided."""
    state: State | None = None
    follower: SteppedFollower | None = None
    link: NodeLink | None = None

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.sqlite"

    @property
    def copy(self) -> Path:
        return self.folder / f"{self.name}.old"

    @property
    def is_serving(self) -> bool:
        return self.follower is not None and self.follower.broken is None

    @property
    def is_at_end(self) -> bool:
        """Tell whether it has folded all there is."""
        return all(self.standing(name) == ledger.standing[-1] for name, ledger in self.model.ledgers.items())

    def at(self, point: str) -> None:
        """Die here if told to."""
        if self.dies_at == point:
            self.dies_at = ""
            self.seen[f"crash: {point}"] += 1
            raise Crashed

    # ── its life ──

    def start(self) -> None:
        """Begin a process on the file; raise as ``Follower`` does."""
        self.link = NodeLink(self.log, sends=self.sends, reads=self.reads)
        self.state = State(self.path, synchronous="OFF", connect=self._connect, kind=FOLLOWS_A_LOG, mark_positions=MARK_POSITIONS)
        try:
            self.follower = self._follow(self.state, self.link)
        except BaseException:
            self.state.close()
            self.state = self.link = None
            raise
        self.link.at = self.at
        self.check_standing()

    def crash(self) -> None:
        """Lose the process, with all that it had not committed."""
        if self.state is not None:
            self.state.close()
        self.state = self.follower = self.link = None
        self.dies_at = self.disk_fails = ""

    def keep_copy(self) -> None:
        """Keep a copy of the file of a process that is gone."""
        if self.path.exists():
            shutil.copyfile(self.path, self.copy)

    def lose_file(self) -> None:
        """Lose the file."""
        for path in self.folder.glob(f"{self.path.name}*"):
            path.unlink()

    def restore(self) -> None:
        """Put the old copy in the file's place."""
        self.lose_file()
        shutil.copyfile(self.copy, self.path)

    def _follow(self, state: State, link: Log) -> SteppedFollower:
        follower = SteppedFollower(
            state,
            self.path,
            link,
            ROOT,
            lambda _: self.at(AFTER_COMMIT),
            DEADLINE_SECONDS,
            member=Member(node_id=self.name, compared=self._compared),
            program=self.program,
            now=self.now,
        )
        follower.take_part()
        return follower

    def _compared(self, is_same: bool) -> None:
        self.seen[f"digests compared: {'equal' if is_same else 'different'}"] += 1

    def _connect(self, path: str) -> sqlite3.Connection:
        disk = sqlite3.connect(path, timeout=LOCK_WAIT_SECONDS, isolation_level=None, factory=Disk)
        disk.node = self
        return disk

    # ── its steps ──

    def step(self, step: Callable[[SteppedFollower], None]) -> bool:
        """Do one step; tell whether the process is still there."""
        assert self.follower is not None
        try:
            step(self.follower)
        except Crashed:
            self.crash()
            return False
        return True

    def fold(self, most: int, first: int, *, fetches: bool = True) -> None:
        """Fold what the log gives, ``most`` records, fetching them or not; hold the state against the model."""
        if self.follower is None or self.link is None:
            return
        self.link.most, self.link.first, self.link.fetches = most, first, fetches
        before = {name: self.standing(name).next_offset for name in self.model.ledgers}
        self.follower.decided = ()
        if self.step(SteppedFollower.fold):
            self.check_standing()
            self._check_decided(before, self.follower.decided)
            if not fetches and self.follower.decided:
                self.seen["flight: folded before it was fetched"] += 1
            assert isinstance(self.follower.batch_failure, sqlite3.OperationalError | None), self.follower.batch_failure
            if self.follower.broken is not None:
                self._check_stopped(self.follower.broken)
            elif self.follower.is_drained:
                self.follower.end()
                self.crash()
                self.seen["closed: drained"] += 1

    def _check_stopped(self, error: Exception) -> None:
        """A node may only stop because its program is too old for the log."""
        assert isinstance(error, frame.UnknownControl), error
        assert self.program is PROGRAM, "the newer program stopped"
        if self.follower is not None:
            self.follower.end()
        self.seen["old binary stopped"] += 1

    def _check_decided(self, before: dict[str, int], decided: Sequence[tuple[str, bytes, Result]]) -> None:
        """What a batch decided is what the model did."""
        for name, since in before.items() if decided else ():
            of_shard = [(append_id, result) for shard, append_id, result in decided if shard == name]
            self.model.ledgers[name].check_decided(since, self.standing(name).next_offset, of_shard)

    def check_standing(self) -> None:
        """Every shard stands where the model stood at the same offset."""
        for name, ledger in self.model.ledgers.items():
            ledger.check_standing(self.standing(name))
            assert self.program is not PROGRAM or self.standing(name).rules < 2, "an old program went on under new rules"

    def standing(self, shard: str) -> ShardState:
        """Return where a shard durably stands here."""
        return (self.state and self.state.committed(shard)) or ShardState(shard)

    def propose(self, shard: str, append_id: bytes, record: Append | frame.Control) -> Future[Result]:
        """Have something proposed; nobody waits in a thread."""
        assert self.follower is not None
        return self.follower.propose(shard, append_id, record)

    def upgrade(self) -> None:
        """Install the newer program."""
        if self.program is not NEW_PROGRAM:
            self.program = NEW_PROGRAM
            self.seen["old binary upgraded"] += 1

    def check_whole(self) -> None:
        """All that the file holds is what the model holds."""
        assert self.state is not None
        reader = Reader(self.path)
        for name, ledger in self.model.ledgers.items():
            fold = ledger.fold
            assert self.standing(name) == ledger.standing[-1], f"{self.name} has not folded all of {name}"
            if name not in self.state.places().values():
                continue
            number = self.state.number(name)
            assert reader.events(number, 0, len(fold.events) + 1) == fold.events
            assert reader.revoked_keys(number) == fold.revoked
            for stream, version in fold.versions.items():
                assert reader.stream_version(number, stream) == self.state.stream_version(name, stream) == version
            for consumer, position in fold.tracking.items():
                assert reader.tracking_position(number, consumer) == position
            count = reader.query("SELECT count(*) FROM append WHERE shard = ?", (number,))[0][0]
            assert count == len(fold.results)
        reader.close()
