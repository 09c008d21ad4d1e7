"""Runs a PostgreSQL in the foreground, for a person (``make postgresql``), a test run or the demo, until it is told to end."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from typing import Final

from deploy.foreground import Orders, announce, end_on_signals, say
from deploy.postgresql.server import PostgresqlFailed, PostgresqlMissing, check, server

ANNOUNCED: Final = "HUB_DATABASE_URL="
"""What the one line begins with that says where it serves: a setting that the hub takes as it is."""


def main() -> int:
    """Run a server until a signal, or the end of standard input; return the exit code."""
    options = _options()
    end_on_signals()
    try:
        check()
        if options.check:
            return 0
        with _folder(options.dir) as folder, server(folder, kept=options.dir is not None) as url:
            say("PostgreSQL serves until Ctrl-C. For the hub:")
            announce(f"{ANNOUNCED}{url}")
            orders = Orders(heard=options.until_stdin_closes)
            while orders.within() is not None:
                pass
    except (PostgresqlMissing, PostgresqlFailed) as error:
        say(str(error))
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.postgresql", description=__doc__)
    parser.add_argument("--dir", type=Path, help="keep the data in this folder, or take up what lies there (default: kept nowhere)")
    parser.add_argument("--until-stdin-closes", action="store_true", help="also end when standard input does, as when its writer dies")
    parser.add_argument("--check", action="store_true", help="start nothing: only say whether PostgreSQL is installed")
    return parser.parse_args()


@contextmanager
def _folder(named: Path | None) -> Iterator[Path]:
    """Give the folder that is kept, or one that is gone afterwards."""
    if named is not None:
        yield named.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="hub-postgresql-"))
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
