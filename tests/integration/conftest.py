from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.kernel.ids import NATIONAL
from tests.support.hub import RunningHub, running_hub
from tests.support.kinds_of_hub import KINDS, settings_of
from tests.support.reading import caught_up


@pytest.fixture(scope="module", params=KINDS)
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One hub of each kind for all tests of a module, its views built: each test uses a case of its own."""
    home: Path = tmp_path_factory.mktemp("hub")
    with settings_of(request.param, request) as settings, running_hub(home, **settings) as running:
        asyncio.run(caught_up(running, running.parts.store.shard(NATIONAL).head().position, NATIONAL))
        yield running
