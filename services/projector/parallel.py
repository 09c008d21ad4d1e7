"""Filling views with all the cores there are: shards are independent, so other processes fill some of them, each into files of its own.

What a process has filled is taken over into the view database shard by shard, rows with their tracking, so that a crash or a stop leaves
whole shards and nothing half. The process that rebuilds fills shards itself meanwhile. A log that lies in one shard gains nothing by this.
"""

from __future__ import annotations

import json
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from projections.kernel.database import Generation, ViewDatabase
from services.projector.scratch import scratch
from services.runtime.interpreter import child_environment, program, usable_cores
from services.runtime.interruption import undisturbed

PARALLEL_MIN_EVENTS: Final = 20_000
"""A process takes about a second of a core to start, in which this one fills some thousands of events."""
SHARE_MIN_EVENTS: Final = 2_000
"""Smaller shards are filled together: a file of its own for each would take longer than its events."""


class WorkerFailed(Exception):
    """A process that filled shards ended before it was told to; what it had handed over stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """Where another process finds the log, its keys and room to write."""

    event_store_file: Path
    key_store: str = field(repr=False)
    """A file's path or a database's URL."""
    kek: bytes = field(repr=False)
    """The key-encryption key."""
    scratch_folder: Path
    """As safe as the view database's own: what lies here for a while is read as easily."""


def workers_max() -> int:
    """Return how many processes are worth starting beside this one: one for each further core."""
    return usable_cores() - 1


def fill_in_parallel(
    workplace: Workplace,
    database: ViewDatabase,
    generations: Sequence[Generation],
    heads: Mapping[str, int],
    *,
    fill: Callable[[str], None],
    report: Callable[[str, int], None],
    stopping: threading.Event,
) -> None:
    """Fill shards that none of the generations has anything of yet, given with their heads.

    ``fill`` fills a shard in this process and thread; ``report`` hears of positions reached elsewhere, on any thread. Returns early once
    ``stopping`` is set; raises ``WorkerFailed`` if a process dies or fails. In either case whatever is missing can be filled later.
    """
    _Filling(workplace, database, generations, heads, report, stopping).run(fill)


class _Filling:
    """One fill by several processes."""

    def __init__(
        self,
        workplace: Workplace,
        database: ViewDatabase,
        generations: Sequence[Generation],
        heads: Mapping[str, int],
        report: Callable[[str, int], None],
        stopping: threading.Event,
    ) -> None:
        """Cut the work into shares, the largest first."""
        self._workplace = workplace
        self._database = database
        self._generations = generations
        self._heads = heads
        self._report = report
        self._stopping = stopping
        self._shares: Final = deque(_shares(heads))
        self._processes: Final[list[subprocess.Popen[str]]] = []
        self._failures: Final[list[BaseException]] = []

    def run(self, fill: Callable[[str], None]) -> None:
        """Fill all shares, some of them here."""
        count = min(workers_max(), len(self._shares) - 1)
        with scratch(self._workplace.scratch_folder) as folder:
            threads: list[threading.Thread] = []
            try:
                for number in range(count):
                    thread = threading.Thread(target=self._employ, args=(folder / str(number),), daemon=True)
                    with undisturbed():
                        thread.start()
                        threads.append(thread)
                for share in self._taken():
                    for shard in share:
                        fill(shard)
                for thread in threads:
                    thread.join()
            finally:
                self._shares.clear()
                for process in self._processes:
                    process.kill()
                for thread in threads:
                    thread.join()
        if self._failures:
            raise self._failures[0]

    def _taken(self) -> Iterator[list[str]]:
        """Take one share after the other, until none is left or somebody failed."""
        while not (self._failures or self._stopping.is_set()):
            try:
                yield self._shares.popleft()
            except IndexError:
                return

    def _employ(self, folder: Path) -> None:
        """Have one process fill shares, and take over each while it fills the next."""
        try:
            folder.mkdir()
            with self._process() as process:
                for file in self._filled(process, folder):
                    self._database.absorb(file, self._generations)
                    file.unlink()
        except BaseException as failure:  # noqa: BLE001 (whoever waits must hear it, not the thread's end)
            self._failures.append(failure)

    def _filled(self, process: subprocess.Popen[str], folder: Path) -> Iterator[Path]:
        """Have a process fill shares; yield the file of each when it is at work on the next, so that neither waits for the other."""
        filled: list[Path] = []
        for number, share in enumerate(self._taken()):
            file = folder / f"{number}.sqlite"
            self._order(process, {"shards": {shard: self._heads[shard] for shard in share}, "file": str(file)})
            yield from filled
            if not self._finished(process):
                return
            filled = [file]
        yield from filled

    @contextmanager
    def _process(self) -> Iterator[subprocess.Popen[str]]:
        """Give a process that knows its workplace; it ends with the context."""
        place = self._workplace
        process = subprocess.Popen(  # noqa: S603 (our own program)
            program("services.projector.worker"),
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self._processes.append(process)
        try:
            views = [one.view for one in self._generations]
            stores = {"events": str(place.event_store_file), "keys": place.key_store}
            self._order(process, {**stores, "kek": place.kek.hex(), "views": views})
            yield process
        finally:
            process.kill()
            with suppress(BrokenPipeError), process:  # an order that a process did not live to read
                pass

    def _order(self, process: subprocess.Popen[str], order: Mapping[str, Any]) -> None:
        """Tell a process what to do; one that is gone is noticed when it does not answer."""
        if process.stdin is not None:
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(order) + "\n")
                process.stdin.flush()

    def _finished(self, process: subprocess.Popen[str]) -> bool:
        """Pass on how far a process is until it has filled its share; False if that is wanted no more."""
        for line in process.stdout or ():
            answer = json.loads(line)
            if "shard" in answer:
                self._report(answer["shard"], answer["position"])
            elif answer.get("done"):
                return True
            else:
                raise WorkerFailed(f"a process that fills views failed: {answer['failed']}")
            if self._failures or self._stopping.is_set():
                return False
        raise WorkerFailed(f"a process that fills views ended with code {process.wait()}")


def _shares(heads: Mapping[str, int]) -> list[list[str]]:
    """Return shards with their heads as shares of work: large ones alone and first, small ones together."""
    shares: list[list[str]] = []
    events = SHARE_MIN_EVENTS
    for shard in sorted(heads, key=heads.__getitem__, reverse=True):
        if events >= SHARE_MIN_EVENTS:
            shares.append([])
            events = 0
        shares[-1].append(shard)
        events += heads[shard]
    return shares
