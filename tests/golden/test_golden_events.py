"""What was once signed must be read the same for ever: golden files are added, never edited."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
from google.protobuf.json_format import Parse

from services.eventstore.codec import decode_event, encode_event, message_class
from tests.golden.add_missing import EVENTS, SUMS, sum_line
from tests.support.samples import ALL_EVENT_TYPES

FILES: Final = sorted(path for path in EVENTS.iterdir() if path.suffix in {".binpb", ".json"})


def test_every_event_has_golden_files_and_every_golden_file_an_event() -> None:
    expected = {f"{event_type}.{suffix}" for event_type in ALL_EVENT_TYPES for suffix in ("binpb", "json")}
    assert {path.name for path in FILES} == expected, "add the missing ones with: python -m tests.golden.add_missing"


def test_golden_files_are_added_never_edited() -> None:
    edited = "golden files are added, never edited: an event type whose bytes must change gets a new name (.v2)"
    assert set(SUMS.read_text(encoding="utf-8").splitlines()) == {sum_line(path) for path in FILES}, edited


@pytest.mark.parametrize("event_type", ALL_EVENT_TYPES)
def test_golden_bytes_are_read_and_written_as_ever(event_type: str) -> None:
    body = (EVENTS / f"{event_type}.binpb").read_bytes()
    assert encode_event(decode_event(event_type, body)) == body


@pytest.mark.parametrize("event_type", ALL_EVENT_TYPES)
def test_golden_json_says_what_the_bytes_say(event_type: str) -> None:
    message = message_class(event_type)
    text = Path(EVENTS / f"{event_type}.json").read_text(encoding="utf-8")
    assert Parse(text, message()) == message.FromString((EVENTS / f"{event_type}.binpb").read_bytes())
