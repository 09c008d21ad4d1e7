"""What a node holds as decided is what folding the log gives, in whichever order it hears of decisions."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from domain.agency.events import AgencyEnrolled, KeyAlgorithm, KeyRegistered, KeyRetired
from domain.areas import decider_for
from domain.incident.codes import CriteriaOutcome
from domain.kernel.agencies import AgencyKind
from domain.kernel.events import Event, Recorded
from domain.kernel.ids import KeyId, category_of
from services.eventstore.port import Accepted, Expectation, Placed
from services.intake import streams as streams_module
from services.intake.streams import Proposal, Streams, StreamState
from services.runtime.errors import Unavailable
from tests.support.builders import (
    CASE,
    COUNCIL,
    LIVE_FROM,
    MONDAY,
    a_delay,
    a_notification,
    a_referral,
    a_share,
    an_entry,
    an_event_id,
    an_id,
    an_information_request,
    assessed,
    recorded,
)

KEY = KeyId(f"{COUNCIL}:main")
HISTORIES: dict[str, tuple[Event, ...]] = {
    f"incident-{CASE}": (a_referral(), assessed(CriteriaOutcome.MET), a_notification(), a_delay()),
    f"sharing-{CASE}": (an_information_request(), a_share(), a_share(an_entry(an_id(22)))),
    f"agency-{COUNCIL}": (
        AgencyEnrolled(agency_id=COUNCIL, kind=AgencyKind.LOCAL_AUTHORITY, name="Northmoor", live_from=LIVE_FROM),
        KeyRegistered(agency_id=COUNCIL, key_id=KEY, algorithm=KeyAlgorithm.ED25519, public_key=bytes(32), proof=b""),
        KeyRetired(agency_id=COUNCIL, key_id=KEY),
    ),
}


def _empty(stream: str) -> StreamState:
    decider = decider_for(category_of(stream))
    return StreamState("northmoor", stream, decider, decider.initial, 0, predicted=decider.initial)


def _predicted(state: StreamState, events: Sequence[Event]) -> list[Proposal]:
    """Propose events one after another, as admission does: each is predicted to be recorded at once, at no place."""
    proposals = []
    for event in events:
        version = state.predicted_version + 1
        fact = recorded(event, by=COUNCIL, stream=state.name, version=version, position=0, event_id=an_event_id(version))
        proposals.append(state.propose(fact, state.decider.evolve(state.predicted, fact)))
    return proposals


def _place(fact: Recorded) -> Placed:
    """Return where a fact came to lie: not where, and not when, it was predicted to."""
    at_ms = int((MONDAY + timedelta(days=fact.version)).timestamp() * 1_000)
    return Placed(fact.event_id, fact.stream, fact.version, 100 + fact.version, at_ms, bytes(32))


def _decide(state: StreamState, proposal: Proposal) -> None:
    """Let a proposal's append be accepted, and its caller hear of it."""
    proposal.future = Future()
    proposal.future.set_result(Accepted((_place(proposal.recorded),)))
    state.settle()


def _logged(fact: Recorded) -> Recorded:
    return replace(fact, position=100 + fact.version, recorded_at=MONDAY + timedelta(days=fact.version))


def _fold(state: StreamState, proposals: Sequence[Proposal]) -> Any:
    return state.decider.fold([_logged(proposal.recorded) for proposal in proposals])


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("stream", HISTORIES)
def test_decided_is_the_fold_of_the_log(stream: str, *, backwards: bool) -> None:
    state = _empty(stream)
    proposals = _predicted(state, HISTORIES[stream])
    for proposal in reversed(proposals) if backwards else proposals:
        _decide(state, proposal)
    assert state.decided == _fold(state, proposals)
    assert state.predicted == state.decided
    assert (state.version, state.proposals) == (len(proposals), [])


@pytest.mark.parametrize("stream", HISTORIES)
def test_what_is_decided_meanwhile_leaves_the_rest_predicted(stream: str) -> None:
    state = _empty(stream)
    proposals = _predicted(state, HISTORIES[stream])
    predicted = state.predicted
    _decide(state, proposals[0])
    assert state.decided == _fold(state, proposals[:1])
    assert state.predicted is predicted
    assert state.version == 1
    assert state.expectation() == Expectation(stream, len(proposals), proposals[-1].recorded.event_id)


@pytest.mark.parametrize("stream", HISTORIES)
def test_a_prediction_taken_back_leaves_no_trace_in_what_is_decided(stream: str) -> None:
    first, *others = HISTORIES[stream]
    state = _empty(stream)
    earlier = _predicted(state, [first])
    state.withdraw(_predicted(state, [others[-1]])[0])
    later = _predicted(state, others)
    for proposal in (*earlier, *later):
        _decide(state, proposal)
    assert state.decided == _fold(state, [*earlier, *later])


def test_what_does_not_rest_on_the_decided_state_is_folded() -> None:
    state = _empty(f"sharing-{CASE}")
    (proposal,) = _predicted(state, [a_share()])
    before = recorded(an_information_request(), by=COUNCIL, stream=state.name, event_id=an_event_id(9))
    state.decided = state.decider.evolve(state.decided, before)
    _decide(state, proposal)
    assert state.decided == state.decider.fold([before, _logged(proposal.recorded)])


def _fail(proposal: Proposal) -> None:
    proposal.future = Future()
    proposal.future.set_exception(Unavailable("the outcome is unknown"))


def _streams() -> tuple[Streams, list[StreamState]]:
    loaded: list[StreamState] = []

    def load(_shard: str, name: str) -> StreamState:
        loaded.append(_empty(name))
        return loaded[-1]

    return Streams(load), loaded


def test_what_was_accepted_and_nobody_waited_for_is_taken_in_when_the_stream_is_next_looked_at() -> None:
    name = f"sharing-{CASE}"
    streams, loaded = _streams()
    state = streams.get("northmoor", name)
    for proposal in _predicted(state, HISTORIES[name]):
        proposal.future = Future()
        proposal.future.set_result(Accepted((_place(proposal.recorded),)))
    assert streams.get("northmoor", name) is state
    assert (state.version, state.proposals, len(loaded)) == (3, [], 1)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_stream_whose_prediction_failed_is_loaded_anew(lost: int) -> None:
    name = f"sharing-{CASE}"
    streams, loaded = _streams()
    state = streams.get("northmoor", name)
    proposals = _predicted(state, HISTORIES[name])
    for proposal in proposals[:lost]:
        _decide(state, proposal)
    _fail(proposals[lost])
    proposals[lost + 1].future = Future()
    assert state.is_stuck
    assert streams.get("northmoor", name) is not state
    assert len(loaded) == 2


def test_what_is_being_put_together_is_looked_at_as_it_stands() -> None:
    name = f"sharing-{CASE}"
    streams, _ = _streams()
    state = streams.get("northmoor", name)
    _predicted(state, HISTORIES[name])
    assert streams.get("northmoor", name) is state
    assert state.predicted_version == 3


def test_streams_that_failed_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams_module, "STREAMS_MAX_KEPT", 2)
    streams, _ = _streams()
    names = [f"sharing-{an_id(number)}" for number in range(4)]
    for name in names[:2]:
        _fail(_predicted(streams.get("northmoor", name), [a_share()])[0])
    third = streams.get("northmoor", names[2])
    assert streams.get("northmoor", names[2]) is third
