"""What can be set, by environment (``HUB_*``) or by ``hub.toml`` in the hub's home. A name that nobody knows is refused, never ignored."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

PREFIX: Final = "HUB_"
FILE_NAME: Final = "hub.toml"
DEFAULT_HOME: Final = Path("hub-data")
_ADDRESS: Final = re.compile(r"(?:\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):(\d{1,5})")
_SHARD: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NODE_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_TRUST_DOMAIN: Final = re.compile(r"[a-z0-9._-]{1,255}")
_DATABASE_URL: Final = re.compile(r"postgresql\+psycopg://\S*")
_LOG_ORIGIN_MAX_CHARACTERS: Final = 200
NEAR_MIN_RATIO: Final = 0.6
"""How much of two names has to be the same for one to be a slip of the other."""


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


@dataclass(frozen=True, slots=True)
class Secret:
    """A value that nobody sees by showing what holds it."""

    _value: str = field(repr=False)

    def get_secret_value(self) -> str:
        """Return the value itself."""
        return self._value


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one hub node. ``load_settings`` reads and checks them, and refuses unknown names."""

    home: Path = DEFAULT_HOME
    """The folder that holds everything the hub keeps."""
    listen: str = "127.0.0.1:7443"
    """Address and port of the gRPC server; port 0 takes a free one."""
    metrics_listen: str = "127.0.0.1:7480"
    """Address and port of /metrics; empty for none."""
    log_origin: str = "hub.example/dev"
    """The name of this log in every event."""
    trust_domain: str = "hub.example"
    """SPIFFE trust domain of certificates."""
    node_id: str = "node-1"
    """This node's name, which no other node of the hub may bear: nodes compare digests by it."""
    shards: tuple[str, ...] = ()
    """Shards this node follows besides the national one, by comma; empty for all. On Kafka only."""
    kafka_bootstrap: tuple[str, ...] = ()
    """Kafka brokers, host:port by comma; empty for the embedded store."""
    kafka_topic: str = "hub.events.v1"
    """The topic that is the log."""
    kafka_ca_file: Path | None = None
    """The authority of the brokers' certificates, PEM; with it every connection is TLS."""
    kafka_certificate_file: Path | None = None
    """This node's certificate for the brokers, PEM."""
    kafka_key_file: Path | None = None
    """Its private key, PEM."""
    kafka_user: str = ""
    """Who this node is to the brokers, by SASL SCRAM-SHA-512."""
    kafka_password: Secret | None = None
    """That user's password."""
    database_url: Secret | None = None
    """The PostgreSQL database of the views, postgresql+psycopg://user:password@host/name; empty for a SQLite file."""
    keys_database_url: Secret | None = None
    """The PostgreSQL database of the wrapped data keys, likewise; empty for a SQLite file, which only a hub of one node can do with."""
    agency_events_per_second: int = 10_000
    """Each agency's quota; 0 for no limit."""
    log_format: LogFormat = LogFormat.CONSOLE
    log_level: LogLevel = LogLevel.INFO
    kek: Secret | None = None
    """The key-encryption key, 64 hexadecimal digits; else trust/kek is read."""

    sources: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    """Where each setting that is not a default came from; itself no setting."""

    @property
    def settings_file(self) -> Path:
        """Where ``hub.toml`` would lie."""
        return self.home / FILE_NAME

    @property
    def address_file(self) -> Path:
        """Where a running hub writes at which address it serves: its port may have been chosen by the system."""
        return self.home / "address"

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
    def is_founded(self) -> bool:
        """Tell whether the home holds a hub. With Kafka its log may be missing here: it is folded anew."""
        return self.event_store_file.exists() or (bool(self.kafka_bootstrap) and self.operator_public_key_file.exists())

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
        """The wrapped data keys, unless they lie at ``keys_database_url``."""
        return self.store_folder / "keys.sqlite"

    @property
    def spool_file(self) -> Path:
        """Who read while Kafka took nothing, until it does."""
        return self.store_folder / "spool.sqlite"

    @property
    def view_store_file(self) -> Path:
        """The views, unless they lie at ``database_url``: rebuilt at any time."""
        return self.store_folder / "views.sqlite"

    def describe(self) -> list[Setting]:
        """Return every setting with its value and where it came from, in order of declaration; secrets are not shown."""
        return [
            Setting(name=name, variable=PREFIX + name.upper(), value=_shown(getattr(self, name)), source=self.sources.get(name, "default"))
            for name in NAMES
        ]


NAMES: Final = tuple(one.name for one in fields(Settings) if one.name != "sources")
"""Every setting, in order of declaration."""
_SECRETS: Final = frozenset(one.name for one in fields(Settings) if "Secret" in str(one.type))


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, in words; ``name`` is the setting's, empty for what is no setting."""

    words: str
    name: str = ""


