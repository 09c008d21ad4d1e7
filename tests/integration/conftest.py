from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub import RunningHub, running_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One hub for all tests of a module: each test uses a case of its own."""
    home: Path = tmp_path_factory.mktemp("hub")
    with running_hub(home) as running:
        yield running
