"""A sound history passes; each way in which hub and clients could break their promises is noticed and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from safeguarding.hub.client.outcomes import Outcome, Receipt, Refusal, Unresolved
from safeguarding.hub.v1.append_pb2 import REFUSAL_CODE_WRONG_EXPECTED_VERSION
from tests.support.history import Answer, Attempt, Diary, Fact, History, Library, Read, Reading
from tests.support.history_checks import false_receipts, left_unknown, violations

CASE = "01890000-0000-7000-8000-00000000c001"
STREAM = f"sharing-{CASE}"
ENTRY = "information.shared.v1"
KNOWN = "3 was acknowledged before it was begun, the last is 4"


@dataclass(slots=True)
class World:
    """A history and the log of a node, to be spoiled."""

    history: History = field(default_factory=History)
    facts: list[Fact] = field(default_factory=list)

    def attempt(self, mark: str, at_ns: int, **more: object) -> Attempt:
        made = Attempt(mark=mark, client="la-1", shard="north", stream=STREAM, begun_ns=at_ns, **more)  # type: ignore[arg-type]
        self.history.attempts[mark] = made
        return made

    def answer(self, mark: str, at_ns: int, outcome: Outcome) -> None:
        self.history.answers.setdefault(mark, []).append(Answer(at_ns=at_ns, outcome=outcome))

    def append(self, mark: str, **changes: object) -> Fact:
        place = len(self.facts) + 1
        fact = Fact(
            shard="north",
            position=place,
            stream=STREAM,
            version=place,
            event_id=place.to_bytes(16, "big"),
            leaf=bytes([place]) * 32,
            recorded_at_ms=1_000 * place,
            event_type=ENTRY,
            mark=mark,
            number=("la-1", "load", "north", place),
        )
        self.facts.append(replace(fact, **changes))  # type: ignore[arg-type]
        return self.facts[-1]

    def found(self) -> list[str]:
        return [*violations(self.history, [{"north": tuple(self.facts)}]), *left_unknown(self.history)]


def receipt_of(fact: Fact) -> Receipt:
    return Receipt(
        event_id=fact.event_id,
        shard=fact.shard,
        position=fact.position,
        stream=fact.stream,
        version=fact.version,
        recorded_at=datetime.fromtimestamp(fact.recorded_at_ms / 1000, tz=UTC),
        leaf=fact.leaf,
    )


def a_refusal(*, expected: int = 0, current: int = 1, open_attempt: bool = False) -> Refusal:
    return Refusal(
        event_id=b"r" * 16,
        code=REFUSAL_CODE_WRONG_EXPECTED_VERSION,
        rule="wire.expected_version",
        reason="",
        expected_version=expected,
        current_version=current,
        earlier_attempt_unresolved=open_attempt,
    )


def a_sound_world() -> World:
    """Four events, two of them an atomic request, one contended; a refusal, an event resolved by retry, and a reading."""
    world = World()
    world.attempt("a1", 10, expected_version=0)
    world.answer("a1", 20, receipt_of(world.append("a1")))
    world.attempt("a2", 11, expected_version=0)
    world.answer("a2", 21, a_refusal())
    for mark in ("b1", "b2"):
        world.attempt(mark, 30, certain=True, group="g")
        fact = world.append(mark)
        world.answer(mark, 40, Unresolved(fact.event_id, "north", "gone"))
        world.answer(mark, 50, receipt_of(fact))
    world.attempt("c1", 60, certain=True)
    world.history.kept.add("c1")
    world.append("c1")
    reading = Reading(user="reader-1", shard="north", case_id=CASE, min_position=3, begun_ns=70)
    world.history.readings["reader-1"] = replace(reading, position=3, events=frozenset(fact.event_id.hex() for fact in world.facts[:3]))
    world.append("", stream=f"access-{CASE}", version=1, event_type="access.case_viewed.v1", viewer="reader-1")
    return world


def test_a_sound_history_passes() -> None:
    assert a_sound_world().found() == []


def spoil_fact(at: int, **changes: object) -> Callable[[World], None]:
    def spoil(world: World) -> None:
        world.facts[at] = replace(world.facts[at], **changes)  # type: ignore[arg-type]

    return spoil


def lose_the_last_entry(world: World) -> None:
    del world.facts[3:]


def lose_what_was_acknowledged(world: World) -> None:
    world.facts[0] = replace(world.facts[4], position=1)


def sign_anew(world: World) -> None:
    world.append("c1", version=5)


def count_twice(world: World) -> None:
    world.facts[1] = replace(world.facts[1], number=world.facts[0].number)


def answer_differently(world: World) -> None:
    world.answer("a1", 25, replace(receipt_of(world.facts[0]), leaf=bytes(32)))


def accept_what_was_refused(world: World) -> None:
    world.append("a2", version=5)


def refuse_by_an_old_version(world: World) -> None:
    world.attempt("d1", 100, expected_version=2)
    world.answer("d1", 110, a_refusal(expected=2, current=0))


def refuse_by_a_version_that_never_was(world: World) -> None:
    world.attempt("d1", 100, expected_version=2)
    world.answer("d1", 110, a_refusal(expected=2, current=9))


def refuse_what_no_rule_refuses(world: World) -> None:
    world.attempt("d1", 100, certain=True)
    world.answer("d1", 110, a_refusal(open_attempt=True))


def accept_at_another_version(world: World) -> None:
    world.history.attempts["a1"] = replace(world.history.attempts["a1"], expected_version=7)


def forget_what_was_signed(world: World) -> None:
    world.attempt("d1", 100, certain=True)
    world.history.kept.add("d1")


def append_what_nobody_said(world: World) -> None:
    del world.history.attempts["c1"]


def break_a_group(world: World) -> None:
    world.attempt("b3", 30, group="g")


def order_wrongly(world: World) -> None:
    world.history.attempts["a1"] = replace(world.history.attempts["a1"], begun_ns=55)


def read_stale(world: World) -> None:
    world.history.readings["reader-1"] = replace(world.history.readings["reader-1"], min_position=4)


def read_ahead_of_the_log(world: World) -> None:
    world.history.readings["reader-1"] = replace(world.history.readings["reader-1"], position=99)


def read_with_a_hole(world: World) -> None:
    reading = world.history.readings["reader-1"]
    world.history.readings["reader-1"] = replace(reading, events=reading.events - {world.facts[1].event_id.hex()})


def read_unrecorded(world: World) -> None:
    world.facts[4] = replace(world.facts[4], viewer="")


def leave_unknown(world: World) -> None:
    world.attempt("d1", 100)
    world.answer("d1", 110, Unresolved(b"d" * 16, "north", "gone"))
    world.history.finished.add("la-1")


def read_a_stream(**changes: object) -> Callable[[World], None]:
    def read(world: World) -> None:
        sound = Read(client="la-1", shard="north", stream=STREAM, min_position=2, position=3, version=4)
        world.history.reads.append(replace(sound, **changes))  # type: ignore[arg-type]

    return read


def meet_an_error(world: World) -> None:
    world.history.errors.append("la-1: CallFailed: gone")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lose_the_last_entry, "c1: la-1 signed it and no rule can refuse it, yet it is not on the log"),
        (lose_what_was_acknowledged, "a1: acknowledged at position 1 of north, where the log has another event"),
        (sign_anew, "north: mark 'c1' is on the log 2 times"),
        (count_twice, "north: number ('la-1', 'load', 'north', 1) is on the log 2 times"),
        (spoil_fact(1, event_id=(1).to_bytes(16, "big")), f"north: event_id {(1).to_bytes(16, 'big')!r} is on the log 2 times"),
        (spoil_fact(1, position=9), "north: position 2 expected, 9 found"),
        (spoil_fact(1, version=9), f"north/{STREAM}: version 2 expected, 9 found"),
        (spoil_fact(1, recorded_at_ms=1), "north: position 2 was recorded before the one before it"),
        (spoil_fact(0, leaf=bytes(32)), "a1: the receipt's leaf is not the log's at position 1"),
        (spoil_fact(0, recorded_at_ms=999), "a1: the receipt's recorded_at is not the log's at position 1"),
        (answer_differently, "a1: two different receipts were given"),
        (accept_what_was_refused, "a2: refused (wire.expected_version), yet at position 6 of north"),
        (
            refuse_by_an_old_version,
            f"d1: refused at version 0 of {STREAM}, expecting 2; 3 was acknowledged before it was begun, the last is 4",
        ),
        (
            refuse_by_a_version_that_never_was,
            f"d1: refused at version 9 of {STREAM}, expecting 2; 3 was acknowledged before it was begun, the last is 4",
        ),
        (refuse_what_no_rule_refuses, "d1: la-1 signed it and no rule can refuse it, yet it is not on the log"),
        (accept_at_another_version, f"a1: expected {STREAM} at version 7, was accepted as version 1"),
        (forget_what_was_signed, "d1: la-1 signed it and no rule can refuse it, yet it is not on the log"),
        (append_what_nobody_said, "c1: at position 4 of north, though nobody set out to append it"),
        (break_a_group, "atomic request g of 3 events lies at [2, 3]"),
        (order_wrongly, "north: a1 at 1 was begun when b2, which lies behind it, was acknowledged already"),
        (read_stale, "reader-1: asked for position 4, was shown 3"),
        (read_ahead_of_the_log, "reader-1: was shown position 99, which the log does not have"),
        (read_with_a_hole, "reader-1: at position 3 was shown 2 of 3 entries, and 0 of later positions"),
        (read_unrecorded, "reader-1: its reading is on the log 0 times"),
        (leave_unknown, "d1: la-1 ended, and what became of it is unknown: gone"),
        (read_a_stream(min_position=4), "la-1: asked north for position 4, was shown 3"),
        (
            read_a_stream(version=2),
            f"la-1: at position 3 of north was shown version 2 of {STREAM}, which was at 3 then and is at 4 at last",
        ),
        (
            read_a_stream(version=5),
            f"la-1: at position 3 of north was shown version 5 of {STREAM}, which was at 3 then and is at 4 at last",
        ),
        (meet_an_error, "la-1: CallFailed: gone"),
    ],
)
def test_a_broken_promise_is_named(spoil: Callable[[World], None], words: str) -> None:
    world = a_sound_world()
    spoil(world)
    assert words in world.found()


def test_a_stream_may_be_read_newer_than_it_was_asked_for() -> None:
    world = a_sound_world()
    for version in (3, 4):
        read_a_stream(version=version)(world)
    assert world.found() == []


def test_a_node_whose_log_differs_is_named_with_the_first_position() -> None:
    world = a_sound_world()
    log = {"north": tuple(world.facts)}
    other = {"north": (*world.facts[:2], replace(world.facts[2], leaf=bytes(32)), *world.facts[3:])}
    shorter = {"north": tuple(world.facts[:4])}
    assert violations(world.history, [log, log, other, shorter]) == [
        "north: node 2 differs from node 0 from position 3 on",
        "north: node 3 differs from node 0 from position 5 on",
    ]


def test_a_refusal_with_an_open_earlier_attempt_may_be_on_the_log() -> None:
    world = a_sound_world()
    world.history.answers["a2"] = [Answer(at_ns=21, outcome=a_refusal(open_attempt=True))]
    world.append("a2", version=5)
    assert world.found() == []


def test_an_attempt_that_was_never_kept_may_be_missing() -> None:
    world = a_sound_world()
    world.attempt("d1", 100, certain=True)
    assert world.found() == []


def test_false_receipts_are_seen_at_any_time_and_old_ones_are_not_looked_at_again() -> None:
    world = a_sound_world()
    del world.facts[1:]
    log = {"north": tuple(world.facts)}
    missing = [f"{mark}: acknowledged at position {position}, which north does not have" for mark, position in (("b1", 2), ("b2", 3))]
    assert false_receipts(world.history, log, since_ns=50) == missing
    assert false_receipts(world.history, log, since_ns=51) == []


def test_what_a_client_wrote_is_read_back_line_by_line_and_a_line_cut_short_is_passed_over(tmp_path: Path) -> None:
    world = a_sound_world()
    path = tmp_path / "la-1.001.jsonl"
    diary, library = Diary(path, "la-1"), Library(tmp_path)
    diary.begin([world.history.attempts["a1"], world.history.attempts["b1"]])
    diary.keep(["a1"])
    assert library.read().history.attempts == {mark: world.history.attempts[mark] for mark in ("a1", "b1")}
    outcomes: list[Outcome] = [receipt_of(world.facts[0]), a_refusal(), Unresolved(b"u" * 16, "north", "gone")]
    for outcome in outcomes:
        diary.answer([("a1", outcome)])
    reading = world.history.readings["reader-1"]
    diary.reading(replace(reading, position=None, events=frozenset()))
    diary.reading(reading)
    read = Read(client="la-1", shard="north", stream=STREAM, min_position=2, position=3, version=3)
    diary.read(read)
    diary.fail(ValueError("no"))
    diary.finish()
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"begun": [{"mark": "cut')
    history = library.read().history
    assert [answer.outcome for answer in history.answers["a1"]] == outcomes
    assert history.kept == {"a1"}
    assert history.readings == {"reader-1": reading}
    assert history.reads == [read]
    assert (history.errors, history.finished) == (["la-1: ValueError: no"], {"la-1"})
    assert library.read().history.answers == history.answers
