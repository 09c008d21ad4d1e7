"""``hub doctor`` of a hub that serves, and of homes in which something is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.kernel.agencies import OPERATOR_ID
from services.cli.doctor import WHAT_FOR
from services.runtime.settings import NAMES
from tests.support.command import copied_home, ran
from tests.support.settled import Served, settled_hub


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with settled_hub(tmp_path_factory.mktemp("cli") / "hub") as served:
        yield served


def test_doctor_finds_a_serving_hub_well(hub: Served) -> None:
    found = hub.ran("doctor", "--json")

    assert (found.code, found.document["passed"]) == (0, True)
    assert {one["grade"] for one in found.document["checks"]} == {"OK"}
    assert next(one for one in found.document["settings"] if one["name"] == "home")["source"] == "argument"
    assert "a hub answers at" in hub.ran("doctor").out


def test_doctor_says_what_is_wrong_and_what_to_do(hub: Served, tmp_path: Path) -> None:
    home = copied_home(hub.home, tmp_path)
    (home / "hub.toml").write_text('listen = "127.0.0.1:0"\n')
    (home / "trust").chmod(0o755)
    (home / "trust" / "kek").chmod(0o644)
    (home / "agencies" / OPERATOR_ID / "client.pem").unlink()
    found = ran("doctor", "--home", home, "--json")

    assert found.code == 5
    failed = [(one["what"], one["advice"]) for one in found.document["checks"] if one["grade"] == "FAIL"]
    assert failed == [("permissions", f"chmod 600 {home / 'trust' / 'kek'}")]
    (home / "hub.toml").write_text('lisen = "127.0.0.1:0"\n')
    unknown = ran("doctor", "--home", home)
    assert unknown.code == 5
    assert "the nearest is listen" in unknown.out
    assert ran("verify", "--home", home).code == 2


def test_doctor_says_of_a_folder_without_a_hub_that_there_is_none(tmp_path: Path) -> None:
    found = ran("doctor", "--home", tmp_path, "--json")

    checks = found.document["checks"]
    assert found.code == 5
    assert [(one["what"], one["grade"]) for one in checks] == [("home", "FAIL"), ("clock", "OK")]
    assert f"hub serve --found --home {tmp_path}" in checks[0]["advice"]


def test_doctor_counts_a_wrong_setting_once_and_looks_at_the_rest(hub: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_NOSUCH", "1")
    checks = hub.ran("doctor", "--json").document["checks"]

    assert [one["what"] for one in checks if one["grade"] == "FAIL"] == ["settings"]
    assert {"home", "keys", "serving", "log", "view"} <= {one["what"] for one in checks}


def test_doctor_names_a_missing_file_without_a_programs_words(hub: Served, tmp_path: Path) -> None:
    home = copied_home(hub.home, tmp_path)
    (home / "trust" / "kek").unlink()
    found = ran("doctor", "--home", home, "--json")

    words = [one["found"] for one in found.document["checks"] if one["grade"] == "FAIL"]
    assert f"missing: {home / 'trust' / 'kek'}" in words
    assert [one for one in words if "Errno" in one or "Error" in one] == []


@pytest.mark.parametrize("kek", [None, "zz"])
def test_without_the_key_encryption_key_everybody_says_where_it_is_looked_for(
    hub: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kek: str | None
) -> None:
    home = copied_home(hub.home, tmp_path)
    (home / "trust" / "kek").unlink()
    monkeypatch.setenv("HUB_LISTEN", "127.0.0.1:0")
    if kek is not None:
        monkeypatch.setenv("HUB_KEK", kek)
    advice = "HUB_KEK or the file trust/kek holds it; without it no body can be read"

    for arguments in (("verify",), ("serve",), ("rebuild",), ("log", "national", "--body")):
        assert advice in ran(*arguments, "--home", home).err
    checks = ran("doctor", "--home", home, "--json").document["checks"]
    assert {one["advice"] for one in checks if one["grade"] == "FAIL"} == {advice}


def test_doctor_explains_every_setting(hub: Served) -> None:
    settings = hub.ran("doctor", "--json").document["settings"]

    assert list(WHAT_FOR) == list(NAMES) == [one["name"] for one in settings]
    assert [one["problem"] for one in settings if one["problem"]] == []
    said = " ".join(hub.ran("doctor").out.split())
    assert [one for one in settings if f"{one['variable']} " not in said or one["what_for"] not in said] == []


def test_doctor_shows_every_setting_also_where_some_are_wrong_and_marks_those(
    hub: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = copied_home(hub.home, tmp_path)
    (home / "hub.toml").write_text('node_id = "node-7"\nlog_level = "info"\n')
    monkeypatch.setenv("HUB_LOG_LEVEL", "verbose")
    monkeypatch.setenv("HUB_DATABASE_URL", "mysql://user:synthetic-password@nowhere")
    found, shown = ran("doctor", "--home", home, "--json"), ran("doctor", "--home", home)

    settings = {one["name"]: one for one in found.document["settings"]}
    assert list(settings) == list(NAMES)
    assert [(name, one["value"], one["source"]) for name, one in settings.items() if one["problem"]] == [
        ("database_url", "set, not shown", "environment"),
        ("log_level", "verbose", "environment"),
    ]
    assert "expected one of debug" in settings["log_level"]["problem"]
    assert (settings["node_id"]["value"], settings["node_id"]["source"], settings["home"]["source"]) == ("node-7", "hub.toml", "argument")
    marked = [line.split()[1] for line in shown.out.partition("Checks")[0].splitlines() if line.strip().startswith("FAIL")]
    assert marked == ["HUB_DATABASE_URL", "HUB_LOG_LEVEL"]
    assert "synthetic-password" not in found.out + found.err + shown.out + shown.err


def test_a_trust_root_that_is_none_is_found(hub: Served, tmp_path: Path) -> None:
    home = copied_home(hub.home, tmp_path)
    (home / "trust" / "operator.pub").write_text("nothing of the kind")
    checks = ran("doctor", "--home", home, "--json").document["checks"]

    assert [(one["grade"], one["advice"]) for one in checks if one["what"] == "trust"] == [
        ("FAIL", "copy it from any other place it is known")
    ]
