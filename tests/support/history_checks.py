"""Holds a history against the logs: each check yields what is wrong, in words; a sound history yields nothing."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import fields
from itertools import chain, islice

from safeguarding.hub.client.outcomes import Receipt, Refusal, Unresolved
from tests.support.history import Fact, History, Log, receipts_of

SHOWN_MAX = 40
"""Of very many violations the first say enough."""
ENTRIES = "information.shared.v1"
"""The type of event of which every chronology shows every one."""


def violations(history: History, logs: Sequence[Log]) -> list[str]:
    """Return what is wrong between what clients were told and the final logs of all nodes; the clients have ended by then."""
    log = logs[0]
    checks = (
        (error for error in history.errors),
        _different_logs(logs),
        _gaps(log),
        _doubles(log),
        _false_receipts(history, log),
        _wrong_versions(history),
        _false_refusals(history, log),
        _open_ends(history, log),
        _broken_groups(history, log),
        _wrong_order(history, log),
        _stale_readings(history, log),
        _stale_reads(history, log),
        _unrecorded_readings(history, log),
    )
    return list(islice(chain(*checks), SHOWN_MAX))


def false_receipts(history: History, log: Log, since_ns: int) -> list[str]:
    """Return the receipts given since an instant that the log does not bear out: whatever else goes on, there is none at any time."""
    given = {mark: answers for mark, answers in history.answers.items() if answers[-1].at_ns >= since_ns}
    return list(islice(_false_receipts(History(answers=given), log), SHOWN_MAX))


def _by_mark(log: Log) -> dict[str, Fact]:
    return {fact.mark: fact for facts in log.values() for fact in facts if fact.mark}


def _different_logs(logs: Sequence[Log]) -> Iterator[str]:
    """All folds are equal."""
    for number, other in enumerate(logs[1:], 1):
        for shard in logs[0].keys() | other.keys():
            one, two = logs[0].get(shard, ()), other.get(shard, ())
            if one != two:
                at = next((n for n, pair in enumerate(zip(one, two, strict=False), 1) if pair[0] != pair[1]), min(len(one), len(two)) + 1)
                yield f"{shard}: node {number} differs from node 0 from position {at} on"


def _gaps(log: Log) -> Iterator[str]:
    """Positions are dense, versions are dense, recorded times never go back."""
    for shard, facts in log.items():
        versions: Counter[str] = Counter()
        recorded_at_ms = 0
        for expected, fact in enumerate(facts, 1):
            versions[fact.stream] += 1
            if fact.position != expected:
                yield f"{shard}: position {expected} expected, {fact.position} found"
            if fact.version != versions[fact.stream]:
                yield f"{shard}/{fact.stream}: version {versions[fact.stream]} expected, {fact.version} found"
            if fact.recorded_at_ms < recorded_at_ms:
                yield f"{shard}: position {fact.position} was recorded before the one before it"
            recorded_at_ms = fact.recorded_at_ms


def _doubles(log: Log) -> Iterator[str]:
    """Nothing is on the log twice: no event id, no mark (the same event signed anew), no number of a sender."""
    for shard, facts in log.items():
        for what in ("event_id", "mark", "number"):
            counted = Counter(getattr(fact, what) for fact in facts if getattr(fact, what))
            yield from (f"{shard}: {what} {value!r} is on the log {times} times" for value, times in counted.items() if times > 1)


def _false_receipts(history: History, log: Log) -> Iterator[str]:
    """Acknowledged: on the log, at that position, version and leaf, and with the same words ever after."""
    for mark, answers in history.answers.items():
        receipts = receipts_of(answers)
        if any(receipt != receipts[0] for receipt in receipts):
            yield f"{mark}: two different receipts were given"
        for receipt in receipts[:1]:
            facts = log.get(receipt.shard, ())
            fact = facts[receipt.position - 1] if 0 < receipt.position <= len(facts) else None
            yield from _differences(mark, receipt, fact)


def _differences(mark: str, receipt: Receipt, fact: Fact | None) -> Iterator[str]:
    if fact is None:
        yield f"{mark}: acknowledged at position {receipt.position}, which {receipt.shard} does not have"
        return
    if fact.mark != mark:
        yield f"{mark}: acknowledged at position {receipt.position} of {receipt.shard}, where the log has another event"
    for name in {one.name for one in fields(Receipt)} & {one.name for one in fields(Fact)}:
        if getattr(receipt, name) != getattr(fact, name):
            yield f"{mark}: the receipt's {name} is not the log's at position {receipt.position}"
    if round(receipt.recorded_at.timestamp() * 1000) != fact.recorded_at_ms:
        yield f"{mark}: the receipt's recorded_at is not the log's at position {receipt.position}"


def _wrong_versions(history: History) -> Iterator[str]:
    """What was accepted at an expected version is the next: so each version has one winner."""
    for mark, receipt in history.receipts().items():
        expected = history.attempts[mark].expected_version
        if expected is not None and receipt.version != expected + 1:
            yield f"{mark}: expected {receipt.stream} at version {expected}, was accepted as version {receipt.version}"


def _false_refusals(history: History, log: Log) -> Iterator[str]:
    """Refused while no earlier attempt was unknown: not on the log. And a version that a refusal tells was the stream's at some time."""
    facts = _by_mark(log)
    last = Counter((fact.shard, fact.stream) for fact in chain(*log.values()))
    known = _versions_known(history)
    for mark, answers in history.answers.items():
        attempt = history.attempts[mark]
        for answer in answers:
            refusal = answer.outcome
            if not isinstance(refusal, Refusal):
                continue
            if mark in facts and not refusal.earlier_attempt_unresolved:
                yield f"{mark}: refused ({refusal.rule}), yet at position {facts[mark].position} of {attempt.shard}"
            if attempt.certain:
                yield f"{mark}: refused ({refusal}), though no rule speaks against it"
            current = refusal.current_version
            if current is None:
                continue
            stream = (attempt.shard, attempt.stream)
            acknowledged = max((version for at_ns, version in known.get(stream, ()) if at_ns < attempt.begun_ns), default=0)
            if not acknowledged <= current <= last[stream] or current == attempt.expected_version:
                yield (
                    f"{mark}: refused at version {current} of {attempt.stream}, expecting {attempt.expected_version}; {acknowledged} was"
                    f" acknowledged before it was begun, the last is {last[stream]}"
                )


