"""The simulated engine passes the suite that real engines pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from heliostat.domain.engine import InstancePlan, NodeState, Scaling
from heliostat.engines.simulated import SimulatedEngine, World

from .conformance import EngineConformance, plan


class Simulation:
    within = 5.0

    def __init__(self) -> None:
        self.world = World()
        self.engine = SimulatedEngine(self.world)

    async def reopen(self) -> None:
        await self.engine.close()
        self.engine = SimulatedEngine(self.world)
        await self.engine.open()


class TestSimulatedEngine(EngineConformance):
    @pytest.fixture(params=[{}, {"start_seconds": 0.02, "linger": 2}], ids=["at once", "with delays"])
    async def harness(self, request: pytest.FixtureRequest) -> AsyncIterator[Simulation]:
        harness = Simulation()
        for name, value in request.param.items():
            setattr(harness.world, name, value)
        await harness.engine.open()
        yield harness
        await harness.engine.close()


async def test_a_world_with_a_clock_tells_its_time_and_the_same_at_every_look() -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    engine = SimulatedEngine(World(clock=lambda: now))
    wanted = plan()
    await engine.apply(wanted)
    first = await engine.observe(wanted.instance)
    assert {node.started_at for node in first.nodes} == {now} == {row.started_at for row in first.progress}
    now += timedelta(hours=1)
    assert await engine.observe(wanted.instance) == first
    await engine.close()


def elastic(workers: int, least: int, most: int) -> InstancePlan:
    wanted = plan(workers=workers)
    group = replace(wanted.workers[0], min_replicas=least, max_replicas=most)
    return replace(wanted, workers=(group,), scaling=Scaling())


async def test_its_autoscaler_follows_the_demand_within_the_bounds() -> None:
    engine = SimulatedEngine()
    wanted = elastic(1, 1, 3)
    await engine.apply(wanted)
    assert (await engine.observe(wanted.instance)).wanted == {"small": 1}
    for needed, number in ((2, 2), (9, 3), (0, 1)):
        engine.needs(wanted.instance, "small", needed)
        seen = await engine.observe(wanted.instance)
        assert (seen.wanted, seen.alive) == ({"small": number}, 1 + number)
        assert seen.demand is not None
        assert sum(want.count for want in seen.demand.pending) == max(0, needed - number)
    reasons = [incident.reason for incident in seen.incidents]
    assert reasons == ["WorkersAdded", "WorkersAdded", "WorkerRemoved"]
    assert not any(incident.warning for incident in seen.incidents)
    await engine.apply(replace(wanted, generation=2, workers=(replace(wanted.workers[0], min_replicas=2),)))
    assert (await engine.observe(wanted.instance)).wanted == {"small": 2}
    await engine.close()


async def test_other_replicas_and_grants_leave_the_number_to_its_autoscaler() -> None:
    engine = SimulatedEngine()
    wanted = elastic(2, 0, 5)
    await engine.apply(wanted)
    await engine.apply(replace(wanted, generation=2, workers=(replace(wanted.workers[0], replicas=4, granted=2),)))
    seen = await engine.observe(wanted.instance)
    assert (seen.wanted, len(seen.nodes)) == ({"small": 2}, 3)
    engine.needs(wanted.instance, "small", 4)
    seen = await engine.observe(wanted.instance)
    assert (seen.wanted, seen.alive, len(seen.nodes)) == ({"small": 4}, 3, 5)
    victim = next(node.node for node in seen.nodes if node.kind == "worker" and node.state is NodeState.ALIVE)
    engine.world.demand.clear()
    engine.kill(victim)
    await engine.apply(replace(wanted, generation=2, workers=(replace(wanted.workers[0], replicas=4, granted=2),)))
    seen = await engine.observe(wanted.instance)
    assert (seen.wanted, seen.alive) == ({"small": 3}, 3)
    assert "WorkerLost" in [incident.reason for incident in seen.incidents]
    await engine.close()


async def test_a_renewal_brings_the_head_back_when_its_part_has_changed() -> None:
    engine = SimulatedEngine()
    wanted = plan(workers=1)
    await engine.apply(wanted)
    before = await engine.observe(wanted.instance)
    await engine.apply(replace(wanted, generation=2, renew=2, head=replace(wanted.head, cpus=2.0)))
    after = await engine.observe(wanted.instance)
    heads = [next(node for node in seen.nodes if node.kind == "head") for seen in (before, after)]
    assert heads[0].node == heads[1].node
    assert (heads[1].restarts, heads[1].generation, heads[1].state) == (1, 2, NodeState.ALIVE)
    await engine.close()
