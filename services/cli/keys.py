"""``hub keys``: whose signatures the hub takes. The operator says it, as signed events in the national shard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from cryptography.exceptions import UnsupportedAlgorithm

from domain.agency.events import KeyRegistered, KeyRetired, KeyRevoked, RevocationReason
from domain.kernel.agencies import HUB_ID
from domain.kernel.ids import AgencyId, KeyId
from safeguarding.hub.client.outcomes import Outcome, Receipt
from safeguarding.hub.v1 import registry_pb2 as pb
from safeguarding.hub.v1.agency_pb2 import KeyAlgorithm
from safeguarding.hub.v1.registry_pb2_grpc import RegistryServiceStub
from services.cli.calling import Calling, agency_folder, national_position, operator_appends, send_kept, settle
from services.cli.commands import examples
from services.cli.failures import Exit, Failure, wrong_usage
from services.cli.options import Agency, Home, Json, Yes, confirm, read_agency, settings_of
from services.cli.output import emit, say, show, tell
from services.runtime.interruption import undisturbed
from services.runtime.settings import Settings
from services.trust.files import alone, write_public
from services.trust.possession import registration
from services.trust.signing import SigningKey

PAGE_ROWS: Final = 1_000
_ACTIVE: Final = "active"
_NEXT: Final = "sign.key.next"
"""The next key of an agency, until it is registered and in its place."""

app = typer.Typer(no_args_is_help=True)

Key = Annotated[str, typer.Argument(metavar="KEY", help="The key's id, for instance la-E08000016:1.")]


@app.command(epilog=examples("hub keys register la-E08000016", "hub keys register la-E08000016 --rotate"))
def register(
    agency: Agency,
    home: Home = None,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Make the agency's next key and use it from now on; then retire the old.")
    ] = False,
    json: Json = False,
) -> None:
    """Register an agency's signing key, with the key's own proof that the agency holds it."""
    settings = settings_of(home)
    if rotate:
        _rotate(settings, agency, json=json)
    else:
        _register(settings, agency, json=json)


@app.command(epilog=examples("hub keys retire la-E08000016:1"))
def retire(key: Key, home: Home = None, yes: Yes = False, json: Json = False) -> None:
    """Let a key sign nothing new. What it signed stays as good as it was."""
    settings = settings_of(home)
    confirm(f"Retire {key}?", yes=yes)
    settle(operator_appends(settings, [KeyRetired(agency_id=_owner(settings, key), key_id=KeyId(key))]), json=json, key=key)


@app.command(epilog=examples("hub keys revoke la-E08000016:1 --reason compromised"))
def revoke(
    key: Key,
    reason: Annotated[RevocationReason, typer.Option("--reason", help="Why it is not to be trusted any more.")],
    home: Home = None,
    explanation: Annotated[
        str | None, typer.Option("--explanation", metavar="TEXT", help="More on that; it stays on the log for good.")
    ] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Trust a key no more, from now on and in every shard."""
    settings = settings_of(home)
    confirm(f"Revoke {key}, for good?", yes=yes)
    event = KeyRevoked(agency_id=_owner(settings, key), key_id=KeyId(key), reason=reason, explanation=explanation)
    settle(operator_appends(settings, [event]), json=json, key=key)


@app.command("list", epilog=examples("hub keys list", "hub keys list --of la-E08000016 --json"))
def list_keys(
    home: Home = None,
    of: Annotated[str | None, typer.Option("--of", metavar="AGENCY", parser=read_agency, help="Only this agency's.")] = None,
    json: Json = False,
) -> None:
    """List keys, those that are retired or revoked too."""
    found = keys_of(settings_of(home), of or "")
    if of and not found:
        tell(f"hub: no key of {of} is registered; hub agencies list says who is enrolled")
    if json:
        emit({"keys": [_plain(one) for one in found]})
        return
    columns = ("Key", "Agency", "Algorithm", "State", "Registered", "Position", "Ended")
    rows = [
        (
            one.key_id,
            one.agency_id,
            _algorithm(one),
            one.state,
            one.registered_at.ToJsonString()[:10],
            one.registered_position,
            one.ended_at.ToJsonString()[:10] if one.HasField("ended_at") else "",
        )
        for one in found
    ]
    show(f"Keys: {len(found)}", columns, rows, right=[5])


def keys_of(settings: Settings, agency: str) -> list[pb.KeyRecord]:
    """Return an agency's keys, everybody's if it is empty."""
    calling = Calling.of_operator(settings)
    with calling.channel() as channel:
        request = pb.ListKeysRequest(agency_id=agency, page_size=PAGE_ROWS, min_position=national_position(settings))
        pages = calling.pages(RegistryServiceStub(channel).ListKeys, request)
        return [key for page in pages for key in page.keys]


