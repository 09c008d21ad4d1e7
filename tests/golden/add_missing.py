"""Adds golden files for events that have none: ``python -m tests.golden.add_missing``. It never touches one that exists."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from google.protobuf.json_format import MessageToJson

from services.eventstore.codec import encode_event, to_message
from tests.support.samples import ALL_EVENT_TYPES, sample_event

EVENTS: Final = Path(__file__).parent / "events"
SUMS: Final = EVENTS / "SHA256SUMS"


def sum_line(path: Path) -> str:
    """Return a file's line in the list of sums."""
    return f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}"


def add(event_type: str) -> None:
    """Write the bytes and the JSON of one event, and their sums."""
    event = sample_event(event_type)
    body, text = EVENTS / f"{event_type}.binpb", EVENTS / f"{event_type}.json"
    body.write_bytes(encode_event(event))
    text.write_text(MessageToJson(to_message(event), preserving_proto_field_name=True, ensure_ascii=False) + "\n", encoding="utf-8")
    with SUMS.open("a", encoding="utf-8") as sums:
        sums.write(f"{sum_line(body)}\n{sum_line(text)}\n")


if __name__ == "__main__":
    for missing in ALL_EVENT_TYPES:
        if not (EVENTS / f"{missing}.binpb").exists():
            add(missing)
