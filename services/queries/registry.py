"""``RegistryService``: agencies and keys, for any enrolled agency."""

from __future__ import annotations

from domain.kernel.agencies import AgencyKind
from domain.kernel.ids import NATIONAL
from projections.registry.projection import REGISTRY
from projections.registry.queries import Agency, AgencyKey, agencies, keys
from safeguarding.hub.v1 import registry_pb2 as pb
from safeguarding.hub.v1.agency_pb2 import KeyAlgorithm
from safeguarding.hub.v1.common_pb2 import AgencyKind as WireKind
from safeguarding.hub.v1.registry_pb2_grpc import RegistryServiceServicer
from services.queries.asking import Context, Desk, checked, limit_of


class Registry(RegistryServiceServicer):
    """Answers lists of agencies and keys."""

    def __init__(self, *, desk: Desk) -> None:
        """Answer from the registry view."""
        self._desk = desk

    async def ListAgencies(self, request: pb.ListAgenciesRequest, context: Context) -> pb.ListAgenciesResponse:  # noqa: N802  # the RPC's name
        """Return a page of agencies, by id."""
        checked(request)
        self._desk.caller(context)
        limit = limit_of(request.page_size)
        kind = None if not request.kind else AgencyKind[WireKind.Name(request.kind).removeprefix("AGENCY_KIND_")]
        found = await self._desk.look(
            REGISTRY.name,
            lambda reading: agencies(reading.connection, reading.tables, kind=kind, after=request.page_token, limit=limit + 1),
            shard=NATIONAL,
            min_position=request.min_position,
        )
        page = found[:limit]
        more = page[-1].agency_id if len(found) > limit else ""
        return pb.ListAgenciesResponse(agencies=[_agency(one) for one in page], next_page_token=more)

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:  # noqa: N802  # the RPC's name
        """Return a page of keys, by id."""
        checked(request)
        self._desk.caller(context)
        limit = limit_of(request.page_size)
        found = await self._desk.look(
            REGISTRY.name,
            lambda reading: keys(
                reading.connection, reading.tables, agency_id=request.agency_id or None, after=request.page_token, limit=limit + 1
            ),
            shard=NATIONAL,
            min_position=request.min_position,
        )
        page = found[:limit]
        return pb.ListKeysResponse(keys=[_key(one) for one in page], next_page_token=page[-1].key_id if len(found) > limit else "")


def _agency(agency: Agency) -> pb.AgencyRecord:
    return pb.AgencyRecord(
        agency_id=agency.agency_id,
        kind=WireKind.Value(f"AGENCY_KIND_{agency.kind.name}"),
        name=agency.name,
        live_from=agency.live_from.isoformat(),
        shards=agency.shards,
        suspended=agency.suspended,
    )


def _key(key: AgencyKey) -> pb.KeyRecord:
    record = pb.KeyRecord(
        key_id=key.key_id,
        agency_id=key.agency_id,
        algorithm=KeyAlgorithm.Value(f"KEY_ALGORITHM_{key.algorithm.name}"),
        public_key=key.public_key,
        state=key.state.value,
        registered_position=key.position,
    )
    record.registered_at.FromDatetime(key.registered_at)
    if key.ended_at is not None:
        record.ended_at.FromDatetime(key.ended_at)
    return record
