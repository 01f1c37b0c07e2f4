"""The simulated engine passes the suite that real engines pass."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

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
