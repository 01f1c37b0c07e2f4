"""Which server works on which cluster, so that two servers on one database never work on one at once (invariant 3)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Protocol

import structlog

from heliostat.domain.ids import ClusterId, random_text
from heliostat.services.seams import Clock
from heliostat.store import Store

log = structlog.get_logger()


class Leases(Protocol):
    async def hold(self, key: ClusterId) -> bool:
        """True if this server may work on the cluster; stays true until :meth:`release`, while the server lives."""

    async def release(self, key: ClusterId) -> None: ...

    async def keep(self) -> None:
        """Renews what is held, until cancelled."""

    async def close(self) -> None: ...


class SoleServer:
    """For an installation whose database no other server can open: every lease is ours."""

    async def hold(self, key: ClusterId) -> bool:
        return True

    async def release(self, key: ClusterId) -> None:
        return None

    async def keep(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        return None


class StoredLeases:
    """Leases in the database: kept for as long as the server renews them, free for others ``lifetime`` after it died."""

    def __init__(self, store: Store, clock: Clock, lifetime: timedelta = timedelta(seconds=20)) -> None:
        self._store = store
        self._clock = clock
        self._lifetime = lifetime
        self._holder = random_text(16)
        self._until: dict[ClusterId, float] = {}
        """When each lease must have been renewed, in loop time; losing it merely costs a round to the database."""

    async def hold(self, key: ClusterId) -> bool:
        loop = asyncio.get_running_loop()
        if loop.time() < self._until.get(key, 0.0):
            return True
        return await self._acquire(key)

    async def release(self, key: ClusterId) -> None:
        if self._until.pop(key, None) is not None:
            await self._store.write(lambda tx: tx.leases.release(f"cluster/{key}", self._holder))

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(self._lifetime.total_seconds() / 4)
            for key in list(self._until):
                if not await self._acquire(key):
                    log.warning("lease lost", cluster=key)

    async def close(self) -> None:
        self._until.clear()
        await self._store.write(lambda tx: tx.leases.release_all(self._holder))

    async def _acquire(self, key: ClusterId) -> bool:
        asked = asyncio.get_running_loop().time()
        now = self._clock.now()
        ours = await self._store.write(
            lambda tx: tx.leases.acquire(f"cluster/{key}", self._holder, now, now + self._lifetime)
        )
        if ours:
            self._until[key] = asked + self._lifetime.total_seconds() / 2
        else:
            self._until.pop(key, None)
        return ours
