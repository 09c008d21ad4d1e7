"""Admit, then evolve: the one shape of every decision area."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, TypeVar

from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import AgencyId, EventId, Shard, Stream
from domain.kernel.moulds import quick
from domain.kernel.rules import Finding, Rule

S = TypeVar("S")


@quick
@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What an event is judged with besides its own stream: who says it, where, when, and the other streams it may look at."""

    agency_id: AgencyId
    event_id: EventId
    shard: Shard
    stream: Stream
    now: datetime
    """The instant at which it would be recorded."""
    imported: bool = False
    live_from: date | None = None
    """The sender's live day: imported history may assert instants before it only."""
    actor_role: str = ""
    others: Mapping[Stream, Any] = field(default_factory=dict)
    """States of the streams that the area's ``reads`` named; the initial state for a stream that does not exist."""

    @property
    def agency_kind(self) -> AgencyKind:
        """The kind of the sender."""
        return kind_of(self.agency_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decider(Generic[S]):
    """One area: the streams of one category, their events and the rules for them."""

    category: str
    events: tuple[type[Event], ...]
    initial: S
    reads: Callable[[Event, Stream, Shard], tuple[Stream, ...]]
    """The other streams of the shard that ``admit`` looks at for this event: each becomes an expectation of the append."""
    admit: Callable[[S, Event, Context], tuple[Finding, ...]]
    """Return findings (usually none) or raise ``Refused``."""
    evolve: Callable[[S, Recorded], S]
    """Return the next state. Never raises on a history that ``admit`` let in; copes with an event whose body is gone."""
    open_rules: Callable[[S], frozenset[Rule]]
    """The rules broken in this state and not yet mended."""
    timeless: bool = False
    """Whether a state is the same whenever and wherever its events are recorded, and whatever they mend.

    The state that was predicted of an event is then the one that it leads to, and need not be folded again.
    """

    def fold(self, history: Iterable[Recorded]) -> S:
        """Return the state after ``history``, in version order."""
        state = self.initial
        for recorded in history:
            state = self.evolve(state, recorded)
        return state


def mended(decider: Decider[S], before: S, after: S) -> tuple[Rule, ...]:
    """Return the rules that were broken before an event and are not after it, by id."""
    return tuple(sorted(decider.open_rules(before) - decider.open_rules(after), key=lambda rule: rule.id))


def reads_nothing(_event: Event, _stream: Stream, _shard: Shard) -> tuple[Stream, ...]:
    """For an area that judges an event by its own stream alone."""
    return ()
