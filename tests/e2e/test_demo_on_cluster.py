"""``hub demo --cluster`` as a person runs it: England on two nodes, a broker and a node killed in the middle, and the proof in the end.

It cannot be made smaller, since the Panel's figures are those of all England; so it is run with the faults, by ``make test-faults``.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.cli.failures import Exit
from tests.support.command import HUB, environment, processes_of
from tests.support.eventually import eventually

DEMO_MAX_SECONDS = 900
"""It is made to take four minutes at most; the machine that runs the tests may be doing other things."""
END_MAX_SECONDS = 90.0
pytestmark = [
    pytest.mark.faults,
    pytest.mark.timeout(DEMO_MAX_SECONDS + 120),
    pytest.mark.usefixtures("kafka_bootstrap", "postgresql_server"),
]
"""Those fixtures skip, or fail, where Kafka or PostgreSQL cannot be had; the demo starts its own."""


@contextmanager
def a_demo(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run it with everything in a folder that only the demo's own processes have in their command line."""
    command = [*HUB, "demo", "--cluster", "--json", "--keep", str(folder)]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)  # noqa: S603
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=END_MAX_SECONDS)


def a_folder(tmp_path: Path) -> Path:
    """Return a folder for the cluster that PostgreSQL's user can reach."""
    for folder in tmp_path.parents:
        if folder.stat().st_mode & 0o001:
            break
        folder.chmod(0o711)
    tmp_path.chmod(0o711)
    return tmp_path / "cluster"


def test_a_broker_and_a_node_are_killed_and_every_receipt_holds(tmp_path: Path) -> None:
    folder = a_folder(tmp_path)
    with a_demo(folder) as process:
        out, err = process.communicate(timeout=DEMO_MAX_SECONDS)
    assert (process.returncode, err) == (0, ""), err
    document: dict[str, Any] = json.loads(out)
    cluster = document["cluster"]
    broker, node = cluster["blows"]
    print(json.dumps(cluster))  # noqa: T201  # figures of the result
    assert "it leads the national shard" in broker["role"]
    assert node["what"] == "node-1"
    for blow in (broker, node):
        assert 0 < blow["killed_after_seconds"] < blow["back_after_seconds"]
        assert blow["without_service_seconds"] > 0
    assert cluster["verified"] == {"node-1": True, "node-2": True}
    assert cluster["shards"] == document["verify"]["shards"] == 152
    assert cluster["events"] >= document["receipts"] > 5_000
    assert {table["match"] for table in document["tables"].values()} == {True}
    assert [refusal["rule"] for refusal in document["refusals"]] == [
        "incident.notifier",
        "rapid_review.sign_off_is_the_partners_own",
        "time.imported_after_live",
    ]
    assert processes_of(folder) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_told_to_end_it_ends_all_that_it_has_started(tmp_path: Path, number: signal.Signals) -> None:
    folder = a_folder(tmp_path)
    with a_demo(folder) as process:
        assert eventually(lambda: process.poll() is not None or (folder / "node-2" / "serve.log").exists(), DEMO_MAX_SECONDS / 3)
        time.sleep(2)
        os.kill(process.pid, number)
        _, err = process.communicate(timeout=END_MAX_SECONDS)
    left = f"hub: what the demo came to lies in {folder}: remove it before --keep names it again\n"
    assert (process.returncode, err) == (Exit.INTERRUPTED, f"{left}hub: interrupted\n")
    assert processes_of(folder) == []
