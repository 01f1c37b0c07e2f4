"""Which server works on which cluster or job, so that no two servers on one database ever work on one at once (invariant 3)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import structlog

from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import random_text
from heliostat.services.seams import Clock
from heliostat.store import Store, Transaction

log = structlog.get_logger()
_BATCH = 100


class Leases(Protocol):
    alone: bool
    """Whether no other server can work on the same keys."""

    async def hold(self, key: str) -> bool:
        """True if this server may work on the key; stays true until :meth:`release`, while the server lives."""

    async def release(self, key: str) -> None: ...

    async def keep(self) -> None:
        """Renews what is held, until cancelled."""

    async def close(self) -> None: ...


class SoleServer:
    """For an installation whose database no other server can open: every lease is ours."""

    alone = True

    async def hold(self, key: str) -> bool:
        return True

    async def release(self, key: str) -> None:
        return None

    async def keep(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        return None


class Anyone:
    """For work that several servers may do at once: its transactions see to it that nothing is done twice."""

    alone = False

    async def hold(self, key: str) -> bool:
        return True

    async def release(self, key: str) -> None:
        return None

    async def keep(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        return None


class StoredLeases:
    """Leases in the database: kept for as long as the server renews them, free for others ``lifetime`` after it died."""

    alone = False

    def __init__(
        self, store: Store, clock: Clock, lifetime: timedelta = timedelta(seconds=20), kind: str = "cluster"
    ) -> None:
        self._kind = kind
        self._store = store
        self._clock = clock
        self._lifetime = lifetime
        self._holder = random_text(16)
        self._until: dict[str, float] = {}
        """When each lease must have been renewed, in loop time; losing it merely costs a round to the database."""

    async def hold(self, key: str) -> bool:
        asked = asyncio.get_running_loop().time()
        if asked < self._until.get(key, 0.0):
            return True
        now = self._clock.now()
        if await self._store.read(lambda tx: tx.leases.others(f"{self._kind}/{key}", self._holder, now)):
            self._until.pop(key, None)
            return False  # what another server works on costs this one no write, however often it is woken for it
        ours = bool(await self._acquire([key]))
        if ours:
            self._remember(key, asked)
        else:
            self._until.pop(key, None)
        return ours

    async def release(self, key: str) -> None:
        if self._until.pop(key, None) is not None:
            await self._give_back(key)

    async def keep(self) -> None:
        while True:
            await asyncio.sleep(self._lifetime.total_seconds() / 4)
            try:
                await self._renew()
            except Unavailable as error:
                log.warning("leases not renewed", cause=error.message)

    async def close(self) -> None:
        self._until.clear()
        await self._store.write(lambda tx: tx.leases.release_all(self._holder))

    async def _renew(self) -> None:
        """All that are held, in few transactions: a server may hold thousands."""
        held = list(self._until)
        for start in range(0, len(held), _BATCH):
            batch = held[start : start + _BATCH]
            asked = asyncio.get_running_loop().time()
            ours = await self._acquire(batch)
            for key in batch:
                if key not in ours:
                    self._until.pop(key, None)
                    log.warning("lease lost", **{self._kind: key})
                elif key in self._until:
                    self._remember(key, asked)
                else:  # released while it was being renewed
                    await self._give_back(key)

    async def _acquire(self, keys: Sequence[str]) -> set[str]:
        """Take or renew; those that are ours now."""
        now = self._clock.now()

        def work(tx: Transaction) -> set[str]:
            until = now + self._lifetime
            return {key for key in keys if tx.leases.acquire(f"{self._kind}/{key}", self._holder, now, until)}

        return await self._store.write(work)

    async def _give_back(self, key: str) -> None:
        await self._store.write(lambda tx: tx.leases.release(f"{self._kind}/{key}", self._holder))

    def _remember(self, key: str, asked: float) -> None:
        self._until[key] = asked + self._lifetime.total_seconds() / 2