def _versions_known(history: History) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Return, for each stream somebody expected a version of, when which version was first acknowledged."""
    contended = {(one.shard, one.stream) for one in history.attempts.values() if one.expected_version is not None}
    known: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for answers in history.answers.values():
        for answer in answers:
            receipt = answer.outcome
            if isinstance(receipt, Receipt) and (receipt.shard, receipt.stream) in contended:
                known.setdefault((receipt.shard, receipt.stream), []).append((answer.at_ns, receipt.version))
    return known


def _open_ends(history: History, log: Log) -> Iterator[str]:
    """Unknown: resolved by retry. What no rule can refuse and a client has signed and kept is on the log; nothing else came there."""
    facts = _by_mark(log)
    for mark, attempt in history.attempts.items():
        if attempt.certain and mark not in facts and (mark in history.kept or mark in history.answers):
            yield f"{mark}: {attempt.client} signed it and no rule can refuse it, yet it is not on the log"
    for mark in facts.keys() - history.attempts.keys():
        yield f"{mark}: at position {facts[mark].position} of {facts[mark].shard}, though nobody set out to append it"


def left_unknown(history: History) -> Iterator[str]:
    """Unknown: resolved by retry. Callers who propose a record until it is decided end only when they know what became of everything.

    Not so the SDK's callers: what comes after the deadline of a call goes into the outbox, and is told to no call.
    """
    for mark, answers in history.answers.items():
        client = history.attempts[mark].client
        unknown = [answer.outcome for answer in answers if isinstance(answer.outcome, Unresolved)]
        if client in history.finished and len(unknown) == len(answers):
            yield f"{mark}: {client} ended, and what became of it is unknown: {unknown[-1].reason}"


def _broken_groups(history: History, log: Log) -> Iterator[str]:
    """An atomic request lies on the log in one piece, or not at all."""
    facts = _by_mark(log)
    groups: dict[str, list[str]] = {}
    for attempt in history.attempts.values():
        if attempt.group:
            groups.setdefault(attempt.group, []).append(attempt.mark)
    for group, marks in groups.items():
        positions = [facts[mark].position for mark in marks if mark in facts]
        if positions and positions != list(range(positions[0], positions[0] + len(marks))):
            yield f"atomic request {group} of {len(marks)} events lies at {positions}"


def _wrong_order(history: History, log: Log) -> Iterator[str]:
    """What was acknowledged before another was begun lies before it."""
    for shard, facts in log.items():
        earliest, holder = None, None
        for fact in reversed(facts):
            attempt = history.attempts.get(fact.mark)
            if attempt is None:
                continue
            if earliest is not None and earliest < attempt.begun_ns:
                yield f"{shard}: {fact.mark} at {fact.position} was begun when {holder}, which lies behind it, was acknowledged already"
            told = [answer.at_ns for answer in history.answers.get(fact.mark, ()) if isinstance(answer.outcome, Receipt)]
            if told and (earliest is None or told[0] < earliest):
                earliest, holder = told[0], fact.mark


def _stale_readings(history: History, log: Log) -> Iterator[str]:
    """No reading is older than it was asked to be, and each shows all that was shared up to where it says it has come."""
    shared: dict[tuple[str, str], list[Fact]] = {}
    for fact in chain(*log.values()):
        if fact.event_type == ENTRIES:
            shared.setdefault((fact.shard, fact.stream), []).append(fact)
    for reading in history.readings.values():
        if reading.position is None:
            continue
        if reading.position < reading.min_position:
            yield f"{reading.user}: asked for position {reading.min_position}, was shown {reading.position}"
        if reading.position > len(log.get(reading.shard, ())):
            yield f"{reading.user}: was shown position {reading.position}, which the log does not have"
        facts = shared.get((reading.shard, f"sharing-{reading.case_id}"), ())
        due = {fact.event_id.hex() for fact in facts if fact.position <= reading.position}
        beyond = {fact.event_id.hex() for fact in facts} - due
        if not due <= reading.events or beyond & reading.events:
            shown, extra = len(due & reading.events), len(beyond & reading.events)
            yield f"{reading.user}: at position {reading.position} was shown {shown} of {len(due)} entries, and {extra} of later positions"


def _stale_reads(history: History, log: Log) -> Iterator[str]:
    """No read of a stream is older than it was asked to be, nor than the position it tells, nor of what the log does not have."""
    positions: dict[tuple[str, str], list[int]] = {}
    for fact in chain(*log.values()):
        positions.setdefault((fact.shard, fact.stream), []).append(fact.position)
    for read in history.reads:
        known = positions.get((read.shard, read.stream), [])
        least = bisect_right(known, max(read.position, read.min_position))
        if read.position < read.min_position:
            yield f"{read.client}: asked {read.shard} for position {read.min_position}, was shown {read.position}"
        if not least <= read.version <= len(known):
            yield (
                f"{read.client}: at position {read.position} of {read.shard} was shown version {read.version} of {read.stream},"
                f" which was at {least} then and is at {len(known)} at last"
            )


def _unrecorded_readings(history: History, log: Log) -> Iterator[str]:
    """A reading that was answered is on the log once; one that was not, at most once."""
    recorded = Counter(fact.viewer for fact in chain(*log.values()) if fact.viewer)
    for reading in history.readings.values():
        times = recorded[reading.user]
        if times > 1 or (reading.position is not None and times == 0):
            yield f"{reading.user}: its reading is on the log {times} times"
