"""The tests are tested: each promise of the event store is broken in the code, and what guards it must fail for that very reason.

Whatever a breakage gets hold of may move: then it fails here, and is to follow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import pytest

from safeguarding.hub.v1.append_pb2 import Outcome
from services.eventstore import fold
from services.eventstore.fold import Decision, Lookups, ShardState
from services.eventstore.port import Append, Mismatch
from services.eventstore.state import State
from services.intake.admission import Admitter, Group, Unadmitted
from services.intake.candidate import Candidate
from services.intake.intake import Intake
from tests.integration import test_intake, test_intake_cluster
from tests.integration.test_intake_cluster import Second
from tests.support.hub import RunningHub
from tests.support.simulation import WORLD_STEPS, simulate

SEED: Final = "2"
STEPS: Final = 2 * WORLD_STEPS
"""Each breakage shows in the first world, as the simulation is now."""
WRITTEN_TWICE: Final = "UNIQUE constraint failed"
NOT_AS_THE_MODEL: Final = "was to be"

Break = Callable[[pytest.MonkeyPatch], None]

second = test_intake_cluster.second
served = test_intake.served


@pytest.fixture
def _nothing_is_left_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A world that fails ends where it stands, with its nodes' files open."""
    opened: list[State] = []
    open_file = State._open

    def noted(state: State) -> None:
        open_file(state)
        opened.append(state)

    monkeypatch.setattr(State, "_open", noted)
    yield
    for state in opened:
        state.close()


def append_ids_are_forgotten(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(State, "outcome", lambda *_: None)


def event_ids_are_forgotten(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(fold, "_repeated", lambda *_: None)


def conflicts_are_accepted(patched: pytest.MonkeyPatch) -> None:
    def met(_lookups: Lookups, _shard: str, append: Append, versions: dict[str, int]) -> None:
        versions.update({event.stream: event.version for event in append.events})

    patched.setattr(fold, "_conflict", met)


def positions_are_offsets(patched: pytest.MonkeyPatch) -> None:
    accept = fold._accept

    def at_its_offset(state: ShardState, append: Append, versions: dict[str, int], timestamp_ms: int) -> Decision:
        offset = state.next_offset - 1
        return accept(state._replace(position=offset - 1), append, versions, timestamp_ms)

    patched.setattr(fold, "_accept", at_its_offset)


def keys_are_of_all_shards(patched: pytest.MonkeyPatch) -> None:
    def anywhere(lookup: Callable[[State, str, Any], Any]) -> Callable[[State, str, Any], Any]:
        return lambda state, shard, key: next(filter(None, [lookup(state, each, key) for each in (shard, *state.shards())]), None)

    for lookup in (State.outcome, State.event, State.is_revoked):
        patched.setattr(State, lookup.__name__, anywhere(lookup))


def the_same_bytes_are_those_of_the_state(patched: pytest.MonkeyPatch) -> None:
    repeated = fold._repeated

    def by_state(lookups: Lookups, shard: str, append: Append) -> fold.Outcome | None:
        for event in append.events:
            stored = lookups.event(shard, event.event_id)
            if stored is not None and stored.state != event.state:
                return Mismatch(event.event_id)
        return repeated(lookups, shard, append)

    patched.setattr(fold, "_repeated", by_state)


def refusals_rest_on_predictions(patched: pytest.MonkeyPatch) -> None:
    admit = Admitter.admit

    def without_a_look(admitter: Admitter, candidate: Candidate, group: Group) -> None:
        try:
            admit(admitter, candidate, group)
        except Unadmitted as stop:
            raise Unadmitted(candidate, stop.error, looked_at=[]) from stop

    patched.setattr(Admitter, "admit", without_a_look)


def what_is_void_is_admitted_again_for_nobody(patched: pytest.MonkeyPatch) -> None:
    append = Intake.append

    async def whoever_waits(*asked: Any, **how: Any) -> Sequence[Outcome]:
        return await asyncio.shield(append(*asked, **how))

    patched.setattr(Intake, "append", whoever_waits)


@pytest.mark.usefixtures("_nothing_is_left_open")
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (append_ids_are_forgotten, WRITTEN_TWICE),
        (event_ids_are_forgotten, NOT_AS_THE_MODEL),
        (conflicts_are_accepted, WRITTEN_TWICE),
        (positions_are_offsets, NOT_AS_THE_MODEL),
        (keys_are_of_all_shards, NOT_AS_THE_MODEL),
        (the_same_bytes_are_those_of_the_state, NOT_AS_THE_MODEL),
    ],
)
def test_the_simulation_notices_where(broken: Break, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken(monkeypatch)
    with pytest.raises(AssertionError, match=reason):
        simulate(SEED, STEPS)


def test_the_simulation_finds_nothing_where_nothing_is_broken() -> None:
    simulate(SEED, STEPS)


async def test_intake_is_seen_where_refusals_rest_on_predictions(served: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = test_intake.test_an_append_that_fails_lets_nothing_be_refused_for_what_was_predicted_of_it
    with monkeypatch.context() as patched:
        await scenario(served, patched)
    refusals_rest_on_predictions(monkeypatch)
    with pytest.raises(AssertionError, match="assert 0 == 2"):  # there is no receipt, and so no version
        await scenario(served, monkeypatch)


async def test_intake_is_seen_where_what_is_void_is_admitted_again_for_nobody(second: Second, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = test_intake_cluster.test_what_is_void_after_its_caller_has_gone_is_not_proposed_anew_until_the_caller_comes_again
    await scenario(second)
    what_is_void_is_admitted_again_for_nobody(monkeypatch)
    with pytest.raises(AssertionError, match="it was proposed anew for nobody"):
        await scenario(second)
