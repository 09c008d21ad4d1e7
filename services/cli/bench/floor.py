"""The raw floor: what no store on this machine can go below while each event is durable by itself, and each signature checked."""

from __future__ import annotations

import itertools
import os
import sqlite3
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.cli.bench.measuring import rate
from services.cli.bench.plan import EVENT_BYTES, Floor


def measure_floor(folder: Path, seconds: float) -> Floor:
    """Measure SQLite commits of one row, and Ed25519 over a header-sized message."""
    key = Ed25519PrivateKey.generate()
    public, message = key.public_key(), os.urandom(500)
    signature = key.sign(message)
    return Floor(
        sqlite_commits_per_second=_commits(folder / "floor.sqlite", seconds),
        ed25519_signs_per_second=rate(seconds / 2, lambda: key.sign(message)),
        ed25519_verifies_per_second=rate(seconds / 2, lambda: public.verify(signature, message)),
        ed25519_sign_and_verify_per_second=rate(seconds / 2, lambda: public.verify(key.sign(message), message)),
    )


def _commits(path: Path, seconds: float) -> float:
    """Return commits a second, one row each, under the same journal and synchronous modes as the event store's."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("CREATE TABLE event (number INTEGER PRIMARY KEY, state BLOB NOT NULL)")
        state, numbers = os.urandom(EVENT_BYTES), itertools.count()
        return rate(seconds, lambda: connection.execute("INSERT INTO event VALUES (?, ?)", (next(numbers), state)))
    finally:
        connection.close()
