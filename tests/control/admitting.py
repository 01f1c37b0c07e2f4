"""A server in a process of its own whose users start and stop clusters without a pause. Ends by itself, leaving nothing.

Called as ``python -m tests.control.admitting URL KEY FOLDER TOKEN WORKSPACE NAME SECONDS``; prints how many starts were admitted.
"""

from __future__ import annotations

import asyncio
import random
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import structlog

from heliostat.control.clock import SystemClock
from heliostat.control.loop import LoopSettings
from heliostat.control.work import Work, WorkSettings
from heliostat.domain.errors import HeliostatError
from heliostat.domain.ids import ClusterId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.quantities import GIB
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.states import State
from heliostat.engines.simulated import SimulatedEngine
from heliostat.ray_api.simulated import SimulatedRay
from heliostat.services import Caller, Services
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings

USERS = 8
QUEUES = ("root_queue", "a", "b")
LOOP = LoopSettings(tick=timedelta(seconds=1), glance=timedelta(milliseconds=200))
NOTHING_LEFT = 60


def spec(name: str, number: int) -> ClusterSpec:
    shape = NodeShape(QUEUES[number % 3], Decimal(1), GIB)
    other = NodeShape(QUEUES[(number + number // 3) % 3], Decimal(1), GIB)
    return ClusterSpec(name, "ray-1.3.1", shape, (WorkerGroup("g", other, replicas=1 + number % 2),))


class User:
    """Starts a cluster, waits for it, stops it, and so on."""

    def __init__(self, services: Services, caller: Caller, workspace: WorkspaceId, name: str, number: int) -> None:
        self._services, self._caller, self._workspace = services, caller, workspace
        self._spec = spec(f"{name}-{number}", number)
        self._chance = random.Random(f"{name}-{number}")
        self.admitted = 0

    async def live(self, seconds: float) -> None:
        clusters = self._services.clusters
        cluster = (await clusters.create(self._caller, self._workspace, self._spec)).id
        deadline = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < deadline:
            try:
                await clusters.start(self._caller, self._workspace, cluster)
            except HeliostatError:
                await asyncio.sleep(0.01)  # its last run is not gone yet
                continue
            patience = self._chance.choice((0.05, 1.0, 5.0))
            while patience > 0 and await self._state(cluster) is not State.RUNNING:
                await asyncio.sleep(0.02)
                patience -= 0.02
            self.admitted += await self._state(cluster) is State.RUNNING
            await clusters.stop(self._caller, self._workspace, cluster)
        await clusters.delete(self._caller, self._workspace, cluster, stop_first=True)

    async def _state(self, cluster: ClusterId) -> State:
        return (await self._services.clusters.get(self._caller, self._workspace, cluster)).cluster.state


async def main(url: str, key: str, folder: str, token: str, workspace: WorkspaceId, name: str, seconds: float) -> None:
    store = await Store.open(StoreSettings(url, Path(key)))
    engine, clock, place = SimulatedEngine(), SystemClock(), Path(folder)
    await engine.open()
    storage = FolderStorage(place / "storage")
    settings = WorkSettings(shared=True, clusters=LOOP, queues=LOOP)
    work = Work(
        store, engine, storage, SimulatedRay(engine.world), Installation(), clock, place / f"scratch-{name}", settings
    )
    services = Services.build(store, Installation(), engine, clock, work.clusters.wake, work.tools, work.queues.wake)
    task = asyncio.create_task(work.run())
    caller = Caller(await services.identity.by_token(token))
    users = [User(services, caller, workspace, name, number) for number in range(USERS)]
    print("ready", flush=True)
    await asyncio.gather(*(user.live(seconds) for user in users))
    async with asyncio.timeout(NOTHING_LEFT):
        while await store.read(lambda tx: tx.clusters.active()):
            await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await work.close()
    await engine.close()
    await store.close()
    await storage.close()
    print(sum(user.admitted for user in users), flush=True)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    url, key, folder, token, workspace, name, seconds = sys.argv[1:]
    asyncio.run(main(url, key, folder, token, WorkspaceId(workspace), name, float(seconds)))
