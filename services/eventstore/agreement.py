"""Whether what the state keeps beside its events agrees with them: the numbers of streams, and which append wrote what.

The digest covers neither, and the fold judges by both: a stream that is taken for a new one would begin anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.eventstore import outcome
from services.eventstore.fold import Positions
from services.eventstore.reader import Reader
from services.eventstore.tables import POSITION_BITS, POSITION_MASK
from services.runtime.errors import IntegrityError

_FIRST_ASTRAY: Final = """
SELECT place, event.stream FROM event LEFT JOIN stream ON stream.shard = event.shard AND stream.name = event.stream
WHERE place > ? AND place <= ? AND (event.shard IS NOT ? OR stream.number IS NOT event.stream_number) ORDER BY place LIMIT 1
"""
_FIRST_EMPTY: Final = """
SELECT name FROM stream WHERE shard = ? AND NOT EXISTS
(SELECT 1 FROM event WHERE stream_number = stream.number AND version = 1 AND event.stream = stream.name) LIMIT 1
"""
_ACCEPTED: Final = "SELECT result FROM append WHERE shard = ? AND substr(result, 1, 1) = x'41'"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """The first event that what is kept beside it disagrees with; ``stream`` is empty where none is concerned."""

    position: int
    stream: str
    check: str
    reason: str


def first_disagreement(reader: Reader, shard: int, position: int) -> Disagreement | None:
    """Return what is wrong first in a shard, given by its number, up to a position; None if all agrees."""
    return _stream_astray(reader, shard, position) or _append_missing(reader, shard, position)


def _stream_astray(reader: Reader, shard: int, position: int) -> Disagreement | None:
    """Find an event that is not found by its stream, or a stream without events."""
    first = shard << POSITION_BITS
    for place, stream in reader.query(_FIRST_ASTRAY, (first, first | position, shard)):
        return Disagreement(position=place & POSITION_MASK, stream=stream, check="stream", reason="the event is not found by its stream")
    for (stream,) in reader.query(_FIRST_EMPTY, (shard,)):
        return Disagreement(position=position, stream=stream, check="stream", reason="the stream is known and has no events")
    return None


def _append_missing(reader: Reader, shard: int, position: int) -> Disagreement | None:
    """Find an event that no append is known to have written, or more than one: appends write positions without gaps."""
    expected = 1
    try:
        accepted = [outcome.from_bytes(result) for (result,) in reader.query(_ACCEPTED, (shard,))]
    except IntegrityError as error:
        return Disagreement(position=position, stream="", check="append", reason=str(error))
    runs = [one.positions for one in accepted if isinstance(one, Positions) and isinstance(one.positions, range)]
    for run in sorted(runs, key=lambda run: run.start):
        if run.start != expected:
            break
        expected = run.stop
    if expected > position:
        return None
    return Disagreement(position=expected, stream="", check="append", reason="it is not known which append wrote the event")
