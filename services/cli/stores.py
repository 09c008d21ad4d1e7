"""The stores in a hub's home, opened beside whoever serves them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from domain.agency.state import agency_stream
from domain.kernel.agencies import HUB_ID
from domain.kernel.ids import NATIONAL
from projections.kernel.database import ViewDatabase
from services.bootstrap import key_encryption_key, key_store, log_name, view_database
from services.cli.failures import KEK_HINT, wrong_usage
from services.eventstore.port import EventStore
from services.eventstore.read_only import ReadOnlyEventStore, open_read_only
from services.runtime.settings import Settings
from services.trust.keystore import KeyStore

CUT_SHORT: Final = "the hub itself is not enrolled: its founding was cut short"
GO_ON: Final = "hub serve --found goes on with it"
FOUND_ANEW: Final = "remove the home and found it anew, on Kafka with another topic"


def kek_of(settings: Settings) -> bytes:
    """Return the key-encryption key; fail if what is set or kept is none."""
    try:
        return key_encryption_key(settings)
    except ValueError as error:
        raise wrong_usage(str(error), KEK_HINT) from None


def opened_log(settings: Settings) -> ReadOnlyEventStore:
    """Return what this node's file holds of the shards that it follows."""
    return open_read_only(settings.event_store_file, (NATIONAL, *settings.shards) if settings.shards else ())


def is_whole(store: EventStore) -> bool:
    """Tell whether a hub's founding came to its end: the hub itself is enrolled, without which nobody's reading can be recorded."""
    return NATIONAL in store.shards() and store.shard(NATIONAL).stream_version(agency_stream(HUB_ID)) > 0


@contextmanager
def opened_keys(settings: Settings, store: EventStore) -> Iterator[KeyStore]:
    """Give the data keys of a log."""
    kek_of(settings)
    keys = key_store(settings, log_name(store))
    try:
        yield keys
    finally:
        keys.close()


@contextmanager
def opened_views(settings: Settings, store: EventStore) -> Iterator[ViewDatabase]:
    """Give the views of a log."""
    views = view_database(settings, log_name(store))
    try:
        yield views
    finally:
        views.close()
