from __future__ import annotations

import asyncio
import threading

import pytest

from services.intake.log_ends import LogEnds
from services.runtime.errors import Unavailable


class Slow:
    """A store whose log answers when it is told to."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = threading.Semaphore(0)
        self.fails = False

    def come_to_end(self, shard: str, _timeout_seconds: float) -> None:
        self.asked.append(shard)
        assert self.answers.acquire(timeout=10)
        if self.fails:
            raise Unavailable("no answer")


async def until(holds: object) -> None:
    while not holds():  # type: ignore[operator]  # noqa: ASYNC110  # no one signals it
        await asyncio.sleep(0.005)


async def test_whoever_asks_while_a_question_is_under_way_shares_the_next_one() -> None:
    store = Slow()
    ends = LogEnds(store)  # type: ignore[arg-type]
    first = asyncio.ensure_future(ends.reach("north"))
    await until(lambda: store.asked == ["north"])
    later = [asyncio.ensure_future(ends.reach("north")) for _ in range(20)]
    await asyncio.sleep(0.02)
    assert store.asked == ["north"]
    store.answers.release()
    await first
    await until(lambda: store.asked == ["north", "north"])
    assert not any(one.done() for one in later), "an answer from before they asked would not do"
    store.answers.release()
    await asyncio.gather(*later)
    assert store.asked == ["north", "north"]


async def test_shards_do_not_wait_for_each_other() -> None:
    store = Slow()
    ends = LogEnds(store)  # type: ignore[arg-type]
    both = [asyncio.ensure_future(ends.reach(shard)) for shard in ("north", "south")]
    await until(lambda: sorted(store.asked) == ["north", "south"])
    store.answers.release(2)
    await asyncio.gather(*both)


async def test_a_question_that_fails_fails_for_all_who_share_it_and_the_next_is_asked_anew() -> None:
    store = Slow()
    ends = LogEnds(store)  # type: ignore[arg-type]
    store.fails = True
    asked = [asyncio.ensure_future(ends.reach("north")) for _ in range(3)]
    gone = asked.pop()
    await until(lambda: store.asked == ["north"])
    gone.cancel()
    store.answers.release()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in found] == [Unavailable, Unavailable]
    store.fails = False
    store.answers.release()
    await ends.reach("north")
    with pytest.raises(asyncio.CancelledError):
        await gone
