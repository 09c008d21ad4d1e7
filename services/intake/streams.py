"""The states that events are judged against: decided ones, and those predicted from appends still under way."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any, Final

from domain.kernel.decider import Decider
from domain.kernel.events import Recorded
from services.eventstore.codec import recorded_instant
from services.eventstore.port import Accepted, Expectation, Placed, Result

STREAMS_MAX_KEPT: Final = 20_000


@dataclass(slots=True)
class Proposal:
    """An event that was admitted and whose append is not decided yet."""

    recorded: Recorded
    before: Any
    """The state it was judged on."""
    after: Any
    """The state it leads to."""
    future: Future[Result] | None = None
    """What became of its append."""
    at: int = 0
    """Its index in the append."""

    @property
    def placed(self) -> Placed | None:
        """Where it lies, once that is decided; None also where its append came to nothing, or is a duplicate of another's."""
        future = self.future
        if future is None or not future.done() or future.cancelled() or future.exception() is not None:
            return None
        result = future.result()
        return result.placed[self.at] if isinstance(result, Accepted) and not result.duplicate else None


@dataclass(slots=True, eq=False)
class StreamState:
    """One stream as this node knows it. All of it is touched by the event loop's thread alone."""

    shard: str
    name: str
    decider: Decider[Any]
    decided: Any
    version: int
    proposals: list[Proposal] = field(default_factory=list)
    predicted: Any = None

    @property
    def predicted_version(self) -> int:
        """The version after every append under way, if all are accepted."""
        return self.version + len(self.proposals)

    def expectation(self) -> Expectation:
        """Return what an append judged on the predicted state demands: the version and, while that is not decided, its very event."""
        resting_on = self.proposals[-1].recorded.event_id if self.proposals else b""
        return Expectation(self.name, self.predicted_version, resting_on)

    def propose(self, recorded: Recorded, after: Any) -> Proposal:
        """Predict that ``recorded`` will be accepted; ``after`` is the state it leads to."""
        proposal = Proposal(recorded, self.predicted, after)
        self.proposals.append(proposal)
        self.predicted = after
        return proposal

    def settle(self) -> None:
        """Take in what was accepted, in version order, whoever hears of it first, and also what its own caller did not wait for."""
        while self.proposals and (place := self.proposals[0].placed) is not None:
            fact = self.proposals.pop(0)
            self.decided = self._decide(fact, place)
            self.version = fact.recorded.version
        if not self.proposals:
            self.predicted = self.decided

    @property
    def is_stuck(self) -> bool:
        """Tell whether the next proposal's append was answered without a place: what was predicted from it on is not to be relied on."""
        future = self.proposals[0].future if self.proposals else None
        return future is not None and future.done() and self.proposals[0].placed is None

    def _decide(self, fact: Proposal, placed: Placed) -> Any:
        """Return the state after a fact. What was predicted of it is that state only where its place and time leave no trace in it."""
        if self.decider.timeless and fact.before is self.decided:
            return fact.after
        recorded_at = recorded_instant(placed.recorded_at_ms)
        return self.decider.evolve(self.decided, replace(fact.recorded, position=placed.position, recorded_at=recorded_at))

    def withdraw(self, proposal: Proposal) -> None:
        """Take back the newest proposal, which was never sent."""
        if self.proposals and self.proposals[-1] is proposal:
            self.proposals.pop()
        state = self.decided
        for earlier in self.proposals:
            state = self.decider.evolve(state, earlier.recorded)
        self.predicted = state

    def under_way(self) -> list[Future[Result]]:
        """Return the appends of this stream that are not decided."""
        return [proposal.future for proposal in self.proposals if proposal.future is not None and not proposal.future.done()]


class Streams:
    """The streams in use, the least recently used forgotten first; those with appends under way are kept."""

    def __init__(self, load: Callable[[str, str], StreamState]) -> None:
        """``load(shard, stream)`` reads a stream's decided state from the store."""
        self._load = load
        self._kept: OrderedDict[tuple[str, str], StreamState] = OrderedDict()

    def get(self, shard: str, stream: str) -> StreamState:
        """Return a stream's state, loading it if need be."""
        key = (shard, stream)
        state = self._kept.get(key)
        if state is not None and state.proposals:
            state.settle()
            if state.is_stuck:
                self.forget(state)
                state = None
        if state is not None:
            self._kept.move_to_end(key)
            return state
        state = self._kept[key] = self._load(shard, stream)
        if len(self._kept) > STREAMS_MAX_KEPT:
            self._forget_oldest()
        return state

    def forget(self, state: StreamState) -> None:
        """Drop a state that was contradicted: it is loaded anew when next needed."""
        key = (state.shard, state.name)
        if self._kept.get(key) is state:
            del self._kept[key]

    def _forget_oldest(self) -> None:
        for key, state in self._kept.items():
            state.settle()
            if not state.proposals or state.is_stuck:
                del self._kept[key]
                return
