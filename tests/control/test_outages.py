"""The loop outlives a database that is away for a while, and an engine that cannot do something."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from heliostat.control.clock import SystemClock
from heliostat.control.leases import Leases, SoleServer
from heliostat.control.loop import ControlLoop
from heliostat.control.reconciler import Reconciler
from heliostat.domain.engine import InstancePlan, Observation
from heliostat.domain.errors import NotReady, Unavailable
from heliostat.domain.ids import ClusterId, InstanceId
from heliostat.domain.installation import Installation
from heliostat.domain.quantities import GIB
from heliostat.domain.records import Cluster, Event
from heliostat.domain.releases import BUILT_IN, Catalogue
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.states import State
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.services import Caller, Services
from heliostat.store import Store, StoreSettings
from heliostat.store.events import Events
from heliostat.testing.tools import job_tools

from .servers import SETTINGS, FlakyStore

SHAPE = NodeShape("root_queue", Decimal(1), GIB)
SPEC = ClusterSpec("one", "ray-1.3.1", SHAPE, (WorkerGroup("g", SHAPE),))


class RefusingEngine(SimulatedEngine):
    """Raises at the next applies; counts looks."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.refusals: list[Exception] = []
        self.looks = 0

    async def observe(self, instance: InstanceId) -> Observation:
        self.looks += 1
        return await super().observe(instance)

    async def apply(self, plan: InstancePlan) -> None:
        if self.refusals:
            raise self.refusals.pop()
        await super().apply(plan)


class House:
    def __init__(self, store: Store, world: World, installation: Installation, leases: Leases, folder: Path) -> None:
        self.store = store
        self.flaky = FlakyStore(store)
        self.engine = RefusingEngine(world)
        reconciler = Reconciler(self.flaky.as_store, self.engine, installation, SystemClock())
        self.loop = ControlLoop(self.flaky.as_store, self.engine, reconciler, leases, SETTINGS)
        self.services = Services.build(
            store, installation, self.engine, SystemClock(), self.loop.wake, job_tools(folder)
        )

    async def create(self) -> Cluster:
        made = await self.services.identity.first_start("ann")
        assert made is not None
        self.caller = Caller(await self.services.identity.by_token(made.token.reveal()))
        return await self.services.clusters.create(self.caller, made.workspace, SPEC, start=True)

    async def until(self, cluster: ClusterId, state: State, message: str) -> None:
        async with asyncio.timeout(10):
            while True:
                found = await self.store.read(lambda tx: tx.clusters.find(cluster))
                if found is not None and found.state is state and message in found.message:
                    return
                await asyncio.sleep(0.01)


@asynccontextmanager
async def house(
    folder: Path, world: World, installation: Installation = Installation(), leases: Leases = SoleServer()
) -> AsyncIterator[tuple[House, asyncio.Task[None]]]:
    store = await Store.open(StoreSettings(f"sqlite:///{folder}/h.db", folder / "key"))
    it = House(store, world, installation, leases, folder)
    await it.engine.open()
    task = asyncio.create_task(it.loop.run())
    try:
        yield it, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await it.engine.close()
        await store.close()


async def test_the_loop_outlives_a_database_that_is_away(tmp_path: Path) -> None:
    async with house(tmp_path, World()) as (it, task):
        it.flaky.failures = 20
        made = await it.create()
        await it.until(made.id, State.RUNNING, "ok")
        assert it.flaky.failures == 0 and not task.done()
        assert set(it.engine.world.starts.values()) == {1}


class SlipperyLeases(SoleServer):
    """The database is away whenever a lease is given back."""

    def __init__(self) -> None:
        self.failures = 0

    async def release(self, key: ClusterId) -> None:
        self.failures += 1
        raise Unavailable("the database is away")


