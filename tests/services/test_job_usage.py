"""What a job has taken: of its own cluster by the ledger, whether that was metered yet or not, to the very end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from heliostat.control.code_delivery import CodeDelivery
from heliostat.control.job_reconciler import JobReconciler
from heliostat.control.log_keeper import LogKeeper
from heliostat.control.meter import Meter
from heliostat.domain.ids import JobId
from heliostat.domain.installation import Installation
from heliostat.domain.job_states import JobGoal, JobStatus
from heliostat.domain.jobs import Job, Usage
from heliostat.domain.states import State
from heliostat.ray_api.simulated import SimulatedRay
from heliostat.services import JobWish, News
from heliostat.services.cluster_steps import begin, remove, stop
from heliostat.storage.fetch import FetchPolicy
from heliostat.storage.folder import FolderStorage

from .conftest import Office, spec


async def submitted(office: Office) -> Job:
    return await office.services.jobs.submit(
        await office.caller("ann"), office.workspace, JobWish("sleep 100000", cluster_spec=spec(workers=1))
    )


async def started(office: Office, job: Job) -> None:
    cluster = await office.stored(job.cluster)
    await office.store.write(lambda tx: begin(tx, cluster, "heliostat", office.clock.now(), {}))
    await office.settle(job.cluster)


async def stopped(office: Office, job: Job) -> None:
    cluster = await office.stored(job.cluster)
    await office.store.write(lambda tx: stop(tx, cluster, "ann", office.clock.now(), "StopRequested", "stop requested"))
    await office.settle(job.cluster)
    assert (await office.stored(job.cluster)).state is State.STOPPED


async def used(office: Office, job: Job) -> Usage:
    view = await office.services.jobs.get(await office.caller("ann"), office.workspace, job.id)
    (row,) = await office.services.jobs.list(await office.caller("ann"), office.workspace, limit=10)
    assert row.usage == view.usage
    return view.usage


async def test_what_is_read_is_metered_and_what_is_not_yet(office: Office) -> None:
    job = await submitted(office)
    assert await used(office, job) == Usage()
    await started(office, job)
    office.clock.advance(minutes=30)
    half = await used(office, job)
    assert half.node_seconds == pytest.approx(2 * 1800) and half.peak_nodes == 2
    assert half.cpu_hours == pytest.approx(1) and half.memory_gib_hours == pytest.approx(1)
    assert half.cu_hours == pytest.approx(1), "a core is more than a quarter of a GiB"
    assert await Meter(office.store, office.clock).meter_once() == 2
    metered = await used(office, job)
    assert metered.node_seconds == pytest.approx(half.node_seconds) and metered.peak_nodes == 2
    office.clock.advance(minutes=30)
    assert (await used(office, job)).cpu_hours == pytest.approx(2)


async def test_all_runs_count_and_nothing_between_them(office: Office) -> None:
    job = await submitted(office)
    for _ in range(2):
        await started(office, job)
        office.clock.advance(minutes=30)
        await stopped(office, job)
        office.clock.advance(hours=5)
    assert (await used(office, job)).cpu_hours == pytest.approx(2)


async def test_the_end_of_its_nodes_is_the_end_of_its_usage(office: Office, tmp_path: Path) -> None:
    """Nodes that resist their removal are still the job's; afterwards what was stored stays."""
    job = await submitted(office)
    await started(office, job)
    office.clock.advance(minutes=30)
    cluster = await office.stored(job.cluster)
    await office.store.write(lambda tx: remove(tx, cluster, "heliostat", office.clock.now()))
    office.clock.advance(minutes=30)
    await office.settle(job.cluster)
    office.clock.advance(hours=3)
    await office.store.write(lambda tx: tx.jobs.save(over(tx.jobs.find(job.id), office)))
    storage, ray = FolderStorage(tmp_path / "storage"), SimulatedRay(office.world)
    keeper = LogKeeper(office.store, office.engine, storage, News(), office.clock)
    code = CodeDelivery(office.store, storage, ray, FetchPolicy(), tmp_path / "scratch", office.clock)
    reconciler = JobReconciler(
        office.store, ray, keeper, code, Installation(), office.clock, lambda cluster: None
    )  # fmt: skip
    try:
        await reconciler.reconcile(job.id)
    finally:
        await reconciler.close()
        await keeper.close()
        await storage.close()
    settled = await office.store.read(lambda tx: tx.jobs.find(JobId(job.id)))
    assert settled is not None and settled.settled
    assert settled.usage.cpu_hours == pytest.approx(2)
    assert await used(office, job) == settled.usage


def over(job: Job | None, office: Office) -> Job:
    assert job is not None
    return replace(job, status=JobStatus.CANCELLED, goal=JobGoal.CANCEL, ended_at=office.clock.now(), usage=Usage(1.0))


async def test_what_an_older_heliostat_has_counted_is_not_lost(office: Office) -> None:
    job = await submitted(office)
    before = Usage(3600.0, 1.0, 1.0, 0.0, 1.0, 1)
    await office.store.write(lambda tx: tx.jobs.save(replace(job, usage=before)))
    assert await used(office, job) == before
