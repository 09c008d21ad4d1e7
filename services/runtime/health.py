"""gRPC health: NOT_SERVING until the hub has caught up, and again from the moment it drains."""

from __future__ import annotations

from collections.abc import Iterable

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health_aio

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """Answers ``grpc.health.v1``, for the server as a whole ("") and for each named service."""

    def __init__(self, services: Iterable[str]) -> None:
        """Name the services; none is serving yet, so the first thing to do is ``await not_serving()`` or ``await serving()``."""
        self._names = ("", *services)
        self._servicer = health_aio.HealthServicer()

    async def add_to(self, server: grpc.aio.Server) -> None:
        """Register with a server, as not serving."""
        await self.not_serving()
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def serving(self) -> None:
        """Say that every service is serving."""
        await self._set(_SERVING)

    async def not_serving(self) -> None:
        """Say that no service is serving."""
        await self._set(_NOT_SERVING)

    async def drain(self) -> None:
        """Say that no service is serving, for good."""
        await self.not_serving()
        await self._servicer.enter_graceful_shutdown()

    async def _set(self, status: health_pb2.HealthCheckResponse.ServingStatus.ValueType) -> None:
        for name in self._names:
            await self._servicer.set(name, status)
