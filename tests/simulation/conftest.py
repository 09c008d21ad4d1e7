from __future__ import annotations

import pytest

from services.eventstore import follower
from services.runtime.errors import Unavailable


@pytest.fixture
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that starts while it is cut off tries again until its deadline, which never comes where only a step lets time pass."""

    def give_up(_seconds: float) -> None:
        raise Unavailable("cut off")

    monkeypatch.setattr(follower, "sleep", give_up)
