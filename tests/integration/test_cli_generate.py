"""``hub generate``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.command import ran


def test_generating_twice_from_one_seed_gives_the_same_events(tmp_path: Path) -> None:
    first = ran("generate", "--incidents", "3", "--seed", "7")
    ran("generate", "--incidents", "3", "--seed", "7", "--out", tmp_path / "events.jsonl")
    lines = [json.loads(line) for line in first.out.splitlines()]

    assert (tmp_path / "events.jsonl").read_text() == first.out
    assert len({line["case_id"] for line in lines}) == 3
    assert [line["stage"] for line in lines] == sorted(line["stage"] for line in lines)
    assert ran("generate", "--incidents", "3", "--seed", "8").out != first.out
