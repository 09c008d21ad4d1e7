"""``hub doctor``: what is set, what is there and reachable, and what to do about what is not."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from services.cli.checks import Check, Grade, checks_of
from services.cli.failures import Exit, Failure
from services.cli.options import Home, Json, settings_of
from services.cli.output import emit, plain, say, show
from services.runtime.settings import DEFAULT_HOME, Secret, Settings, SettingsError

_PROBLEMS: Final = re.compile(r"; (?!the nearest )")
"""Between one wrong setting and the next."""


def doctor(home: Home = None, json: Json = False) -> None:
    """Show every setting with where it came from, and check files, certificates, ports, clock, disk, log and views.

    Each line says OK, WARN or FAIL, and what to do; wrong settings hide no other check. The exit code is 5 if anything failed.
    """
    try:
        settings = settings_of(home)
    except SettingsError as error:
        checks = [Check("settings", Grade.FAIL, problem, "correct or remove it") for problem in _PROBLEMS.split(str(error))]
        checks += checks_of(_settings_without(home))
        _report(None, checks, json=json)
    else:
        checks = checks_of(settings)
        _report(settings, checks, json=json)
    failed = [check for check in checks if check.grade is Grade.FAIL]
    if failed:
        raise Failure(Exit.UNSOUND, f"{len(failed)} of {len(checks)} checks failed", "what to do stands beside each")


def _settings_without(home: Path | None) -> Settings:
    """Return what can be told of the settings while some are wrong: which home, and the key to its keys."""
    kek = os.environ.get("HUB_KEK")
    return Settings(home=home or Path(os.environ.get("HUB_HOME") or DEFAULT_HOME), kek=Secret(kek) if kek else None)


def _report(settings: Settings | None, checks: list[Check], *, json: bool) -> None:
    """Print settings and checks."""
    described = [] if settings is None else settings.describe()
    if json:
        emit({"settings": plain(described), "checks": [plain(check) for check in checks], "passed": _is_well(checks)})
        return
    if described:
        show("Settings", ("Setting", "Value", "From", "Variable"), [(one.name, one.value, one.source, one.variable) for one in described])
    show("Checks", ("", "What", "Found", "What to do"), [(check.grade, check.what, check.found, check.advice) for check in checks])
    counts = ", ".join(f"{sum(check.grade is grade for check in checks)} {grade}" for grade in Grade)
    say(counts)


def _is_well(checks: list[Check]) -> bool:
    return all(check.grade is not Grade.FAIL for check in checks)
