"""Many instances at once, on fake nodes: who starts when, what is told meanwhile, and whom a failure concerns."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from heliostat.domain.engine import InstancePlan, NodeState, Observation, Step
from heliostat.domain.ids import InstanceId
from heliostat.domain.releases import Release
from heliostat.engines.local import LocalSettings
from heliostat.engines.local.limits import WORKER_BYTES

from ..conformance import plan, until
from .kit import FastClock, Healthy, Lab, of_kind
from .test_environments import PretendedUv, uv

__all__ = ["uv"]

GIB = 1 << 30
BROKEN = Release("broken", "2.60.0", "3.11", packages=("no-such-package",))


class Memory:
    """How much is free, as the test says."""

    def __init__(self) -> None:
        self.free = 1 << 40

    def __call__(self) -> int:
        return self.free


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
async def narrow(settings: LocalSettings, memory: Memory) -> AsyncIterator[tuple[Lab, FastClock]]:
    """An engine with one start at once, two workers at once, and a memory that is as the test says."""
    clock = FastClock()
    offered = settings.ready_environment
    chosen = dataclasses.replace(
        settings,
        concurrent_starts=1,
        concurrent_workers=2,
        free_memory=memory,
        ready_environment=lambda release: None if release.packages else offered(release),
    )
    lab = Lab(chosen, clock, Healthy())
    await lab.open()
    yield lab, clock
    await lab.close()


def acting(wanted: InstancePlan, head: str = "", workers: str = "") -> InstancePlan:
    """Fake nodes that behave like that."""
    return dataclasses.replace(
        wanted,
        head=dataclasses.replace(wanted.head, env={"FAKE": head}),
        workers=tuple(dataclasses.replace(group, env={"FAKE": workers}) for group in wanted.workers),
    )


def of(release: Release, wanted: InstancePlan) -> InstancePlan:
    return dataclasses.replace(wanted, release=release)


async def is_up(lab: Lab, wanted: InstancePlan) -> Observation:
    nodes = 1 + sum(group.replicas for group in wanted.workers)
    return await until(
        lab.engine,
        wanted.instance,
        lambda seen: seen.complete and len(seen.nodes) == nodes and seen.step is Step.UP,
        "up",
    )


async def waits(lab: Lab, wanted: InstancePlan, reason: str) -> None:
    await until(lab.engine, wanted.instance, lambda seen: reason in queued(seen), f"it says: {reason}")


def queued(seen: Observation) -> str:
    """What a waiting instance says."""
    return next((entry.detail for entry in seen.progress if entry.step is Step.QUEUED and entry.ended_at is None), "")


def launched(seen: Observation) -> int:
    return sum(node.state is not NodeState.PENDING for node in of_kind(seen, "worker"))


async def started_at(lab: Lab, wanted: InstancePlan) -> float:
    seen = await lab.engine.observe(wanted.instance)
    return next(entry.started_at.timestamp() for entry in seen.progress if entry.step is Step.HEAD)


async def in_order(lab: Lab, plans: list[InstancePlan]) -> None:
    began = [await started_at(lab, wanted) for wanted in plans]
    assert began == sorted(began)


async def test_twenty_at_once_start_one_after_the_other_in_order(narrow: tuple[Lab, FastClock]) -> None:
    lab, _ = narrow
    plans = [plan(workers=0) for _ in range(20)]
    watched = asyncio.create_task(most_at_once(lab, plans))
    for wanted in plans:
        await lab.engine.apply(wanted)
    for wanted in plans:
        await is_up(lab, wanted)
    await in_order(lab, plans)
    watched.cancel()
    assert await watched == 1


async def most_at_once(lab: Lab, plans: list[InstancePlan]) -> int:
    """How many were seen with nodes that come up, at most; until cancelled."""
    most = 0
    try:
        while True:
            seen = [await lab.engine.observe(wanted.instance) for wanted in plans]
            most = max(most, sum(one.step in (Step.HEAD, Step.WORKERS) for one in seen))
            await asyncio.sleep(0)
    except asyncio.CancelledError:
        return most


async def test_after_a_restart_the_order_is_the_old_one(narrow: tuple[Lab, FastClock]) -> None:
    """Whichever instance the control loop comes to first; and a start that was under way still counts as one."""
    lab, _ = narrow
    first = acting(plan(workers=0), "slow")
    others = [plan(workers=0) for _ in range(5)]
    for wanted in (first, *others):
        await lab.engine.apply(wanted)
    for ahead, wanted in enumerate(others, 1):
        await waits(lab, wanted, f"{ahead} start")
    await lab.reopen()
    newest = plan(workers=0)
    for wanted in (newest, *reversed(others), first):
        await lab.engine.apply(wanted)
    for wanted in (first, *others, newest):
        await is_up(lab, wanted)
    await in_order(lab, [*others, newest])


async def test_one_that_is_destroyed_while_it_waits_holds_nobody_up(narrow: tuple[Lab, FastClock]) -> None:
    lab, _ = narrow
    first, second, third = acting(plan(workers=0), "hang"), plan(workers=0), plan(workers=0)
    for wanted in (first, second, third):
        await lab.engine.apply(wanted)
    await waits(lab, third, "2 starts are ahead")
    await lab.reopen()
    await lab.engine.apply(third)
    await waits(lab, third, "2 starts are ahead")
    for wanted in (second, first):
        await lab.engine.destroy(wanted.instance)
    await is_up(lab, third)


async def test_waiting_does_not_count_against_the_start(narrow: tuple[Lab, FastClock], memory: Memory) -> None:
    lab, clock = narrow
    memory.free = 0
    wanted = plan(workers=2)
    await lab.engine.apply(wanted)
    await waits(lab, wanted, "waits for memory: 3 nodes need 0.8 GiB, 0.0 GiB are free")
    clock.advance(3 * lab.settings.start_deadline.total_seconds())
    await waits(lab, wanted, "waits for memory")
    memory.free = GIB
    clock.advance(2)
    assert (await is_up(lab, wanted)).failure is None


async def test_a_large_step_of_a_running_instance_comes_up_a_few_at_a_time(narrow: tuple[Lab, FastClock]) -> None:
    lab, clock = narrow
    wanted = acting(plan(workers=0), workers="hang")
    await lab.engine.apply(wanted)
    await is_up(lab, wanted)
    other = plan(workers=0)
    await lab.engine.apply(other)
    await is_up(lab, other)
    await lab.engine.apply(acting(plan(wanted.instance, workers=7, generation=2), workers="hang"))
    await until(lab.engine, wanted.instance, lambda seen: launched(seen) == 2, "two are launched")
    await lab.engine.apply(plan(other.instance, workers=1, generation=2))
    await until(lab.engine, other.instance, lambda seen: len(seen.nodes) == 2, "it has a place")
    assert launched(await lab.engine.observe(other.instance)) == 0
    clock.advance(70)  # they hang, and hold up nobody any more
    await is_up(lab, plan(other.instance, workers=1))
    await until(lab.engine, wanted.instance, lambda seen: launched(seen) == 4, "the next two are launched")


async def test_workers_of_a_running_instance_wait_for_memory(narrow: tuple[Lab, FastClock], memory: Memory) -> None:
    lab, _ = narrow
    wanted = plan(workers=0)
    await lab.engine.apply(wanted)
    await is_up(lab, wanted)
    memory.free = WORKER_BYTES // 2
    await lab.engine.apply(plan(wanted.instance, workers=3, generation=2))
    seen = await until(lab.engine, wanted.instance, lambda seen: bool(seen.trouble), "it is told")
    assert seen.trouble == "3 workers wait for memory: 3 nodes need 0.5 GiB, 0.1 GiB are free"
    assert launched(seen) == 0
    memory.free = GIB
    seen = await is_up(lab, plan(wanted.instance, workers=3))
    assert not seen.trouble


async def test_a_failing_environment_fails_only_those_that_need_it(
    narrow: tuple[Lab, FastClock], uv: PretendedUv
) -> None:
    lab, _ = narrow
    (uv.folder / "fail").touch()
    broken = [of(BROKEN, plan(workers=0)) for _ in range(3)]
    sound = [plan(workers=0) for _ in range(3)]
    for pair in zip(broken, sound, strict=True):
        for wanted in pair:
            await lab.engine.apply(wanted)
    for wanted in sound:
        await is_up(lab, wanted)
    failures = {(await failure(lab, wanted.instance)) for wanted in broken}
    assert len(failures) == 1
    assert "the environment of " in failures.pop()
    assert uv.installs() == 1, "it is tried once for all who wait for it"


async def test_a_build_holds_nobody_up(narrow: tuple[Lab, FastClock], uv: PretendedUv) -> None:
    """The first to ask waits for its environment; when that is there it goes before those that asked later."""
    lab, _ = narrow
    (uv.folder / "hang").touch()
    first = of(BROKEN, plan(workers=0))
    await lab.engine.apply(first)
    await until(lab.engine, first.instance, lambda seen: seen.step is Step.ENVIRONMENT, "it builds")
    second = plan(workers=0)
    await lab.engine.apply(second)
    await is_up(lab, second)
    slow, last = acting(plan(workers=0), "slow"), plan(workers=0)
    for wanted in (slow, last):
        await lab.engine.apply(wanted)
    await waits(lab, last, "1 start is ahead")
    await let_go(uv.folder)
    for wanted in (first, slow, last):
        await is_up(lab, wanted)
    await in_order(lab, [second, slow, first, last])


async def let_go(folder: Path) -> None:
    """Let the pretended uv that hangs go on."""
    child = folder / "child"
    async with asyncio.timeout(30):
        while not (child.exists() and child.read_text().strip()):
            await asyncio.sleep(0.01)
    (folder / "hang").unlink()
    os.kill(int(child.read_text()), signal.SIGTERM)


async def failure(lab: Lab, instance: InstanceId) -> str:
    seen = await until(lab.engine, instance, lambda seen: seen.failure is not None, "it has failed")
    assert seen.failure is not None
    return seen.failure
