"""What can be set, by environment (``HUB_*``) or by ``hub.toml`` in the hub's home. A name that nobody knows is refused, never ignored."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX: Final = "HUB_"
FILE_NAME: Final = "hub.toml"
DEFAULT_HOME: Final = Path("hub-data")
_ADDRESS: Final = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})")
_SHARD: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


class SettingsError(ValueError):
    """A setting is unknown or wrong; the message names it, where it stands and what was expected."""


class LogFormat(StrEnum):
    """How log lines look."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least important line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as ``hub doctor`` shows it: its environment variable, its value (never a secret's) and where the value came from."""

    name: str
    variable: str
    value: str
    source: str


class Settings(BaseSettings):
    """The settings of one hub node. Build it with ``load_settings``, which refuses unknown names."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    home: Path = Field(default=DEFAULT_HOME, description="The folder that holds everything the hub keeps.")
    listen: str = Field(default="127.0.0.1:7443", description="Address and port of the gRPC server; port 0 takes a free one.")
    metrics_listen: str = Field(default="127.0.0.1:7480", description="Address and port of /metrics; empty for none.")
    log_origin: str = Field(default="hub.example/dev", min_length=1, max_length=200, description="The name of this log in every event.")
    trust_domain: str = Field(default="hub.example", pattern=r"^[a-z0-9._-]{1,255}$", description="SPIFFE trust domain of certificates.")
    node_id: str = Field(default="node-1", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$", description="This node's name.")
    shards: Annotated[tuple[str, ...], NoDecode] = Field(default=(), description="Shards this node follows, by comma; empty for all.")
    agency_events_per_second: int = Field(default=10_000, ge=0, description="Each agency's quota; 0 for no limit.")
    log_format: LogFormat = Field(default=LogFormat.CONSOLE, description="json or console.")
    log_level: LogLevel = Field(default=LogLevel.INFO, description="debug, info, warning or error.")
    kek: SecretStr | None = Field(default=None, description="The key-encryption key, 64 hexadecimal digits; else trust/kek is read.")

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    @field_validator("listen", "metrics_listen")
    @classmethod
    def _check_address(cls, value: str) -> str:
        match = _ADDRESS.fullmatch(value)
        if value and (match is None or int(match.group(1)) > 65_535):
            raise ValueError("expected host:port, for instance 127.0.0.1:7443 or [::1]:7443")
        return value

    @field_validator("shards", mode="before")
    @classmethod
    def _split_shards(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("shards")
    @classmethod
    def _check_shards(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not all(_SHARD.fullmatch(shard) for shard in value):
            raise ValueError("expected names of shards, separated by commas")
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # not read: one file is enough
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments before environment before file before defaults."""
        home = _home(init_settings, env_settings)
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=home / FILE_NAME)

    @property
    def settings_file(self) -> Path:
        """Where ``hub.toml`` would lie."""
        return self.home / FILE_NAME

    @property
    def pki_folder(self) -> Path:
        """The authority's and the server's certificates and keys."""
        return self.home / "pki"

    @property
    def authority_certificate_file(self) -> Path:
        """The certificate that client certificates chain to."""
        return self.pki_folder / "ca.pem"

    @property
    def server_certificate_file(self) -> Path:
        """The server's certificate."""
        return self.pki_folder / "server.pem"

    @property
    def server_key_file(self) -> Path:
        """The server's private key."""
        return self.pki_folder / "server.key"

    @property
    def operator_public_key_file(self) -> Path:
        """The trust root: the operator's public key, PEM."""
        return self.home / "trust" / "operator.pub"

    @property
    def kek_file(self) -> Path:
        """The key-encryption key, unless it is set by ``HUB_KEK``."""
        return self.home / "trust" / "kek"

    @property
    def agencies_folder(self) -> Path:
        """One folder an agency: certificate, keys, source sequence."""
        return self.home / "agencies"

    def agency_folder(self, agency_id: str) -> Path:
        """Return the folder of one agency."""
        return self.agencies_folder / agency_id

    @property
    def store_folder(self) -> Path:
        """The databases."""
        return self.home / "store"

    @property
    def event_store_file(self) -> Path:
        """The log."""
        return self.store_folder / "events.sqlite"

    @property
    def key_store_file(self) -> Path:
        """The wrapped data keys."""
        return self.store_folder / "keys.sqlite"

    @property
    def view_store_file(self) -> Path:
        """The views: rebuilt at any time."""
        return self.store_folder / "views.sqlite"

    def describe(self) -> list[Setting]:
        """Return every setting with its value and where it came from, in order of declaration; secrets are not shown."""
        return [
            Setting(name=name, variable=PREFIX + name.upper(), value=_shown(getattr(self, name)), source=self._sources.get(name, "default"))
            for name in type(self).model_fields
        ]


def load_settings(**overrides: Any) -> Settings:
    """Return the settings: ``overrides`` before ``HUB_*`` before ``hub.toml`` before defaults.

    Raises ``SettingsError`` naming every unknown name (with the nearest known one) or wrong value.
    """
    in_environment = {name: value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
    home = Path(overrides.get("home") or _from_environment(in_environment, "home") or DEFAULT_HOME)
    in_file = _read_file(home / FILE_NAME)
    known = list(Settings.model_fields)
    problems = [
        *_unknown(overrides, known, "the arguments"),
        *_unknown(in_environment, [PREFIX + name.upper() for name in known], "the environment"),
        *_unknown(in_file, [name for name in known if name != "home"], str(home / FILE_NAME)),
    ]
    if problems:
        raise SettingsError("; ".join(problems))
    sources = dict.fromkeys(in_file, FILE_NAME)
    sources |= {name.upper().removeprefix(PREFIX).lower(): "environment" for name in in_environment}
    sources |= dict.fromkeys(overrides, "argument")
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        raise SettingsError(
            "; ".join(_wrong(problem, sources) for problem in error.errors(include_input=False, include_url=False))
        ) from None
    settings._sources.update(sources)  # noqa: SLF001  # this function is the other half of the class
    return settings


def _home(init_settings: PydanticBaseSettingsSource, env_settings: PydanticBaseSettingsSource) -> Path:
    given = init_settings.init_kwargs.get("home") if isinstance(init_settings, InitSettingsSource) else None
    in_environment = env_settings.env_vars.get(PREFIX.lower() + "home") if isinstance(env_settings, EnvSettingsSource) else None
    return Path(given or in_environment or DEFAULT_HOME)


def _from_environment(variables: Mapping[str, str], name: str) -> str | None:
    return next((value for variable, value in variables.items() if variable.upper() == PREFIX + name.upper()), None)


def _read_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is no TOML: {error}") from None


def _unknown(given: Iterable[str], known: list[str], where: str) -> list[str]:
    problems = []
    for name in given:
        if name in known or name.upper() in known:
            continue
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
        problems.append(f"{name} in {where} is no setting of the hub; the nearest is {near[0]}")
    return problems


def _wrong(problem: Mapping[str, Any], sources: Mapping[str, str]) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    source = sources.get(str(problem["loc"][0]), "default") if problem["loc"] else "settings"
    return f"{PREFIX}{name.upper()} ({source}): {problem['msg']}"


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "set, not shown"
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)
