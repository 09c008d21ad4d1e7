"""The calendar that comes with the hub: bank holidays of England and Wales as published on GOV.UK."""

from __future__ import annotations

import tomllib
from datetime import date
from functools import cache
from importlib import resources

from domain.calendar.days import Calendar


@cache
def bundled() -> Calendar:
    """Return the bundled calendar; read once, the same object ever after."""
    content = tomllib.loads(resources.files("domain.calendar").joinpath("bank_holidays.toml").read_text(encoding="utf-8"))
    return Calendar(
        first_year=content["first_year"],
        last_year=content["last_year"],
        holidays={date.fromisoformat(day): name for day, name in content["holidays"].items()},
    )
