"""``hub nodes``: the nodes of a hub whose log is a topic. Each has a home of its own, and what they share is in all of these."""

from __future__ import annotations

import json as plain_json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from domain.kernel.agencies import HUB_ID
from services.backup.staging import appearing
from services.bootstrap import now
from services.cli.calling import demand_home
from services.cli.commands import examples
from services.cli.failures import wrong_usage
from services.cli.options import Home, Json, read_host, settings_of
from services.cli.output import emit, say
from services.runtime.folders import FOLDER_MODE
from services.runtime.settings import FILE_NAME, Secret, Settings, SettingsError, load_settings
from services.trust.files import write_secret
from services.trust.pki import LOCAL_NAMES, load_authority

app = typer.Typer(no_args_is_help=True)


@app.callback()
def nodes() -> None:
    """Prepare homes for the nodes of a hub that lies on Kafka, with its data keys in PostgreSQL."""


@app.command(epilog=examples("hub nodes prepare node-2 --into /secure/node-2 --name hub-2.example.org"))
def prepare(
    node: Annotated[str, typer.Argument(metavar="NODE", help="The new node's name, another than every node's so far.")],
    into: Annotated[Path, typer.Option("--into", metavar="DIR", help="The home to make; it must not exist.")],
    home: Home = None,
    name: Annotated[
        list[str] | None,
        typer.Option("--name", metavar="HOST", parser=read_host, help="A name or address under which the node is called; may be repeated."),
    ] = None,
    json: Json = False,
) -> None:
    """Make a home for one more node: what all nodes share is copied, and a server's certificate issued.

    The folder holds the hub's signing key and, unless HUB_KEK is used, the key-encryption key: carry it to the node as such.
    """
    settings = settings_of(home)
    demand_home(settings)
    if not settings.kafka_bootstrap or settings.keys_database_url is None:
        raise wrong_usage(
            "HUB_KAFKA_BOOTSTRAP and HUB_KEYS_DATABASE_URL are not both set", "nodes share a log and data keys; else there can be one node"
        )
    if node == settings.node_id:
        raise wrong_usage(f"{node} is the name of this node", "choose another")
    if into.exists():
        raise wrong_usage(f"{into} exists", "name a folder that does not")
    into.parent.mkdir(parents=True, exist_ok=True)
    try:
        with appearing(into) as folder:
            missing = [str(into / file) for file in _make(settings, node, folder, name or [])]
    except SettingsError as error:
        raise wrong_usage(str(error), "a node's name has letters, digits, dots, dashes and underscores") from None
    if json:
        emit({"node": node, "home": into.absolute(), "missing": missing})
        return
    say(f"{into} is the home of {node}: carry it there, set HUB_LISTEN and what else is set by environment, then: hub serve")
    for file in missing:
        say(f"bring to it: {file}")


def _make(settings: Settings, node: str, folder: Path, names: list[str]) -> list[Path]:
    """Make the home in a folder; return the paths there of what is missing because the authority's key is not in this one."""
    write_secret(folder / settings.settings_file.name, _settings_text(settings, node).encode())
    made = load_settings(home=folder)
    shared = [settings.authority_certificate_file, settings.operator_public_key_file]
    shared += [settings.kek_file] if settings.kek is None else []
    for file in (*shared, *sorted(settings.agency_folder(HUB_ID).iterdir())):
        target = folder / file.relative_to(settings.home)
        target.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        shutil.copy2(file, target)
    made.store_folder.mkdir(mode=FOLDER_MODE)
    try:
        load_authority(settings.pki_folder).issue_server(made.pki_folder, now=now(), names=(*LOCAL_NAMES, *names))
    except FileNotFoundError:
        return [file.relative_to(made.home) for file in (made.server_certificate_file, made.server_key_file)]
    return []


def _settings_text(settings: Settings, node: str) -> str:
    """Return the new home's ``hub.toml``: this home's, but for what is each node's own; with what must be alike wherever it is set."""
    given = {
        name: _plain(getattr(settings, name))
        for name, source in settings.sources.items()
        if source == FILE_NAME and name not in {"node_id", "listen", "metrics_listen"}
    }
    alike = {"log_origin": settings.log_origin, "trust_domain": settings.trust_domain, "kafka_topic": settings.kafka_topic}
    return "".join(f"{name} = {plain_json.dumps(value)}\n" for name, value in {**given, **alike, "node_id": node}.items())


def _plain(value: object) -> object:
    """Return a setting's value as it stands in a file."""
    if isinstance(value, Secret):
        return value.get_secret_value()
    return str(value) if isinstance(value, Path) else value
