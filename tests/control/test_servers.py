"""Two servers on one database: invariant 3, and what happens when one of them dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from heliostat.control.loop import LoopSettings
from heliostat.domain.ids import ClusterId, WorkspaceId
from heliostat.domain.quantities import GIB
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.states import State
from heliostat.engines.simulated import World
from heliostat.services import Caller
from heliostat.testing.clock import ManualClock

from .servers import SETTINGS, Server, Watch, server

SHAPE = NodeShape("root_queue", Decimal(1), GIB)


def spec(name: str) -> ClusterSpec:
    return ClusterSpec(name, "ray-1.3.1", SHAPE, (WorkerGroup("g", SHAPE, replicas=2),))


@dataclass
class Pair:
    one: Server
    two: Server
    world: World
    watch: Watch
    clock: ManualClock
    caller: Caller
    workspace: WorkspaceId

    async def start(self, by: Server, names: Iterable[str]) -> list[ClusterId]:
        made = []
        for name in names:
            record = await by.services.clusters.create(self.caller, self.workspace, spec(name), start=True)
            made.append(record.id)
        return made

    async def until(self, clusters: list[ClusterId], state: State, seconds: float = 60) -> None:
        async with asyncio.timeout(seconds):
            while True:
                views = await self.two.services.clusters.list(self.caller, self.workspace, limit=1000)
                states = {view.cluster.id: view.cluster.state for view in views}
                if all(states[cluster] is state for cluster in clusters):
                    return
                await asyncio.sleep(0.02)


@pytest.fixture
def settings() -> LoopSettings:
    return SETTINGS


@pytest_asyncio.fixture
async def pair(database: str, tmp_path: Path, settings: LoopSettings) -> AsyncIterator[Pair]:
    world, watch, clock, key = World(start_seconds=0.05, linger=1), Watch(), ManualClock(), tmp_path / "key"
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(
            server("one", database, key, world, clock, watch, dies=True, settings=settings)
        )
        two = await stack.enter_async_context(server("two", database, key, world, clock, watch, settings=settings))
        made = await one.services.identity.first_start("ann")
        assert made is not None and await two.services.identity.first_start("ann") is None
        caller = Caller(await two.services.identity.by_token(made.token.reveal()))
        yield Pair(one, two, world, watch, clock, caller, made.workspace)


@pytest.mark.slow
async def test_fifty_clusters_are_started_once_each(pair: Pair) -> None:
    halves = await asyncio.gather(
        pair.start(pair.one, (f"one-{number}" for number in range(25))),
        pair.start(pair.two, (f"two-{number}" for number in range(25))),
    )
    clusters = halves[0] + halves[1]
    await pair.until(clusters, State.RUNNING)
    assert len(pair.world.starts) == 50 and set(pair.world.starts.values()) == {1}
    assert not pair.watch.clashes
    assert set().union(*pair.watch.looks.values()) == {"one", "two"}
    for view in await pair.one.services.clusters.list(pair.caller, pair.workspace, limit=100):
        assert view.instance is not None and len(pair.world.instances[view.instance.id].nodes) == 3


async def test_a_living_server_keeps_its_clusters_and_a_dead_one_loses_them(pair: Pair) -> None:
    clusters = await pair.start(pair.one, ["a", "b", "c"])
    await pair.until(clusters, State.RUNNING)
    await pair.one.stop()
    mine = [cluster for cluster in clusters if "two" not in pair.watch.looks[cluster]]
    assert mine, "the server that was asked worked on what it was asked for"
    for cluster in clusters:
        await pair.two.services.clusters.stop(pair.caller, pair.workspace, cluster)
    theirs = [cluster for cluster in clusters if cluster not in mine]
    await pair.until(theirs, State.STOPPED)
    await asyncio.sleep(0.2)  # several ticks, in which the heir must not touch what is still leased
    assert all(pair.watch.looks[cluster] == {"one"} for cluster in mine)
    pair.clock.advance(seconds=21)
    await pair.until(clusters, State.STOPPED)
    assert not pair.world.instances and not pair.watch.clashes
    assert set(pair.world.starts.values()) == {1}


@pytest.mark.parametrize("settings", [LoopSettings(tick=timedelta(hours=1), glance=timedelta(milliseconds=50))])
async def test_what_one_server_promises_the_other_notices_long_before_its_tick(pair: Pair) -> None:
    clusters = await pair.start(pair.one, ["a", "b", "c"])
    await pair.until(clusters, State.RUNNING)
    for cluster in clusters:
        by = pair.two if "two" not in pair.watch.looks[cluster] else pair.one
        await by.services.clusters.stop(pair.caller, pair.workspace, cluster)
    await pair.until(clusters, State.STOPPED, seconds=10)
    assert not pair.world.instances and not pair.watch.clashes
