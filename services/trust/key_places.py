"""Where data keys are kept: a SQLite file, or a PostgreSQL database."""

from __future__ import annotations

from pathlib import Path

from services.trust.keystore import KeyStore
from services.trust.sqlite_keys import SqliteKeyStore


def open_key_store(place: str, kek: bytes) -> KeyStore:
    """Open the key store at a file's path or a database's URL, as either store does."""
    if place.startswith("postgresql"):
        from services.trust.postgresql_keys import PostgresqlKeyStore  # noqa: PLC0415  # most hubs do without its driver

        return PostgresqlKeyStore(place, kek)
    return SqliteKeyStore(Path(place), kek)
