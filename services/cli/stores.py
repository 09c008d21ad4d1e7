"""The stores in a hub's home, opened beside whoever serves them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from projections.kernel.database import ViewDatabase
from services.bootstrap import key_encryption_key, view_database
from services.cli.failures import wrong_usage
from services.runtime.settings import Settings
from services.trust.keystore import SqliteKeyStore


def kek_of(settings: Settings) -> bytes:
    """Return the key-encryption key; fail if what is set or kept is none."""
    try:
        return key_encryption_key(settings)
    except ValueError as error:
        raise wrong_usage(str(error), "HUB_KEK or the file trust/kek holds it; without it no body can be read") from None


@contextmanager
def opened_keys(settings: Settings) -> Iterator[SqliteKeyStore]:
    """Give the data keys."""
    keys = SqliteKeyStore(settings.key_store_file, kek_of(settings))
    try:
        yield keys
    finally:
        keys.close()


@contextmanager
def opened_views(settings: Settings) -> Iterator[ViewDatabase]:
    """Give the views."""
    views = view_database(settings)
    try:
        yield views
    finally:
        views.close()
