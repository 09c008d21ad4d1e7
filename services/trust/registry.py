"""The registry of agencies and keys in memory: the agency decider folded over the national shard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Final

from domain.agency.decider import DECIDER
from domain.agency.events import KeyAlgorithm
from domain.agency.state import Agency, Enrolled, Key, Suspended, Unknown, keys_of
from domain.kernel.agencies import OPERATOR_ID, AgencyKind
from domain.kernel.events import Recorded
from domain.kernel.ids import NATIONAL, AgencyId, KeyId, Shard, category_of, identity_of
from services.runtime.errors import IntegrityError
from services.trust.signing import PublicKey, public_key_of

OPERATOR_ROOT: Final = KeyId("operator-root")
"""The trust root: the operator's key from the settings, not from the log."""


@dataclass(frozen=True, slots=True)
class AgencyEntry:
    """An agency as the registry knows it. ``shards`` is empty for one that may write to all; ``live_from`` is None where none is known."""

    agency_id: AgencyId
    kind: AgencyKind
    name: str
    live_from: date | None
    shards: tuple[Shard, ...]
    is_suspended: bool


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A registered key and the national positions of its life; the algorithm is this one, whatever a message says."""

    key_id: KeyId
    owner: AgencyId
    algorithm: KeyAlgorithm
    encoded: bytes
    registered_position: int
    retired_position: int | None = None
    revoked_position: int | None = None

    @property
    def public_key(self) -> PublicKey:
        """The loaded key, cached. Raises ``SignatureInvalid`` for one that should never have been registered."""
        return public_key_of(self.algorithm, self.encoded)


_OPERATOR: Final = AgencyEntry(
    agency_id=OPERATOR_ID, kind=AgencyKind.OPERATOR, name="Operator", live_from=None, shards=(), is_suspended=False
)


class RegistryState:
    """All agencies and keys as of ``position`` of the national shard. Same events, same state. Touched by one thread at a time."""

    def __init__(self, operator_algorithm: KeyAlgorithm, operator_public_key: bytes) -> None:
        """Begin with the trust root alone. ``operator_public_key`` is in the registry's encoding (``signing.load_public_key``)."""
        root = KeyEntry(OPERATOR_ROOT, OPERATOR_ID, operator_algorithm, operator_public_key, registered_position=0)
        self._states: dict[AgencyId, Agency] = {}
        self._agencies: dict[AgencyId, AgencyEntry] = {OPERATOR_ID: _OPERATOR}
        self._keys: dict[KeyId, KeyEntry] = {OPERATOR_ROOT: root}
        self._position = 0

    @property
    def position(self) -> int:
        """The last position of the national shard that is in this state."""
        return self._position

    def agency(self, agency_id: str) -> AgencyEntry | None:
        """Return an enrolled agency (suspended or not), or None."""
        return self._agencies.get(AgencyId(agency_id))

    def key(self, key_id: str) -> KeyEntry | None:
        """Return a key, whatever became of it, or None."""
        return self._keys.get(KeyId(key_id))

    def agencies(self) -> list[AgencyEntry]:
        """Return all agencies by id."""
        return [self._agencies[agency_id] for agency_id in sorted(self._agencies)]

    def keys(self) -> list[KeyEntry]:
        """Return all keys by id."""
        return [self._keys[key_id] for key_id in sorted(self._keys)]

    def revoked_keys(self) -> dict[KeyId, int]:
        """Return every revoked key with the national position of its revocation."""
        return {key.key_id: key.revoked_position for key in self._keys.values() if key.revoked_position is not None}

    def apply(self, recorded: Recorded) -> None:
        """Take the next event of the national shard; raise ``IntegrityError`` if it is not the next one."""
        if recorded.shard != NATIONAL or recorded.position != self._position + 1:
            found = f"{recorded.shard} {recorded.position}"
            raise IntegrityError(f"registry: expected {NATIONAL} {self._position + 1}, found {found}")
        self._position = recorded.position
        if category_of(recorded.stream) != DECIDER.category:
            return
        agency_id = AgencyId(identity_of(recorded.stream))
        state = DECIDER.evolve(self._states.get(agency_id, DECIDER.initial), recorded)
        self._states[agency_id] = state
        entry = _entry(state)
        if entry is not None:
            self._agencies[agency_id] = entry
        self._keys.update((key.key_id, _key_entry(key)) for key in keys_of(state).values())


def _entry(state: Agency) -> AgencyEntry | None:
    match state:
        case Unknown():
            return None
        case Enrolled():
            enrolled, is_suspended = state, False
        case Suspended():
            # The trust root keeps the operator in office, also when the body of its enrolment can no longer be read.
            enrolled, is_suspended = state.was, state.was.agency_id != OPERATOR_ID
    return AgencyEntry(enrolled.agency_id, enrolled.kind, enrolled.name, enrolled.live_from, enrolled.shards, is_suspended)


def _key_entry(key: Key) -> KeyEntry:
    return KeyEntry(
        key_id=key.key_id,
        owner=key.owner,
        algorithm=key.algorithm,
        encoded=key.public_key,
        registered_position=key.registered_position,
        retired_position=key.retired_position,
        revoked_position=key.revoked_position,
    )
