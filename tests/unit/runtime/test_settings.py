from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.runtime.settings import (
    _READ,
    NAMES,
    LogFormat,
    LogLevel,
    Problem,
    Secret,
    Setting,
    SettingsError,
    WrongSettings,
    load_settings,
)


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.upper().startswith("HUB_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def in_file(home: Path, text: str) -> None:
    home.mkdir(exist_ok=True)
    (home / "hub.toml").write_text(text)


def test_nothing_needs_to_be_set() -> None:
    settings = load_settings()
    assert (settings.home, settings.listen, settings.log_origin, settings.trust_domain, settings.shards) == (
        Path("hub-data"),
        "127.0.0.1:7443",
        "hub.example/dev",
        "hub.example",
        (),
    )


def test_arguments_come_before_environment_before_file_before_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_file(tmp_path, 'listen = "0.0.0.0:1"\nnode_id = "file"\nlog_level = "debug"\n')
    monkeypatch.setenv("HUB_HOME", str(tmp_path))
    monkeypatch.setenv("HUB_NODE_ID", "environment")
    monkeypatch.setenv("HUB_LISTEN", "0.0.0.0:2")
    settings = load_settings(listen="0.0.0.0:3")
    assert (settings.listen, settings.node_id, settings.log_level, settings.log_format) == (
        "0.0.0.0:3",
        "environment",
        LogLevel.DEBUG,
        LogFormat.CONSOLE,
    )
    described = {setting.name: (setting.value, setting.source) for setting in settings.describe()}
    assert described["home"] == (str(tmp_path), "environment")
    assert described["listen"] == ("0.0.0.0:3", "argument")
    assert described["node_id"] == ("environment", "environment")
    assert described["log_level"] == ("debug", "hub.toml")
    assert described["log_format"] == ("console", "default")


def test_the_home_may_be_an_argument_and_its_file_is_read(tmp_path: Path) -> None:
    in_file(tmp_path / "a", 'node_id = "a"')
    assert load_settings(home=tmp_path / "a").node_id == "a"


def test_an_unknown_name_in_the_environment_is_refused_with_the_nearest_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_LISTENN", "127.0.0.1:1")
    monkeypatch.setenv("HUB_METRICS", "127.0.0.1:1")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert sorted(str(caught.value).split("; ")) == [
        "HUB_LISTENN in the environment is no setting of the hub",
        "HUB_METRICS in the environment is no setting of the hub",
        "the nearest is HUB_LISTEN",
        "the nearest is HUB_METRICS_LISTEN",
    ]


def test_a_name_that_is_near_none_is_refused_without_a_guess_and_what_else_is_wrong_is_said_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_NOSUCH", "1")
    monkeypatch.setenv("HUB_LOG_LEVEL", "verbose")
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).split("; ") == [
        "HUB_NOSUCH in the environment is no setting of the hub",
        "HUB_LOG_LEVEL (environment): expected one of debug, info, warning, error",
    ]


def test_an_unknown_name_in_the_file_is_refused(tmp_path: Path) -> None:
    in_file(tmp_path, 'log_orign = "x"\n[grpc]\nport = 1\n')
    with pytest.raises(SettingsError, match=r"^log_orign in .*hub\.toml is no setting of the hub; the nearest is log_origin; grpc in "):
        load_settings(home=tmp_path)


def test_an_empty_home_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_HOME", "")
    with pytest.raises(SettingsError, match=r"^HUB_HOME \(environment\): expected a folder$"):
        load_settings()


def test_a_file_cannot_move_the_home_it_lies_in(tmp_path: Path) -> None:
    in_file(tmp_path / "hub-data", 'home = "/elsewhere"')
    with pytest.raises(WrongSettings, match=r"^home in ") as caught:
        load_settings()
    assert caught.value.described[0] == Setting("home", "HUB_HOME", "hub-data", "default")


def test_names_of_tests_and_of_others_do_not_concern_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBTEST_KAFKA_BOOTSTRAP", "x")
    monkeypatch.setenv("GITHUB_TOKEN", "x")
    assert load_settings().node_id == "node-1"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("listen", "7443"),
        ("listen", "localhost:70000"),
        ("listen", "localhost:"),
        ("metrics_listen", "x"),
        ("trust_domain", "Hub.Example"),
        ("trust_domain", ""),
        ("node_id", "a b"),
        ("listen", ""),
        ("log_origin", ""),
        ("shards", "northmoor,../x"),
        ("agency_events_per_second", "-1"),
        ("agency_events_per_second", "many"),
        ("log_level", "loud"),
    ],
)
def test_a_wrong_value_is_refused_naming_the_setting_and_its_source(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"HUB_{name.upper()}", value)
    with pytest.raises(SettingsError, match=rf"^HUB_{name.upper()} \(environment\): "):
        load_settings()


