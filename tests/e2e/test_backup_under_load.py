"""A hub is backed up, as its operator would, while agencies append: what was acknowledged before is in the backup."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from typing import Final

import pytest

from safeguarding.hub.client.client import HubClient, receipt_or_raise
from safeguarding.hub.client.drafts import Draft
from safeguarding.hub.client.identifiers import new_case_id
from safeguarding.hub.client.outcomes import Receipt
from services.cli.failures import Exit
from services.eventstore.codec import to_message
from services.eventstore.read_only import open_read_only
from tests.support.backups import heads
from tests.support.builders import COUNCIL, SHARD, a_notification, a_share, an_entry
from tests.support.command import HUB, ROOT, environment, ran
from tests.support.hub import RunningHub, running_hub

BACKUPS: Final = 3
CALLERS: Final = 4
WARM_UP: Final = 40
END_MAX_SECONDS: Final = 60


class Load:
    """One agency's callers: each tells case after case until the load is stopped."""

    def __init__(self) -> None:
        self.receipts: list[Receipt] = []
        self.stopping = False
        self._told = asyncio.Condition()

    async def run(self, hub: RunningHub) -> None:
        """Append until told to stop."""
        async with hub.client(COUNCIL) as client, asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(self._tell(client))

    async def _tell(self, client: HubClient) -> None:
        while not self.stopping:
            case_id = new_case_id()
            drafts = [Draft(event=to_message(event), case_id=case_id) for event in (a_notification(), a_share(an_entry()))]
            outcomes = await client.append_many(drafts)
            async with self._told:
                self.receipts += [receipt_or_raise(outcome) for outcome in outcomes]
                self._told.notify_all()

    async def acknowledged(self, more: int) -> list[Receipt]:
        """Wait for so many receipts more and return all that there are."""
        wanted = len(self.receipts) + more
        async with self._told:
            await self._told.wait_for(lambda: len(self.receipts) >= wanted)
        return list(self.receipts)


async def backed_up(home: Path, target: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *HUB,
        "backup",
        str(target),
        "--home",
        str(home),
        "--with-kek",
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), END_MAX_SECONDS)
    assert process.returncode == Exit.OK, said.decode()


async def backups_under_load(hub: RunningHub, folder: Path) -> tuple[list[list[Receipt]], list[Receipt]]:
    """Take backups while the load goes on; return which receipts there were before each, and all of them."""
    load = Load()
    before = []
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(hub))
        for number in range(BACKUPS):
            before.append(await load.acknowledged(WARM_UP))
            await backed_up(hub.settings.home, folder / str(number))
            assert len(await load.acknowledged(1)) > len(before[-1]), "appends stood still while the backup was taken"
        load.stopping = True
    return before, load.receipts


@pytest.mark.timeout(300)
def test_what_was_acknowledged_before_a_backup_is_in_it_and_it_verifies(tmp_path: Path) -> None:
    with running_hub(tmp_path / "hub") as hub:
        before, receipts = asyncio.run(backups_under_load(hub, tmp_path))
    for number, acknowledged in enumerate(before):
        home = tmp_path / f"home-{number}"
        restored = ran("restore", tmp_path / str(number), "--home", home)
        assert restored.code == Exit.OK, restored.err
        assert ran("rebuild", "--home", home).code == Exit.OK
        verified = ran("verify", "--home", home, "--json")
        assert verified.document["passed"] is True, verified.out
        head = heads(home)[SHARD][0]
        assert head >= max(receipt.position for receipt in acknowledged)
        with open_read_only(home / "store" / "events.sqlite") as store:
            shard = store.shard(SHARD)
            held = {stored.event_id: (stored.position, shard.leaf(stored)) for stored in shard.read(0, head)}
        told = {receipt.event_id: (receipt.position, receipt.leaf) for receipt in receipts if receipt.position <= head}
        assert len(told) >= len(acknowledged)
        assert {event_id: held.get(event_id) for event_id in told} == told
    last = tmp_path / f"home-{BACKUPS - 1}"
    with running_hub(last) as again:
        (receipt,) = again.run(again.said(COUNCIL, a_notification(), case_id=new_case_id()))
    assert receipt.position == head + 1
