"""A PostgreSQL for tests: ``python -m tests.support.postgresql_keeper`` says where it serves, and ends when its standard input does.

It lies in a temporary folder, waits for no disk, listens on a free loopback port and takes whoever has the password that is said.
PostgreSQL refuses to run as root: then it runs as the user ``postgres``, or ``nobody`` where there is none.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

ANNOUNCED: Final = "PostgreSQL serves at "
SETTINGS: Final = {"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off", "max_connections": "300"}
LOCALES: Final = (("--locale-provider=icu", "--icu-locale=en-GB", "--locale=C"), ("--locale=C",))
"""Text sorts as in a dictionary by default, if the server can: the hub must not depend on it."""
START_MAX_SECONDS: Final = 30.0
_PORTS_TRIED_MAX: Final = 3


class PostgresqlMissing(Exception):
    """There is no PostgreSQL here; the message says what to install."""


def programs() -> Path:
    """Return the folder of ``initdb`` and ``postgres``, the newest there is; raise ``PostgresqlMissing``."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name.partition(".")[0]), reverse=True)
    on_path = [Path(found).resolve().parent for found in (shutil.which("initdb"),) if found]
    for folder in (*versions, *on_path, Path("/usr/local/pgsql/bin")):
        if all((folder / name).exists() for name in ("initdb", "postgres")):
            return folder
    raise PostgresqlMissing("initdb and postgres were not found: install the package postgresql")


@contextmanager
def server() -> Iterator[str]:
    """Give the URL of a server that ends with the context."""
    folder = Path(tempfile.mkdtemp(prefix="hubtest-postgresql-"))
    try:
        user = _user()
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        password = secrets.token_hex(16)
        _make(folder, password, _as(user))
        for _ in range(_PORTS_TRIED_MAX):  # somebody else may take a port meanwhile
            port = _free_port()
            process = _start(folder, port, _as(user))
            url = f"postgresql+psycopg://hub:{password}@127.0.0.1:{port}/postgres"
            try:
                if _answers(process, url):
                    yield url
                    return
            finally:
                process.send_signal(signal.SIGINT)
                process.wait()
        raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2_000:]}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def _make(folder: Path, password: str, as_user: dict[str, Any]) -> None:
    """Make an empty cluster."""
    file = folder / "password"
    file.write_text(password)
    file.chmod(0o644)  # within a folder that is its user's alone
    for locale in LOCALES:
        made = subprocess.run(  # noqa: S603 (the server's own program)
            [
                programs() / "initdb",
                "-D",
                folder / "data",
                "-U",
                "hub",
                "-A",
                "scram-sha-256",
                f"--pwfile={file}",
                "-N",
                "-E",
                "UTF8",
                *locale,
            ],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            **as_user,
        )
        if made.returncode == 0:
            return
    raise RuntimeError(f"initdb failed: {made.stderr}")


def _start(folder: Path, port: int, as_user: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start the server."""
    options = [part for name, value in {**SETTINGS, "port": str(port)}.items() for part in ("-c", f"{name}={value}")]
    return subprocess.Popen(  # noqa: S603 (likewise)
        [programs() / "postgres", "-D", folder / "data", *options],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "log").open("wb"),
        **as_user,
    )


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    """Wait until it takes connections; False if it ends instead."""
    deadline = time.monotonic() + START_MAX_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            psycopg.connect(url.replace("+psycopg", "")).close()
        except psycopg.OperationalError:
            time.sleep(0.05)
        else:
            return True
    return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def main() -> None:
    """Serve until the standard input closes, or a signal says to end."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    os.set_blocking(sys.stdin.fileno(), True)
    with server() as url:
        sys.stdout.write(f"{ANNOUNCED}{url}\n")
        sys.stdout.flush()
        while os.read(sys.stdin.fileno(), 1):
            pass


if __name__ == "__main__":
    main()
