"""``hub sources``: how each system of an agency numbered what it said, and which of its numbers the log lacks."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from itertools import starmap
from operator import itemgetter
from typing import Annotated, Final

import typer

from domain.kernel.agencies import HUB_ID
from services.cli.calling import read_log
from services.cli.failures import wrong_usage
from services.cli.options import Home, Json, read_agency, settings_of
from services.cli.output import emit, say, show
from services.cli.progress import progress
from services.cli.wording import counted
from services.eventstore.opening import logged_event
from services.eventstore.read_only import ReadOnlyEventStore

BATCH_EVENTS: Final = 1_000
GAPS_SHOWN: Final = 8
"""In a table; JSON has them all."""

Gap = tuple[int, int]
"""The first and the last of numbers that lie side by side."""


class Numbers:
    """What one system said in one shard, by its numbers: they count up from 1 (wire contract, ``EventHeader.source_sequence``)."""

    __slots__ = ("_gaps", "events", "last", "repeated")

    def __init__(self) -> None:
        """Begin with nothing said."""
        self.events = 0
        self.last = 0
        self.repeated = 0
        """Events that bear a number another bears."""
        self._gaps: list[Gap] = []

    def add(self, number: int) -> None:
        """Take note of an event's number, whatever came before it."""
        self.events += 1
        if number > self.last:
            if number > self.last + 1:
                self._gaps.append((self.last + 1, number - 1))
            self.last = number
            return
        at = bisect_right(self._gaps, number, key=itemgetter(0)) - 1
        if at < 0 or self._gaps[at][1] < number:
            self.repeated += 1
            return
        first, last = self._gaps[at]
        self._gaps[at : at + 1] = [gap for gap in ((first, number - 1), (number + 1, last)) if gap[0] <= gap[1]]

    @property
    def gaps(self) -> Sequence[Gap]:
        """The numbers up to the last one that no event bears, in order."""
        return self._gaps

    @property
    def missing(self) -> int:
        """How many numbers that is."""
        return sum(last - first + 1 for first, last in self._gaps)


Source = tuple[str, str, str]
"""A shard, an agency, and the name of one of its systems."""


def sources(
    shard: Annotated[str | None, typer.Argument(metavar="SHARD", help="Only this shard.")] = None,
    of: Annotated[str | None, typer.Option("--of", metavar="AGENCY", parser=read_agency, help="Only this agency's systems.")] = None,
    home: Home = None,
    with_gaps: Annotated[bool, typer.Option("--gaps", help="Only systems of which numbers are missing.")] = False,
    json: Json = False,
) -> None:
    """List the systems of agencies, and which of their numbers the log lacks: something was refused, or never came, or is on its way.

    Every system numbers what it says in each shard. A gap is shown, not judged: its owner alone can say what the number was given to, and
    whether more was said behind the last one here. Left out unless --of hub asks for it is the hub itself: it numbers what it keeps in
    reserve, too.
    """
    with read_log(settings_of(home)) as store:
        if shard is not None and shard not in store.shards():
            raise wrong_usage(f"{shard!r} is no shard of this hub", "hub log lists them")
        found = numbers_of(store, store.shards() if shard is None else (shard,))
    wanted = {source: one for source, one in sorted(found.items()) if (source[1] == of if of else source[1] != HUB_ID)}
    shown = [(source, one) for source, one in wanted.items() if one.gaps or not with_gaps]
    if json:
        emit({"sources": list(starmap(_plain, shown))})
        return
    columns = ("Shard", "Agency", "System", "Events", "Last number", "Missing", "Which", "Twice")
    rows = [(*source, one.events, one.last, one.missing, _told(one.gaps), one.repeated) for source, one in shown]
    show(f"Systems: {len(rows)}", columns, rows, right=[3, 4, 5, 7])
    lacking = sum(1 for _, one in shown if one.gaps)
    say(f"{counted(lacking, 'system')} with missing numbers")


def numbers_of(store: ReadOnlyEventStore, shards: Sequence[str]) -> dict[Source, Numbers]:
    """Read what lies in some shards; events that another application put there bear no number."""
    found: dict[Source, Numbers] = defaultdict(Numbers)
    heads = {name: store.shard(name).head().position for name in shards}
    read = 0
    with progress("reading") as report:
        for name in heads:
            shard, after = store.shard(name), 0
            while batch := shard.read(after, BATCH_EVENTS):
                for stored in batch:
                    if of_hub := logged_event(stored):
                        _, header = of_hub
                        found[name, header.agency_id, header.source].add(header.source_sequence)
                after = batch[-1].position
                read += len(batch)
                report(read, sum(heads.values()))
    return found


def _plain(source: Source, numbers: Numbers) -> dict[str, object]:
    """Return what is known of a system, for programs."""
    shard, agency, name = source
    return {
        "shard": shard,
        "agency_id": agency,
        "source": name,
        "events": numbers.events,
        "last_number": numbers.last,
        "missing": numbers.missing,
        "gaps": [{"first": first, "last": last} for first, last in numbers.gaps],
        "repeated": numbers.repeated,
    }


def _told(gaps: Sequence[Gap]) -> str:
    """Return gaps for people."""
    told = [str(first) if first == last else f"{first}-{last}" for first, last in gaps[:GAPS_SHOWN]]
    return ", ".join([*told, "…"] if len(gaps) > GAPS_SHOWN else told)
