"""How far a job is, case by case."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from heliostat.api.job_progress import JobStep, progress_of
from heliostat.domain.engine import NodeObservation, NodeState, Progress, Step
from heliostat.domain.ids import ClusterId, InstanceId, JobId, NodeId, PrincipalId, WorkspaceId
from heliostat.domain.job_states import JobClusterState, JobGoal, JobStatus
from heliostat.domain.jobs import Attempt, Code, Job, JobSpec, Prepared
from heliostat.domain.ray_jobs import Cause, RayStatus
from heliostat.domain.records import Cluster, Instance
from heliostat.domain.secret import Secret
from heliostat.domain.spec import ClusterSpec, NodeShape, WorkerGroup
from heliostat.domain.states import State, Wanted

T0 = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
SHAPE = NodeShape("root_queue", Decimal(1), 1 << 30)
SPEC = ClusterSpec("c", "ray-1.3.1", SHAPE, (WorkerGroup("g", SHAPE, replicas=2),))
CLUSTER, RUN = ClusterId("ray-0000000000000000"), InstanceId("ray-0000000000000000-00000000")


def after(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def job(status: JobStatus = JobStatus.PENDING, **fields: Any) -> Job:  # fields of Job
    made = Job(
        id=JobId("rj-0000000000000000"), workspace=WorkspaceId("w-1"), spec=JobSpec("j", "true", SPEC), status=status,
        message="its message", goal=JobGoal.RUN, cluster=CLUSTER, cluster_state=JobClusterState.PENDING,
        creator=PrincipalId("1"), creator_name="ann", submitted_at=T0,
    )  # fmt: skip
    return replace(made, **{"prepared": Prepared(), **fields})


def cluster(state: State) -> Cluster:
    return Cluster(
        id=CLUSTER, workspace=WorkspaceId("w-1"), spec=SPEC, generation=1, wanted=Wanted.RUNNING, state=state, message="ok",
        modified=False, instance=RUN, creator=PrincipalId("1"), creator_name="ann", modifier=PrincipalId("1"),
        modifier_name="ann", created_at=T0, modified_at=T0,
    )  # fmt: skip


def run(*steps: Step, up: int = 0) -> Instance:
    nodes = tuple(
        NodeObservation(NodeId(f"n{n}"), "worker", "g", NodeState.ALIVE if n < up else NodeState.STARTING, T0)
        for n in range(3)
    )
    progress = tuple(Progress(step, after(10 * n), detail=f"doing {step}") for n, step in enumerate(steps, 1))
    return Instance(
        RUN, CLUSTER, WorkspaceId("w-1"), SPEC, 1, after(5), Secret("s"), Secret("r"), nodes=nodes, progress=progress
    )


def attempt(status: RayStatus, **fields: Any) -> Attempt:  # fields of Attempt
    return replace(Attempt(1, "rj-0000000000000000", RUN, "head", after(40), status=status), **fields)


FAILED = attempt(RayStatus.FAILED, ended_at=after(60), cause=Cause.INFRASTRUCTURE)
RUNNING = attempt(RayStatus.RUNNING, submitted_at=after(41), started_at=after(42))
CASES: dict[str, tuple[Job, Cluster | None, Instance | None, JobStep, float, str]] = {
    "just accepted": (
        job(JobStatus.SUBMITTED, prepared=None), cluster(State.STOPPED), None, JobStep.QUEUED, 100, "its message",
    ),
    "its code is fetched": (
        job(prepared=None, spec=replace(job().spec, code=Code("https://h/a.zip"))), cluster(State.STOPPED), None,
        JobStep.CODE, 100, "its message",
    ),
    "its cluster is not begun": (job(), cluster(State.STOPPED), None, JobStep.QUEUED, 100, "its message"),
    "its cluster is gone": (job(), None, None, JobStep.QUEUED, 100, "its message"),
    "a start without steps yet": (job(), cluster(State.STARTING), run(), JobStep.QUEUED, 95, "its message"),
    "a start that waits": (job(), cluster(State.STARTING), run(Step.QUEUED), JobStep.QUEUED, 90, "doing queued"),
    "an environment is built": (
        job(), cluster(State.STARTING), run(Step.QUEUED, Step.ENVIRONMENT), JobStep.ENVIRONMENT, 80, "doing environment",
    ),
    "the head comes": (
        job(), cluster(State.STARTING), run(Step.QUEUED, Step.ENVIRONMENT, Step.HEAD), JobStep.CLUSTER, 70, "doing head",
    ),
    "workers come": (
        job(), cluster(State.STARTING), run(Step.QUEUED, Step.HEAD, Step.WORKERS, up=1), JobStep.CLUSTER, 80,
        "doing workers",
    ),
    "up, not yet handed over": (job(), cluster(State.RUNNING), run(Step.UP, up=3), JobStep.RAY, 95, "its message"),
    "handed over": (
        job(attempts=(attempt(RayStatus.PENDING, submitted_at=after(41)),)), cluster(State.RUNNING), run(up=3),
        JobStep.RAY, 59, "its message",
    ),
    "stored, Ray not asked yet": (
        job(attempts=(attempt(RayStatus.PENDING),)), cluster(State.RUNNING), run(up=3), JobStep.RAY, 60, "its message",
    ),
    "it runs": (
        job(JobStatus.RUNNING, attempts=(RUNNING,)), cluster(State.RUNNING), run(up=3), JobStep.RUNNING, 58, "its message",
    ),
    "it is being cancelled": (
        job(JobStatus.CANCELLING, goal=JobGoal.CANCEL, attempts=(RUNNING,)), cluster(State.RUNNING), run(up=3),
        JobStep.RUNNING, 58, "its message",
    ),
    "it waits to be tried again": (
        job(attempts=(FAILED,), not_before=after(110)), cluster(State.RUNNING), run(up=3), JobStep.QUEUED, 40,
        "its message",
    ),
    "ended": (
        job(JobStatus.SUCCEEDED, attempts=(replace(RUNNING, ended_at=after(70)),), ended_at=after(70)), None, None,
        JobStep.ENDED, 70, "its message",
    ),
    "cancelled before anything began": (
        job(JobStatus.CANCELLED, prepared=None, ended_at=after(3)), None, None, JobStep.ENDED, 3, "its message",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_step_at_hand(case: str) -> None:
    record, on, instance, step, seconds, detail = CASES[case]
    seen = progress_of(record, on, instance)
    assert (seen.step, seen.seconds(after(100)), seen.detail) == (step, seconds, detail)
    assert seen.nodes_wanted == 3
    assert seen.nodes_up == (0 if instance is None else sum(node.state is NodeState.ALIVE for node in instance.nodes))


def test_every_step_has_a_case() -> None:
    assert {case[3] for case in CASES.values()} == set(JobStep)


def test_nothing_is_ever_negative() -> None:
    assert progress_of(job(prepared=None), None, None).seconds(after(-5)) == 0
