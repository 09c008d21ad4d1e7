"""What a stream says as it stands: every fact once, corrected in its place, in codes and ids without the words told with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol, TypeVar

from domain.kernel.copies import replace
from domain.kernel.corrections import NOTHING_SAID, SaidSoFar, noted, root_of
from domain.kernel.decider import Context
from domain.kernel.events import Event, Recorded, london_day
from domain.kernel.ids import AgencyId, EventId
from domain.kernel.rules import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Gist:
    """What of an event's body later events are judged by."""

    thing: str = ""
    """The id or code of the thing it speaks of (a meeting, a reviewer, a recipient); empty if none."""
    values: tuple[str, ...] = ()
    """The codes, hashes and days it says of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One fact as it stands. ``gist`` is None when its body is gone: that it was said remains, of what nobody can tell."""

    event_type: str
    agency_id: AgencyId
    imported: bool
    """Whether it was first said as imported history."""
    scored_at: datetime
    gist: Gist | None

    @property
    def scored_on(self) -> date:
        """The London day on which it counts."""
        return london_day(self.scored_at)

    @property
    def values(self) -> tuple[str, ...]:
        """What it says; nothing when its body is gone."""
        return () if self.gist is None else self.gist.values


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All facts of a stream in the order in which they were first said, and the rules broken and not yet mended."""

    said: SaidSoFar = field(default_factory=lambda: NOTHING_SAID)
    standing: Mapping[EventId, Fact] = field(default_factory=dict)
    """By the first event of each chain of corrections."""
    broken: frozenset[Rule] = frozenset()

    def of(self, *kinds: type[Event]) -> tuple[Fact, ...]:
        """Return the facts of these event types, in order."""
        names = {kind.EVENT_TYPE for kind in kinds}
        return tuple(fact for fact in self.standing.values() if fact.event_type in names)

    def last(self, *kinds: type[Event]) -> Fact | None:
        """Return the newest fact of these event types, if any."""
        found = self.of(*kinds)
        return found[-1] if found else None

    def has(self, *kinds: type[Event]) -> bool:
        """Tell whether a fact of one of these event types was said."""
        return bool(self.of(*kinds))

    def about(self, kind: type[Event], thing: str) -> bool:
        """Tell whether a fact of this type is known to speak of ``thing``."""
        return any(fact.gist is not None and fact.gist.thing == thing for fact in self.of(kind))

    def perhaps_about(self, kind: type[Event], thing: str) -> bool:
        """Tell whether a fact of this type speaks of ``thing``, or may: of one whose body is gone nobody can tell."""
        return self.about(kind, thing) or any(fact.gist is None for fact in self.of(kind))

    def since(self, *kinds: type[Event]) -> Facts:
        """Return what was said after the newest fact of these event types; everything where there is none."""
        names = {kind.EVENT_TYPE for kind in kinds}
        after: dict[EventId, Fact] = {}
        for root, fact in self.standing.items():
            if fact.event_type in names:
                after = {}
            else:
                after[root] = fact
        return replace(self, standing=after)

    def has_newer_than(self, event: Event, *kinds: type[Event]) -> bool:
        """Tell whether ``event`` corrects a fact that a later one of these event types has replaced since."""
        correction = None if event.details is None else event.details.corrects
        target = None if correction is None else self.said.get(EventId(correction.event_id))
        names = {kind.EVENT_TYPE for kind in kinds}
        newest = [root for root, fact in self.standing.items() if fact.event_type in names][-1:]
        return target is not None and newest != [target.root]

    def scoring_day(self, event: Event, context: Context) -> date:
        """Return the London day on which an event would count; of a correction, that of the step as it would stand."""
        corrects = None if event.details is None else event.details.corrects
        target = None if corrects is None else self.said.get(EventId(corrects.event_id))
        corrected = None if target is None else self.standing.get(target.root)
        moves = corrected is None or (corrected.imported and context.imported)
        return scoring_day(event, context) if moves or corrected is None else corrected.scored_on

    @property
    def is_whole(self) -> bool:
        """Tell whether no body is gone: where one is, what an event mends cannot be told from the facts, and only the log says it."""
        return all(fact.gist is not None for fact in self.standing.values())

    def corrected_by(self, recorded: Recorded) -> bool:
        """Tell whether ``recorded`` corrects a fact that stands here."""
        return root_of(self.said, recorded) in self.standing

    def with_fact(self, recorded: Recorded, gist: Gist | None) -> Facts:
        """Return the facts with one more, or with the corrected one replaced in its place."""
        root = root_of(self.said, recorded)
        first = self.standing.get(root, recorded)
        fact = Fact(
            event_type=recorded.event_type,
            agency_id=recorded.agency_id,
            imported=first.imported,
            scored_at=counting((first, recorded)).scored_at,
            gist=gist,
        )
        said = noted(self.said, recorded, "" if gist is None else gist.thing)
        return replace(self, said=said, standing={**self.standing, root: fact})

    def judged(self, recorded: Recorded, mends: Iterable[Rule], rules: Mapping[str, Rule]) -> Facts:
        """Return the facts with the breaches that stand after an event: gone are those it mended, there are those it was found to be.

        Findings and mendings are on the log with the event, so this needs neither its body nor another stream.
        """
        mended = frozenset(mends) | {rules[name] for name in recorded.mended if name in rules}
        found = {rules[name] for name in recorded.findings if name in rules}
        return replace(self, broken=(self.broken - mended) | found)


class Version(Protocol):
    """A step as it was first said, or a correction of it: whether that was imported history, and when it would count by itself."""

    @property
    def imported(self) -> bool:
        """Tell whether it is imported history."""

    @property
    def scored_at(self) -> datetime:
        """The instant at which it would count by itself: recorded if live, done (as asserted) if imported."""


V = TypeVar("V", bound=Version)


def counting(versions: Sequence[V]) -> V:
    """Return the version of a step, the first one first, by whose instant the step counts.

    What is live counts when it was recorded: a live step when it was first recorded, whatever is said of it later, and no live
    correction moves an imported one. Imported history counts as it was last asserted in imported history. So nobody meets a date
    by backdating, and nobody starts a clock anew by saying a thing again.
    """
    first = versions[0]
    return next((version for version in reversed(versions) if version.imported), first) if first.imported else first


def scoring_instant(event: Event, context: Context) -> datetime:
    """Return the instant at which an event would count: when recorded if live, when done (as asserted) if imported."""
    done_at = None if event.details is None else event.details.done_at
    return done_at if context.imported and done_at is not None else context.now


def scoring_day(event: Event, context: Context) -> date:
    """Return the London day that ``scoring_instant`` bears."""
    return london_day(scoring_instant(event, context))
