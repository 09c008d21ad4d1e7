"""Checks a hub against itself: every event's place, signature, commitment and leaf, each shard's digest, each view against a rebuild."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import gettempdir
from typing import Final, cast

from google.protobuf.message import DecodeError

from domain.kernel.ids import NATIONAL
from projections.kernel.database import ViewDatabase
from projections.kernel.view import View
from safeguarding.hub.v1.envelope_pb2 import EventHeader
from safeguarding.hub.v1.log_pb2 import LoggedEvent
from services.eventstore import fold
from services.eventstore.codec import decode_trusted
from services.eventstore.opening import DataKeys, Opener, UnreadableEvent
from services.eventstore.port import EventStore, Head, ShardStore, Stored
from services.eventstore.read_only import ReadOnlyEventStore
from services.projector.rebuild import Progress, Rebuild
from services.projector.scratch import scratch
from services.runtime.errors import HubError, IntegrityError, SignatureInvalid
from services.trust.keystore import Destroyed
from services.trust.registry import RegistryState
from services.trust.sealing import open_sealed
from services.trust.signing import HEADER_PAYLOAD_TYPE, commitment, verify_bytes

BATCH_EVENTS: Final = 1_000
SETTLE_SECONDS: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """The first thing that is wrong in a shard or view, and where."""

    shard: str
    position: int
    stream: str
    check: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewVerdict:
    """A view beside a rebuild of it."""

    view: str
    matches: bool
    digest: str
    rebuilt: str
    parked: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """All that was checked. ``problems`` holds the first of each shard."""

    shards: int
    events: int
    destroyed: int
    problems: tuple[Problem, ...]
    views: tuple[ViewVerdict, ...]

    @property
    def passed(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.problems and all(view.matches for view in self.views)


class _Wrong(Exception):
    """A check failed."""

    def __init__(self, check: str, reason: str) -> None:
        self.check = check
        self.reason = reason
        super().__init__(f"{check}: {reason}")


class Verification:
    """Re-reads a whole log. It changes nothing of the hub's, and may run beside it."""

    def __init__(
        self,
        *,
        store: ReadOnlyEventStore,
        keys: DataKeys,
        registry: RegistryState,
        log_origin: str,
        scratch_folder: Path,
        progress: Callable[[Progress], None],
    ) -> None:
        """``registry`` holds the trust root alone: the rest is read from the log.

        Views are rebuilt for a while in ``scratch_folder``, which is as safe as the view database's own; for whoever may not write there,
        in the system's folder for passing files.
        """
        self._store = store
        self._keys = keys
        self._registry = registry
        self._log_origin = log_origin
        self._scratch_folder = scratch_folder
        self._progress = progress
        self._events = 0
        self._destroyed = 0
        self._total = 0

    def run(self, views: ViewDatabase) -> Verdict:
        """Check everything and return what was found; raise ``IntegrityError`` for a log whose very file is damaged."""
        self._store.check_file()
        shards = sorted(self._store.shards(), key=lambda name: name != NATIONAL)
        self._total = sum(self._store.shard(name).head().position for name in shards)
        problems = [problem for name in shards if (problem := self._shard(name)) is not None]
        compared = () if problems else self._compare(views)
        return Verdict(shards=len(shards), events=self._events, destroyed=self._destroyed, problems=tuple(problems), views=compared)

    def _shard(self, name: str) -> Problem | None:
        shard = self._store.shard(name)
        head = shard.head()
        revoked = shard.revoked_keys()
        marks = {**shard.marks(), head.position: head.digest}
        versions: dict[str, int] = {}
        digest, position, proven, recorded_at_ms = fold.FIRST_DIGEST, 0, 0, 0
        while position < head.position:
            batch = shard.read(position, min(BATCH_EVENTS, head.position - position))
            if not batch:
                return Problem(shard=name, position=position + 1, stream="", check="position", reason="the event is missing")
            for stored in batch:
                try:
                    self._place(stored, position + 1, versions, recorded_at_ms)
                    self._event(shard, stored, revoked)
                except (_Wrong, HubError) as wrong:
                    check = wrong.check if isinstance(wrong, _Wrong) else type(wrong).__name__
                    reason = wrong.reason if isinstance(wrong, _Wrong) else str(wrong)
                    return Problem(shard=name, position=position + 1, stream=stored.stream, check=check, reason=reason)
                position, recorded_at_ms = stored.position, stored.recorded_at_ms
                digest = fold.next_digest(digest, shard.leaf(stored))
                if marks.get(position, digest) != digest:
                    reason = f"the events from here to {position} do not lead to the digest noted there"
                    return Problem(shard=name, position=proven + 1, stream="", check="digest", reason=reason)
                proven = position if position in marks else proven
                self._events += 1
            self._progress(Progress(applied=self._events, total=max(self._events, self._total)))
        beside = shard.disagreement(position)
        return None if beside is None else Problem(shard=name, **asdict(beside))

    def _place(self, stored: Stored, position: int, versions: dict[str, int], recorded_at_ms: int) -> None:
        """Positions and versions are dense, and time never goes back."""
        version = versions.get(stored.stream, 0) + 1
        if stored.position != position:
            raise _Wrong("position", f"expected {position}, found {stored.position}")
        if stored.version != version:
            raise _Wrong("version", f"expected {version}, found {stored.version}")
        if stored.recorded_at_ms < recorded_at_ms:
            raise _Wrong("recorded_at", "earlier than the event before")
        versions[stored.stream] = version

    def _event(self, shard: ShardStore, stored: Stored, revoked: dict[str, int]) -> None:
        """Demand that the event is what its agency signed, by a key that was good where it was judged."""
        try:
            logged = LoggedEvent.FromString(stored.state)
            header = EventHeader.FromString(logged.header)
        except DecodeError:
            raise _Wrong("state", "it is no logged event") from None
        said = (header.event_id, header.stream, header.event_type, header.shard, header.log_origin)
        if said != (stored.event_id, stored.stream, stored.type, shard.name, self._log_origin):
            raise _Wrong("header", "the header names another event, stream, type, shard or log")
        if hashlib.sha256(logged.header).digest() != stored.header_hash:
            raise _Wrong("header_hash", "it is not the hash of the header")
        self._signature(logged, header)
        if revoked.get(header.key_id, stored.position) < stored.position:
            raise _Wrong("revoked", "its key was revoked before this position")
        body = self._body(logged, header, stored)
        if shard.name == NATIONAL:
            self._take_into_registry(shard.name, stored)
        if body is None:
            self._destroyed += 1

    def _signature(self, logged: LoggedEvent, header: EventHeader) -> None:
        key = self._registry.key(header.key_id)
        if key is None or key.owner != header.agency_id or logged.signature.key_id != header.key_id:
            raise _Wrong("key", "its key is not registered for its agency")
        judged_at = logged.registry_position
        ends = [end for end in (key.retired_position, key.revoked_position) if end is not None]
        if key.registered_position > judged_at or any(end <= judged_at for end in ends):
            raise _Wrong("key", "its key was not active where it was judged")
        try:
            verify_bytes(key.public_key, logged.signature.value, HEADER_PAYLOAD_TYPE, logged.header)
        except SignatureInvalid:
            raise _Wrong("signature", "the signature does not fit the header") from None

    def _body(self, logged: LoggedEvent, header: EventHeader, stored: Stored) -> bytes | None:
        """Return the body if its data key exists; it must fit the commitment and be readable."""
        key = self._keys.get(logged.data_key_id)
        if isinstance(key, Destroyed):
            return None
        salt, body = open_sealed(key, stored.header_hash, logged.nonce, logged.sealed)
        if commitment(salt, body) != header.body_commitment:
            raise _Wrong("commitment", "the body is not the one that the header commits to")
        decode_trusted(stored.type, body)
        return body

    def _take_into_registry(self, shard: str, stored: Stored) -> None:
        try:
            self._registry.apply(Opener(self._keys).open(shard, stored))
        except (UnreadableEvent, IntegrityError) as error:
            raise _Wrong("registry", str(error)) from None

    def _compare(self, views: ViewDatabase) -> tuple[ViewVerdict, ...]:
        """Hold each view against a rebuild; views that have come equally far are rebuilt in one reading of the log."""
        still = {view.name: self._still(views, view.name, live.generation) for view in views.views if (live := views.live(view.name))}
        rebuilt: dict[str, bytes] = {}
        for positions in {tuple(sorted(positions.items())) for positions, _ in still.values()}:
            rebuilt |= self._rebuilt(
                [view for view in views.views if view.name in still and still[view.name][0] == dict(positions)], dict(positions)
            )
        return tuple(self._verdict(views, view.name, still, rebuilt) for view in views.views)

    def _rebuilt(self, views: Sequence[View], positions: dict[str, int]) -> dict[str, bytes]:
        """Rebuild views up to these positions in a file of their own and return the digests of their rows."""
        with self._scratch() as folder:
            beside = ViewDatabase(f"sqlite:///{folder / 'views.sqlite'}", views)
            try:
                generations = [beside.begin_build(view.name) for view in views]
                Rebuild(cast(EventStore, _Upto(self._store, positions)), Opener(self._keys), beside, self._progress).fill(generations)
                return {one.view: beside.digest(one.view, one.generation) for one in generations}
            finally:
                beside.close()

    def _scratch(self) -> AbstractContextManager[Path]:
        """Give a folder to rebuild views in."""
        is_ours = os.access(self._scratch_folder, os.W_OK | os.X_OK)
        return scratch(self._scratch_folder) if is_ours else scratch(Path(gettempdir()), "hub-verify")

    @staticmethod
    def _verdict(views: ViewDatabase, name: str, still: dict[str, tuple[dict[str, int], bytes]], rebuilt: dict[str, bytes]) -> ViewVerdict:
        live = views.live(name)
        if live is None or name not in still:
            return ViewVerdict(view=name, matches=False, digest="", rebuilt="not built yet", parked=0)
        _, digest = still[name]
        return ViewVerdict(
            view=name,
            matches=rebuilt[name] == digest,
            digest=digest.hex(),
            rebuilt=rebuilt[name].hex(),
            parked=len(views.parked(name, live.generation)),
        )

    def _still(self, views: ViewDatabase, view: str, generation: int) -> tuple[dict[str, int], bytes]:
        """Return a view's digest with the positions it is of, though the hub may be projecting meanwhile."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            before = views.positions(view, generation)
            digest = views.digest(view, generation)
            if views.positions(view, generation) == before:
                return before, digest
            if time.monotonic() > deadline:
                raise IntegrityError(f"view {view} moves too fast to be compared; verify when the hub is quieter")


class _Upto:
    """A store that ends where a view has come to."""

    def __init__(self, store: EventStore, positions: dict[str, int]) -> None:
        self._store = store
        self._positions = positions

    def shards(self) -> tuple[str, ...]:
        """Return the shards that the view has seen."""
        return tuple(name for name in self._store.shards() if self._positions.get(name))

    def shard(self, name: str) -> _UptoShard:
        """Return a shard that ends at the view's position."""
        return _UptoShard(self._store.shard(name), self._positions[name])


class _UptoShard:
    """A shard that ends at a position."""

    def __init__(self, shard: ShardStore, end: int) -> None:
        self._shard = shard
        self._end = end

    def head(self) -> Head:
        """Return a head at the end."""
        return replace(self._shard.head(), position=self._end)

    def read(self, after_position: int, limit: int) -> list[Stored]:
        """Return events up to the end."""
        return [stored for stored in self._shard.read(after_position, limit) if stored.position <= self._end]
