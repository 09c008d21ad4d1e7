"""A node on Kafka, backed up and restored: it goes on from where the backup was, and finds out if the topic is not the one it folded."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.kernel.ids import NATIONAL
from safeguarding.hub.client.outcomes import CallFailed
from services.cli.failures import Exit
from services.eventstore.brokers import Kafka
from services.eventstore.kafka import open_store
from tests.support.backups import heads, heads_of
from tests.support.builders import CASE, COUNCIL, OTHER_CASE, SHARD, a_notification, a_share
from tests.support.command import ran
from tests.support.hub import running_hub
from tests.support.kafka import a_topic
from tests.support.reading import caught_up


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch, kafka_bootstrap: str) -> Kafka:
    """A topic of the test's own, named by the environment."""
    kafka = Kafka(bootstrap=tuple(kafka_bootstrap.split(",")), topic=a_topic(kafka_bootstrap, 3))
    monkeypatch.setenv("HUB_KAFKA_BOOTSTRAP", kafka_bootstrap)
    monkeypatch.setenv("HUB_KAFKA_TOPIC", kafka.topic)
    return kafka


def folded_from_zero(kafka: Kafka, folder: Path) -> dict[str, tuple[int, str]]:
    """Return how far a node without a file comes, and its digests."""
    store = open_store(folder / "refolded.sqlite", kafka, root=NATIONAL)
    try:
        return heads_of(store)
    finally:
        store.close()


@pytest.mark.timeout(180)
def test_a_restored_node_goes_on_from_its_offset_and_comes_to_the_digest_of_a_refold(
    kafka: Kafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup, home = tmp_path / "backup", tmp_path / "home"
    with running_hub(tmp_path / "lost") as hub:
        hub.run(hub.said(COUNCIL, a_notification(), case_id=CASE))
        took = ran("backup", backup, "--home", hub.settings.home, "--with-kek", "--json")
        assert (took.code, took.document["log"]) == (Exit.OK, "kafka")
        (missed,) = hub.run(hub.said(COUNCIL, a_share(), case_id=CASE))
        before = heads(hub.settings.home)
    back = ran("restore", backup, "--home", home)
    assert (back.code, "names the topic that this node goes on to fold" in back.out) == (Exit.OK, True)
    assert heads(home)[SHARD][0] == missed.position - 1

    with running_hub(home) as again:
        assert heads(home) == before
        (receipt,) = again.run(again.said(COUNCIL, a_notification(), case_id=OTHER_CASE))
        assert receipt.position == missed.position + 1
        again.run(caught_up(again, receipt.position))
    assert heads(home) == folded_from_zero(kafka, tmp_path)
    verdict = ran("verify", "--home", home, "--json")
    assert verdict.document["passed"] is True, verdict.out

    monkeypatch.setenv("HUB_LISTEN", "127.0.0.1:0")
    monkeypatch.setenv("HUB_METRICS_LISTEN", "")
    monkeypatch.setenv("HUB_KAFKA_TOPIC", a_topic(",".join(kafka.bootstrap), 3))
    older = ran("serve", "--home", home)
    assert (older.code, "the log lacks what this node has folded" in older.err) == (Exit.UNSOUND, True)
    monkeypatch.delenv("HUB_KAFKA_TOPIC")
    monkeypatch.delenv("HUB_KAFKA_BOOTSTRAP")
    alone = ran("serve", "--home", home)
    assert (alone.code, "was folded from Kafka: set HUB_KAFKA_BOOTSTRAP" in alone.err) == (Exit.UNSOUND, True)


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("kafka")
def test_a_case_begun_since_the_backup_of_the_keys_is_an_alarm_and_no_key_is_minted_for_it(tmp_path: Path) -> None:
    backup, home = tmp_path / "backup", tmp_path / "home"
    with running_hub(tmp_path / "lost") as hub:
        hub.run(hub.said(COUNCIL, a_notification(), case_id=CASE))
        assert ran("backup", backup, "--home", hub.settings.home, "--with-kek").code == Exit.OK
        (lost,) = hub.run(hub.said(COUNCIL, a_notification(), case_id=OTHER_CASE))
    assert ran("restore", backup, "--home", home).code == Exit.OK
    with running_hub(home) as again, pytest.raises(CallFailed, match="DATA_LOSS: the hub contradicts itself; its operator is called"):
        again.run(again.say(COUNCIL, a_share(), case_id=OTHER_CASE))
    (problem,) = ran("verify", "--home", home, "--json").document["problems"]
    assert (problem["shard"], problem["position"]) == (SHARD, lost.position)
    assert "is referred to but never existed here: restore the key store" in problem["reason"]
