"""Records as bytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.eventstore import frame
from services.eventstore.fold import Outcome, Positions
from services.eventstore.outcome import from_bytes, to_bytes
from services.eventstore.port import (
    Append,
    Conflict,
    Expectation,
    Malformed,
    Mismatch,
    PartialDuplicate,
    ProposedEvent,
    Revoked,
    Tracking,
)
from services.runtime.errors import IntegrityError
from services.runtime.limits import RECORD_MAX_BYTES
from tests.support.appends import an_append, an_event, an_id

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
unsigned = st.integers(0, 2**64 - 1)
events = st.builds(ProposedEvent, texts, unsigned, st.binary(max_size=20), st.binary(max_size=40), texts, texts, st.binary(max_size=100))
appends = st.builds(
    Append,
    st.binary(min_size=16, max_size=16),
    texts,
    texts,
    st.lists(st.builds(Expectation, texts, unsigned, st.just(b"") | st.binary(min_size=16, max_size=16)), max_size=3).map(tuple),
    st.lists(events, max_size=3).map(tuple),
    st.none() | st.builds(Tracking, texts, unsigned),
)
u32 = st.integers(0, 2**32 - 1)
controls = st.one_of(
    st.builds(frame.Genesis, texts, u32, st.lists(u32, max_size=3).map(tuple)),
    st.builds(frame.RulesChange, u32, st.lists(u32, max_size=3).map(tuple)),
    st.builds(frame.KeyRevoked, texts),
    st.builds(frame.DigestPublished, texts, st.integers(0, 2**64 - 1), st.binary(max_size=40)),
)


def framed(record: bytes) -> frame.Frame:
    read = frame.decode(record)
    assert isinstance(read, frame.Frame)
    return read


@given(appends, st.integers(0, 255))
def test_an_append_comes_back_from_its_record(append: Append, version: int) -> None:
    read = framed(frame.encode_append(append, version))
    assert (read.kind, read.version, read.append_id) == (frame.Kind.APPEND, version, append.append_id)
    assert frame.append_of(read) == append


@given(controls)
def test_a_control_comes_back_from_its_record(control: frame.Control) -> None:
    read = framed(frame.encode_control(control, an_id("c")))
    assert read.append_id == an_id("c")
    assert frame.control_of(read) == control


@given(st.binary(max_size=200))
def test_bytes_that_nobody_framed_are_malformed(record: bytes) -> None:
    assert isinstance(frame.decode(record), Malformed) or record.startswith(frame.MAGIC)


@given(appends, st.data())
def test_a_body_in_pieces_is_an_append_or_malformed_and_never_an_error(append: Append, data: st.DataObject) -> None:
    record = bytearray(frame.encode_append(append))
    cut = data.draw(st.integers(frame.FRAME_BYTES, len(record)))
    flip = data.draw(st.integers(frame.FRAME_BYTES, len(record)))
    if flip < len(record):
        record[flip] ^= data.draw(st.integers(1, 255))
    assert isinstance(frame.append_of(framed(bytes(record[:cut]))), Append | Malformed)


@pytest.mark.parametrize(
    "control",
    [frame.Genesis("north", 1, (1,)), frame.RulesChange(2, (1,)), frame.KeyRevoked("key-1"), frame.DigestPublished("node-1", 1, bytes(32))],
)
def test_a_control_with_a_damaged_body_is_malformed(control: frame.Control) -> None:
    record = frame.encode_control(control, an_id("c"))
    assert isinstance(frame.control_of(framed(record[: frame.FRAME_BYTES] + b"\xff\xff")), Malformed)


def test_text_that_is_not_utf_8_is_malformed() -> None:
    record = frame.encode_append(an_append("1", an_event("incident-a", 1))).replace(b"incident-a", b"incident-\xff")
    assert isinstance(frame.append_of(framed(record)), Malformed)


@pytest.mark.parametrize("kind", [0, 7, 200])
def test_a_record_kind_of_a_newer_program_stops_the_node(kind: int) -> None:
    record = bytearray(frame.encode_append(an_append("1", an_event("incident-a", 1))))
    record[4] = kind
    with pytest.raises(frame.UnknownControl, match=f"record kind {kind} is of a newer program"):
        frame.decode(bytes(record))


@pytest.mark.parametrize("version", [0, 2, 255])
def test_a_control_version_of_a_newer_program_stops_the_node(version: int) -> None:
    with pytest.raises(frame.UnknownControl, match=f"KEY_REVOKED record of version {version}, this program knows version 1"):
        frame.decode(frame.encode_control(frame.KeyRevoked("key-1"), an_id("c"), version))


def test_a_record_may_be_as_large_as_the_limit_and_no_larger() -> None:
    append = an_append("1", an_event("incident-a", 1, state=b""))
    overhead = len(frame.encode_append(an_append("1", an_event("incident-a", 1, state=bytes(600_000))))) - 600_000
    for too_many in (0, 1):
        large = replace(append, events=(replace(append.events[0], state=bytes(RECORD_MAX_BYTES - overhead + too_many)),))
        assert len(frame.encode_append(large)) == RECORD_MAX_BYTES + too_many
        assert (frame.oversize(large) is not None) == bool(too_many)
        assert isinstance(frame.decode(frame.encode_append(large)), Malformed) == bool(too_many)


@given(appends)
def test_the_size_is_judged_without_writing_the_record_only_when_that_is_safe(append: Append) -> None:
    padded = replace(append, events=(*append.events, an_event("s", 1, state=bytes(RECORD_MAX_BYTES - 600))))
    for each in (append, padded):
        assert (frame.oversize(each) is not None) == (len(frame.encode_append(each)) > RECORD_MAX_BYTES)


event_ids = st.binary(min_size=16, max_size=16)
positions = st.integers(1, 2**40 - 1)
outcomes: st.SearchStrategy[Outcome] = st.one_of(
    st.builds(lambda first, count: Positions(range(first, first + count)), positions, st.integers(0, 500)),
    st.lists(positions, min_size=1, max_size=5).map(lambda some: Positions(tuple(some))),
    st.builds(Conflict, texts, st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)),
    st.lists(event_ids, min_size=1, max_size=4).map(lambda some: PartialDuplicate(tuple(some))),
    st.builds(Mismatch, event_ids),
    st.builds(Revoked, texts),
)


@given(outcomes)
def test_an_outcome_comes_back_from_its_bytes(outcome: Outcome) -> None:
    assert from_bytes(to_bytes(outcome)) == outcome


@pytest.mark.parametrize("damaged", [b"", b"Z", b"A\x00", b"D\x00", b"C\x00", b"R\xff"])
def test_a_damaged_outcome_is_noticed(damaged: bytes) -> None:
    with pytest.raises(IntegrityError, match="outcome of an append"):
        from_bytes(damaged)
