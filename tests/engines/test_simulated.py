"""The simulated engine passes the suite that real engines pass."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from heliostat.engines.simulated import SimulatedEngine, World

from .conformance import EngineConformance


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
