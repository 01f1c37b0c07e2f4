"""Notes that instances are used through the gateway, so that they do not count as idle.

Nobody waits for a note: it is written beside the request, at most once per instance and half a minute, and one that is
lost is made up for by the next, for as long as the use goes on. Open ``ray://`` sessions are known to this server alone;
the others learn of them by the notes, and Ray tells of the driver.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

import structlog

from heliostat.domain.errors import HeliostatError
from heliostat.domain.ids import InstanceId
from heliostat.store import Store, Transaction

from .seams import Clock

log = structlog.get_logger()
NOTE_SECONDS = 30.0
"""Between two notes of one instance. :data:`heliostat.domain.activity.FRESH` is twice as long."""
MOST = 10_000
"""Instances whose last note is remembered."""


class Traffic:
    """One per server. ``await close()`` writes what is left."""

    def __init__(self, store: Store, clock: Clock, loop_time: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._time = loop_time
        self._noted: dict[InstanceId, float] = {}
        self._pending: set[InstanceId] = set()
        self._writer: asyncio.Task[None] | None = None
        self._sessions: Counter[InstanceId] = Counter()

    def used(self, instance: InstanceId) -> None:
        """It is being used now. Returns at once."""
        now = self._time()
        if now - self._noted.get(instance, -NOTE_SECONDS) < NOTE_SECONDS:
            return
        if len(self._noted) >= MOST:
            self._noted = {other: at for other, at in self._noted.items() if now - at < NOTE_SECONDS}
        self._noted[instance] = now
        self._pending.add(instance)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write(), name="notes of traffic")

    def session(self, instance: InstanceId, change: int) -> None:
        """A ``ray://`` session has been opened (1) or has ended (-1)."""
        self._sessions[instance] += change
        if self._sessions[instance] <= 0:
            del self._sessions[instance]

    def sessions(self, instance: InstanceId) -> int:
        """Open ``ray://`` sessions through this server."""
        return self._sessions[instance]

    async def close(self) -> None:
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)

    async def _write(self) -> None:
        """All that is pending, in one transaction; what comes meanwhile in the next one."""
        while self._pending:
            batch, self._pending = sorted(self._pending), set()

            def work(tx: Transaction, batch: list[InstanceId] = batch) -> None:
                now = self._clock.now()
                for instance in batch:
                    tx.instances.touch(instance, now)

            try:
                await self._store.write(work)
            except HeliostatError as error:
                log.warning("use not noted", instances=len(batch), cause=str(error))
                for instance in batch:
                    self._noted.pop(instance, None)
