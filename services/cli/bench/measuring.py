"""Clocks and callers: how throughput and latency are measured."""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from services.cli.bench.plan import Throughput

Call = Callable[[], int]
"""One blocking call; returns how many events it recorded."""
AsyncCall = Callable[[], Awaitable[int]]


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the nearest-rank percentile of some values."""
    ranked = sorted(values)
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def throughput(
    callers: int, events_a_call: int, events: int, calls: Sequence[float], seconds: float, cpu: tuple[float, float] | None = None
) -> Throughput:
    """Return figures from what was counted: ``calls`` in seconds each, ``cpu`` seconds of the hub's and the client's process."""
    return Throughput(
        callers=callers,
        events_a_call=events_a_call,
        events=events,
        seconds=round(seconds, 3),
        per_second=round(events / seconds, 1),
        p50_ms=round(percentile(calls, 50) * 1_000, 3),
        p99_ms=round(percentile(calls, 99) * 1_000, 3),
        hub_cpu_us=None if cpu is None else round(cpu[0] / events * 1_000_000, 1),
        client_cpu_us=None if cpu is None else round(cpu[1] / events * 1_000_000, 1),
    )


def with_threads(callers: int, events_a_call: int, seconds: float, caller: Callable[[int], Call]) -> Throughput:
    """Measure callers that are threads: ``caller(number)`` returns what the numbered one calls again and again."""
    calls: list[float] = []
    events: list[int] = []
    failures: list[BaseException] = []
    ready = threading.Barrier(callers + 1)

    def run(call: Call) -> None:
        own_calls, own_events = [], 0
        ready.wait()
        try:
            now = time.perf_counter()
            end = now + seconds
            while now < end:
                own_events += call()
                before, now = now, time.perf_counter()
                own_calls.append(now - before)
        except BaseException as error:  # noqa: BLE001  # whoever measures must hear it, not the thread's end
            failures.append(error)
        calls.extend(own_calls)
        events.append(own_events)

    threads = [threading.Thread(target=run, args=(caller(number),), daemon=True) for number in range(callers)]
    for thread in threads:
        thread.start()
    ready.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return throughput(callers, events_a_call, sum(events), calls, time.perf_counter() - began)


async def with_tasks(
    callers: int,
    events_a_call: int,
    seconds: float,
    caller: Callable[[int], AsyncCall],
    cpu_seconds: Callable[[], float] | None = None,
    thread_cpu_seconds: Callable[[], dict[str, float]] = dict,
) -> Throughput:
    """Measure callers that are asyncio tasks of this loop; ``cpu_seconds`` tells what the hub's process has used, and so its threads."""
    calls: list[float] = []
    events = 0

    async def run(call: AsyncCall) -> None:
        nonlocal events
        now = time.perf_counter()
        end = now + seconds
        while now < end:
            recorded = await call()
            events += recorded
            before, now = now, time.perf_counter()
            calls.append(now - before)

    began, own_before = time.perf_counter(), time.process_time()
    hub_before = 0.0 if cpu_seconds is None else cpu_seconds()
    threads_before = thread_cpu_seconds()
    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(run(caller(number)))
    seconds_taken = time.perf_counter() - began
    cpu = None if cpu_seconds is None else (cpu_seconds() - hub_before, time.process_time() - own_before)
    used = {thread: used - threads_before.get(thread, 0.0) for thread, used in thread_cpu_seconds().items()}
    found = throughput(callers, events_a_call, events, calls, seconds_taken, cpu)
    return replace(found, hub_threads_cpu_us=_an_event(used, events))


def _an_event(used: dict[str, float], events: int) -> dict[str, float]:
    """Return the CPU seconds of threads as microseconds for one event, most first; a thread that was idle is left out."""
    ranked = sorted(used.items(), key=lambda one: -one[1])
    return {thread: round(seconds / events * 1_000_000, 1) for thread, seconds in ranked if seconds > 0}


def rate(seconds: float, work: Callable[[], object]) -> float:
    """Return how often a second ``work`` can be done, one after the other."""
    done, began = 0, time.perf_counter()
    now = began
    while now < began + seconds:
        work()
        done += 1
        now = time.perf_counter()
    return round(done / (now - began), 1)


def cpu_seconds_of(pid: int) -> float:
    """Return the CPU seconds that a process and its children have used; 0 where the system does not tell."""
    used = 0.0
    for one in (pid, *_children_of(pid)):
        with suppress(OSError):
            used += _cpu_seconds_in(Path(f"/proc/{one}/stat"))
    return used


def thread_cpu_seconds_of(pid: int) -> dict[str, float]:
    """Return the CPU seconds that each living thread and child of a process has used; nothing where the system does not tell.

    The first thread of a hub is its event loop. Python names the others to the system from 3.14 on only: until then all are python.
    """
    found = {}
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with suppress(OSError):  # a thread that has just ended
            name = "event loop" if task.name == str(pid) else f"{(task / 'comm').read_text().strip()} {task.name}"
            found[name] = _cpu_seconds_in(task / "stat")
    for child in _children_of(pid):
        with suppress(OSError):
            found[f"process {child}"] = _cpu_seconds_in(Path(f"/proc/{child}/stat"))
    return found


def _children_of(pid: int) -> list[int]:
    """Return the processes that a process has begun (proc(5), where the kernel was built to tell)."""
    try:
        return [int(child) for tasks in Path(f"/proc/{pid}/task").glob("*/children") for child in tasks.read_text().split()]
    except OSError:
        return []


def _cpu_seconds_in(stat: Path) -> float:
    """Read proc(5): fields 14 and 15 are utime and stime; two are cut off before the state."""
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
