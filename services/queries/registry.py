"""``RegistryService``: agencies, keys and partnerships, for any enrolled agency."""

from __future__ import annotations

from domain.kernel.agencies import AgencyKind, kind_of
from domain.kernel.ids import NATIONAL, Shard
from domain.partnership.state import partnership_stream
from projections.kernel.database import Reading
from projections.registry.projection import REGISTRY
from projections.registry.queries import Agency, AgencyKey, Partnership, agencies, keys, partnerships
from safeguarding.hub.v1 import registry_pb2 as pb
from safeguarding.hub.v1.agency_pb2 import KeyAlgorithm
from safeguarding.hub.v1.common_pb2 import AgencyKind as WireKind
from safeguarding.hub.v1.query_pb2 import Freshness
from safeguarding.hub.v1.registry_pb2_grpc import RegistryServiceServicer
from services.queries.asking import Context, Desk, freshness
from services.queries.paging import cut, limit_of
from services.runtime.fieldrules import check_fields


class Registry(RegistryServiceServicer):
    """Answers lists of agencies, keys and partnerships."""

    def __init__(self, *, desk: Desk) -> None:
        """Answer from the registry view."""
        self._desk = desk

    async def ListAgencies(self, request: pb.ListAgenciesRequest, context: Context) -> pb.ListAgenciesResponse:  # noqa: N802  # the RPC's name
        """Return a page of agencies, by id."""
        check_fields(request)
        self._desk.caller(context)
        kind = None if not request.kind else AgencyKind[WireKind.Name(request.kind).removeprefix("AGENCY_KIND_")]
        await self._desk.wait_for([(NATIONAL, request.min_position)], REGISTRY.name)

        def look(reading: Reading) -> pb.ListAgenciesResponse:
            limit = limit_of(request.page_size)
            found = agencies(reading.connection, reading.tables, kind=kind, after=request.page_token, limit=limit + 1)
            shown, more = cut(map(_agency, found), limit)
            return pb.ListAgenciesResponse(
                agencies=shown, next_page_token=shown[-1].agency_id if more else "", freshness=freshness(reading, NATIONAL)
            )

        return await self._desk.look(REGISTRY.name, look)

    async def ListKeys(self, request: pb.ListKeysRequest, context: Context) -> pb.ListKeysResponse:  # noqa: N802  # the RPC's name
        """Return a page of keys, by id."""
        check_fields(request)
        self._desk.caller(context)
        await self._desk.wait_for([(NATIONAL, request.min_position)], REGISTRY.name)

        def look(reading: Reading) -> pb.ListKeysResponse:
            limit, owner = limit_of(request.page_size), request.agency_id or None
            found = keys(reading.connection, reading.tables, agency_id=owner, after=request.page_token, limit=limit + 1)
            shown, more = cut(map(_key, found), limit)
            return pb.ListKeysResponse(keys=shown, next_page_token=shown[-1].key_id if more else "", freshness=freshness(reading, NATIONAL))

        return await self._desk.look(REGISTRY.name, look)

    async def ListPartnerships(  # noqa: N802  # the RPC's name
        self, request: pb.ListPartnershipsRequest, context: Context
    ) -> pb.ListPartnershipsResponse:
        """Return a page of partnerships, by shard."""
        check_fields(request)
        self._desk.caller(context)
        self._desk.demand_followed(())
        await self._desk.wait_for([(one.shard, one.position) for one in request.min_positions], REGISTRY.name)

        def look(reading: Reading) -> pb.ListPartnershipsResponse:
            limit = limit_of(request.page_size)
            found = partnerships(reading.connection, reading.tables, after=request.page_token, limit=limit + 1)
            shown, more = cut(map(_partnership, found), limit)
            shards = {one.shard for one in shown} | {one.shard for one in request.min_positions}
            return pb.ListPartnershipsResponse(
                partnerships=shown, next_page_token=shown[-1].shard if more else "", freshness=_freshness(reading, shards)
            )

        return await self._desk.look(REGISTRY.name, look)


def _freshness(reading: Reading, shards: set[str]) -> list[Freshness]:
    """Say how current a list of partnerships is: of some shards, and of every shard whose partnership could not be taken."""
    shards = shards | {one.shard for one in reading.parked() if one.stream == partnership_stream(Shard(one.shard))}
    return [freshness(reading, shard, [partnership_stream(Shard(shard))]) for shard in sorted(shards)]


def _agency(agency: Agency) -> pb.AgencyRecord:
    return pb.AgencyRecord(
        agency_id=agency.agency_id,
        kind=_kind(agency.kind),
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


def _partnership(partnership: Partnership) -> pb.PartnershipRecord:
    return pb.PartnershipRecord(
        shard=partnership.shard,
        name=partnership.name,
        starts_on=partnership.starts_on.isoformat(),
        members=[pb.PartnershipMember(agency_id=one, kind=_kind(kind_of(one))) for one in partnership.members],
        members_since=partnership.members_since.isoformat(),
    )


def _kind(kind: AgencyKind) -> WireKind.ValueType:
    return WireKind.Value(f"AGENCY_KIND_{kind.name}")
