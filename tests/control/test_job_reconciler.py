"""Looks at single jobs, where the effects meet what hinders them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest_asyncio

from heliostat.control.code_delivery import CodeDelivery
from heliostat.control.job_reconciler import JobReconciler, _change_cluster
from heliostat.control.log_keeper import LogKeeper
from heliostat.domain.ids import JobId, new_instance_id
from heliostat.domain.installation import Installation
from heliostat.domain.job_lifecycle import Effect, JobPlan
from heliostat.domain.job_states import JobGoal, JobStatus
from heliostat.domain.jobs import Code, Job, Prepared
from heliostat.domain.states import State, Wanted
from heliostat.engines.simulated import SimulatedEngine
from heliostat.ray_api.simulated import SimulatedRay
from heliostat.services import News
from heliostat.storage.fetch import CodeUnavailable, FetchPolicy
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings
from heliostat.testing.clock import ManualClock
from tests.store.samples import a_cluster, a_job, make_workspaces


class AwayCode(CodeDelivery):
    """Its places do not answer."""

    async def prepare(self, job: Job) -> Prepared:
        raise CodeUnavailable("example.org does not answer", later=True)


@dataclass
class Desk:
    store: Store
    clock: ManualClock
    reconciler: JobReconciler

    async def job(self, age: timedelta, deadline: timedelta | None) -> JobId:
        made = a_job()
        spec = replace(made.spec, code=Code(requirements="https://example.org/r.txt"), deadline=deadline, cluster=None)
        made = replace(
            made, spec=spec, status=JobStatus.SUBMITTED, goal=JobGoal.RUN, prepared=None, attempts=(), ended_at=None,
            submitted_at=self.clock.now() - age, settled=False, released_at=None, not_before=None,
        )  # fmt: skip
        await self.store.write(lambda tx: tx.jobs.add(made))
        return made.id

    async def stored(self, id: JobId) -> Job:
        found = await self.store.read(lambda tx: tx.jobs.find(id))
        assert found is not None
        return found


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    store = await Store.open(StoreSettings(f"sqlite:///{tmp_path}/h.db", tmp_path / "key"))
    await make_workspaces(store)
    clock, storage, engine = ManualClock(), FolderStorage(tmp_path / "storage"), SimulatedEngine()
    ray = SimulatedRay(engine.world)
    keeper = LogKeeper(store, engine, storage, News(), clock)
    code = AwayCode(store, storage, ray, FetchPolicy(), tmp_path / "scratch", clock)
    reconciler = JobReconciler(store, ray, keeper, code, Installation(), clock, lambda cluster: None)
    try:
        yield Desk(store, clock, reconciler)
    finally:
        await reconciler.close()
        await keeper.close()
        await storage.close()
        await store.close()


async def test_code_that_cannot_be_had_now_is_tried_ever_later_but_no_deadline_is_missed_for_it(desk: Desk) -> None:
    for age, deadline, expected in (
        (timedelta(seconds=2), None, timedelta(seconds=1)),
        (timedelta(seconds=100), None, timedelta(seconds=25)),
        (timedelta(seconds=500), None, timedelta(minutes=1)),
        (timedelta(seconds=500), timedelta(seconds=503), timedelta(seconds=3)),
    ):
        id = await desk.job(age, deadline)
        await desk.reconciler.reconcile(id)
        await asyncio.sleep(0)
        assert await desk.reconciler.reconcile(id) == expected
        assert "does not answer; it is tried again" in (await desk.stored(id)).message
    desk.clock.advance(seconds=3)
    await desk.reconciler.reconcile(id)
    assert (await desk.stored(id)).goal is JobGoal.TIMEOUT


async def test_a_cluster_that_a_user_has_just_started_is_not_started_twice(desk: Desk) -> None:
    made = a_cluster()
    started = replace(made, wanted=Wanted.RUNNING, state=State.STARTING, instance=new_instance_id(made.id))
    await desk.store.write(lambda tx: tx.clusters.add(started))
    id = await desk.job(timedelta(0), None)
    job = replace(await desk.stored(id), cluster=made.id)
    plan = JobPlan(Effect.START_CLUSTER, job, None)
    await desk.store.write(lambda tx: _change_cluster(tx, plan, desk.clock.now(), {}))
    assert await desk.store.read(lambda tx: tx.clusters.find_any(made.id)) == started
    assert await desk.store.read(lambda tx: tx.instances.live(made.id)) == []
