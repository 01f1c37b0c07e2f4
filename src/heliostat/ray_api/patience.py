"""A head that hangs holds up few of those who ask.

A question to a head that does not answer lasts until its deadline, and whoever asks for a crowd of jobs on such a cluster
would soon have nobody left to look after the others. So only some ask one head at a time, and while it is known to be
silent a single one does; all others are told at once what they would find out only later.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from heliostat.domain.activity import RayActivity
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import InstanceId
from heliostat.domain.ray_jobs import RaySighting, RaySubmission, WorkSummary

from .base import Head, RayApi

AT_ONCE = 8
"""Questions to one head."""
QUEUE_SECONDS = 1.0
"""How long another one waits for its turn."""
SLOW_SECONDS = 1.0
"""A failure that took longer is one of a head that hangs; a quick one holds up nobody."""
FORGOTTEN_SECONDS = 600.0
"""A silent head that nobody has asked for so long is gone."""


@dataclass
class _Asked:
    """What is known of a head."""

    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    asking: int = 0
    silent: bool = False
    last: float = 0.0


class PatientRay:
    """The RayApi protocol over another one. Single event loop; what it holds in memory is harmless to lose."""

    def __init__(self, ray: RayApi) -> None:
        self._ray = ray
        self._heads: dict[InstanceId, _Asked] = {}

    async def close(self) -> None:
        await self._ray.close()

    async def submit(self, head: Head, submission: RaySubmission) -> None:
        async with self._turn(head):
            await self._ray.submit(head, submission)

    async def sighting(self, head: Head, submission_id: str) -> RaySighting | None:
        async with self._turn(head):
            return await self._ray.sighting(head, submission_id)

    async def stop(self, head: Head, submission_id: str) -> None:
        async with self._turn(head):
            await self._ray.stop(head, submission_id)

    async def wake(self, head: Head, submission_id: str) -> None:
        async with self._turn(head):
            await self._ray.wake(head, submission_id)

    async def has_package(self, head: Head, name: str) -> bool:
        async with self._turn(head):
            return await self._ray.has_package(head, name)

    async def put_package(self, head: Head, name: str, path: Path) -> None:
        async with self._turn(head):
            await self._ray.put_package(head, name, path)

    async def summary(self, head: Head, ray_job_id: str) -> WorkSummary:
        """Asked once only, of a head that has just answered: it need not queue."""
        known = self._heads.get(head.instance)
        if known is not None and known.silent:
            raise Unavailable(f"the head {head.address} does not answer")
        return await self._ray.summary(head, ray_job_id)

    async def activity(self, head: Head) -> RayActivity:
        async with self._turn(head):
            return await self._ray.activity(head)

    @asynccontextmanager
    async def _turn(self, head: Head) -> AsyncIterator[None]:
        """Raises Unavailable instead of letting anybody wait for long."""
        clock = asyncio.get_running_loop().time
        known = self._known(head.instance, clock())
        if known.silent and known.asking:
            raise Unavailable(f"the head {head.address} does not answer")
        known.asking += 1
        try:
            try:
                async with asyncio.timeout(QUEUE_SECONDS):
                    await known.turns.acquire()
            except TimeoutError:
                raise Unavailable(f"the head {head.address} is busy") from None
            began = clock()
            try:
                yield
                known.silent = False
            except Unavailable:
                known.silent = known.silent or clock() - began >= SLOW_SECONDS
                raise
            finally:
                known.turns.release()
        finally:
            known.asking -= 1
            known.last = clock()
            if not known.asking and not known.silent:
                self._heads.pop(head.instance, None)

    def _known(self, instance: InstanceId, now: float) -> _Asked:
        known = self._heads.get(instance)
        if known is None:
            for other, row in list(self._heads.items()):
                if not row.asking and now - row.last > FORGOTTEN_SECONDS:
                    del self._heads[other]
            known = self._heads[instance] = _Asked()
        return known
