"""A PostgreSQL server on loopback: made, started, taken up again and stopped, for a person, the tests and the demo.

It takes whoever has its password. PostgreSQL refuses to run as root: then it runs as the user ``postgres``, or ``nobody`` where there is
none.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

SETTINGS: Final = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "300"}
LOCALES: Final = (("--locale-provider=icu", "--icu-locale=en-GB", "--locale=C"), ("--locale=C",))
"""Text sorts as in a dictionary by default, if the server can: the hub must not depend on it."""
MAKE_MAX_SECONDS: Final = 60.0
START_MAX_SECONDS: Final = 30.0
STOP_MAX_SECONDS: Final = 10.0
_ANSWER_MAX_SECONDS: Final = 5
_POLL_SECONDS: Final = 0.05
_PORTS_TRIED_MAX: Final = 3
_SAID_MAX_CHARACTERS: Final = 2_000


class PostgresqlMissing(Exception):
    """There is no PostgreSQL here; the message says what to install."""


class PostgresqlFailed(Exception):
    """The server did not do what it was told within its time; the text ends with its last words."""


def programs() -> Path:
    """Return the folder of ``initdb`` and ``postgres``, the newest there is; raise ``PostgresqlMissing``."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name.partition(".")[0]), reverse=True)
    on_path = [Path(found).resolve().parent for found in (shutil.which("initdb"),) if found]
    for folder in (*versions, *on_path, Path("/usr/local/pgsql/bin")):
        if all((folder / name).exists() for name in ("initdb", "postgres")):
            return folder
    raise PostgresqlMissing("initdb and postgres were not found: install the package postgresql")


def check() -> None:
    """Raise ``PostgresqlMissing`` where no server can be started."""
    programs()
    _user()


@contextmanager
def server(folder: Path, *, kept: bool) -> Iterator[str]:
    """Give the URL of a server that ends with the context; its data lie in ``folder``, and are taken up again if they lie there already.

    What is ``kept`` waits for the disk, and serves on its first port again. Raises ``PostgresqlMissing`` or ``PostgresqlFailed``.
    """
    user = _user()
    try:
        process, url = _started(folder, user, kept=kept)
    except PermissionError as error:
        who = "its user" if user is None else f"the user {user.pw_name}, as whom it runs here,"
        raise PostgresqlFailed(f"PostgreSQL cannot use {folder}: {who} may not pass the folders above it") from error
    try:
        yield url
    finally:
        _stop(process)


def _started(folder: Path, user: pwd.struct_passwd | None, *, kept: bool) -> tuple[subprocess.Popen[bytes], str]:
    """Return a server that takes connections, and its URL."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _give(folder, user)
    password = _password(folder, user)
    for port in _ports(folder):
        process = _start(folder, port, user, kept=kept)
        url = f"postgresql+psycopg://hub:{password}@127.0.0.1:{port}/postgres"
        try:
            does_answer = _answers(process, url)
        except BaseException:
            _stop(process)
            raise
        if does_answer:
            (folder / "port").write_text(f"{port}\n", encoding="utf-8")
            return process, url
        _stop(process)
    raise PostgresqlFailed(f"PostgreSQL did not start: {(folder / 'log').read_text(errors='replace')[-_SAID_MAX_CHARACTERS:]}")


def _give(path: Path, user: pwd.struct_passwd | None) -> None:
    """Let a file or folder be the server's."""
    if user is not None:
        os.chown(path, user.pw_uid, user.pw_gid)


def _user() -> pwd.struct_passwd | None:
    """Return who is to run it: nobody else, unless this is root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresqlMissing("PostgreSQL refuses to run as root, and there is no user postgres or nobody")


def _as(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return what starts a process as a user."""
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _password(folder: Path, user: pwd.struct_passwd | None) -> str:
    """Return the password of the data in a folder, making empty data if there are none."""
    file = folder / "password"
    if not (folder / "data" / "PG_VERSION").exists():
        file.touch(mode=0o600)
        _give(file, user)
        file.write_text(secrets.token_hex(16), encoding="utf-8")
        _make(folder, file, user)
    return file.read_text(encoding="utf-8")


def _make(folder: Path, password: Path, user: pwd.struct_passwd | None) -> None:
    """Make an empty cluster."""
    given = ["-U", "hub", "-A", "scram-sha-256", f"--pwfile={password}", "-N", "-E", "UTF8"]
    said = ""
    for locale in LOCALES:
        try:
            made = subprocess.run(  # noqa: S603 (the server's own program)
                [programs() / "initdb", "-D", folder / "data", *given, *locale],
                cwd=folder,
                check=False,
                capture_output=True,
                text=True,
                timeout=MAKE_MAX_SECONDS,
                **_as(user),
            )
        except subprocess.TimeoutExpired:
            raise PostgresqlFailed(f"initdb took more than {MAKE_MAX_SECONDS:.0f} s") from None
        if made.returncode == 0:
            return
        said = made.stderr
    raise PostgresqlFailed(f"initdb failed: {said[-_SAID_MAX_CHARACTERS:]}")


def _ports(folder: Path) -> Iterator[int]:
    """Yield where to try to listen: where it did before, else on ports that nobody has now; somebody may take one meanwhile."""
    before = folder / "port"
    if before.exists():
        yield int(before.read_text(encoding="utf-8"))
        return
    for _ in range(_PORTS_TRIED_MAX):
        with socket.create_server(("127.0.0.1", 0)) as found:
            port: int = found.getsockname()[1]
        yield port


def _start(folder: Path, port: int, user: pwd.struct_passwd | None, *, kept: bool) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own: what a terminal sends on Ctrl-C is for us to pass on."""
    settings = {**SETTINGS, "port": str(port), "fsync": "on" if kept else "off"}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603 (likewise)
            [programs() / "postgres", "-D", folder / "data", *options],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            **_as(user),
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Have it end at once but in order (a fast shutdown); kill it if that takes too long."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_MAX_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(STOP_MAX_SECONDS)


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until it takes connections; False if it ends instead."""
    deadline = time.monotonic() + START_MAX_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(url.replace("+psycopg", ""), connect_timeout=_ANSWER_MAX_SECONDS).close()
        except psycopg.OperationalError:
            time.sleep(_POLL_SECONDS)
        else:
            return True
    return False
