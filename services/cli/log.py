"""``hub log``: what lies on the log, read from the hub's home while it serves or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from json import dumps
from typing import Annotated, Final

import typer

from domain.kernel.events import EVENT_TYPES, Recorded
from safeguarding.hub.v1.envelope_pb2 import EventHeader
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.cli.calling import case_in, read_log, streams_of_case
from services.cli.failures import Failure, wrong_usage
from services.cli.options import Home, Json, settings_of
from services.cli.output import emit, plain, say, show, tell
from services.cli.stores import opened_keys
from services.cli.wording import counted
from services.eventstore.fold import is_text
from services.eventstore.opening import Opener, logged_event
from services.eventstore.port import Stored
from services.eventstore.read_only import ReadOnlyEventStore, ReadOnlyShard
from services.queries.sight import NOT_OF_THE_HUB
from services.runtime.settings import Settings

DEFAULT_LIMIT: Final = 50
BATCH_EVENTS: Final = 1_000


def log(
    what: Annotated[
        str | None, typer.Argument(metavar="SHARD|STREAM", help="A shard or a stream; without it the shards are listed.")
    ] = None,
    home: Home = None,
    after: Annotated[int, typer.Option("--after", metavar="N", min=0, help="Only behind this position (of a stream: this version).")] = 0,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most this many events.")] = DEFAULT_LIMIT,
    event_type: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Only events of this type; may be repeated.")
    ] = None,
    body: Annotated[bool, typer.Option("--body", help="Bodies too. Reading them here is recorded nowhere; queries are.")] = False,
    json: Json = False,
) -> None:
    """List the shards, or a shard's or stream's events: place, time, type, agency. Bodies stay sealed unless --body is given.

    An event that another application put into the same store is shown by its place, and that it is none of the hub.
    """
    settings = settings_of(home)
    types = frozenset(event_type or ())
    if unknown := sorted(types - EVENT_TYPES.keys()):
        raise wrong_usage(f"there is no event type {', '.join(unknown)}", f"there are: {', '.join(sorted(EVENT_TYPES))}")
    with read_log(settings) as store, ExitStack() as closing:
        if what is None:
            _shards(store, json=json)
            return
        opener = _opener(settings, store, closing) if body else None
        events: list[dict[str, object]] = []
        for shard, stored in _events(settings, store, what, after):
            if not types or stored.type in types:
                if len(events) == limit:
                    break
                events.append(_entry(shard, stored, opener))
    if json:
        emit({"events": events})
    else:
        _print(events, what, limit, with_bodies=body)


def _shards(store: ReadOnlyEventStore, *, json: bool) -> None:
    """List the shards with how far each has come."""
    heads = [(name, store.shard(name).head()) for name in store.shards()]
    if json:
        shards = [
            {"shard": name, "position": head.position, "digest": head.digest.hex(), "recorded_at": _at(head.recorded_at_ms)}
            for name, head in heads
        ]
        emit({"shards": shards})
        return
    rows = [(name, head.position, _at(head.recorded_at_ms) if head.position else "", head.digest.hex()[:16]) for name, head in heads]
    show(f"Shards: {len(rows)}", ("Shard", "Position", "Last recorded", "Digest"), rows, right=[1])


def _events(settings: Settings, store: ReadOnlyEventStore, what: str, after: int) -> Iterator[tuple[ReadOnlyShard, Stored]]:
    """Yield the events of a shard or a stream, in order."""
    if what not in store.shards():
        for shard in map(store.shard, store.shards()):
            if is_text(what) and shard.stream_version(what):
                yield from ((shard, stored) for stored in shard.read_stream(what, after))
                return
        raise _nothing_named(settings, what)
    shard = store.shard(what)
    while batch := shard.read(after, BATCH_EVENTS):
        yield from ((shard, stored) for stored in batch)
        after = batch[-1].position


def _nothing_named(settings: Settings, what: str) -> Failure:
    """Return the failure of asking for what is neither a shard nor a stream, with what there is; of an unknown case it is that."""
    hint = "hub log without it lists the shards"
    if case_id := case_in(what):
        _, streams = streams_of_case(settings, case_id)
        hint = f"that case has the streams {', '.join(streams)}"
    return wrong_usage(f"{what!r} is neither a shard nor a stream of this hub", hint)


def _opener(settings: Settings, store: ReadOnlyEventStore, closing: ExitStack) -> Opener:
    """Return what opens bodies."""
    keys = closing.enter_context(opened_keys(settings, store))
    tell("hub: bodies are read from the files: that is recorded nowhere")
    return Opener(keys)


def _entry(shard: ReadOnlyShard, stored: Stored, opener: Opener | None) -> dict[str, object]:
    """Return an event as it is shown."""
    of_hub = logged_event(stored)
    logged, header = of_hub or (LoggedEvent(), EventHeader())
    entry: dict[str, object] = {
        "shard": shard.name,
        "position": stored.position,
        "recorded_at": _at(stored.recorded_at_ms),
        "event_type": stored.type,
        "stream": stored.stream,
        "version": stored.version,
        "agency_id": header.agency_id,
        "key_id": header.key_id,
        "source": header.source,
        "source_sequence": header.source_sequence,
        "imported": header.imported,
        "event_id": stored.event_id.hex(),
        "leaf": shard.leaf(stored).hex(),
        "findings": list(logged.findings),
        "mended": list(logged.mended),
        "is_of_hub": of_hub is not None,
    }
    if opener is not None and of_hub is not None:
        entry["body"] = _body(opener.open(shard.name, stored))
    return entry


def _body(recorded: Recorded) -> object:
    """Return what an event says, None if its body was destroyed."""
    return None if recorded.event is None else plain(recorded.event)


def _print(events: list[dict[str, object]], what: str, limit: int, *, with_bodies: bool) -> None:
    """Print events as a table; bodies below it."""
    columns = ("Position", "Recorded", "Type", "Stream", "Version", "Agency", "Marks")
    rows = [
        (one["position"], one["recorded_at"], one["event_type"], one["stream"], one["version"], one["agency_id"], _marks(one))
        for one in events
    ]
    show(what, columns, rows, right=[0, 4])
    if with_bodies:
        for one in events:
            say(f"{one['position']}: {_told(one['body']) if 'body' in one else NOT_OF_THE_HUB}")
    say(f"{counted(len(events), 'event')}{'; there may be more: --limit, --after' if len(events) == limit else ''}")


def _told(body: object) -> str:
    """Return a body for people: what it leaves unsaid is left out."""
    return "destroyed" if body is None else dumps(_without_nulls(body), ensure_ascii=False, indent=2)


def _without_nulls(value: object) -> object:
    match value:
        case dict():
            return {name: _without_nulls(one) for name, one in value.items() if one is not None}
        case list():
            return [_without_nulls(one) for one in value]
        case _:
            return value


def _marks(entry: dict[str, object]) -> str:
    findings, mended = entry["findings"], entry["mended"]
    marks = [] if entry["is_of_hub"] else [NOT_OF_THE_HUB]
    marks += ["imported"] if entry["imported"] else []
    marks += [f"finding {rule}" for rule in findings] if isinstance(findings, list) else []
    marks += [f"mended {rule}" for rule in mended] if isinstance(mended, list) else []
    return ", ".join(marks)


def _at(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
