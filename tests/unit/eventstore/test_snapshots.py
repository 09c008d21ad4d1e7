from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from services.eventstore.snapshots import Snapshots


def test_a_new_file_of_snapshots_is_opened_by_all_who_come_first(tmp_path: Path) -> None:
    for turn in range(100):
        together = threading.Barrier(8)

        def opened(path: Path = tmp_path / f"{turn}.sqlite", together: threading.Barrier = together) -> str:
            together.wait()
            with closing(Snapshots(path)) as snapshots:
                ((mode,),) = snapshots.run("PRAGMA journal_mode", ())
                return str(mode)

        with ThreadPoolExecutor(8) as pool:
            assert [one.result() for one in [pool.submit(opened) for _ in range(8)]] == ["wal"] * 8
