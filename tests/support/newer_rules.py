"""A program of tomorrow, for tests of what happens when the rules change: version 2 no longer takes one event type."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from services.eventstore import frame
from services.eventstore.fold import Decision, Lookups, Program, ShardState, judge_v1
from services.eventstore.port import Append, Malformed

RETIRED: Final = "incident.retired.v1"


def judge_v2(lookups: Lookups, state: ShardState, append: Append, timestamp_ms: int) -> Decision:
    """Decide as rules of a later program might: one event type is no longer taken."""
    if any(event.type == RETIRED for event in append.events):
        return Decision(Malformed("retired"), judge_v1(lookups, state, replace(append, append_id=b""), timestamp_ms).effects)
    return judge_v1(lookups, state, append, timestamp_ms)


NEW_PROGRAM: Final = Program(judges={1: judge_v1, 2: judge_v2}, formats={1: frame.append_of, 2: frame.append_of})
