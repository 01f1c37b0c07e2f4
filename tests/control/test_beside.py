"""Long steps beside the loop, and the loops that go on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import pytest_asyncio

from heliostat.control import beside
from heliostat.control.beside import Beside
from heliostat.control.clock import SystemClock
from heliostat.control.loop import LoopSettings
from heliostat.control.work import Work, WorkSettings
from heliostat.domain.errors import Unavailable
from heliostat.domain.ids import ClusterId, JobId
from heliostat.domain.installation import Installation
from heliostat.domain.job_states import JobStatus
from heliostat.domain.quantities import GIB
from heliostat.domain.ray_jobs import RaySubmission
from heliostat.domain.spec import ClusterSpec, NodeShape
from heliostat.domain.states import State
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.engines.simulated_jobs import Script
from heliostat.ray_api.simulated import SimulatedRay
from heliostat.services import Caller, JobWish, Services
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings

SPEC = ClusterSpec("c", "ray-1.3.1", NodeShape("root_queue", Decimal(1), GIB))
ONE_WORKER = LoopSettings(workers=1, tick=timedelta(milliseconds=100))


@pytest.fixture(autouse=True)
def short_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "MOMENT", 0.05)


async def test_a_quick_step_is_waited_for() -> None:
    steps = Beside()
    assert await steps.done("key", lambda: asyncio.sleep(0))


async def test_a_long_step_runs_once_and_tells_its_end() -> None:
    steps, go_on, ended = Beside(), asyncio.Event(), asyncio.Event()
    begun = 0

    async def step() -> None:
        nonlocal begun
        begun += 1
        await go_on.wait()

    assert not await steps.done("key", step, ended.set)
    assert not await steps.done("key", step, ended.set)
    assert await steps.done("other", lambda: asyncio.sleep(0))
    go_on.set()
    await asyncio.wait_for(ended.wait(), 5)
    assert await steps.done("key", step)
    assert begun == 1
    assert await steps.done("key", step)
    assert begun == 2


async def test_a_failure_is_raised_and_the_next_look_tries_again() -> None:
    steps = Beside()
    tries = iter((True, False))

    async def step() -> None:
        if next(tries):
            raise Unavailable("down")

    with pytest.raises(Unavailable):
        await steps.done("key", step)
    assert await steps.done("key", step)


async def test_closing_gives_up() -> None:
    steps = Beside()
    gone = asyncio.Event()

    async def step() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            gone.set()

    assert not await steps.done("key", step)
    await steps.close()
    assert gone.is_set()


class HangingStorage(FolderStorage):
    """Appends to a log hang from the moment on that it is told to."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.hangs = False
        self.go_on = asyncio.Event()

    async def append(self, key: str, offset: int, data: bytes) -> None:
        if self.hangs:
            await self.go_on.wait()
        await super().append(key, offset, data)


class House:
    def __init__(self, store: Store, storage: HangingStorage, folder: Path) -> None:
        def behaviour(submission: RaySubmission) -> Script:
            return Script(pending_looks=0, running_looks=1, exit_code=0, output="some words\n")

        engine = SimulatedEngine(World(job_behaviour=behaviour))
        ray, clock = SimulatedRay(engine.world), SystemClock()
        self.storage, self.store, self.engine = storage, store, engine
        settings = WorkSettings(clusters=ONE_WORKER, jobs=ONE_WORKER)
        self.work = Work(store, engine, storage, ray, Installation(), clock, folder / "scratch", settings)
        self.services = Services.build(store, Installation(), engine, clock, self.work.clusters.wake, self.work.tools)

    async def begin(self) -> None:
        await self.engine.open()
        made = await self.services.identity.first_start("ann")
        assert made is not None
        self.workspace = made.workspace
        self.caller = Caller(await self.services.identity.by_token(made.token.reveal()))

    async def job(self) -> JobId:
        job = await self.services.jobs.submit(self.caller, self.workspace, JobWish("true", cluster_spec=SPEC))
        return job.id

    async def cluster(self, name: str) -> ClusterId:
        """One that runs."""
        spec = replace(SPEC, name=name)
        made = await self.services.clusters.create(self.caller, self.workspace, spec, start=True)
        await self.reaches(made.id, State.RUNNING)
        return made.id

    async def reaches(self, cluster: ClusterId, state: State) -> None:
        async with asyncio.timeout(10):
            while (await self.services.clusters.get(self.caller, self.workspace, cluster)).cluster.state is not state:
                await asyncio.sleep(0.01)

    async def ended(self, job: JobId) -> None:
        async with asyncio.timeout(10):
            while (
                await self.services.jobs.get(self.caller, self.workspace, job)
            ).job.status is not JobStatus.SUCCEEDED:
                await asyncio.sleep(0.01)

    async def settled(self, job: JobId) -> None:
        async with asyncio.timeout(10):
            while not (await self.services.jobs.get(self.caller, self.workspace, job)).job.settled:
                await asyncio.sleep(0.01)


@pytest_asyncio.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await Store.open(StoreSettings(f"sqlite:///{tmp_path}/h.db", tmp_path / "key"))
    storage = HangingStorage(tmp_path / "storage")
    house = House(store, storage, tmp_path)
    await house.begin()
    running = asyncio.create_task(house.work.run())
    try:
        yield house
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await house.work.close()
        await storage.close()
        await store.close()


async def test_a_storage_that_hangs_holds_up_neither_other_jobs_nor_clusters(house: House) -> None:
    stopped = await house.cluster("stopped")
    house.storage.hangs = True
    jobs = []
    for _ in range(3):
        jobs.append(await house.job())
        await house.ended(jobs[-1])  # one worker, and the logs of those before are on their way
    await house.services.clusters.stop(house.caller, house.workspace, stopped)
    await house.cluster("other")
    house.storage.hangs = False
    house.storage.go_on.set()
    for job in jobs:
        await house.settled(job)
        (file,) = [
            row for row in await house.services.logs.files(house.caller, house.workspace, job) if "driver" in row.name
        ]
        assert file.complete
        assert (await house.services.logs.read(file, 0, file.size)).endswith(b"some words\n")
    await house.reaches(stopped, State.STOPPED)
