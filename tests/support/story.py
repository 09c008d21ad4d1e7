"""A history that was admitted step by step, so that each event carries on the log what it was found to break and to mend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from domain.kernel.decider import mended
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import EventId, Stream
from tests.support.builders import BUSINESS_UNIT, MONDAY
from tests.support.spec import Given, Outcome

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Step:
    """What is said, by whom, when, and what other streams look like at that moment."""

    event: Event
    by: str = BUSINESS_UNIT
    at: datetime = MONDAY
    imported: bool = False
    others: Mapping[Stream, Any] | None = None
    event_id: EventId | None = None


def attempt(given: Given[S], step: Step) -> Outcome[S]:
    """Ask whether one more step is admitted."""
    return given.when(step.event, by=step.by, at=step.at, imported=step.imported, others=step.others, event_id=step.event_id)


def logged(outcome: Outcome[S]) -> Recorded:
    """Return an admitted event as the log holds it, with its findings and mendings."""
    return replace(
        outcome.recorded,
        findings=tuple(finding.rule.id for finding in outcome.findings),
        mended=tuple(rule.id for rule in mended(outcome.decider, outcome.before, outcome.state)),
    )


def after(given: Given[S], *steps: Step | Event) -> Given[S]:
    """Continue a history with steps, each of which must be admitted; a bare event is said by the business unit on ``MONDAY``."""
    for step in steps:
        outcome = attempt(given, step if isinstance(step, Step) else Step(step))
        given = replace(given, history=(*given.history, logged(outcome)))
    return given


def after_those_admitted(given: Given[S], *steps: Step) -> Given[S]:
    """Continue a history with those of the steps that are admitted, each in its turn."""
    for step in steps:
        outcome = attempt(given, step)
        if outcome.refusal is None:
            given = replace(given, history=(*given.history, logged(outcome)))
    return given
