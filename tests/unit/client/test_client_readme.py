from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from safeguarding.hub.client import BlockingHubClient
from tests.support.loopback_hub import Files, LoopbackHub

ROOT = Path(__file__).parents[3]


def example() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "protos/README.md").read_text(encoding="utf-8"), re.DOTALL)
    return str(code)


def test_ten_lines_notify_the_panel(
    hub: LoopbackHub, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "la-E09999901"
    shutil.copytree(files.root / "agency", folder)
    shutil.copy(files.root / "ca.pem", folder)
    monkeypatch.chdir(tmp_path)
    code = example().replace("localhost:7443", hub.target)
    exec(compile(code, "protos/README.md", "exec"), {})  # noqa: S102  # the page's own example
    assert len(example().strip().splitlines()) == 10
    assert capsys.readouterr().out.startswith("Receipt(event_id=")
    assert [header.event_type for header in hub.headers] == ["incident.notified.v1"]


def test_the_client_imports_nothing_of_the_hub() -> None:
    code = (
        "import sys, safeguarding.hub.client; "
        "found = {name.partition('.')[0] for name in sys.modules}; "
        "print(sorted(found & {'services', 'domain', 'projections', 'eventsourcing', 'protovalidate'}))"
    )
    run = subprocess.run(  # noqa: S603  # our own program
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "protos",
        env={"PYTHONPATH": str(ROOT / "protos")},
    )
    assert run.stdout.strip() == "[]"
    assert BlockingHubClient.__module__ == "safeguarding.hub.client.blocking"
