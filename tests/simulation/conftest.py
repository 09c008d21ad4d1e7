from __future__ import annotations

from collections.abc import Callable
from typing import Final

import pytest

from services.eventstore import follower
from services.runtime.errors import Unavailable

_COVERED: Final = "covered"


@pytest.fixture
def covered(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Have the run say at its end what a simulation came by."""

    def note(what: str) -> None:
        record_property(_COVERED, what)

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.stats.get("passed", []):
        noted = dict(report.user_properties)
        if _COVERED in noted:
            terminalreporter.write_line(f"SIMULATED: {noted[_COVERED]}")


@pytest.fixture
def _time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that starts while it is cut off tries again until its deadline, which never comes where only a step lets time pass."""

    def give_up(_seconds: float) -> None:
        raise Unavailable("cut off")

    monkeypatch.setattr(follower, "sleep", give_up)
