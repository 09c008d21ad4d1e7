"""Certificates and keys whose making was interrupted: the same command again works, and every key lies beside what belongs to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from domain.kernel.agencies import OPERATOR_ID
from safeguarding.hub.client.blocking import BlockingHubClient
from safeguarding.hub.client.drafts import Draft
from services.bootstrap import IDENTITY_FILES
from services.cli import agencies, keys
from services.runtime.settings import Settings, load_settings
from services.trust.files import alone
from services.trust.signing import SigningKey
from tests.support.builders import COUNCIL, SHARD
from tests.support.command import Ran, copied_home, ran
from tests.support.interrupting import demand_sound, interrupted_everywhere
from tests.support.settled import Served, settled_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with settled_hub(tmp_path_factory.mktemp("cli") / "hub") as served:
        yield served


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Give the settings of a home with an authority, a server's certificate and nothing else."""
    assert ran("pki", "init", "--home", tmp_path / "hub").code == 0
    return load_settings(home=tmp_path / "hub")


def enrolling(agency: str, *words: str) -> tuple[str, ...]:
    return ("agencies", "enrol", agency, "--name", f"{agency} (synthetic)", "--shard", SHARD, "--with-key", *words)


def registered(hub: Served, agency: str) -> list[tuple[str, str]]:
    """Return the ids of an agency's keys with their public halves."""
    return [(one["key_id"], one["public_key"]) for one in hub.ran("keys", "list", "--of", agency, "--json").document["keys"]]


def in_folder(hub: Served, agency: str) -> tuple[str, str]:
    """Return the id and the public half of the key in an agency's folder."""
    folder = hub.settings.agency_folder(agency)
    return (folder / "key_id").read_text().strip(), SigningKey.load(folder / "sign.key").public_bytes.hex()


def test_an_authority_whose_making_was_interrupted_is_made_by_the_same_command(tmp_path: Path) -> None:
    for number, _ in interrupted_everywhere(lambda number: ("pki", "init", "--home", tmp_path / str(number))):
        home = load_settings(home=tmp_path / str(number))
        has_issued = home.server_key_file.exists()
        again = ran("pki", "init", "--home", home.home)

        assert again.code == (2 if has_issued else 0), again.err
        assert ran("pki", "server", "--home", home.home).code == 0
        assert home.server_certificate_file.exists()
        demand_sound(home)


def test_the_key_of_an_authority_that_was_begun_is_kept(settings: Settings) -> None:
    before = (settings.pki_folder / "ca.key").read_bytes()
    for file in (settings.authority_certificate_file, settings.server_certificate_file, settings.server_key_file):
        file.unlink()

    assert ran("pki", "init", "--home", settings.home).code == 0
    assert (settings.pki_folder / "ca.key").read_bytes() == before
    demand_sound(settings)
    for file in (settings.authority_certificate_file, settings.server_certificate_file, settings.server_key_file):
        file.unlink()
    (settings.pki_folder / "ca.key").write_text("nothing of the kind")
    none = ran("pki", "init", "--home", settings.home)
    assert (none.code, "holds no authority that can be read" in none.err) == (4, True)


@pytest.mark.parametrize("lost", ["ca.pem", "server.pem", "ca.key"])
def test_an_authority_that_has_issued_something_is_not_made_again_when_a_file_of_it_is_lost(settings: Settings, lost: str) -> None:
    assert ran("pki", "server", "--name", "hub.example.org", "--home", settings.home).code == 0
    (settings.pki_folder / lost).unlink()
    before = {file.name: file.read_bytes() for file in settings.pki_folder.iterdir()}

    assert ran("pki", "init", "--home", settings.home).code == 2
    assert {file.name: file.read_bytes() for file in settings.pki_folder.iterdir()} == before


def test_an_identity_whose_making_was_interrupted_is_made_by_the_same_command(settings: Settings) -> None:
    def agency(number: int) -> str:
        return f"agency-cut-{number}"

    for number, _ in interrupted_everywhere(lambda number: ("pki", "issue", agency(number), "--home", settings.home)):
        was_whole = (settings.agency_folder(agency(number)) / "sign.key").exists()
        again = ran("pki", "issue", agency(number), "--home", settings.home)

        assert again.code == (2 if was_whole else 0), again.err
        demand_sound(settings, agency(number))


