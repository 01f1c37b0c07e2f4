"""Runs over the real store: made once whatever dies in between, looked after until their outcome is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from heliostat.dialects.flyte.runs import KIND, Phase, RunRecord
from heliostat.dialects.flyte.runs.attendant import LOG_PATIENCE, LOOK_AGAIN, NOW, PATIENCE, SOON, RunAttendant
from heliostat.dialects.flyte.runs.runs import Runs
from heliostat.dialects.flyte.settings import FlyteSettings
from heliostat.dialects.flyte.translate.submission import RunPlace
from heliostat.domain.documents import Document
from heliostat.domain.errors import HeliostatError, IdempotencyMismatch, Unavailable
from heliostat.domain.ids import JobId
from heliostat.domain.job_states import JobStatus
from heliostat.domain.jobs import Job
from heliostat.domain.records import Cluster
from heliostat.domain.states import Wanted
from heliostat.services import DataService, Services
from heliostat.storage.blobs import Blobs
from heliostat.store import Transaction
from heliostat.testing.crash import Crash, CrashPoints, crashing_store
from heliostat.testing.tools import job_tools
from tests.dialects.flyte.connector.propeller import template, write_error, write_outputs
from tests.services.conftest import Office, database, office, spec

__all__ = ["database", "office"]
SETTINGS = FlyteSettings()


def place(prefix: Path, **more: Any) -> RunPlace:
    task = ("flytesnacks", "development", "wf.t", "v1")
    return RunPlace("flytesnacks", "development", "f1", "n0", 0, task, f"file://{prefix}", **more)


class DownBlobs(Blobs):
    """A storage that does not answer until it is told to."""

    down = True

    async def read(self, url: str, limit: int) -> bytes | None:
        if self.down:
            raise Unavailable("the bucket does not answer")
        return await super().read(url, limit)


async def made(office: Office, tmp_path: Path, services: Services | None = None) -> JobId:
    runs = Runs(services or office.services, SETTINGS)
    return await runs.create(await office.caller("editor"), office.workspace, template(), place(tmp_path / "o"))


async def document(office: Office, run: JobId) -> Document:
    found = await office.services.documents.find(KIND, run)
    assert found is not None
    return found


async def ended(office: Office, run: JobId, status: JobStatus = JobStatus.SUCCEEDED, **more: Any) -> None:
    now = office.clock.now()

    def work(tx: Transaction) -> None:
        job = tx.jobs.lock(run)
        assert job is not None
        tx.jobs.save(replace(job, status=status, ended_at=now, message="as the test says", **more))

    await office.store.write(work)


async def record(office: Office, run: JobId) -> RunRecord:
    return RunRecord.decode((await document(office, run)).body)


async def test_a_crash_at_any_step_of_a_creation_is_made_good_by_the_next_one(office: Office, tmp_path: Path) -> None:
    steps = 0
    while True:
        points = CrashPoints()
        points.arm(steps)
        store = crashing_store(office.store, points)
        services = Services.build(
            store, office.services.installation, office.engine, office.clock, office.woken.append, job_tools(tmp_path)
        )  # fmt: skip
        runs = Runs(services, SETTINGS)
        where = replace(place(tmp_path / "o"), node=f"n{steps}")
        caller = await office.caller("editor")
        try:
            id = await runs.create(caller, office.workspace, template(), where)
        except Crash:
            id = await Runs(office.services, SETTINGS).create(caller, office.workspace, template(), where)
        assert (await document(office, id)).job == id
        jobs = await office.services.jobs.list(caller, office.workspace, limit=100)
        assert len(jobs) == steps + 1
        points.disarm()
        if points.crashed_at is None:
            break
        steps += 1
    assert steps > 3


async def test_who_has_no_role_any_more_does_not_keep_a_run_from_its_end(office: Office, tmp_path: Path) -> None:
    run = await made(office, tmp_path)
    await ended(office, run)
    write_outputs(tmp_path / "o", o0=1)
    await office.services.identity.grant(await office.caller("ann"), office.workspace, "editor", None)
    assert await RunAttendant(office.services).look(await document(office, run)) is None
    view = await Runs(office.services, SETTINGS).get(run)
    assert view is not None and view.phase is Phase.SUCCEEDED
    assert await Runs(office.services, SETTINGS).get(run, await office.caller("editor")) is None


async def test_an_open_run_is_looked_at_again_and_a_closed_one_is_kept_for_a_while(
    office: Office, tmp_path: Path
) -> None:
    keep = timedelta(days=3)
    run, attendant = await made(office, tmp_path), RunAttendant(office.services, keep)
    assert await attendant.look(await document(office, run)) == LOOK_AGAIN
    await ended(office, run, JobStatus.CANCELLED)
    assert await attendant.look(await document(office, run)) is None
    closed = await document(office, run)
    assert not closed.open and closed.expires_at == office.clock.now() + keep
    assert (await record(office, run)).outcome is not None
    assert await attendant.look(closed) is None  # looked at once more, it stays as it is
    await attendant.forget(closed)


async def test_two_lookers_agree(office: Office, tmp_path: Path) -> None:
    run, attendant = await made(office, tmp_path), RunAttendant(office.services)
    await ended(office, run, JobStatus.CANCELLED)
    before = await document(office, run)
    assert await attendant.look(before) is None
    assert await attendant.look(before) == NOW


async def test_a_job_that_was_deleted(office: Office, tmp_path: Path) -> None:
    run = await made(office, tmp_path)

    await office.store.write(lambda tx: tx.jobs.remove(run))
    view = await Runs(office.services, SETTINGS).get(run)
    assert view is not None and view.phase is Phase.RETRYABLE_FAILED
    await RunAttendant(office.services).look(await document(office, run))
    outcome = (await record(office, run)).outcome
    assert outcome is not None and outcome.code == "JobLost"
    with pytest.raises(IdempotencyMismatch):
        await made(office, tmp_path)


async def test_an_error_tells_no_secret(office: Office, tmp_path: Path) -> None:
    runs, caller = Runs(office.services, SETTINGS), await office.caller("editor")
    where = place(
        tmp_path / "o",
        environment={"DB_PASSWORD": "hunter2-hunter2", "SAME": "flytesnacks-1"},
        annotations={"a": "flytesnacks-1"},
    )
    run = await runs.create(caller, office.workspace, template(), where)
    write_error(tmp_path / "o", "flytesnacks-1 failed: {'DB_PASSWORD': 'hunter2-hunter2'}")
    await ended(office, run)
    await RunAttendant(office.services).look(await document(office, run))
    view = await runs.get(run)
    assert view is not None
    assert view.message == "[USER:ValueError] flytesnacks-1 failed: {'DB_PASSWORD': '****'}"


async def test_an_error_tells_no_secret_of_its_cluster(office: Office, tmp_path: Path) -> None:
    runs, caller = Runs(office.services, SETTINGS), await office.caller("editor")
    env = [{"name": "REDIS_PASSWORD", "value": "hunter2-hunter2"}]
    pod = {"primaryContainerName": "ray-head", "podSpec": {"containers": [{"name": "ray-head", "env": env}]}}
    own = template(custom={"rayCluster": {"headGroupSpec": {"k8sPod": pod}}})
    instance = await office.run_of((await office.running("one")).id)
    existing = template(labels={"heliostat/cluster": "one"})
    for node, made, secret in (("n0", own, "hunter2-hunter2"), ("n1", existing, instance.ray_token.reveal())):
        prefix = tmp_path / node
        run = await runs.create(caller, office.workspace, made, replace(place(prefix), node=node))
        write_error(prefix, f"environ: {secret}")
        await ended(office, run)
        await RunAttendant(office.services).look(await document(office, run))
        shown = await runs.get(run)
        assert shown is not None and shown.message == "[USER:ValueError] environ: ****"


async def test_storage_trouble_is_borne_for_a_while(office: Office, tmp_path: Path) -> None:
    blobs = DownBlobs({})
    services = replace(office.services, data=DataService(blobs, f"file://{tmp_path}/data", tmp_path / "scratch"))
    run, attendant = await made(office, tmp_path), RunAttendant(services)
    await ended(office, run)
    write_error(tmp_path / "o")
    since = office.clock.now()
    assert await attendant.look(await document(office, run)) == SOON
    for _ in range(5):
        office.clock.advance(seconds=30)
        again = await attendant.look(await document(office, run))
        assert again is not None and SOON <= again <= timedelta(seconds=30)
        view = await Runs(services, SETTINGS).get(run)
        assert view is not None and (view.phase, view.settled) == (Phase.RUNNING, False)
    assert (await record(office, run)).trouble_since == since
    blobs.down = False
    assert await attendant.look(await document(office, run)) is None
    view = await Runs(services, SETTINGS).get(run)
    assert view is not None and (view.phase, view.message) == (Phase.FAILED, "[USER:ValueError] boom")
    await blobs.close()


async def test_storage_trouble_is_not_borne_for_ever(office: Office, tmp_path: Path) -> None:
    blobs = DownBlobs({})
    services = replace(office.services, data=DataService(blobs, f"file://{tmp_path}/data", tmp_path / "scratch"))
    run, attendant = await made(office, tmp_path), RunAttendant(services)
    await ended(office, run)
    office.clock.advance(hours=5)  # a server that was down has not been patient
    assert await attendant.look(await document(office, run)) == SOON
    office.clock.advance(seconds=PATIENCE.total_seconds())
    assert await attendant.look(await document(office, run)) is None
    outcome = (await record(office, run)).outcome
    assert outcome is not None and (outcome.phase, outcome.code) == (Phase.RETRYABLE_FAILED, "StorageUnavailable")
    assert "the bucket does not answer" in outcome.message


async def test_a_failure_waits_for_the_end_of_its_log_but_not_for_long(office: Office, tmp_path: Path) -> None:
    run, attendant = await made(office, tmp_path), RunAttendant(office.services)

    def unfinished(job: Job) -> Job:
        from tests.dialects.flyte.runs.samples import job as sample

        return replace(job, attempts=(replace(sample(JobStatus.FAILED).attempts[0], log_complete=False),))

    await _changed(office, run, unfinished)
    await ended(office, run, JobStatus.FAILED)
    assert await attendant.look(await document(office, run)) == SOON
    office.clock.advance(seconds=LOG_PATIENCE.total_seconds())
    assert await attendant.look(await document(office, run)) is None


async def _changed(office: Office, run: JobId, change: Callable[[Job], Job]) -> None:
    def work(tx: Transaction) -> None:
        job = tx.jobs.lock(run)
        assert job is not None
        tx.jobs.save(change(job))

    await office.store.write(work)


async def test_a_run_of_an_execution_wakes_it_and_without_a_limit_stays_for_ever(
    office: Office, tmp_path: Path
) -> None:
    runs, caller = Runs(office.services, FlyteSettings(staging=True)), await office.caller("editor")
    task = template()
    task.metadata.timeout.seconds = 90
    run = await runs.create(caller, office.workspace, task, place(tmp_path / "o"), of_execution=True)
    stored = await document(office, run)
    assert stored.parent == "flyte.execution|flytesnacks/development/f1"
    assert RunRecord.decode(stored.body).staged == ""  # its data are ours already
    job = await office.services.jobs.get(caller, office.workspace, run)
    assert job.job.spec.deadline == timedelta(seconds=90)
    await ended(office, run, JobStatus.TIMEOUT)
    await RunAttendant(office.services).look(stored)
    assert (await document(office, run)).expires_at is None
    view = await runs.get(run)
    assert view is not None and (view.phase, view.code) == (Phase.RETRYABLE_FAILED, "TimeoutExpired")


async def test_only_who_may_run_jobs_ends_a_run(office: Office, tmp_path: Path) -> None:
    from heliostat.domain.errors import Forbidden

    run, runs = await made(office, tmp_path), Runs(office.services, SETTINGS)
    await runs.delete(await office.caller("nobody"), run)
    view = await runs.get(run)
    assert view is not None and not view.settled
    with pytest.raises(Forbidden):
        await runs.delete(await office.caller("viewer"), run)
    await runs.delete(await office.caller("editor"), run)
    await runs.delete(await office.caller("editor"), run)
    job = await office.services.jobs.get(await office.caller("ann"), office.workspace, run)
    assert job.job.status is JobStatus.CANCELLING


async def test_labels_of_an_execution_choose_before_those_of_the_task(office: Office, tmp_path: Path) -> None:
    runs, caller = Runs(office.services, SETTINGS), await office.caller("editor")
    one, two = [await office.running(name) for name in ("one", "two")]
    task = template(labels={"heliostat/cluster": "one"})
    rows: list[tuple[str, dict[str, str], Cluster]] = [
        ("n0", {}, one), ("n1", {"heliostat/cluster": "two"}, two), ("n2", {"a": "b"}, one)
    ]  # fmt: skip
    for node, labels, expected in rows:
        run = await runs.create(
            caller, office.workspace, task, replace(place(tmp_path / node, labels=labels), node=node)
        )
        job = await office.services.jobs.get(caller, office.workspace, run)
        assert job.job.cluster == expected.id
    for choice, told in (("heliostat/queue", "no queue is named"), ("heliostat/cluster", "there is no cluster")):
        for settings in (SETTINGS, FlyteSettings(reuse_idle=timedelta(minutes=1))):
            where = replace(place(tmp_path / "n3", labels={choice: "nothere"}), node="n3")
            with pytest.raises(HeliostatError) as caught:
                await Runs(office.services, settings).create(caller, office.workspace, template(), where)
            assert caught.value.path == f"labels.{choice}" and told in caught.value.message


async def test_shared_clusters_to_which_nobody_comes_back_go(office: Office, tmp_path: Path) -> None:
    runs, caller = Runs(office.services, FlyteSettings(reuse_idle=timedelta(minutes=1))), await office.caller("editor")

    async def shared(node: str, workers: float) -> Cluster:
        custom = {"rayCluster": {"workerGroupSpec": [{"groupName": "w", "replicas": workers}]}}
        run = await runs.create(
            caller, office.workspace, template(custom=custom), replace(place(tmp_path / node), node=node)
        )
        job = await office.services.jobs.get(caller, office.workspace, run)
        return await office.stored(job.job.cluster)

    old, running = await shared("n0", 1.0), await shared("n1", 2.0)
    own = await office.services.clusters.create(caller, office.workspace, spec("flyte-of-somebody"))
    for cluster in (old, running):
        await office.settle(cluster.id)
    await office.services.clusters.stop(caller, office.workspace, old.id)
    await office.settle(old.id)
    office.clock.advance(days=6)
    await shared("n2", 3.0)
    assert (await office.stored(old.id)).wanted is Wanted.STOPPED
    office.clock.advance(days=2)
    await shared("n3", 4.0)
    assert (await office.stored(old.id)).wanted is Wanted.DELETED
    assert (await office.stored(running.id)).wanted is Wanted.RUNNING
    assert (await office.stored(own.id)).wanted is Wanted.STOPPED
