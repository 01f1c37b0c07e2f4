"""The loop with the simulated engine and a real store: wishes become running clusters and go away again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from heliostat.control.clock import SystemClock
from heliostat.control.leases import SoleServer
from heliostat.control.loop import ControlLoop
from heliostat.control.reconciler import Reconciler
from heliostat.domain.errors import Conflict, IdempotencyMismatch, NotFound, NotReady
from heliostat.domain.ids import ClusterId, InstanceId, WorkspaceId
from heliostat.domain.installation import Installation
from heliostat.domain.quantities import GIB
from heliostat.domain.records import Cluster
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.states import State
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.services import Caller, Services
from heliostat.store import Store, StoreSettings
from heliostat.testing.tools import job_tools

SHAPE = NodeShape("root_queue", Decimal(1), GIB)


def spec(name: str = "one", workers: int = 2) -> ClusterSpec:
    return ClusterSpec(name, "ray-1.3.1", SHAPE, (WorkerGroup("g", SHAPE, replicas=workers),))


@dataclass
class House:
    services: Services
    store: Store
    world: World
    engine: SimulatedEngine
    caller: Caller
    workspace: WorkspaceId

    async def until(self, cluster: ClusterId, state: State) -> Cluster:
        async with asyncio.timeout(5):
            while True:
                found = await self.store.read(lambda tx: tx.clusters.find_any(cluster))
                assert found is not None
                if found.state is state:
                    return found
                await asyncio.sleep(0.005)

    async def gone(self, cluster: ClusterId) -> None:
        async with asyncio.timeout(5):
            while await self.store.read(lambda tx: tx.clusters.find_any(cluster)) is not None:
                await asyncio.sleep(0.005)

    async def reasons(self, cluster: ClusterId) -> list[str]:
        rows = await self.store.read(lambda tx: tx.events.page(cluster, limit=100))
        return [row.reason for row in reversed(rows)]


@asynccontextmanager
async def house(folder: Path, world: World) -> AsyncIterator[House]:
    store = await Store.open(StoreSettings(url=f"sqlite:///{folder / 'h.db'}", master_key=folder / "key"))
    engine = SimulatedEngine(world)
    await engine.open()
    clock = SystemClock()
    loop = ControlLoop(store, engine, Reconciler(store, engine, Installation(), clock), SoleServer())
    services = Services.build(store, Installation(), engine, clock, loop.wake, job_tools(folder))
    first = await services.identity.first_start("ann")
    assert first is not None
    caller = Caller(await services.identity.by_token(first.token.reveal()))
    task = asyncio.create_task(loop.run())
    try:
        yield House(services, store, world, engine, caller, first.workspace)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await engine.close()
        await store.close()


@pytest.fixture
async def h(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path, World()) as it:
        yield it


async def test_a_cluster_lives_its_whole_life(h: House) -> None:
    clusters = h.services.clusters
    made = await clusters.create(h.caller, h.workspace, spec())
    assert made.state is State.STOPPED
    started = await clusters.start(h.caller, h.workspace, made.id)
    assert started.state is State.STARTING
    running = await h.until(made.id, State.RUNNING)
    view = await clusters.get(h.caller, h.workspace, made.id)
    assert view.instance is not None and len(view.instance.nodes) == 3 and running.instance == view.instance.id
    await clusters.stop(h.caller, h.workspace, made.id, instance=running.instance)
    stopped = await h.until(made.id, State.STOPPED)
    assert stopped.instance is None and not h.world.instances
    again = await clusters.start(h.caller, h.workspace, made.id)
    assert again.instance != running.instance
    await h.until(made.id, State.RUNNING)
    with pytest.raises(Conflict):
        await clusters.delete(h.caller, h.workspace, made.id)
    await clusters.delete(h.caller, h.workspace, made.id, stop_first=True)
    await h.gone(made.id)
    assert not h.world.instances
    assert await h.reasons(made.id) == [
        "Created", "StartRequested", "Running", "StopRequested", "Stopped", "StartRequested", "Running",
        "DeleteRequested", "Deleted",
    ]  # fmt: skip


async def test_a_client_token_starts_once(h: House) -> None:
    clusters = h.services.clusters
    one = await clusters.create(h.caller, h.workspace, spec("one"))
    two = await clusters.create(h.caller, h.workspace, spec("two"))
    first = await clusters.start(h.caller, h.workspace, one.id, client_token="t")
    second = await clusters.start(h.caller, h.workspace, one.id, client_token="t")
    assert first.instance == second.instance
    with pytest.raises(IdempotencyMismatch):
        await clusters.start(h.caller, h.workspace, two.id, client_token="t")
    with pytest.raises(Conflict):
        await clusters.start(h.caller, h.workspace, one.id)


async def test_a_late_stop_spares_the_newer_run(h: House) -> None:
    clusters = h.services.clusters
    made = await clusters.create(h.caller, h.workspace, spec(), start=True)
    await h.until(made.id, State.RUNNING)
    with pytest.raises(Conflict, match="present one"):
        await clusters.stop(h.caller, h.workspace, made.id, instance=InstanceId("ray-x-old"))


async def test_a_failed_start_says_why_and_can_be_repeated(h: House) -> None:
    h.world.failing["one"] = "environment build failed: no such package"
    made = await h.services.clusters.create(h.caller, h.workspace, spec(), start=True)
    failed = await h.until(made.id, State.ERROR)
    assert "no such package" in failed.message
    why = await h.services.clusters.why(h.caller, h.workspace, made.id)
    assert "no such package" in why.summary and why.remedy
    h.world.failing.clear()
    await h.services.clusters.start(h.caller, h.workspace, made.id)
    await h.until(made.id, State.RUNNING)
    assert len(h.world.instances) == 1


async def test_a_killed_worker_is_replaced_and_a_killed_head_is_an_error(h: House) -> None:
    made = await h.services.clusters.create(h.caller, h.workspace, spec(), start=True)
    running = await h.until(made.id, State.RUNNING)
    assert running.instance is not None
    nodes = h.world.instances[running.instance].nodes
    victim = next(node.node for node in nodes.values() if node.kind == "worker")
    h.engine.kill(victim)
    async with asyncio.timeout(5):
        while "WorkerLost" not in await h.reasons(made.id) or len(nodes) < 3:
            await asyncio.sleep(0.005)
    assert victim not in nodes
    h.engine.kill(next(node.node for node in nodes.values() if node.kind == "head"))
    failed = await h.until(made.id, State.ERROR)
    assert "cannot be brought back" in failed.message
    await h.services.clusters.delete(h.caller, h.workspace, made.id)
    with pytest.raises(NotFound):
        await h.services.clusters.get(h.caller, h.workspace, made.id)
    await h.gone(made.id)
    assert not h.world.instances


async def test_an_update_of_a_running_cluster_is_marked(h: House) -> None:
    from dataclasses import replace

    clusters = h.services.clusters
    made = await clusters.create(h.caller, h.workspace, spec(), start=True)
    await h.until(made.id, State.RUNNING)
    renamed = await clusters.update(h.caller, h.workspace, made.id, lambda old: replace(old, description="new"))
    assert not renamed.modified and renamed.generation == 2
    grown = await clusters.update(
        h.caller, h.workspace, made.id, lambda old: replace(old, head=replace(old.head, env={"A": "1"}))
    )
    assert grown.modified
    back = await clusters.update(h.caller, h.workspace, made.id, lambda old: replace(old, head=made.spec.head))
    assert not back.modified


async def test_a_release_that_cannot_run_is_refused_before_anything_starts(h: House) -> None:
    h.world.releases_missing["ray-1.3.1"] = "install Python 3.11"
    made = await h.services.clusters.create(h.caller, h.workspace, spec())
    with pytest.raises(NotReady, match="install Python"):
        await h.services.clusters.start(h.caller, h.workspace, made.id)
    assert not h.world.instances


async def test_orphans_are_removed_at_the_start_of_a_server(tmp_path: Path) -> None:
    world = World()
    folder = tmp_path / "a"
    folder.mkdir()
    async with house(folder, world) as it:
        made = await it.services.clusters.create(it.caller, it.workspace, spec(), start=True)
        await it.until(made.id, State.RUNNING)
    assert len(world.instances) == 1
    other = tmp_path / "b"
    other.mkdir()
    async with house(other, world):
        async with asyncio.timeout(5):
            while world.instances:
                await asyncio.sleep(0.005)


async def test_a_server_that_comes_back_adopts_what_runs(tmp_path: Path) -> None:
    world = World()
    async with house(tmp_path, world) as it:
        made = await it.services.clusters.create(it.caller, it.workspace, spec(), start=True)
        await it.until(made.id, State.RUNNING)
    store = await Store.open(StoreSettings(url=f"sqlite:///{tmp_path / 'h.db'}", master_key=tmp_path / "key"))
    engine = SimulatedEngine(world)
    await engine.open()
    loop = ControlLoop(store, engine, Reconciler(store, engine, Installation(), SystemClock()), SoleServer())
    task = asyncio.create_task(loop.run())
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    found = await store.read(lambda tx: tx.clusters.find(made.id))
    assert found is not None and found.state is State.RUNNING
    assert set(world.starts.values()) == {1}
    await store.close()
