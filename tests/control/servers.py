"""Servers without doors: a store, an engine over a shared world and a loop with stored leases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TypeVar, cast

from heliostat.control.leases import StoredLeases
from heliostat.control.loop import ControlLoop, LoopSettings
from heliostat.control.reconciler import Reconciler
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import ClusterId
from heliostat.domain.installation import Installation
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.services import Services
from heliostat.services.seams import Clock
from heliostat.store import Store, StoreSettings, Transaction
from heliostat.testing.tools import job_tools

T = TypeVar("T")
SETTINGS = LoopSettings(tick=timedelta(milliseconds=50), first_retry=timedelta(milliseconds=20))


@dataclass
class Watch:
    """Sees whether two workers, of whatever servers, look at one cluster at once."""

    busy: set[ClusterId] = field(default_factory=set)
    clashes: list[ClusterId] = field(default_factory=list)
    looks: dict[ClusterId, set[str]] = field(default_factory=dict)
    """Which servers looked at it."""


class WatchedReconciler(Reconciler):
    """Tells the watch; lingers in each look, so that a clash would show."""

    watch: Watch
    server: str

    async def reconcile(self, key: ClusterId) -> timedelta | None:
        if key in self.watch.busy:
            self.watch.clashes.append(key)
        self.watch.busy.add(key)
        self.watch.looks.setdefault(key, set()).add(self.server)
        try:
            await asyncio.sleep(0.002)
            return await super().reconcile(key)
        finally:
            self.watch.busy.discard(key)


class DeadLeases(StoredLeases):
    """Of a server that dies: nothing is given back."""

    async def close(self) -> None:
        return None


class FlakyStore:
    """A store whose database is away for the next ``failures`` calls, and that counts its writes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.failures = 0
        self.writes = 0

    async def read(self, work: Callable[[Transaction], T]) -> T:
        self._fail()
        return await self._store.read(work)

    async def write(self, work: Callable[[Transaction], T]) -> T:
        self._fail()
        value = await self._store.write(work)
        self.writes += 1
        return value

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("the database is away")

    @property
    def as_store(self) -> Store:
        return cast(Store, self)


@dataclass
class Server:
    name: str
    store: Store
    services: Services
    loop: ControlLoop
    task: asyncio.Task[None]

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@asynccontextmanager
async def server(
    name: str,
    database: str,
    key: Path,
    world: World,
    clock: Clock,
    watch: Watch,
    *,
    dies: bool = False,
    settings: LoopSettings = SETTINGS,
) -> AsyncIterator[Server]:
    store = await Store.open(StoreSettings(database, key))
    engine, installation = SimulatedEngine(world), Installation()
    await engine.open()
    reconciler = WatchedReconciler(store, engine, installation, clock)
    reconciler.watch, reconciler.server = watch, name
    leases = (DeadLeases if dies else StoredLeases)(store, clock)
    loop = ControlLoop(store, engine, reconciler, leases, settings)
    services = Services.build(store, installation, engine, clock, loop.wake, job_tools(key.parent))
    it = Server(name, store, services, loop, asyncio.create_task(loop.run()))
    try:
        yield it
    finally:
        await it.stop()
        await engine.close()
        await store.close()
