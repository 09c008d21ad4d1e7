"""``hub agencies``, ``hub keys`` and ``hub pki``: who takes part, against a hub served in a process of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from domain.kernel.agencies import OPERATOR_ID
from safeguarding.hub.client.blocking import BlockingHubClient
from safeguarding.hub.client.drafts import Draft
from services.bootstrap import now
from services.cli import keys
from services.runtime.settings import load_settings
from services.trust.pki import load_authority
from tests.support.builders import CASE, COUNCIL, SHARD
from tests.support.command import copied_home, ran, wait_until
from tests.support.settled import Served, settled_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with settled_hub(tmp_path_factory.mktemp("cli") / "hub") as served:
        yield served


def test_agencies_are_listed_and_told_as_json(hub: Served) -> None:
    listed = {one["agency_id"]: one for one in hub.ran("agencies", "list", "--json").document["agencies"]}

    assert listed[COUNCIL]["name"] == f"{COUNCIL} (synthetic)"
    assert (listed[COUNCIL]["kind"], listed[COUNCIL]["shards"], listed[COUNCIL]["suspended"]) == ("local_authority", [SHARD], False)
    assert f"{COUNCIL} (synthetic)" in hub.ran("agencies", "list").out


def test_an_agency_is_suspended_only_when_that_is_meant(hub: Served) -> None:
    agency = "agency-northmoor-library"
    enrolled = hub.ran("agencies", "enrol", agency, "--name", "Library (synthetic)", "--shard", SHARD, "--json")
    assert [one["outcome"] for one in enrolled.document["outcomes"]] == ["receipt"]

    unmeant = hub.ran("agencies", "suspend", agency, "--reason", "synthetic")
    assert (unmeant.code, "--yes" in unmeant.err) == (2, True)
    assert hub.ran("agencies", "suspend", agency, "--reason", "synthetic", "--yes").code == 0
    listed = {one["agency_id"]: one for one in hub.ran("agencies", "list", "--json").document["agencies"]}
    assert (listed[agency]["suspended"], listed[COUNCIL]["suspended"]) == (True, False)


def test_an_agency_is_enrolled_again_with_other_terms_as_a_correction(hub: Served) -> None:
    agency = "agency-northmoor-museum"
    assert hub.ran("agencies", "enrol", agency).code == 2
    assert hub.ran("agencies", "enrol", agency, "--name", "Museum (synthetic)", "--shard", SHARD, "--live-from", "2024-01-01").code == 0

    again = hub.ran("agencies", "enrol", agency, "--shard", SHARD, "--shard", "elsewhere", "--json")
    assert (again.code, again.document["changed"]) == (0, {"shards": [SHARD, f"{SHARD}, elsewhere"]})
    told = hub.ran("agencies", "enrol", agency, "--name", "The museum (synthetic)")
    assert (told.code, "name: Museum (synthetic) → The museum (synthetic)" in told.out) == (0, True)
    listed = {one["agency_id"]: one for one in hub.ran("agencies", "list", "--json").document["agencies"]}[agency]
    assert (listed["name"], listed["live_from"]) == ("The museum (synthetic)", "2024-01-01")
    assert listed["shards"] == [SHARD, "elsewhere"]
    before = hub.ran("log", f"agency-{agency}", "--json").document["events"]
    same = hub.ran("agencies", "enrol", agency, "--name", "The museum (synthetic)")
    assert (same.code, "nothing was sent" in same.out) == (0, True)
    assert hub.ran("log", f"agency-{agency}", "--json").document["events"] == before


def test_a_suspended_agency_is_enrolled_anew(hub: Served) -> None:
    agency = "agency-northmoor-theatre"
    assert hub.ran("agencies", "enrol", agency, "--name", "Theatre (synthetic)", "--shard", SHARD).code == 0
    assert hub.ran("agencies", "suspend", agency, "--reason", "synthetic", "--yes").code == 0
    assert hub.ran("agencies", "enrol", agency).code == 0

    listed = {one["agency_id"]: one for one in hub.ran("agencies", "list", "--json").document["agencies"]}[agency]
    assert (listed["suspended"], listed["name"], listed["shards"]) == (False, "Theatre (synthetic)", [SHARD])


def test_a_refused_enrolment_registers_no_key_and_leaves_no_certificate(hub: Served) -> None:
    agency = "agency-northmoor-refused"
    refused = hub.ran("agencies", "enrol", agency, "--name", "Refused (synthetic)", "--with-key", "--json")

    assert (refused.code, "agency.shards" in refused.err) == (3, True)
    assert [one["outcome"] for one in refused.document["outcomes"]] == ["refusal", "refusal"]
    assert "is removed again" in refused.err
    assert not hub.settings.agency_folder(agency).exists()
    assert hub.ran("log", f"agency-{agency}").code == 2

    assert hub.ran("agencies", "enrol", COUNCIL, "--shard", "national").code == 3
    assert hub.settings.agency_folder(COUNCIL).joinpath("client.pem").exists()


def test_an_enrolment_that_is_repeated_with_its_key_sends_nothing_and_says_so(hub: Served) -> None:
    before = hub.ran("log", f"agency-{COUNCIL}", "--json").document["events"]
    again = hub.ran("agencies", "enrol", COUNCIL, "--shard", SHARD, "--with-key")
    registered = hub.ran("keys", "register", COUNCIL)

    assert (again.code, again.err) == (0, "")
    assert again.out == f"{COUNCIL} is enrolled on these terms and with this key already: nothing was sent\n"
    assert (registered.code, registered.out) == (0, f"{COUNCIL}:1 is registered already: nothing was sent\n")
    assert hub.ran("keys", "register", COUNCIL, "--json").document == {"agency": COUNCIL, "outcomes": []}
    assert hub.ran("log", f"agency-{COUNCIL}", "--json").document["events"] == before


def test_an_enrolment_with_other_terms_and_the_key_that_stands_changes_the_terms(hub: Served) -> None:
    agency = "agency-northmoor-garden"
    enrolled = ("agencies", "enrol", agency, "--shard", SHARD, "--with-key")
    assert hub.ran(*enrolled, "--name", "Garden (synthetic)").code == 0
    again = hub.ran(*enrolled, "--name", "The garden (synthetic)", "--json")

    assert (again.code, [one["outcome"] for one in again.document["outcomes"]]) == (0, ["receipt"])
    assert [one["key_id"] for one in hub.ran("keys", "list", "--of", agency, "--json").document["keys"]] == [f"{agency}:1"]


def test_a_key_that_cannot_be_registered_again_is_refused_with_what_can_be_done(hub: Served) -> None:
    agency = "agency-northmoor-cinema"
    enrolled = ("agencies", "enrol", agency, "--name", "Cinema (synthetic)", "--shard", SHARD, "--with-key")
    assert hub.ran(*enrolled).code == 0
    assert hub.ran("keys", "retire", f"{agency}:1", "--yes").code == 0
    retired = hub.ran(*enrolled)
    shutil.rmtree(hub.settings.agency_folder(agency))
    elsewhere = hub.ran(*enrolled)
    is_made = hub.settings.agency_folder(agency).exists()
    assert hub.ran("pki", "issue", agency).code == 0
    other = hub.ran("keys", "register", agency)

    assert (retired.code, f"{agency}:1 stands for this key already, which is retired" in retired.err) == (3, True)
    assert (elsewhere.code, is_made) == (3, False)
    assert f"hub pki issue {agency}, then hub keys register {agency} --rotate" in elsewhere.err
    assert (other.code, f"{agency}:1 stands for another key already" in other.err) == (3, True)
    assert f"hub keys register {agency} --rotate" in other.err
    assert hub.ran("keys", "register", agency, "--rotate").code == 0


def test_a_partnership_that_does_not_exist_is_said_at_an_enrolment(hub: Served) -> None:
    named = ("--name", "Station (synthetic)", "--shard", SHARD, "--shard", "nowhere")
    enrolled = hub.ran("agencies", "enrol", "agency-northmoor-station", *named, "--json")

    assert (enrolled.code, [one["outcome"] for one in enrolled.document["outcomes"]]) == (0, ["receipt"])
    assert enrolled.err == "hub: no partnership of the name nowhere exists yet; hub partnerships establish nowhere makes it\n"


def test_a_key_is_rotated_retired_and_revoked(hub: Served) -> None:
    agency = "agency-northmoor-rotating"
    assert hub.ran("agencies", "enrol", agency, "--name", "Rotating (synthetic)", "--shard", SHARD, "--with-key").code == 0
    rotated = hub.ran("keys", "register", agency, "--rotate")
    assert (rotated.code, rotated.out.splitlines()[-1].endswith(f": hub keys retire {agency}:1")) == (0, True)
    assert hub.ran("keys", "retire", f"{agency}:1", "--yes").code == 0
    assert hub.ran("keys", "revoke", f"{agency}:2", "--reason", "lost", "--yes").code == 0

    keys = hub.ran("keys", "list", "--of", agency, "--json").document["keys"]
    assert [(one["key_id"], one["state"]) for one in keys] == [(f"{agency}:1", "retired"), (f"{agency}:2", "revoked")]
    assert hub.settings.agency_folder(agency).joinpath("key_id").read_text() == f"{agency}:2\n"


def test_an_agency_without_keys_is_said_to_have_none(hub: Served) -> None:
    listed = hub.ran("keys", "list", "--of", "la-E09999998")
    assert (listed.code, listed.err) == (0, "hub: no key of la-E09999998 is registered; hub agencies list says who is enrolled\n")


@pytest.mark.parametrize("name", ["sign.key", "client.pem", "client.key"])
def test_a_file_of_the_operators_that_proves_nothing_is_named(hub: Served, name: str) -> None:
    file = hub.settings.agency_folder(OPERATOR_ID) / name
    content = file.read_bytes()
    file.write_text("nothing")
    try:
        asked = hub.ran("agencies", "suspend", "agency-northmoor-garden", "--reason", "left", "--yes")
    finally:
        file.write_bytes(content)

    assert (asked.code, asked.err.startswith(f"hub: {file} holds no ")) == (4, True)


def test_a_key_file_that_cannot_be_registered_is_named(hub: Served) -> None:
    agency = "agency-northmoor-garage"
    assert hub.ran("pki", "issue", agency).code == 0
    folder = hub.settings.agency_folder(agency)
    folder.joinpath("key_id").write_bytes(b"\xff")
    no_text = hub.ran("keys", "register", agency)
    folder.joinpath("sign.key").write_text("nothing")
    no_key = hub.ran("keys", "register", agency)

    assert [(one.code, f"{folder} holds no signing key with its name: " in one.err) for one in (no_text, no_key)] == [(4, True)] * 2


def test_an_expired_certificate_is_named_where_no_hub_answers(hub: Served, tmp_path: Path) -> None:
    home = copied_home(hub.home, tmp_path)
    settings = load_settings(home=home)
    past = now() - timedelta(days=4_000)
    load_authority(settings.pki_folder).issue_agency(
        settings.agency_folder(OPERATOR_ID), OPERATOR_ID, trust_domain=settings.trust_domain, now=past, replace=True
    )
    asked = ran("keys", "list", "--home", home)

    assert (asked.code, "the agency's certificate expired at 20" in asked.err, "hub pki issue" in asked.err) == (4, True, True)


def test_a_home_without_the_operator_says_where_its_commands_are_given(hub: Served, tmp_path: Path) -> None:
    home = copied_home(hub.home, tmp_path)
    shutil.rmtree(home / "agencies" / "operator")
    answer = ran("agencies", "list", "--home", home)

    assert answer.code == 2
    assert "the operator's commands are given where its folder lies" in answer.err
    assert "hub agencies enrol operator" not in answer.err


def test_a_hub_whose_key_was_rotated_goes_on_with_the_next_one_when_the_old_one_ends(hub: Served) -> None:
    rotated = hub.ran("keys", "register", "hub", "--rotate")
    assert rotated.code == 0
    assert "once it lies in the home of every node: hub keys retire hub:1" in rotated.out
    assert hub.ran("keys", "retire", "hub:1", "--yes").code == 0

    def is_read_by(key_id: str) -> bool:
        if hub.ran("chronology", CASE).code:
            return False
        events = hub.ran("log", SHARD, "--type", "access.viewed.v1", "--json").document["events"]
        return bool(events[-1]["key_id"] == key_id)

    wait_until(lambda: is_read_by("hub:2"))
    assert hub.ran("keys", "retire", "hub:2", "--yes").code == 0
    wait_until(lambda: hub.ran("chronology", CASE).code == 5)
    assert hub.ran("chronology", CASE).err.startswith(
        "hub: the hub contradicts itself; its operator is called\n     hub doctor and hub verify"
    )
    assert hub.ran("keys", "register", "hub", "--rotate").code == 0
    wait_until(lambda: is_read_by("hub:3"))


@pytest.mark.parametrize("option", ["--user", "--role"])
@pytest.mark.parametrize("said", ["zoë", "designated nurse", "a\udcff", "", "a" * 101, "a\n"])
def test_an_end_user_that_no_query_can_carry_is_wrong_usage(hub: Served, option: str, said: str) -> None:
    answer = hub.ran("deadlines", option, said)

    assert answer.code == 2
    assert "expected 1 to 100 printable ASCII characters without spaces" in answer.err


def test_of_two_rotations_at_once_one_is_refused_and_the_key_that_is_registered_lies_in_the_folder(
    hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    agency = "agency-northmoor-turning"
    assert hub.ran("agencies", "enrol", agency, "--name", "Turning (synthetic)", "--shard", SHARD, "--with-key").code == 0
    others, appends = [], keys.operator_appends

    def meanwhile(*arguments: Any, **named: Any) -> Any:
        with monkeypatch.context() as patch:
            patch.setattr(keys, "operator_appends", appends)
            others.append(hub.ran("keys", "register", agency, "--rotate"))
            return appends(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(keys, "operator_appends", meanwhile)
        assert hub.ran("keys", "register", agency, "--rotate").code == 0

    assert [one.code for one in others] == [4]
    assert "another process is making the next key there" in others[0].err
    again = hub.ran("keys", "register", agency)
    assert (again.code, again.out) == (0, f"{agency}:2 is registered already: nothing was sent\n")


def test_an_interrupted_command_says_that_what_it_signed_is_kept_and_the_next_one_sends_it(
    hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    agency = "agency-northmoor-cutshort"

    def interrupted(client: BlockingHubClient, drafts: list[Draft], **_: Any) -> None:
        client.sign(drafts)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BlockingHubClient, "append_many", interrupted)
        answer = hub.ran("agencies", "enrol", agency, "--name", "Cut short (synthetic)", "--shard", SHARD)
    assert (answer.code, answer.out) == (130, "")
    kept = "hub: what was signed is kept, and may be recorded already; the operator's next command sends it again"
    assert answer.err.splitlines() == [kept, "hub: interrupted"]
    next_one = hub.ran("agencies", "suspend", agency, "--reason", "Synthetic.", "--yes")
    assert (next_one.code, "hub: an event of an earlier command, sent again: recorded at" in next_one.err) == (0, True)


def test_a_refusal_names_its_rule_and_ends_with_3(hub: Served) -> None:
    agency = "agency-northmoor-harbour"
    assert hub.ran("agencies", "enrol", agency, "--name", "Harbour (synthetic)", "--shard", SHARD, "--with-key").code == 0
    assert hub.ran("keys", "retire", f"{agency}:1", "--yes").code == 0
    again = hub.ran("keys", "retire", f"{agency}:1", "--yes", "--json")

    assert again.code == 3
    assert again.document["outcomes"][0]["outcome"] == "refusal"
    assert again.err.startswith(f"hub: refused: {again.document['outcomes'][0]['rule']}: ")


@pytest.mark.parametrize("name", ["münchen.example", "bad host", "", "a" * 64 + ".example", "hub..example"])
def test_a_name_that_no_certificate_can_hold_is_wrong_and_makes_nothing(tmp_path: Path, name: str) -> None:
    answer = ran("pki", "init", "--home", tmp_path / "hub", "--name", name)

    assert (answer.code, "neither an address nor a host's name" in answer.err) == (2, True)
    assert not (tmp_path / "hub").exists()


def test_names_and_addresses_of_a_hub_are_in_its_certificate(tmp_path: Path) -> None:
    named = [word for name in ("*.hub.example", "xn--mnchen-3ya.example", "10.0.0.7", "2001:db8::7") for word in ("--name", name)]

    assert ran("pki", "init", "--home", tmp_path, *named).code == 0


def test_an_authority_is_never_overwritten(tmp_path: Path) -> None:
    assert ran("pki", "init", "--home", tmp_path, "--name", "hub.example.org").code == 0
    before = (tmp_path / "pki" / "ca.pem").read_bytes()
    assert ran("pki", "init", "--home", tmp_path).code == 2
    assert ran("pki", "server", "--home", tmp_path).code == 0
    assert ran("pki", "issue", COUNCIL, "--home", tmp_path, "--json").document["files"][0] == "ca.pem"
    key = (tmp_path / "agencies" / COUNCIL / "sign.key").read_bytes()
    assert ran("pki", "issue", COUNCIL, "--home", tmp_path).code == 2
    assert ran("pki", "issue", COUNCIL, "--home", tmp_path, "--renew").code == 0

    assert (tmp_path / "pki" / "ca.pem").read_bytes() == before
    assert (tmp_path / "agencies" / COUNCIL / "sign.key").read_bytes() == key
