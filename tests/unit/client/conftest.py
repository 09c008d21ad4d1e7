from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from safeguarding.hub.client import Identity, Sender
from tests.support.loopback_hub import COUNCIL, Files, LoopbackHub, make_files


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return make_files(tmp_path_factory.mktemp("client"))


@pytest.fixture
def hub(files: Files) -> Iterator[LoopbackHub]:
    with LoopbackHub(files) as running:
        yield running


@pytest.fixture
def identity(files: Files, tmp_path: Path) -> Identity:
    return files.identity(tmp_path / "outbox.sqlite")


@pytest.fixture
def sender() -> Sender:
    return Sender(agency_id=COUNCIL, source="case-system", shard="northmoor", log_origin="hub.example/test", actor_role="Head of service")
