"""``hub doctor``: what is set, what is there and reachable, and what to do about what is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.cli.checks import Check, Grade, checks_of
from services.cli.failures import Exit, Failure
from services.cli.options import Home, Json, settings_of
from services.cli.output import emit, plain, say, show
from services.runtime.settings import FILE_NAME, PREFIX, Problem, Setting, WrongSettings

WHAT_FOR: Final[Mapping[str, str]] = {
    "home": "The folder that holds everything the hub keeps.",
    "listen": "Where the hub answers agencies, host:port; port 0 takes a free one.",
    "metrics_listen": "Where it answers /metrics, host:port; empty for nowhere.",
    "log_origin": "The name of this log, which every event bears: never to be changed.",
    "trust_domain": "The SPIFFE trust domain in certificates.",
    "node_id": "This node's name, which no other node of the hub may bear.",
    "shards": "The partnerships that this node follows, by comma; empty for all. On Kafka only.",
    "kafka_bootstrap": "The Kafka brokers, host:port by comma; empty for a log in a file of the home.",
    "kafka_topic": "The Kafka topic that is the log.",
    "kafka_ca_file": "The authority of the brokers' certificates, PEM: every connection is TLS then.",
    "kafka_certificate_file": "This node's certificate for the brokers, PEM.",
    "kafka_key_file": "That certificate's private key, PEM.",
    "kafka_user": "Who this node is to the brokers, by SASL SCRAM-SHA-512.",
    "kafka_password": "That user's password.",
    "database_url": "The PostgreSQL database of the views; empty for a file of the home.",
    "keys_database_url": "The PostgreSQL database of the data keys, which nodes share; empty for a file of the home.",
    "agency_events_per_second": "How much each agency may send; 0 for no limit.",
    "log_format": "How the lines that hub serve logs look: console or json.",
    "log_level": "The least important line that hub serve logs: debug, info, warning, error.",
    "kek": "The key-encryption key, 64 hexadecimal digits; empty for the file trust/kek.",
}
"""What each setting is for, in the words of whoever sets it."""


@dataclass(frozen=True, slots=True)
class Explained:
    """One setting as it is shown; ``problem`` is empty unless it is wrong."""

    setting: Setting
    what_for: str
    problem: str

    def as_document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**plain(self.setting), "what_for": self.what_for, "problem": self.problem}


def doctor(home: Home = None, json: Json = False) -> None:
    """Explain every setting and where its value came from, and check files, certificates, ports, clock, disk, log and views.

    Each check says OK, WARN or FAIL, and what to do; wrong settings are marked, and hide no other check. The exit code is 5 if any failed.
    """
    problems: Sequence[Problem] = ()
    try:
        settings = settings_of(home)
        described: Sequence[Setting] = settings.describe()
    except WrongSettings as error:
        problems, described, settings = error.problems, error.described, error.readable
    checks = [Check("settings", Grade.FAIL, problem.words, "correct or remove it") for problem in problems]
    checks += checks_of(settings)
    _report(_explained(described, problems), checks, json=json)
    failed = [check for check in checks if check.grade is Grade.FAIL]
    if failed:
        raise Failure(Exit.UNSOUND, f"{len(failed)} of {len(checks)} checks failed", "what to do stands beside each")


def _explained(described: Sequence[Setting], problems: Sequence[Problem]) -> list[Explained]:
    """Return the settings with what each is for and what is wrong with it."""
    wrong = {problem.name: problem.words for problem in problems}
    return [Explained(one, WHAT_FOR[one.name], wrong.get(one.name, "")) for one in described]


def _report(settings: Sequence[Explained], checks: list[Check], *, json: bool) -> None:
    """Print settings and checks."""
    if json:
        emit({"settings": [one.as_document() for one in settings], "checks": plain(checks), "passed": _is_well(checks)})
        return
    rows = [
        (Grade.FAIL if one.problem else "", one.setting.variable, one.setting.value, one.setting.source, one.what_for) for one in settings
    ]
    title = f"Settings: by these names in the environment, or in small letters and without {PREFIX} in {FILE_NAME}"
    show(title, ("", "Setting", "Value", "From", "What for"), rows)
    show("Checks", ("", "What", "Found", "What to do"), [(check.grade, check.what, check.found, check.advice) for check in checks])
    counts = ", ".join(f"{sum(check.grade is grade for check in checks)} {grade}" for grade in Grade)
    say(counts)


def _is_well(checks: list[Check]) -> bool:
    return all(check.grade is not Grade.FAIL for check in checks)
