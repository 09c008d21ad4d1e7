from __future__ import annotations

from contextlib import closing
from pathlib import Path

from services.eventstore.snapshots import Snapshots
from tests.support.together import all_at_once


def test_a_new_file_of_snapshots_is_opened_by_all_who_come_first(tmp_path: Path) -> None:
    for turn in range(100):

        def opened(path: Path = tmp_path / f"{turn}.sqlite") -> str:
            with closing(Snapshots(path)) as snapshots:
                ((mode,),) = snapshots.run("PRAGMA journal_mode", ())
                return str(mode)

        assert all_at_once(8, opened) == ["wal"] * 8
