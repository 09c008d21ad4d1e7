"""The numbers that a system gives what it says, held against the plain set of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.cli.sources import Numbers


@given(st.lists(st.integers(1, 40) | st.integers(1, 2**64 - 1), max_size=60))
def test_numbers_are_missing_and_repeated_as_their_set_says_in_whatever_order_they_come(said: list[int]) -> None:
    numbers = Numbers()
    for one in said:
        numbers.add(one)

    distinct = sorted(set(said))
    gaps = [(before + 1, after - 1) for before, after in zip([0, *distinct], distinct, strict=False) if after > before + 1]
    assert list(numbers.gaps) == gaps
    assert numbers.missing == max(said, default=0) - len(distinct)
    assert (numbers.events, numbers.last, numbers.repeated) == (len(said), max(said, default=0), len(said) - len(distinct))
