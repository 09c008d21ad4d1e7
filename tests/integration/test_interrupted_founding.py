"""Foundings that were cut short, or that two begin at once: the same command again founds one whole hub, and nothing else is touched."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from domain.kernel.agencies import HUB_ID, OPERATOR_ID
from domain.kernel.ids import NATIONAL
from services import bootstrap
from services.bootstrap import found_home, is_being_founded, open_parts
from services.cli import serve
from services.eventstore.opening import logged_event
from services.intake.intake import Intake
from services.runtime.settings import Settings
from services.trust.signing import SigningKey, load_public_key
from tests.support.command import Ran, ran, start, stop
from tests.support.interrupting import demand_sound, interrupted_after


def a_home(folder: Path) -> Settings:
    return Settings(home=folder, listen="127.0.0.1:0", metrics_listen="")


def demand_founded(settings: Settings) -> None:
    """Demand that a home holds one whole hub, of the operator whose key lies there, and nothing that was left over."""
    demand_sound(settings, HUB_ID, OPERATOR_ID)
    hub = SigningKey.load(settings.agency_folder(HUB_ID) / "sign.key")
    operator = SigningKey.load(settings.agency_folder(OPERATOR_ID) / "sign.key")
    assert load_public_key(settings.operator_public_key_file)[1] == operator.public_bytes
    with open_parts(settings) as parts:
        logged = [logged_event(stored) for stored in parts.store.shard(NATIONAL).read(0, 10)]
        assert [one and one[1].source_sequence for one in logged] == [1, 2]
        registered = parts.registry.catch_up().key(f"{HUB_ID}:1")
        assert registered is not None
        assert registered.encoded == hub.public_bytes
    assert not is_being_founded(settings)


def test_a_founding_that_was_cut_short_is_gone_on_with(tmp_path: Path) -> None:
    for number in count(1):
        home = a_home(tmp_path / str(number))
        try:
            with interrupted_after(number):
                found_home(home)
        except KeyboardInterrupt:
            was_whole = home.is_founded and not is_being_founded(home)
        else:
            break
        if not was_whole:
            found_home(home)
        demand_founded(home)
    assert number > 20


@pytest.mark.parametrize("recorded", [0, 1, 2])
def test_what_the_hub_has_recorded_of_its_enrolment_is_not_said_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: int
) -> None:
    append = Intake.append

    async def cut_short(intake: Intake, agency_id: str, events: Sequence[Any]) -> None:
        if recorded:
            await append(intake, agency_id, events[:recorded])
        raise KeyboardInterrupt

    home = a_home(tmp_path / "hub")
    with monkeypatch.context() as patch:
        patch.setattr(Intake, "append", cut_short)
        with pytest.raises(KeyboardInterrupt):
            found_home(home)
    found_home(home)

    demand_founded(home)


@pytest.mark.parametrize("step", ["open_parts", "_enrol_hub"])
def test_a_home_whose_founding_was_cut_short_is_served_once_that_has_come_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    home = tmp_path / "hub"
    home.mkdir()
    (home / "hub.toml").write_text('log_origin = "hub.example/brought"\n')
    assert ran("pki", "init", "--home", home).code == 0
    authority = (home / "pki" / "ca.pem").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(bootstrap, step, killed)
        assert ran("serve", "--found", "--home", home).code == 130
    kek = (home / "trust" / "kek").read_bytes()
    unserved, looked_at = ran("serve", "--home", home), ran("doctor", "--home", home, "--json")

    assert unserved.code == 4
    assert "the founding of its hub has not come to its end\n     hub serve --found goes on with it" in unserved.err
    failed = [(one["what"], one["advice"]) for one in looked_at.document["checks"] if one["grade"] == "FAIL"]
    assert failed == [("home", "hub serve --found goes on with it")]
    stop(start(home, "--found"))
    stop(start(home))
    assert (home / "pki" / "ca.pem").read_bytes() == authority
    assert (home / "trust" / "kek").read_bytes() == kek


def meanwhile(monkeypatch: pytest.MonkeyPatch, module: Any, name: str, home: Path) -> list[Ran]:
    """Have another founding begin in a home when a function is called for the first time; return how that ends."""
    others: list[Ran] = []
    function = getattr(module, name)

    def after_another(*arguments: Any, **named: Any) -> Any:
        monkeypatch.setattr(module, name, function)
        others.append(ran("serve", "--found", "--home", home))
        return function(*arguments, **named)

    monkeypatch.setattr(module, name, after_another)
    return others


@pytest.mark.parametrize("moment", ["create_authority", "create_kek", "make_identity", "open_parts"])
def test_of_two_foundings_at_once_one_is_told_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    home = a_home(tmp_path / "hub")
    others = meanwhile(monkeypatch, bootstrap, moment, home.home)
    found_home(home)

    assert [one.code for one in others] == [4]
    assert f"{home.home}: another process is founding a hub there\n     try again when it has ended" in others[0].err
    assert "remove" not in others[0].err
    demand_founded(home)


def test_whoever_comes_when_a_hub_was_founded_just_now_is_not_told_to_remove_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = a_home(tmp_path / "hub")

    def after_another(settings: Settings) -> None:
        found_home(home)
        found_home(settings)

    monkeypatch.setattr(serve, "found_home", after_another)
    told = ran("serve", "--found", "--home", home.home)

    assert (told.code, told.err) == (2, f"hub: {home.home} holds a hub already\n     hub serve serves it\n")
    demand_founded(home)


@pytest.mark.parametrize("name", ["trust/operator.pub", "trust/kek", "agencies/hub/sign.key", "agencies/operator/sign.key"])
def test_a_home_that_has_lost_its_stores_is_not_founded_anew(tmp_path: Path, name: str) -> None:
    file = tmp_path / "hub" / name
    file.parent.mkdir(parents=True)
    file.write_text("of a hub whose log is elsewhere")
    for _ in range(2):
        answer = ran("serve", "--found", "--home", tmp_path / "hub")
        assert (answer.code, "move it away, and what else a founding that was cut short has left" in answer.err) == (2, True)

    assert [one for one in (tmp_path / "hub").rglob("*") if one.is_file()] == [file]


def test_a_servers_key_that_was_brought_without_its_certificate_is_not_overwritten(tmp_path: Path) -> None:
    home = tmp_path / "hub"
    (home / "pki").mkdir(parents=True)
    (home / "pki" / "server.key").write_text("theirs")
    refused = ran("serve", "--found", "--home", home, "--listen", "127.0.0.1:0")

    assert (refused.code, "server.key exists; it is not overwritten" in refused.err) == (2, True)
    assert (home / "pki" / "server.key").read_text() == "theirs"
    assert not (home / "trust").exists()
