"""Revoked keys carried into every shard: one that cannot be written now holds up neither the others nor who appends."""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from services.intake.registry import RegistryFollower
from services.runtime.limits import REVOKING_MAX_SECONDS

RETRY_SECONDS: Final = 1.0
_LOG: Final = structlog.get_logger("hub")


class Revocations:
    """Has every shard know every revoked key. Touched by the event loop's thread alone."""

    def __init__(self, registry: RegistryFollower) -> None:
        """Carry what this registry knows to be revoked."""
        self._registry = registry
        self._is_wanted = False
        self._spreading: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None]:
        """Carry what is revoked by now, and try until every shard knows; return what is done then."""
        self._is_wanted = True
        if self._spreading is None or self._spreading.done():
            self._spreading = asyncio.create_task(self._spread())
        return self._spreading

    async def spread(self) -> None:
        """Return when every shard knows what is revoked by now, or after ``REVOKING_MAX_SECONDS``."""
        await asyncio.wait([self.begin()], timeout=REVOKING_MAX_SECONDS)

    async def close(self) -> None:
        """Give up: what is missing is carried when the hub starts again. Idempotent."""
        if self._spreading is not None:
            self._spreading.cancel()
            await asyncio.wait([self._spreading])

    async def _spread(self) -> None:
        while self._is_wanted:
            self._is_wanted = False
            try:
                under_way = self._registry.spread(self._registry.revoked())
                failed = await asyncio.gather(*map(asyncio.wrap_future, under_way), return_exceptions=True)
                missing = len([each for each in failed if each is not None])
            except Exception as error:  # noqa: BLE001  # whatever it is, a key that is revoked must come to be known
                _LOG.error("intake.revocations_not_spread", error=type(error).__name__)
                missing = 1
            else:
                if missing:
                    _LOG.warning("intake.revocations_not_spread", missing=missing, of=len(failed))
            if missing:
                self._is_wanted = True
                await asyncio.sleep(RETRY_SECONDS)