@pytest.mark.parametrize("left", [(), ("client.key",), ("client.key", "client.pem"), ("client.key", "client.pem", "key_id", "ca.pem")])
def test_a_folder_whose_making_was_cut_short_is_made_good(settings: Settings, left: Sequence[str]) -> None:
    folder = settings.agency_folder(COUNCIL)
    assert ran("pki", "issue", COUNCIL, "--home", settings.home).code == 0
    for name in set(IDENTITY_FILES) - set(left):
        (folder / name).unlink()
    (folder / ".making").touch()
    (folder / ".client.key.4711.new").write_text("of a command that was killed")
    unmade = ran("pki", "issue", COUNCIL, "--renew", "--home", settings.home)

    assert (unmade.code, f"without --renew: hub pki issue {COUNCIL}" in unmade.err) == (2, True)
    assert ran("pki", "issue", COUNCIL, "--home", settings.home).code == 0
    demand_sound(settings, COUNCIL)


@pytest.mark.parametrize("words", [("pki", "issue", "la-E09999955"), enrolling("la-E09999955")])
def test_files_that_were_brought_are_neither_overwritten_nor_removed(settings: Settings, hub: Served, words: Sequence[str]) -> None:
    home = hub.home if words[0] == "agencies" else settings.home
    folder = load_settings(home=home).agency_folder("la-E09999955")
    folder.mkdir(parents=True)
    names = sorted(set(IDENTITY_FILES) - {"sign.key"})
    for name in names:
        (folder / name).write_text("theirs")

    refused = ran(*words, "--home", home)
    assert (refused.code, "not overwritten" in refused.err) == (4 if words[0] == "agencies" else 2, True)
    assert [(folder / name).read_text() for name in names] == ["theirs"] * len(names)
    assert sorted(file.name for file in folder.iterdir()) == names
    shutil.rmtree(folder)


@pytest.mark.parametrize("words", [("pki", "issue", COUNCIL, "--renew"), ("pki", "server")])
def test_a_renewal_that_was_interrupted_is_done_by_the_same_command(settings: Settings, words: Sequence[str]) -> None:
    assert ran("pki", "issue", COUNCIL, "--home", settings.home).code == 0
    key = (settings.agency_folder(COUNCIL) / "sign.key").read_bytes()
    for _ in interrupted_everywhere(lambda _: (*words, "--home", settings.home)):
        assert ran(*words, "--home", settings.home).code == 0
        demand_sound(settings, COUNCIL)

    assert (settings.agency_folder(COUNCIL) / "sign.key").read_bytes() == key


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        (("pki", "issue", COUNCIL, "--renew"), f"agencies/{COUNCIL}"),
        (("pki", "issue", "agency-new"), "agencies/agency-new"),
        (("pki", "server"), "pki"),
        (("pki", "init"), "pki"),
    ],
)
def test_of_two_that_make_keys_in_one_folder_one_is_told_to_try_again(settings: Settings, words: Sequence[str], folder: str) -> None:
    assert ran("pki", "issue", COUNCIL, "--home", settings.home).code == 0
    before = {file: file.read_bytes() for file in settings.home.rglob("*.*") if file.is_file()}
    with alone(settings.home / folder):
        told = ran(*words, "--home", settings.home)

    assert told.code == 4
    assert f"{settings.home / folder}: another process is making keys there\n     try again when it has ended" in told.err
    assert {file: file.read_bytes() for file in settings.home.rglob("*.*") if file.is_file()} == before


def test_an_enrolment_that_was_interrupted_is_done_by_the_same_command(hub: Served) -> None:
    def agency(number: int) -> str:
        return f"agency-cut-{number}"

    for number, _ in interrupted_everywhere(lambda number: (*enrolling(agency(number)), "--home", hub.home)):
        again = hub.ran(*enrolling(agency(number)))

        assert again.code == 0, again.err
        assert registered(hub, agency(number)) == [in_folder(hub, agency(number))]
        demand_sound(hub.settings, agency(number))


