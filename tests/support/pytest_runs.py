"""Runs of pytest of their own, to see what a plugin does from a run's start to its end."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

from tests.support.keeping import REPOSITORY


def a_run(folder: Path, conftest: str, test: str, *options: str, **environment: str) -> subprocess.Popen[str]:
    """Start pytest on a file of tests with a ``conftest.py``, both written into ``folder``."""
    (folder / "conftest.py").write_text(textwrap.dedent(conftest))
    (folder / "test_it.py").write_text(textwrap.dedent(test))
    known = {name: value for name, value in os.environ.items() if not name.startswith(("HUBTEST_", "PYTEST_"))}
    return subprocess.Popen(  # noqa: S603  our own interpreter and a test written here
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", *options, str(folder)],
        cwd=folder,
        env={**known, "PYTHONPATH": str(REPOSITORY), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
