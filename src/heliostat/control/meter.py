"""Brings the ledger of usage up to date once a minute, so that what runs for days shows before it ends.

A batch is read and written in one transaction, and says of each claim until when it was metered: what a server does that
dies, or two do at once, is counted once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import structlog

from heliostat.domain.errors import Unavailable
from heliostat.services.seams import Clock
from heliostat.store import Store, Transaction

log = structlog.get_logger()
BATCH = 100
"""Claims of one transaction: others wait for it."""


@dataclass(frozen=True)
class MeterSettings:
    every: timedelta = timedelta(seconds=60)


class Meter:
    """Made once per server."""

    def __init__(self, store: Store, clock: Clock, settings: MeterSettings = MeterSettings()) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings

    async def run(self) -> None:
        """Meter now and then, until cancelled."""
        while True:
            await asyncio.sleep(self._settings.every.total_seconds())
            try:
                await self.meter_once()
            except Unavailable as error:
                log.warning("usage not metered", cause=error.message)
            except Exception:  # the boundary: usage that cannot be metered must not end the server
                log.exception("metering failed")

    async def meter_once(self) -> int:
        """Meter all claims that no server has metered of late; says how many."""
        total = 0
        while True:
            metered = await self._store.write(self._meter)
            total += metered
            if metered < BATCH:
                return total

    def _meter(self, tx: Transaction) -> int:
        now = self._clock.now()
        claims = tx.claims.unmetered(now - self._settings.every / 2, limit=BATCH)
        tx.claims.change([(claim, claim) for claim in claims], now)
        return len(claims)