@pytest.mark.parametrize("words", [("agencies", "enrol", "{}", "--name", "Kept (synthetic)", "--shard", SHARD), ("keys", "register", "{}")])
def test_what_was_interrupted_behind_its_signing_is_done_by_the_same_command(
    hub: Served, monkeypatch: pytest.MonkeyPatch, words: Sequence[str]
) -> None:
    agency = f"agency-northmoor-kept-{words[0]}"
    if words[0] == "keys":
        assert hub.ran("agencies", "enrol", agency, "--name", "Kept (synthetic)", "--shard", SHARD).code == 0
        assert hub.ran("pki", "issue", agency).code == 0
    command = [word.format(agency) for word in words]

    def cut_short(client: BlockingHubClient, drafts: Sequence[Draft], **_: object) -> None:
        client.sign(drafts)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BlockingHubClient, "append_many", cut_short)
        assert hub.ran(*command).code == 130
    again = hub.ran(*command)

    assert (again.code, "already: nothing was sent" in again.out) == (0, True)
    assert "an event of an earlier command, sent again: recorded at" in again.err


def meanwhile(monkeypatch: pytest.MonkeyPatch, hub: Served, module: Any, *words: str) -> list[Ran]:
    """Have another command run while the next one is about to send its events; return how that ends."""
    others: list[Ran] = []
    appends = module.operator_appends

    def after_another(settings: Settings, events: Sequence[Any]) -> Any:
        monkeypatch.setattr(module, "operator_appends", appends)
        others.append(hub.ran(*words))
        return appends(settings, events)

    monkeypatch.setattr(module, "operator_appends", after_another)
    return others


