"""The fold on single records, and the golden log that pins version 1 of its rules for ever."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from services.eventstore import frame
from services.eventstore.fold import (
    PROGRAM,
    RULES_VERSION,
    Decision,
    Effects,
    Program,
    fold_append,
    fold_control,
    fold_record,
    judge_v1,
    next_digest,
)
from services.eventstore.port import Accepted, Append, Conflict, Expectation, Malformed
from tests.support.appends import an_append, an_event, an_id, naive_leaf
from tests.support.dict_state import DictState

GOLDEN = Path(__file__).parents[2] / "golden" / "fold_v1.json"
GENESIS = frame.Genesis("north", 1, (1,))


class Log:
    """One node and the records it is given."""

    def __init__(self, program: Program = PROGRAM, *, begun: bool = True) -> None:
        self.state = DictState()
        self.program = program
        self.offset = 0
        if begun:
            self.control(GENESIS)

    def record(self, record: bytes, timestamp_ms: int = 1_000) -> Decision:
        decision = fold_record(self.state, "north", self.offset, record, timestamp_ms, self.program)
        self.state.apply(decision.effects)
        self.offset += 1
        return decision

    def control(self, control: frame.Control) -> Decision:
        return self.record(frame.encode_control(control, an_id(f"control {self.offset}")))

    def append(self, append: Append, timestamp_ms: int = 1_000, version: int = 1) -> Decision:
        return self.record(frame.encode_append(append, version), timestamp_ms)


def in_json(value: object) -> object:
    match value:
        case bytes():
            return value.hex()
        case Mapping():
            return {name: in_json(each) for name, each in value.items()}
        case tuple() | list() | range():
            return [in_json(each) for each in value]
        case _:
            return value


def result_in_json(decision: Decision) -> dict[str, Any]:
    result = decision.result
    fields = {"reason": "…"} if isinstance(result, Malformed) else in_json(asdict(result))
    return {"is": type(result).__name__, **(fields if isinstance(fields, dict) else {})}


def test_the_golden_log_folds_as_it_did_on_the_day_it_was_written() -> None:
    golden = json.loads(GOLDEN.read_text())
    assert golden["rules"] == RULES_VERSION == 1
    log = Log(begun=False)
    for entry in golden["records"]:
        decision = log.record(bytes.fromhex(entry["record"]), entry["timestamp_ms"])
        assert result_in_json(decision) == entry["result"], entry["what"]
        assert decision.effects.state.digest.hex() == entry["digest"], entry["what"]
    assert in_json(log.state.shard_state("north")._asdict()) == golden["state"]


def test_an_append_in_process_is_decided_like_its_record() -> None:
    of_records, in_process = Log(), Log()
    appends = [
        an_append("1", an_event("incident-a", 1), an_event("incident-a", 2)),
        an_append("2", an_event("incident-a", 1)),
        an_append("1", an_event("incident-z", 1)),
        an_append("3", an_event("incident-a", 1, name="x")),
        an_append("4"),
        an_append("5", an_event("incident-a", 3), shard="south"),
    ]
    for append in appends:
        expected = of_records.append(append)
        if append.shard == "north":
            decision = fold_append(in_process.state, append, 1_000)
            assert decision == expected
            in_process.state.apply(decision.effects)
    revoked = fold_control(in_process.state, "north", an_id("c"), frame.KeyRevoked("key-1"))
    assert revoked.effects.revoked == "key-1"


def test_nothing_counts_before_genesis_and_only_the_first_counts() -> None:
    log = Log(begun=False)
    append = an_append("1", an_event("incident-a", 1))
    assert fold_append(log.state, append, 1_000).result == Malformed("the shard has no GENESIS before this record")
    assert isinstance(log.append(append).result, Malformed)
    assert isinstance(log.control(frame.KeyRevoked("key-1")).result, Malformed)
    assert isinstance(log.control(frame.RulesChange(1, (1,))).result, Malformed)
    assert isinstance(log.control(frame.Genesis("south", 1, (1,))).result, Malformed)
    log.control(GENESIS)
    assert isinstance(log.control(frame.Genesis("north", 1, (2,))).result, Malformed)
    assert isinstance(log.append(append).result, Accepted)
    state = log.state.shard_state("north")
    assert (state.next_offset, state.malformed, state.position, state.formats) == (7, 5, 1, (1,))


def test_a_record_time_before_the_last_event_is_recorded_as_that_events_time() -> None:
    log = Log()
    times = []
    for version, timestamp_ms in enumerate((5_000, 4_000, 86_400_000, 6_000), start=1):
        result = log.append(an_append(str(version), an_event("incident-a", version)), timestamp_ms).result
        assert isinstance(result, Accepted)
        times.append(result.placed[0].recorded_at_ms)
    assert times == [5_000, 5_000, 86_400_000, 86_400_000]


def test_the_digest_chains_the_leaves() -> None:
    log = Log()
    digest = bytes(32)
    for version in (1, 2, 3):
        decision = log.append(an_append(str(version), an_event("incident-a", version)))
        digest = next_digest(digest, naive_leaf("north", log.state.event_at("north", version)))
        assert decision.effects.state.digest == digest


@pytest.mark.parametrize("text", ["stream", "type", "key_id"])
def test_a_text_without_utf_8_form_is_malformed(text: str) -> None:
    log = Log()
    broken = replace(an_append("1", replace(an_event("incident-a", 1), **{text: "\ud800"})), expectations=())  # type: ignore[arg-type]
    assert isinstance(fold_append(log.state, broken, 1_000).result, Malformed)


def test_a_known_append_id_is_answered_before_its_body_is_looked_at() -> None:
    log = Log()
    first = log.append(an_append("1", an_event("incident-a", 1))).result
    assert isinstance(first, Accepted)
    mutilated = frame.encode_append(an_append("1", an_event("incident-a", 1)))[: frame.FRAME_BYTES] + b"\xff\xff"
    assert log.record(mutilated).result == replace(first, duplicate=True)


def a_program_with_rules_2(judge: Callable[..., Decision] = judge_v1) -> Program:
    return Program(judges={1: judge_v1, 2: judge}, formats={1: frame.append_of, 2: frame.append_of})


def test_a_record_format_counts_only_while_the_rules_allow_it() -> None:
    log = Log(a_program_with_rules_2())
    new = an_append("1", an_event("incident-a", 1))
    assert isinstance(log.append(new, version=2).result, Malformed)
    log.control(frame.RulesChange(2, (2,)))
    first = log.append(new, version=2).result
    assert isinstance(first, Accepted)
    assert isinstance(log.append(an_append("2", an_event("incident-a", 2)), version=1).result, Malformed)
    assert log.append(new, version=1).result == replace(first, duplicate=True)


def test_rules_change_one_version_at_a_time() -> None:
    log = Log(a_program_with_rules_2())
    assert isinstance(log.control(frame.RulesChange(3, (1,))).result, Malformed)
    assert isinstance(log.control(frame.RulesChange(1, (1,))).result, Malformed)
    log.control(frame.RulesChange(2, (1,)))
    assert isinstance(log.control(frame.RulesChange(2, (1,))).result, Malformed)
    assert log.state.shard_state("north").rules == 2


def test_new_rules_judge_what_comes_after_them() -> None:
    def never(_lookups: object, state: Any, _append: Append, _timestamp_ms: int) -> Decision:
        return judge_v1(log.state, state, an_append("none"), 0)

    log = Log(a_program_with_rules_2(never))
    assert isinstance(log.append(an_append("1", an_event("incident-a", 1))).result, Accepted)
    log.control(frame.RulesChange(2, (1,)))
    assert isinstance(log.append(an_append("2", an_event("incident-a", 2))).result, Malformed)


def test_a_program_stops_at_rules_it_does_not_know_and_folds_nothing() -> None:
    log = Log()
    before = log.state.copy()
    with pytest.raises(frame.UnknownControl, match="rules version 2 in force, this program knows up to 1"):
        log.control(frame.RulesChange(2, (1,)))
    assert log.state == before


def test_a_program_stops_at_a_shard_that_begins_with_formats_it_does_not_know() -> None:
    log = Log(begun=False)
    with pytest.raises(frame.UnknownControl, match=r"record formats \[7\] allowed, this program knows \[1\]"):
        log.control(frame.Genesis("north", 1, (1, 7)))


def test_a_malformed_record_moves_the_offset_and_is_counted() -> None:
    log = Log()
    log.record(b"garbage")
    state = log.state.shard_state("north")
    assert (state.next_offset, state.last_append_id, state.malformed) == (2, b"", 1)


@pytest.mark.parametrize("digest", [bytes(32), b"\xff" * 32])
def test_a_digest_changes_nothing_whether_it_is_right_or_not(digest: bytes) -> None:
    log = Log()
    log.append(an_append("1", an_event("incident-a", 1)))
    before = log.state.shard_state("north")
    said = frame.DigestPublished("node-1", 1_000, digest)
    decision = log.control(said)
    after = log.state.shard_state("north")
    assert decision.effects == Effects(after, published=said)
    assert after == before._replace(next_offset=before.next_offset + 1, last_append_id=after.last_append_id)


@pytest.mark.parametrize(
    "said",
    [
        frame.DigestPublished("", 1, bytes(32)),
        frame.DigestPublished("node-1", 0, bytes(32)),
        frame.DigestPublished("node-1", 2**63, bytes(32)),
        frame.DigestPublished("node-1", 1, bytes(31)),
    ],
)
def test_what_is_no_digest_is_malformed(said: frame.DigestPublished) -> None:
    log = Log()
    assert isinstance(log.control(said).result, Malformed)
    assert log.state.shard_state("north").malformed == 1
    assert isinstance(Log(begun=False).control(frame.DigestPublished("node-1", 1, bytes(32))).result, Malformed)


def test_a_conflict_on_version_0_names_no_negative_version() -> None:
    log = Log()
    log.append(an_append("1", an_event("library", 0), expects=[]))
    assert log.append(an_append("2", an_event("library", 0, name="x"), expects=[])).result == Conflict("library", 0, 0)


def test_an_append_judged_on_a_prediction_is_void_when_another_event_took_the_predicted_place() -> None:
    log = Log()
    first = replace(an_append("ours", an_event("incident-a", 1)), expectations=(Expectation("incident-a", 0),))
    resting_on_it = replace(
        an_append("ours too", an_event("incident-a", 2)),
        expectations=(Expectation("incident-a", 1, first.events[0].event_id),),
    )
    theirs = replace(an_append("theirs", an_event("incident-a", 1, name="theirs")), expectations=(Expectation("incident-a", 0),))
    assert isinstance(log.append(theirs).result, Accepted)
    assert log.append(first).result == Conflict("incident-a", 0, 1)
    assert log.append(resting_on_it).result == Conflict("incident-a", 1, 1)


def test_an_append_judged_on_a_prediction_is_accepted_when_the_prediction_came_true() -> None:
    log = Log()
    first = replace(an_append("ours", an_event("incident-a", 1)), expectations=(Expectation("incident-a", 0),))
    resting_on_it = replace(
        an_append("ours too", an_event("incident-a", 2)),
        expectations=(Expectation("incident-a", 1, first.events[0].event_id),),
    )
    assert isinstance(log.append(first).result, Accepted)
    assert isinstance(log.append(resting_on_it).result, Accepted)
