from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.kernel.ids import NATIONAL
from services.intake import own
from services.runtime.limits import APPEND_DEADLINE_SECONDS
from tests.support.hub import RunningHub, running_hub
from tests.support.kinds_of_hub import KINDS, settings_of
from tests.support.reading import caught_up


@pytest.fixture(scope="module", params=KINDS)
def hub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """One hub of each kind for all tests of a module, its views built: each test uses a case of its own."""
    home: Path = tmp_path_factory.mktemp("hub")
    with pytest.MonkeyPatch.context() as patch, settings_of(request.param, request) as settings:
        patch.setattr(own, "SPOOL_AFTER_SECONDS", APPEND_DEADLINE_SECONDS)  # a busy machine is no log that takes nothing
        with running_hub(home, **settings) as running:
            asyncio.run(caught_up(running, running.parts.store.shard(NATIONAL).head().position, NATIONAL))
            yield running