def test_of_two_enrolments_with_a_key_at_once_one_is_told_to_try_again(hub: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    agency = "agency-northmoor-both"
    others = meanwhile(monkeypatch, hub, agencies, *enrolling(agency))
    mine = hub.ran(*enrolling(agency))

    assert (mine.code, [one.code for one in others]) == (0, [4])
    assert "another process is making keys there\n     try again when it has ended" in others[0].err
    assert registered(hub, agency) == [in_folder(hub, agency)]


def test_an_enrolment_that_is_refused_removes_nothing_that_another_has_made(hub: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    agency = "agency-northmoor-either"
    others = meanwhile(monkeypatch, hub, agencies, *enrolling(agency))
    mine = hub.ran("agencies", "enrol", agency, "--name", "Either (synthetic)", "--shard", SHARD)

    assert (mine.code, [one.code for one in others]) == (3, [0])
    assert "removed" not in mine.err
    assert registered(hub, agency) == [in_folder(hub, agency)]


def test_what_lay_in_a_folder_before_a_refused_enrolment_lies_there_still(hub: Served) -> None:
    agency = "agency-northmoor-before"
    folder = hub.settings.agency_folder(agency)
    folder.mkdir()
    (folder / "notes.txt").write_text("synthetic")
    refused = hub.ran("agencies", "enrol", agency, "--name", "Before (synthetic)", "--with-key")

    assert (refused.code, "is removed again" in refused.err) == (3, True)
    assert [one.name for one in folder.iterdir()] == ["notes.txt"]


def test_a_key_that_was_there_before_a_refused_enrolment_stays(hub: Served) -> None:
    before = in_folder(hub, COUNCIL)

    assert hub.ran("agencies", "enrol", COUNCIL, "--shard", "national", "--with-key").code == 3
    assert in_folder(hub, COUNCIL) == before


def test_a_rotation_that_was_interrupted_is_done_by_the_same_command(hub: Served) -> None:
    agency = "agency-northmoor-turned"
    assert hub.ran(*enrolling(agency)).code == 0
    rotating = ("keys", "register", agency, "--rotate")
    for _ in interrupted_everywhere(lambda _: (*rotating, "--home", hub.home)):
        before = registered(hub, agency)
        is_to_place = before[-1] != in_folder(hub, agency)
        again = hub.ran(*rotating)

        assert again.code == 0, again.err
        assert registered(hub, agency) == before if is_to_place else registered(hub, agency)[:-1] == before
        assert registered(hub, agency)[-1] == in_folder(hub, agency)
        demand_sound(hub.settings, agency)
        assert not (hub.settings.agency_folder(agency) / "sign.key.next").exists()


def test_a_next_key_that_was_registered_and_not_put_in_its_place_is_put_there(hub: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    agency = "agency-northmoor-registered"
    assert hub.ran(*enrolling(agency)).code == 0
    first = in_folder(hub, agency)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(keys, "_put_in_place", killed)
        assert hub.ran("keys", "register", agency, "--rotate").code == 130
    assert in_folder(hub, agency) == first
    again = hub.ran("keys", "register", agency, "--rotate")

    assert again.code == 0
    assert again.out.startswith(f"{agency}:2, which an earlier command has registered, is the key in ")
    assert again.out.endswith(f"hub keys retire {agency}:1\n")
    assert registered(hub, agency) == [first, in_folder(hub, agency)]


def test_a_next_key_whose_registration_waits_in_the_outbox_is_registered_and_put_in_its_place(
    hub: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    agency = "agency-northmoor-waiting"
    assert hub.ran(*enrolling(agency)).code == 0
    first = in_folder(hub, agency)

    def kept(client: BlockingHubClient, drafts: Sequence[Draft], **_: object) -> None:
        client.sign(drafts)
        if drafts:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(BlockingHubClient, "append_many", kept)
        assert hub.ran("keys", "register", agency, "--rotate").code == 130
    assert registered(hub, agency) == [first]
    again = hub.ran("keys", "register", agency, "--rotate", "--json")

    assert (again.code, again.document["key"], again.document["outcomes"]) == (0, f"{agency}:2", [])
    assert registered(hub, agency) == [first, in_folder(hub, agency)]


def test_a_next_key_that_is_good_no_more_is_not_put_in_place(hub: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    agency = "agency-northmoor-revoked"
    assert hub.ran(*enrolling(agency)).code == 0
    with monkeypatch.context() as patch:
        patch.setattr(keys, "_put_in_place", lambda *_: None)
        assert hub.ran("keys", "register", agency, "--rotate").code == 0
    assert hub.ran("keys", "revoke", f"{agency}:2", "--reason", "compromised", "--yes").code == 0

    assert hub.ran("keys", "register", agency, "--rotate", "--json").document["key"] == f"{agency}:3"
    assert registered(hub, agency)[-1] == in_folder(hub, agency)


def test_a_certificate_beside_another_key_is_found_by_doctor_and_named_by_serve(hub: Served, tmp_path: Path) -> None:
    home = copied_home(hub.home, tmp_path)
    for file in (home / "pki" / "server.key", home / "agencies" / OPERATOR_ID / "client.key"):
        shutil.copy(home / "agencies" / COUNCIL / "client.key", file)
    (home / "hub.toml").write_text('listen = "127.0.0.1:0"\nmetrics_listen = ""\n')
    found = ran("doctor", "--home", home, "--json").document["checks"]
    served = ran("serve", "--home", home)

    assert [(one["found"], one["advice"]) for one in found if one["what"] == "certificate" and one["grade"] == "FAIL"] == [
        ("pki/server.pem is not of the key in server.key", "put both back as they were, or hub pki server, then start the hub again"),
        ("operator/client.pem is not of the key in client.key", "put both back as they were, or hub pki issue operator --renew"),
    ]
    assert (served.code, "hub pki server makes both anew" in served.err) == (4, True)
    assert ran("pki", "server", "--home", home).code == 0
    assert ran("pki", "issue", OPERATOR_ID, "--renew", "--home", home).code == 0
    assert [one for one in ran("doctor", "--home", home, "--json").document["checks"] if one["grade"] == "FAIL"] == []