async def test_the_loop_outlives_a_lease_that_cannot_be_given_back(tmp_path: Path) -> None:
    leases = SlipperyLeases()
    async with house(tmp_path, World(), leases=leases) as (it, task):
        made = await it.create()
        await it.until(made.id, State.RUNNING, "ok")
        await it.services.clusters.stop(it.caller, made.workspace, made.id)
        await it.until(made.id, State.STOPPED, "ok")
        async with asyncio.timeout(10):
            while leases.failures < 3:
                await asyncio.sleep(0.01)
        assert not task.done()
        await it.services.clusters.start(it.caller, made.workspace, made.id)
        await it.until(made.id, State.RUNNING, "ok")


@pytest.mark.parametrize(
    ("error", "told"),
    [(OSError(28, "No space left on device"), "No space left"), (KeyError("x"), "see the server's log")],
)
async def test_what_fails_again_and_again_is_told_to_users(tmp_path: Path, error: Exception, told: str) -> None:
    async with house(tmp_path, World()) as (it, _):
        it.engine.refusals = [error] * 5
        made = await it.create()
        await it.until(made.id, State.STARTING, told)
        await it.until(made.id, State.RUNNING, "ok")


async def test_an_incident_is_written_once_however_often_it_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    add = Events.add

    def counted(events: Events, event: Event) -> bool:
        written.append(event.reason)
        return add(events, event)

    monkeypatch.setattr(Events, "add", counted)
    async with house(tmp_path, World()) as (it, _):
        made = await it.create()
        await it.until(made.id, State.RUNNING, "ok")
        (instance,) = it.engine.world.instances.values()
        for lost in range(1, 4):
            it.engine.kill(next(name for name, node in instance.nodes.items() if node.kind == "worker"))
            async with asyncio.timeout(10):
                while written.count("WorkerLost") < lost or len(instance.nodes) < 2:
                    await asyncio.sleep(0.01)
        looks = it.engine.looks
        async with asyncio.timeout(10):
            while it.engine.looks < looks + 3:
                await asyncio.sleep(0.01)
        assert written.count("WorkerLost") == 3


async def test_a_cluster_at_rest_costs_no_write(tmp_path: Path) -> None:
    async with house(tmp_path, World()) as (it, _):
        made = await it.create()
        await it.until(made.id, State.RUNNING, "ok")
        looks, writes = it.engine.looks, it.flaky.writes
        async with asyncio.timeout(10):
            while it.engine.looks < looks + 10:  # by the ticks
                await asyncio.sleep(0.01)
        assert it.flaky.writes <= writes + 2, "what was under way when it came to run"
        running = await it.store.read(lambda tx: tx.clusters.find(made.id))
        assert running is not None and running.instance is not None
        head = next(iter(it.engine.world.instances[running.instance].nodes))
        it.engine.kill(head)
        await it.until(made.id, State.ERROR, "cannot be brought back")


async def test_what_can_be_done_later_is_tried_again(tmp_path: Path) -> None:
    async with house(tmp_path, World()) as (it, _):
        it.engine.refusals = [Unavailable("busy")] * 3
        made = await it.create()
        await it.until(made.id, State.RUNNING, "ok")
        assert not it.engine.refusals


async def test_what_can_never_be_done_is_an_error_that_says_so(tmp_path: Path) -> None:
    async with house(tmp_path, World()) as (it, _):
        it.engine.refusals = [NotReady("install Python 3.11")]
        made = await it.create()
        await it.until(made.id, State.ERROR, "install Python 3.11")


@pytest.mark.parametrize("state", [State.STARTING, State.RUNNING])
async def test_a_release_that_is_no_longer_offered(tmp_path: Path, state: State) -> None:
    """What runs goes on running and says what is wrong; what has not begun to run cannot."""
    world = World(start_seconds=0 if state is State.RUNNING else 3600)
    async with house(tmp_path, world) as (it, _):
        made = await it.create()
        await it.until(made.id, state, "ok")
        async with asyncio.timeout(10):
            while not world.starts:
                await asyncio.sleep(0.01)
    without = replace(Installation(), catalogue=Catalogue.of(row for row in BUILT_IN if row.name != "ray-1.3.1"))
    async with house(tmp_path, world, without) as (it, _):
        expected = State.RUNNING if state is State.RUNNING else State.ERROR
        await it.until(made.id, expected, "no longer offered")
        assert set(world.starts.values()) == {1}
