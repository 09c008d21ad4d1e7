"""``hub pki``: a development authority, and certificates and keys from it. Production brings its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.bootstrap import IDENTITY_FILES, make_identity, now
from services.cli.commands import examples
from services.cli.failures import Exit, Failure, wrong_usage
from services.cli.options import Agency, Home, Json, read_host, settings_of
from services.cli.output import emit, say
from services.runtime.settings import Settings
from services.trust.files import alone
from services.trust.pki import AUTHORITY_KEY, LOCAL_NAMES, Authority, create_authority, load_authority

app = typer.Typer(no_args_is_help=True)

Names = Annotated[
    list[str] | None,
    typer.Option("--name", metavar="HOST", parser=read_host, help="A name or address under which the hub is called; may be repeated."),
]


@app.command(epilog=examples("hub pki init", "hub pki init --name hub.example.org --name 10.0.0.7"))
def init(home: Home = None, name: Names = None, json: Json = False) -> None:
    """Make the authority and the server's certificate. hub serve --found uses them, or does this itself."""
    settings = settings_of(home)
    with alone(settings.pki_folder):
        _issue_server(settings, _new_authority(settings), name)
    _made(settings.pki_folder, json=json, files=["ca.pem", "ca.key", "server.pem", "server.key"])


@app.command(epilog=examples("hub pki server --name hub.example.org"))
def server(home: Home = None, name: Names = None, json: Json = False) -> None:
    """Make the server's certificate anew, before it expires or for other names. The hub takes it up when it is started again."""
    settings = settings_of(home)
    authority = _authority(settings)
    with alone(settings.pki_folder):
        _issue_server(settings, authority, name)
    _made(settings.pki_folder, json=json, files=["server.pem", "server.key"])


@app.command(epilog=examples("hub pki issue la-E08000016", "hub pki issue la-E08000016 --renew"))
def issue(
    agency: Agency,
    home: Home = None,
    renew: Annotated[bool, typer.Option("--renew", help="A new certificate for an agency that has one; its signing key stays.")] = False,
    json: Json = False,
) -> None:
    """Make an agency's folder: certificate, signing key and the authority's certificate.

    Give the folder to the agency, and remove it here. hub agencies enrol and hub keys register make it known to the hub.
    """
    settings = settings_of(home)
    authority, folder = _authority(settings), settings.agency_folder(agency)
    if renew:
        if not (folder / "sign.key").exists():
            raise wrong_usage(f"{folder} holds no signing key", f"without --renew: hub pki issue {agency}")
        with alone(folder):
            authority.issue_agency(folder, agency, trust_domain=settings.trust_domain, now=now(), replace=True)
        _made(folder, json=json, files=["client.pem", "client.key"])
        return
    try:
        with alone(folder):
            make_identity(settings, agency)
    except FileExistsError as error:
        if (folder / "sign.key").exists():
            hint = f"a new certificate beside the same signing key: hub pki issue {agency} --renew"
        else:
            hint = "bring its signing key there; or move these files away, if nobody needs them"
        raise wrong_usage(str(error), hint) from None
    _made(folder, json=json, files=sorted(IDENTITY_FILES))
    if not json:
        say(f"the hub does not know them yet: hub agencies enrol {agency} --with-key")


def _authority(settings: Settings) -> Authority:
    """Return the authority; fail if there is none."""
    try:
        return load_authority(settings.pki_folder)
    except FileNotFoundError as error:
        raise wrong_usage(f"there is no authority: {error.filename}", "hub pki init makes one; is --home right?") from None
    except ValueError as error:
        raise _unreadable(settings, error) from None


def _new_authority(settings: Settings) -> Authority:
    """Return an authority made now, or the one of a command that was cut short before it had issued anything; fail if there is another."""
    has_issued = settings.is_founded or settings.server_certificate_file.exists() or settings.server_key_file.exists()
    if not has_issued and settings.authority_certificate_file.exists() and (settings.pki_folder / AUTHORITY_KEY).exists():
        return _authority(settings)
    try:
        return create_authority(settings.pki_folder, now=now(), goes_on=not has_issued)
    except FileExistsError as error:
        raise wrong_usage(str(error), "there is an authority already: hub pki server makes a new server certificate") from None
    except ValueError as error:
        raise _unreadable(settings, error) from None


def _unreadable(settings: Settings, error: ValueError) -> Failure:
    what = f"{settings.pki_folder} holds no authority that can be read: {error}"
    return Failure(Exit.UNAVAILABLE, what, "put its files back as they were: what it has issued is not trusted without it")


def _issue_server(settings: Settings, authority: Authority, names: list[str] | None) -> None:
    authority.issue_server(settings.pki_folder, now=now(), names=(*LOCAL_NAMES, *(names or ())), replace=True)


def _made(folder: Path, *, json: bool, files: list[str]) -> None:
    """Say which files there are now."""
    if json:
        emit({"folder": folder.absolute(), "files": files})
        return
    for file in files:
        say(str(folder / file))
