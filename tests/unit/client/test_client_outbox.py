from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from safeguarding.hub.client import Draft, OutboxUnusable, Sender, SigningKey
from safeguarding.hub.client.outbox import Kept, Outbox
from safeguarding.hub.v1.agency_pb2 import AgencySuspended
from safeguarding.hub.v1.envelope_pb2 import EventHeader, SignedEvent
from safeguarding.hub.v1.incident_pb2 import NotificationWithdrawn
from tests.support.builders import CASE

KEY = SigningKey("k", Ed25519PrivateKey.generate())


def draft(number: int = 0, shard: str | None = None) -> Draft:
    return Draft(event=NotificationWithdrawn(rationale=f"Reason {number}."), case_id=CASE, shard=shard)


def sequences(kept: list[Kept]) -> list[tuple[str, int]]:
    headers = [EventHeader.FromString(SignedEvent.FromString(event.message).header) for one in kept for event in one.events]
    return [(header.shard, header.source_sequence) for header in headers]


def test_numbers_count_up_by_shard_and_go_on_after_a_restart(tmp_path: Path, sender: Sender) -> None:
    outbox = Outbox(tmp_path / "o")
    first = outbox.keep([((draft(),), False), ((draft(shard="southmoor"), draft()), True)], sender, KEY)
    second = outbox.keep([((Draft(event=AgencySuspended(agency_id="icb-QZ9", reason="x")),), False)], sender, KEY)
    assert sequences(first) == [("northmoor", 1), ("southmoor", 1), ("northmoor", 2)]
    assert sequences(second) == [("national", 1)]
    outbox.close()
    again = Outbox(tmp_path / "o")
    assert sequences(again.keep([((draft(),), False)], sender, KEY)) == [("northmoor", 3)]
    again.close()


def test_what_was_signed_is_kept_in_order_and_byte_for_byte_until_it_is_settled(tmp_path: Path, sender: Sender) -> None:
    outbox = Outbox(tmp_path / "o")
    kept = outbox.keep([((draft(0),), False), ((draft(1), draft(2)), True), ((draft(3),), False)], sender, KEY)
    outbox.close()
    again = Outbox(tmp_path / "o")
    assert again.pending() == kept
    again.settle([kept[0].events[0].event_id])
    more = again.keep([((draft(4),), False)], sender, KEY, settled=[event.event_id for event in kept[1].events])
    assert again.pending() == [kept[2], *more]
    again.close()
    again.close()


def test_more_events_than_one_statement_takes_are_kept_and_settled(tmp_path: Path, sender: Sender) -> None:
    outbox = Outbox(tmp_path / "o")
    kept = outbox.keep([((draft(number),), False) for number in range(250)], sender, KEY)
    assert outbox.pending() == kept
    outbox.settle([one.events[0].event_id for one in kept[:249]])
    assert outbox.pending() == kept[249:]
    outbox.close()


def test_a_draft_that_cannot_be_signed_leaves_nothing_behind(tmp_path: Path, sender: Sender) -> None:
    outbox = Outbox(tmp_path / "o")
    with pytest.raises(ValueError, match="case_id"):
        outbox.keep([((draft(),), False), ((Draft(event=NotificationWithdrawn()),), False)], sender, KEY)
    assert outbox.pending() == []
    assert sequences(outbox.keep([((draft(),), False)], sender, KEY)) == [("northmoor", 1)]
    outbox.close()


def test_one_process_at_a_time_has_the_outbox(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o")
    with pytest.raises(OutboxUnusable, match="locked"):
        Outbox(tmp_path / "o")
    outbox.close()
    Outbox(tmp_path / "o").close()


def test_an_outbox_of_a_newer_client_is_left_alone(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "o")
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(OutboxUnusable, match="format is 2"):
        Outbox(tmp_path / "o")


def test_nobody_but_its_owner_reads_an_outbox(tmp_path: Path, sender: Sender) -> None:
    outbox = Outbox(tmp_path / "o")
    outbox.keep([((draft(),), False)], sender, KEY)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


def test_a_file_that_is_no_outbox_is_unusable(tmp_path: Path) -> None:
    (tmp_path / "o").write_bytes(b"nothing that SQLite knows" * 100)
    with pytest.raises(OutboxUnusable):
        Outbox(tmp_path / "o")