def is_registered(settings: Settings, said: KeyRegistered) -> bool:
    """Tell whether this very key is registered under this id; fail if it can no longer be: an id and a key are used once."""
    for one in keys_of(settings, said.agency_id):
        if (one.key_id, one.public_key, one.state) == (said.key_id, said.public_key, _ACTIVE):
            return True
        if said.key_id == one.key_id or said.public_key == one.public_key:
            same = "this key" if said.public_key == one.public_key else "another key"
            again = f"to register {said.agency_id}'s next key: hub keys register {said.agency_id} --rotate"
            raise Failure(Exit.REFUSED, f"{one.key_id} stands for {same} already, which is {one.state}", again)
    return False


def registration_in(folder: Path, agency: str) -> KeyRegistered:
    """Return what registers the key in an agency's folder; fail if its files hold none."""
    try:
        key = SigningKey.load(folder / "sign.key")
        key_id = (folder / "key_id").read_text(encoding="utf-8").strip()
    except (ValueError, UnsupportedAlgorithm) as error:
        hint = "put its files back as they were; a key that is lost is replaced with --rotate"
        raise Failure(Exit.UNAVAILABLE, f"{folder} holds no signing key with its name: {error}", hint) from None
    return registration(key, agency, key_id)


def _register(settings: Settings, agency: str, *, json: bool) -> None:
    """Register the key in the agency's folder."""
    folder = agency_folder(settings, agency)
    send_kept(settings)
    event = registration_in(folder, agency)
    if not is_registered(settings, event):
        settle(operator_appends(settings, [event]), json=json, agency=agency)
    elif json:
        emit({"agency": agency, "outcomes": []})
    else:
        say(f"{event.key_id} is registered already: nothing was sent")


def _rotate(settings: Settings, agency: str, *, json: bool) -> None:
    """Make the next key, register it, and only then put it in the place of the old: the agency is never without a good key.

    A next key that an earlier command has left is used, so that none is lost that is registered, or may yet be.
    """
    folder = agency_folder(settings, agency)
    with alone(folder, "making the next key"):
        send_kept(settings)  # the next key may be among it
        before, waiting = keys_of(settings, agency), _waiting_key(folder)
        registered = None if waiting is None else next((one for one in before if one.public_key == waiting.public_bytes), None)
        outcomes: list[Outcome] = []
        if waiting is None or (registered is not None and registered.state != _ACTIVE):
            registered, waiting = None, SigningKey.generate()
            waiting.save(folder / _NEXT, replace=True)
        key_id = f"{agency}:{1 + max((_number(one.key_id) for one in before), default=0)}" if registered is None else registered.key_id
        if registered is None:
            outcomes = operator_appends(settings, [registration(waiting, agency, key_id)])
        if all(isinstance(one, Receipt) for one in outcomes):
            _put_in_place(folder, key_id)
    old = [one.key_id for one in before if one.state == _ACTIVE and one.key_id != key_id]
    settle(outcomes, json=json, agency=agency, key=key_id, to_retire=old)
    if not json:
        _say_rotated(folder, agency, key_id, old, is_earlier=registered is not None)


def _waiting_key(folder: Path) -> SigningKey | None:
    """Return the next key that lies in an agency's folder and is not yet in its place."""
    try:
        return SigningKey.load(folder / _NEXT)
    except (FileNotFoundError, ValueError):  # nothing that could sign
        return None


def _put_in_place(folder: Path, key_id: str) -> None:
    """Make the next key the agency's. Its name comes first: killed between the two, this leaves the key waiting, and is done again."""
    with undisturbed():
        write_public(folder / "key_id", f"{key_id}\n".encode(), replace=True)
        (folder / _NEXT).replace(folder / "sign.key")


def _say_rotated(folder: Path, agency: str, key_id: str, old: Sequence[str], *, is_earlier: bool) -> None:
    """Say which key is the agency's, and what is left to do."""
    say(f"{key_id}{', which an earlier command has registered,' if is_earlier else ''} is the key in {folder} from now on")
    once = "once it lies in the home of every node" if agency == HUB_ID else "once the agency's systems sign with the new one"
    for one in old:
        say(f"{one} is good for signing still; {once}: hub keys retire {one}")


def _number(key_id: str) -> int:
    number = key_id.rpartition(":")[2]
    return int(number) if number.isdecimal() else 0


def _owner(settings: Settings, key: str) -> AgencyId:
    """Return whose key it is; fail for one that is not registered."""
    for one in keys_of(settings, ""):
        if one.key_id == key:
            return AgencyId(one.agency_id)
    raise wrong_usage(f"there is no key {key!r}", "hub keys list shows all")


def _algorithm(key: pb.KeyRecord) -> str:
    return KeyAlgorithm.Name(key.algorithm).removeprefix("KEY_ALGORITHM_").lower()


def _plain(key: pb.KeyRecord) -> dict[str, object]:
    return {
        "key_id": key.key_id,
        "agency_id": key.agency_id,
        "algorithm": _algorithm(key),
        "state": key.state,
        "public_key": key.public_key.hex(),
        "registered_position": key.registered_position,
        "registered_at": key.registered_at.ToJsonString(),
        "ended_at": key.ended_at.ToJsonString() if key.HasField("ended_at") else None,
    }