def test_a_file_that_is_no_toml_is_refused(tmp_path: Path) -> None:
    in_file(tmp_path, "listen = ")
    with pytest.raises(SettingsError, match=r"hub\.toml is no TOML"):
        load_settings(home=tmp_path)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_bytes('log_origin = "café"'.encode("latin-1"))
    with pytest.raises(SettingsError, match=r"hub\.toml is no TOML: its text is not UTF-8"):
        load_settings(home=tmp_path)


@pytest.mark.parametrize(
    ("text", "shards"), [("", ()), ("northmoor", ("northmoor",)), (" northmoor , southmoor,", ("northmoor", "southmoor"))]
)
def test_shards_are_separated_by_commas(text: str, shards: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_SHARDS", text)
    monkeypatch.setenv("HUB_KAFKA_BOOTSTRAP", "broker:9092")
    assert load_settings().shards == shards


def test_shards_in_the_file_are_a_list(tmp_path: Path) -> None:
    in_file(tmp_path, 'shards = ["northmoor", "southmoor"]\nkafka_bootstrap = "broker:9092"')
    assert load_settings(home=tmp_path).shards == ("northmoor", "southmoor")


def test_an_embedded_hub_follows_every_shard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_SHARDS", "northmoor")
    with pytest.raises(SettingsError, match="HUB_SHARDS needs HUB_KAFKA_BOOTSTRAP: an embedded hub has no other node"):
        load_settings()


def test_a_node_of_some_shards_has_views_of_its_own(tmp_path: Path) -> None:
    shared = 'database_url = "postgresql+psycopg://hub@127.0.0.1/hub"\nkafka_bootstrap = "broker:9092"\n'
    in_file(tmp_path, shared)
    assert load_settings(home=tmp_path).database_url is not None
    in_file(tmp_path, f'{shared}shards = ["northmoor"]')
    with pytest.raises(SettingsError, match="HUB_SHARDS excludes HUB_DATABASE_URL: views that nodes share are of all shards"):
        load_settings(home=tmp_path)


def test_numbers_are_numbers_in_the_file_and_digits_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_file(tmp_path, "agency_events_per_second = 7")
    assert load_settings(home=tmp_path).agency_events_per_second == 7
    monkeypatch.setenv("HUB_AGENCY_EVENTS_PER_SECOND", "0")
    assert load_settings(home=tmp_path).agency_events_per_second == 0


def test_every_wrong_value_of_the_file_is_named_and_none_is_repeated(tmp_path: Path) -> None:
    in_file(tmp_path, 'kek = 1234\nlisten = 7443\nshards = ["a", 5]\nagency_events_per_second = true\nlog_level = "shout"')
    with pytest.raises(SettingsError) as caught:
        load_settings(home=tmp_path)
    assert str(caught.value).split("; ") == [
        "HUB_LISTEN (hub.toml): expected text",
        "HUB_SHARDS (hub.toml): expected names of shards, separated by commas",
        "HUB_AGENCY_EVENTS_PER_SECOND (hub.toml): expected a whole number, 0 or more",
        "HUB_LOG_LEVEL (hub.toml): expected one of debug, info, warning, error",
        "HUB_KEK (hub.toml): expected text",
    ]


def test_what_is_wrong_is_told_one_by_one_with_what_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_file(tmp_path, 'node_id = "node-7"\nlog_level = "info"\nhome = "elsewhere"\nlisen = "127.0.0.1:1"')
    monkeypatch.setenv("HUB_LOG_LEVEL", "verbose")
    monkeypatch.setenv("HUB_KAFKA_PASSWORD", "an-open-secret")
    monkeypatch.setenv("HUB_KEK", "deadbeef" * 8)
    with pytest.raises(WrongSettings) as caught:
        load_settings(home=tmp_path)

    wrong = caught.value
    assert wrong.problems == (
        Problem(f"home in {tmp_path / 'hub.toml'} is no setting of the hub"),
        Problem(f"lisen in {tmp_path / 'hub.toml'} is no setting of the hub; the nearest is listen"),
        Problem("HUB_LOG_LEVEL (environment): expected one of debug, info, warning, error", "log_level"),
        Problem("HUB_KAFKA_PASSWORD needs HUB_KAFKA_USER", "kafka_password"),
    )
    assert str(wrong) == "; ".join(one.words for one in wrong.problems)
    assert [one for one in wrong.described if one.source != "default"] == [
        Setting("home", "HUB_HOME", str(tmp_path), "argument"),
        Setting("node_id", "HUB_NODE_ID", "node-7", "hub.toml"),
        Setting("kafka_password", "HUB_KAFKA_PASSWORD", "set, not shown", "environment"),
        Setting("log_level", "HUB_LOG_LEVEL", "verbose", "environment"),
        Setting("kek", "HUB_KEK", "set, not shown", "environment"),
    ]
    assert [one.name for one in wrong.described] == list(NAMES)
    assert (wrong.readable.home, wrong.readable.kek) == (tmp_path, Secret("deadbeef" * 8))
    assert "secret" not in f"{wrong} {wrong!r} {wrong.described} {wrong.readable}"


def test_a_file_that_is_no_toml_hides_nothing_else_that_is_wrong(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    in_file(tmp_path, "listen = ")
    monkeypatch.setenv("HUB_NOSUCH", "1")
    with pytest.raises(WrongSettings) as caught:
        load_settings(home=tmp_path)
    assert [one.words.split(":")[0] for one in caught.value.problems] == [
        f"{tmp_path / 'hub.toml'} is no TOML",
        "HUB_NOSUCH in the environment is no setting of the hub",
    ]


def test_every_setting_is_read_and_described() -> None:
    assert list(_READ) == list(NAMES) == [setting.name for setting in load_settings().describe()]


def test_the_database_is_a_secret_and_only_the_one_kind_that_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_DATABASE_URL", "postgresql+psycopg://hub:an-open-secret@db/hub")
    settings = load_settings()
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql+psycopg://hub:an-open-secret@db/hub"
    assert "an-open-secret" not in f"{settings!r} {settings} {settings.describe()}"
    for wrong in ("postgres://hub:an-open-secret@db/hub", "sqlite:///an-open-secret", "postgresql+psycopg://an-open secret"):
        monkeypatch.setenv("HUB_DATABASE_URL", wrong)
        with pytest.raises(SettingsError, match=r"^HUB_DATABASE_URL \(environment\): expected postgresql\+psycopg://") as caught:
            load_settings()
        assert "secret" not in str(caught.value)
    monkeypatch.setenv("HUB_DATABASE_URL", "")
    assert load_settings().database_url is None


def test_a_secret_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUB_KEK", "deadbeef" * 8)
    settings = load_settings()
    assert settings.kek is not None
    assert settings.kek.get_secret_value() == "deadbeef" * 8
    assert "deadbeef" not in f"{settings!r} {settings} {settings.describe()}"
    assert settings.describe()[-1] == Setting("kek", "HUB_KEK", "set, not shown", "environment")


def test_every_path_lies_in_the_home() -> None:
    settings = load_settings(home=Path("/h"))
    assert [
        str(path)
        for path in (
            settings.settings_file,
            settings.authority_certificate_file,
            settings.server_certificate_file,
            settings.server_key_file,
            settings.operator_public_key_file,
            settings.kek_file,
            settings.agency_folder("panel"),
            settings.event_store_file,
            settings.key_store_file,
            settings.view_store_file,
        )
    ] == [
        "/h/hub.toml",
        "/h/pki/ca.pem",
        "/h/pki/server.pem",
        "/h/pki/server.key",
        "/h/trust/operator.pub",
        "/h/trust/kek",
        "/h/agencies/panel",
        "/h/store/events.sqlite",
        "/h/store/keys.sqlite",
        "/h/store/views.sqlite",
    ]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"HUB_KAFKA_BOOTSTRAP": " , "}, "expected host:port, more than one by comma"),
        ({"HUB_KAFKA_CA_FILE": "nowhere.pem"}, r"HUB_KAFKA_CA_FILE \(environment\): expected a file that is there"),
        ({"HUB_KAFKA_CERTIFICATE_FILE": "there.pem", "HUB_KAFKA_KEY_FILE": "there.pem"}, "CERTIFICATE_FILE needs HUB_KAFKA_CA_FILE"),
        ({"HUB_KAFKA_USER": "hub", "HUB_KAFKA_PASSWORD": "secret"}, "and HUB_KAFKA_CA_FILE to send it by TLS"),
        ({"HUB_KAFKA_USER": "hub", "HUB_KAFKA_CA_FILE": "there.pem"}, "HUB_KAFKA_USER needs HUB_KAFKA_PASSWORD"),
        ({"HUB_KAFKA_PASSWORD": "secret"}, "HUB_KAFKA_PASSWORD needs HUB_KAFKA_USER"),
    ],
)
def test_settings_of_kafka_that_say_nothing_or_too_much_are_refused(
    given: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "there.pem").write_text("a certificate")
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=words) as caught:
        load_settings()
    assert "secret" not in str(caught.value)


def test_the_addresses_and_files_of_kafka_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "there.pem").write_text("a certificate")
    for name, value in {"BOOTSTRAP": "one:9092, two:9092", "CA_FILE": "there.pem", "USER": "hub", "PASSWORD": "secret"}.items():
        monkeypatch.setenv(f"HUB_KAFKA_{name}", value)
    settings = load_settings()
    assert (settings.kafka_bootstrap, settings.kafka_ca_file, settings.kafka_user) == (("one:9092", "two:9092"), Path("there.pem"), "hub")
    assert "secret" not in repr(settings)
