"""eventsourcing's factory on an event store of ours; each kind of store has a module that the library is given by name."""

from __future__ import annotations

import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from eventsourcing.persistence import AggregateRecorder, ApplicationRecorder, InfrastructureFactory, ProcessRecorder
from eventsourcing.utils import Environment, EnvType, resolve_topic

from services.eventstore import recorders, snapshots
from services.eventstore.store import NodeStore

RecorderClass = TypeVar("RecorderClass")
DEFAULT_SHARD: Final = "events"


class StoreFactory(InfrastructureFactory[recorders.LogTrackingRecorder], ABC):
    """The library's factory; what opens the store is the subclass's affair.

    ``EVENTSTORE_PATH``: the file of the node's state (required). ``EVENTSTORE_SHARD``: the one shard that everything lies in, default
    ``events``. ``ORIGINATOR_ID_TYPE``: ``uuid`` (default) or ``text``. Factories of one process share a file's store; the last one
    closes it.
    """

    EVENTSTORE_PATH = "EVENTSTORE_PATH"
    EVENTSTORE_SHARD = "EVENTSTORE_SHARD"
    ORIGINATOR_ID_TYPE = "ORIGINATOR_ID_TYPE"

    def __init__(self, env: Environment | EnvType | None) -> None:
        """Read the environment and open the store; raise ``OSError`` for a setting that is missing or wrong, as eventsourcing does."""
        super().__init__(env)
        path = Path(self.required(self.EVENTSTORE_PATH, "event store file")).absolute()
        id_type = (self.env.get(self.ORIGINATOR_ID_TYPE) or "uuid").lower()
        if id_type not in {"uuid", "text"}:
            raise OSError(f"{self.ORIGINATOR_ID_TYPE} is {id_type!r}, expected 'uuid' or 'text'")
        shard = self.env.get(self.EVENTSTORE_SHARD) or DEFAULT_SHARD
        store = _SHARED.borrow(path, lambda: self.open_store(path))
        self._release = weakref.finalize(self, _SHARED.give_back, path)
        self.snapshots = snapshots.Snapshots(path)
        self.log = recorders.Log(store.create_shard(shard), id_type == "uuid")

    @abstractmethod
    def open_store(self, path: Path) -> NodeStore:
        """Open the store whose state lies in this file."""

    def required(self, key: str, what: str) -> str:
        """Return a setting; raise ``OSError`` saying what is missing."""
        value = self.env.get(key)
        if not value:
            raise OSError(f"no {what} in the environment: set one of {', '.join(self.env.create_keys(key))}")
        return value

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """Return a recorder: on the log for ``events``, in a node-local cache for every other purpose (snapshots)."""
        if purpose == "events":
            return recorders.LogAggregateRecorder(self.log)
        return snapshots.SnapshotRecorder(self.snapshots, purpose, uuid_ids=self.log.uuid_ids)

    def application_recorder(self) -> ApplicationRecorder:
        """Return a recorder whose notification ids are positions on the shard."""
        return self._class(self.APPLICATION_RECORDER_TOPIC, recorders.LogApplicationRecorder)(self.log)

    def tracking_recorder(
        self, tracking_recorder_class: type[recorders.LogTrackingRecorder] | None = None
    ) -> recorders.LogTrackingRecorder:
        """Return a recorder of tracking alone."""
        return (tracking_recorder_class or self._class(self.TRACKING_RECORDER_TOPIC, recorders.LogTrackingRecorder))(self.log)

    def process_recorder(self) -> ProcessRecorder:
        """Return a recorder whose appends carry tracking."""
        return self._class(self.PROCESS_RECORDER_TOPIC, recorders.LogProcessRecorder)(self.log)

    def close(self) -> None:
        """Give the store back; idempotent."""
        self.snapshots.close()
        self._release()

    def _class(self, key: str, default: type[RecorderClass]) -> type[RecorderClass]:
        """Return the recorder class that the environment names, or the default."""
        topic = self.env.get(key)
        return resolve_topic(topic) if topic else default


class _SharedStores:
    """The stores that this process's factories have open, each with how many of them use it."""

    def __init__(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._stores: dict[Path, tuple[NodeStore, int]] = {}

    def borrow(self, path: Path, opened: Callable[[], NodeStore]) -> NodeStore:
        """Return the store of a file, opened if need be."""
        with self._lock:
            store, users = self._stores.get(path) or (opened(), 0)
            self._stores[path] = (store, users + 1)
            return store

    def give_back(self, path: Path) -> None:
        """Close the store of a file if nobody else uses it."""
        with self._lock:
            store, users = self._stores[path]
            if users > 1:
                self._stores[path] = (store, users - 1)
                return
            del self._stores[path]
            store.close()


_SHARED: Final = _SharedStores()
