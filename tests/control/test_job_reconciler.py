"""Looks at single jobs, where the effects meet what hinders them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
import pytest_asyncio

from heliostat.control.code_delivery import CodeDelivery
from heliostat.control.job_reconciler import JobReconciler, _change_cluster
from heliostat.control.log_keeper import LogKeeper
from heliostat.domain.ids import JobId, new_instance_id, new_job_id
from heliostat.domain.installation import Installation
from heliostat.domain.job_lifecycle import Effect, JobPlan
from heliostat.domain.job_states import JobGoal, JobStatus
from heliostat.domain.jobs import Attempt, Code, EntrypointResources, Job, Prepared, Retries
from heliostat.domain.ray_jobs import Cause
from heliostat.domain.secrets import JobSecret, WorkspaceSecret
from heliostat.domain.states import State, Wanted
from heliostat.engines.simulated import SimulatedEngine, World
from heliostat.engines.simulated_jobs import Script
from heliostat.ray_api.simulated import SimulatedRay
from heliostat.services import News
from heliostat.storage.fetch import CodeUnavailable, FetchPolicy
from heliostat.storage.folder import FolderStorage
from heliostat.store import Store, StoreSettings
from heliostat.testing.clock import ManualClock
from tests.store.samples import ANNA, HOME, NOW, a_cluster, a_job, an_instance, make_workspaces, seen

from .keeping import run_instance


class AwayCode(CodeDelivery):
    """Its places do not answer."""

    async def prepare(self, job: Job) -> Prepared:
        raise CodeUnavailable("example.org does not answer", later=True)


@dataclass
class Desk:
    store: Store
    clock: ManualClock
    reconciler: JobReconciler
    world: World

    async def at_its_head(self, *secrets: JobSecret) -> JobId:
        """A job whose attempt is about to be handed to the head of a cluster that runs."""
        made = a_cluster()
        instance = seen(an_instance(made))
        cluster = replace(made, wanted=Wanted.RUNNING, state=State.RUNNING, instance=instance.id, started_at=NOW)
        await run_instance(self.world, instance)
        job, id = a_job(), new_job_id()
        spec = replace(
            job.spec, code=Code(), runtime_env={}, resources=EntrypointResources(), cluster=made.id, retries=Retries(),
            secrets=secrets,
        )  # fmt: skip
        attempt = Attempt(1, id, instance.id, "abc", NOW)
        ready = replace(
            job, id=id, spec=spec, cluster=made.id, prepared=Prepared(), attempts=(attempt,), status=JobStatus.PENDING,
            submitted_at=self.clock.now(),
        )  # fmt: skip
        await self.store.write(lambda tx: (tx.clusters.add(cluster), tx.instances.add(instance), tx.jobs.add(ready)))
        return id

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
        yield Desk(store, clock, reconciler, engine.world)
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


PASSWORD = JobSecret("db", "password", variables=("PASSWORD",))


async def test_an_attempt_whose_secret_is_gone_fails_with_words_and_is_no_fault_of_the_cluster(desk: Desk) -> None:
    id = await desk.at_its_head(PASSWORD)
    await desk.reconciler.reconcile(id)
    job = await desk.stored(id)
    assert (job.status, job.cause) == (JobStatus.FAILED, Cause.USER_ERROR)
    assert job.message == (
        "secrets[0]: there is no secret db/password in its workspace; set it with: heliostat secret set db/password"
    )
    assert not desk.world.job_starts


@pytest.mark.parametrize("refused", [True, False])
async def test_no_message_of_rays_has_what_a_job_was_given(desk: Desk, refused: bool) -> None:
    """Not even a line of it, and not when the secret is another by then."""
    line = "a-line-of-a-key-0123456789"
    made = WorkspaceSecret(HOME, PASSWORD.name, NOW, ANNA, "anna")
    await desk.store.write(lambda tx: tx.secrets.set(made, f"first\n{line}\nlast\n"))
    desk.world.job_behaviour = lambda submission: Script(
        refusal=f"ValueError: bad {line}" if refused else "", pending_looks=0, running_looks=0, exit_code=1,
        output=f"ValueError: bad {line}",
    )  # fmt: skip
    id = await desk.at_its_head(PASSWORD)
    await desk.reconciler.reconcile(id)
    await desk.store.write(lambda tx: tx.secrets.remove(HOME, PASSWORD.name, NOW))
    for _ in range(3):
        await desk.reconciler.reconcile(id)
    job = await desk.stored(id)
    assert (job.status, job.cause) == (JobStatus.FAILED, Cause.USER_ERROR)
    assert "bad ***" in job.message and line not in job.message
    events = await desk.store.read(lambda tx: tx.events.of_job(id, limit=99))
    assert events and not any(line in event.message for event in events)
