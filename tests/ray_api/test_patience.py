"""A head that hangs holds up few of those who ask, and a crowd at a head that answers is served."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import InstanceId
from heliostat.domain.ray_jobs import RaySighting, RayStatus
from heliostat.engines.simulated import SimulatedEngine
from heliostat.ray_api import Head
from heliostat.ray_api import patience as module
from heliostat.ray_api.patience import AT_ONCE, PatientRay
from heliostat.ray_api.simulated import SimulatedRay

HUNG, WELL = (Head(InstanceId(f"ray-{name}"), name, None) for name in ("hung", "well"))
RUNS = RaySighting(RayStatus.RUNNING)


class Hanging(SimulatedRay):
    """Heads that hang until they are let go; then they fail, or answer if they were ``healed``."""

    def __init__(self) -> None:
        super().__init__(SimulatedEngine().world)
        self.let_go = asyncio.Event()
        self.healed = False
        self.asking: Counter[str] = Counter()
        self.most: Counter[str] = Counter()

    async def sighting(self, head: Head, submission_id: str) -> RaySighting | None:
        self.asking[head.address] += 1
        self.most[head.address] = max(self.most[head.address], self.asking[head.address])
        try:
            await asyncio.sleep(0)
            if head == HUNG and not self.healed:
                await self.let_go.wait()
                raise Unavailable("too late")
            return RUNS
        finally:
            self.asking[head.address] -= 1


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "QUEUE_SECONDS", 0.05)
    monkeypatch.setattr(module, "SLOW_SECONDS", 0.01)


async def ask(ray: PatientRay, head: Head) -> RaySighting | Unavailable | None:
    try:
        return await ray.sighting(head, "rj-1")
    except Unavailable as error:
        return error


async def test_a_hung_head_takes_few_and_then_a_single_one() -> None:
    inner = Hanging()
    ray = PatientRay(inner)
    async with asyncio.timeout(10):
        crowd = [asyncio.create_task(ask(ray, HUNG)) for _ in range(3 * AT_ONCE)]
        done, waiting = await asyncio.wait(crowd, timeout=0.5)
        assert (len(done), len(waiting)) == (2 * AT_ONCE, AT_ONCE)
        assert await ask(ray, WELL) == RUNS
        inner.let_go.set()
        await asyncio.wait(crowd)
        inner.let_go.clear()
        probe = asyncio.create_task(ask(ray, HUNG))
        while not inner.asking["hung"]:
            await asyncio.sleep(0)
        others = await asyncio.gather(*(ask(ray, HUNG) for _ in range(AT_ONCE)))
        assert all(isinstance(other, Unavailable) for other in others)
        assert inner.asking["hung"] == 1
        inner.let_go.set()
        assert isinstance(await probe, Unavailable)


async def test_a_head_that_answers_again_is_asked_by_all() -> None:
    inner = Hanging()
    ray = PatientRay(inner)
    hanging = asyncio.create_task(ask(ray, HUNG))
    await asyncio.sleep(0.05)
    inner.let_go.set()
    await hanging
    inner.healed = True
    assert await ask(ray, HUNG) == RUNS
    assert await asyncio.gather(*(ask(ray, HUNG) for _ in range(AT_ONCE))) == [RUNS] * AT_ONCE
    assert ray._heads == {}


async def test_a_crowd_at_a_head_that_answers_is_served() -> None:
    inner = Hanging()
    ray = PatientRay(inner)
    assert await asyncio.gather(*(ask(ray, WELL) for _ in range(10 * AT_ONCE))) == [RUNS] * (10 * AT_ONCE)
    assert inner.most["well"] == AT_ONCE


async def test_a_quick_failure_silences_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SLOW_SECONDS", 10.0)
    inner = Hanging()
    inner.let_go.set()
    ray = PatientRay(inner)
    failures = await asyncio.gather(*(ask(ray, HUNG) for _ in range(AT_ONCE)))
    assert {str(failure) for failure in failures} == {"too late"}
    assert inner.most["hung"] == AT_ONCE
