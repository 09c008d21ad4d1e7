"""What the log says of one agency and its keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from domain.agency.events import KeyAlgorithm
from domain.kernel.agencies import AgencyKind
from domain.kernel.corrections import NOTHING_SAID, SaidSoFar
from domain.kernel.ids import AgencyId, EventId, KeyId, Shard, Stream, stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public signing key and the positions of the national shard at which it began and ceased to be good."""

    key_id: KeyId
    owner: AgencyId
    algorithm: KeyAlgorithm
    public_key: bytes
    registered_position: int
    retired_position: int | None = None
    revoked_position: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """The agency was never enrolled."""

    said: SaidSoFar = field(default_factory=lambda: NOTHING_SAID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """The agency takes part. ``live_from`` is None when the body of its enrolment is gone."""

    agency_id: AgencyId
    kind: AgencyKind
    name: str
    live_from: date | None
    shards: tuple[Shard, ...]
    enrolment: EventId
    """The event that enrolled it (again): the first of its chain of corrections."""
    keys: Mapping[KeyId, Key] = field(default_factory=dict)
    said: SaidSoFar = field(default_factory=lambda: NOTHING_SAID)


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspended:
    """The agency may write nothing more until it is enrolled again; what it was is kept."""

    was: Enrolled
    said: SaidSoFar = field(default_factory=lambda: NOTHING_SAID)


Agency = Unknown | Enrolled | Suspended


def agency_stream(agency_id: AgencyId) -> Stream:
    """Name the stream of an agency, in the national shard."""
    return stream("agency", agency_id)


def keys_of(agency: Agency) -> Mapping[KeyId, Key]:
    """Return an agency's keys, whatever became of them."""
    match agency:
        case Unknown():
            return {}
        case Enrolled():
            return agency.keys
        case Suspended():
            return agency.was.keys
