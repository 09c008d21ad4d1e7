"""What deadlines are computed with: the catalogue of clocks and the calendar, together."""

from __future__ import annotations

from dataclasses import dataclass

from domain.calendar import Calendar, bundled
from domain.rules.catalogue import ClockRules, bundled_rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Rulebook:
    """Clocks and calendar; what they give for a case changes only with ``version``."""

    rules: ClockRules
    calendar: Calendar

    @property
    def version(self) -> str:
        """Name the versions of both, twelve hexadecimal digits each."""
        return f"rules {self.rules.version[:12]}, calendar {self.calendar.version[:12]}"


def bundled_rulebook() -> Rulebook:
    """Return the clocks and the calendar that come with the hub."""
    return Rulebook(rules=bundled_rules(), calendar=bundled())
