"""A hub that serves in a process of its own, with a partnership and one case, for tests of the ``hub`` command."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from safeguarding.hub.client.drafts import Draft
from safeguarding.hub.client.outcomes import Receipt
from services.cli.calling import sdk_client
from services.eventstore.codec import to_message
from services.runtime.settings import Settings, load_settings
from tests.support.builders import BUSINESS_UNIT, CASE, COUNCIL, ICB, MONDAY, PANEL, POLICE, SHARD, a_notification, a_share, an_entry, done
from tests.support.command import Ran, ran, serving, wait_until
from tests.support.killing import free_port

FORMULA: Final = "=HYPERLINK(synthetic)"
"""What an entry of the case says."""


@dataclass(frozen=True, slots=True)
class Served:
    """A hub that serves, with a partnership, one case and its metrics."""

    settings: Settings
    metrics: str
    process: subprocess.Popen[str]

    @property
    def home(self) -> Path:
        """The hub's home."""
        return self.settings.home

    def ran(self, *arguments: str) -> Ran:
        """Run one command of this hub."""
        return ran(*arguments, "--home", self.home)


@contextmanager
def settled_hub(home: Path) -> Iterator[Served]:
    """Serve a hub from ``home`` with all that ``Served`` says, its views built."""
    metrics = f"127.0.0.1:{free_port(Random())}"
    with serving(home, HUB_METRICS_LISTEN=metrics) as process:
        served = Served(load_settings(home=home), metrics, process)
        _settle(served)
        yield served


def _settle(hub: Served) -> None:
    """Enrol a partnership's agencies and the Panel by the command, and have the council tell a case."""
    for agency in (COUNCIL, ICB, POLICE, BUSINESS_UNIT):
        assert hub.ran("agencies", "enrol", agency, "--name", f"{agency} (synthetic)", "--shard", SHARD, "--with-key").code == 0
    assert hub.ran("agencies", "enrol", PANEL, "--name", "The Panel (synthetic)", "--with-key").code == 0
    partners = [word for partner in (COUNCIL, ICB, POLICE) for word in ("--partner", partner)]
    named = ("--name", "Northmoor (synthetic)", "--business-unit", BUSINESS_UNIT, "--starts-on", "2019-09-29")
    assert hub.ran("partnerships", "establish", SHARD, *named, *partners).code == 0
    events = [
        a_notification(details=done(MONDAY)),
        a_share(an_entry(fact=FORMULA), an_entry("01890000-0000-7000-8000-000000000099"), details=done(MONDAY)),
    ]
    asyncio.run(_say(hub, [Draft(event=to_message(event), case_id=CASE, imported=True) for event in events]))
    wait_until(lambda: all(check["grade"] == "OK" for check in hub.ran("doctor", "--json").document["checks"]))


async def _say(hub: Served, drafts: list[Draft]) -> None:
    async with sdk_client(hub.settings, COUNCIL, shard=SHARD, source="tests", actor_role="tests") as client:
        outcomes = await client.append_many(drafts)
        assert all(isinstance(outcome, Receipt) for outcome in outcomes), outcomes