class WrongSettings(SettingsError):
    """What ``load_settings`` refuses: all that is wrong, and what was given, for whoever explains it.

    ``described``: every setting as it was given, right or wrong; secrets are not shown. ``readable``: which home it is, and the key to its
    keys; all else as if it were not set.
    """

    def __init__(self, problems: Sequence[Problem], described: Sequence[Setting], readable: Settings) -> None:
        """Say all that is wrong in one sentence."""
        super().__init__("; ".join(one.words for one in problems))
        self.problems = tuple(problems)
        self.described = tuple(described)
        self.readable = readable


def load_settings(**overrides: Any) -> Settings:
    """Return the settings: ``overrides`` before ``HUB_*`` before ``hub.toml`` before defaults.

    Raises ``WrongSettings`` naming every unknown name (with a known one that is near) and every wrong value.
    """
    in_environment = {name: value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
    home = Path(overrides.get("home") or _from_environment(in_environment, "home") or DEFAULT_HOME)
    in_file, problems = _read_file(home / FILE_NAME)
    problems += [
        *_unknown(overrides, NAMES, "the arguments"),
        *_unknown(in_environment, [PREFIX + name.upper() for name in NAMES], "the environment"),
        *_unknown(in_file, [name for name in NAMES if name != "home"], str(home / FILE_NAME)),
    ]
    in_file.pop("home", None)  # where the file lies is said by what leads to it
    plain = {name.upper().removeprefix(PREFIX).lower(): value for name, value in in_environment.items()}
    sources = dict.fromkeys(in_file, FILE_NAME) | dict.fromkeys(plain, "environment") | dict.fromkeys(overrides, "argument")
    given = in_file | plain | overrides
    values: dict[str, Any] = {}
    for name in (name for name in NAMES if name in given):
        try:
            values[name] = _READ[name](given[name])
        except ValueError as error:
            problems.append(Problem(f"{PREFIX}{name.upper()} ({sources[name]}): {error}", name))
    for name, others, words in _TOGETHER:
        if values.get(name) and not all(values.get(other) for other in others):
            problems.append(Problem(words, name))
    problems += [Problem(words, name) for name, other, words in _APART if values.get(name) and values.get(other)]
    if problems:
        readable = Settings(home=home, kek=values.get("kek"))
        raise WrongSettings(problems, [_as_given(one, given, sources) for one in readable.describe()], readable)
    return Settings(**values, sources=sources)


def _from_environment(variables: Mapping[str, str], name: str) -> str | None:
    return next((value for variable, value in variables.items() if variable.upper() == PREFIX + name.upper()), None)


def _as_given(setting: Setting, given: Mapping[str, Any], sources: Mapping[str, str]) -> Setting:
    """Return a setting as it was given; what was not given stands as it is."""
    if setting.name not in given:
        return setting
    value = "set, not shown" if setting.name in _SECRETS else str(given[setting.name])
    return replace(setting, value=value, source=sources[setting.name])


def _read_file(path: Path) -> tuple[dict[str, Any], list[Problem]]:
    """Return what stands in ``hub.toml``, and what is wrong with it as a whole: then nothing is known to stand in it."""
    try:
        with path.open("rb") as file:
            return tomllib.load(file), []
    except FileNotFoundError:
        return {}, []
    except UnicodeDecodeError as error:
        return {}, [Problem(f"{path} is no TOML: its text is not UTF-8 ({error.reason} at byte {error.start})")]
    except tomllib.TOMLDecodeError as error:
        return {}, [Problem(f"{path} is no TOML: {error}")]


def _unknown(given: Iterable[str], known: Iterable[str], where: str) -> list[Problem]:
    problems = []
    for name in given:
        if name in known or name.upper() in known:
            continue
        nearest = f"; the nearest is {near}" if (near := _nearest(name, known)) else ""
        problems.append(Problem(f"{name} in {where} is no setting of the hub{nearest}"))
    return problems


def _nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that may have been meant; nothing if none is near. What all names begin with makes none of them nearer."""
    by_rest = {one.upper().removeprefix(PREFIX): one for one in known}
    near = difflib.get_close_matches(name.upper().removeprefix(PREFIX), by_rest, n=1, cutoff=NEAR_MIN_RATIO)
    return by_rest[near[0]] if near else ""


def _folder(value: object) -> Path:
    if not isinstance(value, str | Path) or value == "":  # which would be the folder that the command happens to be called in
        raise ValueError("expected a folder")
    return Path(value)


def _file(value: object) -> Path:
    if not isinstance(value, str | Path) or not Path(value).is_file():
        raise ValueError("expected a file that is there")
    return Path(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")  # noqa: TRY004  # likewise
    return value


def _address(value: object) -> str:
    text = _text(value)
    match = _ADDRESS.fullmatch(text)
    if match is None or int(match.group(1)) > 65_535:
        raise ValueError("expected host:port, for instance 127.0.0.1:7443 or [::1]:7443")
    return text


def _log_origin(value: object) -> str:
    text = _text(value)
    if not 1 <= len(text) <= _LOG_ORIGIN_MAX_CHARACTERS:
        raise ValueError(f"expected 1 to {_LOG_ORIGIN_MAX_CHARACTERS} characters")
    return text


def _matching(pattern: re.Pattern[str]) -> Callable[[object], str]:
    def read(value: object) -> str:
        text = _text(value)
        if pattern.fullmatch(text) is None:
            raise ValueError(f"expected a match of {pattern.pattern}")
        return text

    return read


def _shards(value: object) -> tuple[str, ...]:
    names = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and _SHARD.fullmatch(name) for name in names):
        raise ValueError("expected names of shards, separated by commas")
    return tuple(names)


def _addresses(value: object) -> tuple[str, ...]:
    parts = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or (value and not parts):
        raise ValueError("expected host:port, more than one by comma")  # likewise
    return tuple(_address(part) for part in parts)


def _database_url(value: object) -> Secret | None:
    text = _text(value)
    if text and _DATABASE_URL.fullmatch(text) is None:
        raise ValueError("expected postgresql+psycopg://user:password@host/name")
    return Secret(text) if text else None


def _count(value: object) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    raise ValueError("expected a whole number, 0 or more")


def _one_of(kind: type[StrEnum]) -> Callable[[object], StrEnum]:
    def read(value: object) -> StrEnum:
        try:
            return kind(_text(value))
        except ValueError:
            raise ValueError(f"expected one of {', '.join(kind)}") from None

    return read


_READ: Final[dict[str, Callable[[object], object]]] = {
    "home": _folder,
    "listen": _address,
    "metrics_listen": lambda value: _address(value) if value != "" else "",
    "log_origin": _log_origin,
    "trust_domain": _matching(_TRUST_DOMAIN),
    "node_id": _matching(_NODE_ID),
    "shards": _shards,
    "kafka_bootstrap": _addresses,
    "kafka_topic": _matching(_TOPIC),
    "kafka_ca_file": _file,
    "kafka_certificate_file": _file,
    "kafka_key_file": _file,
    "kafka_user": _text,
    "kafka_password": lambda value: Secret(_text(value)),
    "database_url": _database_url,
    "keys_database_url": _database_url,
    "agency_events_per_second": _count,
    "log_format": _one_of(LogFormat),
    "log_level": _one_of(LogLevel),
    "kek": lambda value: Secret(_text(value)),
}
"""How each setting is read, from wherever it comes; what is wrong raises ``ValueError`` with what was expected, never with the value."""


_TOGETHER: Final = (
    ("shards", ("kafka_bootstrap",), "HUB_SHARDS needs HUB_KAFKA_BOOTSTRAP: an embedded hub has no other node to follow the rest"),
    ("kafka_certificate_file", ("kafka_ca_file", "kafka_key_file"), "HUB_KAFKA_CERTIFICATE_FILE needs HUB_KAFKA_CA_FILE and _KEY_FILE"),
    ("kafka_key_file", ("kafka_ca_file", "kafka_certificate_file"), "HUB_KAFKA_KEY_FILE needs HUB_KAFKA_CA_FILE and _CERTIFICATE_FILE"),
    ("kafka_user", ("kafka_ca_file", "kafka_password"), "HUB_KAFKA_USER needs HUB_KAFKA_PASSWORD, and HUB_KAFKA_CA_FILE to send it by TLS"),
    ("kafka_password", ("kafka_user",), "HUB_KAFKA_PASSWORD needs HUB_KAFKA_USER"),
)
"""What says nothing by itself, or too much: a setting, what it needs, and the words for it."""
_APART: Final = (
    (
        "shards",
        "database_url",
        "HUB_SHARDS excludes HUB_DATABASE_URL: views that nodes share are of all shards; without it a node has views of its own in a file",
    ),
)
"""What contradicts itself: a setting, the other, and the words for it. One projector keeps shared views, and has to know all of them."""


def _shown(value: object) -> str:
    if isinstance(value, Secret):
        return "set, not shown"
    if isinstance(value, tuple):
        return ",".join(value)
    return "" if value is None else str(value)
