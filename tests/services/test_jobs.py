"""Use cases on jobs: what is taken and what is refused, by whom, and that nothing is half done."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import fields, is_dataclass, replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from heliostat.domain.engine import Finding, Verdict
from heliostat.domain.errors import (
    Conflict,
    Forbidden,
    HeliostatError,
    IdempotencyMismatch,
    InvalidSpec,
    NotFound,
    NotReady,
)
from heliostat.domain.ids import ClusterId, JobId, new_cluster_id, new_instance_id, new_workspace_id
from heliostat.domain.installation import Installation
from heliostat.domain.job_states import JobClusterState, JobGoal, JobStatus
from heliostat.domain.jobs import PACKAGE, Attempt, Code, EntrypointResources, Job, JobSpec, Prepared, Retries
from heliostat.domain.quantities import GIB
from heliostat.domain.ray_jobs import Cause, RayStatus
from heliostat.domain.records import Cluster, Role
from heliostat.domain.secret import Secret
from heliostat.domain.secrets import JobSecret, SecretName
from heliostat.domain.spec import MASK, FaultTolerance
from heliostat.domain.states import State, Wanted
from heliostat.services import Caller, JobService, Services, masked_job
from heliostat.services.jobs import JobWish
from heliostat.store import JobFilter, Transaction
from heliostat.testing.tools import job_tools

from .conftest import BOTH, SHAPE, Office, spec


class JobOffice(Office):
    """An office that also notes which jobs were woken."""

    woken_jobs: list[JobId]

    async def submit(self, who: str = "ann", **wish: Any) -> Job:
        """On a cluster of its own, unless told otherwise."""
        wish = {"entrypoint": "python main.py", **wish}
        if "cluster" not in wish:
            wish = {"cluster_spec": spec(), **wish}
        return await self.services.jobs.submit(await self.caller(who), self.workspace, JobWish(**wish))

    async def job(self, id: JobId) -> Job:
        found = await self.store.read(lambda tx: tx.jobs.find(id))
        assert found is not None
        return found

    async def put(self, job: Job, **changes: Any) -> Job:
        """The job as the loop might have left it."""
        changed = replace(job, **changes)
        await self.store.write(lambda tx: tx.jobs.save(changed))
        return changed

    async def put_cluster(self, cluster: Cluster, **changes: Any) -> Cluster:
        changed = replace(cluster, **changes)
        await self.store.write(lambda tx: tx.clusters.save(changed))
        return changed

    async def facts(self) -> object:
        """Everything that a refused call must leave as it is."""
        return await self.store.read(
            lambda tx: (
                tx.jobs.page(self.workspace, limit=99),
                tx.clusters.page(self.workspace, limit=99, temporary=True),
                tx.events.of_workspace(self.workspace, limit=999),
            )
        )


@pytest.fixture
def jobs(office: Office, tmp_path: Path) -> JobOffice:
    it = JobOffice(**vars(office))
    it.woken_jobs = []
    tools = job_tools(tmp_path, it.woken_jobs.append)
    it.services = Services.build(it.store, Installation(), it.engine, it.clock, it.woken.append, tools)
    return it


# --- submitting ---------------------------------------------------------------------------------------------------------


@BOTH
async def test_everything_of_a_wish_is_stored(jobs: JobOffice) -> None:
    given: dict[str, Any] = {
        "name": "train",
        "runtime_env": {"env_vars": {"A": "b"}, "pip": ["numpy"]},
        "code": Code("https://x/code.zip", ("https://x/data",), "https://x/requirements.txt"),
        "metadata": {"owner": "anna"},
        "tags": {"team": "vision"},
        "resources": EntrypointResources(1, 0.5, GIB, {"disk": 2}),
        "deadline": timedelta(hours=1),
        "retries": Retries(3, 1, 2, 3),
        "shutdown_after_finish": False,
        "ttl": timedelta(minutes=1),
        "extras": {"emr.x": "y"},
        "secrets": (JobSecret("db", "password", "2", ("PASSWORD",), "db/password"),),
    }
    name = SecretName("db", "password", "2")
    await jobs.services.secrets.set(await jobs.caller("ann"), jobs.workspace, name, Secret("correct horse"))
    assert set(given) | {"entrypoint", "cluster", "cluster_spec"} == {field.name for field in fields(JobWish)}
    made = await jobs.submit(**given)
    stored = await jobs.job(made.id)
    assert stored == made
    assert {name: getattr(stored.spec, name) for name in given} == given
    assert (stored.status, stored.goal, stored.cluster_state) == (
        JobStatus.SUBMITTED, JobGoal.RUN, JobClusterState.SUBMITTED,
    )  # fmt: skip
    assert (stored.creator_name, stored.submitted_at, stored.message) == ("ann", jobs.clock.now(), "accepted")
    assert jobs.woken_jobs == [made.id]
    (event,) = await jobs.services.jobs.events(await jobs.caller("viewer"), jobs.workspace, made.id)
    assert (event.reason, event.actor, event.job, event.cluster) == ("Submitted", "ann", made.id, made.cluster)


async def test_a_job_without_a_name_has_its_id_for_one(jobs: JobOffice) -> None:
    made = await jobs.submit()
    assert made.spec.name == made.id


@BOTH
async def test_a_temporary_cluster_is_stored_with_its_job_and_stands_in_no_list(jobs: JobOffice) -> None:
    made = await jobs.submit(cluster_spec=spec("whatever"))
    cluster = await jobs.stored(made.cluster)
    assert (cluster.job, cluster.spec, cluster.spec.name) == (made.id, made.spec.cluster_spec, made.id)
    assert (cluster.state, cluster.wanted, cluster.instance) == (State.STOPPED, Wanted.STOPPED, None)
    assert cluster.spec.release == jobs.services.installation.catalogue.find("ray-1.3.1").display, "in full"
    ann = await jobs.caller("ann")
    own = await jobs.services.clusters.create(ann, jobs.workspace, spec("whatever"))
    for narrowed in ({}, {"name_contains": ""}, {"states": list(State)}):
        listed = await jobs.services.clusters.list(ann, jobs.workspace, limit=9, **narrowed)
        assert [view.cluster for view in listed] == [own]

        def read(tx: Transaction, narrowed: dict[str, Any] = narrowed) -> tuple[Any, ...]:
            place = jobs.workspace
            return (
                tx.clusters.page(place, limit=9, **narrowed),
                tx.clusters.page(place, limit=9, offset=1, **narrowed),
                [pair[0] for pair in tx.clusters.page_with_instances(place, limit=9, **narrowed)],
                tx.clusters.count(place, **narrowed),
                tx.clusters.count(place, temporary=True, **narrowed),
                {row.id for row in tx.clusters.page(place, limit=9, temporary=True, **narrowed)},
                {pair[0].id for pair in tx.clusters.page_with_instances(place, limit=9, temporary=True, **narrowed)},
            )

        both = {own.id, cluster.id}
        assert await jobs.store.read(read) == ([own], [], [own], 1, 2, both, both)


@BOTH
async def test_a_failing_transaction_leaves_neither_job_nor_cluster_nor_token(
    jobs: JobOffice, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await jobs.facts()
    ann = await jobs.caller("ann")
    wish = JobWish("true", cluster_spec=spec())

    def fail(self: object, event: object) -> bool:
        raise LookupError("the last thing that is written")

    with monkeypatch.context() as patch:
        patch.setattr("heliostat.store.events.Events.add", fail)
        with pytest.raises(LookupError):
            await jobs.services.jobs.submit(ann, jobs.workspace, wish, client_token="t")
    assert await jobs.facts() == before
    assert not jobs.woken_jobs
    again = await jobs.services.jobs.submit(ann, jobs.workspace, wish, client_token="t")
    assert (await jobs.job(again.id)) == again


STATES: dict[State, tuple[bool, bool]] = {
    State.STOPPED: (False, False),
    State.STARTING: (False, True),
    State.RUNNING: (True, True),
    State.STOPPING: (False, False),
    State.ERROR: (False, False),
}
"""Whether a job may be submitted to it, plainly and with ``accept_starting`` (EMR contract, section 7.1)."""


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("accept_starting", [False, True])
async def test_which_clusters_take_jobs(jobs: JobOffice, state: State, accept_starting: bool) -> None:
    up = state in (State.STARTING, State.RUNNING)
    cluster = await jobs.running()
    await jobs.put_cluster(cluster, state=state, wanted=Wanted.RUNNING if up else Wanted.STOPPED)
    ann, before = await jobs.caller("ann"), await jobs.facts()
    call = jobs.services.jobs.submit(
        ann, jobs.workspace, JobWish("true", cluster=cluster.id), accept_starting=accept_starting
    )
    if not STATES[state][accept_starting]:
        with pytest.raises(Conflict, match=f"{cluster.id} is {state}"):
            await call
        assert await jobs.facts() == before
        return
    made = await call
    assert (made.cluster, made.spec.cluster, made.spec.cluster_spec) == (cluster.id, cluster.id, cluster.spec)
    expected = JobClusterState.PENDING if state is State.STARTING else JobClusterState.RUNNING
    assert made.cluster_state is expected, "EMR contract, section 7.3"
    assert [
        row.id for row in await jobs.store.read(lambda tx: tx.clusters.page(jobs.workspace, limit=9, temporary=True))
    ] == [cluster.id]


async def test_a_cluster_that_shall_go_takes_no_jobs(jobs: JobOffice) -> None:
    cluster = await jobs.running()
    await jobs.put_cluster(cluster, state=State.STOPPING, wanted=Wanted.DELETED)
    with pytest.raises(Conflict):
        await jobs.submit(cluster=cluster.id)
    await jobs.put_cluster(cluster, state=State.STOPPED, wanted=Wanted.DELETED, deleted_at=jobs.clock.now())
    with pytest.raises(NotFound, match=cluster.id):
        await jobs.submit(cluster=cluster.id)


async def test_the_cluster_of_another_job_takes_no_jobs(jobs: JobOffice) -> None:
    first = await jobs.submit()
    cluster = await jobs.stored(first.cluster)
    await jobs.put_cluster(cluster, state=State.RUNNING, wanted=Wanted.RUNNING)
    with pytest.raises(Conflict, match=first.id):
        await jobs.submit(cluster=first.cluster)


async def test_a_cluster_of_another_workspace_is_not_found(jobs: JobOffice) -> None:
    cluster = await jobs.running()
    ann = await jobs.caller("ann")
    other = await jobs.services.directory.create_workspace(ann, "other")
    with pytest.raises(NotFound, match=cluster.id) as raised:
        await jobs.services.jobs.submit(ann, other.id, JobWish("true", cluster=cluster.id))
    assert raised.value.path == "cluster"


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "both": ({"cluster": ClusterId("ray-0"), "cluster_spec": spec()}, "cluster_spec"),
    "neither": ({"cluster": None}, "cluster"),
    "no entry point": ({"entrypoint": " "}, "entrypoint"),
    "name": ({"name": ""}, "name"),
    "variable": ({"runtime_env": {"env_vars": {"A": 1}}}, "runtime_env.env_vars.A"),
    "half a pair": ({"runtime_env": {"env_vars": {"A": "\ud800"}}}, "runtime_env.env_vars.A"),
    "a folder": ({"runtime_env": {"working_dir": "."}}, "runtime_env.working_dir"),
    "twice": ({"runtime_env": {"working_dir": "s3://a/b"}, "code": Code("s3://a/b")}, "runtime_env.working_dir"),
    "a refused source": ({"code": Code("refused://x")}, "working_dir"),
    "a refused source in the environment": ({"runtime_env": {"working_dir": "refused://x"}}, "working_dir"),
    "a refused file": ({"code": Code(files=("https://x", "refused://x"))}, "files[1]"),
    "refused requirements": ({"code": Code(requirements="refused://x")}, "requirements"),
    "a package that was not uploaded": ({"code": Code(PACKAGE + "0" * 64)}, "working_dir"),
    "no hash": ({"code": Code(PACKAGE + "0")}, "working_dir"),
    "metadata": ({"metadata": {"a": 1}}, "metadata.a"),
    "tags": ({"tags": {"": "x"}}, "tags"),
    "resources": ({"resources": EntrypointResources(cpus=-1)}, "resources.cpus"),
    "deadline": ({"deadline": timedelta(0)}, "deadline"),
    "ttl": ({"ttl": timedelta(-1)}, "ttl"),
    "retries": ({"retries": Retries(-1)}, "retries.limit"),
    "release of the cluster": ({"cluster_spec": replace(spec(), release="ray-9.9.9")}, "cluster_spec.release"),
    "queue of the cluster": (
        {"cluster_spec": replace(spec(), head=replace(SHAPE, queue="lost"))}, "cluster_spec.head.queue",
    ),
    "cores of the cluster": (
        {"cluster_spec": replace(spec(), head=replace(SHAPE, cpu=Decimal(-1)))}, "cluster_spec.head.cpu",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
async def test_what_is_wrong_is_named_and_nothing_is_stored(jobs: JobOffice, case: str) -> None:
    wish, path = WRONG[case]
    before = await jobs.facts()
    with pytest.raises(InvalidSpec) as raised:
        await jobs.submit(**wish)
    assert raised.value.path == path
    assert await jobs.facts() == before
    assert not jobs.woken_jobs


async def test_what_the_engine_cannot_do_is_refused_with_its_path(jobs: JobOffice) -> None:
    jobs.engine.findings = (Finding("head.gpu", Verdict.REFUSED, "there is no GPU"),)
    with pytest.raises(InvalidSpec, match="no GPU") as raised:
        await jobs.submit()
    assert raised.value.path == "cluster_spec.head.gpu"


async def test_what_this_machine_lacks_is_told_to_those_who_may_submit(jobs: JobOffice) -> None:
    jobs.world.releases_missing["ray-1.3.1"] = "install Python 3.11"
    before = await jobs.facts()
    with pytest.raises(NotReady, match=r"install Python 3\.11"):
        await jobs.submit()
    with pytest.raises(Forbidden):
        await jobs.submit("viewer")
    with pytest.raises(NotFound, match="workspace"):
        await jobs.submit("nobody")
    assert await jobs.facts() == before


@pytest.mark.parametrize("case", ["a refused source", "twice", "no entry point", "a package that was not uploaded"])
async def test_a_stranger_learns_nothing_from_what_is_wrong(jobs: JobOffice, case: str) -> None:
    """Which folders the operator allows, for one."""
    with pytest.raises(NotFound, match="workspace"):
        await jobs.submit("nobody", **WRONG[case][0])
    with pytest.raises(Forbidden):
        await jobs.submit("viewer", **WRONG[case][0])


@pytest.mark.parametrize("url", ["https://x/code.zip", PACKAGE + "1" * 64])
async def test_a_working_directory_in_the_environment_is_the_jobs(jobs: JobOffice, url: str) -> None:
    await jobs.store.write(lambda tx: tx.packages.add(jobs.workspace, "1" * 64, 1, jobs.clock.now()))
    made = await jobs.submit(runtime_env={"working_dir": url, "pip": ["x"]})
    assert made.spec.code == Code(url)
    assert made.spec.runtime_env == {"pip": ["x"]}


async def test_a_working_directory_in_rays_own_store_stays_where_it_is(jobs: JobOffice) -> None:
    made = await jobs.submit(runtime_env={"working_dir": "gcs://_ray_pkg_1.zip"})
    assert made.spec.code.empty and made.spec.runtime_env == {"working_dir": "gcs://_ray_pkg_1.zip"}


async def test_a_package_is_its_workspaces_own_and_a_submit_uses_it(jobs: JobOffice) -> None:
    ann = await jobs.caller("ann")
    other = await jobs.services.directory.create_workspace(ann, "other")
    wish = JobWish("true", cluster_spec=spec(), code=Code(PACKAGE + "1" * 64))
    long_ago = jobs.clock.now() - timedelta(days=9)
    await jobs.store.write(lambda tx: tx.packages.add(other.id, "1" * 64, 1, long_ago))
    with pytest.raises(InvalidSpec, match="not uploaded to this workspace"):
        await jobs.services.jobs.submit(ann, jobs.workspace, wish)
    assert await jobs.store.read(lambda tx: tx.packages.unused_since(jobs.clock.now(), limit=9)) == [
        (other.id, "1" * 64)
    ]
    await jobs.store.write(lambda tx: tx.packages.add(jobs.workspace, "1" * 64, 1, long_ago))
    await jobs.services.jobs.submit(ann, jobs.workspace, wish)
    assert await jobs.store.read(lambda tx: tx.packages.unused_since(jobs.clock.now(), limit=9)) == [
        (other.id, "1" * 64)
    ]


# --- client tokens ------------------------------------------------------------------------------------------------------


@BOTH
async def test_a_repeated_submit_answers_with_what_was_made(jobs: JobOffice) -> None:
    service, ann = jobs.services.jobs, await jobs.caller("ann")
    wish = JobWish("true", cluster_spec=spec())
    first = await service.submit(ann, jobs.workspace, wish, client_token="t")
    jobs.clock.advance(hours=23, minutes=59)
    jobs.woken_jobs.clear()
    before = await jobs.facts()
    assert await service.submit(ann, jobs.workspace, wish, client_token="t") == first
    assert await jobs.facts() == before and not jobs.woken_jobs
    by_editor = await service.submit(await jobs.caller("editor"), jobs.workspace, wish, client_token="t")
    assert by_editor.id != first.id, "everybody has tokens of their own"
    jobs.clock.advance(minutes=1)
    assert (await service.submit(ann, jobs.workspace, wish, client_token="t")).id != first.id


@BOTH
async def test_of_concurrent_submits_with_one_token_one_makes_a_job(jobs: JobOffice) -> None:
    service, ann = jobs.services.jobs, await jobs.caller("ann")
    wish = JobWish("true", cluster_spec=spec())
    made = await asyncio.gather(*(service.submit(ann, jobs.workspace, wish, client_token="t") for _ in range(8)))
    assert len({job.id for job in made}) == 1
    assert jobs.woken_jobs == [made[0].id]
    assert await jobs.store.read(lambda tx: tx.jobs.count(jobs.workspace)) == 1
    assert await jobs.store.read(lambda tx: tx.clusters.count(jobs.workspace, temporary=True)) == 1


async def test_a_token_is_for_one_thing(jobs: JobOffice) -> None:
    service, ann = jobs.services.jobs, await jobs.caller("ann")
    wish = JobWish("true", cluster_spec=spec())
    await service.submit(ann, jobs.workspace, wish, client_token="t")
    with pytest.raises(IdempotencyMismatch):
        await service.submit(ann, jobs.workspace, replace(wish, entrypoint="false"), client_token="t")
    with pytest.raises(IdempotencyMismatch):
        await jobs.services.clusters.create(ann, jobs.workspace, spec(), client_token="t")
    other = await jobs.services.directory.create_workspace(ann, "other")
    with pytest.raises(IdempotencyMismatch):
        await service.submit(ann, other.id, wish, client_token="t")


async def test_a_refused_submit_does_not_use_up_its_token(jobs: JobOffice) -> None:
    service, ann = jobs.services.jobs, await jobs.caller("ann")
    with pytest.raises(InvalidSpec):
        await service.submit(ann, jobs.workspace, JobWish("", cluster_spec=spec()), client_token="t")
    assert await service.submit(ann, jobs.workspace, JobWish("true", cluster_spec=spec()), client_token="t")


# --- cancelling and removing ---------------------------------------------------------------------------------------------

FINAL = [status for status in JobStatus if status.final]


@pytest.mark.parametrize("status", [JobStatus.SUBMITTED, JobStatus.PENDING, JobStatus.RUNNING])
async def test_a_cancel_sets_off_the_end(jobs: JobOffice, status: JobStatus) -> None:
    made = await jobs.put(await jobs.submit(), status=status)
    jobs.woken_jobs.clear()
    ann = await jobs.caller("ann")
    assert await jobs.services.jobs.cancel(ann, jobs.workspace, made.id) is True
    job = await jobs.job(made.id)
    assert (job.status, job.goal) == (JobStatus.CANCELLING, JobGoal.CANCEL) and "cancelled by ann" in job.message
    assert jobs.woken_jobs == [made.id]
    before = await jobs.facts()
    assert await jobs.services.jobs.cancel(ann, jobs.workspace, made.id) is True, "already Cancelling"
    assert await jobs.facts() == before
    reasons = [row.reason for row in await jobs.services.jobs.events(ann, jobs.workspace, made.id)]
    assert reasons == ["CancelRequested", "Submitted"]


@pytest.mark.parametrize("status", FINAL)
@pytest.mark.parametrize("settled", [False, True])
async def test_a_cancel_of_what_has_ended_sets_nothing_off(jobs: JobOffice, status: JobStatus, settled: bool) -> None:
    made = await jobs.put(await jobs.submit(), status=status, settled=settled, ended_at=jobs.clock.now())
    jobs.woken_jobs.clear()
    before = await jobs.facts()
    assert await jobs.services.jobs.cancel(await jobs.caller("ann"), jobs.workspace, made.id) is False
    assert await jobs.facts() == before and not jobs.woken_jobs


@pytest.mark.parametrize("status", FINAL)
async def test_a_cancel_releases_a_cluster_that_was_to_stay(jobs: JobOffice, status: JobStatus) -> None:
    made = await jobs.submit(shutdown_after_finish=False)
    made = await jobs.put(made, status=status, ended_at=jobs.clock.now())
    ann = await jobs.caller("ann")
    jobs.woken_jobs.clear()
    assert await jobs.services.jobs.cancel(ann, jobs.workspace, made.id) is True
    job = await jobs.job(made.id)
    assert (job.status, job.goal, job.message) == (status, JobGoal.CANCEL, made.message), "how it ended stays"
    assert jobs.woken_jobs == [made.id]
    assert await jobs.services.jobs.cancel(ann, jobs.workspace, made.id) is False
    await jobs.put(job, settled=True, goal=JobGoal.RUN)
    assert await jobs.services.jobs.cancel(ann, jobs.workspace, made.id) is False, "it is gone already"


async def test_a_cancel_of_a_job_on_an_existing_cluster_leaves_the_cluster(jobs: JobOffice) -> None:
    cluster = await jobs.running()
    made = await jobs.submit(cluster=cluster.id, shutdown_after_finish=False)
    await jobs.put(made, status=JobStatus.SUCCEEDED, ended_at=jobs.clock.now())
    assert await jobs.services.jobs.cancel(await jobs.caller("ann"), jobs.workspace, made.id) is False
    assert await jobs.stored(cluster.id) == cluster


async def test_a_cancel_after_the_deadline_keeps_that_as_its_cause(jobs: JobOffice) -> None:
    made = await jobs.put(await jobs.submit(), status=JobStatus.RUNNING, goal=JobGoal.TIMEOUT)
    assert await jobs.services.jobs.cancel(await jobs.caller("ann"), jobs.workspace, made.id) is True
    assert await jobs.job(made.id) == made


@BOTH
async def test_only_what_is_over_can_be_deleted(jobs: JobOffice) -> None:
    made, ann = await jobs.submit(), await jobs.caller("ann")
    for status in JobStatus:
        for settled in (False, True) if status.final else (False,):
            await jobs.put(made, status=status, settled=settled)
            if not (status.final and settled):
                with pytest.raises(Conflict, match="cancel it first" if not status.final else "try again soon"):
                    await jobs.services.jobs.delete(ann, jobs.workspace, made.id)
    await jobs.services.jobs.delete(ann, jobs.workspace, made.id)
    for call in (jobs.services.jobs.get, jobs.services.jobs.delete, jobs.services.jobs.events, jobs.services.jobs.why):
        with pytest.raises(NotFound, match=made.id):
            await call(ann, jobs.workspace, made.id)
    reasons = [row.reason for row in await jobs.store.read(lambda tx: tx.events.of_workspace(jobs.workspace, limit=1))]
    assert reasons == ["JobDeleted"]


async def test_a_delete_of_what_keeps_its_cluster_tells_how_to_release_it(jobs: JobOffice) -> None:
    made, ann = await jobs.submit(shutdown_after_finish=False), await jobs.caller("ann")
    await jobs.put(made, status=JobStatus.SUCCEEDED, ended_at=jobs.clock.now())
    with pytest.raises(Conflict, match="keeps its cluster; cancel it first"):
        await jobs.services.jobs.delete(ann, jobs.workspace, made.id)
    await jobs.services.jobs.cancel(ann, jobs.workspace, made.id)
    with pytest.raises(Conflict, match="try again soon"):
        await jobs.services.jobs.delete(ann, jobs.workspace, made.id)


# --- reading ------------------------------------------------------------------------------------------------------------


async def test_lists_are_narrowed_and_counted(jobs: JobOffice) -> None:
    made = []
    for number in range(5):
        jobs.clock.advance(seconds=1)
        made.append(await jobs.submit(("ann", "editor")[number % 2], name=f"n{number}"))
    viewer = await jobs.caller("viewer")

    async def listed(which: JobFilter = JobFilter(), **page: Any) -> list[str]:
        views = await jobs.services.jobs.list(viewer, jobs.workspace, which, **{"limit": 9, **page})
        return [view.job.spec.name for view in views]

    assert await listed() == ["n4", "n3", "n2", "n1", "n0"]
    assert await listed(limit=2, offset=1) == ["n3", "n2"]
    assert await listed(limit=2, before=made[3].id) == ["n2", "n1"]
    assert await listed(JobFilter(creator="editor")) == ["n3", "n1"]
    assert await jobs.services.jobs.count(viewer, jobs.workspace, JobFilter(creator="editor")) == 2


async def test_a_job_comes_with_what_it_runs_on(jobs: JobOffice) -> None:
    cluster = await jobs.running()
    made, viewer = await jobs.submit(cluster=cluster.id), await jobs.caller("viewer")
    view = await jobs.services.jobs.get(viewer, jobs.workspace, made.id)
    assert view.cluster is not None and view.instance is not None
    assert (view.cluster.id, view.instance.id) == (cluster.id, cluster.instance)
    old = Attempt(1, made.id, new_instance_id(cluster.id), "", jobs.clock.now())
    await jobs.put(made, attempts=(old,))
    view = await jobs.services.jobs.get(viewer, jobs.workspace, made.id)
    assert view.cluster is not None and view.instance is None, "the cluster's present run is not the job's"


async def test_a_settled_job_tells_what_its_cluster_does_now(jobs: JobOffice) -> None:
    cluster = await jobs.running()
    made, viewer = await jobs.submit(cluster=cluster.id), await jobs.caller("viewer")
    await jobs.put(made, settled=True, status=JobStatus.SUCCEEDED)

    async def told() -> list[JobClusterState]:
        one = await jobs.services.jobs.get(viewer, jobs.workspace, made.id)
        (listed,) = await jobs.services.jobs.list(viewer, jobs.workspace, limit=9)
        return [one.job.cluster_state, listed.job.cluster_state]

    assert await told() == [JobClusterState.RUNNING] * 2
    await jobs.services.clusters.stop(await jobs.caller("ann"), jobs.workspace, cluster.id)
    assert await told() == [JobClusterState.DELETED] * 2


async def test_what_the_engine_makes_of_a_temporary_cluster_is_told(jobs: JobOffice) -> None:
    jobs.engine.findings = (Finding("labels", Verdict.IGNORED, "have no effect"),)
    cluster = await jobs.running()
    viewer = await jobs.caller("viewer")
    own, on_existing = await jobs.submit(), await jobs.submit(cluster=cluster.id)
    assert jobs.engine.findings[0] in (await jobs.services.jobs.get(viewer, jobs.workspace, own.id)).findings
    assert (await jobs.services.jobs.get(viewer, jobs.workspace, on_existing.id)).findings == ()


# --- roles ---------------------------------------------------------------------------------------------------------------

Call = Callable[[JobOffice, Caller, JobId], Awaitable[object]]
CASES: dict[str, tuple[Role, Call]] = {
    "submit": (Role.EDITOR, lambda it, who, _: it.services.jobs.submit(who, it.workspace, JobWish("true", cluster_spec=spec()))),
    "get": (Role.VIEWER, lambda it, who, id: it.services.jobs.get(who, it.workspace, id)),
    "list": (Role.VIEWER, lambda it, who, _: it.services.jobs.list(who, it.workspace, limit=9)),
    "count": (Role.VIEWER, lambda it, who, _: it.services.jobs.count(who, it.workspace)),
    "cancel": (Role.EDITOR, lambda it, who, id: it.services.jobs.cancel(who, it.workspace, id)),
    "delete": (Role.EDITOR, lambda it, who, id: it.services.jobs.delete(who, it.workspace, id)),
    "events": (Role.VIEWER, lambda it, who, id: it.services.jobs.events(who, it.workspace, id)),
    "why": (Role.VIEWER, lambda it, who, id: it.services.jobs.why(who, it.workspace, id)),
}  # fmt: skip


def test_no_use_case_is_left_out() -> None:
    assert {name for name in vars(JobService) if not name.startswith("_")} == set(CASES)


@BOTH
@pytest.mark.parametrize("case", CASES)
async def test_everybody_may_what_the_role_allows(jobs: JobOffice, case: str) -> None:
    needed, call = CASES[case]
    for name in ("nobody", "viewer", "editor", "owner", "ann"):
        made = await jobs.put(await jobs.submit(), status=JobStatus.SUCCEEDED, settled=True, ended_at=jobs.clock.now())
        who = await jobs.caller(name)
        before = await jobs.facts()
        role = who.principal.role_in(jobs.workspace)
        if role is None:
            with pytest.raises(NotFound) as missing:
                await call(jobs, who, made.id)
            assert (missing.value.kind, missing.value.name) == ("workspace", jobs.workspace)
        elif not role.includes(needed):
            with pytest.raises(Forbidden, match=f"takes the role {needed}"):
                await call(jobs, who, made.id)
        else:
            await call(jobs, who, made.id)
            continue
        assert await jobs.facts() == before


@pytest.mark.parametrize("case", CASES)
async def test_a_job_or_workspace_that_is_not_there_is_not_found(jobs: JobOffice, case: str) -> None:
    ann, made = await jobs.caller("ann"), await jobs.submit()
    before = await jobs.facts()
    other = await jobs.services.directory.create_workspace(ann, "other")
    here = jobs.workspace
    if case not in ("submit", "list", "count"):
        jobs.workspace = other.id
        with pytest.raises(NotFound, match=f"job '{made.id}'"):
            await CASES[case][1](jobs, ann, made.id)
    jobs.workspace = new_workspace_id()
    with pytest.raises(NotFound, match="workspace"):
        await CASES[case][1](jobs, ann, made.id)
    jobs.workspace = here
    assert await jobs.facts() == before


# --- why -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", JobStatus)
async def test_why_it_is_in_its_state(jobs: JobOffice, status: JobStatus) -> None:
    made = await jobs.submit(name="train")
    now = jobs.clock.now()
    attempt = Attempt(
        1, made.id, new_instance_id(made.cluster), "", now, started_at=now, ended_at=now if status.final else None,
        status=RayStatus.FAILED, cause=Cause.OUT_OF_MEMORY, message="it had no room", exit_code=137,
    )  # fmt: skip
    await jobs.put(
        made, status=status, message="the message", started_at=now, attempts=(attempt,),
        cause=Cause.OUT_OF_MEMORY if status is JobStatus.FAILED else None, ended_at=now if status.final else None,
    )  # fmt: skip
    jobs.clock.advance(seconds=90)
    told = await jobs.services.jobs.why(await jobs.caller("viewer"), jobs.workspace, made.id)
    words = {
        JobStatus.SUBMITTED: "was accepted 90 s ago",
        JobStatus.PENDING: "waits, 90 s after",
        JobStatus.RUNNING: "has been running for 90.0 s (attempt 1)",
        JobStatus.SUCCEEDED: "succeeded after 0.0 s",
        JobStatus.FAILED: "failed (out of memory)",
        JobStatus.CANCELLING: "is being cancelled",
        JobStatus.CANCELLED: "was cancelled",
        JobStatus.TIMEOUT: "ran out of time",
    }
    assert told.summary.startswith(f"train {words[status]}")
    assert "the message" in told.summary or status is JobStatus.SUCCEEDED
    assert bool(told.remedy) == (status in (JobStatus.FAILED, JobStatus.TIMEOUT))
    evidence = "\n".join(told.evidence)
    for fact in ("attempt 1", "exit code 137", "out of memory", "it had no room", made.cluster, "Submitted"):
        assert fact in evidence


@pytest.mark.parametrize("cause", Cause)
async def test_every_cause_has_a_remedy(jobs: JobOffice, cause: Cause) -> None:
    made = await jobs.submit()
    await jobs.put(made, status=JobStatus.FAILED, cause=cause, ended_at=jobs.clock.now(), settled=True)
    told = await jobs.services.jobs.why(await jobs.caller("viewer"), jobs.workspace, made.id)
    assert told.remedy


async def test_why_tells_how_far_its_cluster_is(jobs: JobOffice) -> None:
    ann = await jobs.caller("ann")
    cluster = await jobs.services.clusters.create(ann, jobs.workspace, spec(), start=True)
    made = await jobs.services.jobs.submit(
        ann, jobs.workspace, JobWish("true", cluster=cluster.id), accept_starting=True
    )
    await jobs.put(made, status=JobStatus.PENDING, message="its cluster is Starting")
    told = await jobs.services.jobs.why(ann, jobs.workspace, made.id)
    assert "0 of 3 nodes are up (step queued)" in told.summary


# --- secrets ------------------------------------------------------------------------------------------------------------

HIDDEN = {
    name: f"secret-{number}-4711"
    for number, name in enumerate([
        "variable", "pip", "nested", "zip", "file", "lines", "extra", "env", "param", "redis", "password", "cluster extra",
        "requirement",
    ])
}  # fmt: skip


def secret_wish() -> JobWish:
    """A secret wherever one can be."""
    tolerance = FaultTolerance(True, f"redis://u:{HIDDEN['redis']}@cache", "u", Secret(HIDDEN["password"]))
    shape = replace(SHAPE, env={"K": HIDDEN["env"]}, ray_start_params=f'--resources={{"{HIDDEN["param"]}": 1}}')
    cluster = spec()
    cluster = replace(
        cluster, head=shape, workers=(replace(cluster.workers[0], shape=shape),), fault_tolerance=tolerance,
        extras={"emr.extraParam": HIDDEN["cluster extra"]},
    )  # fmt: skip
    return JobWish(
        "python main.py", cluster_spec=cluster,
        runtime_env={
            "env_vars": {"KEY": HIDDEN["variable"]}, "pip": [f"git+https://{HIDDEN['pip']}@x/y"],
            "container": {"run_options": [f"--env=A={HIDDEN['nested']}"]},
        },
        code=Code(f"https://x/?s={HIDDEN['zip']}", (f"https://x/?s={HIDDEN['file']}",), f"https://x/?s={HIDDEN['lines']}"),
        extras={"emr.runtimeEnvJson": HIDDEN["extra"]},
    )  # fmt: skip


def everything(value: object) -> str:
    """All text in a value: what it prints, and every field of it. A Secret is only what it prints."""
    texts = [f"{value} {value!r}"]
    if isinstance(value, HeliostatError):
        texts += [everything(vars(value))]
    elif is_dataclass(value) and not isinstance(value, Secret):
        texts += [everything(getattr(value, field.name)) for field in fields(value)]
    elif isinstance(value, dict):
        texts += [everything(item) for pair in value.items() for item in pair]
    elif isinstance(value, list | tuple):
        texts += [everything(item) for item in value]
    return "\n".join(texts)


@BOTH
async def test_a_viewer_gets_no_secret_of_a_job(jobs: JobOffice) -> None:
    ann, viewer, service = await jobs.caller("ann"), await jobs.caller("viewer"), jobs.services.jobs
    wish = secret_wish()
    made = await service.submit(ann, jobs.workspace, wish)
    await jobs.put(made, prepared=Prepared("0" * 64, (f"git+https://{HIDDEN['requirement']}@x/y",)))
    existing = await jobs.running("e")
    run = await jobs.run_of(existing.id)
    hiding = replace(made.spec.cluster_spec, name="e")
    await jobs.put_cluster(existing, spec=hiding)
    await jobs.store.write(lambda tx: tx.instances.save(replace(run, spec=hiding)))
    on_existing = await service.submit(ann, jobs.workspace, replace(wish, cluster=existing.id, cluster_spec=None))
    got: list[object] = []
    for id in (made.id, on_existing.id):
        got += [
            await service.get(viewer, jobs.workspace, id),
            await service.events(viewer, jobs.workspace, id),
            await service.why(viewer, jobs.workspace, id),
        ]
        for call in (service.cancel, service.delete):
            with pytest.raises(Forbidden) as raised:
                await call(viewer, jobs.workspace, id)
            got.append(raised.value)
    got += await service.list(viewer, jobs.workspace, limit=9)
    text = everything(got)
    assert made.id in text and existing.id in text and run.id in text and "KEY" in text and "pip" in text
    for name, secret in {**HIDDEN, "submit": run.submit_token.reveal(), "ray": run.ray_token.reveal()}.items():
        assert secret not in text, f"the {name} shows"


async def test_no_secret_is_printed_by_anything_and_in_no_error(jobs: JobOffice) -> None:
    ann, service, wish = await jobs.caller("ann"), jobs.services.jobs, secret_wish()
    made = await service.submit(ann, jobs.workspace, wish, client_token="t")
    shown: list[object] = [wish, made, made.spec, await service.get(ann, jobs.workspace, made.id)]
    shown += await service.list(ann, jobs.workspace, limit=9)
    shown += [await service.events(ann, jobs.workspace, made.id), await service.why(ann, jobs.workspace, made.id)]
    env = HIDDEN["variable"]
    for bad, token in (
        (replace(wish, entrypoint=""), None),
        (replace(wish, entrypoint="other"), "t"),
        (replace(wish, cluster=new_cluster_id()), None),
        (replace(wish, code=Code(f"refused://x/?s={HIDDEN['zip']}")), None),
        (replace(wish, runtime_env={"env_vars": {"A": [env]}}), None),
        (replace(wish, runtime_env={"env_vars": {"A": f"\ud800{env}"}}), None),
        (replace(wish, runtime_env={"pip": env}), None),
        (replace(wish, runtime_env={"working_dir": HIDDEN["zip"]}, code=Code()), None),
        (replace(wish, runtime_env={"working_dir": HIDDEN["zip"]}), None),
        (replace(wish, metadata={"a": 1}), None),
    ):
        with pytest.raises(HeliostatError) as raised:
            await service.submit(ann, jobs.workspace, bad, client_token=token)
        shown += [raised.value, vars(raised.value)]
    text = "\n".join(f"{item} {item!r}" for item in shown)
    assert made.id in text
    for name, secret in HIDDEN.items():
        assert secret not in text, f"the {name} shows"


async def test_an_editor_gets_what_was_written(jobs: JobOffice) -> None:
    wish = secret_wish()
    made = await jobs.services.jobs.submit(await jobs.caller("editor"), jobs.workspace, wish)
    view = await jobs.services.jobs.get(await jobs.caller("editor"), jobs.workspace, made.id)
    assert view.job.spec == made.spec
    assert (view.job.spec.runtime_env, view.job.spec.code, view.job.spec.extras) == (
        wish.runtime_env,
        wish.code,
        wish.extras,
    )


def test_a_masked_job_keeps_names_and_shapes() -> None:
    wish = secret_wish()
    assert wish.cluster_spec is not None
    given = JobSpec(
        "j", "true", wish.cluster_spec, runtime_env=wish.runtime_env, code=wish.code, metadata={"a": "b"},
        tags={"c": "d"}, deadline=timedelta(1), extras=wish.extras,
    )  # fmt: skip
    seen = masked_job(given)
    assert seen.runtime_env == {"env_vars": {"KEY": MASK}, "pip": MASK, "container": MASK}
    assert seen.code == Code(MASK, (MASK,), MASK)
    assert seen.extras == {} and seen.cluster_spec.extras == {}
    assert dict(seen.cluster_spec.head.env) == {"K": MASK}
    kept = {"runtime_env", "code", "extras", "cluster_spec"}
    for field in fields(JobSpec):
        assert field.name in kept or getattr(seen, field.name) == getattr(given, field.name)
    assert masked_job(seen) == seen, "masking twice is masking once"
    empty = replace(given, runtime_env={"env_vars": {}}, code=Code(), extras={})
    assert masked_job(empty).runtime_env == {"env_vars": {}}, "variables stay an object"
    assert masked_job(empty).code == Code()
