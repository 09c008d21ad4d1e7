"""Given a history, when an agency says something, then findings or a refusal: how every decision area is tested."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Generic, TypeVar

from domain.kernel.decider import Context, Decider, mended
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import EventId, Shard, Stream, stream
from domain.kernel.rules import Finding, Refused, Rule
from domain.partnership.state import partnership_stream
from tests.support.builders import BUSINESS_UNIT, CASE, LIVE_FROM, MONDAY, SHARD, a_partnership, recorded

S = TypeVar("S")


def _ids(rules: tuple[Rule | str, ...]) -> list[str]:
    return sorted(str(rule.id) if isinstance(rule, Rule) else rule for rule in rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[S]):
    """What came of it: findings and the next state, or a refusal."""

    decider: Decider[S]
    before: S
    after: S
    recorded: Recorded
    findings: tuple[Finding, ...] = ()
    refusal: Refused | None = None

    def then(self, *findings: Rule | str) -> Outcome[S]:
        """Assert that the event was admitted with exactly these findings (none, if none is given)."""
        assert self.refusal is None, f"refused: {self.refusal}"
        assert sorted(str(finding.rule.id) for finding in self.findings) == _ids(findings)
        return self

    def mends(self, *rules: Rule | str) -> Outcome[S]:
        """Assert that exactly these rules were broken before and are not any more."""
        assert self.refusal is None, f"refused: {self.refusal}"
        assert [str(rule.id) for rule in mended(self.decider, self.before, self.after)] == _ids(rules)
        return self

    def refused(self, rule: Rule | str) -> None:
        """Assert that the event was refused by this rule."""
        assert self.refusal is not None, f"admitted with findings {[finding.rule.id for finding in self.findings]}"
        assert [str(self.refusal.rule.id)] == _ids((rule,))

    @property
    def state(self) -> S:
        """The state after the admitted event."""
        assert self.refusal is None, f"refused: {self.refusal}"
        return self.after


@dataclass(frozen=True, slots=True, kw_only=True)
class Given(Generic[S]):
    """A decider and a history that its stream holds."""

    decider: Decider[S]
    stream: Stream
    shard: Shard
    others: Mapping[Stream, Any]
    history: tuple[Recorded, ...]

    @property
    def state(self) -> S:
        """The state after the history."""
        return self.decider.fold(self.history)

    def when(
        self,
        event: Event,
        *,
        by: str = BUSINESS_UNIT,
        at: datetime = MONDAY,
        imported: bool = False,
        live_from: date | None = LIVE_FROM,
        others: Mapping[Stream, Any] | None = None,
        event_id: EventId | None = None,
    ) -> Outcome[S]:
        """Ask the decider whether ``by`` may say ``event`` at ``at``; ``others`` replaces states of other streams, by stream name."""
        saying = recorded(
            event,
            by=by,
            at=at,
            imported=imported,
            stream=self.stream,
            shard=self.shard,
            version=len(self.history) + 1,
            event_id=event_id,
        )
        context = Context(
            agency_id=saying.agency_id,
            event_id=saying.event_id,
            shard=self.shard,
            stream=self.stream,
            now=at,
            imported=imported,
            live_from=live_from,
            others={**self.others, **(others or {})},
        )
        before = self.state
        try:
            findings = self.decider.admit(before, event, context)
        except Refused as refusal:
            return Outcome(decider=self.decider, before=before, after=before, recorded=saying, refusal=refusal)
        after = self.decider.evolve(before, replace(saying, findings=tuple(finding.rule.id for finding in findings)))
        return Outcome(decider=self.decider, before=before, after=after, recorded=saying, findings=findings)


def _default_others() -> dict[Stream, Any]:
    return {partnership_stream(SHARD): a_partnership()}


@dataclass(frozen=True, slots=True)
class Spec(Generic[S]):
    """``Spec(DECIDER).given(*history).when(event, by=agency).then(*findings)`` or ``.refused(rule)``.

    Unless told otherwise the stream is that of ``CASE`` in ``SHARD``, whose partnership is ``a_partnership()``.
    """

    decider: Decider[S]
    identity: str = CASE
    shard: Shard = SHARD
    others: Mapping[Stream, Any] = field(default_factory=_default_others)

    def given(self, *history: Recorded) -> Given[S]:
        """Start from events on the log (see ``builders.recorded``); the stream and versions are filled in here."""
        name = stream(self.decider.category, self.identity)
        placed = tuple(
            replace(one, stream=name, shard=self.shard, version=version, position=version) for version, one in enumerate(history, start=1)
        )
        return Given(decider=self.decider, stream=name, shard=self.shard, others=self.others, history=placed)
